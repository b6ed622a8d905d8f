"""Answers that are made to hurt: each ends in time, in a clear outcome, in bounded memory, and with its connection.

The far end is a thread that sends one prepared piece again and again, so that what is allocated is the channel's.
"""

import asyncio
import contextlib
import gzip
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Refused, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import MAX_ANSWER_BYTES, HttpChannel
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.mail_settings import MailSettings, Security
from reconciler.runtime.channels.tls import Tls
from tests.fakes import on_every_loop

MAX_MEMORY = 256 * 1024
LONG, SHORT = timedelta(seconds=8), timedelta(seconds=0.3)
TLS = Tls(alpn=())

PIECE = b"x" * 65_536
LINES = b"X-Filling: 0123456789012345678901234567890123456789\r\n" * 1_200
TINY_LINES = b"a:b\r\n" * 12_000
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" * 2_500
CHUNK = b"10000\r\n" + PIECE + b"\r\n"
TINY_CHUNKS = b"1\r\nx\r\n" * 10_000
EXTENDED = (b"1;" + b"e" * 4_000 + b"\r\nx\r\n") * 16
CRLF = b"\r\n" * 32_768
ZEROS = b"0" * 65_536
TEN_GIGABYTES = 10 * 1024**3
GZIP_BOMB = gzip.compress(bytes(40_000_000))

OK = b"HTTP/1.1 200 OK\r\n"
SWITCH = b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
GZIPPED = OK + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIP_BOMB)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Wire = Callable[[], Iterable[bytes]]


def endlessly(piece: bytes, *, after: bytes = b"") -> Wire:
    return lambda: itertools.chain((after,), itertools.repeat(piece))


def repeated(piece: bytes, times: int, *, after: bytes) -> Wire:
    return lambda: itertools.chain((after,), itertools.repeat(piece, times))


def once(*pieces: bytes) -> Wire:
    return lambda: pieces


def slowly(data: bytes, *, pause: float = 0.02) -> Wire:
    def drip() -> Iterator[bytes]:
        for byte in itertools.cycle(data):
            time.sleep(pause)
            yield bytes((byte,))

    return drip


@dataclass(frozen=True)
class Bomb:
    """What is sent, and what comes of it: a status, or the reason why there is none; `then` what the far end does."""

    wire: Wire
    outcome: int | str
    timeout: timedelta = LONG
    then: str = "close"


BOMBS = {
    "10 GB by length": Bomb(endlessly(PIECE, after=OK + b"Content-Length: %d\r\n\r\n" % TEN_GIGABYTES), 200),
    "10 GB in chunks": Bomb(endlessly(CHUNK, after=CHUNKED), 200),
    "10 GB until the end": Bomb(endlessly(PIECE, after=OK + b"\r\n"), 200),
    "10 GB behind a 500": Bomb(endlessly(PIECE, after=b"HTTP/1.1 500 No\r\n\r\n"), 500),
    "10 GB in chunks of one byte": Bomb(endlessly(TINY_CHUNKS, after=CHUNKED), 200),
    "a length beyond numbers": Bomb(once(OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n"), "not-http", then="stay"),
    "a chunk beyond numbers": Bomb(once(CHUNKED + b"f" * 400 + b"\r\n"), "not-http", then="stay"),
    "one byte at a time: status": Bomb(slowly(b"HTTP/1.1 200 O" + b"K" * 10_000), "deadline", SHORT),
    "one byte at a time: headers": Bomb(slowly(OK + b"X-Slow: 1\r\n" * 1_000, pause=0.01), "deadline", SHORT),
    "one byte at a time: interim": Bomb(slowly(INTERIM, pause=0.005), "deadline", SHORT),
    "one byte at a time: blank lines": Bomb(slowly(b"\r\n"), "deadline", SHORT),
    "1 MB of headers": Bomb(repeated(LINES, 16, after=OK), "answer-headers-too-large"),
    "1 MB in one header": Bomb(repeated(PIECE, 16, after=OK + b"X: "), "answer-headers-too-large"),
    "headers without end": Bomb(endlessly(LINES, after=OK), "answer-headers-too-large"),
    "a million header lines": Bomb(repeated(TINY_LINES, 84, after=OK), "answer-headers-too-large"),
    "a status line without end": Bomb(endlessly(PIECE, after=b"HTTP/1.1 200 "), "answer-headers-too-large"),
    "blank lines without end": Bomb(endlessly(CRLF), "answer-headers-too-large"),
    "100 without end": Bomb(endlessly(CONTINUE), "not-http"),
    "103 without end": Bomb(endlessly(INTERIM), "not-http"),
    "chunk extensions without end": Bomb(endlessly(PIECE, after=CHUNKED + b"1;"), 200),
    "chunks that are padding": Bomb(endlessly(EXTENDED, after=CHUNKED), 200),
    "a chunk's size without end": Bomb(endlessly(ZEROS, after=CHUNKED), 200),
    "trailers without end": Bomb(endlessly(LINES, after=CHUNKED + b"2\r\nhi\r\n0\r\n"), 200),
    "a trailer without end": Bomb(endlessly(PIECE, after=CHUNKED + b"2\r\nhi\r\n0\r\nX: "), 200),
    "gzip bomb": Bomb(
        once(GZIPPED, GZIP_BOMB), 200, then="stay"
    ),
    "gzip bomb as a transfer coding": Bomb(once(OK + b"Transfer-Encoding: gzip\r\n\r\n", GZIP_BOMB), 200),
    "longer than its length": Bomb(endlessly(PIECE, after=OK + b"Content-Length: 2\r\n\r\nhi" + PIECE), 200),
    "shorter than its length": Bomb(once(OK + b"Content-Length: 70000\r\n\r\n", PIECE), "connection-reset"),
    "shorter than its length, and silent": Bomb(once(OK + b"Content-Length: 9\r\n\r\nhalf"), "deadline", SHORT, "stay"),
    "closed in the headers": Bomb(once(OK + b"Content-Le"), "connection-reset"),
    "closed in a chunk": Bomb(once(CHUNKED + b"ffff\r\nhalf"), "connection-reset"),
    "closed before the last chunk": Bomb(once(CHUNKED + b"4\r\nhalf\r\n"), "connection-reset"),
    "closed in the trailers": Bomb(once(CHUNKED + b"0\r\nX-Half: "), "connection-reset"),
    "not HTTP at all": Bomb(endlessly(PIECE), "not-http"),
    "switching to anything": Bomb(endlessly(PIECE, after=SWITCH), 101),
}  # fmt: skip


class FarEnd:
    """Accepts connections one after the other in a thread, and sends the same answer to each first request."""

    def __init__(self, wire: Wire, *, then: str = "close", first: bytes = b"") -> None:
        """`first` is what is waited for before anything is sent; nothing for a mail server, which begins."""
        self.accepted = 0
        self.sent = 0
        self._wire, self._then, self._first = wire, then, first
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._thread.join(10)
        self._door.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while not self._over.is_set():
            connection, _ = self._door.accept()
            if self._over.is_set():
                connection.close()
                return
            self.accepted += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                seen = b""
                while self._first and self._first not in seen:
                    seen += connection.recv(4096)
                for piece in self._wire():
                    self.sent += connection.send(piece)
                    if self._over.is_set():
                        break
                if self._then == "stay":
                    while connection.recv(4096):
                        pass


def request_to(port: int) -> HttpRequest:
    return HttpRequest(
        method=Method.POST,
        scheme="http",
        host="127.0.0.1",
        port=port,
        target="/",
        headers=(),
        credentials=None,
        body="{}",
        send_sni=False,
    )


def read_at_once(loop: asyncio.AbstractEventLoop) -> int:
    """For how much asyncio's own loop makes room before it reads; the engine runs on uvloop, which does not."""
    return 256 * 1024 if isinstance(loop, asyncio.BaseEventLoop) else 0


def word_of(outcome: Outcome) -> int | str:
    return outcome.reason if isinstance(outcome, Unreachable) else outcome.status


class Measure:
    """The memory that was taken meanwhile, at its highest, in bytes."""

    def __enter__(self) -> Self:
        tracemalloc.start()
        self._before = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.taken = tracemalloc.get_traced_memory()[1] - self._before
        tracemalloc.stop()


@on_every_loop
@pytest.mark.parametrize("name", BOMBS)
async def test_an_answer_does_no_harm(name: str) -> None:
    bomb = BOMBS[name]
    loop = asyncio.get_running_loop()
    channel = HttpChannel(secrets=lambda _: None, egress=EgressPolicy(allow_private=True), connections_per_endpoint=2)
    with FarEnd(bomb.wire, then=bomb.then, first=b"\r\n\r\n{}") as end:
        request = request_to(end.port)
        await channel.send(request_to(1), timeout=LONG)  # what is made once for all is made
        for _ in range(2):
            begun = loop.time()
            with Measure() as memory:
                outcome = await channel.send(request, timeout=bomb.timeout)
            assert word_of(outcome) == bomb.outcome
            assert loop.time() - begun < bomb.timeout.total_seconds() + 3
            assert memory.taken <= MAX_MEMORY + read_at_once(loop)
            if isinstance(outcome, Accepted | Refused):
                assert len(outcome.body) <= MAX_ANSWER_BYTES
        assert end.accepted == 2, "each request had a connection of its own"
        assert end.sent < 64 * 1024**2, "nobody went on reading"
        await channel.close()
        await asyncio.sleep(0.01)  # until the socket is closed


@on_every_loop
async def test_a_compressed_answer_is_kept_as_it_came() -> None:
    channel = HttpChannel(secrets=lambda _: None, egress=EgressPolicy(allow_private=True), connections_per_endpoint=1)
    bomb = BOMBS["gzip bomb"]
    with FarEnd(bomb.wire, then="stay", first=b"\r\n\r\n{}") as end:
        assert await channel.send(request_to(end.port), timeout=LONG) == Accepted(200, GZIP_BOMB[:MAX_ANSWER_BYTES])
        await channel.close()
        await asyncio.sleep(0.01)  # until the socket is closed


MAIL_BOMBS = {
    "a greeting without end": Bomb(endlessly(PIECE, after=b"220 "), "not-smtp"),
    "greetings without end": Bomb(endlessly(b"220-hello\r\n" * 6_000), "not-smtp"),
    "an answer without end": Bomb(endlessly(b"250-X\r\n" * 9_000, after=b"220 hi\r\n"), "not-smtp"),
    "nothing but noise": Bomb(endlessly(PIECE), "not-smtp"),
    "one byte at a time": Bomb(slowly(b"220-hello\r\n"), "deadline", SHORT),
    "silence": Bomb(once(), "deadline", SHORT, "stay"),
    "closed in the greeting": Bomb(once(b"220 he"), "connection-reset"),
}  # fmt: skip


@on_every_loop
@pytest.mark.parametrize("name", MAIL_BOMBS)
async def test_a_mail_server_does_no_harm(name: str) -> None:
    bomb = MAIL_BOMBS[name]
    with FarEnd(bomb.wire, then=bomb.then) as end:
        settings = MailSettings("127.0.0.1", end.port, Security.OFFERED, "engine@example.com")
        channel = MailChannel(settings, secrets=lambda _: None, now=lambda: datetime(2026, 1, 1, tzinfo=UTC), tls=TLS)
        mail = Mail(id="1", recipient="a@example.com", recipients=("a@example.com",), subject="s", text="t")
        begun = asyncio.get_running_loop().time()
        with Measure() as memory:
            outcome = await channel.send(mail, timeout=bomb.timeout)
        assert word_of(outcome) == bomb.outcome
        assert asyncio.get_running_loop().time() - begun < bomb.timeout.total_seconds() + 3
        assert memory.taken <= MAX_MEMORY + read_at_once(asyncio.get_running_loop())
        assert end.sent < 64 * 1024**2
        await channel.close()
        await asyncio.sleep(0.01)  # until the socket is closed
