"""Hands downlinks to the network side, to whoever waits for them (`callbacks.md` section 6.4).

The store says what is ready and gives each away once; here is who waits. A waiter asks the store first, then sleeps
until something became ready, so that nobody polls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.model.downlink import Downlink, DownlinkState
from reconciler.store.protocol import Downlinks

__all__ = ["Handover"]


class Handover:
    """Who waits for downlinks. Lives in one event loop."""

    def __init__(
        self,
        *,
        store: Downlinks,
        now: Callable[[], Awaitable[datetime]],
        told: Callable[[Sequence[Downlink]], None],
    ) -> None:
        """`now` is the engine's time, after every step of the clock was followed; it may raise StoreError.

        `told` is called with what was given away.
        """
        self._store = store
        self._now = now
        self._told = told
        self._ready = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._ended = False

    def answered(self, message_id: str | None) -> None:
        """The request of this message, or of some messages when None, was answered."""
        if message_id is None:
            for answered in [each for waiting in self._waiting.values() for each in waiting]:
                answered.set()
        elif message_id in self._waiting:
            for answered in self._waiting[message_id]:
                answered.set()
            return  # whoever brought the message comes first
        self._ready.set()
        self._ready = asyncio.Event()

    def end(self) -> None:
        """Let everybody go who waits."""
        self._ended = True
        self.answered(None)

    async def serve(
        self, *, limit: int, wait: timedelta, device_type: str | None = None, leave: asyncio.Event | None = None
    ) -> Sequence[Downlink]:
        """Downlinks that are ready, each given away once, ever; waits until there is one, no longer than `wait`.

        `leave` ends the waiting: from then on none is given away. What the store is giving away at that moment is still
        returned. That is why whoever leaves sets it instead of cancelling.

        Raises:
            StoreError: the store could not give any away; they stay ready.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        leave = leave or asyncio.Event()
        while not leave.is_set():
            ready = self._ready
            served = await self._store.serve_downlinks(limit=limit, now=await self._now(), device_type=device_type)
            self._told(served)
            if served or self._ended or not await _set_before(ready, until, leave):
                return served
        return ()

    async def answer_to(self, message_id: str, *, wait: timedelta) -> Downlink | None:
        """The request that a message is, given away if it is ready; None when the message asked for nothing.

        It has `data` only if it is given away here: what another one was given is not given twice. Waits until it was
        answered, no longer than `wait`; then it comes as ASKED.

        Raises:
            StoreError: the store could not say.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        answered = asyncio.Event()
        waiting = self._waiting.setdefault(message_id, set())
        waiting.add(answered)
        try:
            while True:
                answered.clear()
                downlink = await self._store.downlink(message_id)
                if downlink is not None and downlink.state is DownlinkState.READY:
                    served = await self._store.serve_downlinks(limit=1, now=await self._now(), message=message_id)
                    self._told(served)
                    return served[0] if served else replace(downlink, state=DownlinkState.SERVED, data=None)
                if downlink is None:
                    return None
                if downlink.state is not DownlinkState.ASKED or self._ended:
                    return replace(downlink, data=None)
                if not await _set_before(answered, until):
                    return downlink
        finally:
            waiting.discard(answered)
            if not waiting and self._waiting.get(message_id) is waiting:
                del self._waiting[message_id]


async def _set_before(event: asyncio.Event, until: float, leave: asyncio.Event | None = None) -> bool:
    """Whether the event was set before that moment of the loop's time, and before `leave` was."""
    waiting = [asyncio.create_task(each.wait()) for each in (event, leave) if each is not None]
    try:
        left = max(until - asyncio.get_running_loop().time(), 0.0)
        await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    return event.is_set() and not (leave is not None and leave.is_set())
