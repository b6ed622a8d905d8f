"""Sections 6.4 and 2.4: a downlink goes out once or never, and its result is told."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.model.message import Refusal
from tests.conformance.operator.asking import ASKS, BIDIR, BYTES, CALLBACK, HEX, RESULT, answering, results, served, to
from tests.conformance.operator.rig import START, Call, Reply, an_event, in_virtual_time, simulated
from tests.virtual_time import EPOCH

# A retry cannot serve the downlink


@pytest.mark.parametrize("first", [Refused(500), Unreachable("deadline", "?")], ids=["error status", "no answer"])
@in_virtual_time
async def test_6_4_a_retry_cannot_serve_the_downlink(first: Outcome) -> None:
    def answer(call: Call) -> Reply:
        return first if call.at < 30 and call.http.host == "far.example" else Accepted(200, to("1C178"))

    async with simulated(answer, device_type=CALLBACK, ask=BIDIR, result=RESULT) as world:
        await world.take(**ASKS)
        await asyncio.sleep(600)
        assert [call.at for call in world.far.calls if call.http.host == "far.example"] == pytest.approx([0, 60])
        assert await served(world) == {}
        assert results(world) == [("1C178", 1)]


@in_virtual_time
async def test_6_4_a_replay_cannot_serve_the_downlink_again() -> None:
    async with simulated(answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR) as world:
        await world.take(**ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        (record,) = await world.deliveries()
        await world.engine.replay([record.delivery.id])
        await asyncio.sleep(1)
        assert len(world.far.calls) == 2
        assert await served(world) == {}


@in_virtual_time
async def test_6_4_further_receptions_and_their_callbacks_serve_nothing_again() -> None:
    ask = {**BIDIR, "sendDuplicates": True}
    async with simulated(answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=ask) as world:
        await world.take(**ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        await world.take(**{**ASKS, "station": "37FF"})
        await world.take(**ASKS)
        await asyncio.sleep(1)
        assert len(world.far.calls) == 2
        assert await served(world) == {}


@in_virtual_time
async def test_6_4_a_long_poll_gets_the_downlink_the_moment_it_is_there() -> None:
    answer = answering((3.0, Accepted(200, to("1C178"))))
    async with simulated(answer, device_type=CALLBACK, ask=BIDIR) as world:
        polling = asyncio.create_task(world.engine.serve_downlinks(limit=10, wait=timedelta(seconds=30)))
        await asyncio.sleep(5)
        await world.take(**ASKS)
        (downlink,) = await polling
        assert (downlink.device, downlink.data) == ("1C178", BYTES)
        assert asyncio.get_running_loop().time() == pytest.approx(8)


# 2.4 All nine codes


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 6, 7, 8])
@in_virtual_time
async def test_2_4_what_the_network_reports_is_told(code: int) -> None:
    async with simulated(
        answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR, result=RESULT
    ) as world:
        await world.take(time=START, **ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        fields = {"infoMessage": "in words", "downlinkAck": code == 0, "downlinkOverusage": code == 3}
        await world.take("acknowledge", time=START + 30, infoCode=code, **fields)
        await asyncio.sleep(120)
        (call,) = [call for call in world.far.calls if call.http.host == "result.example"]
        assert call.json == {
            "time": START + 30,
            "device": "1C178",
            "code": code,
            "message": "in words",
            "ack": code == 0,
            "overusage": code == 3,
        }


def test_2_4_a_pending_result_is_never_delivered() -> None:
    assert isinstance(read_message(an_event("acknowledge", infoCode=5), received_at=EPOCH), Refusal)
    assert isinstance(read_message(an_event("acknowledge", infoCode=9), received_at=EPOCH), Refusal)


REASONS: list[tuple[str, int, Mapping[str, Any], Reply, bool]] = [
    ("2.4 NO_ANSWER", 1, CALLBACK, Refused(500), True),
    ("2.4 INVALID_PAYLOAD", 2, CALLBACK, Accepted(200, to("1C178", "00")), True),
    ("2.4 NETWORK_ERROR: nobody fetched it", 4, CALLBACK, Accepted(200, to("1C178")), True),
    ("2.4 NETWORK_ERROR: in mode DIRECT too", 4, {"downlink": {"mode": "direct", "data": HEX}}, Accepted(200), True),
    ("2.4 INVALID_CONFIGURATION", 8, CALLBACK, Accepted(200), False),
]


@pytest.mark.parametrize(
    ("code", "device_type", "reply", "selected"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS]
)
@in_virtual_time
async def test_2_4_what_the_engine_finds_out_itself_is_told_as_received(
    code: int, device_type: Content, reply: Reply, selected: bool
) -> None:
    ask = {**BIDIR, "downlinkHook": selected}
    async with simulated(answering(reply), device_type=device_type, ask=ask, result=RESULT) as world:
        await world.take(time=START, **ASKS)
        await asyncio.sleep(100)
        (call,) = [call for call in world.far.calls if call.http.host == "result.example"]
        told = call.json
        message = told.pop("message")
        assert isinstance(message, str)
        assert message not in {"", "null"}
        assert told == {"time": START + int(call.at), "device": "1C178", "code": code, "ack": False, "overusage": False}
        assert await served(world) == {}


@pytest.mark.parametrize(
    ("after", "again"), [(1, True), (20, True), (44, True), (46, False), (600, False)], ids=lambda value: str(value)
)
@in_virtual_time
async def test_2_4_too_many_requests_within_the_listening_time(after: float, again: bool) -> None:
    async with simulated(
        answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR, result=RESULT
    ) as world:
        await world.take(seqNumber=1, **ASKS)
        await asyncio.sleep(0.5)
        assert await served(world) == {"1C178": BYTES}
        await asyncio.sleep(after - 0.5)
        await world.take(seqNumber=2, **ASKS)
        await asyncio.sleep(1)
        assert await served(world) == ({} if again else {"1C178": BYTES})
        assert results(world) == ([("1C178", 7)] if again else [])


@in_virtual_time
async def test_2_4_after_a_result_the_device_may_ask_again_at_once() -> None:
    async with simulated(
        answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR, result=RESULT
    ) as world:
        await world.take(seqNumber=1, **ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        await world.take("acknowledge", infoCode=0)
        await world.take(seqNumber=2, **ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        assert results(world) == [("1C178", 0)]


@in_virtual_time
async def test_2_4_devices_do_not_stand_in_each_others_way() -> None:
    def answer(call: Call) -> Reply:
        return Accepted(200, to(call.target.rpartition("/")[2]))

    async with simulated(answer, device_type=CALLBACK, ask=BIDIR) as world:
        await world.take_all(an_event(**ASKS), an_event(device="2C178", **ASKS))
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES, "2C178": BYTES}


@in_virtual_time
async def test_2_4_results_are_told_in_direct_mode_too() -> None:
    device_type: Content = {"downlink": {"mode": "direct", "data": HEX}}
    async with simulated(device_type=device_type, result=RESULT) as world:
        await world.take(**ASKS)
        assert await served(world) == {"1C178": BYTES}
        await world.take("acknowledge", infoCode=0)
        await asyncio.sleep(100)
        assert results(world) == [("1C178", 0)]


@in_virtual_time
async def test_6_4_a_downlink_is_not_served_when_the_device_has_stopped_listening() -> None:
    async with simulated(answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR) as world:
        await world.take(**ASKS)
        await asyncio.sleep(46)
        assert await served(world) == {}


@in_virtual_time
async def test_6_4_a_downlink_survives_a_restart_and_is_served_once() -> None:
    async with simulated(answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR) as world:
        await world.take(**ASKS)
        await asyncio.sleep(1)
        store = world.engine.store
    async with simulated(store=store) as world:
        assert await served(world) == {"1C178": BYTES}
    async with simulated(store=store) as world:
        assert await served(world) == {}


@in_virtual_time
async def test_2_4_each_request_of_a_device_has_its_result_also_within_one_second() -> None:
    async with simulated(
        answering(Accepted(200, to("1C178"))), device_type=CALLBACK, ask=BIDIR, result=RESULT
    ) as world:
        await world.take_all(*(an_event(seqNumber=number, time=START + number, **ASKS) for number in range(3)))
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": BYTES}
        await asyncio.sleep(100)
        assert results(world) == [("1C178", 7), ("1C178", 7)]
