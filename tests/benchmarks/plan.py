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
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import octodns
from tests.benchmarks.cost import Cost, cost_of
from tests.benchmarks.engine_process import bare_engine
from tests.benchmarks.figures import Figure, print_figures

__all__ = ["plan"]

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
APPLY_ALL = Row("apply, all are new", ("apply", "all.json", "-q"), most_seconds=2.0)
PLAN_NOTHING = Row("plan, nothing differs", ("plan", "-e", "dev", "--check"))
PLAN = Row("plan, 1 % differ", ("plan", "-e", "dev", "--check", "-o", "p.json"), 3, most_seconds=1.3, most_mb=150)
APPLY = Row("apply, 1 % differ", ("apply", "p.json", "-q"), most_seconds=0.5)
PLAN_AGAIN = Row("plan, right after", ("plan", "-e", "dev", "--check"))
ROLLBACK = Row("rollback", ("rollback", "-e", "dev", "--yes", "-q"), most_seconds=1.0)
STEPS = (HELP, VALIDATE, PLAN_ALL, APPLY_ALL, PLAN_NOTHING, PLAN, APPLY, PLAN_AGAIN, ROLLBACK)

LARGE = 10  # times as many
LARGE_PLAN = Row("plan, 1 % differ", PLAN.arguments, PLAN.code, most_seconds=10.0, most_mb=700)
MOST_TIMES_LONGER = 11


def journey(steps: Sequence[Row], *, callbacks: int, files: int) -> list[Cost]:
    """What each of the steps costs, one after the other, with an engine of their own."""
    with tempfile.TemporaryDirectory() as folder, bare_engine(Path(folder, "data")) as engine:
        project = Path(folder, "project")
        project.mkdir()
        (project / "reconciler.yaml").write_text(PROJECT.format(engine=engine.url))
        write_files(project, callbacks=callbacks, files=files, changed=False)
        costs = []
        for step in steps:
            if step.code == PLAN.code:
                write_files(project, callbacks=callbacks, files=files, changed=True)
            costs.append(cost(project, step.arguments, code=step.code, token=engine.token))
        return costs


def of(row: Row, costs: Sequence[Cost]) -> Iterator[Figure]:
    yield Figure(f"{row.name}: wall", "s", [cost.wall for cost in costs], most=row.most_seconds)
    yield Figure(f"{row.name}: its own CPU", "s", [cost.cpu for cost in costs])
    yield Figure(f"{row.name}: peak memory", "MB", [cost.peak_mb for cost in costs], most=row.most_mb)


def plan(
    *, callbacks: int = 10_000, files: int = 200, repeats: int = 3, with_octodns: bool = False, large: bool = False
) -> Iterator[Figure]:
    """What each command of a project's day costs."""
    journeys = [journey(STEPS, callbacks=callbacks, files=files) for _ in range(repeats)]
    costs = dict(zip(STEPS, zip(*journeys, strict=True), strict=True))
    for row, taken in costs.items():
        yield from of(row, taken)
    if with_octodns:
        with tempfile.TemporaryDirectory() as folder:
            for name, each in octodns.measured(Path(folder), records=callbacks, zones=files, repeats=repeats):
                yield from of(Row(name, ()), each)
    if large:
        steps = (PLAN_ALL, APPLY_ALL, PLAN_NOTHING, LARGE_PLAN, APPLY, PLAN_AGAIN, ROLLBACK)
        once = dict(zip(steps, journey(steps, callbacks=callbacks * LARGE, files=files), strict=True))
        for row, cost in once.items():
            name = f"of {callbacks * LARGE:,}: {row.name}"
            limits = (row.most_seconds, row.most_mb) if row is LARGE_PLAN else (None, None)
            yield from of(Row(name, (), row.code, *limits), [cost])
        longer = once[LARGE_PLAN].wall / statistics.median(cost.wall for cost in costs[PLAN])
        yield Figure(f"of {callbacks * LARGE:,}: times as long a plan", "x", [longer], most=MOST_TIMES_LONGER)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callbacks", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="ten times as many callbacks, too")
    parser.add_argument("--octodns", action="store_true", help="octoDNS with as many records, too")
    given = parser.parse_args()
    print_figures(
        plan(
            callbacks=given.callbacks,
            files=given.files,
            repeats=given.repeats,
            with_octodns=given.octodns,
            large=given.large,
        )
    )
