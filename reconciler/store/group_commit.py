"""Group commit: many callers, one transaction.

1. An operation is done when the group it went with is durable. `commit` gets one group at a time, in the order in which
   operations came.
2. A group gathers while the one before it is committed, and then as long as two turns of the event loop bring more and
   it is not large yet. One fsync for a hundred messages costs as much as for one, and under load groups grow by
   themselves. Not a timer: in a closed loop of 64 callers a millisecond cost 30 % of the throughput, and with a steady
   stream it made groups a tenth larger and doubled the time to an acknowledgement (`tests/benchmarks/store.py`).
3. A group is one fate: when its commit fails, every operation of it fails, with the same error. The next group is tried
   afresh.
4. A caller that is cancelled does not take its operation back.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from reconciler.errors import StoreError

__all__ = ["GroupCommit"]

Operation = TypeVar("Operation")

# Rows at which waiting for more gains nothing: what a row shares with its group is below a tenth of its own cost.
_LARGE: Final = 256


class GroupCommit(Generic[Operation]):
    """Gathers operations on the event loop; `commit` does them somewhere else."""

    def __init__(self, commit: Callable[[Sequence[Operation]], asyncio.Future[None]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[Operation, asyncio.Future[None]]] = []
        self._rows = 0
        self._committing: asyncio.Task[None] | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, operation: Operation, *, rows: int) -> None:
        """Do `operation`, which touches about so many rows, together with others; return when it is durable.

        Raises:
            StoreError: its group failed: nothing of it happened.
        """
        if self._closed:
            raise StoreError("the store was closed before")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once: to look it up asks the system which process this is
        done = self._loop.create_future()
        self._waiting.append((operation, done))
        self._rows += rows
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_groups())
        await done

    async def close(self) -> None:
        """Finish what was asked before, and take nothing more."""
        self._closed = True
        if self._committing is not None:
            await self._committing

    async def _commit_groups(self) -> None:
        while self._waiting:
            await self._gathered()
            group, self._waiting, self._rows = self._waiting, [], 0
            commit = self._commit([operation for operation, _ in group])
            await asyncio.wait([commit])
            error = commit.exception()
            for _, done in group:
                if done.done():  # its caller was cancelled
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._committing = None

    async def _gathered(self) -> None:
        seen = 0
        while seen < len(self._waiting) and self._rows < _LARGE:
            seen = len(self._waiting)
            # Two turns: in the first one requests arrive, in the second they ask for something (`runtime.api.posts`).
            # With one, groups of 64 callers held 40 rows instead of 58, and the writer took a third more for each.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
