"""Who posts the messages of a benchmark, in a process of its own: as fast as it is answered, or at a pace.

Both send distinct messages of 1,000 devices; no two runs send the same.

* `send_all`, a closed loop: each of 64 connections posts again when it was answered.
* `send_paced`, an open loop: message `n` is due at `n / rate` whatever became of those before it. What has no idle
  connection waits here, and its latency counts from when it was due: a system that stalls can not hide it by slowing
  down whoever measures.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import httptools
import orjson
import uvloop

from tests.benchmarks.parts import line_of, part

__all__ = ["CONNECTIONS", "Paced", "number_of", "send_all", "send_paced"]

CONNECTIONS = 64
PACED_CONNECTIONS = 256
DEVICES = 1_000
FIRST_DEVICE = 0x100000
TICK = 0.0005  # seconds: the finest grain at which an open loop looks what is due
EARLIEST, LATEST = 1_000_000_000, 2_000_000_000  # seconds of event time at which a run's messages begin


# As a benchmark sees it


def send_all(port: int, messages: int, per_request: int, *, token: str = "none") -> float:
    """Post them all in a closed loop; when the first was posted, by `time.perf_counter`."""
    with part("tests.benchmarks.sender", port, token, "--messages", messages, "--each", per_request) as sender:
        assert line_of(sender) == "ready"
        start = time.perf_counter()
        assert sender.stdin is not None
        sender.stdin.write("go\n")
        sender.stdin.flush()
        assert line_of(sender) == "sent", "the sender broke off"
        return start


@dataclass(frozen=True, slots=True)
class Paced:
    """How an open loop went.

    Attributes:
        start: when message 0 was due, by `time.perf_counter`; message `n` was due `n / rate` seconds later.
        began: the event time of the first messages, by which they are recognised (`number_of`).
        answered: seconds from when each was due to its answer; None where it was refused.
    """

    rate: float
    start: float
    began: int
    answered: tuple[float | None, ...]

    def due(self, number: int) -> float:
        return self.start + number / self.rate


def send_paced(port: int, rate: float, seconds: float, *, token: str = "none") -> Paced:
    """Post single messages at a pace, for so long, and wait until all are answered."""
    with part("tests.benchmarks.sender", port, token, "--rate", rate, "--messages", round(rate * seconds)) as sender:
        answer = json.loads(line_of(sender))
    return Paced(rate, answer["start"], answer["began"], tuple(answer["answered"]))


def number_of(body: bytes, *, began: int) -> int:
    """Which message of a run a delivery is about."""
    fields = orjson.loads(body)
    number: int = (fields["time"] - began) * DEVICES + int(fields["device"], 16) - FIRST_DEVICE
    return number


# Its process


def posts(messages: int, per_request: int, *, port: int, token: str, began: int) -> Iterator[bytes]:
    """Requests ready to write to a socket."""
    kind = "application/x-ndjson" if per_request > 1 else "application/json"
    head = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    for first in range(0, messages, per_request):
        lines = [
            f'{{"device":"{FIRST_DEVICE + n % DEVICES:X}","deviceType":"tracker","time":{began + n // DEVICES},'
            f'"seqNumber":{n % 4096},"data":"e80332c0","station":"0AF0","rssi":-135.0,"snr":12.13}}'
            for n in range(first, min(first + per_request, messages))
        ]
        body = "\n".join(lines)
        yield f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Connection(asyncio.Protocol):
    """One connection, which has one request under way at most."""

    def __init__(self, answered: Callable[["Connection", int], None]) -> None:
        self.answered = answered
        self.number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.answered(self, self.parser.get_status_code())


async def dial(port: int, count: int, answered: Callable[[Connection, int], None]) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Connection(answered), "127.0.0.1", port))[1] for _ in range(count)]


async def run_closed(requests: list[bytes], port: int) -> None:
    loop = asyncio.get_running_loop()
    waiting, done = iter(requests), loop.create_future()
    left = len(requests)

    def send(connection: Connection) -> None:
        if request := next(waiting, None):
            connection.transport.write(request)

    def answered(connection: Connection, status: int) -> None:
        nonlocal left
        left -= 1
        if status not in (200, 202) and not done.done():
            done.set_exception(RuntimeError(f"answered {status}"))
        elif left == 0 and not done.done():
            done.set_result(None)
        send(connection)

    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for connection in await dial(port, min(CONNECTIONS, len(requests)), answered):
        send(connection)
    await done
    print("sent", flush=True)


@dataclass(slots=True)
class OpenLoop:
    """Sends what is due, over idle connections."""

    requests: list[bytes]
    rate: float
    start: float
    done: asyncio.Future[None]
    idle: deque[Connection] = field(default_factory=deque)
    next: int = 0
    left: int = 0
    answers: list[float | None] = field(default_factory=list)

    def send_due(self) -> None:
        due = min(int((time.perf_counter() - self.start) * self.rate) + 1, len(self.requests))
        while self.next < due and self.idle:
            connection = self.idle.popleft()
            connection.number = self.next
            connection.transport.write(self.requests[self.next])
            self.next += 1

    def answered(self, connection: Connection, status: int) -> None:
        number, now = connection.number, time.perf_counter()
        self.answers[number] = now - self.start - number / self.rate if status in (200, 202) else None
        self.idle.append(connection)
        self.left -= 1
        if self.left == 0:
            self.done.set_result(None)
        elif self.next < len(self.requests):
            self.send_due()


async def run_paced(requests: list[bytes], port: int, *, rate: float, began: int) -> None:
    loop = asyncio.get_running_loop()
    count = len(requests)
    work = OpenLoop(requests, rate, 0.0, loop.create_future(), left=count, answers=[None] * count)
    work.idle.extend(await dial(port, PACED_CONNECTIONS, work.answered))
    work.start = time.perf_counter() + 0.1
    step, ended = max(1 / rate, TICK), threading.Event()

    def tick() -> None:
        """Wake the loop when something falls due; its own timers only know milliseconds."""
        at = work.start
        while not ended.is_set():
            time.sleep(max(at - time.perf_counter(), 0))
            loop.call_soon_threadsafe(work.send_due)
            at = max(at + step, time.perf_counter())

    ticking = loop.run_in_executor(None, tick)
    await work.done
    ended.set()
    await ticking
    print(json.dumps({"start": work.start, "began": began, "answered": work.answers}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("token")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=1, metavar="N", help="messages in a post")
    parser.add_argument("--rate", type=float, help="an open loop with so many single posts a second")
    given = parser.parse_args()
    began = EARLIEST + int.from_bytes(os.urandom(4)) % (LATEST - EARLIEST)
    each = 1 if given.rate else given.each
    prepared = list(posts(given.messages, each, port=given.port, token=given.token, began=began))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.rate:
            runner.run(run_paced(prepared, given.port, rate=given.rate, began=began))
        else:
            runner.run(run_closed(prepared, given.port))
