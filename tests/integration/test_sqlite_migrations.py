"""A store that an earlier version wrote goes on working: everything in it is found, sent, settled and replayed."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Final

import pytest

from reconciler.codec.canonical import canonical_json
from reconciler.model.delivery import (
    Accepted,
    Attempt,
    Delivery,
    DeliveryId,
    Done,
    GiveUp,
    Lease,
    Refused,
    State,
)
from reconciler.model.message import Message, MessageType
from reconciler.model.revision import Owned, Publication, Revision
from reconciler.store.protocol import DeliveryFilter, DeliveryRecord, Heard, Kept, MessageRecord, Store
from reconciler.store.sqlite import open_sqlite
from reconciler.store.sqlite_care import check_sqlite
from reconciler.store.sqlite_values import micros
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

LEASE: Final = timedelta(minutes=2)
MESSAGES: Final = 5_000  # more than a segment holds
DEVICES: Final = ("1C178", "FFFFFFFF", "0")

# What the first form had in its columns, to the letter.
CONTENT: Final = '{"device":"%s","deviceType":"tracker","time":1700000000,"seqNumber":%d,"data":"e80332c0","rssi":-121.5,"station":"0AF0"}'  # noqa: E501 - one line of a store
REQUEST: Final = r'["http/1","POST","https","ingest.example.com",443,"/uplink/1C178",[["Authorization",["Bearer ",{"secret":"INGEST_TOKEN","context":"header"}]]],null,"{\"device\":\"1C178\",\"t\":1000,\"seq\":7}",true]'  # noqa: E501
OUTCOMES: Final = {1: '["accepted",200,"7b226f6b223a747275657d"]', 2: '["refused",503,"62757379"]'}


def old_message(number: int) -> Message:
    """Number 1, 2, …; its id is made as ids were: 96 bits of one digest, the station in it."""
    message = a_message(number, device=DEVICES[number % 3])
    identity = f"data\0{message.device}\0{message.time}\0{number}\0000AF0"
    digest = blake2b(identity.encode(), digest_size=12, person=b"message/1").hexdigest()
    return replace(message, id=f"{message.time:08x}{digest}")


def old_state(number: int) -> State:
    """The first hundred are done, the next hundred given up, all others are pending."""
    return State.DELIVERED if number <= 100 else State.UNDELIVERED if number <= 200 else State.PENDING


def old_delivery(number: int) -> Delivery:
    finished = int(number <= 200)
    return replace(
        a_delivery(old_message(number), warnings=("It does not fit.",) if number == 2 else ()),
        state=old_state(number),
        attempts=finished,
        tries=finished,
    )


def write_first_form(directory: Path) -> None:
    """What the first form's engine left behind when it was killed: one delivery for each message, none released."""
    schema = resources.files("reconciler.store").joinpath("migrations/0001_initial.sql").read_text(encoding="utf-8")
    now = micros(NOW)
    with closing(sqlite3.connect(directory / "store.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN;\n{schema}\nPRAGMA user_version = 1;\nCOMMIT;")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO names VALUES (1, 'tracker/telemetry'), (2, 'https://ingest.example.com:443')")
        for key in range(1, MESSAGES + 1):
            message, state = old_message(key), list(State).index(old_state(key))
            message_id, device = bytes.fromhex(message.id), int(message.device, 16)
            connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, 3, ?)",
                (key, message_id, device, now, CONTENT % (message.device, key)),
            )
            connection.execute(
                "INSERT INTO deliveries VALUES (?, 1, 2, 3, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key << 16,
                    REQUEST,
                    '["It does not fit."]' if key == 2 else None,
                    now,
                    state,
                    int(state > 0),
                    int(state > 0),
                    2 if state else 1,
                    None if state else now + 120_000_000,
                ),
            )
            if state:
                connection.execute("INSERT INTO attempts VALUES (?, 1, ?, 12345, ?)", (key << 16, now, OUTCOMES[state]))
            if state == 2:
                connection.execute("INSERT INTO undelivered VALUES (?, 0)", (message_id,))
        connection.execute("INSERT INTO segments SELECT key >> 12, device, key FROM messages WHERE key < 4096")
        connection.executemany(
            "UPDATE tally SET deliveries = ? WHERE state = ?", [(MESSAGES - 200, 0), (100, 1), (100, 2)]
        )
        connection.execute("COMMIT")


@pytest.fixture(params=[1, 2, 3, 4])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A store of the first form, or one that a later version has brought forward and left in its own."""
    write_first_form(tmp_path)
    steps = resources.files("reconciler.store").joinpath("migrations").iterdir()
    with closing(sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)) as connection:
        for step in sorted(steps, key=lambda step: step.name)[1 : request.param]:
            connection.executescript(step.read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {request.param}")
    return tmp_path


async def test_everything_in_a_store_of_the_first_form_is_found(directory: Path) -> None:
    store = await open_sqlite(directory)
    attempt = Attempt(1, NOW, timedelta(microseconds=12_345), Accepted(200, b'{"ok":true}'))
    attempts = {
        State.PENDING: (),
        State.DELIVERED: (attempt,),
        State.UNDELIVERED: (replace(attempt, outcome=Refused(503, b"busy")),),
    }
    for number in (1, 2, 101, 201, 4_095, 4_096, MESSAGES):
        message, delivery = old_message(number), old_delivery(number)
        record = DeliveryRecord(delivery, attempts[delivery.state])
        assert await store.message(message.id) == MessageRecord(message, 3, (record,), (message,), None)
        assert await store.delivery(delivery.id) == record
        assert await store.receptions(message.event) == [message]
        assert await store.downlink(message.id) is None
    assert await store.counts() == {
        State.PENDING: MESSAGES - 200,
        State.DELIVERED: 100,
        State.UNDELIVERED: 100,
        State.JOINED: 0,
        State.WAITING: 0,
    }
    for state, numbers in ((State.UNDELIVERED, range(101, 201)), (State.JOINED, range(0))):
        listed = await store.deliveries(DeliveryFilter(state=state), limit=1_000)
        assert {record.delivery.id.message for record in listed} == {old_message(number).id for number in numbers}
    for device in DEVICES:
        of_device = await store.messages_of(device, limit=MESSAGES)
        expected = [old_message(n) for n in range(1, MESSAGES + 1) if DEVICES[n % 3] == device]
        assert of_device == sorted(expected, key=lambda message: message.id, reverse=True)
        assert await store.last_heard(device) == Heard(expected[-1], NOW)
    assert await store.next_alarm_at() is None
    await store.close()


async def test_deliveries_of_the_first_form_are_sent_settled_and_replayed(directory: Path) -> None:
    store = await open_sqlite(directory)
    leases = await claim(store)
    assert [lease.delivery for lease in leases] == [old_delivery(number) for number in range(201, MESSAGES + 1)]
    settlements = [a_settlement(lease, Done() if n % 2 else GiveUp("refused")) for n, lease in enumerate(leases)]
    assert await store.settle(settlements) == [True] * len(leases)
    finished = [DeliveryId(old_message(number).id, 0) for number in range(1, MESSAGES + 1)]
    assert await store.replay(finished, now=NOW) == MESSAGES
    assert len(await claim(store)) == MESSAGES
    await store.close()


async def test_a_store_of_the_first_form_takes_all_that_is_new(directory: Path) -> None:
    store = await open_sqlite(directory)
    old, new = old_message(1), a_message(1, device="8000000000000000", station="0AF1")
    again = replace(new, id=a_message(1, device="8000000000000000").id)
    kept = await store.accept(
        [
            an_arrival(old),
            an_arrival(new, held=[a_delivery(new, request=a_line(), asks=True)], downlink=a_downlink(new)),
            an_arrival(again, again=[a_delivery(again)]),
            an_arrival(a_message(7, kind=MessageType.ERROR), alarms=[an_alarm()], unless_heard_after=old.id),
            an_arrival(a_message(8, kind=MessageType.ERROR, device="ABC"), alarms=[an_alarm()]),
        ],
        worker="w",
        lease=LEASE,
        now=NOW,
    )
    assert kept == [Kept.REPEATED, Kept.FRESH, Kept.RECEPTION, Kept.OVERTAKEN, Kept.FRESH]
    carrier = a_lease(a_delivery(new, request=a_line(), asks=True))
    (line, *_) = await claim(store)
    assert await store.join([a_batch([carrier, line], asks=True)]) == [True]
    assert await store.settle([a_settlement(carrier, Done())]) == [True]
    assert (await store.counts())[State.DELIVERED] == 102
    assert await store.alarms_due(now=NOW, limit=10) == [an_alarm()]
    assert await store.messages_of(new.device, limit=3) == sorted([new, again], key=lambda m: m.id, reverse=True)
    await store.close()

    store = await open_sqlite(directory)  # the second time there is nothing to migrate
    assert await store.downlink(new.id) == a_downlink(new)
    await store.close()


async def test_order_begins_with_what_comes_after_the_migration(directory: Path) -> None:
    store = await open_sqlite(directory)
    pending = MESSAGES - 200
    messages = [a_message(number, device=DEVICES[0]) for number in (MESSAGES + 1, MESSAGES + 2)]
    arrivals = [an_arrival(m, queued=[a_delivery(m, ordered=True)]) for m in messages]  # of a callback from before
    await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)
    leases = await claim(store)
    assert len(leases) == pending + 1
    assert [lease.delivery.id.message for lease in leases if lease.delivery.ordered] == [messages[0].id]
    assert await store.settle([a_settlement(lease, Done()) for lease in leases]) == [True] * (pending + 1)
    assert [lease.delivery.id.message for lease in await claim(store)] == [messages[1].id]
    await store.close()
    assert check_sqlite(directory).damage == ()


async def test_revisions_of_an_earlier_form_tell_what_was_recorded_and_can_be_followed(tmp_path: Path) -> None:
    definition = a_definition()
    steps = sorted(resources.files("reconciler.store").joinpath("migrations").iterdir(), key=lambda step: step.name)
    with closing(sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for step in steps[:2]:
            connection.executescript(step.read_text(encoding="utf-8"))
        connection.execute("PRAGMA user_version = 2")
        content = (definition.digest, canonical_json(definition.content).decode())
        connection.execute("INSERT INTO contents VALUES (1, ?, ?)", content)
        connection.execute("INSERT INTO members VALUES (1, 'tracker/telemetry', 1, 'cold-chain', NULL)")
        changes = '[["create","tracker/telemetry"]]'
        connection.execute("INSERT INTO revisions VALUES (1, '00ff', ?, 'ana', '5b', 'old', ?)", (micros(NOW), changes))

    store = await open_sqlite(tmp_path)
    old = Revision(
        number=1,
        digest="00ff",
        owned={definition.key: Owned(definition, "cold-chain")},
        publication=Publication(NOW, "ana", "5b", "old"),
        changes=(("create", definition.key),),
    )
    assert await store.current() == old
    assert await store.applied("cold-chain") is None
    new = replace(a_revision([], after=old), owner="cold-chain", publication=Publication(NOW, "bob", via="apply"))
    await store.publish(new)
    assert [await store.applied("cold-chain"), await store.revision(1)] == [new, old]
    assert await store.history(limit=10) == [new.entry, old.entry]
    await store.close()


async def claim(store: Store) -> list[Lease]:
    leases = await store.claim(worker="w", room={}, default_room=MESSAGES, limit=MESSAGES, lease=LEASE, now=NOW)
    return list(leases)
