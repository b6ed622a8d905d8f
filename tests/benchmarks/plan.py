"""What plans cost, as a user's shell sees it: cold processes, 10,000 callbacks in 200 files, beside their limits.

    python -m tests.benchmarks.plan [--callbacks 10000] [--files 200] [--repeats 3] [--large] [--octodns]

An engine on its embedded store holds all of them; then 1 % differ. Every figure is of one process from its start to its
end: wall time, CPU time of its own, and the most memory it had resident. Medians of the repeats; each has an engine and
files of its own.

`--large` adds 100,000 callbacks, once, and how many times longer their plan takes. `--octodns` installs octoDNS from
the package index into a folder of its own and lets it plan as many records in as many files, against a server on
loopback that speaks PowerDNS's API (`tests.benchmarks.octodns`).
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import octodns
from tests.benchmarks.cost import Cost, cost_of

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


def cost(project: Path, arguments: Sequence[str], *, code: int, token: str) -> Cost:
    """Run the command line once; it must end with `code`."""
    return cost_of([*RECONCILER, *arguments], cwd=project, code=code, env={"BENCH_TOKEN": token})


@dataclass(frozen=True, slots=True)
class Row:
    """A command of the table: how it must end, and what it may take."""

    name: str
    arguments: tuple[str, ...]
    code: int = 0
    most_seconds: float | None = None
    most_mb: float | None = None


HELP = Row("--help", ("--help",), most_seconds=0.2)
VALIDATE = Row("validate", ("validate",), most_seconds=1.0)
PLAN_ALL = Row("plan, all are new", ("plan", "-e", "dev", "-o", "all.json", "-q"))
APPLY_ALL = Row("apply it", ("apply", "all.json", "-q"), most_seconds=2.0)
PLAN_NOTHING = Row("plan, nothing differs", ("plan", "-e", "dev", "--check"))
PLAN = Row("plan, 1 % differ", ("plan", "-e", "dev", "--check", "-o", "p.json"), 3, most_seconds=1.3, most_mb=150)
APPLY = Row("apply it", ("apply", "p.json", "-q"), most_seconds=0.5)
PLAN_AGAIN = Row("plan, right after", ("plan", "-e", "dev", "--check"))
ROLLBACK = Row("rollback", ("rollback", "-e", "dev", "--yes", "-q"), most_seconds=1.0)
STEPS = (HELP, VALIDATE, PLAN_ALL, APPLY_ALL, PLAN_NOTHING, PLAN, APPLY, PLAN_AGAIN, ROLLBACK)

LARGE = 10  # times as many
LARGE_PLAN = Row("plan, 1 % differ", PLAN.arguments, PLAN.code, most_seconds=10.0, most_mb=700)
MOST_TIMES_LONGER = 11


def journey(steps: Sequence[Row], *, callbacks: int, files: int) -> list[Cost]:
    """What each of the steps costs, one after the other, with an engine of their own."""
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder)) as (address, token):
        project = Path(folder, "project")
        project.mkdir()
        (project / "reconciler.yaml").write_text(PROJECT.format(engine=address))
        write_files(project, callbacks=callbacks, files=files, changed=False)
        costs = []
        for step in steps:
            if step.code == PLAN.code:
                write_files(project, callbacks=callbacks, files=files, changed=True)
            costs.append(cost(project, step.arguments, code=step.code, token=token))
        return costs


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(each, name) for each in costs) for name in ("wall", "cpu", "peak_mb")))


def print_row(row: Row, taken: Cost) -> None:
    seconds = "" if row.most_seconds is None else f"{row.most_seconds:.1f}"
    memory = "" if row.most_mb is None else f"{row.most_mb:.0f}"
    print(f"{row.name:<28}{taken.wall:>8.2f}{seconds:>7}{taken.cpu:>8.2f}{taken.peak_mb:>9.0f}{memory:>7}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--callbacks", type=int, default=10_000)
    arguments.add_argument("--files", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--large", action="store_true", help="ten times as many callbacks, too")
    arguments.add_argument("--octodns", action="store_true", help="octoDNS with as many records, too")
    given = arguments.parse_args()

    print(f"{given.callbacks:,} callbacks in {given.files} files; medians of {given.repeats}")
    print(f"{'':<28}{'wall s':>8}{'limit':>7}{'CPU s':>8}{'peak MB':>9}{'limit':>7}", flush=True)
    repeats = [journey(STEPS, callbacks=given.callbacks, files=given.files) for _ in range(given.repeats)]
    medians = [median(costs) for costs in zip(*repeats, strict=True)]
    for row, taken in zip(STEPS, medians, strict=True):
        print_row(row, taken)
    plan = medians[STEPS.index(PLAN)]
    if given.octodns:
        with tempfile.TemporaryDirectory() as folder:
            size = {"records": given.callbacks, "zones": given.files}
            for name, costs in octodns.measured(Path(folder), repeats=given.repeats, **size):
                print_row(Row(name, ()), median(costs))
    if given.large:
        print(f"{given.callbacks * LARGE:,} callbacks in {given.files} files; once")
        steps = (PLAN_ALL, APPLY_ALL, PLAN_NOTHING, LARGE_PLAN, APPLY, PLAN_AGAIN, ROLLBACK)
        once = journey(steps, callbacks=given.callbacks * LARGE, files=given.files)
        for row, taken in zip(steps, once, strict=True):
            print_row(row if row is LARGE_PLAN else Row(row.name, row.arguments), taken)
        longer = once[steps.index(LARGE_PLAN)].wall / plan.wall
        print(f"their plan takes {longer:.1f} times as long; the limit is {MOST_TIMES_LONGER}")


if __name__ == "__main__":
    main()
