"""What differs between two environments → text and JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from reconciler.cli.difference import Contrast, Difference
from reconciler.cli.render.plan_lines import hunks, path_of, shown, text_diff
from reconciler.cli.render.plan_mask import masked_fields, masked_text
from reconciler.cli.render.text import Paint, columns, indent, plural, visible
from reconciler.config.cause import Cause, OverrideCause, VariableCause
from reconciler.diagnostics import Span
from reconciler.model.definition import JsonValue
from reconciler.model.plan import FieldChange

__all__ = ["contrast_as_json", "contrast_as_text"]


def contrast_as_text(contrast: Contrast, *, paint: Paint) -> str:
    """A block for each definition that differs: its fields in both environments, and why; then how many there are."""
    one, other = visible(contrast.one), visible(contrast.other)
    if not contrast.differences:
        same = plural(contrast.same, "definition")
        return f"{paint.good('No difference')}: {same} in {one} and in {other}.\n"
    blocks = ["\n".join(_block(each, contrast, paint)) for each in contrast.differences]
    return "\n\n".join([*blocks, _counts(contrast)]) + "\n"


def contrast_as_json(contrast: Contrast) -> str:
    """One object: both names, every difference with its reasons, and how many definitions are the same."""
    document = {
        "environments": [contrast.one, contrast.other],
        "differences": [_difference_as_object(each, contrast) for each in contrast.differences],
        "same": contrast.same,
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=dict)


# Text


def _block(difference: Difference, contrast: Contrast, paint: Paint) -> Iterator[str]:
    place = "" if difference.origin is None else f"  {paint.faint(_place(difference.origin))}"
    name = paint.strong(visible(str(difference.key)))
    if difference.only is not None:
        colour, sign = (paint.bad, "-") if difference.only == contrast.one else (paint.good, "+")
        yield f"{colour(f'{sign} only in {visible(difference.only)}')}  {name}{place}"
        yield from indent((_because(cause, paint) for cause in difference.causes), by=4)
        return
    yield f"{paint.changed('~ differs')}  {name}{place}"
    for change, causes in difference.fields:
        (field,) = masked_fields((change,))
        yield f"    {visible(path_of(field))}"
        yield from indent(_values(field, contrast, paint), by=6)
        yield from indent((_because(cause, paint) for cause in causes), by=6)


def _values(field: FieldChange, contrast: Contrast, paint: Paint) -> Iterator[str]:
    if lines := text_diff(field):
        yield f"{paint.bad(f'- {visible(contrast.one)}')}  {paint.good(f'+ {visible(contrast.other)}')}"
        for mark, text in hunks(lines):
            line = f"{mark} {text}".rstrip()
            yield paint.bad(line) if mark == "-" else paint.good(line) if mark == "+" else paint.faint(line)
        return
    not_set = paint.faint("(not set)")
    rows = (
        (visible(contrast.one), not_set if field.added else shown(field.before)),
        (visible(contrast.other), not_set if field.removed else shown(field.after)),
    )
    yield from columns(rows)


def _because(cause: Cause, paint: Paint) -> str:
    match cause:
        case VariableCause(name=name, values=values, places=places):
            told = (
                f"{visible(masked_text(value))} in {visible(each)} ({_place(places[each])})"
                for each, value in values.items()
            )
            return paint.faint(f"because ${{var.{name}}} is {', '.join(told)}")
        case OverrideCause(environment=environment, span=span, takes_away=takes_away):
            does = "takes it away" if takes_away else "overrides it"
            return paint.faint(f"because {visible(environment)} {does} ({_place(span)})")
        case _:
            assert_never(cause)


def _counts(contrast: Contrast) -> str:
    only = {name: sum(each.only == name for each in contrast.differences) for name in (contrast.one, contrast.other)}
    differing = len(contrast.differences) - sum(only.values())
    parts = [f"{plural(differing, 'definition')} {'differs' if differing == 1 else 'differ'}"] if differing else []
    parts += [f"{count:,} only in {visible(name)}" for name, count in only.items() if count]
    parts.append(f"{contrast.same:,} the same")
    return f"{visible(contrast.one)} and {visible(contrast.other)}: {', '.join(parts)}."


def _place(span: Span) -> str:
    return f"{visible(span.file)}:{span.line}"


# JSON


def _difference_as_object(difference: Difference, contrast: Contrast) -> Mapping[str, object]:
    return {
        "key": str(difference.key),
        "place": None if difference.origin is None else _place_as_object(difference.origin),
        "only": difference.only,
        "fields": [_field_as_object(field, causes, contrast) for field, causes in difference.fields],
        "causes": [_cause_as_object(each) for each in difference.causes],
    }


def _field_as_object(change: FieldChange, causes: Sequence[Cause], contrast: Contrast) -> Mapping[str, object]:
    (field,) = masked_fields((change,))
    values: dict[str, JsonValue] = {}
    if not field.added:
        values[contrast.one] = field.before
    if not field.removed:
        values[contrast.other] = field.after
    return {"path": list(field.path), "values": values, "causes": [_cause_as_object(each) for each in causes]}


def _cause_as_object(cause: Cause) -> Mapping[str, object]:
    match cause:
        case VariableCause():
            return {
                "kind": cause.kind,
                "name": cause.name,
                "place": _place_as_object(cause.span),
                "values": {name: masked_text(value) for name, value in cause.values.items()},
                "places": {name: _place_as_object(span) for name, span in cause.places.items()},
            }
        case OverrideCause():
            return {
                "kind": cause.kind,
                "environment": cause.environment,
                "takesAway": cause.takes_away,
                "place": _place_as_object(cause.span),
            }
        case _:
            assert_never(cause)


def _place_as_object(span: Span) -> Mapping[str, object]:
    return {"file": span.file, "line": span.line, "column": span.column}
