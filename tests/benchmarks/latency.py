"""From post to arrival at the sink, in an open loop: at a steady pace, and at rising ones until a system saturates.

    python -m tests.benchmarks.latency [--seconds 10] [--repeats 5] [--plot FILE.svg]

Single posts, fsync on; a message's latency counts from when it was due to be posted, whatever became of those before
it. Beside the engine, in the same run, the bare pipeline of the same parts. A system is saturated at a rate at which
half of the messages take longer than a tenth of a second, or which it refuses in part.

`--plot` draws p50 and p99 against the rate, as SVG; matplotlib is needed for that alone.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bare_pipeline import BarePipeline, bare_pipeline
from tests.benchmarks.engine_process import BenchEngine, applied_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.plot import plot, why_not
from tests.benchmarks.sender import number_of, send_paced
from tests.benchmarks.sink import Sink, sink

__all__ = ["Curve", "Point", "curve_figures", "latency", "sweep"]

PACE = 1_000
MOST_P50, MOST_P99 = 4.0, 20.0  # milliseconds
RATES = (500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 24_000, 32_000)
SATURATED = 100.0  # milliseconds
PATIENCE = 20.0  # seconds after which what has not arrived is missing

System = BenchEngine | BarePipeline


@dataclass(frozen=True, slots=True)
class Point:
    """What became of one rate: messages a second that arrived, and how late, in milliseconds."""

    rate: float
    arrived: float
    refused: int
    latencies: Sequence[float]

    def quantile(self, share: float) -> float:
        return self.latencies[round(share * (len(self.latencies) - 1))]

    @property
    def saturated(self) -> bool:
        return self.refused > 0 or self.quantile(0.5) > SATURATED


@dataclass(frozen=True, slots=True)
class Curve:
    """One system at rising rates; the last may be one at which it was saturated."""

    name: str
    points: Sequence[Point]

    @property
    def highest(self) -> float:
        """The highest of the rates that it kept up with."""
        return max((point.rate for point in self.points if not point.saturated), default=0.0)


def point(system: System, to: Sink, rate: float, seconds: float) -> Point:
    """Offer a rate for so long, and wait until all of it arrived."""
    token = system.token if isinstance(system, BenchEngine) else "none"
    before = to.count()
    sent = send_paced(system.port, rate, seconds, token=token)
    refused = sum(answer is None for answer in sent.answered)
    taken, patience = len(sent.answered) - refused, time.perf_counter() + PATIENCE
    while to.count() - before < taken and time.perf_counter() < patience:
        time.sleep(0.02)
    first: dict[int, float] = {}
    for arrival in to.arrivals():
        first.setdefault(number_of(arrival.body, began=sent.began), arrival.at)
    latencies = sorted((at - sent.due(number)) * 1000 for number, at in first.items())
    assert len(latencies) >= taken, f"{taken - len(latencies)} of {taken} messages did not arrive"
    took = max(max(first.values()) - sent.start, seconds)
    return Point(rate, len(latencies) / took, refused, latencies)


def warm_up(system: System, to: Sink) -> None:
    point(system, to, PACE, 1)


def latency(*, rate: float = PACE, seconds: float = 10, repeats: int = 5) -> Iterator[Figure]:
    """How late messages arrive at a steady pace; each run of the engine beside one of the bare pipeline."""
    points: dict[str, list[Point]] = {"bare pipeline": [], "engine": []}
    with sink(record=True) as to, bare_pipeline(to.port) as bare, applied_engine(to.port) as engine:
        systems: dict[str, System] = {"bare pipeline": bare, "engine": engine}
        for system in systems.values():
            warm_up(system, to)
        for _ in range(repeats):
            for name, system in systems.items():
                points[name].append(point(system, to, rate, seconds))
    for name, runs in points.items():
        what = f"{name}: post → sink at {rate:,.0f}/s"
        # What is promised is promised of one rate.
        p50, p99 = (MOST_P50, MOST_P99) if name == "engine" and rate == PACE else (None, None)
        yield Figure(f"{what}, p50", "ms", [run.quantile(0.5) for run in runs], most=p50)
        yield Figure(f"{what}, p99", "ms", [run.quantile(0.99) for run in runs], most=p99)
        yield Figure(f"{what}, most", "ms", [run.quantile(1) for run in runs])


def curve(name: str, system: System, to: Sink, *, rates: Sequence[float], seconds: float) -> Curve:
    """Rising rates, up to the first at which the system is saturated."""
    points: list[Point] = []
    warm_up(system, to)
    for rate in rates:
        points.append(point(system, to, rate, seconds))
        if points[-1].saturated:
            break
    return Curve(name, points)


def sweep(*, rates: Sequence[float] = RATES, seconds: float = 3) -> list[Curve]:
    """Throughput against latency, of the engine and of the bare pipeline."""
    with sink(record=True) as to:
        with bare_pipeline(to.port) as bare:
            found = [curve("bare pipeline", bare, to, rates=rates, seconds=seconds)]
        with applied_engine(to.port) as engine:
            return [*found, curve("engine", engine, to, rates=rates, seconds=seconds)]


def curve_figures(curves: Sequence[Curve]) -> Iterator[Figure]:
    """The curves in numbers."""
    for each in curves:
        for at in each.points:
            what = f"{each.name}: {at.rate:,.0f}/s offered{', saturated' if at.saturated else ''}"
            yield Figure(f"{what}, p50", "ms", [at.quantile(0.5)])
            yield Figure(f"{what}, p99", "ms", [at.quantile(0.99)])
        yield Figure(f"{each.name}: highest rate that it kept up with", "messages/s", [each.highest])


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Write the plot."""
    lines = {
        (each.name, name): [(at.arrived, at.quantile(share)) for at in each.points]
        for each in curves
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    plot(lines, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="sweep rates, and draw them")
    given = parser.parse_args()
    print_figures(latency(seconds=given.seconds, repeats=given.repeats))
    if given.plot:
        found = sweep()
        print_figures(curve_figures(found))
        if (reason := why_not()) is None:
            draw(found, given.plot)
        else:
            print(reason)
