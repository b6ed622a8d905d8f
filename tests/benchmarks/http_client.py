"""What one delivery costs: CPU of the client for each request over kept-alive connections, beside other clients.

    python -m tests.benchmarks.http_client [--requests N] [--rounds N] [--default-loop]

A POST of 130 bytes of JSON with a secret in a header to a raw asyncio receiver in a process of its own, 64 at a time;
each client has a process of its own, too, and a core of its own if there are two. The figures are medians over the
rounds, in which the clients take turns. Rates of two runs cannot be compared, the machine drifts; the ratios can.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import httptools
import uvloop

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, HttpRequest
from reconciler.model.resource import Method
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.parts import ROOT, line_of, part
from tests.benchmarks.sink import ANSWER

__all__ = ["http_client"]

_CONCURRENCY: Final = 64
_WARM_UP: Final = 2_000
_BODY: Final = '{"device":"1C178","t":-12,"h":55,"at":1700000000,"data":"e80332c0ff00112233445566","note":"%s"}' % (
    "x" * 34
)
_PATH: Final = "/uplink/1C178?t=1700000000&seq=7"
_TOKEN: Final = "0123456789abcdef0123456789abcdef"


class _Receiver(asyncio.Protocol):
    """Answers each request at once, in the callback that saw its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._write(ANSWER)


async def _receive() -> None:
    server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


Send = Callable[[], Awaitable[None]]


async def _share(send: Send, requests: int) -> None:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await send()

    await asyncio.gather(*(worker() for _ in range(_CONCURRENCY)))


async def _measured(send: Send, requests: int) -> None:
    await _share(send, _WARM_UP)
    cpu, wall = time.process_time(), time.perf_counter()
    await _share(send, requests)
    print(time.process_time() - cpu, time.perf_counter() - wall, flush=True)


async def _own(port: int, requests: int) -> None:
    channel = HttpChannel(
        secrets={"TOKEN": _TOKEN}.get,
        egress=EgressPolicy(allow_private=True),
        connections_per_endpoint=_CONCURRENCY,
    )
    request = HttpRequest(
        method=Method.POST,
        scheme="http",
        host="127.0.0.1",
        port=port,
        target=_PATH,
        headers=(
            ("Authorization", ("Bearer ", Secret("TOKEN", Context.HEADER))),
            ("Content-Type", "application/json"),
        ),
        credentials=None,
        body=_BODY,
        send_sni=False,
    )
    deadline = timedelta(seconds=10)

    async def send() -> None:
        outcome = await channel.send(request, timeout=deadline)
        assert isinstance(outcome, Accepted), outcome

    await _measured(send, requests)
    await channel.close()


class _Bare(asyncio.Protocol):
    """The least that a client can do: no pool, no deadline, no checks, the request ready made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()

    def send(self, message: bytes) -> asyncio.Future[int]:
        self._answered: asyncio.Future[int] = self._loop.create_future()
        self._write(message)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        self._answered.set_result(self._parser.get_status_code())


async def _bare(port: int, requests: int) -> None:
    loop = asyncio.get_running_loop()
    dialled = [await loop.create_connection(_Bare, "127.0.0.1", port) for _ in range(_CONCURRENCY)]
    idle = [connection for _, connection in dialled]
    head = f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {_TOKEN}\r\n"
    message = f"{head}Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n{_BODY}".encode()

    async def send() -> None:
        connection = idle.pop()
        assert await connection.send(message) == 200
        idle.append(connection)

    await _measured(send, requests)
    for transport, _ in dialled:
        transport.close()


async def _aiohttp(port: int, requests: int) -> None:
    url = f"http://127.0.0.1:{port}{_PATH}"
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
    body = _BODY.encode()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONCURRENCY)) as session:

        async def send() -> None:
            async with session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                await answer.read()
                assert answer.status == 200

        await _measured(send, requests)


class _Run(NamedTuple):
    cpu_us: float
    rate: float


def _run_client(role: str, port: int, *, requests: int, default_loop: bool) -> _Run:
    loop = ["--default-loop"] if default_loop else []
    command = [sys.executable, "-m", "tests.benchmarks.http_client", "--role", role, "--port", str(port)]
    output = subprocess.run(
        [*command, "--requests", str(requests), *loop], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    cpu, wall = map(float, output.split())
    return _Run(cpu / requests * 1e6, requests / wall)


def _run_wrk(port: int) -> _Run:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(
            f"wrk.method='POST'\nwrk.body=[[{_BODY}]]\n"
            f"wrk.headers['Content-Type']='application/json'\nwrk.headers['Authorization']='Bearer {_TOKEN}'\n"
        )
        before = os.times()
        output = subprocess.run(
            ["wrk", "-t1", f"-c{_CONCURRENCY}", "-d1s", "-s", str(script), f"http://127.0.0.1:{port}{_PATH}"],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=_take_core(0),
        ).stdout
        after = os.times()
    done = re.search(r"(\d+) requests in ([\d.]+)(\w+)", output)
    assert done is not None, output
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return _Run(cpu / int(done[1]) * 1e6, int(done[1]) / float(done[2]))


def _take_core(number: int) -> Callable[[], None]:
    def take() -> None:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})

    return take


def _compare(*, requests: int, rounds: int, default_loop: bool) -> dict[str, list[_Run]]:
    runs: dict[str, list[_Run]] = {"own": [], "bare": [], "aiohttp": []}
    if shutil.which("wrk"):
        runs["wrk"] = []
    with part("tests.benchmarks.http_client", "--role", "receiver") as receiver:
        port = int(line_of(receiver))
        for round_ in range(rounds):
            names = list(runs)
            for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
                if name == "wrk":
                    runs[name].append(_run_wrk(port))
                else:
                    runs[name].append(_run_client(name, port, requests=requests, default_loop=default_loop))
    return runs


def http_client(*, requests: int = 20_000, rounds: int = 5, default_loop: bool = False) -> Iterator[Figure]:
    """CPU of each client for a request, how many times ours that is in the same round, and its rate."""
    runs = _compare(requests=requests, rounds=rounds, default_loop=default_loop)
    for name, taken in runs.items():
        ratios = [run.cpu_us / own.cpu_us for run, own in zip(taken, runs["own"], strict=True)]
        yield Figure(f"HTTP client, {name}: CPU", "us/request", [run.cpu_us for run in taken])
        if name != "own":
            yield Figure(f"HTTP client, {name}: CPU ÷ that of our own", "x", ratios)
        yield Figure(f"HTTP client, {name}", "requests/s", [run.rate for run in taken])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--default-loop", action="store_true")
    parser.add_argument("--role", choices=["receiver", "own", "bare", "aiohttp"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    match given.role:
        case None:
            print_figures(http_client(requests=given.requests, rounds=given.rounds, default_loop=given.default_loop))
        case "receiver":
            _take_core(1)()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_receive())
        case role:
            _take_core(0)()
            client = {"own": _own, "bare": _bare, "aiohttp": _aiohttp}[role]
            with asyncio.Runner(loop_factory=None if given.default_loop else uvloop.new_event_loop) as runner:
                runner.run(client(given.port, given.requests))


if __name__ == "__main__":
    main()
