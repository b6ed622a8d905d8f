"""What every channel must do, whichever it is: the rules of `reconciler.runtime.channels.protocol`.

A channel under test is opened for a far end that answers by script (`tests/fakes.py`; `_in_the_words_of_mail` says what
a mail server does in place of each reply). A new implementation joins `CHANNELS` and passes all of this untouched.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, assert_never

import pytest

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Refused, Sendable, Unreachable
from reconciler.runtime.channels.dispatch import Channels
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.mail_settings import MailSettings, Security
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.channels.tls import public_tls
from tests import mail_sink
from tests.fakes import Answer, Drip, Raw, Reply, ScriptedChannel, Silence, Sink, on_every_loop
from tests.mail_sink import MailSink

LONG = timedelta(seconds=10)
SHORT = timedelta(seconds=0.05)
CANARY = "canary-0123456789"
SECRETS = {"TOKEN": CANARY}


class Opened(NamedTuple):
    """A channel, and a far end that answers by script.

    Attributes:
        request: with a secret wherever one may stand.
        incomplete: the same with a secret that is not set, NOWHERE.
        arrived: how many requests have reached the far end.
        accepted: the outcome of `Answer(200)`.
        refused: the outcome of `Answer(500)`.
        stranger: the reason when the far end speaks another language.
    """

    channel: Channel[Any]
    request: Sendable
    incomplete: Sendable
    arrived: Callable[[], int]
    accepted: Outcome = Accepted(200)
    refused: Outcome = Refused(500)
    stranger: str = "not-http"


Open = Callable[..., AbstractAsyncContextManager[Opened]]


def a_request(sink: Sink, *, secret: str = "TOKEN") -> HttpRequest:
    """An HTTP request with a secret wherever one may stand."""

    def holding(context: Context) -> tuple[str | Secret, ...]:
        return ("/before-", Secret(secret, context), "-behind")

    return sink.request(
        holding(Context.PATH), headers=(("X-Token", holding(Context.HEADER)),), body=holding(Context.JSON_STRING)
    )


@asynccontextmanager
async def http(*script: Reply) -> AsyncIterator[Opened]:
    async with Sink(*script) as sink:
        channel = HttpChannel(secrets=SECRETS.get, egress=EgressPolicy(allow_private=True), connections_per_endpoint=4)
        yield Opened(channel, a_request(sink), a_request(sink, secret="NOWHERE"), lambda: len(sink.requests))
        await channel.close()


@asynccontextmanager
async def together(*script: Reply) -> AsyncIterator[Opened]:
    async with http(*script) as opened:
        yield opened._replace(channel=Channels(http=opened.channel))


@asynccontextmanager
async def scripted(*script: Reply) -> AsyncIterator[Opened]:
    channel = ScriptedChannel(*script, secrets=SECRETS.get)
    nobody = Sink(port=9)
    yield Opened(channel, a_request(nobody), a_request(nobody, secret="NOWHERE"), lambda: len(channel.sent))
    await channel.close()


def a_mail(*, secret: str = "TOKEN") -> Mail:
    """A mail with a secret wherever one may stand."""
    return Mail(
        id="1",
        recipient="ops@example.com",
        recipients=("ops@example.com",),
        subject=("before ", Secret(secret, Context.HEADER)),
        text=("before ", Secret(secret, Context.TEXT)),
    )


@asynccontextmanager
async def mail(*script: Reply) -> AsyncIterator[Opened]:
    with MailSink(*map(_in_the_words_of_mail, script)) as sink:
        channel = MailChannel(
            MailSettings("127.0.0.1", sink.port, Security.OFFERED, "engine@example.com"),
            secrets=SECRETS.get,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            tls=public_tls(),
        )
        refusal = "Could not send email to ops@example.com: 550 5.7.1 Refused by script (answer to the mail)."
        yield Opened(
            channel,
            a_mail(),
            a_mail(secret="NOWHERE"),
            lambda: sum(command.startswith("MAIL") for command in sink.commands),
            accepted=Accepted(200, b"250 2.0.0 Kept as number 1"),
            refused=Unreachable("mail-refused", refusal),
            stranger="not-smtp",
        )
        await channel.close()


def _in_the_words_of_mail(reply: Reply) -> mail_sink.Behaviour:
    match reply:
        case Answer(status) if status >= 300:
            return mail_sink.Refuse("END")
        case Answer(delay=delay):
            return mail_sink.Drip(delay / 100) if delay else mail_sink.Take()  # some 200 bytes in all
        case Drip(pause=pause):
            return mail_sink.Drip(pause)
        case Raw(b""):
            return mail_sink.HangUp("MAIL")
        case Raw(data):
            return mail_sink.Raw("CONNECT", data)
        case Silence():
            return mail_sink.Stall("MAIL")
        case _:
            assert_never(reply)


ANSWERING: dict[str, Open] = {"http": http, "together": together, "scripted": scripted}
CHANNELS: dict[str, Open] = ANSWERING | {"mail": mail}
every_channel = pytest.mark.parametrize("opened", CHANNELS.values(), ids=CHANNELS)


@on_every_loop
@pytest.mark.parametrize("opened", ANSWERING.values(), ids=ANSWERING)
@pytest.mark.parametrize("status", [200, 204, 299, 302, 400, 404, 500, 503])
async def test_the_status_decides_between_accepted_and_refused(opened: Open, status: int) -> None:
    body = b"" if status == 204 else b'{"1C178":{"noData":true}}'
    async with opened(Answer(status, body)) as far:
        expected = Accepted(status, body) if status < 300 else Refused(status, body)
        assert await far.channel.send(far.request, timeout=LONG) == expected


@on_every_loop
@every_channel
async def test_a_request_is_taken_or_refused(opened: Open) -> None:
    async with opened(Answer(200), Answer(500)) as far:
        assert await far.channel.send(far.request, timeout=LONG) == far.accepted
        assert await far.channel.send(far.request, timeout=LONG) == far.refused


@on_every_loop
@every_channel
@pytest.mark.parametrize(
    ("reply", "reason"),
    [(Raw(b""), "connection-reset"), (Raw(b"\x00\x01garbage\r\n\r\n"), "stranger"), (Silence(), "deadline")],
)
async def test_whatever_the_far_end_does_is_an_outcome(opened: Open, reply: Reply, reason: str) -> None:
    async with opened(reply) as far:
        outcome = await far.channel.send(far.request, timeout=SHORT if reason == "deadline" else LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == (far.stranger if reason == "stranger" else reason)
        assert outcome.detail.endswith(".")


@on_every_loop
@every_channel
@pytest.mark.parametrize("reply", [Silence(), Answer(200, delay=0.5), Drip(200, b"x" * 100, pause=0.01)])
async def test_the_deadline_is_honoured(opened: Open, reply: Reply) -> None:
    async with opened(reply) as far:
        outcome = await far.channel.send(far.request, timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "deadline"


@on_every_loop
@every_channel
async def test_an_answer_within_the_deadline_is_waited_for(opened: Open) -> None:
    async with opened(Answer(200, delay=0.05)) as far:
        assert await far.channel.send(far.request, timeout=LONG) == far.accepted


@on_every_loop
@every_channel
async def test_a_channel_never_tries_again_by_itself(opened: Open) -> None:
    async with opened(Answer(500), Answer(200)) as far:
        assert await far.channel.send(far.request, timeout=LONG) == far.refused
        assert far.arrived() == 1


@on_every_loop
@every_channel
async def test_requests_do_not_wait_for_each_other(opened: Open) -> None:
    async with opened(Silence(), Answer(200)) as far:
        stuck = asyncio.create_task(far.channel.send(far.request, timeout=LONG))
        while not far.arrived():
            await asyncio.sleep(0)
        assert await far.channel.send(far.request, timeout=LONG) == far.accepted
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
    async with opened(reply) as far:
        assert CANARY not in repr(await far.channel.send(far.request, timeout=SHORT))


@on_every_loop
@every_channel
async def test_a_request_without_its_secret_is_not_sent(opened: Open) -> None:
    async with opened(Answer(200)) as far:
        outcome = await far.channel.send(far.incomplete, timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert (outcome.reason, "NOWHERE" in outcome.detail, far.arrived()) == ("secret-missing", True, 0)


@on_every_loop
@every_channel
async def test_closing_ends_what_is_in_flight(opened: Open) -> None:
    async with opened(Silence()) as far:
        sending = asyncio.create_task(far.channel.send(far.request, timeout=LONG))
        while not far.arrived():
            await asyncio.sleep(0)
        await far.channel.close()
        outcome = await sending
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "closing"


@on_every_loop
@every_channel
async def test_nothing_is_sent_after_closing_and_closing_twice_is_closing(opened: Open) -> None:
    async with opened(Answer(200)) as far:
        await far.channel.close()
        await far.channel.close()
        outcome = await far.channel.send(far.request, timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert (outcome.reason, far.arrived()) == ("closing", 0)


@on_every_loop
@every_channel
async def test_cancelling_passes_through_and_harms_nobody_else(opened: Open) -> None:
    async with opened(Silence(), Answer(200)) as far:
        sending = asyncio.create_task(far.channel.send(far.request, timeout=LONG))
        while not far.arrived():
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await far.channel.send(far.request, timeout=LONG) == far.accepted
