"""`GET /v1/downlinks`: what the network side has to transmit (`callbacks.md` section 6.4).

1. Each downlink is answered with once, ever, although this is a GET: a command that is transmitted twice, or late, may
   do harm. What was answered with and got lost on the way is not sent again; its request stays `served`, and the
   network reports nothing of it. HEAD takes nothing.
2. `wait` holds the answer back until there is a downlink, for so long at most; then the list is empty. Whoever asks
   again at once gets each downlink within milliseconds of the callback's answer.
3. A client that hung up while it waited takes nothing: it is looked at again before anything is given away. Only what
   is given away in the very moment in which a client goes is lost, as in rule 1.
4. Waiting ends with an answer as soon as the server is to stop, or the engine does, or the token is withdrawn.
5. `deviceType` asks for the devices of one device type, so that several networks can feed one engine and each fetch
   its own.
6. `notAfter` is when the device stops listening, by the engine's clock. `time`, `seqNumber` and `station` are those of
   the message that asked, so that the network side can find it among its own; null where they are not known.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from reconciler.errors import StoreError
from reconciler.model.downlink import Downlink
from reconciler.model.message import EVENT_DIGITS, Message
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.answers import answer
from reconciler.runtime.api.bodies import Disconnected
from reconciler.runtime.api.doors import Door, stopping
from reconciler.runtime.api.json_forms import timestamp
from reconciler.runtime.api.parameters import Parameters
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine

__all__ = ["LONGEST_WAIT", "Downlinks"]

# Proxies commonly give up after a minute without an answer.
LONGEST_WAIT: Final = timedelta(seconds=60)
_NOT_KEPT: Final = {"Cache-Control": "no-store"}


class Downlinks:
    """The door for the network side. `stopping` ends all waiting, so that a server can stop."""

    def __init__(self, engine: Engine, access: Access, *, stopping: asyncio.Event) -> None:
        self._engine = engine
        self._access = access
        self._stopping = stopping

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (Door("GET", "/v1/downlinks", Scope.INGEST, self.poll),)

    async def poll(self, request: Request) -> Response:
        """Give away what is ready, or wait for it."""
        query = Parameters(request, "limit", "wait", "deviceType")
        limit, wait = query.limit(default=100, most=1000), query.wait(most=LONGEST_WAIT)
        if not self._engine.is_running:
            raise stopping()
        if request.method == "HEAD":
            return answer({"downlinks": []}, headers=_NOT_KEPT)
        served = await self._serve(request, limit=limit, wait=wait, device_type=query.text("deviceType"))
        return answer({"downlinks": [await self._shown(each) for each in served]}, headers=_NOT_KEPT)

    async def _serve(
        self, request: Request, *, limit: int, wait: timedelta, device_type: str | None
    ) -> Sequence[Downlink]:
        """What is ready within `wait`.

        Raises:
            Disconnected: the client went away; nothing was given away.
            StoreError: the store failed; nothing was given away.
        """
        leave = asyncio.Event()
        gone = asyncio.create_task(_set_after(_hung_up(request.receive), leave))
        stopped = asyncio.create_task(_set_after(self._stopping.wait(), leave))
        withdrawn = asyncio.create_task(_set_after(self._access.withdrawn(request, Scope.INGEST), leave))
        try:
            await asyncio.sleep(0)  # let them look before anything is asked of the store
            served = await self._engine.serve_downlinks(limit=limit, wait=wait, device_type=device_type, leave=leave)
        finally:
            gone.cancel()
            stopped.cancel()
            withdrawn.cancel()
        if not served and gone.done():
            raise Disconnected
        return served

    async def _shown(self, downlink: Downlink) -> dict[str, Any]:
        asked = await self._message(downlink.message)
        return {
            "message": downlink.message,
            "device": downlink.device,
            "deviceType": downlink.device_type,
            "data": None if downlink.data is None else downlink.data.hex(),
            "askedAt": timestamp(downlink.asked_at),
            "notAfter": timestamp(downlink.expires_at),
            "time": None if asked is None else asked.time,
            "seqNumber": None if asked is None else asked.sequence_number,
            "station": None if asked is None else asked.metadata.get("station"),
        }

    async def _message(self, message_id: str) -> Message | None:
        try:
            receptions = await self._engine.store.receptions(message_id[:EVENT_DIGITS])
        except StoreError as error:
            # The downlink is given away already: it goes out without what the message would add.
            self._engine.events.store_failed(error)
            return None
        return next((each for each in receptions if each.id == message_id), None)


async def _set_after(awaited: Awaitable[object], event: asyncio.Event) -> None:
    await awaited
    event.set()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
