"""The SQLite store where it meets the machine: files, locks, threads, a full disk. What it answers is conformance."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import StoreBusy, StoreError, StoreFull
from reconciler.model.alarm import AlarmKind
from reconciler.model.delivery import Delivery, Done, GiveUp, Lease, State
from reconciler.model.downlink import DownlinkState, InfoCode
from reconciler.model.message import MessageType
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY
from reconciler.store.protocol import DeliveryFilter, Heard
from reconciler.store.sqlite import SqliteStore, open_sqlite
from reconciler.store.sqlite_file import SqliteFile
from tests.builders import (
    NOW,
    a_batch,
    a_definition,
    a_delivery,
    a_downlink,
    a_lease,
    a_line,
    a_message,
    a_revision,
    a_settlement,
    an_alarm,
    an_arrival,
)

LEASE = timedelta(minutes=2)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteFile]:
    file = await SqliteFile.open(tmp_path)
    yield file
    await file.close()


@pytest.fixture
async def store(file: SqliteFile) -> SqliteStore:
    return await SqliteStore.on(file)


async def hold(store: SqliteStore, *numbers: int) -> list[Lease]:
    """Accept messages of these numbers, each with one held delivery."""
    deliveries = [a_delivery(a_message(number)) for number in numbers]
    arrivals = [an_arrival(a_message(n), held=[delivery]) for n, delivery in zip(numbers, deliveries, strict=True)]
    await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)
    return [a_lease(delivery, expires_at=NOW + LEASE) for delivery in deliveries]


async def claim(store: SqliteStore, *, limit: int = 100) -> list[Delivery]:
    leases = await store.claim(worker="w", room={}, default_room=100, limit=limit, lease=LEASE, now=NOW)
    return [lease.delivery for lease in leases]


def files_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# Opening and closing


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    revision = a_revision([a_definition()])
    await store.publish(revision)
    done, given_up, pending = await hold(store, 1, 2, 3)
    await store.settle([a_settlement(done, Done()), a_settlement(given_up, GiveUp("refused"))])
    before = (
        await store.deliveries(DeliveryFilter(), limit=10),
        await store.counts(),
        await store.messages_of("1C178", limit=9),
    )
    await store.close()

    store = await open_sqlite(tmp_path)
    after = (
        await store.deliveries(DeliveryFilter(), limit=10),
        await store.counts(),
        await store.messages_of("1C178", limit=9),
    )
    assert after == before
    assert await store.current() == revision
    assert await claim(store) == [pending.delivery]
    await store.close()


async def test_every_revision_is_there_after_reopening_in_whatever_order_they_are_asked_for(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    one, other = a_definition(content={"body": "one"}), a_definition(content={"body": "other"})
    tracker = a_definition(Key("tracker"), {})
    chain = [EMPTY]
    for definitions, owner in (([one], "a"), ([one, tracker], "b"), ([other], "b"), ([], "b"), ([one], "c")):
        chain.append(replace(a_revision(definitions, after=chain[-1], owner=owner), owner=owner))
        await store.publish(chain[-1])
        assert [await store.revision(revision.number) for revision in chain] == chain
    await store.close()

    store = await open_sqlite(tmp_path)
    assert [await store.revision(revision.number) for revision in chain] == chain
    assert await store.current() == chain[-1]
    assert [await store.revision(revision.number) for revision in chain] == chain
    await store.close()


async def test_leases_of_the_process_before_are_void(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    (lease,) = await hold(store, 1)
    await store.close()

    store = await open_sqlite(tmp_path)
    assert await store.settle([a_settlement(lease, Done())]) == [False]
    assert await claim(store) == [lease.delivery]
    await store.close()


async def test_what_was_promised_is_there_after_reopening(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    messages = [a_message(number) for number in range(3)]
    lines = [a_delivery(message, request=a_line()) for message in messages]
    arrivals = [an_arrival(m, held=[line]) for m, line in zip(messages, lines, strict=True)]
    arrivals[0] = replace(arrivals[0], alarms=(an_alarm(),), downlink=a_downlink(messages[0]))
    await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)
    batch = a_batch([a_lease(line) for line in lines])
    assert await store.join([batch]) == [True]
    await store.clock_stepped(timedelta(seconds=-3))
    await store.close()

    store = await open_sqlite(tmp_path)
    assert await store.settle([a_settlement(batch.lines[0], Done())]) == [False]
    (carrier,) = await claim(store)
    assert (carrier.request, carrier.batch) == (batch.request, lines[0].id)
    assert (await store.counts())[State.JOINED] == 2
    assert await store.alarms_due(now=NOW + LEASE, limit=9) == [an_alarm(due_at=NOW + timedelta(seconds=-3))]
    assert await store.last_heard("1C178") == Heard(messages[2], NOW + timedelta(seconds=-3))
    assert await store.expire_downlinks(now=NOW + LEASE) == 1
    await store.close()


async def test_names_go_on_where_the_process_before_stopped(tmp_path: Path) -> None:
    deliveries = [
        a_delivery(a_message(number), callback=Key("tracker", f"callback-{number}"), host=f"h{number % 2}.example.com")
        for number in range(3)
    ]
    for number, delivery in enumerate(deliveries):
        store = await open_sqlite(tmp_path)
        await store.accept([an_arrival(a_message(number), queued=[delivery])], worker="w", lease=LEASE, now=NOW)
        await store.close()
    store = await open_sqlite(tmp_path)
    assert await claim(store) == deliveries
    await store.close()


async def test_a_second_owner_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first = await open_sqlite(tmp_path)
    with pytest.raises(StoreBusy, match=r"in use by another engine \(process \d+\)"):
        await open_sqlite(tmp_path)
    await hold(first, 1)
    await first.close()
    await (await open_sqlite(tmp_path)).close()


async def test_the_directory_is_made(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "var" / "data")
    await store.close()
    assert (tmp_path / "var" / "data" / "store.sqlite3").exists()


async def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(StoreError, match=r"data/store\.sqlite3 cannot be used"):
        await open_sqlite(tmp_path / "data")


async def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match=r"store\.sqlite3 cannot be used: file is not a database"):
        await open_sqlite(tmp_path)


async def test_a_store_of_a_later_form_is_refused_and_left_alone(tmp_path: Path) -> None:
    await (await open_sqlite(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 9999")
    for _ in range(2):
        with pytest.raises(StoreError, match="written by a later version of reconciler"):
            await open_sqlite(tmp_path)


async def test_a_store_that_cannot_be_opened_lets_go_of_its_file(tmp_path: Path) -> None:
    await (await open_sqlite(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as connection:
        connection.execute("ALTER TABLE names RENAME TO elsewhere")
    for _ in range(2):
        with pytest.raises(StoreError, match="no such table: names"):
            await open_sqlite(tmp_path)


async def test_closing_finishes_what_was_asked(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    asked = [asyncio.create_task(hold(store, number)) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*asked)
    store = await open_sqlite(tmp_path)
    assert len(await claim(store)) == 20
    await store.close()


async def test_after_closing_every_verb_says_so_and_only_the_file_is_left(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    await hold(store, 1)
    await store.close()
    await store.close()
    asked: list[Callable[[], object]] = [
        lambda: hold(store, 2),
        store.counts,
        lambda: store.publish(a_revision()),
        store.current,
    ]
    for ask in asked:
        with pytest.raises(StoreError, match="closed before"):
            await ask()  # type: ignore[misc]
    assert files_in(tmp_path) == {"store.sqlite3", "store.lock"}


# Durability


@pytest.mark.parametrize(("pragma", "value"), [("synchronous", 2), ("journal_mode", "wal")])
async def test_a_commit_returns_when_the_log_is_on_disk(file: SqliteFile, pragma: str, value: object) -> None:
    assert await file.write(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchone()) == (value,)


async def test_a_full_disk_fails_what_was_asked_and_nothing_else(file: SqliteFile, store: SqliteStore) -> None:
    def limit(pages: int) -> asyncio.Future[object]:
        return file.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    kept = await hold(store, *range(10))
    await limit(1)  # no less than it has
    with pytest.raises(StoreFull, match="no space is left"):
        await hold(store, *range(10, 500))
    with pytest.raises(StoreFull):
        await store.publish(a_revision([a_definition(content={"body": "x" * 100_000})]))
    assert await store.counts() == dict.fromkeys(State, 0) | {State.PENDING: 10}
    assert await store.message(a_message(10).id) is None

    await limit(1_000_000)
    again = await hold(store, *range(10, 500))
    assert await store.settle([a_settlement(lease, Done()) for lease in (*kept, *again)]) == [True] * 500
    assert [record.delivery.endpoint for record in await store.deliveries(DeliveryFilter(), limit=1_000)] == [
        kept[0].delivery.endpoint
    ] * 500


async def test_a_lock_of_another_process_is_waited_for_and_what_it_fails_is_tried_afresh(
    tmp_path: Path, file: SqliteFile, store: SqliteStore
) -> None:
    await file.write(lambda connection: connection.execute("PRAGMA busy_timeout = 60000").fetchone())
    with closing(sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        accepting = asyncio.create_task(hold(store, 1))
        assert (await store.counts())[State.PENDING] == 0  # who reads does not wait
        assert not accepting.done()
        other.execute("ROLLBACK")
        (lease,) = await accepting

        await file.write(lambda connection: connection.execute("PRAGMA busy_timeout = 50").fetchone())
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StoreError, match="database is locked"):
                await hold(store, 2)
            with pytest.raises(StoreError, match="database is locked"):
                await store.settle([a_settlement(lease, Done())])
        other.execute("ROLLBACK")
    await hold(store, 2)
    assert await store.settle([a_settlement(lease, Done())]) == [True]
    assert (await store.counts())[State.PENDING] == 1


async def test_a_name_that_was_not_written_is_written_with_the_next_group(file: SqliteFile, store: SqliteStore) -> None:
    delivery = a_delivery(callback=Key("tracker", "new"), host="new.example.com")

    async def accept() -> None:
        await store.accept([an_arrival(queued=[delivery])], worker="w", lease=LEASE, now=NOW)

    await file.write(lambda connection: connection.execute("ALTER TABLE messages RENAME TO elsewhere").fetchone())
    with pytest.raises(StoreError, match="no such table"):
        await accept()
    await file.write(lambda connection: connection.execute("ALTER TABLE elsewhere RENAME TO messages").fetchone())
    await accept()
    assert await claim(store) == [delivery]


async def test_a_mistake_of_one_caller_is_not_the_others(store: SqliteStore) -> None:
    wrong = a_delivery(a_message(1), 65_536)
    answers = await asyncio.gather(
        hold(store, 2),
        store.accept([an_arrival(a_message(1), held=[wrong])], worker="w", lease=LEASE, now=NOW),
        hold(store, 3),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [list, ValueError, list]
    with pytest.raises(ValueError, match="one line at least"):
        await store.join([a_batch([])])
    assert (await store.counts())[State.PENDING] == 2


async def test_a_caller_that_is_cancelled_does_not_take_its_messages_back(store: SqliteStore) -> None:
    asked = asyncio.create_task(hold(store, 1, 2))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    await hold(store, 3)
    assert (await store.counts())[State.PENDING] == 3


# Threads


async def test_reads_do_not_wait_for_writes(file: SqliteFile, store: SqliteStore) -> None:
    await hold(store, 1)
    go_on = threading.Event()
    slow = file.write(lambda _: go_on.wait(timeout=60))
    accepting = asyncio.create_task(hold(store, 2))
    assert (await store.counts())[State.PENDING] == 1
    assert len(await store.deliveries(DeliveryFilter(), limit=10)) == 1
    assert not accepting.done()
    go_on.set()
    assert await slow
    await accepting


async def test_the_price_of_finding_work_does_not_grow_with_what_is_pending(tmp_path: Path) -> None:
    async def price(pending: int) -> list[int]:
        """Steps of SQLite's machine, in tens, for a claim, for the next time to look, and for voiding leases."""
        file = await SqliteFile.open(tmp_path / str(pending))
        store = await SqliteStore.on(file)
        messages = [a_message(number) for number in range(pending)]
        dead = [an_arrival(m, queued=[a_delivery(m, host="dead.example.com")]) for m in messages]
        await store.accept(dead, worker="w", lease=LEASE, now=NOW)
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        for direction in (file.write, file.read):
            await direction(lambda connection: connection.set_progress_handler(count, 10))
        prices = []
        for ask in (lambda: claim(store, limit=5), store.next_claim_at):
            steps = 0
            await ask()
            prices.append(steps)
        steps = 0
        await SqliteStore.on(file)
        await store.close()
        return [*prices, steps]

    few, many = await price(100), await price(5_000)
    assert all(most <= 2 * least + 5 for least, most in zip(few, many, strict=True)), (few, many)


async def test_the_price_of_an_alarm_or_request_does_not_grow_with_how_many_there_are(tmp_path: Path) -> None:
    async def price(count: int) -> dict[str, int]:
        """Steps of SQLite's machine, in tens, for everything that is asked while so many stand."""
        file = await SqliteFile.open(tmp_path / str(count))
        store = await SqliteStore.on(file)
        messages = [a_message(number) for number in range(count)]
        hour = timedelta(hours=1)
        # One device that the network never reports on, and as many that wait to be heard.
        given = [
            an_arrival(
                message,
                alarms=[an_alarm(f"{number:X}"), an_alarm(message.event, kind=AlarmKind.GATHERED)],
                downlink=a_downlink(message, state=DownlinkState.SERVED, asked_at=NOW - number * hour),
            )
            for number, message in enumerate(messages)
        ]
        others = [a_message(number, device=f"{number:X}") for number in range(count)]
        given += [an_arrival(other, downlink=a_downlink(other, state=DownlinkState.READY)) for other in others]
        await store.accept(given, worker="w", lease=LEASE, now=NOW)
        asking, answer = a_message(count + 1), a_message(1, kind=MessageType.ACKNOWLEDGE)
        arrivals = {
            "ask": an_arrival(asking, downlink=a_downlink(asking, asked_at=NOW + hour)),
            "report": an_arrival(answer, reported=InfoCode.ACKED),
            "set": an_arrival(a_message(count + 2), alarms=[an_alarm("0"), an_alarm("FFFF")]),
            "end": an_arrival(a_message(count + 3), ends=an_alarm("1")),
        }
        ask: dict[str, Callable[[], Awaitable[object]]] = {
            "next_alarm_at": store.next_alarm_at,
            "alarms_due": lambda: store.alarms_due(now=NOW, limit=5),
            "move_alarms": lambda: store.move_alarms([an_alarm("2", due_at=NOW + hour)]),
            "end_alarms": lambda: store.end_alarms([an_alarm("3")]),
            "serve_downlinks": lambda: store.serve_downlinks(limit=5, now=NOW),
            "expire_downlinks": lambda: store.expire_downlinks(now=NOW),
            "downlink": lambda: store.downlink(messages[0].id),
            **{
                name: lambda arrival=arrival: store.accept([arrival], worker="w", lease=LEASE, now=NOW)  # type: ignore[misc]
                for name, arrival in arrivals.items()
            },
        }
        steps = 0

        def tick() -> None:
            nonlocal steps
            steps += 1

        for direction in (file.write, file.read):
            await direction(lambda connection: connection.set_progress_handler(tick, 10))
        prices = {}
        for name, question in ask.items():
            steps = 0
            await question()
            prices[name] = steps
        assert (await store.downlink(asking.id)) == a_downlink(asking, asked_at=NOW + hour)
        await store.close()
        return prices

    few, many = await price(100), await price(4_000)
    assert {name: (few[name], many[name]) for name in few if many[name] > 2 * few[name] + 10} == {}


# Letting go


async def fill(store: SqliteStore, count: int) -> None:
    """Keep messages that are delivered, and one behind them."""
    for start in range(0, count, 500):
        leases = await hold(store, *range(start, start + 500))
        await store.settle([a_settlement(lease, Done()) for lease in leases])
    await hold(store, count)


async def prune(store: SqliteStore, *, limit: int = 200) -> int:
    removed, after = 0, 0
    while True:
        step = await store.prune(before=NOW + LEASE, after=after, limit=limit)
        removed += step.removed
        if step.after is None:
            return removed
        after = step.after


async def test_what_is_removed_is_returned_to_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    store = await open_sqlite(tmp_path)
    await fill(store, 5_000)
    await store.close()
    full = path.stat().st_size

    store = await open_sqlite(tmp_path)
    before = await store.size()
    assert await prune(store) == 5_000
    assert await store.size() < before / 10
    steps = 1
    while await store.give_back():
        steps += 1
    assert steps > 5  # a few pages at a time
    assert (await store.counts())[State.PENDING] == 1
    await store.close()
    assert path.stat().st_size < full / 10


async def test_a_file_from_before_is_rewritten_once_so_that_it_can_shrink(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    store = await open_sqlite(tmp_path)
    await fill(store, 1_000)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:  # as it was made before
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA auto_vacuum = NONE", "VACUUM"):
            connection.execute(statement)
    full = path.stat().st_size

    store = await open_sqlite(tmp_path)
    assert (await store.counts())[State.DELIVERED] == 1_000
    assert await prune(store) == 1_000
    while await store.give_back():
        pass
    await store.close()
    assert path.stat().st_size < full / 3


async def test_what_was_replayed_while_it_was_looked_at_stays(file: SqliteFile, store: SqliteStore) -> None:
    await fill(store, 500)
    looked, go_on = threading.Event(), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        looked.set()
        go_on.wait(timeout=60)

    writing = file.write(wait)  # whatever is written next waits behind it
    await asyncio.to_thread(looked.wait, 60)
    replaying = asyncio.create_task(store.replay([a_delivery(a_message(7)).id], now=NOW))
    for _ in range(5):  # group commit gathers for two turns: the replay stands in the queue before what is pruned
        await asyncio.sleep(0)
    pruning = asyncio.create_task(prune(store))
    await asyncio.sleep(0.05)
    go_on.set()
    await writing
    assert await replaying == 1
    assert await pruning == 499
    assert {delivery.id.message for delivery in await claim(store)} == {a_message(7).id}


async def test_the_price_of_a_step_does_not_grow_with_what_is_kept(tmp_path: Path) -> None:
    async def price(count: int) -> int:
        """Steps of SQLite's machine, in tens, for a step of pruning, and one of returning space."""
        file = await SqliteFile.open(tmp_path / str(count))
        store = await SqliteStore.on(file)
        await fill(store, count)
        await store.accept([an_arrival(a_message(9_999), alarms=[an_alarm()])], worker="w", lease=LEASE, now=NOW)
        steps = 0

        def tick() -> None:
            nonlocal steps
            steps += 1

        for direction in (file.write, file.read):
            await direction(lambda connection: connection.set_progress_handler(tick, 10))
        assert (await store.prune(before=NOW + LEASE, after=0, limit=100)).removed == 100
        await store.give_back()
        await store.close()
        return steps

    few, many = await price(4_500), await price(8_500)  # beyond a segment each
    assert many < 1.5 * few, (few, many)
