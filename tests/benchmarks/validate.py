"""Where the time of loading 10,000 callbacks in 200 files goes: imports, YAML, shapes, and the rules.

    python -m tests.benchmarks.validate [--callbacks 10000] [--files 200] [--repeats 3]

Each figure is of a fresh process that loads the project once; medians of the repeats. "all" is `load` as the command
line calls it, without its own imports and output. What the whole command may take is with `tests.benchmarks.plan`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import ROOT, peak_mb

__all__ = ["validate"]

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: benchmark
sources: [device-types/*.yaml]
"""
POLICIES = """\
policies:
  - {name: https, match: {type: "data/*", channel: url}, require: {url: {regex: "^https://"}}, message: x}
  - {name: no-mail, forbid: {channel: email}, message: x}
  - {name: hosts, require: {host: "*.example.com"}, message: x}
  - {name: tokens, require: {headers.authorization: "Bearer ${secret.*}"}, message: x}
  - {name: names, match: {key: "type-*"}, require: {key: {regex: "^[a-z0-9-]+/[a-z0-9-]+$"}}, message: x}
"""
ENVIRONMENT = """\
  env-{number}:
    target: {{engine: "http://127.0.0.1:8460"}}
    variables: {{host: "ingest-{number}.example.com"}}
"""
DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: type-{number:04}
description: The device type of number {number}
keepAlive: 2h
payload: "temperature::int:16:little-endian humidity::uint:8 door::bool:7"
callbacks:
"""
CALLBACK = """\
  callback-{number:05}:
    type: data/uplink
    channel: url
    method: POST
    url: "https://{host}/uplink/{number}/{{device}}?t={{time}}"
    headers: {{Authorization: "Bearer ${{secret.INGEST_TOKEN}}", X-Source: "type-{number:05}"}}
    contentType: application/json
    body: '{{"device":"{{device}}","t":{{customData#temperature}},"seq":{{seqNumber}},"n":{number}}}'
    sendSni: true
    enabled: true
"""


def write_project(root: Path, *, callbacks: int, files: int, environments: int, policies: bool = False) -> None:
    (root / "device-types").mkdir(exist_ok=True)
    head = f"{PROJECT}{POLICIES if policies else ''}environments:\n"
    project = head + "".join(ENVIRONMENT.format(number=number) for number in range(environments))
    (root / "reconciler.yaml").write_text(project)
    for number in range(files):
        own = range(number * callbacks // files, (number + 1) * callbacks // files)
        texts = [CALLBACK.format(number=each, host="${var.host}") for each in own]
        (root / "device-types" / f"{number:04}.yaml").write_text(DEVICE_TYPE.format(number=number) + "".join(texts))


def load_once(root: Path) -> None:
    """What a child process does: it times itself, and prints the seconds as JSON."""
    start = time.perf_counter()
    from reconciler.config import file, load, schema

    imported = time.perf_counter()
    paths = sorted((root / "device-types").iterdir())
    with file.collector_paused():
        documents = [document for path in paths for document in file.read(path, name=str(path)).documents]
        read = time.perf_counter()
        faults = [fault for document in documents for fault in schema.validate("DeviceType", document)[1]]
        validated = time.perf_counter()
    del documents
    before = time.perf_counter()
    loaded = load.load(root, environ={})
    done = time.perf_counter()
    assert not faults
    assert loaded.diagnostics == ()
    peak = peak_mb(os.getpid())
    seconds = {"imports": imported - start, "yaml": read - imported, "shapes": validated - read, "all": done - before}
    print(json.dumps({**seconds, "peak": peak}))


def validate(*, callbacks: int = 10_000, files: int = 200, repeats: int = 3) -> Iterator[Figure]:
    """Where the time goes, with one environment and three, with policies and without."""
    for environments, policies in ((1, 0), (1, 5), (3, 0), (3, 5)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_project(root, callbacks=callbacks, files=files, environments=environments, policies=policies > 0)
            command = [sys.executable, "-m", "tests.benchmarks.validate", "--load-once", folder]
            runs = [json.loads(subprocess.check_output(command, cwd=ROOT)) for _ in range(repeats)]
        what = f"load {callbacks:,}, {environments} environments, {policies} policies"
        for name in ("imports", "yaml", "shapes", "all"):
            yield Figure(f"{what}: {name}", "s", [run[name] for run in runs])
        yield Figure(f"{what}: peak memory", "MB", [run["peak"] for run in runs])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callbacks", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--load-once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load_once:
        load_once(given.load_once)
    else:
        print_figures(validate(callbacks=given.callbacks, files=given.files, repeats=given.repeats))
