"""Plans → annotations for GitHub: each change at the line where its author wrote it.

1. They come by risk (`plan_risk`), since GitHub shows the first ones only: grave ones as warnings, the rest as notices,
   what refuses the plan as errors, before everything else.
2. What is deleted has no line any more; it is told all the same, as an annotation without a place.
"""

from collections.abc import Iterator, Sequence

from reconciler.cli.render.diagnostics import diagnostics_as_github
from reconciler.cli.render.github import annotation
from reconciler.cli.render.plan_lines import lines_of
from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_risk import TITLES, Risk, by_risk
from reconciler.cli.render.plan_words import counts_line, names_of, origin_of, reason_of, users_of
from reconciler.cli.render.text import visible
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Change, Plan, Resecret

__all__ = ["plan_as_github"]

# An annotation is a hint beside the code; the plan itself has the rest.
_MOST_LINES = 20


def plan_as_github(plan: Plan, *, refused_by: Sequence[Diagnostic] = ()) -> str:
    """A line for each change, and one that counts them."""
    plan = masked(plan)
    changes = (_annotation(plan, risk, change) for risk, group in by_risk(plan.changes) for change in group)
    return diagnostics_as_github(refused_by) + "".join(f"{line}\n" for line in (*changes, _summary(plan)))


def _summary(plan: Plan) -> str:
    place = f"{visible(plan.environment)} ({visible(plan.target)}, revision {plan.base.revision:,})"
    counts = f"{counts_line(plan)}. Digest {visible(plan.digest)}" if not plan.is_empty else "Nothing to change."
    return annotation("notice", counts, title=f"Plan for {place}", span=None)


def _annotation(plan: Plan, risk: Risk, change: Change) -> str:
    names = " → ".join(visible(name) for name in names_of(change))
    title = f"{change.kind} {names} in {visible(plan.environment)}"
    message = "\n".join([f"{TITLES[risk]}.", *_told(change)])
    return annotation("warning" if risk.is_grave else "notice", message, title=title, span=origin_of(change))


def _told(change: Change) -> Iterator[str]:
    if reason := reason_of(change, visible):
        yield reason
    if isinstance(change, Resecret):
        yield users_of(change, visible)
    texts = [f"{mark} {text}" for mark, text in lines_of(change)]
    yield from texts[:_MOST_LINES]
    if len(texts) > _MOST_LINES:
        yield f"… and {len(texts) - _MOST_LINES:,} more lines"
