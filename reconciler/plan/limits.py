"""What refuses a plan before anything is applied: too much at once, protection, other projects' definitions.

1. Shares are of what the project owned before the plan, also when that is little: 1 of 2 is 50 %. Where it owned
   nothing there is nothing to take a share of, so a first apply may create freely; a count always holds.
2. Reaching a limit is allowed, passing it is not. Shares are compared as fractions, never rounded.
3. Everything that changes what is there counts as an update: switching on and off, moving, adopting, replacing. What
   replaces a callback counts as a delete too, since nothing of it stays, and once in the total. New values of secrets
   don't count: the files did not bring them about.
4. Limits are passed by naming the digest of the very plan that may pass them. That waives limits and nothing else.
5. `protect: true` counts as the target holds it: lifting the protection and deleting or replacing are two plans, two
   reviews. A new name alone takes nothing away, so what is protected may move.
6. All refusals are gathered; none hides another.
"""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from math import ceil
from typing import assert_never

from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import (
    KINDS,
    Adopt,
    Change,
    Count,
    Create,
    Delete,
    Limit,
    Limits,
    Move,
    Plan,
    Resecret,
    Share,
    Update,
)
from reconciler.model.snapshot import Observed
from reconciler.plan.meaning import replaces
from reconciler.plan.scope import collision_findings

__all__ = ["breaches", "protected", "refusals"]


def refusals(
    plan: Plan, observed: Observed, limits: Limits, *, over_limits: str | None = None
) -> tuple[Diagnostic, ...]:
    """Everything that stands against applying the plan; empty when nothing does.

    `over_limits` is the digest of the plan that may pass the limits, as somebody named it.
    """
    found = (*collision_findings(plan.collisions), *protected(plan))
    if over_limits is None:
        return *found, *breaches(plan, observed, limits)
    if over_limits == plan.digest:
        return found
    return *found, _meant_another(plan, over_limits), *breaches(plan, observed, limits)


def protected(plan: Plan) -> tuple[Diagnostic, ...]:
    """A finding for each protected definition that the plan would delete or replace, under whatever name."""
    return tuple(
        Diagnostic(
            code="protected-definition",
            summary="A protected definition would be deleted or replaced",
            detail=f"{change.before.key} says `protect: true` at {plan.target}, and {_what_becomes_of(change)}",
            help="Put it back as it was; or, when it really has to go, apply it with `protect: false` first and do "
            "the rest then.",
            span=None if isinstance(change, Delete) else change.origin,
        )
        for change in plan.changes
        if isinstance(change, Update | Delete | Move | Adopt)
        and (isinstance(change, Delete) or replaces(change))
        and change.before.content.get("protect") is True
    )


def _what_becomes_of(change: Update | Delete | Move | Adopt) -> str:
    if isinstance(change, Delete):
        return "the files no longer declare it. Messages would stop reaching its receiver."
    before, after = change.before.content, change.after.content
    field = "type" if before.get("type") != after.get("type") else "channel"
    return (
        f"in the files its {field} is {after.get(field)} instead of {before.get(field)}. Nothing would stay of what it "
        "did for its receiver."
    )


def breaches(plan: Plan, observed: Observed, limits: Limits) -> tuple[Diagnostic, ...]:
    """A finding for each limit that the plan passes."""
    owned = len(observed.digests)
    found = []
    for name, limit, does in (
        ("creates", limits.creates, "creates {}"),
        ("updates", limits.updates, "updates {}"),
        ("deletes", limits.deletes, "deletes {}"),
        ("total", limits.total, "creates, updates and deletes {} together"),
    ):
        counted = [change for change in plan.changes if name in _counted_as(change)]
        if limit is not None and _passes(limit, len(counted), owned=owned):
            found.append(_too_many(plan, name, does, limit, counted=counted, owned=owned))
    return tuple(found)


def _counted_as(change: Change) -> tuple[str, ...]:
    """The limits that a change counts towards."""
    match change:
        case Create():
            return "creates", "total"
        case Update() | Move() | Adopt():
            return ("updates", "deletes", "total") if replaces(change) else ("updates", "total")
        case Delete():
            return "deletes", "total"
        case Resecret():
            return ()
        case _:
            assert_never(change)


def _passes(limit: Limit, count: int, *, owned: int) -> bool:
    match limit:
        case Count(at_most=at_most):
            return count > at_most
        case Share(percent=percent):
            return owned > 0 and count * 100 > percent * owned
        case _:
            assert_never(limit)


def _too_many(plan: Plan, name: str, does: str, limit: Limit, *, counted: list[Change], owned: int) -> Diagnostic:
    count = len(counted)
    match limit:
        case Count(at_most=at_most):
            amount, allows, enough = f"{count}", f"{at_most}", f"{count}"
        case Share(percent=percent):
            share = Decimal(count * 100) / owned
            amount = f"{count} ({share.quantize(Decimal('0.1')).normalize():f} %)"
            allows = f"{percent} %, which is {int(percent * owned / 100)}"
            enough = f"{ceil(share)}%"
        case _:
            assert_never(limit)
    definitions = "definition" if owned == 1 else "definitions"
    return Diagnostic(
        code="too-many-changes",
        summary="The plan changes more than the project's limits allow",
        detail=f"{plan.owner} owns {owned} {definitions} in {plan.environment}; this plan {does.format(amount)}"
        f"{_of_which(name, counted)}, and limits.{name} allows {allows}. "
        "So large a plan is more often an accident than meant.",
        help="If it is meant, let exactly this plan pass, by its digest:\n\n"
        f"    reconciler apply -e {plan.environment} --over-limits {plan.digest}\n\n"
        "Or apply it in smaller steps, or raise the limit in reconciler.yaml until it is applied:\n\n"
        f"    limits: {{{name}: {enough}}}",
    )


def _of_which(name: str, counted: Iterable[Change]) -> str:
    """What counts towards a limit without having its name."""
    if name == "total":
        return ""
    kinds = Counter(change.kind for change in counted)
    others = [f"{kinds[kind]} to {kind}" for kind in KINDS if kinds[kind] and f"{kind}s" != name]
    return f", of which {', '.join(others)}" if others else ""


def _meant_another(plan: Plan, named: str) -> Diagnostic:
    return Diagnostic(
        code="override-of-another-plan",
        summary="The limits were lifted for another plan",
        detail=f"The plan that may pass the limits was named by the digest {named}, and this plan has the digest "
        f"{plan.digest}: the files or the target have changed since somebody looked.",
        help="Look at what would be done now, and name its digest if it is meant:\n\n"
        f"    reconciler plan -e {plan.environment}",
    )
