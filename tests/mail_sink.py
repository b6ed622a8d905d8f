"""A mail server on loopback that keeps what it is given, and misbehaves by script.

    with MailSink() as sink:                          # plain SMTP; a thread of its own, so it serves any loop and none
        ...                                           # send mail to sink.url
        sink.wait(lambda sink: len(sink.mails) == 1)  # or: await sink.until(lambda sink: ...)
        mail = sink.mails[0]
        mail.recipients, mail.header("Subject"), mail.text

Kinds of server, `mode`: "plain" (smtp://), "starttls" (smtp+starttls://; `required` refuses to go on without), "tls"
(smtps://). The latter two take a server context as `tls`, as in `tests/integration/test_tls.py`. `login` is a name and
a password that have to be given, by one of `mechanisms`; `offers_smtputf8` allows addresses outside ASCII.

A script is a sequence of behaviours, one for each connection in order; `otherwise` is for those behind its end. A
channel opens one connection for each mail, so that this is one for each attempt:

    Take()                                  takes everything (the default)
    Refuse("RCPT", "550 5.1.1 Who?")        answers a stage with this line, for good
    Stall("DATA")                           says nothing from this stage on
    HangUp("END")                           closes the connection instead of answering; `reset` resets it
    Raw("CONNECT", b"garbage\\r\\n")          answers a stage with these bytes; then stays open
    Append("STARTTLS", b"250 more\\r\\n")     does what it should, and sends this right behind the answer
    Drip(0.01)                              sends every byte on its own, after a pause

Stages are the commands, "CONNECT" for the greeting and "END" for the answer to the mail's content. A server that is
told to `Stall` or that drips holds its connection until the other side closes it, or the sink ends.
"""

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, assert_never

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

__all__ = [
    "Append",
    "Behaviour",
    "Drip",
    "HangUp",
    "MailSink",
    "Raw",
    "ReceivedMail",
    "Refuse",
    "Stage",
    "Stall",
    "Take",
]

Stage = Literal["CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END", "RSET", "QUIT"]

_PATIENCE = 10.0  # seconds until a test that hangs fails


@dataclass(frozen=True, slots=True)
class Take:
    """Takes everything."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers the stage with this line."""

    at: Stage
    reply: str = "550 5.7.1 Refused by script"


@dataclass(frozen=True, slots=True)
class Stall:
    """Is silent from the stage on."""

    at: Stage


@dataclass(frozen=True, slots=True)
class HangUp:
    """Ends the connection instead of answering."""

    at: Stage
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """Answers the stage with these bytes."""

    at: Stage
    data: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Does what it should at the stage, and sends these bytes in one piece with the answer."""

    at: Stage
    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Sends each byte after a pause."""

    pause: float = 0.01


Behaviour = Take | Refuse | Stall | HangUp | Raw | Append | Drip


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """A mail that was taken.

    Attributes:
        connection: which one it came over, counted from 1.
        sender: of the envelope.
        recipients: of the envelope.
        content: as it was sent, dots unstuffed, lines ended by CR LF.
        encrypted: whether TLS was in use.
        alpn: the protocol that the two sides agreed on while they turned to TLS; None for none.
        login: who had logged in; None for nobody.
        options: those of MAIL, such as `BODY=8BITMIME`.
    """

    connection: int
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    alpn: str | None
    login: str | None
    options: tuple[str, ...]

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        parsed = message_from_bytes(self.content, policy=SMTP_POLICY)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def text(self) -> str:
        """The decoded text; lines end with a line feed."""
        content = self.message.get_content()
        assert isinstance(content, str)
        return re.sub(r"\r\n?", "\n", content)

    def header(self, name: str) -> str | None:
        """The decoded value of a header, None when it is not there; it must not be there twice."""
        values = self.message.get_all(name, [])
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return str(values[0]) if values else None


class MailSink:
    """The server, to be entered with `with`. What it holds may be read from any thread.

    Attributes:
        mails: everything taken, in order of arrival.
        commands: every command line of every connection, `AUTH` without its credentials.
        connections: how many were accepted so far.
        open: how many of them are open.
        most_open: how many of them were open at once.
        port: where it listens; the one of a sink that ended can be listened on again.
    """

    def __init__(
        self,
        *script: Behaviour,
        otherwise: Behaviour = Take(),
        mode: Literal["plain", "starttls", "tls"] = "plain",
        tls: ssl.SSLContext | None = None,
        required: bool = False,
        login: tuple[str, str] | None = None,
        mechanisms: Collection[str] = ("LOGIN", "PLAIN"),
        offers_smtputf8: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        assert (mode == "plain") == (tls is None), "TLS takes a context"
        self.mails: list[ReceivedMail] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.port = port
        self.login = login
        self._mechanisms = mechanisms
        self._script = deque(script)
        self._otherwise = otherwise
        self._mode = mode
        self._tls = tls
        self._required = required
        self._smtputf8 = offers_smtputf8
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._connected: set[_Connection] = set()
        self._waiting: list[tuple[Callable[[MailSink], bool], asyncio.Future[None]]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-sink", daemon=True)

    def __enter__(self) -> Self:
        # A peer that goes away in a handshake is what many tests are about; nobody wants to read of it here.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    @property
    def url(self) -> str:
        """What `--smtp` takes to get here."""
        scheme = {"plain": "smtp", "starttls": "smtp+starttls", "tls": "smtps"}[self._mode]
        return f"{scheme}://{self._host}:{self.port}"

    def wait(self, met: Callable[["MailSink"], bool], *, timeout: float = _PATIENCE) -> None:
        """Block until something about mails, commands or connections is true."""
        asyncio.run_coroutine_threadsafe(self._until(met), self._loop).result(timeout)

    async def until(self, met: Callable[["MailSink"], bool]) -> None:
        """Wait, in any loop, until something about mails, commands or connections is true."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._until(met), self._loop))

    # In the thread

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            self._connection, self._host, self.port, ssl=self._tls if self._mode == "tls" else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for connection in tuple(self._connected):
            connection.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        await self._loop.shutdown_default_executor()

    def _connection(self) -> "_Connection":
        self.connections += 1
        behaviour = self._script.popleft() if self._script else self._otherwise
        return _Connection(
            self,
            behaviour,
            self.connections,
            enable_SMTPUTF8=self._smtputf8,
            hostname="sink.test",
            tls_context=self._tls if self._mode == "starttls" else None,
            require_starttls=self._required,
            login=self.login is not None,
            auth_exclude_mechanism={"LOGIN", "PLAIN"} - set(self._mechanisms),
            auth_require_tls=self._mode == "starttls",
            authenticator=self._authenticate,
            loop=self._loop,
        )

    def _authenticate(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        name, password = given.login.decode(), given.password.decode()
        return AuthResult(success=(name, password) == self.login, handled=False, auth_data=given)

    async def _until(self, met: Callable[["MailSink"], bool]) -> None:
        waiting = met, self._loop.create_future()
        self._waiting.append(waiting)
        self._something_changed()
        try:
            await waiting[1]
        finally:
            self._waiting.remove(waiting)

    def _something_changed(self) -> None:
        for met, future in self._waiting:
            if not future.done() and met(self):
                future.set_result(None)

    def heard(self, line: str) -> None:
        self.commands.append(line)
        self._something_changed()

    def kept(self, mail: ReceivedMail) -> None:
        self.mails.append(mail)
        self._something_changed()

    def opened(self, connection: "_Connection") -> None:
        self._connected.add(connection)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._something_changed()

    def closed(self, connection: "_Connection") -> None:
        self._connected.discard(connection)
        self.open -= 1
        self._something_changed()


class _Keeper:
    """What aiosmtpd calls when a mail is complete."""

    async def handle_DATA(self, server: "_Connection", session: Session, envelope: Envelope) -> str | None:
        return await server.keep(session, envelope)


class _Connection(SMTP):
    """One connection: aiosmtpd's server, but for what the script says."""

    def __init__(self, sink: MailSink, behaviour: Behaviour, number: int, *, login: bool, **options: Any) -> None:
        super().__init__(_Keeper(), **options)
        self._auth_required = login  # given here, it would warn of logins without TLS, which it does not see in smtps
        self._sink = sink
        self._behaviour = behaviour
        self._number = number
        self._stage: Stage = "CONNECT"
        self._transports: list[asyncio.BaseTransport] = []  # a second one with STARTTLS
        self._smtp_methods = {verb: partial(self._staged, verb, method) for verb, method in self._smtp_methods.items()}

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)
        if len(self._transports) == 1:
            self._sink.opened(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transports:  # aiosmtpd calls it itself, too, when a handshake fails
            self._transports.clear()
            self._sink.closed(self)
            super().connection_lost(error)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # close it; aiosmtpd leaves that to its loop of commands, which may not have begun

    def abort(self) -> None:
        for transport in reversed(self._transports):
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()

    # The script

    async def _staged(
        self, verb: Any, method: Callable[[str | None], Coroutine[Any, Any, None]], arg: str | None
    ) -> None:
        self._stage = verb
        self._sink.heard(f"{verb} {arg}" if arg and verb != "AUTH" else verb)
        if not await self._acted():
            await method(arg)

    async def _acted(self) -> bool:
        """Whether the script had something to do instead of what the stage asks for."""
        behaviour = self._behaviour
        if isinstance(behaviour, Take | Append | Drip) or behaviour.at != self._stage:
            return False
        match behaviour:
            case Refuse(_, reply):
                await super().push(reply.encode())
            case Raw(_, data):
                self._writer.write(data)
                await self._writer.drain()
            case HangUp(_, reset):
                if reset:
                    sock = self._writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.abort()
                else:
                    self._writer.close()
            case Stall():
                await self.loop.create_future()  # cancelled when the connection ends
            case _:
                assert_never(behaviour)
        return True

    async def push(self, status: Any) -> None:
        if status is None or (self._stage == "CONNECT" and await self._acted()):
            return
        behaviour = self._behaviour
        line = status.encode() if isinstance(status, str) else bytes(status)
        if isinstance(behaviour, Drip):
            for byte in line + b"\r\n":
                await asyncio.sleep(behaviour.pause)
                self._writer.write(bytes([byte]))
                await self._writer.drain()
        elif isinstance(behaviour, Append) and behaviour.at == self._stage:
            await super().push(line + b"\r\n" + behaviour.data.removesuffix(b"\r\n"))
        else:
            await super().push(line)

    async def keep(self, session: Session, envelope: Envelope) -> str | None:
        self._stage = "END"
        if await self._acted():
            return None
        assert envelope.original_content is not None
        assert envelope.mail_from is not None
        given: Any = session.auth_data
        ssl_object = self._transports[-1].get_extra_info("ssl_object")
        self._sink.kept(
            ReceivedMail(
                connection=self._number,
                sender=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                content=envelope.original_content,
                encrypted=ssl_object is not None,
                alpn=ssl_object.selected_alpn_protocol() if ssl_object is not None else None,
                login=given.login.decode() if isinstance(given, LoginPassword) else None,
                options=tuple(envelope.mail_options),
            )
        )
        return f"250 2.0.0 Kept as number {len(self._sink.mails)}"
