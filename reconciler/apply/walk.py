"""Walks a plan's stages through a target's writer, and reports what came of each change.

1. Exactly the plan is applied: nothing is compared, decided or ordered anew.
2. What a target refuses is a fact for the report, not an exception: `apply` returns a `Report` for `PlanStale` and
   `TargetError` alike, and for a journal that can not be written, so that what did happen is always told. Everything
   else propagates: a bug, a cancellation.
3. A failure ends the run after its stage: changes of one stage don't depend on each other, later stages may.
4. `tell` hears of a change once it is in force, at an atomic target therefore after all are; also when the run is
   cancelled, so that whoever interrupts knows what was done.
5. `note` is given each step before it is made and after (`journal`). A step whose first line can not be kept is not
   made. A change that was sent is waited for even when the run is cancelled; a second cancellation is obeyed at once.
6. An answer that may have got lost leaves the journal without a last line: the target has to be looked at first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.apply.journal import Begun, Entry, Finished, Made, Refused, Resumed, Sent, intended
from reconciler.errors import PlanStale, StoreError, TargetError, TargetUnavailable
from reconciler.model.plan import Change, Plan, Receipt
from reconciler.model.revision import Publication
from reconciler.targets.protocol import Target, Writer

__all__ = ["Failure", "Report", "Walk", "apply", "nowhere"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A change that a target refused by itself."""

    change: Change
    error: PlanStale | TargetError


@dataclass(frozen=True, slots=True)
class Report:
    """What an apply did.

    Attributes:
        done: what is in force now, in the order it was made.
        failed: what was refused one by one; an atomic target has none.
        not_tried: the rest: the run ended before it, or an atomic target took nothing.
        error: what ended the run as a whole; nothing was done then at an atomic target.
        revision: the number that an atomic target published, None when it published nothing.
        found: what was in force already when an apply was resumed.
        in_doubt: of `failed` and `not_tried`, what may be in force all the same.
        interrupted: whether somebody ended the run; what was on its way then was waited for.
    """

    done: tuple[Receipt, ...]
    failed: tuple[Failure, ...]
    not_tried: tuple[Change, ...]
    error: PlanStale | TargetError | StoreError | None
    revision: int | None
    found: tuple[Receipt, ...] = ()
    in_doubt: tuple[Change, ...] = ()
    interrupted: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the whole plan is in force."""
        return not self.failed and self.error is None and not self.not_tried


def nowhere(entry: Entry) -> None:
    """Keep no journal."""


async def apply(
    plan: Plan,
    target: Target,
    publication: Publication,
    *,
    tell: Callable[[Receipt], None],
    note: Callable[[Entry], None] = nowhere,
) -> Report:
    """Bring the target to where the plan leads. An empty plan publishes nothing."""
    walk = Walk(plan, tell=tell, note=note)
    await walk.go(target, publication)
    return walk.report()


@dataclass(slots=True)
class Walk:
    """One walk through the stages. Its report can be had at any time, after a cancellation too.

    Attributes:
        found: the steps that are in force already; None unless an apply is carried on with.
        in_doubt: the steps whose outcome is not known.
    """

    plan: Plan
    tell: Callable[[Receipt], None]
    note: Callable[[Entry], None] = nowhere
    found: frozenset[int] | None = None
    in_doubt: set[int] = field(default_factory=set)
    error: PlanStale | TargetError | StoreError | None = None
    revision: int | None = None
    _done: dict[int, Receipt] = field(default_factory=dict)
    _failed: dict[int, Failure] = field(default_factory=dict)

    async def go(self, target: Target, publication: Publication) -> None:
        """Make the changes that are left to make."""
        if self.plan.target != target.location:
            made_for, place = self.plan.target, target.location
            self.error = PlanStale(f"This plan was made for {made_for}; it can not be applied to {place}.")
            return
        if self.plan.is_empty:
            return
        try:
            self.note(self._opening(publication, atomic=target.atomic))
        except StoreError as error:
            self.error = error
            return
        try:
            if self._left == 0:
                pass
            elif target.atomic:
                await self._at_once(target, publication)
            else:
                await self._one_by_one(target, publication)
        except asyncio.CancelledError:
            self._close()
            raise
        self._close()

    def conclude(self, revision: int) -> None:
        """Close the journal of a plan of which it was found that it is this revision."""
        self.found, self.revision, self.error = frozenset(range(len(self.plan.changes))), revision, None
        self._close()

    def report(self) -> Report:
        """What was done so far."""
        changes = self.plan.changes
        found = self.found or frozenset()
        tried = self._done.keys() | self._failed.keys() | found
        return Report(
            done=tuple(self._done.values()),
            failed=tuple(self._failed.values()),
            not_tried=tuple(change for step, change in enumerate(changes) if step not in tried),
            error=self.error,
            revision=self.revision,
            found=tuple(Receipt(changes[step].key, changes[step].kind) for step in sorted(found)),
            in_doubt=tuple(changes[step] for step in sorted(self.in_doubt - self._done.keys())),
        )

    @property
    def _left(self) -> int:
        """How many changes are not in force."""
        return len(self.plan.changes) - len(self._done) - len(self.found or ())

    def _opening(self, publication: Publication, *, atomic: bool) -> Entry:
        if self.found is not None:
            return Resumed(found=tuple(sorted(self.found)))
        return Begun(
            plan=self.plan.digest,
            environment=self.plan.environment,
            target=self.plan.target,
            owner=self.plan.owner,
            base=self.plan.base.revision,
            atomic=atomic,
            changes=len(self.plan.changes),
            by=publication.by,
            commit=publication.commit,
            note=publication.note,
            via=publication.via,
        )

    async def _at_once(self, target: Target, publication: Publication) -> None:
        writer: Writer | None = None
        receipts: list[Receipt] = []
        steps = range(len(self.plan.changes))
        try:
            async with target.writer(self.plan, publication) as writer:
                for change in self.plan.changes:
                    receipts.append(await writer.write(change))
                self.note(Sent())
                self.in_doubt.update(steps)
        except TargetUnavailable as error:
            self.error = error
        except (PlanStale, TargetError, StoreError) as error:
            self.in_doubt.clear()
            self.error = error
        finally:
            # Reached by a cancellation too: it may have come while the publication was on its way.
            if writer is not None and writer.revision is not None:
                self.in_doubt.clear()
                self.revision = writer.revision
                for step, receipt in zip(steps, receipts, strict=True):
                    self._made(step, receipt)

    async def _one_by_one(self, target: Target, publication: Publication) -> None:
        try:
            async with target.writer(self.plan, publication) as writer:
                step = 0
                for stage in self.plan.stages:
                    for change in stage:
                        if self.found is None or step not in self.found:
                            await self._make(step, change, writer)
                        step += 1
                    if self._failed:
                        break
        except (PlanStale, TargetError, StoreError) as error:
            self.error = error

    async def _make(self, step: int, change: Change, writer: Writer) -> None:
        self.note(intended(step, change))
        self.in_doubt.add(step)
        writing = asyncio.ensure_future(writer.write(change))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            try:
                await asyncio.wait([writing])
            finally:
                writing.cancel()
            if not writing.cancelled():
                self._settle(step, change, writing)
            raise
        except (PlanStale, TargetError):
            pass  # `_settle` reads it from the future
        self._settle(step, change, writing)

    def _settle(self, step: int, change: Change, writing: "asyncio.Future[Receipt]") -> None:
        """Keep what came of a change; what could not be kept stays in doubt."""
        match writing.exception():
            case None:
                self._made(step, writing.result())
                self.note(Made(step, change.kind, change.key))
            case TargetUnavailable() as error:
                self._failed[step] = Failure(change, error)
                return
            case PlanStale() | TargetError() as error:
                self._failed[step] = Failure(change, error)
                self.note(Refused(step, change.kind, change.key))
            case error:
                raise error
        self.in_doubt.discard(step)

    def _made(self, step: int, receipt: Receipt) -> None:
        self._done[step] = receipt
        self.tell(receipt)

    def _close(self) -> None:
        """Write the last line, unless there is something to find out first."""
        if self.in_doubt:
            return
        try:
            self.note(Finished("stopped" if self._left else "done", self.revision))
        except StoreError as error:
            self.error = self.error or error
