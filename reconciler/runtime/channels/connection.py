"""One connection: a request goes out, an answer comes in, and both decide whether it can be used again.

The parser is llhttp (httptools). What it leaves to us (RFC 9112 and RFC 9110 by section):

1. Interim answers (1xx) are skipped, up to a number; 101 is final, for nobody asked to switch (RFC 9110 15.2).
2. An answer ends by its own framing, or with the connection when it has none (RFC 9112 6.3). One that ends before its
   framing says so is no answer: its body may be a downlink, of which half is worse than none.
3. Of a body, as much as the limit is kept. Then nothing more is read and the connection is closed; the status counts.
4. All heads of an answer together may take 64 KiB, and what is read in all has a limit as well: chunk extensions and
   trailers carry nothing, but they take time.
5. A connection is used again only after an answer that was complete, asked for it to stay open, and was followed by
   nothing; and only if the request was wholly taken (RFC 9112 9.3, 9.6). Bytes that arrive while nothing was asked
   close it: they would be taken for the next answer. What was asked is written at the end of the loop's turn (`turn`).
6. A connection that was used before and ends before the first byte of an answer crossed the server's closing it. The
   result is then None instead of an outcome: the request may be sent again elsewhere (RFC 9112 9.3.1), for deliveries
   are at least once. So it is when what comes first on it is no HTTP: it followed the answer before, too late to be
   seen with it, and another connection has nothing of it.
7. Lines may end in a bare LF and header lines may be folded, which a client has to take (RFC 9112 2.2, 5.2). Headers
   are read for nothing but framing.
"""

import asyncio
from functools import lru_cache
from math import inf
from typing import Final, Protocol, cast

import httptools

from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.runtime.channels.flight import ended
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.turn import Turn

__all__ = ["Connection", "Home"]

MAX_HEAD_BYTES: Final = 65_536
# Servers send a 103 or two and a 102 every few seconds; a hundred is somebody who wants to keep us busy.
MAX_INTERIM_ANSWERS: Final = 100
# A body in chunks of one byte takes six on the wire for each; beyond that it is padding.
_WIRE_BYTES_PER_BYTE: Final = 8

_VERSION: Final = b"HTTP/1."
# What is parsed at once: what the parser hands over it copies, and of most of a large piece nothing is kept.
_PIECE: Final = 8_192
# How much of an answer was parsed.
_NO_HEAD, _HEAD, _COMPLETE = range(3)

_NOT_HTTP: Final = "What came back is not an HTTP/1.1 answer."


class Home(Protocol):
    """Whoever lends a connection out and wants to know what becomes of it."""

    def made(self, connection: "Connection") -> None:
        """It is connected."""
        ...

    def returned(self, connection: "Connection") -> None:
        """It has its answer and can be used again."""
        ...

    def gone(self, connection: "Connection") -> None:
        """It cannot be used again. Told once."""
        ...

    def lost(self, connection: "Connection") -> None:
        """Its socket is closed: the last that is heard of it."""
        ...


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection, seen from the client; one request at a time.

    Attributes:
        deadline: of the request under way, in the loop's time, else `inf`.
        idle_since: when it was last returned; for its home to keep.
        usable: whether a request may be sent.
    """

    __slots__ = (
        "_answered",
        "_body",
        "_fault",
        "_fresh",
        "_head",
        "_home",
        "_interim",
        "_loop",
        "_max_body",
        "_max_read",
        "_message",
        "_parser",
        "_received",
        "_spoiled",
        "_state",
        "_status",
        "_stays",
        "_transport",
        "_turn",
        "deadline",
        "idle_since",
        "usable",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, home: Home, max_body: int, turn: Turn) -> None:
        self._loop = loop
        self._home = home
        self._turn = turn
        self._message = b""  # that is sent at the end of the turn
        self._max_body = max_body
        self._max_read = MAX_HEAD_BYTES + max_body * _WIRE_BYTES_PER_BYTE
        self._answered: asyncio.Future[Outcome | None] | None = None
        self._fresh = True
        self.deadline = inf
        self.idle_since = 0.0
        self.usable = False
        # Not reset for each request: a connection on which they changed is not used again.
        self._fault: Unreachable | None = None
        self._spoiled = False  # nothing that comes now belongs to an answer

    def send(self, message: bytes, *, deadline: float) -> asyncio.Future[Outcome | None]:
        """Send a request; the future holds what came of it, None for the race of rule 6.

        Whoever stops waiting for it has to `abandon` it.
        """
        self.deadline = deadline
        self._received = self._interim = 0
        self._state = _NO_HEAD
        self._head = b""
        self._body: bytes | bytearray = b""
        answered: asyncio.Future[Outcome | None] = self._loop.create_future()
        if self.usable:
            self._answered = answered
            self._message = message
            self._turn.at_end(self._loop, self._write)
        else:  # lost between having been made and being handed over
            answered.set_result(self._ended_early())
        return answered

    def _write(self) -> None:
        message, self._message = self._message, b""  # it may hold a secret
        if self.usable:
            self._transport.write(message)

    def abandon(self, answered: asyncio.Future[Outcome | None]) -> None:
        """Nobody waits for this answer any more; the connection is closed if it is still busy with it."""
        if self._answered is answered:
            self._answered = None
            self.abort()

    def interrupt(self, reason: Reason) -> None:
        """End the request under way, if there is one; the connection is closed with it."""
        if self._answered is not None:
            self._finish(ended(reason, self._progress()))

    def abort(self) -> None:
        """Close it now, whatever it is doing.

        HTTP has its own framing, so that the goodbye of TLS, for which the other side may let us wait, is not needed.
        """
        self._retire()
        self._transport.abort()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = _lenient(httptools.HttpResponseParser(self))
        self.usable = True
        self._home.made(self)

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE:
            self._take(data)
            return
        for start in range(0, len(data), _PIECE):
            self._take(data[start : start + _PIECE])
            if not self.usable:
                return

    def _take(self, data: bytes) -> None:
        if self._answered is None:
            self.abort()
            return
        if self._message and not self._fresh:  # rule 5: what comes before the request is no answer to it
            self._finish(None)
            return
        self._received += len(data)
        if self._state == _NO_HEAD:
            self._head += data
            if self._received > MAX_HEAD_BYTES:
                data = self._within_head_limit(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._state == _NO_HEAD and not (self._fresh or self._interim):  # rule 6
                self._finish(None)
                return
            self._broken()
        if self._fault is not None:
            self._finish(self._fault)
        elif self._state == _COMPLETE or self._spoiled or self._received > self._max_read:
            self._finish(self._outcome())

    def eof_received(self) -> None:
        self._retire()  # the transport closes itself, which ends an answer without framing

    def connection_lost(self, exc: Exception | None) -> None:
        self._retire()
        if self._answered is not None:
            whole = exc is None and self._state == _HEAD and not _Framing.stated_in(self._head)
            self._finish(self._outcome() if whole else self._ended_early())
        del self._parser  # it holds our methods, and we hold it: no need to wait for the collector
        self._home.lost(self)

    # What the parser tells, while it is fed

    def on_message_begin(self) -> None:
        if self._state == _COMPLETE:
            self._spoiled = True

    def on_headers_complete(self) -> None:
        if self._spoiled:
            return
        status = self._status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self._state = _HEAD
        # llhttp takes RTSP and ICE for HTTP, and numbers below 100 for a status.
        if status < 100 or (self._fresh and not self._head.lstrip(b"\r\n").startswith(_VERSION)):
            self._fail(Reason.NOT_HTTP, _NOT_HTTP)

    def on_body(self, body: bytes) -> None:
        if self._spoiled:
            return
        if self._body:
            if isinstance(self._body, bytes):  # most bodies come in one piece
                self._body = bytearray(self._body)
            self._body += body
        else:
            self._body = body
        if len(self._body) > self._max_body:
            self._spoiled = True

    def on_message_complete(self) -> None:
        if self._spoiled:
            return
        if self._state == _HEAD:
            self._state = _COMPLETE
            self._stays = self._parser.should_keep_alive()
            return
        self._interim += 1
        if self._interim > MAX_INTERIM_ANSWERS:
            self._fail(Reason.NOT_HTTP, f"More than {MAX_INTERIM_ANSWERS} interim answers came, and no final one.")

    def _within_head_limit(self, data: bytes) -> bytes:
        """What remains to be fed. The part within the limit is fed first, so that the head has to end in it."""
        excess = self._received - MAX_HEAD_BYTES
        try:
            self._parser.feed_data(data[:-excess])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken()
        if self._state == _NO_HEAD and not self._spoiled:
            detail = f"The answer's headers are longer than {MAX_HEAD_BYTES} bytes."
            self._fail(Reason.ANSWER_HEADERS_TOO_LARGE, detail)
        return data[-excess:]

    def _broken(self) -> None:
        """The parser gave up: on what followed a whole answer, or on the answer itself."""
        if self._state == _COMPLETE:
            self._spoiled = True
        elif not self._spoiled:
            self._fail(Reason.NOT_HTTP, _NOT_HTTP)

    def _fail(self, reason: Reason, detail: str) -> None:
        self._fault = unreachable(reason, detail)
        self._spoiled = True

    # What comes of it

    def _finish(self, outcome: Outcome | None) -> None:
        answered, self._answered = self._answered, None
        self.deadline = inf
        self._fresh = False
        clean = self._state == _COMPLETE and self._stays and not (self._spoiled or self._message)
        if clean and self.usable and not self._transport.get_write_buffer_size():
            self._home.returned(self)
        else:
            self.abort()
        if answered is not None and not answered.done():
            answered.set_result(outcome)

    def _retire(self) -> None:
        if self.usable:
            self.usable = False
            self._home.gone(self)

    def _outcome(self) -> Outcome:
        body = self._body
        if len(body) > self._max_body or isinstance(body, bytearray):
            body = bytes(memoryview(body)[: self._max_body])
        return (_outcome if len(body) > _SHORT else _same_outcome)(self._status, body)

    def _ended_early(self) -> Outcome | None:
        if self._received:
            return unreachable(Reason.CONNECTION_RESET, f"The connection ended too early: {self._progress()}.")
        if not self._fresh:
            return None
        return unreachable(Reason.CONNECTION_RESET, "The server closed the connection without an answer.")

    def _progress(self) -> str:
        """How far the request has got."""
        if self._received == 0:
            unsent = self._transport.get_write_buffer_size() + len(self._message)
            if unsent:
                return f"the receiver did not take the whole request, {unsent} bytes were left"
            return "the request was sent, nothing came back"
        if self._state == _NO_HEAD:
            return f"the answer's headers had begun, {self._received} bytes had come"
        return f"status {self._status} had come and {len(self._body)} bytes of the body, but not its end"


def _outcome(status: int, body: bytes) -> Outcome:
    return Accepted(status, body) if 200 <= status < 300 else Refused(status, body)


# Most answers are nothing, OK or {"ok":true}: looking them up takes a third of making them. Longer ones might hold
# what should not be kept.
_SHORT: Final = 15
_same_outcome = lru_cache(maxsize=256)(_outcome)


def _lenient(parser: httptools.HttpResponseParser) -> httptools.HttpResponseParser:
    """Rule 7."""
    parser.set_dangerous_leniencies(lenient_headers=True, lenient_optional_cr_before_lf=True)
    return parser


class _Framing:
    """Whether the head of an answer says where the answer ends. Asked of a second parser, for it is rarely asked."""

    def __init__(self) -> None:
        self.stated = False

    @classmethod
    def stated_in(cls, head: bytes) -> bool:
        """`head` may have interim heads in front and the beginning of the body behind."""
        framing = cls()
        _lenient(httptools.HttpResponseParser(framing)).feed_data(head)
        return framing.stated

    def on_message_begin(self) -> None:
        self.stated = False

    def on_header(self, name: bytes, value: bytes) -> None:
        field = name.strip().lower()
        if field == b"content-length" or (field == b"transfer-encoding" and b"chunked" in value.lower()):
            self.stated = True
