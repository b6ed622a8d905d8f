"""Is the engine alive, and can it work?

1. `/healthz` answers while the process can answer at all, and needs no token: it tells nothing.
2. `/readyz` is 200 while messages are taken, the store answers and there is room, else 503; the checks say which of
   them fails.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from reconciler.errors import StoreError
from reconciler.runtime.api.answers import answer
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.room import Room
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine

__all__ = ["Health"]


class Health:
    """The doors for whoever starts, stops and balances engines."""

    def __init__(self, engine: Engine, room: Room) -> None:
        self._engine = engine
        self._room = room

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (
            Door("GET", "/healthz", None, self.alive),
            Door("GET", "/readyz", Scope.READ, self.ready),
        )

    async def alive(self, request: Request) -> Response:
        """The process answers."""
        return answer({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """The engine can take messages and keep them."""
        checks = {
            "engine": "ok" if self._engine.is_running else "not running",
            "store": await self._store(),
            "room": "ok" if self._room.full is None else f"full: {self._room.full}",
        }
        ready = all(check == "ok" for check in checks.values())
        return answer({"status": "ready" if ready else "not-ready", "checks": checks}, status=200 if ready else 503)

    async def _store(self) -> str:
        try:
            await self._engine.store.next_claim_at()
        except StoreError as error:
            return f"failed: {error}"
        return "ok"
