"""The embedded store under load: messages a second, CPU for each, and bytes on disk for each.

    python -m tests.benchmarks.store [--messages 100000] [--concurrency 64] [--directory DIR]

Every message is accepted with one delivery of a 300-byte request, then settled as delivered; both are on disk
(`synchronous=FULL`) before the next step. `one by one`: every task accepts and settles single messages. `batches of
50`: every task accepts 50 messages in one call and settles them in another. What some messages need more, one by one:
`supervised` sets an alarm that stands already, `gathered` sets one and ends it with a second message, `asking` is a
downlink request that is answered and served; `joined by 50` is lines that become one request. Beside them, in the same
run and because only ratios of one run compare, what SQLite does with bare rows of the same size: one table, one
statement for 64 rows, one commit, no event loop.
"""

import argparse
import asyncio
import gc
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop

from reconciler.codec.delivery import dump_request
from reconciler.codec.message import dump_message
from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.delivery import Accepted, Attempt, Batch, Delivery, Done, Lease, Settlement
from reconciler.model.downlink import Replies, Send
from reconciler.model.message import MessageType
from reconciler.store.protocol import FIRST_TOKEN, Arrival
from reconciler.store.sqlite import SqliteStore, open_sqlite
from tests.benchmarks.figures import Figure, print_figures
from tests.builders import a_delivery, a_downlink, a_line, a_message, a_request, an_alarm, an_arrival

__all__ = ["store"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=2)
DEVICES = 10_000
MESSAGES_PER_SECOND_OF_EVENT_TIME = 10_000
REQUEST = a_request(headers=(("Content-Type", "application/json"),), body="x" * 181)
LINE = a_line(line="x" * 120)
JOINED = a_request(target=f"/batch?lines={'x' * 50 * 120}", headers=(), body="x" * 50 * 120)
OUTCOME = Accepted(200, b'{"ok":true}')
REPLIES = Replies({}, Send(bytes(8)))
ADVANCED = MessageType.DATA_ADVANCED


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


def lease(delivery: Delivery) -> Lease:
    return Lease(delivery, FIRST_TOKEN, NOW + LEASE)


def settlement(delivery: Delivery, replies: Replies | None = None) -> Settlement:
    attempt = Attempt(1, NOW, timedelta(microseconds=3_210), OUTCOME)
    return Settlement(lease(delivery), attempt, Done(), replies)


async def accept(store: SqliteStore, arrivals: Sequence[Arrival]) -> None:
    await store.accept(arrivals, worker="benchmark", lease=LEASE, now=NOW)


async def plain(store: SqliteStore, taken: Sequence[Arrival]) -> None:
    await accept(store, taken)
    await store.settle([settlement(arrival.held[0]) for arrival in taken])


async def supervised(store: SqliteStore, taken: Sequence[Arrival]) -> None:
    await plain(store, [replace(arrival, alarms=(alarm_of(arrival, AlarmKind.SILENCE),)) for arrival in taken])


async def gathered(store: SqliteStore, taken: Sequence[Arrival]) -> None:
    alarms = [alarm_of(arrival, AlarmKind.GATHERED) for arrival in taken]
    await plain(store, [replace(arrival, alarms=(alarm,)) for arrival, alarm in zip(taken, alarms, strict=True)])
    made = [a_message(a.message.sequence_number or 0, device=a.message.device, kind=ADVANCED) for a in taken]
    await accept(store, [an_arrival(message, ends=alarm) for message, alarm in zip(made, alarms, strict=True)])


async def asking(store: SqliteStore, taken: Sequence[Arrival]) -> None:
    # A device's next request comes when it no longer listens for the one before.
    at = [NOW + (arrival.message.sequence_number or 0) // DEVICES * timedelta(minutes=1) for arrival in taken]
    asking = [replace(a, downlink=a_downlink(a.message, asked_at=when)) for a, when in zip(taken, at, strict=True)]
    await accept(store, asking)
    await store.settle([settlement(arrival.held[0], REPLIES) for arrival in taken])
    await store.serve_downlinks(limit=len(taken), now=NOW)


async def joined(store: SqliteStore, taken: Sequence[Arrival]) -> None:
    lines = [replace(arrival.held[0], request=LINE) for arrival in taken]
    await accept(store, [replace(arrival, held=(line,)) for arrival, line in zip(taken, lines, strict=True)])
    await store.join([Batch(tuple(map(lease, lines)), JOINED, asks=False)])
    await store.settle([settlement(lines[0])])


def alarm_of(arrival: Arrival, kind: AlarmKind) -> Alarm:
    message = arrival.message
    return an_alarm(message.event if kind is AlarmKind.GATHERED else message.device, kind=kind, device=message.device)


Steps = Callable[[SqliteStore, Sequence[Arrival]], Awaitable[None]]


async def drive(store: SqliteStore, given: Sequence[Arrival], *, concurrency: int, batch: int, steps: Steps) -> None:
    """Do the steps for everything, so many calls at once."""
    batches = iter([given[start : start + batch] for start in range(0, len(given), batch)])

    async def work() -> None:
        for taken in batches:
            await steps(store, taken)

    await asyncio.gather(*(work() for _ in range(concurrency)))


def through_the_store(
    directory: Path, given: Sequence[Arrival], *, concurrency: int, batch: int, steps: Steps = plain
) -> "Taken":
    async def run() -> tuple[float, float]:
        store = await open_sqlite(directory)
        started, cpu = time.perf_counter(), time.process_time()
        await drive(store, given, concurrency=concurrency, batch=batch, steps=steps)
        spent = time.perf_counter() - started, time.process_time() - cpu
        await store.close()
        return spent

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return Taken.of(runner.run(run()), directory, len(given))


def bare_rows(directory: Path, given: Sequence[Arrival], *, concurrency: int) -> "Taken":
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
    return Taken.of(spent, directory, len(given))


class Taken(NamedTuple):
    """What one message took."""

    per_second: float
    cpu_us: float
    size: float

    @classmethod
    def of(cls, spent: tuple[float, float], directory: Path, count: int) -> "Taken":
        elapsed, cpu = spent
        return cls(count / elapsed, cpu / count * 1e6, sum(f.stat().st_size for f in directory.iterdir()) / count)


def store(*, messages: int = 100_000, concurrency: int = 64, within: Path | None = None) -> Iterator[Figure]:
    """The store alone; its files are made in a folder of `within`."""
    given = arrivals(messages)
    gc.collect()
    gc.freeze()  # as the engine does
    through = partial(through_the_store, given=given, concurrency=concurrency)
    runs: dict[str, Callable[[Path], Taken]] = {
        f"bare rows, groups of {concurrency}": partial(bare_rows, given=given, concurrency=concurrency),
        "one by one": partial(through, batch=1),
        "batches of 50": partial(through, batch=50),
        **{
            f"one by one, {steps.__name__}": partial(through, batch=1, steps=steps)
            for steps in (supervised, gathered, asking)
        },
        "joined by 50": partial(through, batch=50, steps=joined),
    }
    for name, run in runs.items():
        with tempfile.TemporaryDirectory(dir=within) as directory:
            taken = run(Path(directory))
        yield Figure(f"store, {name}", "messages/s", [taken.per_second])
        yield Figure(f"store, {name}: CPU", "us/message", [taken.cpu_us])
        yield Figure(f"store, {name}: on disk", "bytes/message", [taken.size])
    gc.unfreeze()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--directory", type=Path, help="where the files go; it should be on the disk in question")
    options = parser.parse_args()
    print_figures(store(messages=options.messages, concurrency=options.concurrency, within=options.directory))
