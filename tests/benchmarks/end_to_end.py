"""Messages a second, end to end: ingest → durable → routed → delivered by POST to a fast sink → attempt recorded.

    python tests/benchmarks/end_to_end.py [--messages 40000] [--repeats 3]

One engine process with its embedded store (fsync on, `synchronous=FULL`) shares all cores with the sender and the
sink. In the same run, because machines are noisy and only ratios of one run compare: `wrk` against the same sink (when
it is installed), and a bare aiohttp loop, which takes the same posts with aiohttp's server and passes each on with
aiohttp's client, keeping nothing.

A run ends when the engine's own metrics say that every delivery is recorded as delivered and the sink has counted every
request.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httptools
import httpx
import uvloop

CONNECTIONS = 64
TOKEN = "benchmark"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: benchmark
sources: [device-types/*.yaml]
environments:
  bench:
    target: {{engine: "{engine}", token: {{env: BENCH_TOKEN}}}}
    variables: {{host: "{sink}"}}
"""
DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
payload: "temperature::int:16:little-endian humidity::uint:8 door::bool:7"
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    method: POST
    url: "http://${var.host}/uplink/{device}"
    contentType: application/json
    body: '{"device":"{device}","time":{time},"t":{customData#temperature},"h":{customData#humidity},"seq":{seqNumber}}'
"""


class Sink(asyncio.Protocol):
    """Answers every request at once and counts them; `GET /count` tells."""

    requests = 0

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
            body = str(Sink.requests).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            Sink.requests += 1
            self.transport.write(ANSWER)


async def run_sink() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Sender(asyncio.Protocol):
    """One connection of a closed loop: sends the next request when the last one was answered."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self.requests = requests
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.parser = httptools.HttpResponseParser(self)
        self.next()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() not in (200, 202):
            self.done.set_exception(RuntimeError(f"answered {self.parser.get_status_code()}"))
            return
        self.parser = httptools.HttpResponseParser(self)
        self.next()

    def next(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
        else:
            self.transport.write(request)


def posts(messages: int, per_request: int, *, port: int) -> Iterator[bytes]:
    """Distinct messages of 1,000 devices, ready to write to a socket; no two runs send the same."""
    start = int.from_bytes(os.urandom(4)) >> 1
    kind = "application/x-ndjson" if per_request > 1 else "application/json"
    head = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    for first in range(0, messages, per_request):
        lines = [
            f'{{"device":"{0x100000 + n % 1000:X}","deviceType":"tracker","time":{start + n // 1000},'
            f'"seqNumber":{n % 4096},"data":"e80332c0","station":"0AF0","rssi":-135.0,"snr":12.13}}'
            for n in range(first, min(first + per_request, messages))
        ]
        body = "\n".join(lines)
        yield f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def run_sender(port: int, messages: int, per_request: int) -> None:
    loop = asyncio.get_running_loop()
    prepared = list(posts(messages, per_request, port=port))
    requests = iter(prepared)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    done = [loop.create_future() for _ in range(min(CONNECTIONS, len(prepared)))]
    for each in done:
        await loop.create_connection(lambda each=each: Sender(requests, each), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*done)
    print("sent", flush=True)


async def run_bare_aiohttp(sink: int) -> None:
    """aiohttp in, aiohttp out, nothing kept: what the usual libraries leave of the two cores."""
    from aiohttp import ClientSession, TCPConnector, web

    async with ClientSession(connector=TCPConnector(limit=CONNECTIONS)) as session:

        async def pass_on(line: bytes) -> None:
            message = json.loads(line)
            body = {"device": message["device"], "time": message["time"], "seq": message["seqNumber"]}
            async with session.post(f"http://127.0.0.1:{sink}/uplink/{message['device']}", json=body) as answer:
                await answer.read()

        async def take(request: web.Request) -> web.Response:
            await asyncio.gather(*map(pass_on, (await request.read()).splitlines()))
            return web.json_response({"accepted": 1}, status=202)

        app = web.Application()
        app.router.add_post("/v1/messages", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def role(*arguments: object, script: str = __file__) -> Iterator[subprocess.Popen[str]]:
    """A benchmark's script again, in another part."""
    process = subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def engine(sink: int, device_type: str = DEVICE_TYPE) -> Iterator[tuple[int, int]]:
    """`reconciler engine serve` with the benchmark's project applied; its port and process id."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        (project / "device-types").mkdir(parents=True)
        tokens = Path(folder, "tokens")
        reconciler = [sys.executable, "-m", "reconciler"]
        making = [*reconciler, "engine", "token", "--token-file", str(tokens), "--name", "bench"]
        making += ["--scope", "read,apply,ingest"]
        token = subprocess.run(making, check=True, capture_output=True, text=True).stdout.strip()
        global TOKEN
        TOKEN = token
        serve = [*reconciler, "engine", "serve", "--listen", "127.0.0.1:0", "--data", str(Path(folder, "data"))]
        serve += ["--token-file", str(tokens), "--allow-egress", "127.0.0.0/8"]
        serving = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
        try:
            assert serving.stderr is not None
            port = 0
            for line in serving.stderr:
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    port = int(found[1])
                    break
            assert port, "the engine did not start"
            (project / "reconciler.yaml").write_text(
                PROJECT.format(engine=f"http://127.0.0.1:{port}", sink=f"127.0.0.1:{sink}")
            )
            (project / "device-types" / "tracker.yaml").write_text(device_type)
            applying = [*reconciler, "apply", "-C", str(project), "-e", "bench", "--yes", "-q"]
            environment = {**os.environ, "BENCH_TOKEN": token}
            subprocess.run(applying, check=True, env=environment, stdout=subprocess.DEVNULL)
            yield port, serving.pid
        finally:
            serving.terminate()
            serving.wait()
            assert serving.stderr is not None
            serving.stderr.close()


def delivered(port: int) -> int:
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    found = re.search(r'^reconciler_deliveries_finished_total\{state="delivered"\} (\d+)', metrics, re.MULTILINE)
    return int(found[1]) if found else 0


def counted(sink: int) -> int:
    return int(httpx.get(f"http://127.0.0.1:{sink}/count").text)


def send_through(port: int, sink: int, messages: int, per_request: int, *, recorded: bool) -> float:
    """Seconds from the first post until all is delivered, and recorded where there is a record."""
    before, kept = counted(sink), delivered(port) if recorded else 0
    with role("sender", port, messages, per_request, TOKEN) as sender:
        assert line_of(sender) == "ready"
        assert sender.stdin is not None
        start = time.perf_counter()
        sender.stdin.write("go\n")
        sender.stdin.flush()
        assert line_of(sender) == "sent", "the sender broke off"
    while counted(sink) - before < messages or (recorded and delivered(port) - kept < messages):
        time.sleep(0.01)
    return time.perf_counter() - start


def wrk(sink: int) -> float | None:
    program = shutil.which("wrk")
    if program is None:
        return None
    out = subprocess.run(
        [program, "-t1", f"-c{CONNECTIONS}", "-d3", f"http://127.0.0.1:{sink}/"], check=True, capture_output=True
    ).stdout.decode()
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return float(found[1]) if found else None


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=40_000)
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    figures: dict[str, list[float]] = {}

    with role("sink") as sinking:
        sink = int(line_of(sinking))
        for _ in range(given.repeats):
            if (limit := wrk(sink)) is not None:
                figures.setdefault("wrk → sink, no engine (limit)", []).append(limit)
            with role("bare-aiohttp", sink) as bare:
                port = int(line_of(bare))
                few = given.messages // 4
                for per_request in (50, 1):
                    name = f"bare aiohttp loop, {per_request} a post, nothing kept"
                    took = send_through(port, sink, few, per_request, recorded=False)
                    figures.setdefault(name, []).append(few / took)
            for per_request in (50, 1):
                with engine(sink) as (port, pid):
                    send_through(port, sink, 2_000, per_request, recorded=True)
                    cpu = cpu_seconds(pid)
                    took = send_through(port, sink, given.messages, per_request, recorded=True)
                    cpu = cpu_seconds(pid) - cpu
                name = f"engine, {per_request} a post, durable"
                figures.setdefault(name, []).append(given.messages / took)
                figures.setdefault(f"{name}: us of CPU a message", []).append(cpu / given.messages * 1e6)

    print(f"{'':54}{'median':>10}   all runs")
    for name, values in figures.items():
        print(f"{name:54}{statistics.median(values):>10,.0f}   {' '.join(f'{v:,.0f}' for v in values)}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        match sys.argv[1:]:
            case ["sink"]:
                runner.run(run_sink())
            case ["bare-aiohttp", sink_port]:
                runner.run(run_bare_aiohttp(int(sink_port)))
            case ["sender", port_text, messages_text, per_request_text, TOKEN]:
                runner.run(run_sender(int(port_text), int(messages_text), int(per_request_text)))
            case _:
                pass
    if sys.argv[1:2] not in (["sink"], ["bare-aiohttp"], ["sender"]):
        main()
