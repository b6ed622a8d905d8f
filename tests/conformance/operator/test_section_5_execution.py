"""Section 5, execution: what counts as success, when it is tried again, what becomes of the rest."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model.delivery import Accepted, DeliveryId, Done, GiveUp, Outcome, Refused, RetryAt, State, Unreachable
from reconciler.store.memory import MemoryStore
from tests.conformance.operator.rig import (
    Call,
    Reply,
    a_callback,
    an_event,
    at,
    in_virtual_time,
    live,
    minutes,
    simulated,
)
from tests.fakes import Answer, Sink

OK = Accepted(200)
DOWN = Refused(500)
REFUSED = Unreachable("connection-refused", "Nobody listens there.")
SCHEDULE = [0.0, 60.0, 180.0, 420.0]
"""When an instant failure is attempted: at once, and 1, 2 and 4 minutes after the failure before."""


# Success


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 205, 206, 226, 250, 299])
async def test_5_any_2xx_is_success(status: int) -> None:
    async with Sink(Answer(status)) as sink, live() as world:
        await world.publish(hook=at(sink, a_callback()))
        await world.take()
        (settlement,) = await world.settled(1)
        assert settlement.attempt.outcome == Accepted(status)
        assert isinstance(settlement.step, Done)


@pytest.mark.parametrize(
    "status",
    [300, 301, 302, 303, 304, 307, 308, 399, 400, 401, 403, 404, 405, 410, 418, 429, 451, 500, 502, 503, 504, 599],
)
async def test_5_everything_else_is_a_failure_and_tried_again_after_a_minute(status: int) -> None:
    async with Sink() as other, Sink(Answer(status, headers=(("Location", f"{other.url}/elsewhere"),))) as sink:
        async with live() as world:
            await world.publish(hook=at(sink, a_callback()))
            await world.take()
            (settlement,) = await world.settled(1)
            attempt, step = settlement.attempt, settlement.step
            assert attempt.outcome == Refused(status)
            assert step == RetryAt(attempt.started_at + attempt.duration + minutes(1))
        assert other.requests == []  # redirects: section 5, treat 3xx as failure


@in_virtual_time
async def test_5_the_answer_is_ignored_but_for_its_status() -> None:
    async with simulated(lambda call: Accepted(200, b"\x00not json"), hook=a_callback()) as world:
        await world.take()
        (settlement,) = await world.settled(1)
        assert isinstance(settlement.step, Done)


# The deadline


@pytest.mark.parametrize(
    ("seconds", "fine"), [(0.0, True), (9.0, True), (9.99, True), (10.0, False), (10.5, False), (3600.0, False)]
)
@in_virtual_time
async def test_5_a_late_answer_counts_as_failure_after_10_s(seconds: float, fine: bool) -> None:
    async with simulated(lambda call: (seconds, OK), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(12)
        (settlement,) = world.settlements
        assert isinstance(settlement.step, Done) == fine
        if not fine:
            assert settlement.attempt.outcome == Unreachable("deadline", "No answer in time.")
            assert settlement.attempt.duration.total_seconds() == pytest.approx(10)
            await asyncio.sleep(60)
            assert [call.at for call in world.far.calls] == pytest.approx([0, 70])


# Retries


def failing(outcome: Outcome, *, times: int = 99, seconds: float = 0.0) -> Callable[[Call], Reply]:
    left = [times]

    def answer(call: Call) -> Reply:
        left[0] -= 1
        return (seconds, outcome) if left[0] >= 0 else OK

    return answer


@pytest.mark.parametrize(
    "outcome",
    [
        DOWN,
        Refused(503),
        Refused(404),
        Refused(400),
        Refused(301),
        Refused(410),
        REFUSED,
        Unreachable("unresolved", "?"),
    ],
    ids=lambda outcome: getattr(outcome, "reason", str(getattr(outcome, "status", ""))),
)
@in_virtual_time
async def test_5_three_more_attempts_and_then_it_is_not_delivered(outcome: Outcome) -> None:
    async with simulated(failing(outcome), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx(SCHEDULE)
        (record,) = await world.deliveries(state=State.UNDELIVERED)
        assert [attempt.outcome for attempt in record.attempts] == [outcome] * 4
        assert isinstance(world.settlements[-1].step, GiveUp)


@in_virtual_time
async def test_5_a_wait_counts_from_the_end_of_the_previous_failure() -> None:
    async with simulated(failing(DOWN, seconds=3.0), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx([0, 63, 186, 429])


@pytest.mark.parametrize("failures", [1, 2, 3])
@in_virtual_time
async def test_5_a_success_ends_the_retries(failures: int) -> None:
    async with simulated(failing(DOWN, times=failures), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx(SCHEDULE[: failures + 1])
        (record,) = await world.deliveries()
        assert record.delivery.state is State.DELIVERED


@in_virtual_time
async def test_5_a_retry_repeats_the_request_to_the_letter() -> None:
    callback = a_callback(method="POST", body="d={device}&q={seqNumber}", headers={"X-T": "{time}"})
    async with simulated(failing(DOWN, times=2), hook=callback) as world:
        await world.take()
        await asyncio.sleep(600)
        first, *others = (call.http for call in world.far.calls)
        assert others == [first, first]


@in_virtual_time
async def test_5_the_schedule_goes_on_over_a_restart() -> None:
    store = MemoryStore()
    async with simulated(failing(DOWN), store=store, hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(30)
        times = [call.at for call in world.far.calls]
    await asyncio.sleep(10)
    async with simulated(failing(DOWN), store=store) as world:
        await asyncio.sleep(3600)
        times += [call.at for call in world.far.calls]
    assert times == pytest.approx(SCHEDULE)


@in_virtual_time
async def test_5_retries_arrive_late_and_other_messages_do_not_wait_for_them() -> None:
    answer = failing(DOWN, times=1)
    async with simulated(answer, hook=a_callback(url="http://far.example/{seqNumber}")) as world:
        await world.take(seqNumber=1)
        await asyncio.sleep(1)
        await world.take(seqNumber=2)
        await asyncio.sleep(120)
        assert world.far.targets == ["/1", "/2", "/1"]


@in_virtual_time
async def test_5_dead_a_callback_that_failed_is_tried_with_the_next_message_all_the_same() -> None:
    async with simulated(failing(DOWN), hook=a_callback(url="http://far.example/{seqNumber}")) as world:
        await world.take(seqNumber=1)
        await asyncio.sleep(3600)
        await world.take(seqNumber=2)
        await asyncio.sleep(1)
        assert world.far.targets == ["/1", "/1", "/1", "/1", "/2"]


# Deduplication, and send duplicate


RECEPTIONS: list[dict[str, Any]] = [
    {"station": station, "rssi": rssi} for station, rssi in (("0AF0", -120.0), ("37FF", -135.0), ("1D44", -90.5))
]
EACH = a_callback(url="http://far.example/?s={station}&r={rssi}&d={duplicate}")


@in_virtual_time
async def test_5_receptions_of_one_message_are_merged() -> None:
    async with simulated(hook=EACH) as world:
        for reception in RECEPTIONS:
            await world.take(**reception)
            await asyncio.sleep(1)
        assert world.far.targets == ["/?s=0AF0&r=-120.00&d=false"]


@in_virtual_time
async def test_5_send_duplicate_calls_once_for_each_station_the_first_false_the_others_true() -> None:
    async with simulated(hook={**EACH, "sendDuplicates": True}) as world:
        for reception in RECEPTIONS:
            await world.take(**reception)
            await asyncio.sleep(1)
        assert world.far.targets == [
            "/?s=0AF0&r=-120.00&d=false",
            "/?s=37FF&r=-135.00&d=true",
            "/?s=1D44&r=-90.50&d=true",
        ]


@in_virtual_time
async def test_5_send_duplicate_within_one_call_of_the_door_too() -> None:
    async with simulated(hook={**EACH, "sendDuplicates": True}) as world:
        await world.take_all(*(an_event(**reception) for reception in RECEPTIONS))
        await asyncio.sleep(5)
        assert sorted(target.partition("d=")[2] for target in world.far.targets) == ["false", "true", "true"]
        assert world.far.targets.count("/?s=0AF0&r=-120.00&d=false") == 1


@pytest.mark.parametrize(("type", "kind"), [("service/status", "status"), ("service/geoloc", "geoloc")])
@in_virtual_time
async def test_5_send_duplicate_of_the_other_types_that_offer_it(type: str, kind: str) -> None:
    hook = {**a_callback(type, "http://far.example/?s={station}&d={duplicate}"), "sendDuplicates": True}
    async with simulated(hook=hook) as world:
        for station in ("0AF0", "37FF"):
            await world.take(kind, station=station)
            await asyncio.sleep(1)
        assert world.far.targets == ["/?s=0AF0&d=false", "/?s=37FF&d=true"]


@in_virtual_time
async def test_5_the_same_reception_again_is_no_duplicate_but_a_repetition() -> None:
    async with simulated(hook={**EACH, "sendDuplicates": True}) as world:
        await world.take(**RECEPTIONS[0])
        again = await world.take(**RECEPTIONS[0])
        await asyncio.sleep(5)
        assert again.repeated
        assert world.far.targets == ["/?s=0AF0&r=-120.00&d=false"]


@in_virtual_time
async def test_5_send_duplicate_concerns_the_callbacks_that_ask_for_it() -> None:
    once, each = (a_callback(url=f"http://far.example/{name}?d={{duplicate}}") for name in ("once", "each"))
    async with simulated(once=once, each={**each, "sendDuplicates": True}) as world:
        for reception in RECEPTIONS[:2]:
            await world.take(**reception)
            await asyncio.sleep(1)
        assert sorted(world.far.targets) == ["/each?d=false", "/each?d=true", "/once?d=false"]


@pytest.mark.parametrize(
    "other",
    [{"seqNumber": 8}, {"device": "2C178"}, {"time": 1_700_000_001}],
    ids=["5 seqNumber", "5 device", "5 time"],
)
@in_virtual_time
async def test_5_messages_are_told_apart_by_device_sequence_number_and_time(other: dict[str, Any]) -> None:
    async with simulated(hook=EACH) as world:
        await world.take(station="0AF0")
        taken = await world.take(**{"station": "0AF0", **other})
        await asyncio.sleep(1)
        assert not taken.repeated
        assert len(world.far.calls) == 2


# Not delivered, and replay


@in_virtual_time
async def test_5_what_was_not_delivered_is_listed_with_every_attempt_and_can_be_replayed() -> None:
    answer = failing(DOWN, times=4)
    async with simulated(answer, hook=a_callback(url="http://far.example/{seqNumber}")) as world:
        await world.take(seqNumber=1)
        await asyncio.sleep(600)
        await world.take(seqNumber=2)
        await asyncio.sleep(1)
        (record,) = await world.deliveries(state=State.UNDELIVERED)
        assert [attempt.number for attempt in record.attempts] == [1, 2, 3, 4]
        assert await world.engine.replay([record.delivery.id]) == 1
        await asyncio.sleep(1)
        assert world.far.targets == ["/1"] * 4 + ["/2", "/1"]
        assert await world.deliveries(state=State.UNDELIVERED) == []
        assert {record.delivery.state for record in await world.deliveries()} == {State.DELIVERED}


@in_virtual_time
async def test_5_a_replay_has_the_whole_schedule_again() -> None:
    async with simulated(failing(DOWN), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(1000)
        (record,) = await world.deliveries()
        await world.engine.replay([record.delivery.id])
        await asyncio.sleep(1000)
        assert [call.at for call in world.far.calls[4:]] == pytest.approx([1000 + at for at in SCHEDULE])
        (record,) = await world.deliveries(state=State.UNDELIVERED)
        assert len(record.attempts) == 8


@in_virtual_time
async def test_5_several_callbacks_fail_and_succeed_on_their_own() -> None:
    def answer(call: Call) -> Reply:
        return DOWN if call.target == "/bad" else OK

    hooks: dict[str, Any] = {name: a_callback(url=f"http://far.example/{name}") for name in ("bad", "good")}
    async with simulated(answer, **hooks) as world:
        taken = await world.take()
        await asyncio.sleep(3600)
        states = {record.delivery.id: record.delivery.state for record in await world.deliveries()}
        assert states == {
            DeliveryId(taken.message.id, 0): State.UNDELIVERED,
            DeliveryId(taken.message.id, 1): State.DELIVERED,
        }
        assert world.far.targets.count("/good") == 1
