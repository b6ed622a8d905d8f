"""Requests whose head is known: answered without ASGI, and in no other way than with it."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from reconciler.errors import StoreError
from reconciler.runtime.api.connection import Bounds, OneWrite
from reconciler.runtime.api.server import listen, serve
from reconciler.runtime.api.shortcut import Answered, Shortcut
from reconciler.runtime.api.tokens import Tokens
from reconciler.runtime.turn import Turn
from reconciler.store.memory import MemoryStore
from tests.fakes import on_every_loop
from tests.integration.api.rig import ALL, TOKENS, UPLINK, read_answer, serving

NOW = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)


def post(body: bytes, *lines: str, line: str = "POST /v1/messages HTTP/1.1") -> bytes:
    length = (
        () if any("Length" in each or "Encoding: ch" in each for each in lines) else (f"Content-Length: {len(body)}",)
    )
    return "\r\n".join([line, "Host: e", *lines, *length, "", ""]).encode() + body


@dataclass
class Echoing:
    """Answers each request with its body, by either way, and remembers which; `enter` holds up the short one."""

    long: list[bytes] = field(default_factory=list)
    short: list[bytes] = field(default_factory=list)
    enter: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 202

    def __post_init__(self) -> None:
        self.enter.set()
        self.shortcut = Shortcut("/v1/messages", self.answer, dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body", False):
                break
        self.long.append(body)
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def answer(
        self, asgi: Mapping[str, Any], headers: Mapping[bytes, bytes], body: bytes, answered: Answered
    ) -> asyncio.Task[None]:
        async def answering() -> None:
            await self.enter.wait()
            self.short.append(body)
            answered((self.status, body, {}))

        return asyncio.create_task(answering())


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stop: asyncio.Event

    async def ask(self, request: bytes) -> bytes:
        """The whole answer to a request that is written in one piece."""
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        return head + await self.reader.readexactly(int(length.partition(b":")[2]))


@asynccontextmanager
async def connected(app: Echoing, bounds: Bounds | None = None, *, shortcut: bool = True) -> AsyncIterator[Client]:
    stop, listener = asyncio.Event(), listen("127.0.0.1", 0)
    assert not hasattr(listener, "code"), listener
    port = listener.getsockname()[1]
    served = serve(
        app, listener, now=lambda: NOW, stop=stop, bounds=bounds, shortcut=app.shortcut if shortcut else None
    )
    serving = asyncio.create_task(served)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            yield Client(reader, writer, stop)
    finally:
        app.enter.set()
        writer.close()
        stop.set()
        await serving


# The two ways


@on_every_loop
async def test_a_head_that_came_before_is_not_parsed_again_and_the_answer_is_the_same() -> None:
    app = Echoing()
    async with connected(app) as client:
        answers = [await client.ask(post(b'{"a":1}')) for _ in range(3)]

    assert (app.long, app.short) == ([b'{"a":1}'], [b'{"a":1}'] * 2)
    assert answers[0] == answers[1] == answers[2]
    assert b"date: Mon, 23 Nov 2026 14:19:18 GMT\r\n" in answers[2]


@pytest.mark.parametrize(
    "request_",
    [
        post(b"{}", line="POST /v1/messages?x=1 HTTP/1.1"),
        post(b"{}", line="POST /v1/other HTTP/1.1"),
        post(b"{}", line="PUT /v1/messages HTTP/1.1"),
        post(b"{}", line="POST /v1/messages HTTP/1.0"),
        post(b"{}", line="POST //v1/messages HTTP/1.1"),
        post(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        post(b"{}", "X-Twice: 1", "X-Twice: 2"),
        post(b"{}", "TE: trailers"),
        post(b"{}", "Upgrade: h2c", "Connection: upgrade"),
        post(b"{}", f"X-Long: {'x' * 1024}"),
    ],
)
@on_every_loop
async def test_what_needs_a_look_never_takes_the_short_way(request_: bytes) -> None:
    app = Echoing()
    for _ in range(2):  # HTTP/1.0 ends its connection
        async with connected(app) as client:
            await client.ask(request_)

    assert len(app.long) == 2
    assert app.short == []


@pytest.mark.parametrize("status", [200, 400, 401, 422, 503])
@on_every_loop
async def test_only_an_accepted_request_leaves_its_head(status: int) -> None:
    app = Echoing(status=status)
    async with connected(app) as client:
        for _ in range(3):
            await client.ask(post(b"{}"))

    assert app.short == []


@on_every_loop
async def test_a_head_that_closes_the_connection_is_not_known() -> None:
    app = Echoing()
    for _ in range(2):
        async with connected(app) as client:
            await client.ask(post(b"{}", "Connection: close"))
            assert await client.reader.read() == b""

    assert app.short == []


@on_every_loop
async def test_any_pieces_of_any_requests_are_answered_as_without_the_shortcut() -> None:
    dice = random.Random(20261124)
    for _ in range(30):
        requests = [
            post(b"x" * dice.choice((1, 1, 7, 300)), *dice.choice(((), (), ("X-A: 1",), ("Connection: keep-alive",))))
            for _ in range(dice.randrange(2, 12))
        ]
        stream = b"".join(requests)
        cuts = sorted(
            {sum(map(len, requests[:n])) for n in range(len(requests)) if dice.random() < 0.7}
            | {dice.randrange(len(stream)) for _ in range(dice.choice((0, 0, 1, 3)))}
            | {0, len(stream)}
        )
        said = []
        for shortcut in (True, False):
            app = Echoing()
            async with connected(app, shortcut=shortcut) as client:
                taken = b""
                for start, end in pairwise(cuts):
                    client.writer.write(stream[start:end])
                    await asyncio.sleep(0.001)
                for _ in requests:
                    taken += await client.answer()
            assert sorted(app.long + app.short) == sorted(each.partition(b"\r\n\r\n")[2] for each in requests)
            said.append(taken)
        assert said[0] == said[1]


# What comes meanwhile


@on_every_loop
async def test_requests_behind_one_that_is_being_answered_wait_for_it() -> None:
    app = Echoing()
    async with connected(app) as client:
        await client.ask(post(b"0"))
        app.enter.clear()
        client.writer.write(post(b"1"))
        await asyncio.sleep(0.02)
        client.writer.write(post(b"2") + post(b"33", "X-New: 1"))
        await asyncio.sleep(0.02)
        app.enter.set()
        bodies = [(await client.answer()).partition(b"\r\n\r\n")[2] for _ in range(3)]

    assert bodies == [b"1", b"2", b"33"]
    assert app.short == [b"1"]  # the second came together with the third


@on_every_loop
async def test_a_request_in_flight_is_answered_before_the_server_ends_and_says_so() -> None:
    app = Echoing()
    async with connected(app) as client:
        await client.ask(post(b"{}"))
        app.enter.clear()
        client.writer.write(post(b"{}"))
        await asyncio.sleep(0.02)
        client.stop.set()
        await asyncio.sleep(0.02)
        app.enter.set()
        answer = await client.answer()

        assert b"connection: close\r\n" in answer
        assert await client.reader.read() == b""


@on_every_loop
async def test_an_answer_of_the_turn_in_which_the_server_ends_is_sent() -> None:
    app = Echoing()
    async with connected(app) as client:
        await client.ask(post(b"{}"))
        app.enter.clear()
        client.writer.write(post(b"last"))
        await asyncio.sleep(0.02)
        app.enter.set()
        client.stop.set()

        assert (await client.answer()).endswith(b"\r\n\r\nlast")
        assert await client.reader.read() == b""


def test_answers_wait_for_the_end_of_the_turn_but_nothing_overtakes_them_and_nothing_closes_before_them() -> None:
    done: list[object] = []

    class Wire(asyncio.Transport):
        def is_closing(self) -> bool:
            return "closed" in done

        def write(self, data: bytes | bytearray | memoryview) -> None:
            done.append(bytes(data))

        def close(self) -> None:
            done.append("closed")

    async def story() -> None:
        answers = OneWrite(Wire(), asyncio.get_running_loop(), Turn())
        answers.write_whole(b"1")
        answers.write_whole(b"2")
        assert done == []
        await asyncio.sleep(0)
        assert done == [b"12"]
        answers.write_whole(b"3")
        answers.write(b"HTTP/1.1 202 Accepted\r\n\r\n")
        answers.write(b"4")
        answers.end()
        answers.write_whole(b"5")
        answers.close()
        answers.write_whole(b"6")
        await asyncio.sleep(0)

    asyncio.run(story())
    assert done == [b"12", b"3", b"HTTP/1.1 202 Accepted\r\n\r\n4", b"5", "closed"]


@on_every_loop
async def test_a_client_that_has_gone_away_is_not_answered_and_troubles_nobody() -> None:
    app = Echoing()
    async with connected(app) as client:
        await client.ask(post(b"{}"))
        app.enter.clear()
        client.writer.write(post(b"{}"))
        await asyncio.sleep(0.02)
        client.writer.transport.abort()
        await asyncio.sleep(0.02)
        app.enter.set()
        await asyncio.sleep(0.02)

    assert len(app.short) == 1


@on_every_loop
async def test_a_connection_is_idle_from_its_last_answer_on() -> None:
    app = Echoing()
    async with connected(app, Bounds(idle=timedelta(milliseconds=300))) as client:
        for _ in range(5):  # longer than it may be idle
            await client.ask(post(b"{}"))
            await asyncio.sleep(0.1)
        assert len(app.short) == 4

        assert await client.reader.read() == b""


# The door behind it


@on_every_loop
async def test_what_the_door_says_is_the_same_by_both_ways() -> None:
    async with serving(MemoryStore()) as served:
        await served.rig.publish()
        body = orjson.dumps(UPLINK)
        head = ("Content-Type: application/json", f"Authorization: Bearer {ALL}")
        reader, writer = await served.connect()
        client = Client(reader, writer, asyncio.Event())

        async def said(body: bytes) -> tuple[int, dict[str, Any]]:
            writer.write(post(body, *head))
            return await read_answer(reader)

        fresh = await said(body)
        assert fresh[0] == 202
        assert (await said(body))[1] == {**fresh[1], "accepted": 0, "repeated": 1}
        assert (await said(b"[" * len(body)))[1]["code"] == "invalid-json"
        wrong = orjson.dumps({**UPLINK, "seqNumber": -1})
        assert (await said(wrong))[0] == 422

        old = Tokens(TOKENS)
        try:
            TOKENS.replace(Tokens([]))  # withdrawn
            refused = await client.ask(post(body, *head))
        finally:
            TOKENS.replace(old)
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nwww-authenticate: Bearer\r\n" in refused
        assert (await said(body))[0] == 202
        writer.close()


class Broken(MemoryStore):
    """A store that fails in a way of one's choice."""

    failure: Exception | None = None

    async def accept(self, *given: Any, **more: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return await super().accept(*given, **more)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [(StoreError("the disk is gone"), 503, "store-failed"), (KeyError("bug"), 500, "bug")],
)
@on_every_loop
async def test_a_failing_store_and_a_bug_are_told_and_the_connection_stays(
    failure: Exception, status: int, code: str
) -> None:
    store = Broken()
    async with serving(store) as served:
        request = post(orjson.dumps(UPLINK), f"Authorization: Bearer {ALL}")
        reader, writer = await served.connect()
        writer.write(request)
        await read_answer(reader)
        store.failure = failure
        writer.write(request)
        refused = await read_answer(reader)
        store.failure = None
        writer.write(request)

        assert served.rig.engine.events.counters.store_failures == isinstance(failure, StoreError)
        assert (refused[0], refused[1]["code"]) == (status, code)
        assert (await read_answer(reader))[0] == 202
        writer.close()
