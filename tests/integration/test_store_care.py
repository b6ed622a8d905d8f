"""`engine check` finds what is wrong with a store; `engine backup` copies one in use, and the copy can be restored."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.model.delivery import Done, GiveUp
from reconciler.model.revision import EMPTY
from reconciler.store.sqlite import SqliteStore, open_sqlite
from reconciler.store.sqlite_care import backup_sqlite, check_sqlite
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
from tests.journeys.processes import engine_process, run

LEASE = timedelta(minutes=2)


async def publish_three(store: SqliteStore) -> None:
    """Revisions 1 to 3: what the builders' messages and deliveries were routed by."""
    revision = EMPTY
    for content in ("one", "two", "three"):
        revision = a_revision([a_definition(content={"body": content})], after=revision)
        await store.publish(revision)


async def one_of_each(store: SqliteStore) -> None:
    """Deliveries in every state, a batch, a downlink, an alarm, and more messages than a segment holds."""
    await publish_three(store)
    messages = [a_message(number, device=f"{number % 5:X}") for number in range(4_200)]
    await store.accept([an_arrival(message) for message in messages[10:]], worker="w", lease=LEASE, now=NOW)
    held = [a_delivery(message, request=a_line()) for message in messages[:6]]
    arrivals = [an_arrival(m, held=[each]) for m, each in zip(messages, held, strict=False)]
    arrivals[0] = replace(arrivals[0], downlink=a_downlink(messages[0]), alarms=(an_alarm(),))
    await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)
    leases = [a_lease(each) for each in held]
    await store.settle([a_settlement(leases[0], Done()), a_settlement(leases[1], GiveUp("refused"))])
    assert await store.join([a_batch(leases[2:5])]) == [True]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def make() -> None:
        store = await open_sqlite(folder)
        await one_of_each(store)
        await store.close()

    folder = tmp_path_factory.mktemp("made")
    asyncio.run(make())
    return folder / "store.sqlite3"


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    shutil.copy(made, tmp_path)
    return tmp_path


async def test_a_sound_store_is_found_sound_also_while_it_is_open(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    await one_of_each(store)
    found = check_sqlite(tmp_path)
    assert (found.damage, found.broken, found.counts) == ((), (), (4_196, 6, 3))
    await store.close()
    assert check_sqlite(tmp_path) == found


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM messages WHERE key = 4192", "1 deliveries whose message is missing"),
        (
            "DELETE FROM messages WHERE key = 7",
            "1 messages that are found by a device and are missing; the first is 7.",
        ),
        ("DELETE FROM names WHERE id = 1", "6 deliveries whose callback or endpoint has no name"),
        ("DELETE FROM revisions WHERE number = 3", "6 deliveries of a revision that was never published"),
        ("DELETE FROM revisions WHERE number = 3", "4,196 messages of a revision that was never published"),
        ("DELETE FROM revisions WHERE number = 2", "1 revisions without the one before them"),
        ("UPDATE deliveries SET state = 9 WHERE attempts = 0", "4 deliveries in a state that there is not"),
        ("UPDATE deliveries SET leased_until = 1 WHERE state = 1", "1 deliveries that are leased though"),
        ("DELETE FROM attempts", "2 deliveries with another number of attempts"),
        ("UPDATE attempts SET delivery = delivery + 9", "2 attempts whose delivery is missing"),
        ("UPDATE deliveries SET batch = NULL WHERE batch = key", "2 lines of a batch that nothing carries"),
        ("UPDATE deliveries SET state = 1 WHERE state = 3", "2 lines of a batch that do not stand where"),
        ("UPDATE deliveries SET batch = NULL WHERE state = 3", "2 deliveries that joined no batch"),
        ("DELETE FROM undelivered", "1 undelivered deliveries that are not listed"),
        ("INSERT INTO undelivered VALUES (x'00', 3)", "1 deliveries that are listed as undelivered and are not"),
        ("UPDATE tally SET deliveries = 7 WHERE state = 1", "1 states that are counted wrongly"),
        ("DELETE FROM segments WHERE message = 7", "1 messages that are not found by their device"),
        ("UPDATE downlinks SET message = 99999", "1 downlink requests whose message is missing"),
        ("UPDATE messages SET content = '{' WHERE key = 7", "1 messages whose content can not be read"),
        ("UPDATE deliveries SET request = '['", "6 deliveries whose request can not be read"),
        ("UPDATE attempts SET outcome = ''", "2 attempts whose outcome can not be read"),
        ("DELETE FROM contents WHERE id = 1", "1 definitions without their content"),
    ],
)
async def test_what_can_not_be_true_is_found(directory: Path, statement: str, says: str) -> None:
    with closing(sqlite3.connect(directory / "store.sqlite3", isolation_level=None)) as connection:
        connection.execute(statement)
    broken = check_sqlite(directory).broken
    assert [law for law in broken if law.startswith(says)], broken


async def test_a_damaged_file_is_found_and_told_with_what_to_do(directory: Path) -> None:
    path = directory / "store.sqlite3"
    sound = path.read_bytes()
    index = sound.index(bytes.fromhex(a_message(1_000, device="0").id))
    for place in (index, 4096 * 40 + 7, 0):
        path.write_bytes(sound[:place] + bytes(byte ^ 0xFF for byte in sound[place : place + 64]) + sound[place + 64 :])
        assert check_sqlite(directory).damage, place
    ended = run("engine", "check", "--data", directory)
    assert (ended.code, ended.out) == (1, "")
    assert "error[store-damaged]" in ended.err
    assert "reconciler explain store-damaged" in ended.err


def test_no_store_is_no_sound_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store in .*: store\.sqlite3 is missing"):
        check_sqlite(tmp_path)
    ended = run("engine", "check", "--data", tmp_path)
    assert ended.code == 4
    assert "there is no store" in ended.err


async def test_a_store_of_an_earlier_form_is_checked_as_a_file(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "store.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 2")
    ended = run("engine", "check", "--data", directory)
    assert ended.code == 0
    assert "warning[store-of-another-form]" in ended.err


async def test_a_backup_under_load_holds_what_was_acknowledged_before_it_began(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "data")
    await publish_three(store)
    acknowledged: list[str] = []
    settled: list[str] = []
    stop = asyncio.Event()

    async def work(task: int) -> None:
        number = 0
        while not stop.is_set():
            message = a_message(number, device=f"{task:X}")
            delivery = a_delivery(message)
            await store.accept([an_arrival(message, held=[delivery])], worker="w", lease=LEASE, now=NOW)
            acknowledged.append(message.id)
            if number % 2:
                await store.settle([a_settlement(a_lease(delivery), Done())])
                settled.append(message.id)
            number += 1

    working = [asyncio.create_task(work(task)) for task in range(8)]
    for copy in range(3):
        await asyncio.sleep(0.3)
        before, done = list(acknowledged), list(settled)
        restored = tmp_path / f"restored-{copy}"
        restored.mkdir()
        await asyncio.to_thread(backup_sqlite, tmp_path / "data", tmp_path / f"backup-{copy}")
        assert len(acknowledged) > len(before) > 0, "nothing was written meanwhile"

        shutil.copy(tmp_path / f"backup-{copy}", restored / "store.sqlite3")
        assert check_sqlite(restored).is_sound
        again = await open_sqlite(restored)
        assert (await again.current()).number == 3
        assert [m for m in before if await again.message(m) is None] == []
        claimed = await again.claim(worker="w", room={}, default_room=10**6, limit=10**6, lease=LEASE, now=NOW)
        assert not {lease.delivery.id.message for lease in claimed} & set(done)
        await again.close()
        assert check_sqlite(restored).is_sound
    stop.set()
    await asyncio.gather(*working)
    await store.close()


async def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "copy"
    with pytest.raises(StoreError, match="can not be written: No such file or directory"):
        backup_sqlite(directory, copy)
    copy.parent.mkdir()
    copy.write_text("mine")
    with pytest.raises(StoreError, match="overwrites nothing"):
        backup_sqlite(directory, copy)
    assert (copy.read_text(), list(copy.parent.iterdir())) == ("mine", [copy])


def test_of_a_running_engine_as_a_person_does_it(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite3"
    with engine_process(data) as engine:
        answer = engine.post({"deviceType": "door", "device": "89C3", "data": "a9", "time": 1_700_000_000})
        checked = run("engine", "check", "--data", data)
        assert (checked.code, checked.err) == (0, "")
        assert checked.out == f"The store in {data} is sound: 1 message, 0 deliveries, 0 revisions.\n"
        made = run("engine", "backup", copy, "--data", data)
        assert made.code == 0
        assert made.out.startswith(f"{copy}: ")
        assert f"Not in the copy: {data}/fingerprint.key and {data}/tokens." in made.err
        token = engine.token
    restored = tmp_path / "restored"
    restored.mkdir()
    for source, name in (
        (copy, "store.sqlite3"),
        (data / "fingerprint.key", "fingerprint.key"),
        (data / "tokens", "tokens"),
    ):
        shutil.copy(source, restored / name)
    with engine_process(restored, token=token) as again:
        assert again.ask("GET", f"/v1/messages/{answer['ids'][0]}")["message"]["device"] == "89C3"
