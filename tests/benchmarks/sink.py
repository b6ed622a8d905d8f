"""What all deliveries of a benchmark go to: it answers every request at once, and counts.

    python -m tests.benchmarks.sink [--record]

With `--record` it keeps when each request came in, and its body, until somebody fetches them.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import httptools
import uvloop

from tests.benchmarks.parts import fetch, line_of, part

__all__ = ["ANSWER", "Arrival", "Sink", "sink"]

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


# As a benchmark sees it


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that came in: by the clock of `time.perf_counter`, which all processes of a machine share on Linux."""

    at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink in a process of its own, on loopback."""

    port: int

    def count(self) -> int:
        """How many requests it has answered."""
        return int(fetch(self.port, "/count"))

    def arrivals(self) -> list[Arrival]:
        """What came in since it was asked last, in order."""
        lines = (line.partition(b" ") for line in fetch(self.port, "/arrivals").splitlines())
        return [Arrival(float(at), body) for at, _, body in lines]


@contextlib.contextmanager
def sink(*, record: bool = False) -> Iterator[Sink]:
    """Run one."""
    with part("tests.benchmarks.sink", *(["--record"] if record else [])) as process:
        yield Sink(int(line_of(process)))


# Its process


class Counting(asyncio.Protocol):
    """Answers every request at once and counts them; `GET /count` tells."""

    requests: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.url = b""
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        if self.url == b"/count":
            self.answer(str(Counting.requests).encode())
        else:
            Counting.requests += 1
            self.transport.write(ANSWER)

    def answer(self, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Recording(Counting):
    """Counts, and remembers; `GET /arrivals` tells, and forgets."""

    arrivals: ClassVar[list[tuple[float, bytes]]] = []
    body = b""

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.url == b"/arrivals":
            self.answer(b"".join(b"%.6f %b\n" % arrival for arrival in self.arrivals))
            self.arrivals.clear()
            return
        if self.body:
            self.arrivals.append((time.perf_counter(), self.body))
        super().on_message_complete()


async def serve(protocol: type[Counting]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Recording if parser.parse_args().record else Counting))
