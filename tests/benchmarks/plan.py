"""How long a cold `reconciler plan` takes over 10,000 callbacks in 200 files, beside the limits it is held to.

    python tests/benchmarks/plan.py [--callbacks 10000] [--files 200] [--repeats 3]

An engine on its embedded store holds all of them; 1 % differ. Every figure is of one process from its start to its
end: wall time, CPU time of its own, and the most memory it had resident. Medians of the repeats.
"""

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RECONCILER = (sys.executable, "-m", "reconciler")
HOSTS = 50
CHANGED_EACH = 100  # one in a hundred

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: benchmark
sources: [device-types/*.yaml]
environments:
  dev:
    target: {{engine: "{engine}", token: {{env: BENCH_TOKEN}}}}
    variables: {{domain: example.com}}
"""
DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: type-{number:04}
payload: "temperature::int:16:little-endian humidity::uint:8"
callbacks:
"""
CALLBACK = """\
  callback-{number:05}:
    type: data/uplink
    channel: url
    method: POST
    url: "https://ingest-{host:02}.${{var.domain}}/{version}/devices/{{device}}/callback-{number:05}"
    headers:
      Authorization: "Bearer ${{secret.INGEST_TOKEN}}"
      X-Tenant: "tenant-{host:02}"
    contentType: application/json
    body: '{{"device":"{{device}}","time":{{time}},"seq":{{seqNumber}},"t":{{customData#temperature}}}}'
    enabled: true
"""


def write_files(project: Path, *, callbacks: int, files: int, changed: bool) -> None:
    """One device type in each file; where `changed`, one callback in a hundred has another URL."""
    folder = project / "device-types"
    folder.mkdir(exist_ok=True)
    for number in range(files):
        texts = [DEVICE_TYPE.format(number=number)]
        for callback in range(number * callbacks // files, (number + 1) * callbacks // files):
            version = "v2" if changed and callback % CHANGED_EACH == 0 else "v1"
            texts.append(CALLBACK.format(number=callback, host=callback % HOSTS, version=version))
        (folder / f"type-{number:04}.yaml").write_text("".join(texts))


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[tuple[str, str]]:
    """`reconciler engine serve` on a free port; its address and a token."""
    tokens = folder / "tokens"
    token = subprocess.run(
        [*RECONCILER, "engine", "token", "--token-file", tokens, "--name", "bench", "--scope", "read,apply"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    serving = subprocess.Popen(
        [*RECONCILER, "engine", "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", "--token-file", tokens],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert serving.stderr is not None
    try:
        found = next((m for line in serving.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
        assert found is not None, "the engine did not start"
        yield found[0], token
    finally:
        serving.terminate()
        serving.wait()
        serving.stderr.close()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    wall: float
    cpu: float
    peak_mb: float


def cost(project: Path, arguments: Sequence[str], *, code: int, token: str) -> Cost:
    """Run the command line once; it must end with `code`."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*RECONCILER, *arguments], cwd=project, stdout=subprocess.DEVNULL, env={**os.environ, "BENCH_TOKEN": token}
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code, f"{' '.join(arguments)} ended with {process.returncode}, not {code}"
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@dataclass(frozen=True, slots=True)
class Row:
    """A command of the table: how it must end, and what it may take."""

    name: str
    arguments: tuple[str, ...]
    code: int = 0
    most_seconds: float | None = None
    most_mb: float | None = None


HELP = Row("--help", ("--help",), most_seconds=0.2)
VALIDATE = Row("validate", ("validate",), most_seconds=2.0, most_mb=200)
APPLY_ALL = Row("apply, all are new", ("apply", "-e", "dev", "--yes", "-q"))
PLAN_NOTHING = Row("plan, nothing differs", ("plan", "-e", "dev", "--check"))
PLAN = Row("plan, 1 % differ", ("plan", "-e", "dev", "--check"), code=3, most_seconds=2.5, most_mb=200)
APPLY = Row("apply, 1 % differ", ("apply", "-e", "dev", "--yes", "-q"))


def print_row(row: Row, costs: Sequence[Cost]) -> None:
    wall, cpu, peak = (statistics.median(getattr(c, name) for c in costs) for name in ("wall", "cpu", "peak_mb"))
    seconds = "" if row.most_seconds is None else f"{row.most_seconds:.1f}"
    memory = "" if row.most_mb is None else f"{row.most_mb:.0f}"
    print(f"{row.name:<24}{wall:>8.2f}{seconds:>7}{cpu:>8.2f}{peak:>9.0f}{memory:>7}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--callbacks", type=int, default=10_000)
    arguments.add_argument("--files", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    size = {"callbacks": given.callbacks, "files": given.files}

    with tempfile.TemporaryDirectory() as folder, engine(Path(folder)) as (address, token):
        project = Path(folder, "project")
        project.mkdir()
        (project / "reconciler.yaml").write_text(PROJECT.format(engine=address))
        write_files(project, **size, changed=False)
        print(f"{given.callbacks:,} callbacks in {given.files} files; medians of {given.repeats}")
        print(f"{'':<24}{'wall s':>8}{'limit':>7}{'CPU s':>8}{'peak MB':>9}{'limit':>7}")

        def measure(row: Row, repeats: int = given.repeats) -> None:
            print_row(row, [cost(project, row.arguments, code=row.code, token=token) for _ in range(repeats)])

        measure(HELP)
        measure(VALIDATE)
        measure(APPLY_ALL, repeats=1)
        measure(PLAN_NOTHING)
        write_files(project, **size, changed=True)
        measure(PLAN)
        measure(APPLY, repeats=1)
        measure(PLAN_NOTHING)  # and ends with 0: the plan right after an apply is empty


if __name__ == "__main__":
    main()
