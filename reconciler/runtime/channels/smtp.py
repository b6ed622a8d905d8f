"""One talk with a mail server, from its greeting to its word on the mail (RFC 5321, RFC 3207, RFC 4954).

aiosmtplib reads answers, refuses commands that hold a line end, stuffs dots and upgrades to TLS; what is said, and what
an answer means, is decided here.

1. Nothing is believed that was said before TLS: after the handshake the server is asked again what it can do, and bytes
   that came behind its answer to STARTTLS are thrown away unread (RFC 3207 section 4.2).
2. Where TLS is demanded and not offered, or offered and then refused, the talk ends; nothing goes on in the clear.
3. A login is sent over TLS alone, by PLAIN or LOGIN; of the two the first that is offered, and once, because servers
   count failures.
4. An answer of 400 or more is a refusal, and told in the server's own words, without what is secret; they are bounded
   and hold no control characters. What keeps to no form of SMTP is `not-smtp`.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, cast

from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.auth import auth_login_encode, auth_plain_encode
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from reconciler.grammar.escape import LONE_SURROGATE, NOT_IN_LINE
from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.mail_settings import Login, MailSettings, Security
from reconciler.runtime.channels.tls import explain_handshake
from reconciler.runtime.channels.unreachable import Reason, unreachable

__all__ = ["MAX_REPLY", "NotTaken", "Talk"]

MAX_REPLY: Final = 500  # characters of an answer that are kept
_AIOSMTPLIB_SAYS: Final = "Malformed SMTP response line: "
_AT_ONCE: Final = Security.AT_ONCE
_BYE: Final = 1.0  # seconds: RFC 5321 section 4.1.1.10 wants QUIT answered, and nobody waits for that
# "Command not recognized" and its like: a server that knows HELO alone (RFC 5321 section 3.2).
_NO_EHLO: Final = frozenset({500, 501, 502, 504, 550})


class NotTaken(Exception):
    """The server did not take the mail; the outcome says why. It never leaves the channel."""

    def __init__(self, outcome: Unreachable) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Talk:
    """A connection to the mail server; whoever opens it hangs up."""

    def __init__(
        self,
        protocol: SMTPProtocol,
        settings: MailSettings,
        *,
        tls: ssl.SSLContext,
        flight: Flight,
        redact: Callable[[str], str],
    ) -> None:
        """`redact` takes out of an answer what may not be kept of it."""
        self._protocol = protocol
        self._settings = settings
        self._tls = tls
        self._flight = flight
        self._redact = redact
        self._transports = [protocol.transport]
        self._in_step = True

    async def hand_over(self, letter: bytes, *, recipient: str) -> str:
        """Hand a mail over; the server's last word, as in "250 2.0.0 Ok: queued as 4F2".

        Raises:
            NotTaken: it was not taken, or nobody can say.
        """
        hint = (
            " (a port that expects TLS at once has an smtps:// URL)" if self._settings.security is not _AT_ONCE else ""
        )
        await self._answer("greeting", self._protocol.read_response(), hint=hint)
        extensions, logins = await self._introduce()
        security, login = self._settings.security, self._settings.login
        if security is not _AT_ONCE:
            if "starttls" in extensions:
                await self._encrypt()
                extensions, logins = await self._introduce()
            elif security is Security.STARTTLS or login is not None:
                words = "offers no STARTTLS, and nothing is sent to it without TLS"
                raise NotTaken(unreachable(Reason.TLS_HANDSHAKE, f"{self._settings.host} {words}."))
        if login is not None:
            await self._log_in(login, logins)
        await self._ask("MAIL FROM", f"MAIL FROM:<{self._settings.sender}>")
        await self._ask("RCPT TO", f"RCPT TO:<{recipient}>")
        response = await self._answer("answer to the mail", self._protocol.execute_data_command(letter))
        return self._shown(response)

    async def say_goodbye(self) -> None:
        """End the talk as the protocol wants it; what comes of that matters to nobody."""
        if not self._in_step:
            return
        with suppress(SMTPException, TimeoutError):
            async with asyncio.timeout(_BYE):
                await self._protocol.execute_command(b"QUIT")

    def hang_up(self) -> None:
        """Close the connection without waiting for the other side."""
        for transport in (self._protocol.transport, *self._transports):
            if transport is not None:
                cast(asyncio.Transport, transport).abort()  # uvloop's are no instances of it

    async def _introduce(self) -> tuple[dict[str, str], list[str]]:
        """What the server can do: its extensions, and the ways to log in; names in lower case."""
        name = _own_name(self._protocol.transport)
        try:
            response = await self._ask("EHLO", f"EHLO {name}")
        except _Refused as refused:
            if refused.code not in _NO_EHLO:
                raise
            await self._ask("HELO", f"HELO {name}")
            return {}, []
        return parse_esmtp_extensions(response.message)

    async def _encrypt(self) -> None:
        host = self._settings.host
        self._flight.doing = f"the TLS handshake with {host} was not finished"
        try:
            await self._protocol.start_tls(self._tls, server_hostname=host)
        except SMTPResponseException as error:
            words = f"refused STARTTLS: {self._shown(SMTPResponse(error.code, error.message))}"
            raise NotTaken(unreachable(Reason.TLS_HANDSHAKE, f"{host} {words}.")) from error
        except OSError as error:  # those of aiosmtplib that tell of a lost connection are, too
            raise NotTaken(explain_handshake(error, host, scheme="smtp")) from error

    async def _log_in(self, login: Login, offered: list[str]) -> None:
        if "plain" in offered:
            await self._ask("the login", f"AUTH PLAIN {auth_plain_encode(login.name, login.password).decode()}")
        elif "login" in offered:
            name, password = auth_login_encode(login.name, login.password)
            await self._ask("the login", f"AUTH LOGIN {name.decode()}", expected=3)
            await self._ask("the login", password.decode())
        else:
            words = "offers no login with a password (PLAIN or LOGIN); without one, leave the login out of its URL"
            raise NotTaken(unreachable(Reason.MAIL_REFUSED, f"{self._settings.host} {words}."))

    async def _ask(self, to: str, command: str, *, expected: int = 2) -> SMTPResponse:
        coming = self._protocol.execute_command(command.encode("ascii"))
        return await self._answer(f"answer to {to}", coming, expected=expected)

    async def _answer(
        self, which: str, coming: Awaitable[SMTPResponse], *, expected: int = 2, hint: str = ""
    ) -> SMTPResponse:
        """What the server says, when its code begins with the digit that lets us go on."""
        host = self._settings.host
        self._flight.doing = f"{host} had not sent its {which}{hint}"
        try:
            response = await coming
        except SMTPServerDisconnected as error:
            detail = f"{host} ended the connection before it had sent its {which}."
            raise NotTaken(unreachable(Reason.CONNECTION_RESET, detail)) from error
        except SMTPResponseException as error:  # never a success, whatever the code: out of turn, it may be a 250
            response = SMTPResponse(error.code, error.message.removeprefix(_AIOSMTPLIB_SAYS))
        else:
            if response.code // 100 == expected:
                return response
        shown = self._shown(response)
        if 400 <= response.code <= 599:
            raise _Refused(response.code, unreachable(Reason.MAIL_REFUSED, f"{shown} ({which})."))
        self._in_step = False
        raise NotTaken(unreachable(Reason.NOT_SMTP, f"{host} does not speak SMTP: its {which} was “{shown}”."))

    def _shown(self, response: SMTPResponse) -> str:
        """An answer in one line, fit to be kept."""
        text = self._redact(LONE_SURROGATE.sub("\ufffd", response.message))
        text = NOT_IN_LINE.sub(" ", text).strip()
        if response.code >= 0:  # aiosmtplib's own -1: it did not begin with a number
            text = f"{response.code} {text}".rstrip()
        return text if len(text) <= MAX_REPLY else f"{text[: MAX_REPLY - 1]}…"


class _Refused(NotTaken):
    """The server said no."""

    def __init__(self, code: int, outcome: Unreachable) -> None:
        super().__init__(outcome)
        self.code = code


def _own_name(transport: asyncio.BaseTransport | None) -> str:
    """What a client without a name of its own calls itself: the connection's address (RFC 5321 section 4.1.3)."""
    sockname = transport.get_extra_info("sockname") if transport is not None else None
    address = str(sockname[0]).partition("%")[0] if sockname else "127.0.0.1"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
