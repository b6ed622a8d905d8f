"""The server: addresses, bounds on clients, and stopping."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.api.connection import Bounds
from reconciler.runtime.api.server import listen, serve, url_of
from reconciler.store.memory import MemoryStore
from tests.fakes import on_every_loop
from tests.integration.api.rig import ALL, UPLINK, read_answer, serving

NOW = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)
# Long beside what a busy machine keeps a loop waiting: a request that was sent in time must not look late.
SHORT = timedelta(milliseconds=150)
GET = b"GET /healthz HTTP/1.1\r\nHost: e\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def listener() -> socket.socket:
    bound = listen("127.0.0.1", 0)
    assert isinstance(bound, socket.socket)
    return bound


@asynccontextmanager
async def connection(
    app: ASGIApp = hello, bounds: Bounds | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of its own."""
    bound, stop = listener(), asyncio.Event()
    port = bound.getsockname()[1]
    serving = asyncio.create_task(serve(app, bound, now=lambda: NOW, stop=stop, bounds=bounds))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        stop.set()
        await serving


# Addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_free_port_is_found_and_told(host: str) -> None:
    bound = listen(host, 0)
    assert isinstance(bound, socket.socket)
    with bound:
        assert url_of(bound).startswith("http://")
        assert url_of(bound).rpartition(":")[2] == str(bound.getsockname()[1]) != "0"


def test_a_port_that_is_in_use_is_a_diagnostic() -> None:
    with listener() as bound:
        problem = listen("127.0.0.1", bound.getsockname()[1])

    assert isinstance(problem, Diagnostic)
    assert problem.code == "listen-port-in-use"


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [
        ("203.0.113.7", 0, "listen-address-not-available"),  # RFC 5737: nobody has it
        ("no-such-host.invalid", 0, "listen-unknown-host"),  # RFC 6761: it never resolves
        ("a" * 300, 0, "listen-unknown-host"),
        ("127.0.0.1", 70_000, "listen-bad-port"),
        ("127.0.0.1", -1, "listen-bad-port"),
    ],
)
def test_an_address_that_is_not_ours_is_a_diagnostic_with_help(host: str, port: int, code: str) -> None:
    problem = listen(host, port)

    assert isinstance(problem, Diagnostic)
    assert problem.code == code
    assert problem.help


# Answers


@on_every_loop
async def test_answers_carry_the_date_and_not_our_name() -> None:
    async with connection() as (reader, writer):
        writer.write(GET)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()

    assert "date: Mon, 23 Nov 2026 14:19:18 GMT\r\n" in head
    assert "server:" not in head


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"HELLO\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: e\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: e\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: e\r\nX: a\x00b\r\n\r\n",
        b"CONNECT e:443 HTTP/1.1\r\nHost: e\r\n\r\n",
    ],
)
@on_every_loop
async def test_what_is_not_http_is_told_so_in_our_form(request_: bytes) -> None:
    async with connection() as (reader, writer):
        writer.write(request_)
        status, answer = await read_answer(reader)

        assert (status, answer["code"]) == (400, "bad-request")
        assert await reader.read() == b""


# Bounds


@on_every_loop
async def test_a_head_over_the_limit_is_refused() -> None:
    async with connection(bounds=Bounds(head_bytes=1_000)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: e\r\nX: " + b"x" * 1_000)
        status, answer = await read_answer(reader)

        assert (status, answer["code"]) == (431, "head-too-large")
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"GET / HT", GET[:-2], GET + GET[:-2]])
@on_every_loop
async def test_a_head_that_does_not_arrive_in_time_is_refused(sent: bytes) -> None:
    async with connection(bounds=Bounds(arrival=SHORT)) as (reader, writer):
        writer.write(sent)
        if sent.startswith(GET):
            assert (await read_answer(reader))[0] == 200
        status, answer = await read_answer(reader)

        assert (status, answer["code"]) == (408, "request-too-slow")
        assert await reader.read() == b""


@on_every_loop
async def test_a_body_that_does_not_arrive_in_time_is_refused_and_nothing_kept() -> None:
    async with serving(MemoryStore(), Bounds(arrival=SHORT)) as served:
        reader, writer = await served.connect()
        head = f"POST /v1/messages HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + orjson.dumps(UPLINK))
        async with asyncio.timeout(10):
            status, answer = await read_answer(reader)
            end = await reader.read()
        writer.close()

        assert (status, answer["code"], end) == (408, "request-too-slow", b"")
        assert await served.rig.store.messages_of("1C178", limit=9) == []


@on_every_loop
async def test_a_head_has_less_time_than_the_whole_request() -> None:
    async with connection(bounds=Bounds(head=SHORT)) as (reader, writer):
        writer.write(GET[:-2])
        status, answer = await read_answer(reader)

        assert (status, answer["code"]) == (408, "request-too-slow")
        assert "headers" in answer["message"]
        assert await reader.read() == b""


async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await hello(scope, receive, send)


@on_every_loop
async def test_a_body_that_drips_is_refused_long_before_its_time_is_over() -> None:
    async with connection(read_body, Bounds(pace=SHORT, least_bytes=1_000)) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 100000\r\n\r\n")
        answering = asyncio.create_task(read_answer(reader))
        while not answering.done():
            writer.write(b"x")
            await asyncio.sleep(SHORT.total_seconds() / 10)
        status, answer = await answering

        assert (status, answer["code"]) == (408, "request-too-slow")
        assert "too slowly" in answer["message"]


@on_every_loop
async def test_a_body_that_keeps_its_pace_may_take_its_time() -> None:
    parts = 20
    bounds = Bounds(head=2 * SHORT, pace=2 * SHORT, least_bytes=1)
    async with connection(read_body, bounds) as (reader, writer):
        writer.write(f"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: {parts}\r\n\r\n".encode())
        for _ in range(parts):  # longer than `head` and `pace` together
            await asyncio.sleep(SHORT.total_seconds() / 2)
            writer.write(b"x")

        assert (await read_answer(reader))[0] == 200


@on_every_loop
async def test_idle_strangers_shut_nobody_out() -> None:
    async with serving(MemoryStore(), Bounds(connections=5)) as served:
        strangers = [await served.connect() for _ in range(20)]
        reader, writer = await served.connect()
        writer.write(GET)
        async with asyncio.timeout(10):
            assert (await read_answer(reader))[0] == 200
            assert await strangers[0][0].read() == b"", "the oldest had to go"
        for _, each in [*strangers, (reader, writer)]:
            each.close()


async def from_address(port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


@on_every_loop
async def test_one_address_shuts_no_other_out() -> None:
    async with serving(MemoryStore(), Bounds(connections=50, of_one_address=3)) as served, asyncio.timeout(10):
        greedy = []
        for _ in range(3):
            greedy.append(await from_address(served.port, "127.0.0.2"))
            greedy[-1][1].write(GET)
            assert (await read_answer(greedy[-1][0]))[0] == 200
        more = await from_address(served.port, "127.0.0.2")
        status, answer = await read_answer(more[0])
        assert (status, answer["code"]) == (503, "too-many-connections")
        assert "of this address" in answer["message"]
        assert await more[0].read() == b""

        silent = [await from_address(served.port, "127.0.0.3") for _ in range(9)]
        others = [await from_address(served.port, f"127.0.0.{last}") for last in (3, 4)]
        for reader, writer in others:
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
        assert await silent[0][0].read() == b"", "the oldest of its address had to go"

        greedy[0][1].close()
        status = 503
        while status == 503:  # the server notices when it gets to it
            again = await from_address(served.port, "127.0.0.2")
            again[1].write(GET)
            status, _ = await read_answer(again[0])
            again[1].close()
        assert status == 200
        for _, writer in (*greedy, more, *silent, *others):
            writer.close()


@pytest.mark.parametrize("sent", [b"", GET])
@on_every_loop
async def test_an_idle_connection_is_closed(sent: bytes) -> None:
    async with connection(bounds=Bounds(arrival=SHORT, idle=SHORT)) as (reader, writer):
        writer.write(sent)
        if sent:
            assert (await read_answer(reader))[0] == 200

        assert await reader.read() == b""


@on_every_loop
async def test_a_connection_whose_answer_came_before_its_body_is_closed_when_idle() -> None:
    async with connection(bounds=Bounds(idle=SHORT)) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 2\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        writer.write(b"{}")

        assert await reader.read() == b""


@on_every_loop
async def test_a_request_sent_ahead_is_not_blamed_for_waiting_behind_a_slow_one() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(1.5 * bounds.arrival.total_seconds())
        await hello(scope, receive, send)

    # Between the first answer and the rest of the second request this test is the one who must be in time.
    bounds = Bounds(arrival=timedelta(seconds=1))
    async with connection(slow, bounds) as (reader, writer):
        writer.write(GET + b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 2\r\n\r\n{")
        first, _ = await read_answer(reader)
        writer.write(b"}")
        second, _ = await read_answer(reader)

    assert (first, second) == (200, 200)


@on_every_loop
async def test_a_client_that_does_not_read_its_answer_does_not_keep_the_server_from_ending() -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(32 * 1024 * 1024)
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async with asyncio.timeout(5), connection(large, Bounds(idle=SHORT)) as (reader, writer):
        writer.write(GET)

        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


@on_every_loop
async def test_more_clients_than_there_is_room_for_are_turned_away() -> None:
    async with serving(MemoryStore(), Bounds(connections=1)) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        first = await read_answer(reader)
        other_reader, other_writer = await served.connect()
        async with asyncio.timeout(10):
            second = await read_answer(other_reader)
        other_writer.close()
        writer.write(GET)
        third = await read_answer(reader)
        writer.close()

    assert (first[0], second[0], third[0]) == (200, 503, 200)
    assert second[1]["code"] == "too-many-connections"


# Stopping


@dataclass
class Stopping:
    """A server that was told to stop while a request waits for its answer."""

    port: int
    serving: asyncio.Task[None]
    reader: asyncio.StreamReader
    answer: asyncio.Event


@asynccontextmanager
async def stopping(bounds: Bounds | None = None) -> AsyncIterator[Stopping]:
    entered, answer, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await answer.wait()
        await hello(scope, receive, send)

    bound = listener()
    port = bound.getsockname()[1]
    serving = asyncio.create_task(serve(slow, bound, now=lambda: NOW, stop=stop, bounds=bounds))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    await entered.wait()
    stop.set()
    try:
        async with asyncio.timeout(10):
            yield Stopping(port, serving, reader, answer)
    finally:
        writer.close()
        answer.set()
        await serving


@on_every_loop
async def test_a_request_in_flight_is_answered_before_the_server_ends() -> None:
    async with stopping() as server:
        await until_refused(server.port)
        ended_early = server.serving.done()
        server.answer.set()
        status, _ = await read_answer(server.reader)
        await server.serving

    assert (ended_early, status) == (False, 200)


@on_every_loop
async def test_a_successor_can_listen_while_requests_are_still_in_flight() -> None:
    async with stopping() as server:
        await until_refused(server.port)
        successor = listen("127.0.0.1", server.port)
        assert isinstance(successor, socket.socket)
        successor.close()


@on_every_loop
async def test_what_does_not_end_within_the_grace_period_is_cut_off() -> None:
    async with stopping(Bounds(grace=SHORT)) as server:
        await server.serving
        try:
            rest = await server.reader.read()
        except ConnectionResetError:
            rest = b""

    assert rest == b""


@on_every_loop
async def test_idle_connections_do_not_keep_a_server_from_ending() -> None:
    async with serving(MemoryStore()) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        await read_answer(reader)
        async with asyncio.timeout(5):
            await served.stop()
            end = await reader.read()
        writer.close()

    assert end == b""


async def until_refused(port: int) -> None:
    """Return when nobody listens on the port any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return
        writer.close()
