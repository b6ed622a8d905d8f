"""What was changed at a target behind the files → text for people, JSON for programs."""

import json
from collections.abc import Iterator
from typing import Final

import orjson

from reconciler.cli.render.plan_lines import Line, content_lines, field_lines
from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_words import blame_of, fate_of
from reconciler.cli.render.text import Paint, indent, plural, visible
from reconciler.codec.plan import dump_plan
from reconciler.model.plan import Drift, Plan

__all__ = ["drift_as_json", "drift_as_text"]

_SIGNS: Final = {"changed": "~", "vanished": "-", "appeared": "+"}


def drift_as_text(plan: Plan, *, paint: Paint) -> str:
    """A block for each definition that somebody changed, then what can be done about them."""
    plan = masked(plan)
    place = f"{visible(plan.environment)} ({visible(plan.target)}, revision {plan.base.revision})"
    if not plan.drift:
        return f"{paint.good('No drift')}: nobody changed {place} behind the files.\n"
    left = frozenset(plan.left)
    blocks = ["\n".join(_block(drift, fate_of(drift, left), paint)) for drift in plan.drift]
    undone = sum(drift.undone for drift in plan.drift)
    closing = [f"{plural(len(plan.drift), 'definition')} of {place} changed behind the files."]
    if not undone:
        closing.append("An apply would leave this as it is.")
    else:
        some = "one of them" if undone == 1 else f"{undone:,} of them"
        closing += [
            f"To undo {'this' if undone == len(plan.drift) else some}:",
            "",
            f"    reconciler apply -e {plan.environment}",
            "",
        ]
    closing += [
        "To accept, and bring what is there into the files:",
        "",
        f"    reconciler import -e {plan.environment}",
    ]
    return "\n\n".join([*blocks, "\n".join(closing)]) + "\n"


def drift_as_json(plan: Plan) -> str:
    """The same as an object; each drift in the form that a saved plan gives it."""
    document = orjson.loads(dump_plan(masked(plan)))
    kept = {name: document[name] for name in ("environment", "target", "owner", "base", "drift")}
    return json.dumps(kept, indent=2, ensure_ascii=False)


def _block(drift: Drift, fate: str, paint: Paint) -> Iterator[str]:
    colour = {"changed": paint.changed, "vanished": paint.bad, "appeared": paint.good}[drift.kind]
    blame = blame_of(drift.blame, visible)
    head = f"{colour(f'{_SIGNS[drift.kind]} {drift.kind:<8}')}  {paint.strong(visible(str(drift.key)))}"
    yield f"{head}  {blame}" if blame else head
    yield from indent(["An apply undoes it." if drift.undone else fate], by=4)
    yield from indent((_line(line, paint) for line in _lines(drift)), by=4)


def _lines(drift: Drift) -> Iterator[Line]:
    if drift.kind == "changed":
        yield from field_lines(drift.fields)
    elif drift.before is not None:
        yield from content_lines(drift.before.content, "-")
    elif drift.after is not None:
        yield from content_lines(drift.after.content, "+")


def _line(line: Line, paint: Paint) -> str:
    mark, text = line
    shown = f"{mark} {text}".rstrip()
    return paint.good(shown) if mark == "+" else paint.bad(shown) if mark == "-" else paint.faint(shown)
