"""An engine on the reference store behind its doors: in the process for tables, on a socket for what sockets do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from socket import socket
from typing import Any, cast

import httpx
import orjson

from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Sendable
from reconciler.runtime.api.application import application
from reconciler.runtime.api.connection import Bounds
from reconciler.runtime.api.server import listen, serve
from reconciler.runtime.api.tokens import Scope, Token, Tokens, hash_token, new_token
from reconciler.runtime.clock import utc_now
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import Lost
from reconciler.runtime.fingerprints import KEY_BYTES, Fingerprints
from reconciler.store.protocol import Store
from tests.fakes import ScriptedChannel

__all__ = [
    "ALL",
    "CALLBACK",
    "CHANGES",
    "CLEAR",
    "DIRECT",
    "TOKENS",
    "UPLINK",
    "Rig",
    "Served",
    "in_process",
    "read_answer",
    "serving",
    "uplinks",
]

CLEAR = {scope: new_token(bytes([number]) * 32) for number, scope in enumerate(Scope)}
ALL = new_token(b"\xff" * 32)
TOKENS = Tokens(
    [
        Token("all", hash_token(ALL), frozenset(Scope)),
        *(Token(scope, hash_token(clear), frozenset({scope})) for scope, clear in CLEAR.items()),
    ]
)

UPLINK: dict[str, Any] = {
    "device": "1C178",
    "deviceType": "tracker",
    "time": 1_700_000_000,
    "seqNumber": 7,
    "data": "e80332c0",
}
CALLBACK: dict[str, Any] = {
    "type": "data/uplink",
    "channel": "url",
    "url": "https://ingest.example.com/uplink/{device}",
    "headers": {"Authorization": "Bearer ${secret.INGEST_TOKEN}"},
    "body": "t={customData#temperature}&seq={seqNumber}",
    "payload": "temperature::int:16:little-endian",
}
CHANGES: list[dict[str, Any]] = [
    {"kind": "create", "key": "tracker", "after": {}},
    {"kind": "create", "key": "tracker/telemetry", "after": CALLBACK},
]
# A device type that answers by itself: what asks for a downlink has one at once.
DIRECT: dict[str, Any] = {"downlink": {"mode": "direct", "data": "0011223344556677"}}


def uplinks(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{**UPLINK, "seqNumber": number, **more} for number in range(1, count + 1)]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.splitlines() if line.startswith("content-length:"))
    answer: dict[str, Any] = orjson.loads(await reader.readexactly(int(length.partition(":")[2])))
    return int(head.split()[1]), answer


@dataclass
class HttpAlone:
    """A channel for the tests of doors, whose callbacks send no mail."""

    scripted: ScriptedChannel

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        assert isinstance(request, HttpRequest)
        return await self.scripted.send(request, timeout=timeout)

    async def close(self) -> None:
        await self.scripted.close()


@dataclass
class Rig:
    """An engine and a client of its doors; `outcome` is what its callbacks meet, `sent` what went out.

    `secrets` are what its `${secret.NAME}` stand for, as far as fingerprints go.
    """

    engine: Engine
    store: Store
    client: httpx.AsyncClient
    stopping: asyncio.Event
    outcome: Outcome = field(default_factory=lambda: Accepted(200, b"thanks"))
    sent: list[HttpRequest] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def as_(self, scope: Scope) -> dict[str, str]:
        """The header of a token with one scope."""
        return {"Authorization": f"Bearer {CLEAR[scope]}"}

    async def publish(self, changes: Iterable[object] = CHANGES, *, expect: int = 0, **more: Any) -> httpx.Response:
        body = {"owner": "cold-chain", "by": "ci", "changes": list(changes), **more}
        return await self.client.post("/v1/revisions", json=body, headers={"If-Match": f'"{expect}"'})

    async def ingest(self, *messages: dict[str, Any]) -> list[str]:
        """Send messages that are all good; their ids."""
        response = await self.client.post("/v1/messages", json=messages)
        assert response.status_code == 202, response.text
        ids: list[str] = response.json()["ids"]
        return ids

    @asynccontextmanager
    async def attempts(self, count: int) -> AsyncIterator[None]:
        """Leave only when `count` attempts that began inside are settled."""
        counting = asyncio.create_task(self._count(count))
        await asyncio.sleep(0)  # let it subscribe
        try:
            yield
            async with asyncio.timeout(10):
                await counting
        finally:
            counting.cancel()

    async def _count(self, count: int) -> None:
        async for event in self.engine.events.subscribe():
            count -= event.count if isinstance(event, Lost) else 1
            if count <= 0:
                return

    async def deliver(self, *messages: dict[str, Any]) -> list[str]:
        """Send messages, and wait until what they promise was attempted."""
        async with self.attempts(len(messages)):
            return await self.ingest(*messages)


@asynccontextmanager
async def _rig(
    store: Store, client_of: Callable[[Engine, asyncio.Event], Awaitable[httpx.AsyncClient]]
) -> AsyncIterator[Rig]:
    channel, stopping = ScriptedChannel(otherwise=lambda _: rig.outcome), asyncio.Event()
    secrets: dict[str, str] = {}
    engine = Engine(
        store=store,
        channel=HttpAlone(channel),
        now=utc_now,
        dice=lambda: 0.0,
        fingerprints=Fingerprints(bytes(KEY_BYTES), secrets.get),
    )
    await engine.start()
    client = await client_of(engine, stopping)
    rig = Rig(engine, store, client, stopping, sent=channel.sent, secrets=secrets)
    try:
        async with client:
            yield rig
    finally:
        await engine.stop()


@asynccontextmanager
async def in_process(store: Store, *, heartbeat_seconds: float = 15.0) -> AsyncIterator[Rig]:
    """Without a socket; bugs of the doors are answered, not raised."""

    async def client_of(engine: Engine, stopping: asyncio.Event) -> httpx.AsyncClient:
        app = application(engine, TOKENS, stopping=stopping, heartbeat_seconds=heartbeat_seconds)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://engine",
            headers={"Authorization": f"Bearer {ALL}"},
        )

    async with _rig(store, client_of) as rig:
        yield rig


@dataclass
class Served:
    """An engine on a socket."""

    rig: Rig
    port: int
    serving: asyncio.Task[None]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def stop(self) -> None:
        self.rig.stopping.set()
        await self.serving


@asynccontextmanager
async def serving(
    store: Store, bounds: Bounds | None = None, *, heartbeat_seconds: float = 15.0
) -> AsyncIterator[Served]:
    """Serve on a free port, and stop in good order."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []

    async def client_of(engine: Engine, stopping: asyncio.Event) -> httpx.AsyncClient:
        app = application(engine, TOKENS, stopping=stopping, heartbeat_seconds=heartbeat_seconds)
        listener = listen("127.0.0.1", 0)
        assert isinstance(listener, socket)
        work = serve(
            app, listener, now=utc_now, stop=stopping, started=started.set_result, bounds=bounds, shortcut=app.shortcut
        )
        tasks.append(asyncio.create_task(work))
        return httpx.AsyncClient(base_url=await started, headers={"Authorization": f"Bearer {ALL}"})

    async with _rig(store, client_of) as rig:
        served = Served(rig, httpx.URL(started.result()).port or 0, tasks[0])
        try:
            yield served
        finally:
            await served.stop()
