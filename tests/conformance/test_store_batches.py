"""What every store must do with batches: lines that are sent as one, and that stand and fall together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.delivery import (
    DeliveryId,
    Done,
    GiveUp,
    Lease,
    Refused,
    RetryAt,
    State,
    Step,
)
from reconciler.model.downlink import DownlinkState, InfoCode, NoData, Replies, Send
from reconciler.store.protocol import DeliveryFilter, DeliveryRecord, EndpointBacklog, Store
from tests.builders import (
    NOW,
    a_batch,
    a_delivery,
    a_downlink,
    a_lease,
    a_line,
    a_message,
    a_request,
    a_settlement,
    an_arrival,
    an_attempt,
)
from tests.conformance.store_rig import LEASE, SECOND, accept, claim, ids, record, settle, stand

BATCH = a_request(target="/batch?lines=1C178%3B7%0A1C178%3B8&key=…", body="lines=1C178%3B7%0A1C178%3B8")


async def hold_lines(store: Store, count: int = 3, *, first: int = 0) -> Sequence[Lease]:
    """Accept so many messages, each with a line that is held."""
    messages = [a_message(number) for number in range(first, first + count)]
    lines = [a_delivery(message, request=a_line(line=f"{message.sequence_number}")) for message in messages]
    await accept(store, *(an_arrival(m, held=[line]) for m, line in zip(messages, lines, strict=True)))
    return [a_lease(line, expires_at=NOW + LEASE) for line in lines]


async def hold_batch(store: Store, count: int = 3, *, first: int = 0) -> Sequence[Lease]:
    """So many lines that are a batch; the first lease goes on."""
    leases = await hold_lines(store, count, first=first)
    assert await store.join([a_batch(leases, request=BATCH)]) == [True]
    return leases


async def states(store: Store, leases: Sequence[Lease]) -> Sequence[State]:
    return [(await stand(store, lease.delivery.id)).state for lease in leases]


# Joining


@pytest.mark.parametrize("asks", [False, True])
async def test_the_first_line_carries_the_batch_and_the_others_are_joined(store: Store, asks: bool) -> None:
    leases = await hold_lines(store)
    assert await store.join([a_batch(leases, request=BATCH, asks=asks)]) == [True]
    carrier, *others = (lease.delivery for lease in leases)
    assert await record(store, carrier.id) == DeliveryRecord(
        replace(carrier, request=BATCH, asks=asks, batch=carrier.id), ()
    )
    for line in others:
        assert await record(store, line.id) == DeliveryRecord(replace(line, state=State.JOINED, batch=carrier.id), ())
    assert await store.counts() == dict.fromkeys(State, 0) | {State.PENDING: 1, State.JOINED: 2}


async def test_the_lease_of_what_carries_a_batch_goes_on_and_those_of_the_others_end(store: Store) -> None:
    first, *others = await hold_batch(store)
    for lost in others:
        assert not await settle(store, lost, Done())
    await store.release(others)
    assert await claim(store, now=LEASE - SECOND) == []
    assert await settle(store, first, Done())


async def test_a_batch_may_have_one_line(store: Store) -> None:
    (lease,) = await hold_batch(store, 1)
    assert (await stand(store, lease.delivery.id)).batch == lease.delivery.id
    assert await settle(store, lease, Done())
    assert await store.counts() == dict.fromkeys(State, 0) | {State.DELIVERED: 1}


async def test_lines_of_one_message_can_be_in_one_batch(store: Store) -> None:
    lines = [a_delivery(ordinal=ordinal, request=a_line()) for ordinal in range(3)]
    await accept(store, an_arrival(held=lines))
    leases = [a_lease(line) for line in lines]
    assert await store.join([a_batch(leases)]) == [True]
    assert await settle(store, leases[0], Done())
    assert await states(store, leases) == [State.DELIVERED] * 3


async def test_batches_are_answered_one_by_one(store: Store) -> None:
    lines = await hold_lines(store, 8)
    await store.release([lines[3]])
    await settle(store, lines[5], Done())
    given = [lines[0:2], lines[2:4], lines[4:6], lines[6:8]]
    assert await store.join([a_batch(leases) for leases in given]) == [True, False, False, True]
    pending, delivered, joined = State.PENDING, State.DELIVERED, State.JOINED
    assert await states(store, lines) == [pending, joined, pending, pending, pending, delivered, pending, joined]
    assert (await stand(store, lines[2].delivery.id)) == lines[2].delivery


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("why", ["released", "claimed", "settled", "unknown", "joined"])
async def test_a_batch_with_a_lost_lease_is_not_made(store: Store, place: int, why: str) -> None:
    leases = list(await hold_lines(store))
    lost = leases[place]
    if why == "released":
        await store.release([lost])
    elif why == "claimed":
        await store.release([lost])
        await claim(store)
    elif why == "settled":
        await settle(store, lost, RetryAt(NOW))
    elif why == "joined":
        assert await store.join([a_batch([lost, *(await hold_lines(store, 1, first=9))])]) == [True]
    else:
        leases[place] = a_lease(a_delivery(a_message(99)))
    before = await store.deliveries(DeliveryFilter(), limit=10)
    assert await store.join([a_batch(leases)]) == [False]
    assert await store.deliveries(DeliveryFilter(), limit=10) == before
    for lease in leases[:place] + leases[place + 1 :]:
        assert await settle(store, lease, Done())


async def test_a_line_is_in_one_batch(store: Store) -> None:
    first, second, third, fourth = await hold_lines(store, 4)
    answers = await store.join([a_batch([first, second]), a_batch([second, third]), a_batch([first, third])])
    assert answers == [True, False, False]
    assert await store.join([a_batch([third, third]), a_batch([third, fourth])]) == [False, True]
    assert await store.join([a_batch([third, fourth])]) == [False]


# Sending


async def test_after_the_lease_the_same_batch_is_claimed(store: Store) -> None:
    carrier, *_ = await hold_batch(store)
    (claimed,) = await claim(store, now=LEASE)
    assert claimed.delivery == replace(carrier.delivery, request=BATCH, batch=carrier.delivery.id)
    assert not await settle(store, carrier, Done())
    assert await settle(store, claimed, Done())


async def test_what_carries_a_batch_can_be_given_back(store: Store) -> None:
    carrier, *_ = await hold_batch(store)
    await store.release([carrier])
    assert ids(await claim(store)) == [carrier.delivery.id]


async def test_joined_lines_wait_for_nothing(store: Store) -> None:
    await hold_batch(store, 1_000)
    assert [each.pending for each in await store.backlog()] == [1]
    assert await store.next_claim_at() == NOW + LEASE


@pytest.mark.parametrize(
    ("step", "carrier", "line"),
    [
        (Done(), State.DELIVERED, State.DELIVERED),
        (GiveUp("refused"), State.UNDELIVERED, State.UNDELIVERED),
        (RetryAt(NOW + timedelta(minutes=1)), State.PENDING, State.JOINED),
    ],
)
async def test_lines_end_when_what_carries_them_does(store: Store, step: Step, carrier: State, line: State) -> None:
    leases = await hold_batch(store)
    beside = await hold_batch(store, first=10)
    assert await settle(store, leases[0], step)
    assert await states(store, leases) == [carrier, line, line]
    assert await states(store, beside) == [State.PENDING, State.JOINED, State.JOINED]
    expected = [carrier, line, line, State.PENDING, State.JOINED, State.JOINED]
    assert await store.counts() == {state: expected.count(state) for state in State}
    assert {r.delivery.id for r in await store.deliveries(DeliveryFilter(state=State.UNDELIVERED), limit=10)} == {
        lease.delivery.id for lease in leases if carrier is State.UNDELIVERED
    }


async def test_attempts_are_those_of_what_carries_the_batch(store: Store) -> None:
    leases = await hold_batch(store)
    await settle(store, leases[0], RetryAt(NOW), Refused(503))
    (again,) = await claim(store)
    assert again.delivery.request == BATCH
    await settle(store, again, Done())
    carrier, *others = [await record(store, lease.delivery.id) for lease in leases]
    assert carrier.attempts == (an_attempt(1, Refused(503)), an_attempt(2))
    assert (carrier.delivery.attempts, carrier.delivery.tries) == (2, 2)
    for line in others:
        assert line.attempts == ()
        assert (line.delivery.attempts, line.delivery.tries) == (0, 0)
        assert line.delivery.batch == carrier.delivery.id


async def test_many_batches_are_settled_in_one_call(store: Store) -> None:
    batches = [await hold_batch(store, 2, first=10 * number) for number in range(6)]
    steps: Sequence[Step] = [Done(), GiveUp("refused"), RetryAt(NOW)] * 2
    assert (
        await store.settle([a_settlement(batch[0], step) for batch, step in zip(batches, steps, strict=True)])
        == [True] * 6
    )
    assert await store.counts() == dict.fromkeys(State, 0) | {
        State.PENDING: 2,
        State.JOINED: 2,
        State.DELIVERED: 4,
        State.UNDELIVERED: 4,
    }


# Replaying


@pytest.mark.parametrize("step", [Done(), GiveUp("refused")])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_line_that_is_replayed_stands_for_the_batch(store: Store, step: Step, place: int) -> None:
    leases = await hold_batch(store)
    await settle(store, leases[0], step)
    later = NOW + timedelta(days=1)
    assert await store.replay([leases[place].delivery.id], now=later) == 3
    assert await states(store, leases) == [State.PENDING, State.JOINED, State.JOINED]
    assert await store.counts() == dict.fromkeys(State, 0) | {State.PENDING: 1, State.JOINED: 2}
    assert await store.deliveries(DeliveryFilter(state=State.UNDELIVERED), limit=10) == []
    (again,) = await claim(store, now=timedelta(days=1))
    assert again.delivery == replace(
        leases[0].delivery, request=BATCH, batch=leases[0].delivery.id, due_at=later, attempts=1, tries=0
    )
    assert await settle(store, again, GiveUp("refused"))
    assert await states(store, leases) == [State.UNDELIVERED] * 3


async def test_a_batch_is_replayed_once_however_many_of_its_lines_are_named(store: Store) -> None:
    leases = await hold_batch(store)
    (alone,) = await hold_lines(store, 1, first=10)
    await store.settle([a_settlement(lease, Done()) for lease in (leases[0], alone)])
    assert await store.replay([lease.delivery.id for lease in (*leases, alone, *leases)], now=NOW) == 4
    assert len(await claim(store)) == 2


async def test_a_batch_that_is_not_finished_is_not_replayed(store: Store) -> None:
    leases = await hold_batch(store)
    assert await store.replay([lease.delivery.id for lease in leases], now=NOW) == 0
    assert await states(store, leases) == [State.PENDING, State.JOINED, State.JOINED]


# The journal


async def test_joined_lines_are_listed(store: Store) -> None:
    leases = await hold_batch(store, 5)
    await settle(store, (await hold_batch(store, 2, first=10))[0], Done())
    joined = sorted((lease.delivery.id for lease in leases[1:]), reverse=True)

    async def listed(where: DeliveryFilter, before: DeliveryId | None = None) -> Sequence[DeliveryId]:
        return [r.delivery.id for r in await store.deliveries(where, limit=3, before=before)]

    where = DeliveryFilter(state=State.JOINED)
    assert await listed(where) == joined[:3]
    assert await listed(where, before=joined[2]) == joined[3:]
    assert await listed(DeliveryFilter(state=State.JOINED, device="1C178")) == joined[:3]
    assert await listed(DeliveryFilter(state=State.JOINED, device="1C179")) == []


async def test_the_backlog_has_a_batch_as_one(store: Store) -> None:
    leases = await hold_batch(store)
    endpoint = leases[0].delivery.endpoint
    assert await store.backlog() == [EndpointBacklog(endpoint, 1, NOW)]
    await settle(store, leases[0], Done())
    assert await store.backlog() == []


# Answers to devices


async def test_what_answers_a_batch_answers_all_devices_that_ask(store: Store) -> None:
    messages = [a_message(device=device) for device in ("A", "B", "C", "D")]
    lines = [a_delivery(message, request=a_line(), asks=message.device != "D") for message in messages]
    await accept(
        store,
        *(
            an_arrival(m, held=[line], downlink=a_downlink(m) if line.asks else None)
            for m, line in zip(messages, lines, strict=True)
        ),
    )
    leases = [a_lease(line) for line in reversed(lines)]
    assert await store.join([a_batch(leases, asks=True)]) == [True]
    replies = Replies({"A": Send(bytes(8)), "B": NoData(), "D": Send(bytes(8))}, NoData())
    assert await settle(store, leases[0], Done(), replies=replies)
    requests = [await store.downlink(message.id) for message in messages]
    assert [r and (r.state, r.data, r.code) for r in requests] == [
        (DownlinkState.READY, bytes(8), InfoCode.PENDING),
        (DownlinkState.DECLINED, None, InfoCode.PENDING),
        (DownlinkState.DECLINED, None, InfoCode.PENDING),
        None,
    ]
