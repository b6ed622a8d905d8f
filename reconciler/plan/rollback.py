"""Going back: what it takes that a project's definitions are again as an earlier revision held them.

1. The goal is what the project owned then, whatever its files say now: they are not looked at, and the next plan shows
   what they want again.
2. What the project took over since then stays as it is: it can not be given back, and deleting it would take from its
   former owner what was never this project's to delete.
3. What others own by now is a collision, as in any plan.
4. A callback that is there under another name moves back, so that what is protected can follow.
5. `protect: true` holds. Limits do not: going back is urgent, and undoes changes that passed them one by one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.codec.plan import plan_digest
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Change, Collision, Create, Delete, Move, Plan, Reason, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Observed
from reconciler.plan.diff import field_changes
from reconciler.plan.meaning import replaced, replaces, update_kind
from reconciler.plan.scope import collision_findings
from reconciler.plan.stages import staged

__all__ = ["Rollback", "make_rollback"]


@dataclass(frozen=True, slots=True)
class Rollback:
    """The plan that leads back.

    Attributes:
        revision: the number whose content is the goal.
        kept: what was taken over since then, and by that stays: key → owner at that time, by key.
        refused_by: what stands against it.
    """

    plan: Plan
    revision: int
    kept: tuple[tuple[Key, str], ...]
    refused_by: tuple[Diagnostic, ...]


def make_rollback(earlier: Observed, observed: Observed, *, owner: str, environment: str, target: str) -> Rollback:
    """The way from `observed` back to `earlier`; each holds the contents of all that the other has not like it."""
    revision = earlier.fingerprint.revision
    changes = _with_moves([*_changes(earlier, observed)])
    collisions = tuple(_collisions(earlier, observed))
    plan = Plan(
        environment=environment,
        target=target,
        owner=owner,
        base=observed.fingerprint,
        stages=staged(changes),
        digest=plan_digest(changes, environment=environment, target=target, owner=owner),
        collisions=collisions,
    )
    kept = tuple(sorted((key, earlier.foreign[key]) for key in observed.digests if key in earlier.foreign))
    refused_by = (*collision_findings(collisions), *_protected(plan, revision))
    return Rollback(plan, revision, kept, refused_by)


def _changes(earlier: Observed, observed: Observed) -> Iterator[Change]:
    for key, digest in earlier.digests.items():
        held = observed.digests.get(key)
        if held is not None and held != digest:
            before, after = observed.definitions[key], earlier.definitions[key]
            fields = field_changes(before.content, after.content)
            reason = replaced(before, after) or Reason.EDITED
            yield Update(key, before, after, fields, None, reason, update_kind(before, after))
        elif held is None and _holder(key, observed) is None:
            yield Create(key, earlier.definitions[key], None)
    for key in observed.digests:
        if key not in earlier.digests and key not in earlier.foreign:
            yield Delete(key, observed.definitions[key])


def _with_moves(changes: Iterable[Change]) -> list[Change]:
    """The changes, with a move where one callback goes, one comes, and these two alone have that content."""
    changes = list(changes)
    going = {change.expects: change for change in changes if isinstance(change, Delete) and change.key.callback}
    coming = {change.after.digest: change for change in changes if isinstance(change, Create) and change.key.callback}
    times = Counter(change.expects for change in changes if isinstance(change, Delete))
    times.update(change.after.digest for change in changes if isinstance(change, Create))
    pairs = [(going[digest], coming[digest]) for digest in going.keys() & coming.keys() if times[digest] == 2]
    paired = {change.key for pair in pairs for change in pair}
    moves = [Move(create.key, delete.before, create.after, (), None) for delete, create in pairs]
    return [change for change in changes if change.key not in paired] + moves


def _collisions(earlier: Observed, observed: Observed) -> Iterator[Collision]:
    for key in sorted(earlier.digests.keys() - observed.digests.keys()):
        holder = _holder(key, observed)
        if holder is not None:
            yield Collision(key, holder, None)


def _holder(key: Key, observed: Observed) -> str | None:
    """The other project that has the key, or the device type that it would belong to."""
    return observed.foreign.get(key, observed.foreign.get(key.parent))


def _protected(plan: Plan, revision: int) -> Iterator[Diagnostic]:
    for change in plan.changes:
        if not isinstance(change, Update | Delete) or change.before.content.get("protect") is not True:
            continue
        if isinstance(change, Delete) or replaces(change):
            held = "does not hold it" if isinstance(change, Delete) else "holds it with another type or channel"
            yield Diagnostic(
                code="protected-definition",
                summary="A protected definition would be deleted or replaced",
                detail=f"{change.key} says `protect: true` at {plan.target}, and revision {revision} {held}. "
                "Going back would take it away from its receiver.",
                help="Apply it with `protect: false` first; or choose a revision that holds it:\n\n"
                f"    reconciler history -e {plan.environment}",
            )
