"""Deadlines: one for each request, over everything it waits for, and one timer for all of them.

1. A deadline is a point in the loop's time, fixed before anything is done. There is no timeout of a phase.
2. A request that has a connection is ended through it. One that has none yet (it waits in line, for a name, for a
   handshake) is a flight: it is ended by a cancellation that we ask for ourselves, so that every `finally` on the way
   lets go of its socket. A cancellation from outside always passes through; the counting is that of `asyncio.timeout`
   (`Task.uncancel`).
3. The timer is set to the earliest deadline that it knows. A request that ends leaves it alone: when it rings, who is
   overdue is ended, and it is set to the earliest deadline then awaited. It rings at most once for each request, and
   with equal timeouts about once per timeout; a timer for each request would cost 1 us.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.unreachable import Reason, unreachable

__all__ = ["Alarm", "Flight", "ended"]

# uvloop's timers count milliseconds and may ring that much early; waiting for the rest would only spin.
_TICK: Final = 0.001


class Flight:
    """A request of the current task, as long as it has no connection.

    Attributes:
        deadline: in the loop's time.
        doing: half a sentence about what it waits for, as in "the name was not resolved yet".
    """

    __slots__ = ("_cancelling", "_interruption", "_task", "deadline", "doing")

    def __init__(self, deadline: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._interruption: Unreachable | None = None
        self.deadline = deadline
        self.doing = "it had not begun"

    def interrupt(self, reason: Reason) -> None:
        """End it where it stands; the first reason counts."""
        if self._interruption is None:
            self._interruption = ended(reason, self.doing)
            self._task.cancel()

    def interruption(self) -> Unreachable | None:
        """Called once, in its task, when that was cancelled: the outcome, or None for a cancellation from outside."""
        if self._interruption is not None and self._task.uncancel() <= self._cancelling:
            return self._interruption
        return None


def ended(reason: Reason, doing: str) -> Unreachable:
    """The outcome of a request that its deadline ended, or the channel's closing."""
    return unreachable(reason, f"{'Time is up' if reason is Reason.DEADLINE else 'The engine was stopping'}: {doing}.")


class Alarm:
    """The timer."""

    __slots__ = ("_handle", "_ring", "rings_at")

    def __init__(self, ring: Callable[[float], float]) -> None:
        """`ring` ends what is overdue at a time and tells the next deadline, `inf` for none."""
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self.rings_at = inf

    def ring_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Ring then, or earlier; for a time before `rings_at`."""
        self.cancel()
        self.rings_at = when
        self._handle = loop.call_at(when, self._rings, loop)

    def cancel(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.rings_at = inf

    def _rings(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        self.rings_at = inf
        following = self._ring(loop.time() + _TICK)
        if following < inf:
            self.ring_at(loop, following)
