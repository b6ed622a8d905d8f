"""Looking at messages: `GET /v1/messages?device=1C178` lists them, `GET /v1/messages/{id}` explains one."""

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from reconciler.runtime.api.answers import DoorError, answer
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.json_forms import explained_json, message_json
from reconciler.runtime.api.parameters import Parameters, device_of
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine

__all__ = ["Messages"]

_ID = re.compile(r"[0-9a-f]{32}")


class Messages:
    """The doors to what came in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def doors(self) -> Sequence[Door]:
        """What this module serves; the door that takes messages in is `ingest`."""
        return (
            Door("GET", "/v1/messages", Scope.READ, self.of_device),
            Door("GET", "/v1/messages/{id}", Scope.READ, self.explain),
        )

    async def of_device(self, request: Request) -> Response:
        """The newest messages of a device."""
        query = Parameters(request, "device", "limit")
        limit = query.limit(default=20, most=1000)
        device = device_of(query.text("device"))
        if device is None:
            raise DoorError(400, "invalid-parameter", "“device” says whose messages to list; it cannot be left out.")
        messages = await self._engine.store.messages_of(device, limit=limit)
        return answer({"messages": [message_json(message) for message in messages]})

    async def explain(self, request: Request) -> Response:
        """What happened to one message, and why."""
        Parameters(request)
        message_id = request.path_params["id"]
        explained = await self._engine.explain(message_id) if _ID.fullmatch(message_id) else None
        if explained is None:
            raise DoorError(404, "unknown-message", "This engine has no message of that id.")
        return answer(explained_json(explained, why=self._engine.worker.why_waiting))
