"""`GET /v1/deliveries/stream`: every attempt as it ends, one JSON object a line, until somebody hangs up.

1. A line is the delivery as the attempt left it, with that attempt alone in its `log`.
2. A blank line says that the stream is alive: as soon as it is open, and every few seconds from then on.
3. Watching never slows the engine. A reader that is too slow misses attempts, and is told how many: `{"lost": n}`.
4. The stream ends when the engine stops, when the server stops, when the reader goes away, and when its token is
   withdrawn.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from reconciler.runtime.api.access import Access
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.json_forms import settlement_json
from reconciler.runtime.api.parameters import Parameters
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import Lost

__all__ = ["HEARTBEAT_SECONDS", "Stream"]

# Proxies give up on silence after 30 to 60 s.
HEARTBEAT_SECONDS: Final = 15.0


class Stream:
    """The door to what is happening now. `stopping` ends all streams, so that a server can stop."""

    def __init__(self, engine: Engine, access: Access, *, stopping: asyncio.Event, heartbeat_seconds: float) -> None:
        self._engine = engine
        self._access = access
        self._stopping = stopping
        self._heartbeat_seconds = heartbeat_seconds

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (Door("GET", "/v1/deliveries/stream", Scope.READ, self.open),)

    async def open(self, request: Request) -> ASGIApp:
        """Begin to tell."""
        Parameters(request)
        return partial(self._run, request)

    async def _run(self, request: Request, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")],
            }
        )
        if scope["method"] != "HEAD":
            tasks = [
                asyncio.create_task(work)
                for work in (
                    self._tell(send),
                    self._beat(send),
                    _hung_up(receive),
                    self._stopping.wait(),
                    self._access.withdrawn(request, Scope.READ),
                )
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send) -> None:
        async for event in self._engine.events.subscribe():
            told = {"lost": event.count} if isinstance(event, Lost) else settlement_json(event)
            await _say(send, orjson.dumps(told))

    async def _beat(self, send: Send) -> None:
        # First of all let `_tell` subscribe: whoever has read a blank line misses nothing from there on.
        while True:
            await _say(send, b"")
            await asyncio.sleep(self._heartbeat_seconds)


async def _say(send: Send, line: bytes) -> None:
    await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
