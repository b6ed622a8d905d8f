"""Events that the engine makes itself, in virtual time: DATA_ADVANCED and ERROR."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from reconciler.codec.canonical import define
from reconciler.errors import StoreError
from reconciler.model.alarm import Alarm
from reconciler.model.definition import Content
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.engine import Engine
from reconciler.store.memory import MemoryStore
from tests.unit.runtime.engine_rig import Script, callback, running, uplink
from tests.virtual_time import run

STATIONS = ("0AF0", "37FF", "1D44")
ADVANCED: Content = {
    "type": "service/data-advanced",
    "channel": "url",
    "method": "POST",
    "url": "http://a.example/{device}/{seqNumber}",
    "contentType": "application/json",
    "body": '{"duplicates": {duplicates}}',
}
ALARM = callback("http://a.example/{device}?info={info}&severity={severity}", type="error")
UPLINK = callback("http://a.example/{seqNumber}?station={station}&again={duplicate}", sendDuplicates=True)
TWO_HOURS: Content = {"keepAlive": 7200}


def times(script: Script) -> list[float]:
    return [round(at, 2) for at, _ in script.sent]


def test_data_advanced_fires_once_25_seconds_after_the_first_reception_with_all_that_came_until_then() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, advanced=ADVANCED) as engine:
            for station in STATIONS:
                await engine.take([uplink(7, station=station, rssi=-120)])
                await asyncio.sleep(10)
            await engine.take([uplink(7, station="FFFF")])  # too late
            await asyncio.sleep(100)

        assert [(round(at, 1), path) for at, path in script.sent] == [(25.0, "a.example/1C178/7")]
        body = script.requests[0].body
        assert isinstance(body, str)
        assert [each["bsId"] for each in json.loads(body)["duplicates"]] == list(STATIONS)

    run(story())


def test_nothing_is_gathered_for_who_gathers_himself_nor_without_a_callback_for_it() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, advanced=ADVANCED) as engine:
            await engine.take([uplink(7)], gather=False)
            await asyncio.sleep(100)
        assert script.sent == []

        store = MemoryStore()
        async with running(script, store=store, hook=UPLINK) as engine:
            await engine.take([uplink(7)])
            assert await store.next_alarm_at() is None

    run(story())


def test_gathering_goes_on_over_a_restart() -> None:
    async def story() -> None:
        script, store = Script(), MemoryStore()
        async with running(script, store=store, advanced=ADVANCED) as engine:
            await engine.take([uplink(7, station="0AF0")])
            await asyncio.sleep(20)
        await asyncio.sleep(60)
        async with running(script, store=store) as engine:
            await asyncio.sleep(1)

        assert [path for _, path in script.sent] == ["a.example/1C178/7"]

    run(story())


def test_each_reception_makes_a_call_of_callbacks_that_want_duplicates_the_first_false_the_others_true() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, once=callback("http://b.example/"), each=UPLINK) as engine:
            for station in (*STATIONS, STATIONS[0]):  # the last one repeats the first
                await engine.take([uplink(7, station=station)])
                await asyncio.sleep(1)
            counters = engine.events.counters

        assert [path for _, path in script.sent if path.startswith("a.")] == [
            "a.example/7?station=0AF0&again=false",
            "a.example/7?station=37FF&again=true",
            "a.example/7?station=1D44&again=true",
        ]
        assert sum(path.startswith("b.") for _, path in script.sent) == 1
        assert (counters.accepted, counters.repeated) == (3, 1)

    run(story())


def test_receptions_of_one_call_are_merged_too() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, each=UPLINK) as engine:
            await engine.take([uplink(7, station=station) for station in STATIONS])
            await asyncio.sleep(1)

        assert [path.partition("again=")[2] for _, path in script.sent] == ["false", "true", "true"]

    run(story())


def test_silence_is_reported_once_and_armed_again_by_the_next_message() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(3600)
            await engine.take([uplink(2)])
            await asyncio.sleep(3 * 7200)
            await engine.take([uplink(3)])
            await asyncio.sleep(3 * 7200)

        assert times(script) == [3600 + 7200, 3600 + 3 * 7200 + 7200]
        assert script.sent[0][1] == (
            "a.example/1C178?info=No%20message%20received%20since%202023-11-14%2022%3A13%3A20&severity=ERROR"
        )

    run(story())


def test_a_status_frame_ends_a_silence_and_what_the_network_says_does_not() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(3600)
            await engine.take([uplink(2, type="status", batt=3.1)])
            await asyncio.sleep(3600)
            await engine.take([uplink(2, type="geoloc", lat=1.5, lng=2.5)])
            await asyncio.sleep(2 * 7200)

        assert times(script) == [3600 + 7200]

    run(story())


def test_silence_is_reported_over_a_restart_and_not_twice() -> None:
    async def story() -> None:
        script, store = Script(), MemoryStore()
        async with running(script, store=store, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
        await asyncio.sleep(9000)
        for _ in range(3):
            async with running(script, store=store):
                await asyncio.sleep(100)

        assert times(script) == [9000]

    run(story())


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("step", [timedelta(hours=5), -timedelta(hours=5), timedelta(days=20_000)])
def test_a_clock_that_is_set_neither_makes_a_device_silent_nor_hides_that_it_is(
    step: timedelta, restarts: bool
) -> None:
    async def story() -> None:
        script, store, ahead = Script(), MemoryStore(), timedelta()

        async with running(
            script, store=store, device_type=TWO_HOURS, alarm=ALARM, clock_ahead=lambda: ahead
        ) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(1000)
            ahead = step
            await asyncio.sleep(1000)
            if not restarts:
                await engine.take([uplink(2, at=engine.now())])
                await asyncio.sleep(20_000)
        if restarts:
            async with running(script, store=store, clock_ahead=lambda: ahead) as engine:
                await asyncio.sleep(20_000)

        assert times(script) == [7200 if restarts else 9200]

    run(story())


def test_a_shorter_keep_alive_holds_for_devices_that_are_silent_already() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(3000)
            await change(engine, {"keepAlive": 1800})
            await asyncio.sleep(1)
            await engine.take([uplink(2)])
            await asyncio.sleep(7200)

        assert times(script) == [3000, 3001 + 1800]

    run(story())


def test_a_keep_alive_that_was_switched_off_reports_nothing() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(3000)
            await change(engine, {})
            await asyncio.sleep(20_000)
            assert await engine.store.next_alarm_at() is None

        assert script.sent == []

    run(story())


class Forgetful(MemoryStore):
    """Fails for a while when it is asked for alarms."""

    fails = 0

    async def alarms_due(self, **asked: object) -> Sequence[Alarm]:
        if self.fails:
            self.fails -= 1
            raise StoreError("the disk is full")
        return await super().alarms_due(**asked)  # type: ignore[arg-type]


def test_a_store_that_fails_delays_alarms_and_loses_none() -> None:
    async def story() -> None:
        script, store = Script(), Forgetful()
        async with running(script, store=store, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            store.fails = 10
            await asyncio.sleep(9000)

        assert times(script) == [7200 + 10]

    run(story())


def test_an_engine_with_distant_alarms_asks_the_store_nothing() -> None:
    class Counting(MemoryStore):
        asked = 0

        async def alarms_due(self, **asked: object) -> Sequence[Alarm]:
            self.asked += 1
            return await super().alarms_due(**asked)  # type: ignore[arg-type]

    async def story() -> None:
        store = Counting()
        async with running(Script(), store=store, device_type=TWO_HOURS, alarm=ALARM) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(7000)

            assert store.asked == 0

    run(story())


async def change(engine: Engine, device_type: Content) -> None:
    key = Key("tracker")
    old = engine.revision.owned[key].definition
    published = await engine.publish(
        [Amendment("update", key, old.digest, define(key, device_type))],
        owner="test",
        expect=engine.revision.number,
        publication=Publication(at=None, by="test"),
    )
    assert isinstance(published, Revision)
