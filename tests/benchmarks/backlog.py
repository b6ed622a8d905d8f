"""An engine that starts on a million pending deliveries: how soon the first is sent, and how much memory it takes.

    python -m tests.benchmarks.backlog [--pending 1000000] [--directory DIR]

The store is written once, by SQL, one message for each delivery, a hundred devices, all due and to one endpoint, which
answers at once. `first delivery` is from the start of the process to the request's arrival, imports included; `peak` is
the most memory the process had (VmHWM) after it delivered for ten seconds.
"""

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.store.sqlite import open_sqlite
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import peak_mb
from tests.builders import NOW, a_delivery, a_message, a_request, an_arrival
from tests.journeys.processes import engine_process, receiving

__all__ = ["backlog"]

MOST_SECONDS = 2.0
MOST_MB = 250.0


async def first_rows(directory: Path, port: int) -> None:
    """One pending delivery, as a store writes it."""
    request = replace(a_request(headers=(), body="x" * 200), scheme="http", host="127.0.0.1", port=port)
    message = a_message(0)
    store = await open_sqlite(directory)
    arrival = an_arrival(message, revision=0, queued=[a_delivery(message, revision=0, request=request)])
    await store.accept([arrival], worker="benchmark", lease=timedelta(minutes=2), now=NOW)
    await store.close()


def multiply(path: Path, count: int) -> None:
    """Write it again, with another id, until there are so many."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        (received, content) = connection.execute("SELECT received_at, content FROM messages").fetchone()

        def messages() -> Iterator[tuple[object, ...]]:
            for key in range(2, count + 1):
                event = (1_700_000_000 + key // 1_000).to_bytes(4, "big")
                yield key, event + os.urandom(12), key % 100 + 1, received, 0, content, 0

        connection.execute("BEGIN")
        connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", messages())
        connection.execute(
            "INSERT INTO deliveries SELECT messages.key << 16, callback, endpoint, 0, request, warnings, due_at,"
            " 0, 0, 0, 0, NULL, 0, NULL, NULL FROM deliveries CROSS JOIN messages WHERE messages.key > 1"
        )
        connection.execute(
            "INSERT INTO segments SELECT key >> 12, device, key FROM messages WHERE key < ?", (count >> 12 << 12,)
        )
        connection.execute("UPDATE tally SET deliveries = ? WHERE state = 0", (count,))
        connection.execute("COMMIT")


def backlog(*, pending: int = 1_000_000, seconds: int = 10, within: Path | None = None) -> Iterator[Figure]:
    """A start on so many, and so long after it; the store is made in a folder of `within`."""
    with tempfile.TemporaryDirectory(dir=within) as folder, receiving() as receiver:
        directory = Path(folder)
        asyncio.run(first_rows(directory, urlsplit(receiver.url).port or 0))
        multiply(directory / "store.sqlite3", pending)
        size = (directory / "store.sqlite3").stat().st_size
        started = time.perf_counter()
        with engine_process(directory, "--allow-egress", "private", "--keep-days", "forever") as engine:
            serves = time.perf_counter() - started
            receiver.requests.get(timeout=120)
            first = time.perf_counter() - started
            time.sleep(seconds)
            delivered = receiver.requests.qsize()
            peak = peak_mb(engine.process.pid)
    start = f"start on {pending:,} pending"
    yield Figure(f"{start}: store on disk", "MB", [size / 1e6])
    yield Figure(f"{start}: serves after", "s", [serves])
    yield Figure(f"{start}: first delivery after", "s", [first], most=MOST_SECONDS)
    yield Figure(f"{start}: peak memory", "MB", [peak], most=MOST_MB)
    yield Figure(f"{start}: to a receiver of threads", "deliveries/s", [delivered / seconds])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    print_figures(backlog(pending=given.pending, within=given.directory))
