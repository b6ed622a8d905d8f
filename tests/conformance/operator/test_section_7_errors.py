"""Section 7, ERROR: a device that is silent for longer than its keep-alive, told once for each silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.definition import Content, check_device_type
from reconciler.model.delivery import Accepted, Refused
from reconciler.model.resource import Key
from reconciler.runtime.clock import utc_now
from reconciler.store.memory import MemoryStore
from reconciler.store.sqlite import open_sqlite
from tests.conformance.operator.rig import (
    DEVICE_TYPE,
    START,
    Clock,
    World,
    a_callback,
    at,
    in_virtual_time,
    live,
    simulated,
)
from tests.fakes import Sink

HOURS = 3600
KEEP_ALIVE = 2 * HOURS
SUPERVISED: Content = {"keepAlive": KEEP_ALIVE}
ALARM: Content = {
    "type": "error",
    "channel": "url",
    "url": "http://far.example/",
    "contentType": "application/json",
    "body": '{"time":{time},"device":"{device}","info":"{info}","severity":"{severity}"}',
}


def words(seconds: int) -> str:
    """What `info` says of a device that was heard last at this time."""
    return f"No message received since {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


async def hears(world: World, kind: str = "data", **fields: Any) -> None:
    """A message comes in as it does in life: with the present as its time."""
    await world.take(kind, **{"time": int(world.clock().timestamp()), **fields})


def told(world: World) -> list[tuple[int, str]]:
    """In which second since the start which silence was told."""
    return [(int(call.at), call.json["info"]) for call in world.far.calls]


# The breach


@in_virtual_time
async def test_7_a_silence_longer_than_the_keep_alive_is_told_word_for_word() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await asyncio.sleep(100)
        await hears(world)
        await asyncio.sleep(3 * HOURS)
        (call,) = world.far.calls
        assert call.at == pytest.approx(100 + KEEP_ALIVE, abs=1)
        assert call.json == {
            "time": START + 100 + KEEP_ALIVE,
            "device": "1C178",
            "info": "No message received since 2026-01-01 00:01:40",
            "severity": "ERROR",
        }


@in_virtual_time
async def test_7_once_for_a_breach() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(100 * HOURS)
        assert len(world.far.calls) == 1


@in_virtual_time
async def test_7_again_only_after_a_message_and_a_new_breach() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world, seqNumber=1)
        await asyncio.sleep(10 * HOURS)
        assert len(world.far.calls) == 1
        await hears(world, seqNumber=2)
        await asyncio.sleep(1.9 * HOURS)
        assert len(world.far.calls) == 1
        await asyncio.sleep(10 * HOURS)
        assert told(world) == [
            (2 * HOURS, words(START)),
            (12 * HOURS, words(START + 10 * HOURS)),
        ]


@in_virtual_time
async def test_7_no_silence_while_messages_come_in_time() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        for number in range(50):
            await hears(world, seqNumber=number)
            await asyncio.sleep(1.9 * HOURS)
        assert world.far.calls == []
        await asyncio.sleep(HOURS)
        assert len(world.far.calls) == 1


@in_virtual_time
async def test_7_each_device_has_a_silence_of_its_own() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        for number in range(6):
            await hears(world, device="1C178", seqNumber=number)
            if number == 0:
                await hears(world, device="2C178")
            await asyncio.sleep(HOURS)
        assert told(world) == [(2 * HOURS, words(START))]
        assert world.far.calls[0].json["device"] == "2C178"


@in_virtual_time
async def test_7_several_devices_that_fall_silent_together_are_all_told() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        for number in range(300):
            await hears(world, device=f"{number:X}")
        await asyncio.sleep(10 * HOURS)
        assert sorted(call.json["device"] for call in world.far.calls) == sorted(f"{n:X}" for n in range(300))


@in_virtual_time
async def test_7_a_device_that_was_never_heard_is_not_missed() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await asyncio.sleep(100 * HOURS)
        assert world.far.calls == []


@pytest.mark.parametrize("kind", ["acknowledge", "geoloc", "error"])
@in_virtual_time
async def test_7_what_the_network_says_of_a_device_does_not_end_its_silence(kind: str) -> None:
    alarm = {**ALARM, "url": "http://far.example/silence"}
    async with simulated(device_type=SUPERVISED, alarm=alarm) as world:
        await hears(world)
        await asyncio.sleep(1.5 * HOURS)
        await hears(world, kind)
        await asyncio.sleep(10 * HOURS)
        assert [each for each in told(world) if each[1] == words(START)] == [(2 * HOURS, words(START))]


@in_virtual_time
async def test_7_a_repeated_message_does_not_end_a_silence() -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world, time=START)
        await asyncio.sleep(HOURS)
        await hears(world, time=START)
        await asyncio.sleep(10 * HOURS)
        assert told(world) == [(2 * HOURS, words(START))]


@pytest.mark.parametrize("type", ["data/uplink", "service/status", "service/repeater"])
@in_virtual_time
async def test_7_a_silence_fires_error_callbacks_alone(type: str) -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM, other=a_callback(type, "http://far.example/x")) as world:
        await hears(world, time=START)
        await asyncio.sleep(10 * HOURS)
        calls = [call.target for call in world.far.calls]
        assert calls == (["/x", "/"] if type == "data/uplink" else ["/"])


# keepAlive: 0 is off, else at least 1800 s


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (1, False), (1799, False), (1800, True), (86_400, True)])
def test_7_keep_alive_is_off_or_at_least_half_an_hour(seconds: int, accepted: bool) -> None:
    device_type, found = check_device_type(Key(DEVICE_TYPE), {"keepAlive": seconds})
    assert (device_type is not None) == accepted
    assert [each.code for each in found] == ([] if accepted else ["keep-alive-too-short"])


@pytest.mark.parametrize("device_type", [{}, {"keepAlive": 0}])
@in_virtual_time
async def test_7_keep_alive_0_is_off(device_type: Content) -> None:
    async with simulated(device_type=device_type, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(1000 * HOURS)
        assert world.far.calls == []


@in_virtual_time
async def test_7_the_shortest_keep_alive() -> None:
    async with simulated(device_type={"keepAlive": 1800}, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(1799)
        assert world.far.calls == []
        await asyncio.sleep(2)
        assert len(world.far.calls) == 1


# WARN


@in_virtual_time
async def test_7_warn_of_the_network_is_told_as_it_came() -> None:
    async with simulated(alarm=ALARM) as world:
        await world.take("error", info="Network issues may delay messages", severity="WARN")
        await asyncio.sleep(1)
        (call,) = world.far.calls
        assert (call.json["severity"], call.json["info"]) == ("WARN", "Network issues may delay messages")


@in_virtual_time
async def test_7_a_silence_is_retried_like_any_callback() -> None:
    async with simulated(lambda call: Refused(500), device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(10 * HOURS)
        times = [2 * HOURS + after for after in (0, 60, 180, 420)]
        assert [call.at for call in world.far.calls] == pytest.approx(times, abs=1)


# Steps of the clock


@pytest.mark.parametrize("step", [timedelta(hours=5), timedelta(days=400), -timedelta(hours=5), -timedelta(days=400)])
@in_virtual_time
async def test_7_a_clock_that_is_set_makes_no_device_silent_and_hides_none(step: timedelta) -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(HOURS)
        world.clock.step(step)
        await asyncio.sleep(0.9 * HOURS)
        assert world.far.calls == []
        await asyncio.sleep(HOURS)
        (call,) = world.far.calls
        assert call.at == pytest.approx(2 * HOURS, abs=31)
        await asyncio.sleep(10 * HOURS)
        assert len(world.far.calls) == 1


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@in_virtual_time
async def test_7_a_clock_that_is_set_after_a_breach_does_not_repeat_it(step: timedelta) -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world)
        await asyncio.sleep(3 * HOURS)
        assert len(world.far.calls) == 1
        world.clock.step(step)
        await asyncio.sleep(10 * HOURS)
        assert len(world.far.calls) == 1
        await hears(world, seqNumber=9)
        await asyncio.sleep(10 * HOURS)
        assert [call.at for call in world.far.calls[1:]] == pytest.approx([15 * HOURS], abs=31)


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@in_virtual_time
async def test_7_a_clock_that_is_set_between_two_messages_changes_nothing(step: timedelta) -> None:
    async with simulated(device_type=SUPERVISED, alarm=ALARM) as world:
        await hears(world, seqNumber=1)
        await asyncio.sleep(HOURS)
        world.clock.step(step)
        await hears(world, seqNumber=2)
        await asyncio.sleep(1.9 * HOURS)
        assert world.far.calls == []
        await asyncio.sleep(HOURS)
        assert [call.at for call in world.far.calls] == pytest.approx([3 * HOURS], abs=31)


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@in_virtual_time
async def test_1_a_clock_that_is_set_does_not_move_data_advanced(step: timedelta) -> None:
    late = a_callback("service/data-advanced", "http://far.example/late")
    async with simulated(late=late) as world:
        await hears(world)
        await asyncio.sleep(10)
        world.clock.step(step)
        await asyncio.sleep(100)
        assert [call.at for call in world.far.calls] == pytest.approx([25], abs=31)


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@pytest.mark.parametrize("seen", [False, True], ids=["not noticed yet", "noticed"])
@in_virtual_time
async def test_6_a_clock_that_is_set_takes_no_downlink_away(seen: bool, step: timedelta) -> None:
    direct: Content = {"downlink": {"mode": "direct", "data": "00" * 8}}
    async with simulated(device_type=direct) as world:
        await hears(world, ack=True)
        await asyncio.sleep(10)
        world.clock.step(step)
        if seen:
            await hears(world, device="2C178")
        assert len(await world.engine.serve_downlinks(limit=9, wait=timedelta())) == 1


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
@in_virtual_time
async def test_6_a_clock_that_is_set_while_the_callback_answers_makes_no_answer_late(step: timedelta) -> None:
    ask = a_callback("data/bidir", "http://far.example/", downlinkHook=True)
    answer = (5.0, Accepted(200, b'{"1C178":{"downlinkData":"0011223344556677"}}'))
    async with simulated(lambda call: answer, device_type={"downlink": {"mode": "callback"}}, ask=ask) as world:
        await hears(world, ack=True)
        await asyncio.sleep(1)
        world.clock.step(step)
        await hears(world, device="2C178")
        await asyncio.sleep(5)
        await hears(world, device="3C178")
        assert len(await world.engine.serve_downlinks(limit=9, wait=timedelta())) == 1


# Restarts


@in_virtual_time
async def test_7_a_silence_is_told_once_however_often_the_engine_restarts() -> None:
    store = MemoryStore()
    async with simulated(device_type=SUPERVISED, store=store, alarm=ALARM) as world:
        await hears(world)
    times = []
    for _ in range(12):
        async with simulated(store=store) as world:
            await asyncio.sleep(0.5 * HOURS)
            times += [call.at for call in world.far.calls]
    assert times == pytest.approx([2 * HOURS], abs=1)


@asynccontextmanager
async def restarted(directory: Path, clock: Clock) -> AsyncIterator[World]:
    """An engine on the files of the one before, in real time but for the clock."""
    store = await open_sqlite(directory)
    try:
        async with live(store=store, clock=clock) as world:
            yield world
    finally:
        await store.close()


async def test_7_silences_survive_restarts_on_sqlite(tmp_path: Path) -> None:
    clock = Clock(utc_now)
    async with Sink() as sink:
        async with restarted(tmp_path, clock) as world:
            await world.publish(SUPERVISED, alarm=at(sink, ALARM))
            await hears(world, seqNumber=1)
            heard = int(clock().timestamp())
        clock.step(timedelta(hours=1.9))
        async with restarted(tmp_path, clock):
            await asyncio.sleep(0.05)
            assert sink.requests == []
        clock.step(timedelta(hours=0.2))
        async with restarted(tmp_path, clock) as world:
            await world.settled(1)
        for hours in (1, 100):
            clock.step(timedelta(hours=hours))
            async with restarted(tmp_path, clock):
                await asyncio.sleep(0.05)
        (request,) = sink.requests
        assert words(heard) in request.body.decode() or words(heard - 1) in request.body.decode()
        # Armed again by the next message.
        async with restarted(tmp_path, clock) as world:
            await hears(world, seqNumber=2)
        clock.step(timedelta(hours=3))
        async with restarted(tmp_path, clock) as world:
            await world.settled(1)
        assert len(sink.requests) == 2


@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5)])
async def test_7_steps_of_the_clock_on_sqlite(tmp_path: Path, step: timedelta) -> None:
    clock = Clock(utc_now)
    async with Sink() as sink:
        async with restarted(tmp_path, clock) as world:
            await world.publish(SUPERVISED, alarm=at(sink, ALARM))
            await hears(world, device="1C178")
            clock.step(step)
            await hears(world, device="2C178")  # whatever comes in makes the engine look at the clock
            await asyncio.sleep(0.05)
            assert sink.requests == []
        clock.step(timedelta(hours=1.9))
        async with restarted(tmp_path, clock):
            await asyncio.sleep(0.05)
            assert sink.requests == []
        clock.step(timedelta(hours=0.2))
        async with restarted(tmp_path, clock) as world:
            await world.settled(2)
        assert len(sink.requests) == 2
