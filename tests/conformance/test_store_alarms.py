"""What every store must do with alarms, and with what a silence is judged by: when a device was heard last."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.delivery import Done
from reconciler.model.message import HEARD, Message, MessageType
from reconciler.store.protocol import Arrival, Heard, Kept, Store
from tests.builders import NOW, a_delivery, a_downlink, a_message, an_alarm, an_arrival
from tests.conformance.store_rig import LEASE, SECOND, accept, claim, hold, ids, settle, stand

GATHERED, RESULT, SILENCE = AlarmKind.GATHERED, AlarmKind.RESULT, AlarmKind.SILENCE
LATER = an_alarm(due_at=NOW + SECOND)


async def due(store: Store, *, limit: int = 100, now: timedelta = timedelta(days=1)) -> Sequence[Alarm]:
    """What is due `now` after NOW."""
    return await store.alarms_due(now=NOW + now, limit=limit)


async def set_alarms(store: Store, *alarms: Alarm) -> None:
    """Set them with a message of their own."""
    heard = await store.messages_of("FF", limit=10_000)
    await accept(store, an_arrival(a_message(len(heard), device="FF"), alarms=alarms))


async def hear(store: Store, *messages: Message) -> Sequence[Kept]:
    return await accept(store, *map(an_arrival, messages))


def an_error(number: int = 1) -> Message:
    return a_message(number, kind=MessageType.ERROR, metadata={"info": "…", "severity": "ERROR"})


# What is due


async def test_an_alarm_comes_back_equal(store: Store) -> None:
    alarms = [
        an_alarm(a_message().event, kind=GATHERED),
        an_alarm(a_message().id, kind=RESULT, device="FFFFFFFFFFFFFFFF", device_type="a.b-c"),
        an_alarm("1C178", kind=SILENCE),
    ]
    await set_alarms(store, *alarms)
    assert await due(store) == alarms


async def test_alarms_are_due_by_time_then_by_kind_and_subject(store: Store) -> None:
    in_order = [
        an_alarm("9", due_at=NOW - SECOND),
        an_alarm("8", kind=GATHERED),
        an_alarm("9", kind=GATHERED),
        an_alarm("1", kind=RESULT),
        an_alarm("1", kind=SILENCE),
        an_alarm("1", kind=GATHERED, due_at=NOW + SECOND),
    ]
    await set_alarms(store, *reversed(in_order))
    assert await due(store) == in_order
    assert await due(store, limit=4) == in_order[:4]
    assert await due(store, now=timedelta(0)) == in_order[:5]
    assert await due(store, now=-2 * SECOND) == []


async def test_an_alarm_stays_until_it_is_ended(store: Store) -> None:
    await set_alarms(store, an_alarm())
    for _ in range(2):
        assert await due(store) == [an_alarm()]


async def test_an_alarm_that_stands_stays_as_it_is(store: Store) -> None:
    await set_alarms(store, an_alarm(device_type="tracker"))
    await set_alarms(store, replace(LATER, device_type="other"), an_alarm("2"))
    assert await due(store) == [an_alarm(device_type="tracker"), an_alarm("2")]


async def test_of_the_same_alarm_twice_in_one_call_the_first_stands(store: Store) -> None:
    await accept(
        store,
        an_arrival(a_message(1), alarms=[LATER, an_alarm()]),
        an_arrival(a_message(2), alarms=[an_alarm(), an_alarm("2")]),
    )
    assert await due(store) == [an_alarm("2"), LATER]


async def test_the_next_alarm_is_the_earliest_or_a_request_that_expires(store: Store) -> None:
    assert await store.next_alarm_at() is None
    await set_alarms(store, an_alarm(due_at=NOW + timedelta(hours=2)), an_alarm("2", due_at=NOW + timedelta(hours=1)))
    assert await store.next_alarm_at() == NOW + timedelta(hours=1)
    request = a_downlink()
    await accept(store, an_arrival(downlink=request))
    assert await store.next_alarm_at() == request.expires_at
    await set_alarms(store, an_alarm("3", due_at=NOW))
    assert await store.next_alarm_at() == NOW


# Setting and ending with a message


@pytest.mark.parametrize("kept", [Kept.FRESH, Kept.RECEPTION, Kept.REPEATED])
async def test_the_alarm_that_a_message_is_made_of_ends_whatever_becomes_of_it(store: Store, kept: Kept) -> None:
    message = a_message()
    if kept is not Kept.FRESH:
        await hear(store, message if kept is Kept.REPEATED else a_message(station="0AF1"))
    await set_alarms(store, an_alarm(), an_alarm(kind=RESULT))
    assert await accept(store, an_arrival(message, ends=LATER)) == [kept]
    assert await due(store) == [an_alarm(kind=RESULT)]


async def test_an_alarm_that_does_not_stand_need_not_end(store: Store) -> None:
    assert await accept(store, an_arrival(ends=an_alarm())) == [Kept.FRESH]
    assert await due(store) == []


async def test_a_message_can_end_an_alarm_and_set_it_anew(store: Store) -> None:
    await set_alarms(store, an_alarm())
    await accept(store, an_arrival(ends=an_alarm(), alarms=[LATER]))
    assert await due(store) == [LATER]


@pytest.mark.parametrize("stands", [False, True])
async def test_within_one_call_alarms_are_set_and_ended_in_order(store: Store, stands: bool) -> None:
    if stands:
        await set_alarms(store, an_alarm(), an_alarm("2"))

    def setting(number: int, alarm: Alarm) -> Arrival:
        return an_arrival(a_message(number), alarms=[alarm])

    def ending(number: int, alarm: Alarm) -> Arrival:
        return an_arrival(a_message(number), ends=alarm)

    await accept(
        store,
        *(setting(1, an_alarm(due_at=NOW + 2 * SECOND)), ending(2, an_alarm()), setting(3, LATER)),
        *(ending(4, an_alarm("2")), setting(5, an_alarm("2")), ending(6, an_alarm("2"))),
    )
    assert await due(store) == [LATER]


# Moving and ending


async def test_alarms_that_stand_are_moved(store: Store) -> None:
    await set_alarms(store, an_alarm("1"), an_alarm("2"), an_alarm("1", kind=RESULT))
    await store.move_alarms([an_alarm("2", due_at=NOW - SECOND), an_alarm("9"), an_alarm("1", due_at=NOW + SECOND)])
    moved = [an_alarm("2", due_at=NOW - SECOND), an_alarm("1", kind=RESULT), an_alarm("1", due_at=NOW + SECOND)]
    assert await due(store) == moved
    assert await store.next_alarm_at() == NOW - SECOND


async def test_alarms_that_stand_are_ended(store: Store) -> None:
    await set_alarms(store, an_alarm("1"), an_alarm("2"), an_alarm("1", kind=RESULT))
    await store.end_alarms([an_alarm("1", due_at=NOW + SECOND), an_alarm("9"), an_alarm("1")])
    assert await due(store) == [an_alarm("1", kind=RESULT), an_alarm("2")]


async def test_silences_of_a_device_type_are_hastened(store: Store) -> None:
    later, early = NOW + timedelta(hours=1), NOW - SECOND
    await set_alarms(
        store,
        *(an_alarm("1", due_at=later), an_alarm("2", due_at=early)),
        *(an_alarm("3", due_at=later, device_type="other"), an_alarm("4", kind=GATHERED, due_at=later)),
    )
    await store.hasten_silences("tracker", by=NOW)
    assert await due(store) == [
        an_alarm("2", due_at=early),
        an_alarm("1"),
        an_alarm("4", kind=GATHERED, due_at=later),
        an_alarm("3", due_at=later, device_type="other"),
    ]


# Who was heard


@pytest.mark.parametrize("kind", MessageType)
async def test_a_device_is_heard_by_what_it_transmits(store: Store, kind: MessageType) -> None:
    message = a_message(kind=kind)
    await hear(store, message)
    assert await store.last_heard("1C178") == (Heard(message, NOW) if kind in HEARD else None)


async def test_the_last_message_kept_counts_whatever_its_time(store: Store) -> None:
    given = [a_message(number, time=1_700_000_000 - number, received_at=NOW + number * SECOND) for number in range(3)]
    for message in given:
        await hear(store, message, a_message(message.sequence_number or 0, device="1C179"), an_error(message.time))
        assert await store.last_heard("1C178") == Heard(message, message.received_at)


async def test_a_further_reception_is_heard_a_repetition_is_not(store: Store) -> None:
    first, second = a_message(1), a_message(1, station="0AF1", received_at=NOW + SECOND)
    await hear(store, first, second, first)
    assert await store.last_heard("1C178") == Heard(second, NOW + SECOND)


@pytest.mark.parametrize("device", ["1C179", "01C178", "nonsense", ""])
async def test_who_was_never_heard_is_none(store: Store, device: str) -> None:
    assert await store.last_heard(device) is None
    await hear(store, a_message())
    assert await store.last_heard(device) is None


async def test_a_device_is_heard_among_many(store: Store) -> None:
    last: dict[str, Message] = {}
    for start in range(0, 13_000, 1_300):
        messages = [
            a_message(number, device=f"{number % 97 + start // 5_200 * 50:X}", received_at=NOW + number * SECOND)
            for number in range(start, start + 1_300)
        ]
        await hear(store, *messages)
        last |= {message.device: message for message in messages}
    for device in ("0", "31", "32", "60", "93"):
        assert await store.last_heard(device) == Heard(last[device], last[device].received_at)


async def test_when_a_device_was_heard_follows_the_clock(store: Store) -> None:
    await store.clock_stepped(timedelta(days=1))
    await hear(store, a_message(1, device="A"))
    await store.clock_stepped(10 * SECOND)
    await store.clock_stepped(3 * SECOND)
    await hear(store, a_message(2, device="B"))
    await store.clock_stepped(-SECOND)
    await hear(store, a_message(3, device="C"))
    for device, step in (("A", 12), ("B", -1), ("C", 0)):
        heard = await store.last_heard(device)
        assert heard is not None
        assert heard.at - heard.message.received_at == step * SECOND


async def test_alarms_and_expiries_follow_the_clock(store: Store) -> None:
    request, step = a_downlink(), timedelta(hours=-3, microseconds=7)
    await accept(store, an_arrival(downlink=request, alarms=[an_alarm(), an_alarm(kind=GATHERED)]))
    await store.clock_stepped(step)
    assert await due(store) == [an_alarm(kind=GATHERED, due_at=NOW + step), an_alarm(due_at=NOW + step)]
    assert await store.downlink(request.message) == replace(request, expires_at=request.expires_at + step)


@pytest.mark.parametrize("hours", [1, -1])
async def test_pending_deliveries_and_their_leases_follow_the_clock(store: Store, hours: int) -> None:
    step = timedelta(hours=hours)
    held, due = a_delivery(a_message(2)), a_delivery(due_at=NOW + SECOND)
    await accept(store, an_arrival(queued=[due]), an_arrival(a_message(2), held=[held]))
    await store.clock_stepped(step)
    assert await claim(store, now=step) == []
    (lease,) = await claim(store, now=step + SECOND)
    assert lease.delivery == replace(due, due_at=due.due_at + step)
    assert await claim(store, now=step + LEASE - SECOND) == []
    assert ids(await claim(store, now=step + LEASE)) == [held.id]


async def test_what_is_finished_does_not_follow_the_clock(store: Store) -> None:
    lease = await hold(store)
    assert await settle(store, lease, Done())
    await store.clock_stepped(timedelta(hours=1))
    assert (await stand(store, lease.delivery.id)).due_at == lease.delivery.due_at


# Making a message of a silence


def breach(known: str, number: int = 99) -> Arrival:
    """What an engine makes of the silence of 1C178, when `known` is its last message."""
    error = an_error(number)
    return an_arrival(error, held=[a_delivery(error)], ends=an_alarm(), unless_heard_after=known)


@pytest.mark.parametrize(
    ("meanwhile", "kept"),
    [
        ([], Kept.FRESH),
        ([a_message(2)], Kept.OVERTAKEN),
        ([a_message(2, kind=MessageType.STATUS)], Kept.OVERTAKEN),
        ([a_message(2, kind=MessageType.REPEATER)], Kept.OVERTAKEN),
        ([a_message(1, station="0AF1")], Kept.OVERTAKEN),
        ([a_message(2, time=1_600_000_000)], Kept.OVERTAKEN),
        ([a_message(2), an_error(98)], Kept.OVERTAKEN),
        ([a_message(1)], Kept.FRESH),
        ([a_message(2, device="1C179")], Kept.FRESH),
        ([an_error(98)], Kept.FRESH),
        ([a_message(2, kind=MessageType.GEOLOC)], Kept.FRESH),
        ([a_message(2, kind=MessageType.ACKNOWLEDGE)], Kept.FRESH),
        ([a_message(2, kind=MessageType.DATA_ADVANCED)], Kept.FRESH),
    ],
)
@pytest.mark.parametrize("together", [False, True])
async def test_a_message_that_was_heard_meanwhile_overtakes(
    store: Store, meanwhile: Sequence[Message], kept: Kept, together: bool
) -> None:
    await set_alarms(store, an_alarm())
    await hear(store, a_message(0), a_message(1))
    arrivals = [*map(an_arrival, meanwhile), breach(a_message(1).id)]
    if together:
        *_, answer = await accept(store, *arrivals)
    else:
        for arrival in arrivals:
            (answer,) = await accept(store, arrival)
    assert answer is kept
    assert (await store.message(an_error(99).id) is None) == (kept is Kept.OVERTAKEN)
    assert (await due(store) == [an_alarm()]) == (kept is Kept.OVERTAKEN)


async def test_what_was_kept_in_the_same_call_and_was_known_does_not_overtake(store: Store) -> None:
    await hear(store, a_message(0))
    assert await accept(store, an_arrival(a_message(1)), breach(a_message(1).id)) == [Kept.FRESH, Kept.FRESH]
    assert await accept(store, an_arrival(a_message(2)), an_arrival(a_message(3)), breach(a_message(2).id, 98)) == [
        Kept.FRESH,
        Kept.FRESH,
        Kept.OVERTAKEN,
    ]


async def test_whatever_was_heard_is_later_than_a_message_that_nobody_kept(store: Store) -> None:
    assert await accept(store, breach(a_message(7).id)) == [Kept.FRESH]
    await hear(store, a_message(1))
    assert await accept(store, breach(a_message(7).id, 98), breach("nonsense", 97)) == [Kept.OVERTAKEN] * 2


async def test_a_repeated_message_can_be_overtaken(store: Store) -> None:
    await hear(store, a_message(1))
    assert await accept(store, breach(a_message(1).id)) == [Kept.FRESH]
    await set_alarms(store, an_alarm())
    assert await accept(store, breach(a_message(1).id)) == [Kept.REPEATED]
    await hear(store, a_message(2))
    await set_alarms(store, an_alarm())
    assert await accept(store, breach(a_message(1).id)) == [Kept.OVERTAKEN]
    assert await due(store) == [an_alarm()]


async def test_silences_are_judged_one_by_one_among_many_messages(store: Store) -> None:
    devices = [f"{number:X}" for number in range(60)]
    first = [a_message(0, device=device) for device in devices]
    await hear(store, *first)
    for start in range(0, 9_000, 900):
        await hear(store, *(a_message(number, device="FFF") for number in range(start, start + 900)))
        # Another device is heard now and then, so that some messages stand in each of the store's segments.
        await hear(store, a_message(1, device=devices[start // 900]))
    await hear(store, *(a_message(2, device=device, kind=MessageType.STATUS) for device in devices[20:30]))
    kept = await accept(
        store,
        *(an_arrival(a_message(3, device=m.device, kind=MessageType.ERROR), unless_heard_after=m.id) for m in first),
    )
    heard = {*devices[:10], *devices[20:30]}
    assert kept == [Kept.OVERTAKEN if device in heard else Kept.FRESH for device in devices]
