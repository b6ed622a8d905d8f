"""How regular batches are: the time between two requests of one callback whose lines keep coming.

    python -m tests.benchmarks.batch_windows [--batches 1000] [--callbacks 50]

A batch callback sends one request a second (`callbacks.md` section 4.2). An engine process with its embedded store is
given messages of a device type with many batch callbacks, so that windows of all of them run side by side; the receiver
notes when the first byte of each request came in. It also checks what it received: every line once, none missing.
"""

import argparse
import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, cast
from urllib.parse import parse_qs, urlsplit

import httptools
import httpx
import uvloop

from tests.benchmarks.engine_process import applied_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.sink import ANSWER

__all__ = ["batch_windows"]

PAUSE = 0.05  # seconds between messages: 20 lines in each window

CALLBACK = """\
  log{number:03}:
    type: data/uplink
    channel: batch-url
    url: "http://${{var.host}}/{number}?lines={{batch}}"
    linePattern: "{{device}};{{seqNumber}}"
"""


class Receiver(asyncio.Protocol):
    """Notes when requests begin, and the lines that they hold, by callback."""

    arrivals: ClassVar[defaultdict[str, list[float]]] = defaultdict(list)
    lines: ClassVar[Counter[tuple[str, str]]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.began = 0.0
        self.url = b""

    def data_received(self, data: bytes) -> None:
        self.began = self.began or time.perf_counter()
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        url = urlsplit(self.url.decode())
        self.arrivals[url.path].append(self.began)
        self.began = 0.0
        self.lines.update((url.path, line) for line in parse_qs(url.query)["lines"][0].split("\n"))
        self.transport.write(ANSWER)


async def measure(batches: int, callbacks: int) -> list[float]:
    """Milliseconds between two requests of one callback."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    sink = server.sockets[0].getsockname()[1]
    device_type = "apiVersion: reconciler/v1\nkind: DeviceType\nname: tracker\ncallbacks:\n"
    device_type += "".join(CALLBACK.format(number=number) for number in range(callbacks))
    starting = applied_engine(sink, device_type)
    engine = await loop.run_in_executor(None, starting.__enter__)
    sent = 0
    try:
        headers = {"Authorization": f"Bearer {engine.token}"}
        async with httpx.AsyncClient(base_url=engine.url, headers=headers) as client:
            began, now = loop.time(), int(time.time())
            while sum(map(len, Receiver.arrivals.values())) < batches + 2 * callbacks:
                sent += 1
                message = {"device": "1C178", "deviceType": "tracker", "time": now + sent // 4096, "seqNumber": sent}
                answer = await client.post("/v1/messages", json=message)
                assert answer.status_code == 202, answer.text
                await asyncio.sleep(began + sent * PAUSE - loop.time())
            while len(Receiver.lines) < sent * callbacks:
                await asyncio.sleep(0.05)
    finally:
        await loop.run_in_executor(None, starting.__exit__, None, None, None)
        server.close()

    assert max(Receiver.lines.values()) == 1, "a line came twice"
    # The last batch of a callback is left out: its window may have closed after the last message.
    return [(late - early) * 1000 for times in Receiver.arrivals.values() for early, late in pairwise(times[:-1])]


def batch_windows(*, batches: int = 1000, callbacks: int = 50) -> Iterator[Figure]:
    """How long the windows are; that every line came once is asserted."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        gaps = runner.run(measure(batches, callbacks))
    off = sorted(abs(gap - 1000) for gap in gaps)
    yield Figure(f"batch: between two requests, of {callbacks} callbacks", "ms", gaps)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0)):
        yield Figure(f"batch: off the second, {name}", "ms", [off[round(share * (len(off) - 1))]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--callbacks", type=int, default=50)
    given = parser.parse_args()
    print_figures(batch_windows(batches=given.batches, callbacks=given.callbacks))
