"""Each request goes out by the channel of its kind."""

import asyncio
from datetime import timedelta
from typing import Generic, TypeVar

import pytest

from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Sendable, Unreachable
from reconciler.runtime.channels.dispatch import Channels
from tests.builders import a_request

R = TypeVar("R")
LONG = timedelta(seconds=10)
MAIL = Mail(id="1", recipient="ops@example.com", recipients=("ops@example.com",), subject="", text="")


class Recorder(Generic[R]):
    """A channel that takes everything."""

    def __init__(self) -> None:
        self.sent: list[tuple[R, timedelta]] = []
        self.closed = 0

    async def send(self, request: R, *, timeout: timedelta) -> Outcome:
        self.sent.append((request, timeout))
        return Accepted(200)

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("request_", [a_request(), MAIL], ids=["http", "mail"])
def test_a_request_reaches_the_channel_of_its_kind_alone(request_: Sendable) -> None:
    http, mail = Recorder[HttpRequest](), Recorder[Mail]()
    assert asyncio.run(Channels(http=http, mail=mail).send(request_, timeout=LONG)) == Accepted(200)
    expected = [(request_, LONG)]
    assert (http.sent, mail.sent) == ((expected, []) if isinstance(request_, HttpRequest) else ([], expected))


def test_without_a_mail_server_a_mail_is_unreachable_and_says_what_to_do() -> None:
    http = Recorder[HttpRequest]()
    outcome = asyncio.run(Channels(http=http).send(MAIL, timeout=LONG))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "mail-not-configured"
    assert outcome.detail.startswith("Could not send email to ops@example.com: ")
    assert "--smtp" in outcome.detail
    assert http.sent == []


def test_closing_closes_all_that_there_are() -> None:
    http, mail = Recorder[HttpRequest](), Recorder[Mail]()
    asyncio.run(Channels(http=http, mail=mail).close())
    asyncio.run(Channels(http=http).close())
    assert (http.closed, mail.closed) == (2, 1)
