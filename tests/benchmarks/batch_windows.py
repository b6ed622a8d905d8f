"""How regular batches are: the time between two requests of one callback whose lines keep coming.

    python -m tests.benchmarks.batch_windows [--batches 1000] [--callbacks 50]

A batch callback sends one request a second (`callbacks.md` section 4.2). An engine process with its embedded store is
given messages of a device type with many batch callbacks, so that windows of all of them run side by side; the receiver
notes when the first byte of each request came in. It also checks what it received: every line once, none missing.
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import ClassVar, cast
from urllib.parse import parse_qs, urlsplit

import httptools
import httpx
import uvloop

from tests.benchmarks import end_to_end

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
        self.transport.write(end_to_end.ANSWER)


async def run(batches: int, callbacks: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    sink = server.sockets[0].getsockname()[1]
    device_type = "apiVersion: reconciler/v1\nkind: DeviceType\nname: tracker\ncallbacks:\n"
    device_type += "".join(CALLBACK.format(number=number) for number in range(callbacks))
    starting = end_to_end.engine(sink, device_type)
    port, _ = await loop.run_in_executor(None, starting.__enter__)
    sent = 0
    try:
        headers = {"Authorization": f"Bearer {end_to_end.TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
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
    gaps = [(late - early) * 1000 for times in Receiver.arrivals.values() for early, late in pairwise(times[:-1])]
    off = sorted(abs(gap - 1000) for gap in gaps)
    print(f"{len(gaps)} windows of {callbacks} callbacks, {sent * callbacks} lines, each received once")
    print(f"window: median {statistics.median(gaps):.1f} ms, from {min(gaps):.1f} to {max(gaps):.1f}")
    for share in (0.5, 0.9, 0.99, 1.0):
        print(f"  {share:4.0%} within 1,000 ± {off[round(share * (len(off) - 1))]:.1f} ms")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--batches", type=int, default=1000)
    arguments.add_argument("--callbacks", type=int, default=50)
    given = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.batches, given.callbacks))
