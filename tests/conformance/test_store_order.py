"""What every store must do with ordered deliveries: the first of a series goes, the others wait for it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.delivery import Delivery, DeliveryId, Done, GiveUp, Lease, RetryAt, State, Step
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.store.protocol import DeliveryFilter, Store
from tests.builders import NOW, a_delivery, a_message, a_settlement, an_arrival
from tests.conformance.store_rig import LEASE, SECOND, accept, claim, ids, record, settle, stand

OTHER = Key("tracker", "other")
MINUTE = timedelta(minutes=1)


def ordered(number: int, device: str = "1C178", *, callback: Key | None = None) -> tuple[Message, Delivery]:
    message = a_message(number, device=device)
    delivery = a_delivery(message, ordered=True)
    return message, delivery if callback is None else replace(delivery, callback=callback)


async def line_up(store: Store, *given: tuple[Message, Delivery]) -> Sequence[DeliveryId]:
    """Accept messages with one ordered delivery each, in one call."""
    await accept(store, *(an_arrival(message, queued=[delivery]) for message, delivery in given))
    return [delivery.id for _, delivery in given]


async def take_turn(store: Store, *, now: timedelta = timedelta(0)) -> Lease:
    (lease,) = await claim(store, now=now)
    return lease


async def test_only_the_first_of_a_series_is_claimed(store: Store) -> None:
    first, second, third = await line_up(store, ordered(3), ordered(1), ordered(2))
    assert ids(await claim(store)) == [first]
    assert ids(await claim(store)) == []
    assert await store.counts() == dict.fromkeys(State, 0) | {State.PENDING: 1, State.WAITING: 2}
    for waiting in (second, third):
        found = await record(store, waiting)
        assert (found.delivery.state, found.waits_for, found.delivery.ordered) == (State.WAITING, first, True)
    assert (await record(store, first)).waits_for is None


async def test_those_that_come_later_wait_too(store: Store) -> None:
    (first,) = await line_up(store, ordered(1))
    (second,) = await line_up(store, ordered(0))
    assert ids(await claim(store)) == [first]
    assert (await record(store, second)).waits_for == first


@pytest.mark.parametrize("step", [Done(), GiveUp("refused")])
async def test_the_next_has_its_turn_at_once_when_the_first_has_ended(store: Store, step: Step) -> None:
    first, second, third = await line_up(store, ordered(1), ordered(2), ordered(3))
    assert await settle(store, await take_turn(store), step)
    assert await store.next_claim_at() == NOW
    assert (await take_turn(store)).delivery == replace(ordered(2)[1], id=second)
    assert (await record(store, third)).waits_for == second
    assert (await stand(store, first)).state is not State.PENDING
    assert (await store.counts())[State.WAITING] == 1


async def test_nobody_overtakes_a_delivery_that_is_tried_again(store: Store) -> None:
    first, second = await line_up(store, ordered(1), ordered(2))
    assert await settle(store, await take_turn(store), RetryAt(NOW + MINUTE))
    assert await claim(store) == []
    assert await store.next_claim_at() == NOW + MINUTE
    lease = await take_turn(store, now=MINUTE)
    assert (lease.delivery.id, lease.delivery.tries) == (first, 1)
    assert await settle(store, lease, Done())
    assert ids(await claim(store, now=MINUTE)) == [second]


async def test_an_expired_or_released_lease_does_not_change_the_order(store: Store) -> None:
    first, second = await line_up(store, ordered(1), ordered(2))
    await claim(store)
    lease = await take_turn(store, now=LEASE)
    assert lease.delivery.id == first
    await store.release([lease])
    lease = await take_turn(store, now=LEASE)
    assert lease.delivery.id == first
    assert await settle(store, lease, Done())
    assert not await settle(store, lease, Done())
    assert ids(await claim(store, now=LEASE)) == [second]


async def test_a_lost_settlement_gives_nobody_a_turn(store: Store) -> None:
    first, second = await line_up(store, ordered(1), ordered(2))
    late = await take_turn(store)
    held = await take_turn(store, now=LEASE)
    assert await store.settle([a_settlement(late, Done())]) == [False]
    assert (await stand(store, second)).state is State.WAITING
    assert await store.settle([a_settlement(held, Done()), a_settlement(held, Done())]) == [True, False]
    assert ids(await claim(store, now=LEASE)) == [second]
    assert (await stand(store, first)).state is State.DELIVERED


async def test_series_of_other_devices_and_callbacks_go_on_side_by_side(store: Store) -> None:
    given = [ordered(1), ordered(2, "1C179"), ordered(3, callback=OTHER), ordered(4, "FFFFFFFFFFFFFFFF")]
    firsts = await line_up(store, *given)
    await line_up(store, *(ordered(n, d.device, callback=c.callback) for n, (d, c) in enumerate(given, 11)))
    leases = await claim(store)
    assert ids(leases) == firsts
    assert await settle(store, leases[2], Done())
    assert [lease.delivery.callback for lease in await claim(store)] == [OTHER]


async def test_what_is_not_ordered_waits_for_nobody_and_nobody_for_it(store: Store) -> None:
    await accept(store, an_arrival(a_message(1), queued=[a_delivery(a_message(1))]))
    first, second = await line_up(store, ordered(2), ordered(3))
    plain = a_message(4)
    await accept(store, an_arrival(plain, queued=[a_delivery(plain)]))
    expected = [DeliveryId(a_message(1).id, 0), first, DeliveryId(plain.id, 0)]
    assert ids(await claim(store)) == expected
    assert (await stand(store, second)).state is State.WAITING


async def test_within_a_message_the_order_goes_by_ordinal(store: Store) -> None:
    message = a_message(1)
    deliveries = [a_delivery(message, ordinal, ordered=ordinal != 1) for ordinal in (2, 1, 0)]
    await accept(store, an_arrival(message, queued=deliveries))
    assert [i.ordinal for i in ids(await claim(store))] == [0, 1]
    assert (await record(store, DeliveryId(message.id, 2))).waits_for == DeliveryId(message.id, 0)


async def test_further_receptions_stand_in_the_series(store: Store) -> None:
    message, again = a_message(1), a_message(1, station="37FF")
    (first,) = await line_up(store, (message, a_delivery(message, ordered=True)))
    await accept(store, an_arrival(again, again=[a_delivery(again, ordered=True)]))
    assert ids(await claim(store)) == [first]
    assert (await record(store, DeliveryId(again.id, 0))).waits_for == first


async def test_many_series_advance_in_one_call(store: Store) -> None:
    devices = [f"{number:X}" for number in range(40)]
    await line_up(store, *(ordered(n, device) for n, device in enumerate(devices)))
    seconds = await line_up(store, *(ordered(n, device) for n, device in enumerate(devices, 100)))
    steps: Sequence[Step] = [Done(), GiveUp("refused"), RetryAt(NOW + MINUTE), Done()] * 10
    settlements = [a_settlement(lease, step) for lease, step in zip(await claim(store), steps, strict=True)]
    assert await store.settle(settlements) == [True] * 40
    turns = [each for each, step in zip(seconds, steps, strict=True) if not isinstance(step, RetryAt)]
    assert ids(await claim(store)) == turns
    assert await store.counts() == dict.fromkeys(State, 0) | {
        State.PENDING: 40,
        State.WAITING: 10,
        State.DELIVERED: 20,
        State.UNDELIVERED: 10,
    }


async def test_the_next_is_due_by_the_end_of_the_attempt_before_it(store: Store) -> None:
    """The clock was set back after the second was accepted: it does not wait until the time comes again."""
    first, second = ordered(1), ordered(2)
    await line_up(store, first, (second[0], replace(second[1], due_at=NOW + 60 * MINUTE)))
    settlement = a_settlement(await take_turn(store), Done(), started_at=NOW + SECOND)
    assert await store.settle([settlement]) == [True]
    assert await store.next_claim_at() == NOW + SECOND + settlement.attempt.duration


async def test_a_replay_is_in_no_series(store: Store) -> None:
    first, second = await line_up(store, ordered(1), ordered(2))
    assert await settle(store, await take_turn(store), GiveUp("refused"))
    assert await store.replay([first, second], now=NOW) == 1
    leases = {lease.delivery.id: lease for lease in await claim(store)}
    assert leases.keys() == {first, second}
    assert not leases[first].delivery.ordered
    (third,) = await line_up(store, ordered(3))
    assert (await record(store, third)).waits_for == second
    assert await settle(store, leases[first], Done())
    assert (await stand(store, third)).state is State.WAITING


async def test_those_that_wait_are_listed_and_are_no_backlog(store: Store) -> None:
    first, *others = await line_up(store, ordered(1), ordered(2), ordered(3))
    (elsewhere,) = await line_up(store, ordered(4, "1C179"))
    listed = await store.deliveries(DeliveryFilter(state=State.WAITING), limit=10)
    assert [(each.delivery.id, each.waits_for) for each in listed] == [(i, first) for i in sorted(others, reverse=True)]
    assert await store.deliveries(DeliveryFilter(state=State.WAITING, device="1C179"), limit=10) == []
    (backlog,) = await store.backlog()
    assert backlog.pending == 2
    found = await store.message(elsewhere.message)
    assert found is not None
    assert [each.waits_for for each in found.deliveries] == [None]


async def test_a_message_with_a_delivery_that_waits_stays(store: Store) -> None:
    await line_up(store, ordered(1), ordered(2), ordered(3, "1"))
    assert (await store.prune(before=NOW + MINUTE, after=0, limit=10)).removed == 0


async def test_an_ordered_delivery_is_never_held(store: Store) -> None:
    message, delivery = ordered(1)
    with pytest.raises(ValueError, match="ordered"):
        await accept(store, an_arrival(message, held=[delivery]))
