"""All channels as one: each request goes out by the channel of its kind."""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_never

from reconciler.model.delivery import HttpRequest, Mail, Outcome, Sendable, Unreachable
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.channels.unreachable import Reason, unreachable

__all__ = ["Channels"]


class Channels:
    """A channel for everything that can be sent.

    Without a mail server every mail is unreachable, so that it is retried and kept like any other delivery until
    somebody configures one.
    """

    __slots__ = ("_http", "_mail")

    def __init__(self, *, http: Channel[HttpRequest], mail: Channel[Mail] | None = None) -> None:
        self._http = http
        self._mail = mail

    # No coroutine of its own: on the way of every request it would only wait for another.
    def send(self, request: Sendable, *, timeout: timedelta) -> Coroutine[Any, Any, Outcome]:
        """Send it once and say what came of it."""
        match request:
            case HttpRequest():
                return self._http.send(request, timeout=timeout)
            case Mail():
                if self._mail is None:
                    return _not_configured(request)
                return self._mail.send(request, timeout=timeout)
            case _:
                assert_never(request)

    async def close(self) -> None:
        """Close all of them."""
        if self._mail is not None:
            await self._mail.close()
        await self._http.close()


async def _not_configured(mail: Mail) -> Unreachable:
    return unreachable(
        Reason.MAIL_NOT_CONFIGURED,
        f"Could not send email to {mail.recipient}: the engine was given no mail server. Start it with --smtp and "
        "--mail-from, as in --smtp smtps://LOGIN@HOST --mail-from ADDRESS, and replay the delivery.",
    )
