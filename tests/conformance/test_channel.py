"""What every channel must do, whichever it is: the rules of `reconciler.runtime.channels.protocol`.

A channel under test is opened for a far end that answers by script (`tests/fakes.py`). A new implementation joins
`CHANNELS` and passes all of this untouched.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, HttpRequest, Refused, Unreachable
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.protocol import Channel
from tests.fakes import Answer, Drip, Raw, Reply, ScriptedChannel, Silence, Sink, on_every_loop

LONG = timedelta(seconds=10)
SHORT = timedelta(seconds=0.05)
CANARY = "canary-0123456789"
SECRETS = {"TOKEN": CANARY}


class Opened(NamedTuple):
    """A channel, and how many requests have reached the far end."""

    channel: Channel[HttpRequest]
    request: HttpRequest
    arrived: Callable[[], int]


Open = Callable[..., AbstractAsyncContextManager[Opened]]


def a_request(sink: Sink, *, secret: str = "TOKEN") -> HttpRequest:
    """A request with a secret wherever one may stand."""

    def holding(context: Context) -> tuple[str | Secret, ...]:
        return ("/before-", Secret(secret, context), "-behind")

    return sink.request(
        holding(Context.PATH), headers=(("X-Token", holding(Context.HEADER)),), body=holding(Context.JSON_STRING)
    )


@asynccontextmanager
async def http(*script: Reply) -> AsyncIterator[Opened]:
    async with Sink(*script) as sink:
        channel = HttpChannel(secrets=SECRETS.get, egress=EgressPolicy(allow_private=True), connections_per_endpoint=4)
        yield Opened(channel, a_request(sink), lambda: len(sink.requests))
        await channel.close()


@asynccontextmanager
async def scripted(*script: Reply) -> AsyncIterator[Opened]:
    channel = ScriptedChannel(*script, secrets=SECRETS.get)
    yield Opened(channel, a_request(Sink(port=9)), lambda: len(channel.sent))
    await channel.close()


CHANNELS: dict[str, Open] = {"http": http, "scripted": scripted}
every_channel = pytest.mark.parametrize("opened", CHANNELS.values(), ids=CHANNELS)


@on_every_loop
@every_channel
@pytest.mark.parametrize("status", [200, 204, 299, 302, 400, 404, 500, 503])
async def test_the_status_decides_between_accepted_and_refused(opened: Open, status: int) -> None:
    body = b"" if status == 204 else b'{"1C178":{"noData":true}}'
    async with opened(Answer(status, body)) as (channel, request, _):
        expected = Accepted(status, body) if status < 300 else Refused(status, body)
        assert await channel.send(request, timeout=LONG) == expected


@on_every_loop
@every_channel
@pytest.mark.parametrize(
    ("reply", "reason"),
    [(Raw(b""), "connection-reset"), (Raw(b"\x00\x01garbage\r\n\r\n"), "not-http"), (Silence(), "deadline")],
)
async def test_whatever_the_far_end_does_is_an_outcome(opened: Open, reply: Reply, reason: str) -> None:
    async with opened(reply) as (channel, request, _):
        outcome = await channel.send(request, timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == reason
        assert outcome.detail.endswith(".")


@on_every_loop
@every_channel
@pytest.mark.parametrize("reply", [Silence(), Answer(200, delay=0.5), Drip(200, b"x" * 100, pause=0.01)])
async def test_the_deadline_is_honoured(opened: Open, reply: Reply) -> None:
    async with opened(reply) as (channel, request, _):
        outcome = await channel.send(request, timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "deadline"


@on_every_loop
@every_channel
async def test_an_answer_within_the_deadline_is_waited_for(opened: Open) -> None:
    async with opened(Answer(200, delay=0.05)) as (channel, request, _):
        assert await channel.send(request, timeout=LONG) == Accepted(200)


@on_every_loop
@every_channel
async def test_a_channel_never_tries_again_by_itself(opened: Open) -> None:
    async with opened(Answer(500), Answer(200)) as (channel, request, arrived):
        assert await channel.send(request, timeout=LONG) == Refused(500)
        assert arrived() == 1


@on_every_loop
@every_channel
async def test_requests_do_not_wait_for_each_other(opened: Open) -> None:
    async with opened(Silence(), Answer(200)) as (channel, request, arrived):
        stuck = asyncio.create_task(channel.send(request, timeout=LONG))
        while not arrived():
            await asyncio.sleep(0)
        assert await channel.send(request, timeout=LONG) == Accepted(200)
        assert not stuck.done()
        stuck.cancel()


@on_every_loop
@every_channel
@pytest.mark.parametrize(
    "reply",
    [Answer(200), Answer(500), Raw(b""), Raw(b"garbage\r\n\r\n"), Silence()],
    ids=["accepted", "refused", "reset", "garbage", "deadline"],
)
async def test_no_outcome_holds_a_secret(opened: Open, reply: Reply) -> None:
    async with opened(reply) as (channel, request, _):
        assert CANARY not in repr(await channel.send(request, timeout=SHORT))


@on_every_loop
@every_channel
async def test_a_request_without_its_secret_is_not_sent(opened: Open) -> None:
    async with opened(Answer(200)) as (channel, _, arrived):
        outcome = await channel.send(a_request(Sink(port=9), secret="NOWHERE"), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert (outcome.reason, "NOWHERE" in outcome.detail, arrived()) == ("secret-missing", True, 0)


@on_every_loop
@every_channel
async def test_closing_ends_what_is_in_flight(opened: Open) -> None:
    async with opened(Silence()) as (channel, request, arrived):
        sending = asyncio.create_task(channel.send(request, timeout=LONG))
        while not arrived():
            await asyncio.sleep(0)
        await channel.close()
        outcome = await sending
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "closing"


@on_every_loop
@every_channel
async def test_nothing_is_sent_after_closing_and_closing_twice_is_closing(opened: Open) -> None:
    async with opened(Answer(200)) as (channel, request, arrived):
        await channel.close()
        await channel.close()
        outcome = await channel.send(request, timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert (outcome.reason, arrived()) == ("closing", 0)


@on_every_loop
@every_channel
async def test_cancelling_passes_through_and_harms_nobody_else(opened: Open) -> None:
    async with opened(Silence(), Answer(200)) as (channel, request, arrived):
        sending = asyncio.create_task(channel.send(request, timeout=LONG))
        while not arrived():
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await channel.send(request, timeout=LONG) == Accepted(200)
