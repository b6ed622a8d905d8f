"""What refuses a plan before anything is applied: too much at once, protection, other projects' definitions.

1. Shares are of what the project owned before the plan, also when that is little: 1 of 2 is 50 %. Where it owned
   nothing there is nothing to take a share of, so a first apply may create freely; a count always holds.
2. Reaching a limit is allowed, passing it is not. Shares are compared as fractions, never rounded.
3. `protect: true` counts as the target holds it: lifting the protection and deleting are two plans, two reviews.
4. All refusals are gathered; none hides another.
"""

from decimal import Decimal
from math import ceil
from typing import assert_never

from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Count, Delete, Limit, Limits, Plan, Share
from reconciler.model.snapshot import Observed
from reconciler.plan.scope import collision_findings

__all__ = ["breaches", "protected", "refusals"]


def refusals(plan: Plan, observed: Observed, limits: Limits) -> tuple[Diagnostic, ...]:
    """Everything that stands against applying the plan; empty when nothing does."""
    return (*collision_findings(plan.collisions), *protected(plan), *breaches(plan, observed, limits))


def protected(plan: Plan) -> tuple[Diagnostic, ...]:
    """A finding for each protected definition that the plan would delete."""
    return tuple(
        Diagnostic(
            code="protected-definition",
            summary="A protected definition would be deleted",
            detail=f"{change.key} says `protect: true` at {plan.target}, and the files no longer declare it. "
            "Messages would stop reaching its receiver.",
            help="Put it back; or, when it really has to go, apply it with `protect: false` first and remove it then.",
        )
        for change in plan.changes
        if isinstance(change, Delete) and change.before.content.get("protect") is True
    )


def breaches(plan: Plan, observed: Observed, limits: Limits) -> tuple[Diagnostic, ...]:
    """A finding for each limit that the plan passes."""
    owned = len(observed.digests)
    found = []
    for name, limit, kinds, does in (
        ("creates", limits.creates, {"create"}, "creates {}"),
        ("updates", limits.updates, {"update"}, "updates {}"),
        ("deletes", limits.deletes, {"delete"}, "deletes {}"),
        ("total", limits.total, {"create", "update", "delete"}, "creates, updates and deletes {} together"),
    ):
        count = sum(change.kind in kinds for change in plan.changes)
        if limit is not None and _passes(limit, count, owned=owned):
            found.append(_too_many(plan, name, does, limit, count=count, owned=owned))
    return tuple(found)


def _passes(limit: Limit, count: int, *, owned: int) -> bool:
    match limit:
        case Count(at_most=at_most):
            return count > at_most
        case Share(percent=percent):
            return owned > 0 and count * 100 > percent * owned
        case _:
            assert_never(limit)


def _too_many(plan: Plan, name: str, does: str, limit: Limit, *, count: int, owned: int) -> Diagnostic:
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
        detail=f"{plan.owner} owns {owned} {definitions} in {plan.environment}; this plan {does.format(amount)}, and "
        f"limits.{name} allows {allows}. So large a plan is more often an accident than meant.",
        help="If it is meant, apply it in smaller steps, or raise the limit in reconciler.yaml until it is applied:\n\n"
        f"    limits: {{{name}: {enough}}}",
    )
