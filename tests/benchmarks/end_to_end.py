"""Messages a second, end to end: ingest → durable → routed → delivered by POST to a fast sink → attempt recorded.

    python -m tests.benchmarks.end_to_end [--messages 40000] [--repeats 5]

One engine process with its embedded store (fsync on, `synchronous=FULL`) shares all cores with the sender and the
sink. In the same run, because machines are noisy and only ratios of one run compare: `wrk` against the same sink (when
it is installed), the bare pipeline of the same parts (`tests.benchmarks.bare_pipeline`), and a bare aiohttp loop, which
keeps nothing.

A run ends when the engine's own metrics say that every delivery is recorded as delivered and the sink has counted every
request; that of the bare pipeline, when every message is deleted from its store.
"""

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

from tests.benchmarks.bare_aiohttp import bare_aiohttp
from tests.benchmarks.bare_pipeline import BarePipeline, bare_pipeline
from tests.benchmarks.engine_process import BenchEngine, applied_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import cpu_seconds
from tests.benchmarks.sender import CONNECTIONS, send_all
from tests.benchmarks.sink import Sink, sink

__all__ = ["end_to_end"]

PER_POST = (50, 1)
WARM_UP = 2_000
LEAST_SHARE = 0.4  # of what the bare pipeline does in the same run
LEAST = {"engine, 50 a post": 20_000, "engine, 1 a post": 10_000}  # messages a second


def wrk(to: Sink) -> float | None:
    """Requests a second of a load generator in C; None where it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        return None
    command = [program, "-t1", f"-c{CONNECTIONS}", "-d2", f"http://127.0.0.1:{to.port}/"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return float(found[1]) if found else None


def seconds_through(
    port: int, to: Sink, messages: int, per_post: int, *, token: str = "", finished: Callable[[], int] | None = None
) -> float:
    """From the first post until all is delivered, and finished where somebody keeps a record."""
    before, recorded = to.count(), finished() if finished else 0
    start = send_all(port, messages, per_post, token=token or "none")
    while to.count() - before < messages or (finished and finished() - recorded < messages):
        time.sleep(0.005)
    return time.perf_counter() - start


def through(system: BenchEngine | BarePipeline, to: Sink, messages: int, per_post: int) -> tuple[float, float]:
    """Messages a second, and microseconds of the process's CPU for each."""
    token = system.token if isinstance(system, BenchEngine) else ""

    def send(count: int) -> float:
        return seconds_through(system.port, to, count, per_post, token=token, finished=system.finished)

    send(WARM_UP)
    cpu = cpu_seconds(system.pid)
    took = send(messages)
    return messages / took, (cpu_seconds(system.pid) - cpu) / messages * 1e6


def run_once(to: Sink, messages: int) -> Iterator[tuple[str, str, float]]:
    """What, in which unit, how much: everything once, side by side."""
    if (requests := wrk(to)) is not None:
        yield "wrk → sink, nothing between", "requests/s", requests
    for per_post in PER_POST:
        with bare_pipeline(to.port) as bare:
            bare_rate, bare_cpu = through(bare, to, messages, per_post)
        with applied_engine(to.port) as engine:
            rate, cpu = through(engine, to, messages, per_post)
        with bare_aiohttp(to.port) as port:
            few = max(messages // 4, 1)
            aiohttp_rate = few / seconds_through(port, to, few, per_post)
        yield f"bare aiohttp, nothing kept, {per_post} a post", "messages/s", aiohttp_rate
        yield f"bare pipeline, {per_post} a post", "messages/s", bare_rate
        yield f"bare pipeline, {per_post} a post: CPU", "us/message", bare_cpu
        yield f"engine, {per_post} a post", "messages/s", rate
        yield f"engine, {per_post} a post: CPU", "us/message", cpu
        yield f"engine ÷ bare pipeline, {per_post} a post", "share", rate / bare_rate


def end_to_end(*, messages: int = 40_000, repeats: int = 5) -> Iterator[Figure]:
    """Throughput of the engine and of what it is compared with."""
    found: dict[tuple[str, str], list[float]] = {}
    with sink() as to:
        for _ in range(repeats):
            for what, unit, value in run_once(to, messages):
                found.setdefault((what, unit), []).append(value)
    for (what, unit), values in found.items():
        yield Figure(what, unit, values, least=LEAST_SHARE if unit == "share" else LEAST.get(what))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print_figures(end_to_end(messages=given.messages, repeats=given.repeats))
