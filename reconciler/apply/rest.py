"""What an apply that did not come to its end has left to do.

1. The target is asked, the journal is not believed: each change is in force, still to be made, or something else stands
   where it leads. Only a plan without the last kind is carried on with.
2. What is in force is not made again, whether the journal tells of it or not: a create whose answer got lost is found.
3. At an atomic target there is no part of a plan. Its history tells by the plan's digest whether the revision was
   published; if it was not, the whole plan is applied, and is stale as any other when something it touches has moved.
4. What is left is made by the same plan under the same digest: what was approved is what comes about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from reconciler.apply.journal import Course
from reconciler.apply.walk import Walk
from reconciler.errors import PlanStale, TargetError
from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.model.snapshot import Observed
from reconciler.targets.protocol import Target

__all__ = ["Standing", "Surprise", "resume", "standing", "surprises"]

Standing = Literal["made", "open", "moved"]

_NAMED = 10
"""How many surprises a message lists."""
# Mostly nothing was published since; then up to the most that an engine tells at once.
_SEARCHED = (20, 1_000)


@dataclass(frozen=True, slots=True)
class Surprise:
    """A change that can neither be in force nor be made: `how` says what was expected, and what is there."""

    key: Key
    how: str


def standing(change: Change, observed: Observed) -> Standing:
    """Where a change stands, by what the target holds for the plan's owner."""
    held, foreign = observed.digests.get(change.key), observed.foreign.get(change.key)
    match change:
        case Create(after=after):
            made, open_ = held == after.digest, held is None and foreign is None
        case Update(after=after):
            made, open_ = held == after.digest, held == change.expects
        case Delete():
            made, open_ = held is None, held == change.expects
        case Move(before=before, after=after):
            left = observed.digests.get(before.key)
            made = held == after.digest and left is None
            open_ = held is None and foreign is None and left == change.expects
        case Adopt(after=after, taken_from=owner):
            made, open_ = held == after.digest, held is None and (foreign or "") == owner
        case Resecret(name=name, before=fingerprint, after=current):
            state = observed.secrets.get(name)
            made = state is None or state.published == current
            open_ = state is not None and state.published == fingerprint
        case _:
            assert_never(change)
    return "made" if made else "open" if open_ else "moved"


def surprises(plan: Plan, observed: Observed, made: frozenset[int] = frozenset()) -> tuple[Surprise, ...]:
    """What stands against carrying on; `made` are the steps that were told to be in force."""
    return tuple(_surprises(plan, observed, made))


async def resume(walk: Walk, course: Course, target: Target, publication: Publication) -> None:
    """Carry on with the plan of `walk`, whose journal told `course`; the walk has the report."""
    try:
        if target.atomic:
            await _all_or_nothing(walk, target, publication)
        else:
            await _step_by_step(walk, course, target, publication)
    except (PlanStale, TargetError) as error:
        walk.error = error


async def _all_or_nothing(walk: Walk, target: Target, publication: Publication) -> None:
    walk.found = frozenset()
    number = await _published_as(walk.plan, target)
    if number is None:
        await walk.go(target, publication)
        # What was sent before the interruption may have arrived after the look.
        if isinstance(walk.error, PlanStale):
            number = await _published_as(walk.plan, target)
    if number is not None:
        walk.conclude(number)


async def _step_by_step(walk: Walk, course: Course, target: Target, publication: Publication) -> None:
    plan = walk.plan
    goal = {change.key: change.after.digest for change in plan.changes if not isinstance(change, Delete | Resecret)}
    observed = await target.observe(plan.owner, goal)
    found = surprises(plan, observed, course.made)
    if found:
        raise _stale(plan, found)
    walk.found = frozenset(step for step, change in enumerate(plan.changes) if standing(change, observed) == "made")
    await walk.go(target, publication)


async def _published_as(plan: Plan, target: Target) -> int | None:
    """The number of the revision that the plan became, None when it became none."""
    for limit in _SEARCHED:
        history = await target.history(limit=limit)
        since = [entry for entry in history if entry.number > plan.base.revision]
        for entry in since:
            if entry.publication.plan == plan.digest:
                return entry.number
        if len(since) < limit:
            break
    return None


def _surprises(plan: Plan, observed: Observed, made: frozenset[int]) -> Iterator[Surprise]:
    for step, change in enumerate(plan.changes):
        match standing(change, observed):
            case "moved":
                yield Surprise(change.key, f"expected {_expected(change)}, found {_found(change, observed)}")
            case "open" if step in made:
                yield Surprise(change.key, f"the {change.kind} was made, and somebody undid it since")
            case _:
                pass


def _expected(change: Change) -> str:
    match change:
        case Create(after=after):
            return f"nothing, or digest {after.digest}"
        case Delete():
            return f"digest {change.expects}, or nothing"
        case Resecret(name=name):
            return f"the secret {name} as it was, or as it is"
        case Update(after=after) | Move(after=after) | Adopt(after=after):
            return f"digest {change.expects}, or {after.digest}"
        case _:
            assert_never(change)


def _found(change: Change, observed: Observed) -> str:
    if isinstance(change, Resecret):
        return "another value"
    key = change.before.key if isinstance(change, Move) and change.key not in observed.digests else change.key
    if key in observed.digests:
        return f"digest {observed.digests[key]}" + (f" under {key}" if key != change.key else "")
    if key in observed.foreign:
        return f"a definition of the project {observed.foreign[key]}"
    return "nothing"


def _stale(plan: Plan, found: Sequence[Surprise]) -> PlanStale:
    lines = [
        f"The apply can not be carried on with: what it touches at {plan.target} was changed by others since.",
        *(f"    {each.key}: {each.how}" for each in found[:_NAMED]),
    ]
    if len(found) > _NAMED:
        lines.append(f"    and {len(found) - _NAMED} more")
    lines += [
        "Give the rest up, and plan again:",
        "",
        f"    reconciler apply --abandon -e {plan.environment}",
        f"    reconciler plan -e {plan.environment}",
    ]
    return PlanStale("\n".join(lines))
