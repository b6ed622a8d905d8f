"""One HTTP/1.1 connection: uvicorn's, with bounds.

uvicorn parses with httptools (llhttp), which refuses what request smuggling is made of. What it leaves open is closed
here, because a client may do it before it has shown a token:

1. A head must arrive within a time of its first byte, a body must keep up a least rate, and the whole request has a
   time of its own. Timers run only for requests that do not come in one piece, so that the usual one pays nothing.
2. The head has a largest size. A connection may be idle for a time, also when the answer was given before the body had
   arrived, and for a shorter time before its first request. A client that does not read its answer is not waited for.
3. There is a largest number of connections, and one for each address (`logins.network_of`), so that no single client
   shuts the others out. One more takes the place of the oldest that has never asked anything, of all or of that
   address, so that idle strangers shut nobody out; when there is none, it is told so and closed.
4. A request whose head is known (`shortcut`) is answered here, without ASGI; the next one waits until it is.
5. Whatever is refused here is told in the doors' form, unless it could be taken for the answer to another request.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from math import inf
from typing import Any, Final, cast

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from reconciler.runtime.api.logins import network_of
from reconciler.runtime.api.shortcut import Answer, Shortcut
from reconciler.runtime.turn import Turn

__all__ = ["Bounds", "Connection", "Connections", "OneWrite"]

_ACCEPTED: Final = b"HTTP/1.1 202 "


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take of the server.

    Attributes:
        arrival: from the first byte of a request to its last, 64 MiB need 1.8 Mbit/s.
        head: from the first byte of a request to the end of its headers, and from connecting to the first byte of the
            first request; with TLS, once more for the handshake.
        pace: how long a body may take for the next `least_bytes`.
        least_bytes: of a body in each `pace`; 1 KiB/s is what the slowest mobile network gives.
        idle: between requests; longer than clients commonly keep a connection (Go 90 s, nginx 60 s, aiohttp 15 s), so
            that it is rarely us who close one just as a request leaves.
        grace: for requests in flight when the server stops; an ingest takes milliseconds.
        head_bytes: request line and headers; a single read may exceed it.
        handshakes: of TLS at once; they are files beside the connections.
        connections: at once; well below the 1,024 files that a process may commonly open.
        of_one_address: the share of these that one address may have; behind a reverse proxy all clients are one.
    """

    arrival: timedelta = timedelta(seconds=300)
    head: timedelta = timedelta(seconds=10)
    pace: timedelta = timedelta(seconds=10)
    least_bytes: int = 10 * 1024
    idle: timedelta = timedelta(seconds=120)
    grace: timedelta = timedelta(seconds=10)
    head_bytes: int = 64 * 1024
    connections: int = 800
    of_one_address: int = 400
    handshakes: int = 100


class Connections(ServerState):
    """All connections of a server, and what they share."""

    def __init__(self, bounds: Bounds, shortcut: Shortcut[Any] | None = None) -> None:
        super().__init__()
        self.bounds = bounds
        self.shortcut = shortcut
        self.turn = Turn()
        self.connections: set[Connection] = set()  # type: ignore[assignment]
        self.made = 0
        self._heads: dict[int, bytes] = {}
        self._of_address: Counter[str] = Counter()
        self._lost = asyncio.Event()

    def date(self, now: datetime) -> None:
        """The Date header that answers carry from now on (RFC 9110 section 6.6.1)."""
        self.default_headers = [(b"date", format_datetime(now, usegmt=True).encode())]
        self._heads.clear()

    def head(self, status: int) -> bytes:
        """How an answer in JSON begins, up to its length; made once for each status and date."""
        head = self._heads.get(status)
        if head is None:
            lines = [STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in self.default_headers)]
            head = self._heads[status] = b"".join([*lines, b"content-type: application/json\r\ncontent-length: "])
        return head

    def connection_lost(self, address: str) -> None:
        """A connection is gone."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        self._lost.set()

    def connection_made(self, newest: "Connection") -> str:
        """A connection came; why it can not stay, or nothing."""
        self._of_address[newest.address] += 1
        if self._of_address[newest.address] > self.bounds.of_one_address and not self._make_room(
            newest, of_address=newest.address
        ):
            return "The engine serves too many clients of this address."
        if len(self.connections) > self.bounds.connections and not self._make_room(newest):
            return "The engine serves too many clients."
        return ""

    def _make_room(self, newest: "Connection", *, of_address: str | None = None) -> bool:
        """Hang up on the oldest connection that has asked nothing yet; False when there is none but the newest."""
        silent = (
            each
            for each in self.connections
            if not each.has_asked
            and each is not newest
            and of_address in (None, each.address)
            and not each.transport.is_closing()
        )
        oldest = min(silent, key=lambda each: each.number, default=None)
        if oldest is not None:
            oldest.transport.abort()
        return oldest is not None

    def shut_down(self) -> None:
        """Close those that are idle, and the others when their answer is out."""
        for connection in list(self.connections):
            connection.shutdown()

    def abort(self) -> None:
        """Cut off those that are left."""
        for connection in list(self.connections):
            connection.transport.abort()

    async def until_quiet(self) -> None:
        """Wait until no connection is open and no request is being answered."""
        while self.connections:
            self._lost.clear()
            await self._lost.wait()
        while self.tasks:
            await asyncio.wait(self.tasks)


class Connection(HttpToolsProtocol):
    """One of them."""

    def __init__(self, config: uvicorn.Config, server_state: Connections, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._all = server_state
        self.number = server_state.made
        server_state.made += 1
        self._bounds = server_state.bounds
        # uvicorn declares whole seconds, and hands them to `call_later`, which takes any.
        self.timeout_keep_alive = server_state.bounds.idle.total_seconds()  # type: ignore[assignment]
        self._arriving = False
        self._in_head = False
        self._asked = False
        self.address = ""
        self._head_bytes = 0
        self._arrival: asyncio.TimerHandle | None = None
        self._began = 0.0  # when the request of the timer did
        self._paced = False  # whether the timer measures a body alone
        self._received = 0  # of it, since the timer was set
        self._learning: bytes | None = None  # a request that goes the long way, and whose head may become known
        self._working = False  # on a request whose head is known
        self._behind = b""  # what came meanwhile
        self._closes = False
        self._answered_at = -inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._answers = OneWrite(transport, self.loop, self._all.turn)
        super().connection_made(self._answers)
        self.address = network_of(self.client[0]) if self.client else ""
        if too_many := self._all.connection_made(self):
            self._refuse("503 Service Unavailable", "too-many-connections", too_many, retry_after=5)
        else:
            self._await_request(min(self._bounds.head, self._bounds.arrival))

    @property
    def has_asked(self) -> bool:
        """Whether a request ever arrived, or the head of one."""
        return self._asked

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_arrival()
        self._unset_keepalive_if_required()
        self._all.connection_lost(self.address)

    def data_received(self, data: bytes) -> None:
        if self._working:
            self._behind += data
            self.flow.pause_reading()
            return
        self._learning = None
        candidate = False
        shortcut = self._all.shortcut
        if shortcut is not None and not self._arriving and self._has_answered:
            if (known := shortcut.known(data)) is not None:
                self._working = self._asked = True
                task = shortcut.answering({"client": self.client}, *known, self._answer)
                if task is not None and task not in self.tasks:  # it answers others as well
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
                return
            candidate = shortcut.may_learn(data)
        super().data_received(data)
        if candidate and not self._arriving and not self.pipeline:
            self._learning = data
        if not self._arriving or self.transport.is_closing():
            return
        if self._arrival is None:
            self._began = self.loop.time()
            self._watch_arrival()
        self._received += len(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.head_bytes:
                message = f"Request line and headers are larger than {self._bounds.head_bytes} bytes."
                self._refuse("431 Request Header Fields Too Large", "head-too-large", message)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving = self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._asked = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._arriving = False
        self._stop_arrival()
        if self.cycle.response_complete and not self.transport.is_closing():
            # The answer was out before the body was in; uvicorn has stopped the timer and starts none.
            self._await_request(self._bounds.idle)

    def on_response_complete(self) -> None:
        if self._learning is not None:
            if self._answers.accepts and self.cycle.keep_alive and self._all.shortcut is not None:
                self._all.shortcut.learn(self._learning, self.cycle.scope)
            self._learning = None
        self._answers.end()
        super().on_response_complete()

    def _answer(self, answer: Answer) -> None:
        """Answer a request whose head is known, then go on with what came meanwhile."""
        status, body, more = answer
        head = b"%b%d\r\n" % (self._all.head(status), len(body))
        for name, text in more.items():
            head += f"{name.lower()}: {text}\r\n".encode()
        if self._closes:
            head += b"connection: close\r\n"
        self._answers.write_whole(b"%b\r\n%b" % (head, body))
        if self.flow.write_paused:
            task = self.loop.create_task(self._go_on_when_read())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self._go_on()

    async def _go_on_when_read(self) -> None:
        await self.flow.drain()
        self._go_on()

    def _go_on(self) -> None:
        self._working = False
        self._answered_at = self.loop.time()
        self._all.total_requests += 1
        if self.transport.is_closing():
            return
        if self._closes:
            self.transport.close()
            return
        if self._behind:
            self.flow.resume_reading()
            behind, self._behind = self._behind, b""
            self.data_received(behind)

    def shutdown(self) -> None:
        if self._working:
            self._closes = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        # Requests whose head is known leave the timer alone: setting it anew for each would cost more than looking.
        idle = self.timeout_keep_alive
        left = idle if self._working else self._answered_at + idle - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # it does not read our answer: closing would wait for it for ever
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        self._refuse("400 Bad Request", "bad-request", "This is not a request of HTTP/1.1.")

    @property
    def _has_answered(self) -> bool:
        """Whether no request that went the long way waits for its answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn declares that there always is one
        return cycle is None or cycle.response_complete

    def _await_request(self, patience: timedelta) -> None:
        self._unset_keepalive_if_required()
        seconds = patience.total_seconds()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _stop_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _watch_arrival(self) -> None:
        """Look again when the request is due: its head, the next part of its body, or all of it."""
        self._paced, self._received = not self._in_head, 0
        due = self._bounds.head if self._in_head else self._bounds.pace
        left = self._began + self._bounds.arrival.total_seconds() - self.loop.time()
        self._arrival = self.loop.call_later(max(0.0, min(due.total_seconds(), left)), self._look_at_arrival)

    def _look_at_arrival(self) -> None:
        behind_another = bool(self.pipeline) or (self._in_head and not self._has_answered)
        if self.flow.read_paused or behind_another:
            # It is us who take our time, with the requests that came before.
            self._began = self.loop.time()
            self._watch_arrival()
            return
        bounds = self._bounds
        if self.loop.time() - self._began >= bounds.arrival.total_seconds():
            late = f"The request did not arrive within {bounds.arrival.total_seconds():g} s."
        elif self._in_head:
            late = f"Request line and headers did not arrive within {bounds.head.total_seconds():g} s."
        elif self._paced and self._received < bounds.least_bytes:
            least = f"{bounds.least_bytes} bytes in {bounds.pace.total_seconds():g} s"
            late = f"The body arrived too slowly; this engine waits for {least}."
        else:
            self._watch_arrival()
            return
        self._arrival = None
        self._refuse("408 Request Timeout", "request-too-slow", late)

    def _refuse(self, status: str, code: str, message: str, *, retry_after: int | None = None) -> None:
        """Say why, where that cannot be taken for the answer to another request, and hang up."""
        if self._in_head or not self._arriving:
            idle = self._has_answered
        else:
            idle = not self.cycle.response_started and not self.pipeline
        if idle:
            body = orjson.dumps({"code": code, "message": message})
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            if retry_after is not None:
                head += f"retry-after: {retry_after}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


class OneWrite(asyncio.Transport):
    """Sends the head of an answer together with the first piece of its body, and whole answers at the turn's end.

    uvicorn writes them one after the other, and uvloop sends what is written at once: two system calls and two packets
    where one will do, 3 to 12 us of 55 for an acknowledged message.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, turn: Turn) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._turn = turn
        self._answers: bytes = b""  # whole ones
        self._head: bytes = b""
        self._begins = True
        self.accepts = False

    def write_whole(self, data: bytes) -> None:
        """Send an answer that is in one piece already, at the end of the loop's turn."""
        if not self._answers:
            self._turn.at_end(self._loop, self._write_answers)
        self._answers += data

    def _write_answers(self) -> None:
        answers, self._answers = self._answers, b""
        if answers and not self._transport.is_closing():
            self._transport.write(answers)

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self._write_answers()
        if self._transport.is_closing():
            return  # nobody reads it, and uvloop raises
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif self._begins and not data.startswith(b"HTTP/1.1 1"):  # 100 Continue is no answer yet
            self._head = data
            self._begins = False
            self.accepts = data.startswith(_ACCEPTED)
        else:
            self._transport.write(data)

    def end(self) -> None:
        """The answer is complete; the next write begins another."""
        self._flush()
        self._begins = True

    def close(self) -> None:
        self._write_answers()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""
