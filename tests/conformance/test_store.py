"""What every store must do, whichever it is: the rules of `reconciler.store.protocol`, one test each.

A new implementation joins `store_rig.STORES` and passes all of this untouched. Beside this file, each with its laws:
`test_store_events.py`, `test_store_batches.py`, `test_store_alarms.py`, `test_store_downlinks.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.errors import RevisionConflict
from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import (
    Accepted,
    Delivery,
    DeliveryId,
    Done,
    GiveUp,
    Lease,
    Outcome,
    Refused,
    Request,
    RetryAt,
    State,
    Step,
    Unreachable,
)
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, Publication, Revision
from reconciler.store.protocol import (
    FIRST_TOKEN,
    MOST_COUNTED,
    DeliveryFilter,
    DeliveryRecord,
    EndpointBacklog,
    Kept,
    MessageRecord,
    Store,
)
from tests.builders import (
    NOW,
    TELEMETRY,
    TOKEN,
    a_definition,
    a_delivery,
    a_lease,
    a_line,
    a_mail,
    a_message,
    a_request,
    a_revision,
    a_settlement,
    an_arrival,
    an_attempt,
)
from tests.conformance.store_rig import (
    LEASE,
    SECOND,
    A,
    B,
    C,
    accept,
    claim,
    hold,
    hosts,
    ids,
    queue,
    settle,
    stand,
)

AFTER_THE_LEASE = NOW + LEASE


# Accepting


async def test_a_message_comes_back_with_its_revision_and_its_deliveries_by_ordinal(store: Store) -> None:
    message = a_message()
    held = [a_delivery(message, 2), a_delivery(message, 0)]
    queued = [a_delivery(message, 1)]
    assert await accept(store, an_arrival(message, revision=7, held=held, queued=queued)) == [Kept.FRESH]
    record = await store.message(message.id)
    assert record == MessageRecord(
        message, 7, tuple(DeliveryRecord(a_delivery(message, ordinal), ()) for ordinal in range(3)), (message,), None
    )


@pytest.mark.parametrize(
    "message",
    [
        a_message(data=b"", metadata={}),
        a_message(time=0),
        a_message(time=2**32 - 1),
        a_message(device="FFFFFFFF"),
        a_message(device="0"),
        *(a_message(device=device) for device in ("7FFFFFFFFFFFFFFF", "8000000000000000", "FFFFFFFFFFFFFFFF")),
        replace(a_message(), received_at=NOW.replace(microsecond=1)),
        a_message(metadata={"ack": True, "lat": 45.0, "deviceTypeId": "628fd74fb3cabb6565ae81bb", "rssi": -135.25}),
    ],
)
async def test_a_message_comes_back_equal(store: Store, message: Message) -> None:
    await accept(store, an_arrival(message))
    assert await store.message(message.id) == MessageRecord(message, 3, (), (message,), None)
    assert await store.messages_of(message.device, limit=2) == [message]


@pytest.mark.parametrize(
    "request_",
    [
        a_request(body=None),
        a_request(body=""),
        a_request(body="žluťoučký kůň 🐎 \u2028 \x00 \\ \" ' $[0]"),
        a_request(body=('{"key":"', Secret("KEY", Context.JSON_STRING), '"}')),
        a_request(target=("/uplink?key=", Secret("KEY", Context.QUERY)), headers=()),
        a_request(headers=[("X-Device", "1C178"), ("X-Device", "1C179"), ("Authorization", (TOKEN,))]),
        a_request(credentials=("login:", TOKEN)),
        replace(a_request(host="2001:db8::1"), scheme="http", port=8080, send_sni=False),
        a_request(body="x" * 100_000),
        a_line(),
        a_mail(),
    ],
    ids=["no body", "empty", "unicode", "secret", "secret in url", "headers", "login", "ipv6", "large", "line", "mail"],
)
@pytest.mark.parametrize("asks", [False, True])
async def test_a_request_comes_back_equal(store: Store, request_: Request, asks: bool) -> None:
    delivery = a_delivery(request=request_, asks=asks)
    await accept(store, an_arrival(queued=[delivery]))
    assert await stand(store, delivery.id) == delivery
    assert [lease.delivery for lease in await claim(store)] == [delivery]


async def test_warnings_come_back_in_order(store: Store) -> None:
    delivery = a_delivery(warnings=("“temperature” does not fit the payload.", "“humidity” does not either."))
    await accept(store, an_arrival(held=[delivery]))
    assert await stand(store, delivery.id) == delivery


async def test_a_repeated_message_changes_nothing(store: Store) -> None:
    message = a_message()
    first = replace(a_delivery(message), revision=3)
    await accept(store, an_arrival(message, revision=3, held=[first]))
    again = [replace(a_delivery(message, ordinal), revision=4) for ordinal in range(2)]
    assert await accept(store, an_arrival(message, revision=4, queued=again)) == [Kept.REPEATED]
    assert await store.message(message.id) == MessageRecord(message, 3, (DeliveryRecord(first, ()),), (message,), None)


async def test_of_the_same_message_twice_in_one_call_the_first_is_kept(store: Store) -> None:
    message, other = a_message(1), a_message(2)
    given = [an_arrival(message, revision=3), an_arrival(other), an_arrival(message, revision=4)]
    assert await accept(store, *given) == [Kept.FRESH, Kept.FRESH, Kept.REPEATED]
    record = await store.message(message.id)
    assert record is not None
    assert record.revision == 3


async def test_accepting_nothing_is_no_mistake(store: Store) -> None:
    assert await accept(store) == []
    assert await store.settle([]) == []
    await store.release([])
    assert await store.replay([], now=NOW) == 0
    assert await store.join([]) == []
    await store.move_alarms([])
    await store.end_alarms([])


@pytest.mark.parametrize("count", [1, 2, 31, 255, 256, 257, 700])
async def test_any_number_of_messages_is_kept_in_one_call(store: Store, count: int) -> None:
    messages = [a_message(number) for number in range(count)]
    answers = await accept(store, *(an_arrival(m, held=[a_delivery(m, 0), a_delivery(m, 1)]) for m in messages))
    assert answers == [Kept.FRESH] * count
    assert (await store.counts())[State.PENDING] == 2 * count
    listed = await store.deliveries(DeliveryFilter(), limit=10_000)
    assert {record.delivery.id.message for record in listed} == {message.id for message in messages}


# Leases


async def test_held_deliveries_are_not_claimable_until_their_lease_expires(store: Store) -> None:
    lease = await hold(store)
    assert await claim(store, now=LEASE - SECOND) == []
    (claimed,) = await claim(store, now=LEASE)
    assert claimed == Lease(lease.delivery, FIRST_TOKEN + 1, AFTER_THE_LEASE + LEASE)


async def test_queued_deliveries_are_claimable_at_once(store: Store) -> None:
    (waiting,) = await queue(store, (A, 0))
    (claimed,) = await claim(store)
    assert ids([claimed]) == [waiting]
    assert claimed.expires_at == NOW + LEASE


async def test_what_is_claimed_is_not_claimed_again(store: Store) -> None:
    await queue(store, (A, 0))
    await claim(store)
    assert await claim(store, now=LEASE - SECOND) == []


async def test_what_is_not_due_is_not_claimed(store: Store) -> None:
    await queue(store, (A, -60))
    assert await claim(store, now=59 * SECOND) == []
    assert len(await claim(store, now=60 * SECOND)) == 1


async def test_a_lease_that_expired_is_not_handed_out_before_its_delivery_is_due(store: Store) -> None:
    await hold(store, a_delivery(due_at=AFTER_THE_LEASE + SECOND))
    assert await claim(store, now=LEASE) == []
    assert await store.next_claim_at() == AFTER_THE_LEASE + SECOND
    assert len(await claim(store, now=LEASE + SECOND)) == 1


async def test_each_claim_of_a_delivery_has_a_higher_token(store: Store) -> None:
    await queue(store, (A, 0))
    tokens = []
    for turn in range(3):
        (lease,) = await claim(store, now=turn * LEASE)
        tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


async def test_a_settlement_under_an_old_token_is_not_recorded(store: Store) -> None:
    old = await hold(store)
    (new,) = await claim(store, now=LEASE)
    assert not await settle(store, old, Done())
    assert await store.delivery(old.delivery.id) == DeliveryRecord(old.delivery, ())
    assert await settle(store, new, Done())


async def test_a_lease_that_expired_still_counts_while_nobody_claimed_it(store: Store) -> None:
    lease = await hold(store)
    assert await settle(store, lease, Done())
    assert await claim(store, now=2 * LEASE) == []


@pytest.mark.parametrize("step", [Done(), RetryAt(NOW), GiveUp("refused")])
async def test_a_lease_settles_once(store: Store, step: Step) -> None:
    lease = await hold(store)
    assert await settle(store, lease, step)
    assert not await settle(store, lease, Done())


async def test_of_two_settlements_of_a_lease_in_one_call_the_first_is_recorded(store: Store) -> None:
    lease = await hold(store)
    answers = await store.settle([a_settlement(lease, Done()), a_settlement(lease, GiveUp("refused"))])
    assert answers == [True, False]
    assert (await stand(store, lease.delivery.id)).state is State.DELIVERED


async def test_settlements_are_answered_one_by_one(store: Store) -> None:
    messages = [a_message(number) for number in range(4)]
    await accept(store, *(an_arrival(m, held=[a_delivery(m)]) for m in messages))
    leases = [a_lease(a_delivery(message)) for message in messages]
    leases[1] = replace(leases[1], token=FIRST_TOKEN + 1)
    leases[2] = a_lease(a_delivery(a_message(99)))
    assert await store.settle([a_settlement(lease, Done()) for lease in leases]) == [True, False, False, True]


async def test_released_deliveries_are_claimable_at_once_and_their_leases_are_lost(store: Store) -> None:
    lease = await hold(store)
    await store.release([lease])
    assert not await settle(store, lease, Done())
    (claimed,) = await claim(store)
    assert claimed.token > lease.token
    assert claimed.delivery == lease.delivery


async def test_releasing_a_lost_lease_changes_nothing(store: Store) -> None:
    lost = await hold(store)
    await claim(store, now=LEASE)
    await store.release([lost, a_lease(a_delivery(a_message(99)))])
    assert await claim(store, now=LEASE) == []


# Claiming fairly


async def test_within_an_endpoint_the_oldest_due_comes_first(store: Store) -> None:
    first, second, third = await queue(store, (A, 1), (A, 3), (A, 2))
    assert ids(await claim(store)) == [second, third, first]


async def test_all_that_is_due_at_the_same_moment_is_claimed_in_the_order_of_acceptance(store: Store) -> None:
    messages = [a_message(number, time=1_700_000_000 - number) for number in range(4)]
    waiting = [[a_delivery(message, ordinal) for ordinal in range(3)] for message in messages]
    await accept(store, *(an_arrival(m, queued=queued) for m, queued in zip(messages, waiting, strict=True)))
    in_order = [delivery.id for queued in waiting for delivery in queued]
    assert ids(await claim(store, limit=7)) == in_order[:7]
    assert ids(await claim(store)) == in_order[7:]


async def test_expired_leases_take_their_turn_by_due_time(store: Store) -> None:
    (waiting,) = await queue(store, (A, 1))
    message = a_message(99)
    older, newer = (
        a_delivery(message, ordinal, host=A, due_at=NOW - age * SECOND) for ordinal, age in enumerate((2, 0))
    )
    await accept(store, an_arrival(message, held=[older, newer]))
    assert ids(await claim(store, now=LEASE)) == [older.id, waiting, newer.id]


async def test_no_endpoint_gets_a_second_round_before_each_had_its_first(store: Store) -> None:
    await queue(store, (A, 9), (A, 8), (A, 7), (B, 2), (B, 1), (C, 1))
    assert sorted(hosts(await claim(store, limit=3))) == [A, B, C]
    assert sorted(hosts(await claim(store, limit=2))) == [A, B]
    assert hosts(await claim(store)) == [A]


async def test_a_round_goes_by_due_time(store: Store) -> None:
    await queue(store, (A, 1), (B, 3), (C, 2), (A, 0), (C, 0))
    assert hosts(await claim(store, limit=4)) == [B, C, A, A]


async def test_no_endpoint_gets_more_than_its_room(store: Store) -> None:
    await queue(store, *((host, 0) for host in (A, B, C) for _ in range(3)))
    room = {f"https://{A}:443": 2, f"https://{B}:443": 0, "https://unknown.example.com:443": 5}
    assert sorted(hosts(await claim(store, room=room, default_room=1))) == [A, A, C]


async def test_room_below_zero_is_no_room(store: Store) -> None:
    await queue(store, (A, 0))
    assert await claim(store, room={f"https://{A}:443": -1}, default_room=-1) == []


async def test_room_that_one_endpoint_lacks_goes_to_the_others(store: Store) -> None:
    await queue(store, (A, 9), (A, 8), (B, 3), (B, 2), (B, 1))
    assert sorted(hosts(await claim(store, room={f"https://{A}:443": 1}, limit=4))) == [A, B, B, B]


# Settling


@pytest.mark.parametrize(
    ("step", "state", "due_at"),
    [
        (Done(), State.DELIVERED, None),
        (RetryAt(NOW + timedelta(minutes=1)), State.PENDING, NOW + timedelta(minutes=1)),
        (GiveUp("four attempts failed"), State.UNDELIVERED, None),
    ],
)
async def test_a_step_leads_where_the_lifecycle_says(store: Store, step: Step, state: State, due_at: object) -> None:
    lease = await hold(store)
    assert await settle(store, lease, step)
    now = await stand(store, lease.delivery.id)
    assert (now.state, now.attempts, now.tries) == (state, 1, 1)
    assert due_at in (None, now.due_at)
    assert await store.counts() == dict.fromkeys(State, 0) | {state: 1}


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(204),
        Accepted(200, b"\x00\xff"),
        Refused(503, b"busy"),
        Unreachable("deadline", "No answer within 10 s."),
    ],
)
async def test_an_attempt_comes_back_equal(store: Store, outcome: Outcome) -> None:
    lease = await hold(store)
    await settle(store, lease, Done(), outcome)
    record = await store.delivery(lease.delivery.id)
    assert record is not None
    assert record.attempts == (an_attempt(1, outcome),)


async def test_a_retry_waits_until_it_is_due_and_adds_to_the_attempts(store: Store) -> None:
    lease = await hold(store)
    failures: list[Outcome] = [Refused(500), Unreachable("connection-refused", "Nobody listens there."), Refused(503)]
    for turn, failure in enumerate(failures, start=1):
        due = turn * timedelta(hours=1)
        await settle(store, lease, RetryAt(NOW + due), failure)
        assert await claim(store, now=due - SECOND) == []
        (lease,) = await claim(store, now=due)
        assert (lease.delivery.attempts, lease.delivery.tries) == (turn, turn)
        assert lease.delivery.due_at == NOW + due
    record = await store.delivery(lease.delivery.id)
    assert record is not None
    assert [attempt.outcome for attempt in record.attempts] == failures
    assert [attempt.number for attempt in record.attempts] == [1, 2, 3]


# When to look again


async def test_there_is_nothing_to_claim_while_nothing_is_pending(store: Store) -> None:
    assert await store.next_claim_at() is None
    await settle(store, await hold(store), Done())
    assert await store.next_claim_at() is None


async def test_the_next_claim_is_at_the_earliest_due_time_or_expiry(store: Store) -> None:
    await hold(store)
    assert await store.next_claim_at() == NOW + LEASE
    await accept(store, an_arrival(a_message(2), queued=[a_delivery(a_message(2), host=B, due_at=NOW + SECOND)]))
    assert await store.next_claim_at() == NOW + SECOND
    await claim(store, now=SECOND)
    assert await store.next_claim_at() == NOW + LEASE


# Replay


@pytest.mark.parametrize("step", [Done(), GiveUp("refused")])
async def test_a_replay_starts_the_tries_anew_and_keeps_the_attempts(store: Store, step: Step) -> None:
    lease = await hold(store)
    await settle(store, lease, step)
    later = NOW + timedelta(days=1)
    assert await store.replay([lease.delivery.id], now=later) == 1
    record = await store.delivery(lease.delivery.id)
    assert record == DeliveryRecord(replace(lease.delivery, due_at=later, attempts=1), (an_attempt(1),))
    (again,) = await claim(store, now=timedelta(days=1))
    assert await settle(store, again, Done())
    record = await store.delivery(lease.delivery.id)
    assert record is not None
    assert (record.delivery.attempts, record.delivery.tries) == (2, 1)
    assert record.attempts == (an_attempt(1), an_attempt(2))


async def test_only_what_is_finished_is_replayed(store: Store) -> None:
    messages = [a_message(number) for number in range(3)]
    await accept(store, *(an_arrival(m, held=[a_delivery(m)]) for m in messages))
    done, given_up, pending = (a_lease(a_delivery(message)) for message in messages)
    await settle(store, done, Done())
    await settle(store, given_up, GiveUp("refused"))
    everything = [lease.delivery.id for lease in (done, given_up, pending, done)]
    unknown = [DeliveryId(a_message(99).id, 0), DeliveryId(messages[0].id, 1), DeliveryId(messages[0].id, 65_536)]
    assert await store.replay([*everything, *unknown], now=NOW) == 2
    assert await store.counts() == dict.fromkeys(State, 0) | {State.PENDING: 3}
    assert await store.deliveries(DeliveryFilter(state=State.UNDELIVERED), limit=10) == []


async def test_a_replayed_delivery_can_be_given_up_again(store: Store) -> None:
    lease = await hold(store)
    await settle(store, lease, GiveUp("refused"))
    await store.replay([lease.delivery.id], now=NOW)
    (again,) = await claim(store)
    assert await settle(store, again, GiveUp("refused"))
    (record,) = await store.deliveries(DeliveryFilter(state=State.UNDELIVERED), limit=10)
    assert record.delivery.attempts == 2


# The journal


async def test_what_is_unknown_is_none(store: Store) -> None:
    await hold(store)
    for message_id in (a_message(99).id, "nonsense", "", a_message().id.upper()):
        assert await store.message(message_id) is None
        assert await store.delivery(DeliveryId(message_id, 0)) is None
    for ordinal in (1, 65_536, 10**30):
        assert await store.delivery(DeliveryId(a_message().id, ordinal)) is None
    for device in ("1C179", "01C178", "1c178", "nonsense", "", "-1", "1" * 40):
        assert await store.messages_of(device, limit=10) == []


async def test_messages_of_a_device_come_newest_event_first(store: Store) -> None:
    messages = [a_message(number, time=1_700_000_000 + time) for number, time in enumerate((5, 9, 1, 7))]
    others = [a_message(number, device="1C179") for number in range(3)]
    await accept(store, *map(an_arrival, [*others, *messages]))
    listed = await store.messages_of("1C178", limit=3)
    assert [message.time - 1_700_000_000 for message in listed] == [9, 7, 5]
    assert list(listed) == sorted(messages, key=lambda message: message.time, reverse=True)[:3]


async def test_messages_of_a_device_are_found_among_many(store: Store) -> None:
    messages = [a_message(number, device=f"{number % 500:X}") for number in range(5_000)]
    for start in range(0, len(messages), 1_700):
        await accept(store, *map(an_arrival, messages[start : start + 1_700]))
    expected = sorted((message.id for message in messages[7::500]), reverse=True)
    assert [message.id for message in await store.messages_of("7", limit=100)] == expected


@pytest.fixture
async def history(store: Store) -> Sequence[Delivery]:
    """Six messages of two devices, each with a delivery to A by `telemetry` and to B by `alarms`, in every state."""
    deliveries = []
    for number in range(6):
        message = a_message(number, device=f"1C17{number % 2}", time=1_700_000_000 + number * 7 % 6)
        pair = (
            a_delivery(message, 0, host=A),
            a_delivery(message, 1, host=B, callback=Key("tracker", "alarms")),
        )
        await accept(store, an_arrival(message, held=pair))
        await settle(store, a_lease(pair[0]), Done() if number % 3 else GiveUp("refused"))
        if number == 4:
            await settle(store, a_lease(pair[1]), GiveUp("refused"))
        deliveries += [await stand(store, delivery.id) for delivery in pair]
    return sorted(deliveries, key=lambda delivery: delivery.id, reverse=True)


@pytest.mark.parametrize(
    "where",
    [
        DeliveryFilter(),
        *(DeliveryFilter(state=state) for state in State),
        DeliveryFilter(callback=TELEMETRY),
        DeliveryFilter(callback=Key("tracker", "unknown")),
        DeliveryFilter(endpoint=f"https://{B}:443"),
        DeliveryFilter(endpoint="https://unknown:443"),
        DeliveryFilter(device="1C171"),
        DeliveryFilter(device="nonsense"),
        *(DeliveryFilter(state=state, device="1C170") for state in State),
        DeliveryFilter(state=State.UNDELIVERED, callback=TELEMETRY, device="1C171", endpoint=f"https://{A}:443"),
        DeliveryFilter(state=State.PENDING, callback=TELEMETRY),
        DeliveryFilter(state=State.PENDING, endpoint=f"https://{B}:443"),
    ],
    ids=str,
)
async def test_deliveries_are_listed_by_descending_id_page_by_page(
    store: Store, history: Sequence[Delivery], where: DeliveryFilter
) -> None:
    def matches(delivery: Delivery) -> bool:
        device = next(d for d in ("1C170", "1C171") if delivery.id.message in devices[d])
        return (
            where.state in (None, delivery.state)
            and where.callback in (None, delivery.callback)
            and where.endpoint in (None, delivery.endpoint)
            and where.device in (None, device)
        )

    devices = {d: {m.id for m in await store.messages_of(d, limit=10)} for d in ("1C170", "1C171")}
    expected = [delivery for delivery in history if matches(delivery)]
    listed: list[Delivery] = []
    page = await store.deliveries(where, limit=2)
    while page:
        listed += [record.delivery for record in page]
        page = await store.deliveries(where, limit=2, before=listed[-1].id)
    assert listed == expected


async def test_listed_deliveries_carry_their_attempts(store: Store, history: Sequence[Delivery]) -> None:
    for record in await store.deliveries(DeliveryFilter(), limit=100):
        assert len(record.attempts) == record.delivery.attempts


async def test_every_state_is_counted(store: Store, history: Sequence[Delivery]) -> None:
    states = [delivery.state for delivery in history]
    assert await store.counts() == {state: states.count(state) for state in State}


async def test_an_empty_store_counts_zero_in_every_state(store: Store) -> None:
    assert await store.counts() == dict.fromkeys(State, 0)
    assert await store.backlog() == []


async def test_the_backlog_tells_what_waits_for_each_endpoint_leased_or_not(store: Store) -> None:
    await queue(store, (A, 5), (A, 8), (B, 1))
    await claim(store, limit=1)
    await settle(store, await hold(store, a_delivery(a_message(1), 9, host=C)), Done())
    assert {each.endpoint: each for each in await store.backlog()} == {
        f"https://{host}:443": EndpointBacklog(f"https://{host}:443", pending, NOW - age * SECOND)
        for host, pending, age in ((A, 2, 8), (B, 1, 1))
    }


async def test_the_backlog_counts_so_far_and_no_further(store: Store) -> None:
    await queue(store, *((A, age) for age in range(MOST_COUNTED + 5)))

    (backlog,) = await store.backlog()
    assert (backlog.pending, backlog.oldest_due_at) == (MOST_COUNTED, NOW - (MOST_COUNTED + 4) * SECOND)


# Revisions

TELEMETRY_1 = a_definition(TELEMETRY, {"type": "data/uplink", "url": "https://a.example.com/{device}"})
TELEMETRY_2 = a_definition(
    TELEMETRY, {"type": "data/uplink", "headers": {"X-Ü": "ž"}, "n": [1, 2.5, None, True, {"deep": "🐎"}]}
)
TRACKER = a_definition(Key("tracker"), {"payload": "door::bool:7"})


def chain(*contents: Sequence[object]) -> Sequence[Revision]:
    revisions: list[Revision] = []
    for definitions in contents:
        revisions.append(a_revision(definitions, after=revisions[-1] if revisions else EMPTY))  # type: ignore[arg-type]
    return revisions


CHAIN = chain([TRACKER], [TRACKER, TELEMETRY_1], [TRACKER, TELEMETRY_2], [TRACKER, TELEMETRY_1], [], [TELEMETRY_2])


async def test_before_the_first_publication_the_revision_is_empty(store: Store) -> None:
    assert await store.current() == EMPTY
    assert await store.revision(0) == EMPTY
    assert await store.revision(1) is None
    assert await store.history(limit=10) == []


async def test_every_published_revision_comes_back_equal(store: Store) -> None:
    for revision in CHAIN:
        await store.publish(revision)
        assert await store.current() == revision
    for revision in CHAIN:
        assert await store.revision(revision.number) == revision
    assert await store.revision(len(CHAIN) + 1) is None
    assert await store.revision(-1) is None


@pytest.mark.parametrize("number", [0, 1, 3, 7])
async def test_only_the_next_number_can_be_published(store: Store, number: int) -> None:
    await store.publish(CHAIN[0])
    with pytest.raises(RevisionConflict) as conflict:
        await store.publish(replace(CHAIN[1], number=number))
    assert (conflict.value.expected, conflict.value.current) == (number - 1, 1)
    assert await store.current() == CHAIN[0]
    assert await store.revision(3) is None


async def test_a_change_of_owner_alone_is_kept(store: Store) -> None:
    mine = a_revision([TRACKER, TELEMETRY_1], owner="mine")
    theirs = a_revision([TRACKER, TELEMETRY_1], after=mine, owner="theirs")
    await store.publish(mine)
    await store.publish(theirs)
    assert await store.revision(1) == mine
    assert await store.current() == theirs


async def test_who_published_may_be_unknown(store: Store) -> None:
    revision = a_revision([TRACKER], publication=Publication(at=None, by=""))
    await store.publish(revision)
    assert await store.revision(1) == revision


def by(via: str, **more: str) -> Publication:
    return Publication(at=NOW, by="ci@example.com", via=via, **more)


async def test_what_carried_out_which_plan_for_whom_and_what_was_moved_is_kept(store: Store) -> None:
    first = replace(a_revision([TRACKER, TELEMETRY_1], publication=by("import")), owner="cold-chain")
    there = Key("tracker", "position")
    moved = replace(
        a_revision([TRACKER, a_definition(there)], after=first, publication=by("rollback", plan="5b" * 16)),
        owner="cold-chain",
        changes=(("update", Key("tracker")), ("move", there)),
        sources={there: TELEMETRY},
    )
    await store.publish(first)
    await store.publish(moved)
    assert [await store.revision(1), await store.current()] == [first, moved]
    assert await store.history(limit=10) == [moved.entry, first.entry]


async def test_fingerprints_of_secrets_are_kept_with_each_revision(store: Store) -> None:
    told: Sequence[Mapping[str, str | None]] = [
        {},
        {"A": "00ff" * 4, "B": None},
        {"A": None},
        {"_b": "1234567890123456"},
    ]
    revisions = [replace(revision, fingerprints=each) for revision, each in zip(CHAIN[:4], told, strict=True)]
    for revision in revisions:
        await store.publish(revision)
        assert await store.current() == revision
    assert [await store.revision(revision.number) for revision in revisions] == revisions


async def test_what_files_brought_about_is_the_last_publication_of_their_project_by_a_plan(store: Store) -> None:
    told = [("mine", "import"), ("mine", "apply"), ("theirs", "rollback"), ("mine", ""), ("", "apply"), ("theirs", "")]
    for revision, (owner, via) in zip(CHAIN, told, strict=True):
        assert await store.applied("nobody") is None
        await store.publish(replace(revision, owner=owner, publication=by(via)))
    assert [found and found.number for found in (await store.applied("mine"), await store.applied("theirs"))] == [2, 3]
    assert await store.applied("mine") == await store.revision(2)


async def test_a_revision_that_changes_nothing_is_a_revision(store: Store) -> None:
    first = replace(CHAIN[0], fingerprints={"A": "00ff" * 4})
    again = replace(first, number=2, changes=(), fingerprints={"A": "ff00" * 4})
    await store.publish(first)
    await store.publish(again)
    assert [await store.revision(1), await store.current()] == [first, again]


async def test_the_history_is_newest_first_page_by_page(store: Store) -> None:
    for revision in CHAIN:
        await store.publish(revision)
    entries = [revision.entry for revision in reversed(CHAIN)]
    assert await store.history(limit=100) == entries
    assert await store.history(limit=2) == entries[:2]
    assert await store.history(limit=2, before=5) == entries[2:4]
    assert await store.history(limit=2, before=1) == []
