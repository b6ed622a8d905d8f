"""One HTTP/1.1 connection: uvicorn's, with bounds.

uvicorn parses with httptools (llhttp), which refuses what request smuggling is made of. What it leaves open is closed
here, because a client may do it before it has shown a token:

1. A request must arrive, head and body, within a time of its first byte. Timers run only for requests that do not come
   in one piece, so that the usual one pays nothing.
2. The head has a largest size. A connection may be idle for a time, also when the answer was given before the body had
   arrived, and for a shorter time before its first request. A client that does not read its answer is not waited for.
3. There is a largest number of connections; one more is told so and closed.
4. Whatever is refused here is told in the doors' form, unless it could be taken for the answer to another request.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["Bounds", "Connection", "Connections"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take of the server.

    Attributes:
        arrival: from the first byte of a request to its last, 4 MiB need 1.2 Mbit/s; and from connecting to the first
            byte of the first request.
        idle: between requests; longer than clients commonly keep a connection (Go 90 s, nginx 60 s, aiohttp 15 s), so
            that it is rarely us who close one just as a request leaves.
        grace: for requests in flight when the server stops; an ingest takes milliseconds.
        head_bytes: request line and headers; a single read may exceed it.
        connections: at once; well below the 1,024 files that a process may commonly open.
    """

    arrival: timedelta = timedelta(seconds=30)
    idle: timedelta = timedelta(seconds=120)
    grace: timedelta = timedelta(seconds=10)
    head_bytes: int = 64 * 1024
    connections: int = 800


class Connections(ServerState):
    """All connections of a server, and what they share."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds
        self._lost = asyncio.Event()

    def date(self, now: datetime) -> None:
        """The Date header that answers carry from now on (RFC 9110 section 6.6.1)."""
        self.default_headers = [(b"date", format_datetime(now, usegmt=True).encode())]

    def connection_lost(self) -> None:
        """A connection is gone."""
        self._lost.set()

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
        self._bounds = server_state.bounds
        # uvicorn declares whole seconds, and hands them to `call_later`, which takes any.
        self.timeout_keep_alive = server_state.bounds.idle.total_seconds()  # type: ignore[assignment]
        self._arriving = False
        self._in_head = False
        self._asked = False
        self._head_bytes = 0
        self._arrival: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._answers = _OneWrite(transport)
        super().connection_made(self._answers)
        if len(self.connections) > self._bounds.connections:
            self._refuse("503 Service Unavailable", "too-many-connections", "The engine serves too many clients.")
        else:
            self._await_request(self._bounds.arrival)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_arrival()
        self._unset_keepalive_if_required()
        self._all.connection_lost()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._arriving or self.transport.is_closing():
            return
        if self._arrival is None:
            self._arrival = self.loop.call_later(self._bounds.arrival.total_seconds(), self._too_slow)
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
        self._answers.end()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it does not read our answer: closing would wait for it for ever
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        self._refuse("400 Bad Request", "bad-request", "This is not a request of HTTP/1.1.")

    def _await_request(self, patience: timedelta) -> None:
        self._unset_keepalive_if_required()
        seconds = patience.total_seconds()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _stop_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _too_slow(self) -> None:
        behind_another = bool(self.pipeline) or (self._in_head and self._asked and not self.cycle.response_complete)
        if self.flow.read_paused or behind_another:
            # It is us who take our time, with the requests that came before.
            self._arrival = self.loop.call_later(self._bounds.arrival.total_seconds(), self._too_slow)
            return
        self._arrival = None
        seconds = self._bounds.arrival.total_seconds()
        self._refuse("408 Request Timeout", "request-too-slow", f"The request did not arrive within {seconds:g} s.")

    def _refuse(self, status: str, code: str, message: str) -> None:
        """Say why, where that cannot be taken for the answer to another request, and hang up."""
        if self._in_head or not self._arriving:
            idle = not self._asked or self.cycle.response_complete
        else:
            idle = not self.cycle.response_started and not self.pipeline
        if idle:
            body = orjson.dumps({"code": code, "message": message})
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


class _OneWrite(asyncio.Transport):
    """Sends the head of an answer together with the first piece of its body.

    uvicorn writes them one after the other, and uvloop sends what is written at once: two system calls and two packets
    where one will do, 3 to 12 us of 55 for an acknowledged message.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes = b""
        self._begins = True

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self._transport.is_closing():
            return  # nobody reads it, and uvloop raises
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif self._begins and not data.startswith(b"HTTP/1.1 1"):  # 100 Continue is no answer yet
            self._head = data
            self._begins = False
        else:
            self._transport.write(data)

    def end(self) -> None:
        """The answer is complete; the next write begins another."""
        self._flush()
        self._begins = True

    def close(self) -> None:
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
