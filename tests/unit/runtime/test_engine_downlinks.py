"""Downlinks in virtual time: from the answer of a callback to the network side, and what becomes of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Refused
from reconciler.model.downlink import Downlink, DownlinkState, InfoCode
from reconciler.runtime.engine import Engine
from reconciler.store.memory import MemoryStore
from tests.unit.runtime.engine_rig import DOWN, Script, callback, running, uplink
from tests.virtual_time import run

CALLBACK: Content = {"downlink": {"mode": "callback"}}
ANSWERING = callback("http://a.example/{seqNumber}", type="data/bidir", downlinkHook=True)
RESULT = callback("http://b.example/{device}?code={infoCode}&ack={downlinkAck}", type="service/acknowledge")
NOW = timedelta()


def answer(data: str, *, seconds: float = 0.1, device: str = "1C178") -> Callable[[HttpRequest], tuple[float, Outcome]]:
    """A receiver that answers devices with this data, and everything else with 200."""

    def answered(request: HttpRequest) -> tuple[float, Outcome]:
        if request.host != "a.example":
            return 0.001, Accepted(200)
        return seconds, Accepted(200, f'{{"{device}":{{"downlinkData":"{data}"}}}}'.encode())

    return answered


def results(script: Script) -> list[str]:
    """Codes that were reported to the ACKNOWLEDGE callback."""
    return [path.partition("code=")[2].partition("&")[0] for _, path in script.sent if path.startswith("b.")]


async def served(engine: Engine, wait: timedelta = NOW) -> list[bytes | None]:
    return [downlink.data for downlink in await engine.serve_downlinks(limit=100, wait=wait)]


def test_the_answer_of_the_selected_callback_is_served_to_the_network_side_once() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, other=callback("http://c.example/")) as engine:
            (taken,) = await engine.take([uplink(1, ack=True)])
            assert await served(engine) == []
            await asyncio.sleep(1)
            first, second = await served(engine), await served(engine)
            downlink = await engine.store.downlink(taken.message.id)

        assert (first, second) == ([bytes.fromhex("0011223344556677")], [])
        assert downlink is not None
        assert (downlink.state, downlink.code) == (DownlinkState.SERVED, InfoCode.PENDING)

    run(story())


def test_a_device_that_does_not_ask_gets_nothing_whatever_the_answer_says() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            (taken,) = await engine.take([uplink(1)])
            await asyncio.sleep(100)
            assert await served(engine) == []
            assert await engine.store.downlink(taken.message.id) is None

        assert [path for _, path in script.sent] == ["a.example/1"]

    run(story())


@pytest.mark.parametrize(
    ("outcome", "seconds", "code"),
    [
        (Accepted(200), 0.1, "1"),
        (Accepted(200, b"not json"), 0.1, "1"),
        (Accepted(200, b'{"FFFF":{"downlinkData":"0011223344556677"}}'), 0.1, "1"),
        (Accepted(200, b'{"1C178":{"downlinkData":"00112233"}}'), 0.1, "2"),
        (Accepted(200, b'{"1C178":{"downlinkData":"zz11223344556677"}}'), 0.1, "2"),
        (Refused(500), 0.1, "1"),
        (DOWN, 0.1, "1"),
        (Accepted(200, b'{"1C178":{"downlinkData":"0011223344556677"}}'), 12.0, "1"),  # late
    ],
)
def test_an_answer_that_cannot_be_sent_ends_the_request_at_once_and_is_reported(
    outcome: Outcome, seconds: float, code: str
) -> None:
    async def story() -> None:
        script = Script(lambda request: (seconds, outcome) if request.host == "a.example" else (0.001, Accepted(200)))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(15)
            assert results(script) == [code]
            await asyncio.sleep(1000)
            assert (await served(engine), results(script)) == ([], [code])

    run(story())


@pytest.mark.parametrize("outcome", [Accepted(204), Accepted(200, b'{"1C178":{"noData":true}}')])
def test_an_answer_that_there_is_nothing_to_send_ends_the_request_in_peace(outcome: Outcome) -> None:
    async def story() -> None:
        script = Script(lambda request: (0.1, outcome))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            (taken,) = await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(100)
            downlink = await engine.store.downlink(taken.message.id)
            assert await served(engine) == []

        assert downlink is not None
        assert downlink.state is DownlinkState.DECLINED
        assert results(script) == []

    run(story())


def test_a_retry_never_brings_a_downlink_back() -> None:
    async def story() -> None:
        ready = answer("0011223344556677")
        failing = {"a.example": True}
        script = Script(lambda request: (0.1, Refused(503)) if failing.pop(request.host, False) else ready(request))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(1000)
            assert await served(engine) == []

        assert sum(path.startswith("a.") for _, path in script.sent) > 1
        assert results(script) == ["1"]

    run(story())


def test_a_downlink_that_nobody_fetches_while_the_device_listens_is_a_network_error() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(60)
            assert await served(engine) == []

        assert results(script) == ["4"]
        assert 45 <= script.sent[-1][0] < 46

    run(story())


def test_a_second_request_while_the_device_listens_is_refused() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(10)
            await engine.take([uplink(2, ack=True)])
            await asyncio.sleep(3)
            assert results(script) == ["7"]
            assert len(await served(engine)) == 1
            await asyncio.sleep(100)
            await engine.take([uplink(3, ack=True)])
            await asyncio.sleep(3)
            assert len(await served(engine)) == 1

    run(story())


def test_mode_callback_without_a_selected_callback_is_a_configuration_that_is_not_valid() -> None:
    async def story() -> None:
        unselected = {**ANSWERING, "downlinkHook": False}
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=unselected, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(3)
            assert await served(engine) == []

        assert results(script) == ["8"]

    run(story())


def test_mode_direct_answers_by_itself() -> None:
    async def story() -> None:
        script = Script()
        direct: Content = {"downlink": {"mode": "direct", "data": "{time}0000{rssi}"}}
        async with running(script, device_type=direct, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True, rssi=-121.0)])
            assert await served(engine) == [bytes.fromhex("6553f1000000ff87")]
            await engine.take([uplink(1, type="acknowledge", infoCode=0, seqNumber=None)])
            await asyncio.sleep(1)

        assert [path for _, path in script.sent] == ["b.example/1C178?code=0&ack=true"]

    run(story())


def test_what_the_network_reports_ends_the_request_and_is_told_once() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            (taken,) = await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(1)
            await served(engine)
            await engine.take([uplink(1, type="acknowledge", infoCode=3, seqNumber=None)])
            await asyncio.sleep(100)
            downlink = await engine.store.downlink(taken.message.id)

        assert downlink is not None
        assert (downlink.state, downlink.code) == (DownlinkState.ENDED, InfoCode.OVERRUN_ERROR)
        assert results(script) == ["3"]

    run(story())


def test_results_are_reported_after_a_restart() -> None:
    async def story() -> None:
        script, store = Script(answer("0011223344556677")), MemoryStore()
        async with running(script, store=store, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(1)
        await asyncio.sleep(500)
        async with running(script, store=store) as engine:
            await asyncio.sleep(10)
            assert await served(engine) == []

        assert results(script) == ["4"]

    run(story())


def test_the_network_side_is_woken_when_something_is_ready() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677", seconds=3.0))
        async with running(script, device_type=CALLBACK, hook=ANSWERING) as engine:
            loop = asyncio.get_running_loop()
            waiting = asyncio.create_task(served(engine, timedelta(seconds=30)))
            await asyncio.sleep(1)
            await engine.take([uplink(1, ack=True)])

            assert await waiting == [bytes.fromhex("0011223344556677")]
            assert loop.time() == pytest.approx(4.0, abs=0.01)

    run(story())


def test_of_many_that_wait_one_gets_it_and_the_others_wait_on() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING) as engine:
            loop = asyncio.get_running_loop()
            waiting = [asyncio.create_task(served(engine, timedelta(seconds=20))) for _ in range(5)]
            await asyncio.sleep(1)
            await engine.take([uplink(1, ack=True)])
            got = await asyncio.gather(*waiting)

            assert sorted(map(len, got)) == [0, 0, 0, 0, 1]
            assert loop.time() == pytest.approx(20.0, abs=0.01)

    run(story())


def test_nobody_waits_for_an_engine_that_stops() -> None:
    async def story() -> None:
        async with running(Script(), device_type=CALLBACK, hook=ANSWERING) as engine:
            waiting = asyncio.create_task(served(engine, timedelta(seconds=20)))
            await asyncio.sleep(1)
        assert await waiting == []
        assert asyncio.get_running_loop().time() < 2

    run(story())


@pytest.mark.parametrize(
    ("asks", "data", "wait", "state"),
    [
        (True, "0011223344556677", 9, DownlinkState.SERVED),
        (True, "00", 9, DownlinkState.ENDED),
        (True, "0011223344556677", 1, DownlinkState.ASKED),
        (False, "0011223344556677", 9, None),
    ],
)
def test_who_brought_the_message_can_wait_for_its_answer(
    asks: bool, data: str, wait: int, state: DownlinkState | None
) -> None:
    async def story() -> None:
        script = Script(answer(data, seconds=3.0))
        async with running(script, device_type=CALLBACK, hook=ANSWERING) as engine:
            (taken,) = await engine.take([uplink(1, ack=asks)])
            downlink: Downlink | None = await engine.answer_to(taken.message.id, wait=timedelta(seconds=wait))
            left = await served(engine)

        assert (None if downlink is None else downlink.state) == state
        assert left == []

    run(story())


def test_of_two_that_want_the_same_downlink_one_gets_it() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677", seconds=3.0))
        async with running(script, device_type=CALLBACK, hook=ANSWERING) as engine:
            polling = asyncio.create_task(served(engine, timedelta(seconds=30)))
            (taken,) = await engine.take([uplink(1, ack=True)])
            brought = await asyncio.gather(
                *(engine.answer_to(taken.message.id, wait=timedelta(seconds=9)) for _ in range(2))
            )
            late = await engine.answer_to(taken.message.id, wait=timedelta(seconds=9))
            fetched = await polling

        assert fetched == []
        data = [None if downlink is None else downlink.data for downlink in (*brought, late)]
        assert sorted(map(str, data)) == sorted(map(str, [bytes.fromhex("0011223344556677"), None, None]))

    run(story())


def test_a_batch_answers_each_of_its_devices() -> None:
    async def story() -> None:
        body = b'{"1C178":{"downlinkData":"0011223344556677"},"ABC":{"noData":true},"FFFF":{"downlinkData":"00"}}'
        script = Script(lambda request: (0.1, Accepted(200, body if request.host == "a.example" else b"")))
        batch: Content = {
            "type": "data/bidir",
            "channel": "batch-url",
            "url": "http://a.example/?lines={batch}",
            "linePattern": "{device};{ack}",
            "downlinkHook": True,
        }
        async with running(script, device_type=CALLBACK, hook=batch, result=RESULT) as engine:
            devices = ["1C178", "ABC", "FFFF", "DDD", "EEE"]
            await engine.take([uplink(1, device=device, ack=device != "EEE") for device in devices])
            await asyncio.sleep(10)
            ready = await engine.serve_downlinks(limit=9, wait=NOW)

        assert [(each.device, each.data) for each in ready] == [("1C178", bytes.fromhex("0011223344556677"))]
        told = sorted(path.removeprefix("b.example/") for _, path in script.sent if path.startswith("b."))
        assert told == ["DDD?code=1&ack=false", "FFFF?code=2&ack=false"]

    run(story())


def test_what_the_engine_tells_of_one_request_does_not_end_another() -> None:
    async def story() -> None:
        script = Script(answer("0011223344556677"))
        async with running(script, device_type=CALLBACK, hook=ANSWERING, result=RESULT) as engine:
            (first,) = await engine.take([uplink(1, ack=True)])
            await asyncio.sleep(5)
            await engine.take([uplink(2, ack=True)])  # refused, and told so, while the first waits to be fetched
            await asyncio.sleep(5)
            downlink = await engine.store.downlink(first.message.id)

        assert results(script) == ["7"]
        assert downlink is not None
        assert downlink.state is DownlinkState.READY

    run(story())
