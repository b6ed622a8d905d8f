"""The far end, faked honestly: a receiver on loopback and a channel without one, both answering by script.

A script is a sequence of replies, one for each request in order of arrival; `otherwise` answers when it is used up. The
same words script both fakes, so that `tests/conformance/test_channel.py` holds both to the same laws.

`on_every_loop` runs a test on each event loop that the engine may run on.
"""

import asyncio
import functools
import inspect
import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, assert_never

import pytest

from reconciler.grammar.template import Rendered, fill
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Refused, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.turn import Turn

__all__ = [
    "Answer",
    "AtOnce",
    "Drip",
    "Raw",
    "Received",
    "Reply",
    "ScriptedChannel",
    "Silence",
    "Sink",
    "on_every_loop",
]

if sys.platform == "win32":
    LOOPS = {"asyncio": asyncio.new_event_loop}
else:
    import uvloop

    LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

_PATIENCE = 10.0  # seconds until a test that hangs fails


class AtOnce(Turn):
    """A turn that ends as soon as something is to be written, for tests that need no loop."""

    def at_end(self, loop: asyncio.AbstractEventLoop, write: Callable[[], None]) -> None:
        write()


def on_every_loop(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function: one for each loop; whatever reaches a loop's exception handler fails it."""

    def test(loop: str, **given: Any) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
            runner.run(asyncio.wait_for(story(**given), _PATIENCE))
        assert complaints == []

    functools.update_wrapper(test, story)  # its name, its words and its marks
    signature = inspect.signature(story)
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    vars(test)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), loop])
    del vars(test)["__wrapped__"]  # pytest would take it for a coroutine function
    every_loop: Callable[[Callable[..., None]], Callable[..., None]] = pytest.mark.parametrize("loop", LOOPS)
    return every_loop(test)


@dataclass(frozen=True, slots=True)
class Answer:
    """A proper answer, framed by Content-Length, after so many seconds.

    `before_body` answers when the headers have come, and never reads the body.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    before_body: bool = False

    @property
    def wire(self) -> bytes:
        """The answer as bytes."""
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in self.headers)]
        if self.status not in {204, 304}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Drip:
    """A proper answer that comes in pieces of `size` bytes with a pause before each."""

    status: int = 200
    body: bytes = b""
    pause: float = 0.01
    size: int = 1


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, and `later` some more; then the connection stays open, is closed, or is reset."""

    data: bytes = b""
    then: Literal["stay", "close", "reset"] = "close"
    later: bytes = b""
    pause: float = 0.02


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, and the connection stays open."""


Reply = Answer | Drip | Raw | Silence


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in.

    Attributes:
        connection: which one it came over, counted from 1.
        body: empty for a reply `before_body`.
    """

    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, None when it is not there; it must not be there twice."""
        values = [value for found, value in self.headers if found.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class Sink:
    """A receiver on loopback, to be entered with `async with`.

    Attributes:
        requests: everything received, in order of arrival.
        connections: how many were accepted so far.
        open: how many of them are open.
    """

    def __init__(
        self,
        *script: Reply,
        otherwise: Reply | Callable[[Received], Reply] = Answer(),
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.port = port
        self._address = address
        self._script = deque(script)
        self._otherwise = otherwise
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self._address, self.port, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def open(self) -> int:
        return len(self._tasks)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Close the door and all connections."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, met: Callable[[Self], bool]) -> None:
        """Wait for something about requests or connections to become true."""
        async with self._changed:
            await self._changed.wait_for(lambda: met(self))

    def request(
        self,
        target: Rendered = "/",
        *,
        method: Method = Method.POST,
        host: str = "127.0.0.1",
        headers: tuple[tuple[str, Rendered], ...] = (),
        credentials: Rendered | None = None,
        body: Rendered | None = "{}",
        send_sni: bool = False,
    ) -> HttpRequest:
        """A request to this receiver."""
        return HttpRequest(
            method=method,
            scheme="https" if self._tls else "http",
            host=host,
            port=self.port,
            target=target,
            headers=headers,
            credentials=credentials,
            body=body,
            send_sni=send_sni,
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        await self._tell()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer, self.connections)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            await self._tell()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        stays = True
        while stays:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in head[1:-2]))
            received = Received(connection, method, target, headers, b"")
            early = bool(self._script) and isinstance(self._script[0], Answer) and self._script[0].before_body
            if not early:
                body = await reader.readexactly(int(received.header("Content-Length") or 0))
                received = Received(connection, method, target, headers, body)
            self.requests.append(received)
            reply = self._script.popleft() if self._script else self._otherwise
            await self._tell()
            stays = await _reply(reply(received) if callable(reply) else reply, reader, writer)
            if early:
                await reader.read()  # until the other side has enough of it
                return

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _reply(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer; whether the connection is kept."""
    match reply:
        case Answer():
            await asyncio.sleep(reply.delay)
            writer.write(reply.wire)
            await writer.drain()
        case Drip(status, body, pause, size):
            wire = Answer(status, body).wire
            for start in range(0, len(wire), size):
                await asyncio.sleep(pause)
                writer.write(wire[start : start + size])
                await writer.drain()
        case Raw(data, then, later, pause):
            writer.write(data)
            await writer.drain()
            if later:
                await asyncio.sleep(pause)
                writer.write(later)
                await writer.drain()
            if then == "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return then == "stay"
        case Silence():
            await reader.read()
            return False
        case _:
            assert_never(reply)
    return True


class ScriptedChannel:
    """A channel that reaches nobody: outcomes by script, in the time of the loop.

    A script may hold outcomes beside replies; they come at once.

    Attributes:
        sent: the requests that would have gone out, in order.
    """

    def __init__(
        self,
        *script: Reply | Outcome,
        otherwise: Reply | Outcome | Callable[[HttpRequest], Reply | Outcome] = Answer(),
        secrets: Callable[[str], str | None] = lambda name: f"value of {name}",
    ) -> None:
        self.sent: list[HttpRequest] = []
        self._script = deque(script)
        self._otherwise = otherwise
        self._secrets = secrets
        self._awaited: set[asyncio.Future[Outcome]] = set()
        self._closed = False

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> Outcome:
        if self._closed:
            return Unreachable("closing", "The engine was stopping.")
        missing = self._missing_secret(request)
        if missing is not None:
            return Unreachable("secret-missing", f"The secret {missing} is not set.")
        self.sent.append(request)
        reply = self._script.popleft() if self._script else self._otherwise
        outcome, after = _outcome(reply(request) if callable(reply) else reply)
        if after >= timeout.total_seconds():
            outcome, after = Unreachable("deadline", "Time is up."), timeout.total_seconds()
        loop = asyncio.get_running_loop()
        awaited: asyncio.Future[Outcome] = loop.create_future()
        self._awaited.add(awaited)
        timer = loop.call_later(after, _settle, awaited, outcome)
        try:
            return await awaited
        finally:
            timer.cancel()
            self._awaited.discard(awaited)

    async def close(self) -> None:
        self._closed = True
        for awaited in self._awaited:
            _settle(awaited, Unreachable("closing", "The engine was stopping."))

    def _missing_secret(self, request: HttpRequest) -> str | None:
        def look_up(name: str) -> str:
            value = self._secrets(name)
            if value is None:
                raise LookupError(name)
            return value

        parts = [request.target, request.credentials, request.body, *(value for _, value in request.headers)]
        try:
            for part in parts:
                if part is not None:
                    fill(part, look_up)
        except LookupError as missing:
            return str(missing.args[0])
        return None


def _settle(awaited: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not awaited.done():
        awaited.set_result(outcome)


def _outcome(reply: Reply | Outcome) -> tuple[Outcome, float]:
    """What a client would make of it, and after how many seconds."""
    match reply:
        case Answer(status, body, _, delay):
            return _by_status(status, body), delay
        case Drip(status, body, pause, size):
            return _by_status(status, body), pause * -(-len(Answer(status, body).wire) // size)
        case Raw(b"", "stay") | Silence():
            return Unreachable("deadline", "Nothing came back."), float("inf")
        case Raw(b"", _):
            return Unreachable("connection-reset", "The connection was closed."), 0.0
        case Raw():
            return Unreachable("not-http", "What came back is not an HTTP answer."), 0.0
        case Accepted() | Refused() | Unreachable():
            return reply, 0.0
        case _:
            assert_never(reply)


def _by_status(status: int, body: bytes) -> Outcome:
    return Accepted(status, body) if 200 <= status < 300 else Refused(status, body)
