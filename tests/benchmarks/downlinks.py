"""How soon a downlink is on disk after the callback's answer, at a steady pace.

    python -m tests.benchmarks.downlinks [--per-second 500] [--seconds 20]

An engine with its embedded store (fsync on) is given messages of devices that ask. The receiver of the BIDIR callback
is a process of its own on loopback; it answers at once, and writes into its answer when it did (the clock is the same
for both processes). The settlements tell when the downlink is durable. Afterwards all are fetched, as the network
side would.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import httptools
import orjson
import uvloop

from reconciler.cli.wiring import EngineSettings, open_engine
from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, Settlement
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.engine import Engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import line_of, part

__all__ = ["downlinks"]


class Receiver(asyncio.Protocol):
    """Answers with eight bytes for the device, and with the time of the answer beside them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.device = ""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.device = url[1:].decode()

    def on_message_complete(self) -> None:
        body = orjson.dumps({self.device: {"downlinkData": "0011223344556677", "answered": time.perf_counter()}})
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def receive() -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def publish(engine: Engine, port: int) -> None:
    device_type, key = Key("tracker"), Key("tracker", "answers")
    callback: Content = {
        "type": "data/bidir",
        "channel": "url",
        "url": f"http://127.0.0.1:{port}/{{device}}",
        "contentType": "application/json",
        "body": '{"device":"{device}","time":{time},"ack":{ack}}',
        "downlinkHook": True,
    }
    published = await engine.publish(
        [
            Amendment("create", device_type, None, define(device_type, {"downlink": {"mode": "callback"}})),
            Amendment("create", key, None, define(key, callback)),
        ],
        owner="benchmark",
        expect=0,
        publication=Publication(at=None, by="benchmark"),
    )
    assert isinstance(published, Revision), published


async def measure(port: int, per_second: int, seconds: int) -> tuple[list[float], float, int]:
    """Milliseconds from each answer until it was on disk, the pace that was kept, and how many were served after."""
    loop = asyncio.get_running_loop()
    count = per_second * seconds
    took: list[float] = []

    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(EngineSettings(Path(folder), EgressPolicy(allow_private=True))) as engine:
            await publish(engine, port)

            async def watch() -> None:
                async with contextlib.aclosing(engine.events.subscribe()) as events:
                    async for event in events:
                        durable = time.perf_counter()
                        assert isinstance(event, Settlement), "the watcher was too slow"
                        assert isinstance(event.attempt.outcome, Accepted), event.attempt.outcome
                        ((_, reply),) = orjson.loads(event.attempt.outcome.body).items()
                        took.append((durable - reply["answered"]) * 1000)
                        if len(took) == count:
                            return

            watching = asyncio.create_task(watch())
            began, now = loop.time(), int(time.time())
            taking = []
            for number in range(count):
                fields = {"device": f"{0x100000 + number:X}", "deviceType": "tracker", "time": now, "ack": True}
                message = read_message(fields, received_at=engine.now())
                assert isinstance(message, Message)
                taking.append(asyncio.create_task(engine.take([message])))
                await asyncio.sleep(max(began + (number + 1) / per_second - loop.time(), 0))
            await asyncio.gather(*taking, watching)
            paced = count / (loop.time() - began)
            served = 0
            while downlinks := await engine.serve_downlinks(limit=100, wait=timedelta()):
                served += len(downlinks)

    return took, paced, served


def downlinks(*, per_second: int = 500, seconds: int = 20) -> Iterator[Figure]:
    """How soon answers are durable, and that none is lost."""
    with part("tests.benchmarks.downlinks", "receiver") as receiving:
        port = int(line_of(receiving))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, paced, served = runner.run(measure(port, per_second, seconds))
    took.sort()
    assert served == len(took), f"{len(took)} were answered, {served} served"
    yield Figure("downlinks: pace that was kept", "1/s", [paced])
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("latest", 1.0)):
        yield Figure(f"downlink: answer → on disk, {name}", "ms", [took[round(share * (len(took) - 1))]])


if __name__ == "__main__":
    if sys.argv[1:] == ["receiver"]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(receive())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-second", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=20)
    given = parser.parse_args()
    print_figures(downlinks(per_second=given.per_second, seconds=given.seconds))
