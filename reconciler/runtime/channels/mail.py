"""The mail channel: one e-mail to one recipient becomes one outcome (`callbacks.md` section 4.3).

    mail.py            fill in secrets, wait for a turn, connect, hand over
    mail_settings.py   which server, which sender
    mail_wire.py       the mail as bytes: nothing a device sends can add a header, a recipient or a second mail
    smtp.py            the talk with the server

1. All mail goes to the one server that the engine's administrator names, with the recipient alone in its envelope. It
   may be at a private address or on this machine, whatever the authors of callbacks may name; its name is resolved and
   judged like any other (`dial.py`), so that it never leads to link-local or metadata addresses unless those are
   allowed.
2. An outcome is Accepted with status 200 and the server's last word, or Unreachable; the operator has 200 and 600 for
   the two, and its words "Could not send email to …" begin every detail.
3. A connection for each mail: mail is for tests and alarms (`callbacks.md` section 4.3), a server that is asked once in
   a while has closed the last connection by then, and a fresh one carries no doubt about what became of the last mail.
   At most `connections` at once, because mail servers limit them; who waits for a turn does so within its deadline.
4. At least once, like all deliveries: a connection that ends between the mail and the answer makes a second attempt,
   with the same Message-ID.
5. Secrets become text for the time of one attempt. No outcome holds one, nor the password, also when an answer of the
   server repeats it (`wire.Filling`).
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from aiosmtplib.protocol import SMTPProtocol

from reconciler.grammar.escape import LONE_SURROGATE, NOT_IN_LINE
from reconciler.model.delivery import Accepted, Mail, Outcome, Unreachable
from reconciler.runtime.channels.dial import Dialer, Resolve, SystemResolver
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.mail_settings import MAX_ADDRESS, Login, MailSettings, Security
from reconciler.runtime.channels.mail_wire import compose
from reconciler.runtime.channels.smtp import NotTaken, Talk
from reconciler.runtime.channels.tls import Tls
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.channels.waiting import composed_when_read
from reconciler.runtime.channels.wire import Endpoint, Filling
from reconciler.runtime.secrets.pending import SecretPending

__all__ = ["MailChannel"]

_OWN_AND_PUBLIC: Final = EgressPolicy(allow_private=True)  # rule 1
_CONNECTIONS: Final = 4
_OK: Final = 200  # the operator's word for a mail that was taken, whatever the server's was


class MailChannel:
    """Sends mails through one server; lives in one event loop."""

    def __init__(
        self,
        settings: MailSettings,
        *,
        secrets: Callable[[str], str | None],
        now: Callable[[], datetime],
        tls: Tls,
        egress: EgressPolicy = _OWN_AND_PUBLIC,
        resolve: Resolve | None = None,
        connections: int = _CONNECTIONS,
    ) -> None:
        """`secrets` gives a value by name, None when it is not set; `now` is for the Date of mails.

        `tls` is made without ALPN (`tls.py`, rule 2); private addresses are open whatever `egress` says; `resolve`
        defaults to the machine's resolver.
        """
        self._settings = settings
        self._secrets = secrets
        self._now = now
        self._context = tls.context(send_sni=True)
        self._resolver = SystemResolver()
        self._dialer = Dialer(egress=replace(egress, allow_private=True), resolve=resolve or self._resolver, tls=tls)
        self._endpoint = Endpoint(
            "smtps" if settings.security is Security.AT_ONCE else "smtp", settings.host, settings.port, send_sni=True
        )
        self._limit = connections
        self._turns = asyncio.Semaphore(connections)
        self._flights: set[Flight] = set()
        self._quiet = asyncio.Event()
        self._closing = False

    async def send(self, request: Mail, *, timeout: timedelta) -> Outcome:
        """Send it once and say what came of it."""
        outcome = await self._send(request, timeout)
        if isinstance(outcome, Unreachable):
            return replace(outcome, detail=f"Could not send email to {_shown(request.recipient)}: {outcome.detail}")
        return outcome

    async def close(self) -> None:
        """End the mails in flight as unreachable; wait until nothing is left of them."""
        self._closing = True
        for flight in self._flights:
            flight.interrupt(Reason.CLOSING)
        while self._flights:
            self._quiet.clear()
            await self._quiet.wait()
        self._resolver.close()

    async def _send(self, mail: Mail, timeout: timedelta) -> Outcome:
        if self._closing:
            return unreachable(Reason.CLOSING, "The engine was stopping: the mail was not sent.")
        filling = Filling(self._secrets)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout.total_seconds()
        composing = partial(compose, mail, sender=self._settings.sender, sent_at=self._now(), secret=filling)
        letter: bytes | Unreachable
        try:
            letter = composing()
        except SecretPending as pending:
            letter = await composed_when_read(composing, pending, deadline=deadline)
        if isinstance(letter, Unreachable):
            return letter
        flight = Flight(deadline)
        flight.doing = f"all {self._limit} connections to the mail server were busy"
        timer = loop.call_at(flight.deadline, flight.interrupt, Reason.DEADLINE)
        self._flights.add(flight)
        outcome: Outcome | None = None
        try:
            async with self._turns:
                talk = await self._connect(flight, filling)
                if isinstance(talk, Unreachable):
                    return talk
                try:
                    outcome = await _handed_over(talk, letter, mail.recipient)
                    await talk.say_goodbye()
                finally:
                    talk.hang_up()
        except asyncio.CancelledError:
            interruption = flight.interruption()
            if interruption is None:
                raise
            return outcome or interruption  # what the server had said counts, whatever ended the goodbye
        finally:
            timer.cancel()
            self._flights.discard(flight)
            if not self._flights:
                self._quiet.set()
        return outcome

    async def _connect(self, flight: Flight, filling: Filling) -> Talk | Unreachable:
        loop = asyncio.get_running_loop()
        protocol = await self._dialer.dial(self._endpoint, lambda: SMTPProtocol(loop), flight=flight)
        if isinstance(protocol, Unreachable):
            return protocol
        login = self._settings.login

        def redact(answer: str) -> str:
            return _without_password(_without_secrets(answer, filling), login)

        return Talk(protocol, self._settings, tls=self._context, flight=flight, redact=redact)


async def _handed_over(talk: Talk, letter: bytes, recipient: str) -> Outcome:
    try:
        return Accepted(_OK, (await talk.hand_over(letter, recipient=recipient)).encode())
    except NotTaken as error:
        return error.outcome


def _without_secrets(answer: str, filling: Filling) -> str:
    outcome = filling.without_echo(Accepted(_OK, answer.encode()))
    assert isinstance(outcome, Accepted), "it changes the body alone"
    return outcome.body.decode(errors="replace")


def _without_password(answer: str, login: Login | None) -> str:
    """The answer, with dots wherever it repeats the password as it is or as it was sent (RFC 4616, AUTH LOGIN)."""
    if login is None:
        return answer
    plain = f"\0{login.name}\0{login.password}"
    for form in (b64encode(plain.encode()).decode(), b64encode(login.password.encode()).decode(), login.password):
        answer = answer.replace(form, "…")
    return answer


def _shown(address: str) -> str:
    """An address as sentences hold it; it may be none (`mail_wire.compose` finds out)."""
    return NOT_IN_LINE.sub(" ", LONE_SURROGATE.sub("\ufffd", address))[:MAX_ADDRESS]
