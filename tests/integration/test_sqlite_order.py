"""What order costs the SQLite store: those that wait cost nothing, what is not ordered costs nothing more. And what a
look at the backlog costs, however much waits.

Work is counted in steps of SQLite's virtual machine, which no noise of the machine changes.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.store import sqlite_claims, sqlite_journal, sqlite_series
from reconciler.store.protocol import MOST_COUNTED
from reconciler.store.sqlite import open_sqlite
from reconciler.store.sqlite_care import check_sqlite
from reconciler.store.sqlite_values import micros
from tests.builders import NOW, a_delivery, a_message, an_arrival

LEASE = timedelta(minutes=2)
DEVICES = 20


def write(directory: Path, *, messages: int, ordered: bool = True) -> Path:
    """A store with so many deliveries of 20 devices to one endpoint, all due."""

    async def accept() -> None:
        store = await open_sqlite(directory)
        given = [a_message(number, device=f"{number % DEVICES + 1:X}") for number in range(messages)]
        arrivals = [an_arrival(m, revision=0, queued=[a_delivery(m, revision=0, ordered=ordered)]) for m in given]
        await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)
        await store.close()

    asyncio.run(accept())
    return directory / "store.sqlite3"


@contextmanager
def connected(path: Path) -> Iterator[tuple[sqlite3.Connection, Callable[[], int]]]:
    """A connection, and how many steps its statements took since that was asked last."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def taken() -> int:
        nonlocal steps
        found, steps = steps, 0
        return found

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_progress_handler(count, 1)
        yield connection, taken


def claim_all(connection: sqlite3.Connection) -> None:
    now = micros(NOW)
    sqlite_claims.claim(connection, sqlite_claims.Claim("{}", 1_000, 1_000, now, now + 1))


def test_those_that_wait_cost_a_claim_and_the_look_for_the_next_nothing(tmp_path: Path) -> None:
    steps = []
    for name, messages in (("few", 2 * DEVICES), ("many", 500 * DEVICES)):
        with connected(write(tmp_path / name, messages=messages)) as (connection, taken):
            sqlite_journal.next_claim_at(connection)
            claim_all(connection)
            steps.append(taken())
            ended = [((number + 1) << 16, micros(NOW)) for number in range(DEVICES)]
            connection.execute("UPDATE deliveries SET state = 1 WHERE key <= ?", (DEVICES << 16,))
            taken()
            tally = [0] * 5
            sqlite_series.advance(connection, ended, tally)
            assert tally == [DEVICES, 0, 0, 0, -DEVICES]
            steps.append(taken())
    few_claimed, few_advanced, many_claimed, many_advanced = steps
    assert many_claimed <= few_claimed * 1.05
    assert many_advanced <= few_advanced * 1.05


def test_what_is_not_ordered_is_in_no_index_of_order(tmp_path: Path) -> None:
    with connected(write(tmp_path, messages=DEVICES, ordered=False)) as (connection, _):
        in_series = "FROM deliveries INDEXED BY deliveries_in_series WHERE device IS NOT NULL AND state IN (0, 4)"
        assert connection.execute(f"SELECT count(*) {in_series}").fetchone() == (0,)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE deliveries SET state = 1, attempts = 0 WHERE state = 0",
            "20 ordered deliveries that wait with nothing pending",
        ),
        ("UPDATE deliveries SET state = 0", "20 ordered deliveries that are pending with another before them"),
    ],
)
def test_a_series_that_stands_still_or_runs_ahead_is_found(tmp_path: Path, statement: str, says: str) -> None:
    path = write(tmp_path, messages=2 * DEVICES)
    assert check_sqlite(tmp_path).broken == ()
    with connected(path) as (connection, _):
        connection.execute(statement)
    assert [law for law in check_sqlite(tmp_path).broken if law.startswith(says)]


def test_a_look_at_the_backlog_takes_no_longer_where_more_waits_than_is_counted(tmp_path: Path) -> None:
    steps = []
    for messages in (MOST_COUNTED, 2 * MOST_COUNTED):
        store = write(tmp_path / str(messages), messages=messages, ordered=False)
        with connected(store) as (connection, taken):
            (backlog,) = sqlite_journal.backlog(connection)
            assert backlog.pending == MOST_COUNTED
            steps.append(taken())
    enough, more = steps
    assert more <= enough * 1.05
