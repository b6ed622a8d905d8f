"""What every store must know about events: receptions of one message, and all the types that there are."""

from collections.abc import Mapping

import pytest

from reconciler.grammar.escape import Json
from reconciler.grammar.payload import Value
from reconciler.model.delivery import DeliveryId, State
from reconciler.model.message import Message, MessageType
from reconciler.store.protocol import FIRST_TOKEN, DeliveryFilter, DeliveryRecord, Kept, MessageRecord, Store
from tests.builders import a_delivery, a_downlink, a_message, an_alarm, an_arrival
from tests.conformance.store_rig import accept, claim, ids

FIRST, SECOND, THIRD = (a_message(station=station) for station in ("0AF0", "0AF1", "0AF2"))

METADATA: Mapping[MessageType, Mapping[str, Value]] = {
    MessageType.DATA: {"rssi": -121.5, "ack": True, "station": "0AF0"},
    MessageType.STATUS: {"batt": 3.25, "temp": 21.5},
    MessageType.GEOLOC: {"lat": 45.5, "lng": 6.25, "radius": 500},
    MessageType.ACKNOWLEDGE: {"infoCode": 0, "infoMessage": "Acked", "downlinkAck": True, "downlinkOverusage": False},
    MessageType.REPEATER: {"batt": 3.25, "whitelistDevices": 0, "repeatedMsg": 12},
    MessageType.DATA_ADVANCED: {"lqi": "GOOD", "computedLocation": Json('{"lat":52.0,"lng":5.5}')},
    MessageType.ERROR: {"info": "No message received since 2026-01-01 12:00:00", "severity": "ERROR"},
}


@pytest.mark.parametrize("kind", MessageType)
async def test_a_message_of_every_type_comes_back_equal(store: Store, kind: MessageType) -> None:
    message = a_message(kind=kind, metadata=METADATA[kind])
    assert await accept(store, an_arrival(message)) == [Kept.FRESH]
    assert await store.message(message.id) == MessageRecord(message, 3, (), (message,), None)


async def test_the_first_reception_of_an_event_is_the_message_and_the_others_stand_beside_it(store: Store) -> None:
    assert await accept(store, an_arrival(SECOND)) == [Kept.FRESH]
    assert await accept(store, an_arrival(FIRST)) == [Kept.RECEPTION]
    assert await accept(store, an_arrival(THIRD)) == [Kept.RECEPTION]
    assert await store.receptions(FIRST.event) == [SECOND, FIRST, THIRD]
    for message in (FIRST, SECOND, THIRD):
        record = await store.message(message.id)
        assert record == MessageRecord(message, 3, (), (SECOND, FIRST, THIRD), None)


async def test_each_reception_is_kept_once(store: Store) -> None:
    for expected in (Kept.FRESH, Kept.REPEATED):
        assert await accept(store, an_arrival(FIRST)) == [expected]
    for expected in (Kept.RECEPTION, Kept.REPEATED):
        assert await accept(store, an_arrival(SECOND)) == [expected]
    assert await store.receptions(FIRST.event) == [FIRST, SECOND]


async def test_within_one_call_the_first_of_an_event_is_the_fresh_one(store: Store) -> None:
    given = [SECOND, a_message(2), FIRST, SECOND, THIRD, FIRST]
    assert await accept(store, *map(an_arrival, given)) == [
        Kept.FRESH,
        Kept.FRESH,
        Kept.RECEPTION,
        Kept.REPEATED,
        Kept.RECEPTION,
        Kept.REPEATED,
    ]
    assert await store.receptions(FIRST.event) == [SECOND, FIRST, THIRD]


@pytest.mark.parametrize(
    "other",
    [
        a_message(2),
        a_message(device="1C179"),
        a_message(time=1_700_000_001),
        a_message(kind=MessageType.STATUS),
    ],
    ids=["number", "device", "time", "type"],
)
async def test_what_differs_in_more_than_the_station_is_another_event(store: Store, other: Message) -> None:
    assert await accept(store, an_arrival(FIRST), an_arrival(other)) == [Kept.FRESH, Kept.FRESH]
    assert await store.receptions(FIRST.event) == [FIRST]


async def test_a_message_without_a_station_has_receptions_too(store: Store) -> None:
    nowhere = a_message(metadata={})
    assert await accept(store, an_arrival(nowhere), an_arrival(FIRST), an_arrival(nowhere)) == [
        Kept.FRESH,
        Kept.RECEPTION,
        Kept.REPEATED,
    ]
    assert await store.receptions(nowhere.event) == [nowhere, FIRST]


async def test_an_event_that_nobody_kept_has_no_receptions(store: Store) -> None:
    await accept(store, an_arrival(FIRST))
    for event in (a_message(2).event, FIRST.id, FIRST.event[:-2], FIRST.event.upper(), "nonsense", ""):
        assert await store.receptions(event) == []


# What goes with a reception


async def test_a_fresh_message_gives_what_is_held_and_queued(store: Store) -> None:
    held, queued, again = (a_delivery(FIRST, ordinal) for ordinal in (0, 1, 0))
    await accept(store, an_arrival(FIRST, held=[held], queued=[queued], again=[again]))
    record = await store.message(FIRST.id)
    assert record is not None
    assert record.deliveries == (DeliveryRecord(held, ()), DeliveryRecord(queued, ()))
    assert ids(await claim(store)) == [queued.id]


async def test_a_reception_gives_what_is_for_receptions(store: Store) -> None:
    await accept(store, an_arrival(FIRST, held=[a_delivery(FIRST)]))
    again = [a_delivery(SECOND, ordinal, revision=4) for ordinal in (1, 0)]
    kept = await accept(
        store,
        an_arrival(SECOND, revision=4, held=[a_delivery(SECOND)], queued=[a_delivery(SECOND, 7)], again=again),
    )
    assert kept == [Kept.RECEPTION]
    record = await store.message(SECOND.id)
    assert record is not None
    assert record.revision == 4
    assert record.deliveries == tuple(DeliveryRecord(delivery, ()) for delivery in reversed(again))
    assert (await store.counts())[State.PENDING] == 3
    assert [(lease.delivery.id, lease.token) for lease in await claim(store)] == [
        (DeliveryId(SECOND.id, ordinal), FIRST_TOKEN) for ordinal in (0, 1)
    ]


async def test_a_repeated_reception_gives_nothing(store: Store) -> None:
    for _ in range(2):
        await accept(store, an_arrival(FIRST), an_arrival(SECOND, again=[a_delivery(SECOND)]))
    assert len(await store.deliveries(DeliveryFilter(), limit=10)) == 1


async def test_a_reception_sets_nothing_else_in_motion(store: Store) -> None:
    await accept(store, an_arrival(FIRST))
    for _ in (Kept.RECEPTION, Kept.REPEATED):
        await accept(store, an_arrival(SECOND, alarms=[an_alarm()], downlink=a_downlink(SECOND)))
    assert await store.next_alarm_at() is None
    assert await store.downlink(SECOND.id) is None


@pytest.mark.parametrize("count", [2, 255, 700])
async def test_any_number_of_receptions_is_kept_in_one_call(store: Store, count: int) -> None:
    messages = [a_message(station=f"{station:04X}") for station in range(count)]
    kept = await accept(store, *(an_arrival(m, queued=[a_delivery(m)], again=[a_delivery(m)]) for m in messages))
    assert kept == [Kept.FRESH] + [Kept.RECEPTION] * (count - 1)
    assert await store.receptions(messages[0].event) == messages
    assert (await store.counts())[State.PENDING] == count
    assert await store.messages_of("1C178", limit=1) == [max(messages, key=lambda message: message.id)]
