"""The connections of one endpoint: lent out, taken back, and closed before the server closes them.

1. At most `limit` connections, those being dialled included. A slot belongs to whoever dials, then to the connection,
   and is free again when the connection is gone.
2. Who finds no connection and no slot waits in line; a connection that comes back, or a slot that becomes free, goes to
   the first in line and to nobody who came later.
3. Last in, first out: a few connections stay busy, and the rest become old and are closed.
4. An idle connection is closed after `idle_for`, before servers do it (4 s: Node, Apache and uvicorn close after 5 s;
   those that wait for a shorter time are met by the race of `connection.py`, rule 6). Looking every eighth of that time
   keeps it below 5 s; who borrows looks as well.
5. When an idle connection turns out dead, all others that are idle have been so for longer: they are closed, too, and
   the next request gets one that is new.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.connection import Connection
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.unreachable import Reason
from reconciler.runtime.turn import Turn

__all__ = ["Counters", "Dial", "Pool"]


@dataclass(slots=True)
class Counters:
    """What a channel did since it was made; only ever growing.

    Attributes:
        requests: calls of `send`, whatever came of them.
        opened: connections that were made, TLS included.
        reused: requests that found a connection waiting.
        resent: requests that were sent again because a waiting connection had died.
    """

    requests: int = 0
    opened: int = 0
    reused: int = 0
    resent: int = 0


class Dial(Protocol):
    """Opens connections to one endpoint."""

    async def __call__(self, new: Callable[[], Connection], *, flight: Flight) -> Connection | Unreachable:
        """A connection that `new` made, connected; or why there is none."""
        ...


class Pool:
    """Connections to one endpoint, all in one loop.

    Attributes:
        fixed: what all requests to the endpoint have in common, `wire.fixed_lines`.
        loop: the one that they live in.
    """

    __slots__ = (
        "_alive",
        "_counters",
        "_dial",
        "_flights",
        "_free_slots",
        "_holders",
        "_idle",
        "_idle_for",
        "_limit",
        "_line",
        "_loop_turn",
        "_max_body",
        "_quiet",
        "fixed",
        "loop",
    )

    def __init__(
        self, *, dial: Dial, fixed: str, limit: int, idle_for: float, max_body: int, counters: Counters, turn: Turn
    ) -> None:
        self.fixed = fixed
        self._loop_turn = turn
        self._dial = dial
        self._limit = limit
        self._idle_for = idle_for
        self._max_body = max_body
        self._counters = counters
        self.loop = asyncio.get_running_loop()
        self._free_slots = limit
        self._idle: list[Connection] = []  # the one used last at the end
        self._holders: set[Connection] = set()  # whose slot is given back when they are gone
        self._alive: set[Connection] = set()  # whose socket is open
        self._flights: set[Flight] = set()  # requests that wait for a connection
        self._line: deque[asyncio.Future[Connection | None]] = deque()  # a connection, or None for a free slot
        self._quiet = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._alive)

    def borrow(self, now: float) -> Connection | None:
        """An idle connection, the one used last."""
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since <= self._idle_for:
                self._counters.reused += 1
                return connection
            connection.abort()
        return None

    async def acquire(self, deadline: float) -> Connection | Unreachable:
        """An idle connection, a new one, or the next that comes back; or why there was none by the deadline."""
        flight = Flight(deadline)
        self._flights.add(flight)
        try:
            return await self._acquire(flight)
        except asyncio.CancelledError:
            interruption = flight.interruption()
            if interruption is None:
                raise
            return interruption
        finally:
            self._flights.discard(flight)
            self._tell_when_quiet()

    def drop_idle(self) -> None:
        """Close all idle connections: one of them was dead, and it was the youngest."""
        for connection in tuple(self._idle):
            connection.abort()

    def end_overdue(self, now: float) -> float:
        """End the requests whose deadline has passed; the earliest deadline of the others, `inf` for none."""
        following = inf
        for awaiting in self._awaiting():
            if awaiting.deadline <= now:
                awaiting.interrupt(Reason.DEADLINE)
            elif awaiting.deadline < following:
                following = awaiting.deadline
        return following

    def sweep(self, now: float) -> bool:
        """Close what has been idle for too long; whether the pool is in use by then."""
        while self._idle and now - self._idle[0].idle_since > self._idle_for:
            self._idle[0].abort()
        return bool(self._alive or self._flights)

    async def close(self) -> None:
        """End all requests, close all connections, wait until nothing is left of either."""
        for awaiting in self._awaiting():
            awaiting.interrupt(Reason.CLOSING)
        for connection in tuple(self._alive):
            connection.abort()
        while self._alive or self._flights:
            self._quiet.clear()
            await self._quiet.wait()

    def _awaiting(self) -> tuple[Flight | Connection, ...]:
        return (*self._flights, *self._holders)

    # What a connection tells

    def made(self, connection: Connection) -> None:
        self._alive.add(connection)
        self._counters.opened += 1

    def returned(self, connection: Connection) -> None:
        if self._line:
            turn = self._first_in_line()
            if turn is not None:
                turn.set_result(connection)
                return
        connection.idle_since = self.loop.time()
        self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection in self._holders:
            self._holders.remove(connection)
            self._free_slot()

    def lost(self, connection: Connection) -> None:
        self._alive.discard(connection)
        self._tell_when_quiet()

    def _tell_when_quiet(self) -> None:
        if not self._alive and not self._flights:
            self._quiet.set()

    # Slots and the line

    async def _acquire(self, flight: Flight) -> Connection | Unreachable:
        while True:
            connection = self.borrow(self.loop.time())
            if connection is not None:
                return connection
            if self._free_slots:
                self._free_slots -= 1
                return await self._open(flight)
            granted = await self._turn(flight)
            if granted is None:
                return await self._open(flight)
            if granted.usable:
                self._counters.reused += 1
                return granted

    async def _open(self, flight: Flight) -> Connection | Unreachable:
        """Dial, holding a slot that passes to the connection."""
        dialled: Connection | Unreachable | None = None
        try:
            dialled = await self._dial(self._new, flight=flight)
        finally:
            if isinstance(dialled, Connection) and dialled.usable:
                self._holders.add(dialled)
            else:
                self._free_slot()
        return dialled

    def _new(self) -> Connection:
        return Connection(self.loop, home=self, max_body=self._max_body, turn=self._loop_turn)

    async def _turn(self, flight: Flight) -> Connection | None:
        """Wait in line."""
        flight.doing = f"all {self._limit} connections to the endpoint were busy"
        turn: asyncio.Future[Connection | None] = self.loop.create_future()
        self._line.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._line.remove(turn)
            else:  # it was granted in the same moment: pass it on
                granted = turn.result()
                if granted is None:
                    self._free_slot()
                elif granted.usable:
                    self.returned(granted)
            raise

    def _free_slot(self) -> None:
        turn = self._first_in_line()
        if turn is not None:
            turn.set_result(None)
        else:
            self._free_slots += 1

    def _first_in_line(self) -> asyncio.Future[Connection | None] | None:
        # A turn that was cancelled stays in line until its task has run; it is skipped, and removes itself.
        for turn in self._line:
            if not turn.done():
                self._line.remove(turn)
                return turn
        return None
