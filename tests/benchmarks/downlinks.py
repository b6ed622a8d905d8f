"""How soon a downlink is on disk after the callback's answer, at a steady pace.

    python -m tests.benchmarks.downlinks [--per-second 500] [--seconds 20]

Devices ask for downlinks through an engine process with its embedded store (fsync on); the receiver of the BIDIR
callback answers each at once and writes into its answer when it did. The engine's stream of settlements tells when a
downlink is durable; what is measured therefore also holds the way through that stream, and is a little too long.
"""

import argparse
import asyncio
import statistics
import time
from typing import cast

import httptools
import httpx
import orjson
import uvloop

from tests.benchmarks import end_to_end

CONNECTIONS = 16

DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
downlink: {mode: callback}
callbacks:
  answers:
    type: data/bidir
    channel: url
    url: "http://${var.host}/{device}"
    contentType: application/json
    body: '{"device":"{device}","time":{time},"ack":{ack}}'
    downlinkHook: true
"""


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


async def run(per_second: int, seconds: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    starting = end_to_end.engine(server.sockets[0].getsockname()[1], DEVICE_TYPE)
    port, _ = await loop.run_in_executor(None, starting.__enter__)
    count = per_second * seconds
    took: list[float] = []
    opened = asyncio.Event()
    try:
        headers = {"Authorization": f"Bearer {end_to_end.TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:

            async def watch() -> None:
                async with client.stream("GET", "/v1/deliveries/stream") as stream:
                    async for line in stream.aiter_lines():
                        opened.set()
                        if line:
                            said = orjson.loads(orjson.loads(line)["log"][-1]["body"])
                            ((_, reply),) = said.items()
                            took.append((time.perf_counter() - reply["answered"]) * 1000)
                        if len(took) == count:
                            return

            watching = asyncio.create_task(watch())
            await opened.wait()
            senders = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
            draining = [asyncio.create_task(_discard(reader)) for reader, _ in senders]
            began, now = loop.time(), int(time.time())
            for number in range(count):
                message = orjson.dumps(
                    {"device": f"{0x100000 + number:X}", "deviceType": "tracker", "time": now, "ack": True}
                )
                head = f"POST /v1/messages HTTP/1.1\r\nHost: e\r\nAuthorization: {headers['Authorization']}\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(message)}\r\n\r\n"
                senders[number % CONNECTIONS][1].write(head.encode() + message)
                await asyncio.sleep(max(began + (number + 1) / per_second - loop.time(), 0))
            await watching
            paced = count / (loop.time() - began)
            served = 0
            while batch := (await client.get("/v1/downlinks", params={"limit": "100"})).json()["downlinks"]:
                served += len(batch)
            for each in draining:
                each.cancel()
            for _, writer in senders:
                writer.close()
    finally:
        await loop.run_in_executor(None, starting.__exit__, None, None, None)
        server.close()

    took.sort()
    print(f"{count} downlinks at {paced:.0f}/s; {served} of them were served to the network side afterwards")
    print(f"answer → downlink on disk: median {statistics.median(took):.2f} ms")
    for share in (0.9, 0.99, 0.999, 1.0):
        print(f"  {share:6.1%} within {took[round(share * (count - 1))]:.2f} ms")


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--per-second", type=int, default=500)
    arguments.add_argument("--seconds", type=int, default=20)
    given = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.per_second, given.seconds))
