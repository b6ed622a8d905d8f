"""Bytes on disk for each delivered uplink with its attempt, once the engine has ended.

    python -m tests.benchmarks.disk [--messages 20000]

Messages go through a whole engine to the sink. What is counted is all of its store then: the indexes, the revision,
and what a file takes that holds nothing.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.engine_process import applied_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.sender import send_all
from tests.benchmarks.sink import sink

__all__ = ["disk"]

MOST_BYTES = 700.0


def disk(*, messages: int = 20_000) -> Iterator[Figure]:
    """What one takes."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        with sink() as to, applied_engine(to.port, data=data) as engine:
            send_all(engine.port, messages, 50, token=engine.token)
            engine.wait_for(messages)
        size = sum(file.stat().st_size for file in data.glob("store.sqlite3*"))
    yield Figure("a delivered uplink with its attempt, on disk", "bytes", [size / messages], most=MOST_BYTES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    print_figures(disk(messages=parser.parse_args().messages))
