"""Walks a plan's stages through a target's writer, and reports what came of each change.

1. Exactly the plan is applied: nothing is compared, decided or ordered anew.
2. What a target refuses is a fact for the report, not an exception: `apply` returns a `Report` for `PlanStale` and
   `TargetError` alike, so that what did happen is always told. Everything else propagates: a bug, a cancellation.
3. A failure ends the run after its stage: changes of one stage don't depend on each other, later stages may.
4. `tell` hears of a change once it is in force, at an atomic target therefore after all are; also when the run is
   cancelled, so that whoever interrupts knows what was done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.errors import PlanStale, TargetError
from reconciler.model.plan import Change, Plan, Receipt
from reconciler.model.revision import Publication
from reconciler.targets.protocol import Target, Writer

__all__ = ["Failure", "Report", "apply"]


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
    """

    done: tuple[Receipt, ...]
    failed: tuple[Failure, ...]
    not_tried: tuple[Change, ...]
    error: PlanStale | TargetError | None
    revision: int | None

    @property
    def succeeded(self) -> bool:
        """Whether the whole plan is in force."""
        return not self.failed and self.error is None


async def apply(plan: Plan, target: Target, publication: Publication, *, tell: Callable[[Receipt], None]) -> Report:
    """Bring the target to where the plan leads. An empty plan publishes nothing."""
    run = _Run(plan, tell)
    if plan.target != target.location:
        run.error = PlanStale(f"This plan was made for {plan.target}; it can not be applied to {target.location}.")
    elif plan.is_empty:
        pass
    elif target.atomic:
        await run.at_once(target, publication)
    else:
        await run.one_by_one(target, publication)
    return run.report()


@dataclass(slots=True)
class _Run:
    """One walk through the stages."""

    plan: Plan
    tell: Callable[[Receipt], None]
    done: list[Receipt] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    error: PlanStale | TargetError | None = None
    revision: int | None = None

    async def at_once(self, target: Target, publication: Publication) -> None:
        writer: Writer | None = None
        receipts: list[Receipt] = []
        try:
            async with target.writer(self.plan, publication) as writer:
                for change in self.plan.changes:
                    receipts.append(await writer.write(change))
        except (PlanStale, TargetError) as error:
            self.error = error
        finally:
            # Reached by a cancellation too: it may have come while the publication was on its way.
            if writer is not None and writer.revision is not None:
                self.revision = writer.revision
                for receipt in receipts:
                    self._made(receipt)

    async def one_by_one(self, target: Target, publication: Publication) -> None:
        try:
            async with target.writer(self.plan, publication) as writer:
                for stage in self.plan.stages:
                    for change in stage:
                        try:
                            self._made(await writer.write(change))
                        except (PlanStale, TargetError) as error:
                            self.failed.append(Failure(change, error))
                    if self.failed:
                        break
        except (PlanStale, TargetError) as error:
            self.error = error

    def _made(self, receipt: Receipt) -> None:
        self.done.append(receipt)
        self.tell(receipt)

    def report(self) -> Report:
        tried = {receipt.key for receipt in self.done} | {failure.change.key for failure in self.failed}
        not_tried = tuple(change for change in self.plan.changes if change.key not in tried)
        return Report(tuple(self.done), tuple(self.failed), not_tried, self.error, self.revision)
