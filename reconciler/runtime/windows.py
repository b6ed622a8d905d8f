"""The one-second windows in which the lines of a batch gather (`callbacks.md` section 4.2), one for each callback.

1. A callback's first line opens a window; a second later it closes, and what it holds is handed on.
2. While lines keep coming, windows follow one another without gaps: each closes one second after the one before was to
   close, so that lateness of the loop never adds up. A window without lines is the last one.
3. A window holds lines in memory only. They are leased, and stay pending in the store until they join a batch.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from reconciler.model.delivery import Lease
from reconciler.model.resource import Key
from reconciler.runtime.batching import WINDOW

__all__ = ["Windows"]

_SECONDS = WINDOW.total_seconds()


@dataclass(slots=True)
class _Window:
    """What gathers for one callback until `closes_at`, in the loop's time."""

    closes_at: float
    lines: list[Lease] = field(default_factory=list)


class Windows:
    """Gathers lines; lives in one event loop.

    `closed` is called with the lines of each window, in the order in which they came; it may neither block nor raise.
    """

    def __init__(self, *, closed: Callable[[Sequence[Lease]], None]) -> None:
        self._closed = closed
        self._windows: dict[Key, _Window] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, lease: Lease) -> None:
        """Let a line wait for the end of its callback's window."""
        callback = lease.delivery.callback
        window = self._windows.get(callback)
        if window is None:
            loop = asyncio.get_running_loop()
            window = self._open(callback, loop, closes_at=loop.time() + _SECONDS)
        window.lines.append(lease)

    def empty(self) -> list[Lease]:
        """Close all windows without handing on what they hold; that is returned."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        windows, self._windows = self._windows, {}
        return [line for window in windows.values() for line in window.lines]

    def move(self, by: timedelta) -> None:
        """Let all leases expire so much later: the clock was set forward by that."""
        for window in self._windows.values():
            window.lines[:] = [replace(line, expires_at=line.expires_at + by) for line in window.lines]

    def _open(self, callback: Key, loop: asyncio.AbstractEventLoop, *, closes_at: float) -> _Window:
        window = self._windows[callback] = _Window(closes_at)
        self._timers[callback] = loop.call_at(closes_at, self._close, callback, loop)
        return window

    def _close(self, callback: Key, loop: asyncio.AbstractEventLoop) -> None:
        window = self._windows.pop(callback)
        del self._timers[callback]
        if not window.lines:
            return
        due = window.closes_at + _SECONDS
        # A loop that was blocked for longer than a window begins anew, instead of closing several at once.
        self._open(callback, loop, closes_at=due if due > loop.time() else loop.time() + _SECONDS)
        self._closed(window.lines)
