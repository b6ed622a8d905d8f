"""How long the engine keeps what has ended, and how it lets go of it without getting in anybody's way.

1. What is older than `Keeping.age` goes, the oldest first; then, while the store is larger than `Keeping.size`, what
   has ended goes whatever its age. What is pending never goes (`store.protocol.Retention`).
2. A step removes a few messages. After each the remover rests several times as long as the step took, so that the
   writing thread is others' for most of the time, and more of it the busier they are.
3. A failure is told and forgotten: the next round begins afresh.
4. A clock that is set must not empty the store. What the engine notices belongs to the age of what it kept before
   (`Retention`, rule 5). A clock that was set ahead while no engine ran looks like a time in which nothing came; so
   what lies before such a time, if it is longer than `Keeping.age`, goes only when the first message after it is old
   too. It is not told apart from an engine that stood still, whose messages stay that much longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from reconciler.errors import StoreError
from reconciler.runtime.events import Events
from reconciler.store.protocol import Retention

__all__ = ["Keeping", "Remover"]

T = TypeVar("T")

_AT_ONCE: Final = 128
_EVERY: Final = 60.0
_REST: Final = 4.0
_SHORTEST_REST: Final = 0.01


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how long, and up to how many bytes, the engine keeps what has ended; None is without end."""

    age: timedelta | None = timedelta(days=30)
    size: int | None = None


class Remover:
    """Removes what need not be kept any more, round by round."""

    def __init__(
        self,
        *,
        store: Retention,
        keeping: Keeping,
        now: Callable[[], datetime],
        follow_clock: Callable[[], Awaitable[object]],
        events: Events,
    ) -> None:
        """`follow_clock` tells the store if the clock was set; it may raise StoreError."""
        self._store = store
        self._follow_clock = follow_clock
        self._keeping = keeping
        self._now = now
        self._events = events
        self._paused = False

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            try:
                await self.round()
            except StoreError as error:
                self._events.store_failed(error)
            await asyncio.sleep(_EVERY)

    async def round(self) -> int:
        """Remove all that need not be kept now, and return the space; how many messages.

        Raises:
            StoreError: it could not go on; what was removed before is gone.
        """
        await self._follow_clock()
        removed = 0
        if self._keeping.age is not None:
            removed += await self._remove(before=self._now() - self._keeping.age, down_to=None, gap=self._keeping.age)
        if self._keeping.size is not None:
            removed += await self._remove(before=self._now(), down_to=self._keeping.size)
        while await self._in_turn(self._store.give_back()):
            pass
        if removed:
            self._events.pruned(removed)
        return removed

    async def _remove(self, *, before: datetime, down_to: int | None, gap: timedelta | None = None) -> int:
        """Remove what ended and is older than that, until the store is as small as asked for."""
        removed, after = 0, 0
        while down_to is None or await self._store.size() > down_to:
            step = await self._in_turn(self._store.prune(before=before, after=after, limit=_AT_ONCE, gap=gap))
            removed += step.removed
            if step.after is None:
                if gap is not None:
                    self._pause(step.held, gap)
                break
            after = step.after
        return removed

    def _pause(self, paused: bool, gap: timedelta) -> None:
        if paused != self._paused:
            self._paused = paused
            self._events.pruning_paused(paused, gap=gap)

    async def _in_turn(self, step: Awaitable[T]) -> T:
        """Do a step, and rest."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        done = await step
        await asyncio.sleep(max(_SHORTEST_REST, _REST * (loop.time() - started)))
        return done
