"""What every store must do when it lets go of what has ended."""

from datetime import timedelta

import pytest

from reconciler.model.alarm import AlarmKind
from reconciler.model.delivery import Done, GiveUp, RetryAt, State
from reconciler.model.downlink import DownlinkState, Replies, Send
from reconciler.model.message import MessageType
from reconciler.store.protocol import Arrival, DeliveryFilter, Kept, Pruned, Store
from tests.builders import (
    NOW,
    a_batch,
    a_delivery,
    a_downlink,
    a_lease,
    a_line,
    a_message,
    a_settlement,
    an_alarm,
    an_arrival,
)
from tests.conformance.store_rig import SECOND, accept, claim, ids, settle

LATER = NOW + timedelta(days=1)
LAST = an_arrival(a_message(9_999, device="FF"))  # the message that was kept last stays


async def prune(store: Store, *, limit: int = 100) -> int:
    """Remove all that has ended, in steps of so many; how much that was."""
    removed, after = 0, 0
    while True:
        pruned = await store.prune(before=LATER, after=after, limit=limit)
        removed += pruned.removed
        if pruned.after is None:
            return removed
        after = pruned.after


async def keep(store: Store, *arrivals: Arrival) -> None:
    await accept(store, *arrivals, LAST)


@pytest.mark.parametrize("step", [Done(), GiveUp("refused")])
async def test_what_has_ended_goes_with_everything_about_it(store: Store, step: Done | GiveUp) -> None:
    message = a_message()
    delivery = a_delivery(message, asks=True)
    await keep(store, an_arrival(message, held=[delivery], downlink=a_downlink(message)))
    assert await settle(store, a_lease(delivery), step, replies=Replies({}, Send(bytes(8))))
    await store.serve_downlinks(limit=9, now=NOW)
    assert await prune(store) == 1
    assert await store.message(message.id) is None
    assert await store.delivery(delivery.id) is None
    assert await store.downlink(message.id) is None
    assert await store.receptions(message.event) == []
    assert await store.messages_of(message.device, limit=9) == []
    for where in (DeliveryFilter(), DeliveryFilter(state=State.UNDELIVERED), DeliveryFilter(device=message.device)):
        assert await store.deliveries(where, limit=9) == []
    assert await store.counts() == dict.fromkeys(State, 0)
    assert await store.replay([delivery.id], now=NOW) == 0
    assert not await settle(store, a_lease(delivery, token=2), Done())


async def test_what_is_pending_stays_until_it_has_ended(store: Store) -> None:
    message = a_message()
    held, queued = a_delivery(message, 0), a_delivery(message, 1)
    await keep(store, an_arrival(message, held=[held], queued=[queued]))
    assert await prune(store) == 0
    await settle(store, a_lease(held), RetryAt(NOW + SECOND))
    assert await prune(store) == 0
    first, second = await claim(store, now=SECOND)
    await store.settle([a_settlement(first, Done()), a_settlement(second, GiveUp("refused"))])
    assert await prune(store) == 1


async def test_what_was_replayed_stays_until_it_has_ended_again(store: Store) -> None:
    delivery = a_delivery()
    await keep(store, an_arrival(held=[delivery]))
    await settle(store, a_lease(delivery), Done())
    await store.replay([delivery.id], now=NOW)
    assert await prune(store) == 0
    assert ids(await claim(store)) == [delivery.id]


async def test_what_is_young_stays_and_ends_the_step(store: Store) -> None:
    old, young, older = (
        a_message(n, received_at=NOW + seconds * SECOND) for n, seconds in enumerate((0, 2, 1), start=1)
    )
    await keep(store, *map(an_arrival, (old, young, older)))
    assert await store.prune(before=NOW + 2 * SECOND, after=0, limit=9) == Pruned(1, None)
    assert [await store.message(m.id) is None for m in (old, young, older)] == [True, False, False]


async def test_it_goes_in_steps_that_lead_over_what_stays(store: Store) -> None:
    pending = [a_delivery(a_message(number)) for number in range(5)]
    await keep(store, *(an_arrival(a_message(n), queued=[pending[n]] if n < 5 else []) for n in range(11)))
    first = await store.prune(before=LATER, after=0, limit=4)
    assert (first.removed, first.after is None) == (0, False)
    second = await store.prune(before=LATER, after=first.after or 0, limit=4)
    assert (second.removed, second.after is None) == (3, False)
    assert await store.prune(before=LATER, after=second.after or 0, limit=4) == Pruned(3, None)
    assert (await store.counts())[State.PENDING] == 5


async def test_the_message_that_was_kept_last_stays_and_others_come_after_it(store: Store) -> None:
    messages = [a_message(number) for number in range(4)]
    for message in messages:
        await accept(store, an_arrival(message))
        await prune(store)
        assert await store.messages_of(message.device, limit=9) == [message]
    heard = await store.last_heard("1C178")
    assert heard is not None
    assert heard.message == messages[-1]


async def test_what_is_gone_and_comes_once_more_is_fresh(store: Store) -> None:
    delivery = a_delivery()
    await keep(store, an_arrival(held=[delivery]))
    await settle(store, a_lease(delivery), Done())
    await prune(store)
    assert await accept(store, an_arrival(held=[delivery])) == [Kept.FRESH]
    assert await settle(store, a_lease(delivery), Done())


async def test_an_event_stays_while_one_of_its_receptions_is_open_or_young(store: Store) -> None:
    first, second, young = a_message(1), a_message(1, station="0AF1"), a_message(1, station="0AF2", received_at=LATER)
    again = a_delivery(second)
    await keep(store, an_arrival(first), an_arrival(second, again=[again]))
    assert await prune(store) == 0
    (lease,) = await claim(store)
    await settle(store, lease, Done())
    await accept(store, an_arrival(young), an_arrival(a_message(9_998, device="FF")))
    assert await prune(store) == 1  # what was kept last before
    assert await store.receptions(first.event) == [first, second, young]
    assert (await store.prune(before=LATER + SECOND, after=0, limit=100)).removed == 3
    assert await store.receptions(first.event) == []


@pytest.mark.parametrize(
    ("state", "removed"),
    [
        (DownlinkState.ASKED, 0),
        (DownlinkState.READY, 0),
        (DownlinkState.SERVED, 1),
        (DownlinkState.DECLINED, 1),
    ],
)
async def test_a_request_stays_while_its_device_listens(store: Store, state: DownlinkState, removed: int) -> None:
    message = a_message()
    await keep(store, an_arrival(message, downlink=a_downlink(message, state=state)))
    assert await prune(store) == removed
    assert (await store.downlink(message.id) is None) == bool(removed)


async def test_what_an_alarm_is_about_stays(store: Store) -> None:
    gathered, told, device = a_message(1), a_message(2), "8000000000000000"
    heard = [a_message(number, device=device) for number in (3, 4)]
    other = a_message(5, device=device, kind=MessageType.ERROR)
    alarms = [
        an_alarm(gathered.event, kind=AlarmKind.GATHERED),
        an_alarm(told.id, kind=AlarmKind.RESULT),
        an_alarm(device),
    ]
    await keep(store, an_arrival(gathered, alarms=alarms), *map(an_arrival, (told, *heard, other)))
    assert await prune(store) == 2  # the first of the device, and what it did not transmit
    assert await store.messages_of(device, limit=9) == [heard[1]]
    last = await store.last_heard(device)
    assert last is not None
    assert last.message == heard[1]
    await store.end_alarms(alarms)
    assert await prune(store) == 3


async def test_what_is_left_of_a_batch_is_replayed_line_by_line(store: Store) -> None:
    messages = [a_message(1), a_message(2, received_at=LATER), a_message(3, received_at=LATER)]
    lines = [a_delivery(message, request=a_line()) for message in messages]
    await keep(store, *(an_arrival(m, held=[line]) for m, line in zip(messages, lines, strict=True)))
    batch = a_batch([a_lease(line) for line in lines])
    assert await store.join([batch]) == [True]
    assert await prune(store) == 0
    await settle(store, batch.lines[0], GiveUp("refused"))
    assert await prune(store) == 1
    assert (await store.counts())[State.UNDELIVERED] == 2
    assert await store.replay([lines[1].id], now=NOW) == 1
    (lease,) = await claim(store)
    assert (lease.delivery.id, lease.delivery.batch, lease.delivery.request) == (lines[1].id, None, lines[1].request)
    assert await store.join([a_batch([lease])]) == [True]


async def test_clock_steps_hold_for_what_is_left(store: Store) -> None:
    await accept(store, an_arrival(a_message(1)), an_arrival(a_message(2)))
    await store.clock_stepped(SECOND)
    await accept(store, an_arrival(a_message(3, device="2")))
    await prune(store)
    await store.clock_stepped(SECOND)
    await accept(store, an_arrival(a_message(4, device="3")))
    heard = [await store.last_heard(device) for device in ("1C178", "2", "3")]
    assert [each and each.at for each in heard] == [None, NOW + SECOND, NOW]


async def test_segments_of_messages_that_are_gone_are_gone(store: Store) -> None:
    devices = [f"{number:X}" for number in range(3)]
    messages = [a_message(number, device=devices[number % 3]) for number in range(10_000)]
    await accept(store, *map(an_arrival, messages[:9_000]))
    pending = a_delivery(messages[9_000])
    await accept(store, an_arrival(messages[9_000], queued=[pending]), *map(an_arrival, messages[9_001:9_100]))
    assert await prune(store, limit=1_000) == 9_098
    await accept(store, *map(an_arrival, messages[9_100:]))
    left = [messages[9_000], *messages[9_099:]]
    for device in devices:
        expected = [message for message in left if message.device == device]
        assert sorted(m.id for m in await store.messages_of(device, limit=10_000)) == sorted(m.id for m in expected)
        heard = await store.last_heard(device)
        assert heard is not None
        assert heard.message == expected[-1]


async def test_nothing_is_in_the_way_of_an_empty_store(store: Store) -> None:
    assert await store.prune(before=LATER, after=0, limit=1) == Pruned(0, None)
    assert not await store.give_back()


async def arrived(store: Store, *days: float) -> None:
    """A message each so many days before LATER, in this order."""
    for number, ago in enumerate(days):
        await accept(store, an_arrival(a_message(number, received_at=LATER - timedelta(days=ago))))


@pytest.mark.parametrize(
    ("days", "removed", "held"),
    [
        ((9, 8, 7, 2, 0), 4, False),
        ((9, 8, 7, 2, -4), 0, True),
        ((9, 8, 7, 2, -3), 4, False),
        ((900, 899, 3, 1, -1), 4, False),
        ((9, 8, 7, 2), 0, True),
        ((-1, -9), 0, False),
        ((9, 8, -7, -8, -30), 0, True),
    ],
)
async def test_nothing_goes_from_before_a_gap(store: Store, days: tuple[float, ...], removed: int, held: bool) -> None:
    await arrived(store, *days)
    pruned = await store.prune(before=LATER, after=0, limit=100, gap=timedelta(days=5))
    assert pruned == Pruned(removed, None, held)
    assert (await store.prune(before=LATER, after=0, limit=100)).removed == sum(day > 0 for day in days[:-1]) - removed


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_an_age_follows_the_clock(store: Store, limit: int) -> None:
    """The clock was a year ahead for a while: its messages are no younger, and those of before no older."""
    year = timedelta(days=365)
    await arrived(store, 3, 2)
    await store.clock_stepped(year)
    await accept(store, *(an_arrival(a_message(10 + n, received_at=LATER + year - (1 - n) * SECOND)) for n in range(3)))
    await store.clock_stepped(-year)
    await accept(store, LAST)
    assert await prune(store, limit=limit) == 3
    assert len(await store.messages_of(a_message().device, limit=9)) == 2
