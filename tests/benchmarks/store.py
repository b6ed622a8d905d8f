"""The embedded store under load: messages a second, CPU for each, and bytes on disk for each.

    python tests/benchmarks/store.py [--messages 100000] [--concurrency 64] [--directory DIR]

Every message is accepted with one delivery of a 300-byte request, then settled as delivered; both are on disk
(`synchronous=FULL`) before the next step. `one by one`: every task accepts and settles single messages. `batches of
50`: every task accepts 50 messages in one call and settles them in another. Beside them, in the same run and because
only ratios of one run compare, what SQLite does with bare rows of the same size: one table, one statement for 64 rows,
one commit, no event loop.
"""

import argparse
import asyncio
import gc
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop

from reconciler.codec.delivery import dump_request
from reconciler.codec.message import dump_message
from reconciler.model.delivery import Accepted, Attempt, Delivery, Done, Lease, Settlement
from reconciler.store.protocol import FIRST_TOKEN, Arrival
from reconciler.store.sqlite import SqliteStore, open_sqlite
from tests.builders import a_delivery, a_message, a_request, an_arrival

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=2)
DEVICES = 10_000
MESSAGES_PER_SECOND_OF_EVENT_TIME = 10_000
REQUEST = a_request(headers=(("Content-Type", "application/json"),), body="x" * 181)
OUTCOME = Accepted(200, b'{"ok":true}')


def arrivals(count: int) -> Sequence[Arrival]:
    """Messages of many devices, whose event times advance as they would at 10,000 a second."""
    made = []
    for number in range(count):
        message = a_message(
            number,
            device=f"{number * 7_919 % DEVICES + 0x100000:X}",
            time=1_700_000_000 + number // MESSAGES_PER_SECOND_OF_EVENT_TIME,
            metadata={"station": "0AF0", "rssi": -121.5, "snr": 12.25, "ack": False},
        )
        made.append(an_arrival(message, held=[a_delivery(message, request=REQUEST, due_at=NOW)]))
    return made


def settlement(delivery: Delivery) -> Settlement:
    attempt = Attempt(1, NOW, timedelta(microseconds=3_210), OUTCOME)
    return Settlement(Lease(delivery, FIRST_TOKEN, NOW + LEASE), attempt, Done())


async def drive(store: SqliteStore, given: Sequence[Arrival], *, concurrency: int, batch: int) -> None:
    """Accept and settle everything, so many calls at once."""
    batches = iter([given[start : start + batch] for start in range(0, len(given), batch)])

    async def work() -> None:
        for taken in batches:
            await store.accept(taken, worker="benchmark", lease=LEASE, now=NOW)
            await store.settle([settlement(arrival.held[0]) for arrival in taken])

    await asyncio.gather(*(work() for _ in range(concurrency)))


def through_the_store(directory: Path, given: Sequence[Arrival], *, concurrency: int, batch: int) -> "Figures":
    async def run() -> tuple[float, float]:
        store = await open_sqlite(directory)
        started, cpu = time.perf_counter(), time.process_time()
        await drive(store, given, concurrency=concurrency, batch=batch)
        spent = time.perf_counter() - started, time.process_time() - cpu
        await store.close()
        return spent

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return Figures.of(runner.run(run()), directory, len(given))


def bare_rows(directory: Path, given: Sequence[Arrival], *, concurrency: int) -> "Figures":
    """The same bytes into one table, in groups as large as the concurrency."""
    rows = [(bytes.fromhex(a.message.id), dump_message(a.message), dump_request(a.held[0].request)) for a in given]
    statement = f"INSERT INTO rows VALUES {','.join(['(?, ?, ?)'] * concurrency)}"
    with closing(sqlite3.connect(directory / "bare.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (id, message, request)")
        started, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(rows) - concurrency + 1, concurrency):
            connection.execute("BEGIN")
            connection.execute(statement, [value for row in rows[start : start + concurrency] for value in row])
            connection.execute("COMMIT")
        spent = time.perf_counter() - started, time.process_time() - cpu
    return Figures.of(spent, directory, len(given))


class Figures(NamedTuple):
    """What one message took."""

    per_second: float
    cpu_us: float
    size: float

    @classmethod
    def of(cls, spent: tuple[float, float], directory: Path, count: int) -> "Figures":
        elapsed, cpu = spent
        return cls(count / elapsed, cpu / count * 1e6, sum(f.stat().st_size for f in directory.iterdir()) / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--directory", type=Path, help="where the files go; it should be on the disk in question")
    options = parser.parse_args()
    given, concurrency = arrivals(options.messages), options.concurrency
    gc.collect()
    gc.freeze()  # as the engine does
    runs: dict[str, Callable[[Path], Figures]] = {
        f"bare rows, groups of {concurrency}": partial(bare_rows, given=given, concurrency=concurrency),
        "one by one": partial(through_the_store, given=given, concurrency=concurrency, batch=1),
        "batches of 50": partial(through_the_store, given=given, concurrency=concurrency, batch=50),
    }
    print(f"request: {len(dump_request(REQUEST))} bytes, message: {len(dump_message(given[0].message))} bytes")
    print(f"{'':28}{'messages/s':>12}{'us CPU':>10}{'bytes':>10}")
    for name, run in runs.items():
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            figures = run(Path(directory))
        print(f"{name:28}{figures.per_second:12,.0f}{figures.cpu_us:10.1f}{figures.size:10,.0f}")


if __name__ == "__main__":
    main()
