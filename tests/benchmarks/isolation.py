"""What endpoints that hang to their deadline do to the others: a hundred with the same load, of which 0, 1, 20 hang.

    python -m tests.benchmarks.isolation [--rate 600] [--seconds 15] [--repeats 3]

An engine on its embedded store in this process, a receiver with a hundred ports in another one, over loopback; messages
come at a steady rate whether or not they are delivered. Latency is from when a message was to come to the end of the
answer, of all messages for endpoints that answer; the first two seconds do not count. Beside the figures of a run
without hanging endpoints, the limits: p99 at most 10 % or 5 ms longer, throughput 95 % at least.
"""

import argparse
import asyncio
import gc
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import random
from typing import cast

import httptools
import uvloop

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.model.delivery import HttpRequest, Outcome, Sendable
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.clock import utc_now
from reconciler.runtime.engine import Engine
from reconciler.runtime.lanes import Capacity
from reconciler.store.sqlite import open_sqlite
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import line_of, part
from tests.benchmarks.sink import ANSWER

ENDPOINTS = 100
START = 1_700_000_000
WARMING = 2.0
RECEIVE = "receive"


class Receiver(asyncio.Protocol):
    """Answers at once, but for what comes to `/hang`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.url = b""
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        if not self.url.startswith(b"/hang"):
            self.transport.write(ANSWER)


async def receive() -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Receiver, "127.0.0.1", 0) for _ in range(ENDPOINTS)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


class Timed:
    """A channel that remembers when the answer to each message was there, by the number in its path."""

    def __init__(self, inner: HttpChannel) -> None:
        self.inner = inner
        self.ended: dict[int, float] = {}

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        assert isinstance(request, HttpRequest)
        assert isinstance(request.target, str)
        outcome = await self.inner.send(request, timeout=timeout)
        self.ended[int(request.target.rpartition("/")[2]) - START] = time.perf_counter()
        return outcome

    async def close(self) -> None:
        await self.inner.close()


async def publish(engine: Engine, ports: list[int], *, hanging: int) -> None:
    amendments = []
    for number, port in enumerate(ports):
        parent, path = Key(f"type-{number}"), "hang" if number < hanging else "take"
        key = Key(parent.device_type, "hook")
        url = f"http://127.0.0.1:{port}/{path}/{{time}}"
        content = {"type": "data/uplink", "channel": "url", "method": "GET", "url": url}
        amendments.append(Amendment("create", parent, None, define(parent, {})))
        amendments.append(Amendment("create", key, None, define(key, content)))
    publication = Publication(at=None, by="benchmark")
    assert isinstance(await engine.publish(amendments, owner="b", expect=0, publication=publication), Revision)


def message(number: int) -> Message:
    kind = f"type-{number % ENDPOINTS}"
    fields = {"device": f"{number % ENDPOINTS + 1:X}", "deviceType": kind, "time": START + number, "seqNumber": 1}
    read = read_message(fields, received_at=utc_now())
    assert isinstance(read, Message)
    return read


async def run(ports: list[int], *, hanging: int, rate: float, seconds: float) -> tuple[float, float, float, int]:
    """Median and p99 in ms, deliveries a second, most attempts in flight."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_sqlite(Path(folder))
        capacity = Capacity()
        egress = EgressPolicy(allow_private=True)
        http = HttpChannel(secrets=lambda _: None, egress=egress, connections_per_endpoint=capacity.slots)
        channel = Timed(http)
        engine = Engine(store=store, channel=channel, now=utc_now, dice=random, capacity=capacity)
        await engine.start()
        await publish(engine, ports, hanging=hanging)
        gc.collect()
        gc.freeze()
        began, taking, most = time.perf_counter(), set(), 0
        for number in range(int(rate * seconds)):
            pause = began + number / rate - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            take = asyncio.create_task(engine.take([message(number)]))
            taking.add(take)
            take.add_done_callback(taking.discard)
            most = max(most, engine.worker.in_flight)
        await asyncio.sleep(0.2)
        answering = [n for n in range(int(rate * WARMING), int(rate * seconds)) if n % ENDPOINTS >= hanging]
        waits = [(channel.ended[n] - began - n / rate) * 1e3 for n in answering if n in channel.ended]
        await engine.stop()  # waits for what hangs
        await channel.close()
        await store.close()
    # Throughput for each endpoint that answers, as if all of them did.
    delivered = len(waits) / len(answering) * rate
    return statistics.median(waits), statistics.quantiles(waits, n=100)[98], delivered, most


def isolation(*, rate: float = 600, seconds: float = 15, repeats: int = 3) -> Iterator[Figure]:
    """The latency and the throughput of endpoints that answer, beside others that hang."""
    runs: dict[int, list[tuple[float, float, float, int]]] = {0: [], 1: [], 20: []}
    with part("tests.benchmarks.isolation", RECEIVE) as receiving:
        ports = [int(port) for port in line_of(receiving).split()]
        logging.disable()
        try:
            for _ in range(repeats):
                for hanging, found in runs.items():
                    found.append(uvloop.run(run(ports, hanging=hanging, rate=rate, seconds=seconds)))
        finally:
            logging.disable(logging.NOTSET)
    _, quiet, all_of_it, _ = map(statistics.median, zip(*runs[0], strict=True))
    for hanging, found in runs.items():
        medians, p99s, delivered, most = zip(*found, strict=True)
        what = f"{hanging} of {ENDPOINTS} hang"
        yield Figure(f"{what}: median of the others", "ms", medians)
        yield Figure(f"{what}: p99 of the others", "ms", p99s, most=max(quiet * 1.1, quiet + 5))
        yield Figure(f"{what}: delivered by the others", "/s", delivered, least=all_of_it * 0.95)
        yield Figure(f"{what}: most attempts in flight", "attempts", most)


def main() -> None:
    if sys.argv[1:] == [RECEIVE]:
        uvloop.run(receive())
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=600)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print_figures(isolation(rate=given.rate, seconds=given.seconds, repeats=given.repeats))


if __name__ == "__main__":
    main()
