"""What every store must do with downlink requests: one open for each device, answered once, handed out once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.delivery import Done, GiveUp, Lease, Refused, RetryAt, Step
from reconciler.model.downlink import (
    LISTENING,
    OPEN,
    Downlink,
    DownlinkState,
    Failed,
    InfoCode,
    NoData,
    Replies,
    Reply,
    Send,
)
from reconciler.model.message import Message, MessageType
from reconciler.store.protocol import Arrival, Kept, Store
from tests.builders import (
    NOW,
    a_delivery,
    a_downlink,
    a_lease,
    a_message,
    a_settlement,
    an_arrival,
    an_attempt,
)
from tests.conformance.store_rig import LEASE, SECOND, accept, claim, settle

ASKED, READY, SERVED = DownlinkState.ASKED, DownlinkState.READY, DownlinkState.SERVED
DECLINED, ENDED = DownlinkState.DECLINED, DownlinkState.ENDED
DATA = bytes.fromhex("0123456789abcdef")
SEND = Replies({}, Send(DATA))
# When the attempt of `a_settlement` ends.
ANSWERED = NOW + an_attempt().duration


def asking(
    number: int = 1,
    *,
    state: DownlinkState = ASKED,
    device: str = "1C178",
    after: timedelta = timedelta(0),
    code: InfoCode = InfoCode.PENDING,
) -> Arrival:
    """A message that asks for a downlink so long after NOW, with a delivery that is held."""
    message = a_message(number, device=device)
    data = DATA if state in (READY, SERVED) else None
    return an_arrival(
        message,
        held=[a_delivery(message, asks=True)],
        downlink=a_downlink(message, state=state, data=data, code=code, asked_at=NOW + after),
    )


def report(number: int, code: InfoCode, *, device: str = "1C178") -> Arrival:
    """What the network says became of a downlink."""
    return an_arrival(a_message(number, device=device, kind=MessageType.ACKNOWLEDGE), reported=code)


def message_of(number: int = 1, *, device: str = "1C178") -> Message:
    return a_message(number, device=device)


def lease_of(number: int = 1, *, device: str = "1C178") -> Lease:
    return a_lease(a_delivery(message_of(number, device=device), asks=True))


async def request(store: Store, number: int = 1, *, device: str = "1C178") -> Downlink:
    found = await store.downlink(message_of(number, device=device).id)
    assert found is not None
    return found


async def stands(store: Store, *numbers: int) -> Sequence[tuple[DownlinkState, InfoCode]]:
    found = [await request(store, number) for number in numbers]
    return [(each.state, each.code) for each in found]


async def results(store: Store) -> Sequence[Alarm]:
    due = await store.alarms_due(now=NOW + timedelta(days=1), limit=1_000)
    return [alarm for alarm in due if alarm.kind is AlarmKind.RESULT]


def result_of(number: int = 1, *, after: timedelta = timedelta(0)) -> Alarm:
    return Alarm(AlarmKind.RESULT, message_of(number).id, "1C178", "tracker", NOW + after)


async def serve(store: Store, *, limit: int = 100, after: timedelta = timedelta(0)) -> Sequence[Downlink]:
    return await store.serve_downlinks(limit=limit, now=NOW + after)


# Asking


@pytest.mark.parametrize("state", DownlinkState)
@pytest.mark.parametrize("device", ["1C178", "FFFFFFFFFFFFFFFF"])
async def test_a_request_comes_back_equal(store: Store, state: DownlinkState, device: str) -> None:
    arrival = asking(state=state, device=device, code=InfoCode.ACKED if state is ENDED else InfoCode.PENDING)
    await accept(store, arrival)
    assert await store.downlink(arrival.message.id) == arrival.downlink
    record = await store.message(arrival.message.id)
    assert record is not None
    assert record.downlink == arrival.downlink


async def test_a_message_that_did_not_ask_is_no_request(store: Store) -> None:
    await accept(store, an_arrival(), asking(2))
    for message_id in (a_message().id, a_message(3).id, "nonsense", ""):
        assert await store.downlink(message_id) is None
    record = await store.message(a_message().id)
    assert record is not None
    assert record.downlink is None


async def test_a_repeated_message_does_not_ask_again(store: Store) -> None:
    await accept(store, asking())
    await settle(store, lease_of(), Done(), replies=SEND)
    assert await accept(store, asking(), asking()) == [Kept.REPEATED] * 2
    assert (await request(store)).state is READY


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("first", DownlinkState)
@pytest.mark.parametrize("second", DownlinkState)
@pytest.mark.parametrize("after", [LISTENING - SECOND, LISTENING])
async def test_a_device_has_one_open_request(
    store: Store, first: DownlinkState, second: DownlinkState, after: timedelta, together: bool
) -> None:
    arrivals = asking(1, state=first), asking(2, state=second, after=after)
    if together:
        await accept(store, *arrivals)
    else:
        for arrival in arrivals:
            await accept(store, arrival)
    expected = arrivals[1].downlink
    assert expected is not None
    if first in OPEN and second in OPEN and after < LISTENING:
        expected = replace(expected, state=ENDED, code=InfoCode.TOO_MANY_REQUESTS)
    assert await request(store, 1) == arrivals[0].downlink
    assert await request(store, 2) == expected
    ended = [number for number, state in ((1, first), (2, expected.state)) if state is ENDED]
    assert await results(store) == [result_of(number, after=after if number == 2 else timedelta(0)) for number in ended]


async def test_of_many_requests_in_one_call_the_first_is_open(store: Store) -> None:
    await accept(store, *(asking(number) for number in range(300)), asking(1, device="1C179"))
    assert await stands(store, *range(300)) == [
        (ASKED, InfoCode.PENDING),
        *[(ENDED, InfoCode.TOO_MANY_REQUESTS)] * 299,
    ]
    assert (await request(store, 1, device="1C179")).state is ASKED
    assert len(await results(store)) == 299


async def test_a_request_that_was_refused_does_not_stand_in_the_way(store: Store) -> None:
    await accept(store, asking(1), asking(2, after=44 * SECOND))
    await accept(store, asking(3, after=46 * SECOND))
    assert [state for state, _ in await stands(store, 1, 2, 3)] == [ASKED, ENDED, ASKED]


async def test_a_request_that_was_answered_makes_room(store: Store) -> None:
    await accept(store, asking(1))
    await settle(store, lease_of(1), Done(), replies=Replies({}, NoData()))
    await accept(store, asking(2, after=SECOND))
    assert await stands(store, 1, 2) == [(DECLINED, InfoCode.PENDING), (ASKED, InfoCode.PENDING)]


# Answering


@pytest.mark.parametrize(
    ("reply", "state", "data", "code"),
    [
        (Send(DATA), READY, DATA, InfoCode.PENDING),
        (NoData(), DECLINED, None, InfoCode.PENDING),
        (Failed(InfoCode.NO_ANSWER), ENDED, None, InfoCode.NO_ANSWER),
        (Failed(InfoCode.INVALID_PAYLOAD), ENDED, None, InfoCode.INVALID_PAYLOAD),
    ],
)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("step", [Done(), GiveUp("refused"), RetryAt(NOW)])
async def test_an_answer_decides_what_becomes_of_a_request(
    store: Store, reply: Reply, state: DownlinkState, data: bytes | None, code: InfoCode, named: bool, step: Step
) -> None:
    arrival = asking()
    await accept(store, arrival)
    other = Failed(InfoCode.OVERRUN_ERROR)
    replies = Replies({"1C178": reply}, other) if named else Replies({"1C179": other}, reply)
    assert await settle(store, lease_of(), step, replies=replies)
    assert arrival.downlink is not None
    assert await request(store) == replace(arrival.downlink, state=state, data=data, code=code)
    assert await results(store) == ([result_of(after=ANSWERED - NOW)] if state is ENDED else [])


@pytest.mark.parametrize("state", [READY, SERVED, DECLINED, ENDED])
async def test_only_a_request_that_waits_for_it_is_answered(store: Store, state: DownlinkState) -> None:
    arrival = asking(state=state)
    await accept(store, arrival)
    assert await settle(store, lease_of(), Done(), replies=Replies({}, Failed(InfoCode.NO_ANSWER)))
    assert await request(store) == arrival.downlink


async def test_an_answer_that_comes_too_late_is_none(store: Store) -> None:
    await accept(store, asking(1), asking(2, device="1C179"))
    late = ANSWERED - NOW  # the attempt starts so long before the device stops listening that it ends at that moment
    settlements = [
        a_settlement(lease_of(1), Done(), replies=SEND, started_at=NOW + LISTENING - late),
        a_settlement(lease_of(2, device="1C179"), Done(), replies=SEND, started_at=NOW + LISTENING - late - SECOND),
    ]
    assert await store.settle(settlements) == [True, True]
    assert await stands(store, 1) == [(ENDED, InfoCode.NO_ANSWER)]
    assert (await request(store, 1)).data is None
    assert (await request(store, 2, device="1C179")).state is READY
    assert await results(store) == [result_of(1, after=LISTENING)]


async def test_the_first_answer_counts(store: Store) -> None:
    await accept(store, asking())
    await settle(store, lease_of(), RetryAt(NOW), Refused(500), replies=Replies({}, Failed(InfoCode.NO_ANSWER)))
    (again,) = await claim(store)
    assert await settle(store, again, Done(), replies=SEND)
    assert await stands(store, 1) == [(ENDED, InfoCode.NO_ANSWER)]
    assert len(await results(store)) == 1


async def test_a_settlement_without_replies_answers_nobody(store: Store) -> None:
    await accept(store, asking())
    assert await settle(store, lease_of(), Done())
    assert (await request(store)).state is ASKED


async def test_a_settlement_that_is_not_recorded_answers_nobody(store: Store) -> None:
    await accept(store, asking())
    await claim(store, now=LEASE)
    assert not await settle(store, lease_of(), Done(), replies=SEND)
    assert (await request(store)).state is ASKED


async def test_an_answer_is_for_its_own_message(store: Store) -> None:
    await accept(store, asking(1), asking(2, device="1C179"))
    assert await settle(store, lease_of(1), Done(), replies=SEND)
    assert (await request(store, 1)).state is READY
    assert (await request(store, 2, device="1C179")).state is ASKED


async def test_many_answers_are_recorded_in_one_call(store: Store) -> None:
    devices = [f"{number:X}" for number in range(300)]
    await accept(store, *(asking(device=device) for device in devices))
    settlements = [
        a_settlement(
            lease_of(device=device), Done(), replies=Replies({device: Send(number.to_bytes(8, "big"))}, NoData())
        )
        for number, device in enumerate(devices)
    ]
    assert await store.settle(settlements) == [True] * 300
    for number in (0, 1, 150, 299):
        assert (await request(store, device=devices[number])).data == number.to_bytes(8, "big")


# Handing out


async def test_what_is_ready_is_handed_out_once(store: Store) -> None:
    arrival = asking(state=READY)
    await accept(store, arrival, asking(2, device="1C179"))
    assert arrival.downlink is not None
    served = replace(arrival.downlink, state=SERVED)
    assert await serve(store) == [served]
    assert await request(store) == served
    assert await serve(store) == []
    assert await store.serve_downlinks(limit=1, now=NOW, message=message_of().id) == []


async def test_the_oldest_is_handed_out_first(store: Store) -> None:
    ages = {"A": 20, "B": 30, "C": 10, "D": 30}
    await accept(store, *(asking(device=device, state=READY, after=-age * SECOND) for device, age in ages.items()))
    assert [request.device for request in await serve(store, limit=3)] == ["B", "D", "A"]
    assert [request.device for request in await serve(store, limit=3)] == ["C"]


async def test_what_expired_is_not_handed_out(store: Store) -> None:
    await accept(store, asking(device="A", state=READY), asking(device="B", state=READY, after=SECOND))
    assert [request.device for request in await serve(store, after=LISTENING)] == ["B"]
    assert await store.serve_downlinks(limit=1, now=NOW + LISTENING, message=message_of(device="A").id) == []


async def test_requests_of_one_device_type_can_be_handed_out_alone(store: Store) -> None:
    mine, other = asking(device="A", state=READY), asking(device="B", state=READY)
    assert other.downlink is not None
    await accept(store, mine, replace(other, downlink=replace(other.downlink, device_type="valve")))

    assert await store.serve_downlinks(limit=9, now=NOW, device_type="gate") == []
    (served,) = await store.serve_downlinks(limit=9, now=NOW, device_type="valve")
    assert served.device == "B"
    assert [request.device for request in await serve(store, limit=9)] == ["A"]


async def test_one_message_s_request_can_be_handed_out_alone(store: Store) -> None:
    await accept(store, *(asking(device=device, state=READY) for device in "ABC"), asking(device="D"))

    async def serve_one(message_id: str) -> Sequence[str]:
        served = await store.serve_downlinks(limit=10, now=NOW, message=message_id)
        return [request.device for request in served]

    for unknown in ("nonsense", "", message_of(9).id, message_of(device="D").id):
        assert await serve_one(unknown) == []
    assert await serve_one(message_of(device="B").id) == ["B"]
    assert await serve_one(message_of(device="B").id) == []
    assert [request.device for request in await serve(store)] == ["A", "C"]


async def test_calls_at_the_same_time_never_get_the_same(store: Store) -> None:
    devices = [f"{number:X}" for number in range(60)]
    await accept(store, *(asking(device=device, state=READY) for device in devices))
    answers = await asyncio.gather(
        *(serve(store, limit=7) for _ in range(6)),
        *(store.serve_downlinks(limit=1, now=NOW, message=message_of(device=d).id) for d in devices[::3]),
        *(serve(store, limit=7) for _ in range(6)),
    )
    served = [request.device for answer in answers for request in answer]
    assert sorted(served) == sorted(devices)


# Expiring


async def test_what_waits_ends_when_the_device_stops_listening(store: Store) -> None:
    states = dict(enumerate(DownlinkState))
    await accept(store, *(asking(number, state=state, device=f"{number}") for number, state in states.items()))
    ended = {number: state for number, state in states.items() if state is ENDED}
    assert await store.expire_downlinks(now=NOW + LISTENING - SECOND) == 0
    assert await store.expire_downlinks(now=NOW + 2 * LISTENING) == 2
    assert await store.expire_downlinks(now=NOW + 2 * LISTENING) == 0
    for number, state in states.items():
        code = {ASKED: InfoCode.NO_ANSWER, READY: InfoCode.NETWORK_ERROR}.get(state, InfoCode.PENDING)
        now = await request(store, number, device=f"{number}")
        assert (now.state, now.code) == (ENDED if code is not InfoCode.PENDING else state, code)
    due = {alarm.device: alarm.due_at for alarm in await results(store)}
    assert due == {
        "0": NOW + 2 * LISTENING,
        "1": NOW + 2 * LISTENING,
        **{f"{number}": NOW for number in ended},
    }


async def test_a_request_expires_at_its_time_and_is_waited_for_until_then(store: Store) -> None:
    await accept(store, asking(1), asking(2, device="1C179", state=READY, after=SECOND))
    assert await store.next_alarm_at() == NOW + LISTENING
    assert await store.expire_downlinks(now=NOW + LISTENING) == 1
    await store.end_alarms(await results(store))
    assert await store.next_alarm_at() == NOW + LISTENING + SECOND
    await serve(store, after=SECOND)
    assert await store.next_alarm_at() is None


async def test_an_expired_request_keeps_its_data(store: Store) -> None:
    await accept(store, asking(state=READY))
    await store.expire_downlinks(now=NOW + LISTENING)
    assert (await request(store)).data == DATA


async def test_expiries_follow_the_clock(store: Store) -> None:
    await accept(store, asking(1), asking(2, device="1C179", state=SERVED), asking(3, device="1C17A", state=ENDED))
    hour = timedelta(hours=1)
    await store.clock_stepped(hour)
    assert await store.expire_downlinks(now=NOW + hour) == 0
    await accept(store, *(asking(9, device=device, after=hour) for device in ("1C178", "1C179", "1C17A")))
    assert [(await request(store, 9, device=device)).code for device in ("1C178", "1C179", "1C17A")] == [
        InfoCode.TOO_MANY_REQUESTS,
        InfoCode.TOO_MANY_REQUESTS,
        InfoCode.PENDING,
    ]
    assert (await request(store, 3, device="1C17A")).expires_at == NOW + LISTENING
    assert await store.expire_downlinks(now=NOW + hour + LISTENING) == 2


# What the network reports


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("states", "ended"),
    [
        ([ASKED], 0),
        ([READY], 0),
        ([SERVED], 0),
        ([DECLINED], None),
        ([ENDED], None),
        ([SERVED, SERVED, SERVED], 2),
        ([SERVED, READY], 1),
        ([READY, SERVED], 1),
        ([SERVED, ASKED], 0),
        ([READY, ASKED, ASKED], 0),
        ([ASKED, ASKED], 1),
        ([SERVED, DECLINED, ENDED], 0),
        ([], None),
    ],
    ids=str,
)
async def test_a_report_ends_the_newest_request_that_it_can_be_about(
    store: Store, states: Sequence[DownlinkState], ended: int | None, together: bool
) -> None:
    arrivals = [
        asking(number, state=state, after=number * LISTENING, code=InfoCode.PENDING)
        for number, state in enumerate(states)
    ]
    others = [asking(7, device="1C179", state=SERVED)]
    before = [arrival.downlink for arrival in arrivals]
    reports = [report(1, InfoCode.ACKED)]
    if together:
        await accept(store, *others, *arrivals, *reports)
    else:
        await accept(store, *others, *arrivals)
        told = await results(store)
        await accept(store, *reports)
        assert await results(store) == told
    after = [await request(store, number) for number in range(len(states))]
    expected = [
        replace(request, state=ENDED, code=InfoCode.ACKED) if number == ended and request is not None else request
        for number, request in enumerate(before)
    ]
    assert after == expected
    assert (await request(store, 7, device="1C179")).state is SERVED


@pytest.mark.parametrize("together", [False, True])
async def test_each_report_ends_another_request(store: Store, together: bool) -> None:
    states = [SERVED, SERVED, ASKED, READY, SERVED]
    arrivals = [asking(number, state=state, after=number * LISTENING) for number, state in enumerate(states)]
    reports = [
        report(number, code) for number, code in enumerate((InfoCode.ACKED, InfoCode.OVERRUN_ERROR, InfoCode.ACKED))
    ]
    if together:
        await accept(store, *arrivals, *reports)
    else:
        await accept(store, *arrivals)
        await accept(store, *reports)
    assert await stands(store, *range(5)) == [
        (SERVED, InfoCode.PENDING),
        (ENDED, InfoCode.ACKED),
        (ASKED, InfoCode.PENDING),
        (ENDED, InfoCode.OVERRUN_ERROR),
        (ENDED, InfoCode.ACKED),
    ]


async def test_a_report_counts_once(store: Store) -> None:
    await accept(store, asking(1, state=SERVED, after=-LISTENING), asking(2, state=SERVED))
    ack = a_message(1, kind=MessageType.ACKNOWLEDGE)
    other_station = a_message(1, kind=MessageType.ACKNOWLEDGE, metadata={"station": "0AF1"})
    for message in (ack, ack, other_station):
        await accept(store, an_arrival(message, reported=InfoCode.ACKED))
    assert await stands(store, 1, 2) == [(SERVED, InfoCode.PENDING), (ENDED, InfoCode.ACKED)]


@pytest.mark.parametrize("together", [False, True])
async def test_a_report_makes_room_for_the_next_request(store: Store, together: bool) -> None:
    given = [asking(1, state=READY), report(1, InfoCode.ACKED), asking(2), asking(3), report(2, InfoCode.NETWORK_ERROR)]
    if together:
        await accept(store, *given)
    else:
        for arrival in given:
            await accept(store, arrival)
    assert await stands(store, 1, 2, 3) == [
        (ENDED, InfoCode.ACKED),
        (ENDED, InfoCode.NETWORK_ERROR),
        (ENDED, InfoCode.TOO_MANY_REQUESTS),
    ]
    assert await results(store) == [result_of(3)]


async def test_a_report_ends_what_expired_too(store: Store) -> None:
    await accept(store, asking(state=SERVED, after=-timedelta(days=1)))
    await accept(store, report(1, InfoCode.ACKED))
    assert await stands(store, 1) == [(ENDED, InfoCode.ACKED)]
