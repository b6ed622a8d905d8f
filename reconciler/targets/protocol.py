"""What a target is: something that can be observed, and written to under the terms of a plan.

1. Planning only observes. Who plans is handed an `Observer`, which has no verb that writes: that planning changes
   nothing is then a matter of types, and tests look at what is sent.
2. `writer` is one async context for both kinds of targets: an atomic one gathers changes and publishes them on a clean
   exit, all or nothing; a remote API makes one call per change. An exception inside abandons what was gathered.
3. A publication that has begun is finished even when the task is cancelled, and then the cancellation goes on: whoever
   interrupts an apply learns what it did. A second cancellation is obeyed at once.
4. What is written under a plan carries out somebody's intent: it is published `via` "apply" unless it says otherwise,
   and with the digest of its plan.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from reconciler.model.definition import Definition
from reconciler.model.plan import Change, Plan, Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Owned, Publication
from reconciler.model.snapshot import Observed

__all__ = ["Archive", "Observer", "Target", "Writer"]


class Observer(Protocol):
    """A place that holds callbacks, to be looked at. Every verb reads, and raises `TargetError` when it can not."""

    @property
    def location(self) -> str:
        """Where it is, for people; never a secret."""
        ...

    async def observe(self, owner: str, known: Mapping[Key, str] | None) -> Observed:
        """What it holds for `owner`; contents come only for digests that differ from `known`, none at all without it.

        With it come what the owner's files last brought about, who changed what differs from that by now, and the
        secrets that the owner's definitions refer to.
        """
        ...

    async def history(self, *, limit: int, before: int | None = None) -> tuple[HistoryEntry, ...]:
        """Newest first; `before` leaves out that revision and all after it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Archive(Observer, Protocol):
    """An observer of a place that numbers what it held."""

    async def as_of(self, revision: int, owner: str, known: Mapping[Key, str] | None) -> Observed | None:
        """What `observe` would have told as of a revision of digests, contents and other projects.

        None when there is no such revision.
        """
        ...

    async def contents(self, revision: int, digests: Mapping[Key, str]) -> Mapping[Key, Definition]:
        """What stands under these keys as of a revision that has them with these digests."""
        ...

    async def refuse_if_moved(self, plan: Plan) -> None:
        """Look whether a plan still holds, without writing.

        Raises:
            PlanStale: something that it touches has moved.
        """
        ...

    async def everything(self, revision: int) -> Mapping[Key, Owned] | None:
        """What was there as of a revision, whoever owned it; None when there is no such revision."""
        ...


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


class Target(Observer, Protocol):
    """A place that holds callbacks, and takes plans."""

    @property
    def atomic(self) -> bool:
        """Whether a writer's changes come into force together, on its clean exit, or one by one as written."""
        ...

    def writer(self, plan: Plan, publication: Publication) -> AbstractAsyncContextManager[Writer]:
        """Open for writing under the plan.

        Raises:
            PlanStale: at entry or at exit, when something the plan touches has moved.
            TargetError: it could not be written; nothing was, if the target is atomic.
        """
        ...
