"""What a device gets back through the operator's own callback, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest

from reconciler.errors import StoreError
from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Refused
from reconciler.model.downlink import Downlink, DownlinkState
from reconciler.runtime.api.application import application
from reconciler.runtime.engine import Engine
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import ALL, TOKENS
from tests.unit.runtime.engine_rig import Script, callback, running
from tests.virtual_time import run

CALLBACK: Content = {"downlink": {"mode": "callback"}}
DIRECT: Content = {"downlink": {"mode": "direct", "data": "0011223344556677"}}
ANSWERING = callback("http://a.example/{device}", type="data/bidir", downlinkHook=True)
BIDIR = "/v1/in/operator/bidir?deviceType=tracker"
ASKING = {"device": "0001c178", "time": "1471594359", "data": "1e2d", "seqNumber": "7", "ack": "true"}
SENT = b'{"1C178":{"downlinkData":"0123456789abcdef"}}'

Post = Callable[..., Awaitable[tuple[int, Any, float]]]


@asynccontextmanager
async def door(
    outcome: Outcome,
    *,
    seconds: float = 0.5,
    device_type: Content = CALLBACK,
    store: MemoryStore | None = None,
) -> AsyncIterator[tuple[Post, Engine]]:
    """The door of an engine whose callback answers so after so many seconds; a post gives status, body and seconds."""

    def answer(request: HttpRequest) -> tuple[float, Outcome]:
        return seconds, outcome

    async with running(Script(answer), device_type=device_type, store=store, answering=ANSWERING) as engine:
        app = application(engine, TOKENS, stopping=asyncio.Event())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://engine",
            headers={"Authorization": f"Bearer {ALL}"},
        ) as client:

            async def post(url: str = BIDIR, **changes: str) -> tuple[int, Any, float]:
                loop = asyncio.get_running_loop()
                began = loop.time()
                response = await client.post(url, json={**ASKING, **changes})
                told = response.json() if response.content else None
                return response.status_code, told, loop.time() - began

            yield post, engine


def posted(outcome: Outcome = Accepted(200, SENT), **more: Any) -> tuple[int, Any, float]:  # noqa: B008
    """What one asking device gets back."""

    async def story() -> tuple[int, Any, float]:
        async with door(outcome, **more) as (post, _):
            return await post()

    return run(story())


def test_the_answer_of_our_callback_goes_back_under_the_id_as_it_came() -> None:
    status, told, seconds = posted()

    assert (status, told) == (200, {"0001c178": {"downlinkData": "0123456789abcdef"}})
    assert seconds == pytest.approx(0.5)


def test_a_device_type_that_answers_by_itself_needs_no_callback() -> None:
    status, told, _ = posted(device_type=DIRECT)

    assert (status, told) == (200, {"0001c178": {"downlinkData": "0011223344556677"}})


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(204),
        Accepted(200, b'{"1C178":{"noData":true}}'),
        Accepted(200, b'{"FFFF":{"downlinkData":"0123456789abcdef"}}'),
        Accepted(200, b'{"1C178":{"downlinkData":"0123"}}'),
        Refused(500),
    ],
)
def test_without_data_the_device_gets_none_and_the_operator_knows_at_once(outcome: Outcome) -> None:
    status, told, seconds = posted(outcome)

    assert (status, told) == (204, None)
    assert seconds < 1


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_the_operator_waits() -> None:
    status, told, seconds = posted(seconds=9.8)

    assert (status, told) == (204, None)
    assert seconds == pytest.approx(9.0)


@pytest.mark.parametrize("changes", [{"ack": "false"}, {"ack": "null"}])
def test_a_device_that_does_not_ask_is_answered_at_once(changes: dict[str, str]) -> None:
    async def story() -> None:
        async with door(Accepted(200, SENT), seconds=5) as (post, _):
            assert await post(**changes) == (204, None, 0.0)

    run(story())


def test_what_was_handed_out_is_not_handed_out_again() -> None:
    async def story() -> None:
        async with door(Accepted(200, SENT)) as (post, _):
            answers = [await post(), await post(), await post(station="37FF", duplicate="true")]

        assert [status for status, _, _ in answers] == [200, 204, 204]

    run(story())


def test_an_uplink_is_never_answered_with_data() -> None:
    async def story() -> None:
        async with door(Accepted(200, SENT)) as (post, engine):
            assert await post("/v1/in/operator/uplink?deviceType=tracker") == (204, None, 0.0)
            (message,) = await engine.store.messages_of("1C178", limit=9)
            assert "ack" not in message.metadata

    run(story())


def test_what_the_operator_reports_ends_the_request() -> None:
    async def story() -> Downlink | None:
        async with door(Accepted(200, SENT)) as (post, engine):
            await post()
            (message,) = await engine.store.messages_of("1C178", limit=9)
            url = "/v1/in/operator/acknowledge?deviceType=tracker"
            status, _, _ = await post(url, time="1471594389", infoCode="0", infoMessage="Acked", downlinkAck="true")
            assert status == 204
            return await engine.store.downlink(message.id)

    downlink = run(story())
    assert downlink is not None
    assert (downlink.state, downlink.code) == (DownlinkState.ENDED, 0)


class Forgetful(MemoryStore):
    """Keeps messages, and cannot say what became of their requests."""

    async def downlink(self, message_id: str) -> Downlink | None:
        raise StoreError("the disk is on fire")


def test_a_message_that_is_kept_is_acknowledged_though_its_answer_cannot_be_found() -> None:
    status, told, _ = posted(store=Forgetful())

    assert (status, told) == (204, None)
