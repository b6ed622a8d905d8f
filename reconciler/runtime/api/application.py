"""All doors as one ASGI application.

1. `POST /v1/messages` is dispatched before anything else; every other door goes through Starlette's routing.
2. No door is open by default: a `Door` names the scope it needs, and its token is checked before its endpoint runs.
3. Whatever goes wrong has our form: unknown paths, wrong methods, a store that fails (503, nothing was changed), and a
   bug (500, its traceback in the log and nothing of it in the answer).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from reconciler.errors import StoreError
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.answers import DoorError, error_answer, send_json, store_error
from reconciler.runtime.api.bodies import Counted, Disconnected, InHand
from reconciler.runtime.api.deliveries import Deliveries
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.downlinks import Downlinks
from reconciler.runtime.api.health import Health
from reconciler.runtime.api.ingest import INGEST_PATH, Head, Ingest, Posted
from reconciler.runtime.api.messages import Messages
from reconciler.runtime.api.metrics import ConnectionCounts, Metrics, Reloads
from reconciler.runtime.api.networks.doors import Networks
from reconciler.runtime.api.openapi import Description
from reconciler.runtime.api.posts import Posts
from reconciler.runtime.api.revisions import Revisions
from reconciler.runtime.api.room import Room
from reconciler.runtime.api.shortcut import Answer, Answered, Shortcut
from reconciler.runtime.api.stream import HEARTBEAT_SECONDS, Stream
from reconciler.runtime.api.tokens import Tokens
from reconciler.runtime.engine import Engine

__all__ = ["Application", "application"]

log = logging.getLogger("reconciler.api")

# One publication of the largest size, or nine of 10,000 definitions.
_MAX_BYTES_IN_HAND: Final = 64 * 1024 * 1024
_BUG: Final = {"code": "bug", "message": "The engine has a bug; its log says more."}


def application(
    engine: Engine,
    tokens: Tokens,
    *,
    stopping: asyncio.Event,
    room: Room | None = None,
    connections: ConnectionCounts | None = None,
    reloads: Reloads | None = None,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> "Application":
    """Everything that the engine answers.

    `stopping` ends streams and whoever waits, so that a server need not wait for them; `room` is watched by the
    caller, without it there always is some; `connections` are counted by the engine's channel, `reloads` by who reads
    files again.
    """
    access, room = Access(tokens), room or Room(engine.store)
    ingest = Ingest(engine, access, room)
    doors = (
        *ingest.doors(),
        *Health(engine, room).doors(),
        *Metrics(engine, access, room, connections, reloads).doors(),
        *Messages(engine).doors(),
        *Stream(engine, access, stopping=stopping, heartbeat_seconds=heartbeat_seconds).doors(),
        *Deliveries(engine, access, room).doors(),
        *Downlinks(engine, access, stopping=stopping).doors(),
        *Revisions(engine, access).doors(),
        *Networks(engine, room).doors(),
    )
    return Application(ingest, (*doors, *Description(doors).doors()), access, store_failed=engine.events.store_failed)


class Application:
    """Dispatches the hot path, and keeps what goes wrong in our form.

    Attributes:
        doors: every one of them; a request that is for none of these finds nothing.
        shortcut: how messages may get past ASGI, for a server that knows it.
    """

    def __init__(
        self, ingest: Ingest, doors: Sequence[Door], access: Access, *, store_failed: Callable[[StoreError], None]
    ) -> None:
        self.doors = doors
        self._ingest = ingest
        self._posts = Posts(take=ingest.take, bug=_bug_in_messages, done=ingest.done)
        self.shortcut = Shortcut(INGEST_PATH, self._answer, Head.read)
        self._others = Router(_routes(doors, access, store_failed), redirect_slashes=False, default=_nowhere)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"these doors speak HTTP, not {scope['type']}")
        try:
            if scope["path"] == INGEST_PATH and scope["method"] == "POST":
                await self._ingest(scope, receive, send)
            else:
                await self._others(scope, receive, send)
        except Exception:
            # The one place where a bug is caught: it must not take the client's connection with it. An answer that was
            # begun cannot be mended; sending its head again makes the server close the connection.
            log.exception("api.bug", extra={"method": scope["method"], "path": ascii(scope["path"])})
            await send_json(send, 500, _BUG)

    def _answer(
        self, asgi: Mapping[str, Any], head: Head, body: bytes, answered: Answered
    ) -> asyncio.Task[None] | None:
        """What the messages in `body` come to; see `shortcut`."""
        try:
            post = self._ingest.read(asgi, head, body)
        except Exception:
            post = _bug_in_messages()
        if isinstance(post, Posted):
            return self._posts.add(post, answered)
        answered(post)
        return None


def _bug_in_messages() -> Answer:
    """Where a bug is caught on the way past ASGI, for the same reason as above."""
    log.exception("api.bug", extra={"method": "POST", "path": INGEST_PATH})
    return 500, orjson.dumps(_BUG), {}


def _routes(doors: Iterable[Door], access: Access, store_failed: Callable[[StoreError], None]) -> Sequence[Route]:
    """A route for each path; the first that fits is taken, so fixed paths come before those with parameters."""
    by_path: dict[str, dict[str, Door]] = {}
    for door in doors:
        by_path.setdefault(door.path, {})[door.method] = door
    hand = InHand(_MAX_BYTES_IN_HAND)
    paths = sorted(by_path, key=lambda path: "{" in path)
    return [Route(path, _Path(by_path[path], access, hand, store_failed)) for path in paths]


class _Path:
    """All methods of one path."""

    def __init__(
        self, doors: Mapping[str, Door], access: Access, hand: InHand, store_failed: Callable[[StoreError], None]
    ) -> None:
        self._doors = doors
        self._access = access
        self._hand = hand
        self._store_failed = store_failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = Counted(receive, self._hand)
        try:
            # Of a GET nobody keeps the body; some read it to notice that the client has gone.
            request = Request(scope, receive if scope["method"] in ("GET", "HEAD") else counted)
            door = self._door(request.method)
            if door.scope is not None:
                authorization = dict(scope["headers"]).get(b"authorization")
                request.state.token = self._access.admit(scope, authorization, door.scope, door=door.path)
            response = await door.endpoint(request)
        except Disconnected:
            return
        except DoorError as error:
            response = error_answer(error)
        except StoreError as error:
            self._store_failed(error)
            response = error_answer(store_error(error))
        finally:
            counted.end()
        await response(scope, receive, send)

    def _door(self, method: str) -> Door:
        # RFC 9110 section 9.3.2: HEAD is GET without the content, which the server leaves out.
        door = self._doors.get("GET" if method == "HEAD" else method)
        if door is None:
            allowed = ", ".join(sorted({*self._doors, *(("HEAD",) if "GET" in self._doors else ())}))
            raise DoorError(405, "method-not-allowed", f"This door takes {allowed}.", headers={"Allow": allowed})
        return door


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    message = "There is no such door. Those of the engine start with /v1/."
    await error_answer(DoorError(404, "unknown-path", message))(scope, receive, send)
