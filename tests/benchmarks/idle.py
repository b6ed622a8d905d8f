"""What an engine takes of the processor while there is nothing to do.

    python -m tests.benchmarks.idle [--deliveries 10000] [--seconds 4] [--repeats 5]

It has finished deliveries in its store, and a device type with a keep-alive: a thousand devices whose silence it would
have to notice. Each repeat is a stretch of so many seconds of one engine.
"""

import argparse
import time
from collections.abc import Iterator

from tests.benchmarks.engine_process import DEVICE_TYPE, applied_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import cpu_seconds
from tests.benchmarks.sender import send_all
from tests.benchmarks.sink import sink

__all__ = ["idle"]

SUPERVISED = DEVICE_TYPE.replace("callbacks:\n", "keepAlive: 2h\ncallbacks:\n", 1)
MOST_PERCENT = 0.5
CALM_DOWN = 2.0  # seconds


def idle(*, deliveries: int = 10_000, seconds: float = 4, repeats: int = 5) -> Iterator[Figure]:
    """Its CPU, in percent of a core."""
    with sink() as to, applied_engine(to.port, SUPERVISED) as engine:
        send_all(engine.port, deliveries, 50, token=engine.token)
        engine.wait_for(deliveries)
        time.sleep(CALM_DOWN)
        percents = []
        for _ in range(repeats):
            start, cpu = time.perf_counter(), cpu_seconds(engine.pid)
            time.sleep(seconds)
            percents.append((cpu_seconds(engine.pid) - cpu) / (time.perf_counter() - start) * 100)
    yield Figure("engine with nothing to do: CPU", "% of a core", percents, most=MOST_PERCENT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print_figures(idle(deliveries=given.deliveries, seconds=given.seconds, repeats=given.repeats))
