"""All benchmarks, in one command, as one table: what was measured, beside what is promised.

    python -m tests.benchmarks [--quick] [--only NAME ...] [--plot FILE.svg] [--strict]

In full it takes about ten minutes, and wants a machine that does nothing else. Machines differ and drift: compare
figures of one run only, above all those of the engine with those of the bare pipeline and of `wrk` beside it. A limit
that is missed is shown as such; only `--strict` makes the command fail for it.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.backlog import backlog
from tests.benchmarks.batch_windows import batch_windows
from tests.benchmarks.decode_render import decode_render
from tests.benchmarks.disk import disk
from tests.benchmarks.downlinks import downlinks
from tests.benchmarks.end_to_end import end_to_end
from tests.benchmarks.figures import HEADINGS, Figure, row
from tests.benchmarks.http_client import http_client
from tests.benchmarks.idle import idle
from tests.benchmarks.isolation import isolation
from tests.benchmarks.latency import RATES, curve_figures, draw, latency, sweep
from tests.benchmarks.matching import matching
from tests.benchmarks.plan import plan
from tests.benchmarks.plot import why_not
from tests.benchmarks.revisions import churn, revisions
from tests.benchmarks.store import store
from tests.benchmarks.validate import validate

SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the names of `--only`: at the sizes that its limits are about, and at small ones to see that it works."""

    full: Callable[[], Iterable[Figure]]
    quick: Callable[[], Iterable[Figure]]


def benchmarks(plot: Path | None) -> Mapping[str, Benchmark]:
    """All of them, in the order of the table."""

    def swept(rates: Sequence[float], seconds: float) -> Iterator[Figure]:
        curves = sweep(rates=rates, seconds=seconds)
        if plot:
            draw(curves, plot)
        yield from curve_figures(curves)

    return {
        "end_to_end": Benchmark(end_to_end, lambda: end_to_end(messages=4_000, repeats=1)),
        "latency": Benchmark(latency, lambda: latency(seconds=1, repeats=2)),
        SWEEP: Benchmark(lambda: swept(RATES, 3), lambda: swept(RATES[:3], 1)),
        "disk": Benchmark(disk, lambda: disk(messages=5_000)),
        "idle": Benchmark(idle, lambda: idle(deliveries=1_000, seconds=1, repeats=2)),
        "matching": Benchmark(matching, lambda: matching(definitions=1_000, devices=10_000, repeats=3)),
        "revisions": Benchmark(revisions, lambda: revisions(callbacks=1_000, repeats=2, seconds=2)),
        "churn": Benchmark(churn, lambda: churn(seconds=1)),
        "backlog": Benchmark(backlog, lambda: backlog(pending=20_000, seconds=2)),
        "isolation": Benchmark(isolation, lambda: isolation(rate=200, seconds=3, repeats=1)),
        "downlinks": Benchmark(downlinks, lambda: downlinks(seconds=2)),
        "batch_windows": Benchmark(batch_windows, lambda: batch_windows(batches=100, callbacks=25)),
        "plan": Benchmark(plan, lambda: plan(callbacks=500, files=10, repeats=1)),
        "validate": Benchmark(validate, lambda: validate(callbacks=500, files=10, repeats=1)),
        "decode_render": Benchmark(decode_render, lambda: decode_render(rounds=3, calls=1_000)),
        "store": Benchmark(lambda: store(messages=20_000), lambda: store(messages=2_000)),
        "http_client": Benchmark(http_client, lambda: http_client(requests=2_000, rounds=1)),
    }


def machine() -> str:
    """What the figures are of."""
    cores = len(os.sched_getaffinity(0))
    parts = [f"{cores} cores", platform.platform(terse=True), f"Python {platform.python_version()}"]
    parts += [f"SQLite {sqlite3.sqlite_version}", "wrk" if shutil.which("wrk") else "no wrk"]
    return ", ".join(parts)


def run(chosen: Mapping[str, Benchmark], *, quick: bool) -> Iterator[Figure]:
    """Print the table, each line as soon as it is known; what was printed."""
    print(HEADINGS)
    for name, benchmark in chosen.items():
        print(f"\n{name}", flush=True)
        for figure in benchmark.quick() if quick else benchmark.full():
            print(row(figure), flush=True)
            yield figure


def verdict(figures: Sequence[Figure], seconds: float) -> str:
    """The last words."""
    limited = [figure for figure in figures if figure.met is not None]
    missed = [figure for figure in limited if not figure.met]
    said = f"{len(limited) - len(missed)} of {len(limited)} limits are met; it took {seconds:,.0f} s."
    return "\n".join([said, *(f"  missed: {figure.what}" for figure in missed)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0, unless a limit is missed and that was asked for, too."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast it is")
    names = list(benchmarks(None))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"some of: {', '.join(names)}")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw throughput against latency, of the sweep")
    parser.add_argument("--strict", action="store_true", help="fail when a limit is missed")
    given = parser.parse_args(arguments)
    wanted = set(given.only or names)
    if given.plot and SWEEP not in wanted:
        parser.error(f"--plot draws what {SWEEP!r} measures; name it with --only, too")

    print(f"{machine()}{'; quick: the limits are those of full sizes' if given.quick else ''}")
    unplotted = why_not() if given.plot else None
    if unplotted:
        print(unplotted)
    started = time.perf_counter()
    known = benchmarks(None if unplotted else given.plot)
    figures = list(run({name: known[name] for name in names if name in wanted}, quick=given.quick))
    print(f"\n{verdict(figures, time.perf_counter() - started)}")
    if given.plot and not unplotted:
        print(f"Throughput against latency: {given.plot}")
    return 1 if given.strict and any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
