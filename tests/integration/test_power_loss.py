"""What was acknowledged survives the loss of power at any moment, whatever of the rest the disk had written.

A store is written to, with checkpoints, pruning and returned space all the time, and all that SQLite does to its files
is recorded (`tests.power`). From every moment that is tried an image of the disk is made, and in it everything
acknowledged before that moment has to be there and `engine check` has to find nothing. In CI some hundred moments are
tried; `RECONCILER_POWER_FAILURES=20000` tries so many.
"""

import asyncio
import os
import random
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from reconciler.model.delivery import Done, GiveUp, State
from reconciler.model.revision import EMPTY
from reconciler.store.protocol import DeliveryFilter
from reconciler.store.sqlite import SqliteStore, open_sqlite
from reconciler.store.sqlite_care import check_sqlite
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
    an_arrival,
)
from tests.power import Note, Sync, Truncate, Write, image, recording

FAILURES = int(os.environ.get("RECONCILER_POWER_FAILURES", "200"))
LEASE = timedelta(minutes=2)
DAY = timedelta(days=1)
TASKS = 4
STEPS = 60

Acknowledged = tuple[int, str, str]
"""Behind how many notes, what, and of which message (or revision)."""


async def live(directory: Path, notes: Sequence[Note]) -> list[Acknowledged]:
    """Everything that a store does, several at once; in the order in which it was acknowledged."""
    acknowledged: list[Acknowledged] = []
    file = await SqliteFile.open(directory)
    store = await SqliteStore.on(file)
    # Checkpoints come with every few commits, and so do the places where the log begins anew.
    await file.write(lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 20").fetchone())

    def told(what: str, message: str) -> None:
        acknowledged.append((len(notes), what, message))

    revision = EMPTY
    for number in range(1, 4):
        revision = a_revision([a_definition(content={"body": f"{number}" * 3_000})], after=revision)
        await store.publish(revision)
        told("published", str(number))

    async def work(task: int) -> None:
        for number in range(STEPS):
            # Those that are old may be removed as soon as they have ended.
            old = a_message(number, device=f"A{task}", received_at=NOW - DAY)
            lease = a_lease(a_delivery(old))
            await store.accept([an_arrival(old, held=[lease.delivery])], worker="w", lease=LEASE, now=NOW)
            await store.settle([a_settlement(lease, GiveUp("refused") if number % 3 else Done())])
            message = a_message(number, device=f"{task}")
            lines = [a_delivery(message, ordinal, request=a_line()) for ordinal in range(2)]
            request = a_downlink(message, asked_at=NOW + number * DAY)
            arrival = an_arrival(message, held=lines, downlink=request)
            await store.accept([arrival], worker="w", lease=LEASE, now=NOW)
            told("accepted", message.id)
            if number % 2:
                assert await store.join([a_batch([a_lease(line) for line in lines])]) == [True]
                told("joined", message.id)
                await store.settle([a_settlement(a_lease(lines[0]), Done())])
                told("settled", message.id)

    async def let_go() -> None:
        while True:
            await store.prune(before=NOW, after=0, limit=20)
            await store.give_back()
            await asyncio.sleep(0.002)

    removing = asyncio.create_task(let_go())
    await asyncio.gather(*map(work, range(TASKS)))
    removing.cancel()
    await asyncio.wait([removing])
    await store.close()
    return acknowledged


async def judge(directory: Path, acknowledged: Sequence[Acknowledged]) -> None:
    """What must be true of a store in which all that was acknowledged."""
    found = check_sqlite(directory)
    assert found.is_sound, found
    store = await open_sqlite(directory)
    records = {record.delivery.id: record for record in await store.deliveries(DeliveryFilter(), limit=10**6)}
    states: dict[str, list[State]] = {}
    for (message, _), record in records.items():
        states.setdefault(message, []).append(record.delivery.state)
    published = (await store.current()).number
    for _, what, told in acknowledged:
        match what:
            case "published":
                assert published >= int(told)
            case "accepted":
                assert len(states[told]) == 2
            case "joined":
                assert State.JOINED in states[told] or set(states[told]) == {State.DELIVERED}
            case "settled":
                assert set(states[told]) == {State.DELIVERED}
            case _:
                raise AssertionError(what)
    await store.close()
    found = check_sqlite(directory)
    assert found.is_sound, found


async def test_what_was_acknowledged_survives_the_loss_of_power(tmp_path: Path) -> None:
    with recording() as notes:
        acknowledged = await live(tmp_path / "data", notes)
    main, log = (str(tmp_path / "data" / name) for name in ("store.sqlite3", "store.sqlite3-wal"))
    checkpoints = sum(isinstance(note, Sync) and note.path == main for note in notes)
    assert checkpoints > 20
    assert sum(isinstance(note, Write) and note.path == log for note in notes) > 500
    assert any(isinstance(note, Truncate) and note.path == main for note in notes), "no space was returned"

    places = [place for place, _, _ in acknowledged]
    dice = random.Random(20_260_101)
    first = places[0]  # before that, nothing was promised
    moments = sorted(dice.choices(range(first, len(notes) + 1), k=FAILURES))
    for number, moment in enumerate(moments):
        directory = tmp_path / str(number)
        directory.mkdir()
        for path, content in image(notes[:moment], dice).items():
            (directory / Path(path).name).write_bytes(content)
        try:
            await judge(directory, acknowledged[: bisect_right(places, moment)])
        except BaseException as error:
            error.add_note(f"after {moment} of {len(notes)} notes, in {directory}")
            raise
        for file in directory.iterdir():
            file.unlink()


def test_the_recording_is_what_happened_and_an_image_without_syncs_is_not(tmp_path: Path) -> None:
    """The measure itself: all notes make the very file; and where syncs are left out, something is missing."""
    path = tmp_path / "store.sqlite3"
    with recording() as notes:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE t (a)")
        for number in range(100):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        unsynced = len(notes)
        connection.close()
    assert not any(isinstance(note, Sync) for note in notes[unsynced // 2 : unsynced])
    synced = [*notes, Sync(str(path))]
    assert image(synced, random.Random(1))[str(path)] == path.read_bytes()
    dice = random.Random(2)
    left = {len(image(notes[:unsynced], dice).get(f"{path}-wal", b"")) for _ in range(30)}
    assert len(left) > 1
