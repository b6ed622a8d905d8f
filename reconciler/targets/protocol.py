"""What a target is: something that can be observed, and written to under the terms of a plan.

1. Planning only observes: `observe` never writes.
2. `writer` is one async context for both kinds of targets: an atomic one gathers changes and publishes them on a clean
   exit, all or nothing; a remote API makes one call per change. An exception inside abandons what was gathered.
3. A publication that has begun is finished even when the task is cancelled, and then the cancellation goes on: whoever
   interrupts an apply learns what it did. A second cancellation is obeyed at once.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from reconciler.model.plan import Change, Plan, Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Observed

__all__ = ["Target", "Writer"]


class Writer(Protocol):
    """Takes the changes of one plan, stage by stage."""

    @property
    def revision(self) -> int | None:
        """The number under which an atomic target published; None before, and where nothing is numbered."""
        ...

    async def write(self, change: Change) -> Receipt:
        """Make the change, or gather it for the exit.

        Raises:
            PlanStale: what the change expects is no longer there.
            TargetError: the target refused or could not be reached.
        """
        ...


class Target(Protocol):
    """A place that holds callbacks."""

    @property
    def location(self) -> str:
        """Where it is, for people; never a secret."""
        ...

    @property
    def atomic(self) -> bool:
        """Whether a writer's changes come into force together, on its clean exit, or one by one as written."""
        ...

    async def observe(self, owner: str, known: Mapping[Key, str]) -> Observed:
        """Read what it holds for `owner`; contents come only for digests that differ from `known`.

        Raises:
            TargetError: it could not be read.
        """
        ...

    def writer(self, plan: Plan, publication: Publication) -> AbstractAsyncContextManager[Writer]:
        """Open for writing under the plan.

        Raises:
            PlanStale: at entry or at exit, when something the plan touches has moved.
            TargetError: it could not be written; nothing was, if the target is atomic.
        """
        ...

    async def history(self, *, limit: int) -> tuple[HistoryEntry, ...]:
        """Newest first.

        Raises:
            TargetError: it could not be read.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
