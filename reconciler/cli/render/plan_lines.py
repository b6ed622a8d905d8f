r"""Contents and their differences as marked lines: what the forms of a plan lay out, each in its own manner.

1. A line is a mark (` ` stays, `-` goes, `+` comes, `\` is a remark about the line before) and a text without control
   characters.
2. Texts are cut at line feeds alone, so that no other separator is taken for one and lost.
3. The search for lines that stay is quadratic. What is the same at both ends is set aside first; where more than
   250,000 pairs are left, the rest counts as replaced as a whole, and a reader of that much loses little.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal, TypeAlias

from reconciler.cli.render.text import visible
from reconciler.model.definition import Content, JsonValue
from reconciler.model.plan import Change, Create, Delete, Drift, FieldChange, Resecret

__all__ = [
    "SAME_BUT_HIDDEN",
    "Line",
    "content_lines",
    "copied",
    "field_lines",
    "hunks",
    "is_hidden",
    "is_long",
    "leaves",
    "lines_of",
    "lines_of_drift",
    "path_of",
    "shown",
    "text_diff",
]

Mark: TypeAlias = Literal[" ", "-", "+", "\\"]
Line: TypeAlias = tuple[Mark, str]

SAME_BUT_HIDDEN: Final = "(the same, but for a password that is hidden)"
"""Of a field whose two values differ in what `plan_mask` took out of them alone."""

_NO_LINE_BREAK: Final = "no line break at its end"
_MOST_PAIRS: Final = 250_000
# What would read as a number, a word of JSON, or as one of our own remarks.
_AMBIGUOUS = re.compile(r"(?:null|true|false|-?[0-9][0-9.eE+-]*|\(.*\))\Z")


def shown(value: JsonValue) -> str:
    """A text as it is, unless it could be taken for something else; anything else as JSON."""
    if isinstance(value, str) and value and visible(value) == value.strip() and not _AMBIGUOUS.match(value):
        return value
    return visible(json.dumps(value, ensure_ascii=False, default=dict))


def is_long(value: JsonValue) -> bool:
    """Whether it takes lines of its own."""
    return isinstance(value, str) and "\n" in value


def leaves(content: Content, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Each value of a content that holds no further ones, with the path to it."""
    for name, value in content.items():
        path = f"{prefix}{visible(name)}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def is_hidden(field: FieldChange) -> bool:
    """Whether all that differs was taken out by `plan_mask`."""
    return not field.added and not field.removed and field.before == field.after


def path_of(field: FieldChange) -> str:
    """“headers.X-Key”."""
    return visible(".".join(field.path))


def content_lines(content: Content, mark: Mark) -> Iterator[Line]:
    """Each field as `name: value`; a text of several lines below its name."""
    for path, value in leaves(content):
        yield from _value_lines(path, value, mark)


def lines_of(change: Change) -> Iterator[Line]:
    """What a change brings, takes away, or makes different."""
    match change:
        case Create():
            return content_lines(change.after.content, "+")
        case Delete():
            return content_lines(change.before.content, "-")
        case Resecret():
            return iter(())
        case _:
            return field_lines(change.fields)


def lines_of_drift(drift: Drift) -> Iterator[Line]:
    """What the changes of the plan don't show: what was changed, and what is left as somebody left it."""
    if drift.kind == "changed":
        return field_lines(drift.fields)
    kept = None if drift.undone else drift.before if drift.kind == "vanished" else drift.after
    return iter(()) if kept is None else content_lines(kept.content, "-" if drift.kind == "vanished" else "+")


def copied(text: str) -> list[str]:
    """Lines for a reader to copy."""
    return [visible(line) for line in _lines(text)]


def field_lines(fields: Iterable[FieldChange]) -> Iterator[Line]:
    """Each field as it was and as it will be; of texts of several lines, what differs and three lines around it."""
    for field in fields:
        path = path_of(field)
        if is_hidden(field):
            yield " ", f"{path}: {shown(field.before)}"
            yield "\\", SAME_BUT_HIDDEN
            continue
        lines = text_diff(field)
        if lines:
            yield " ", f"{path}:"
            for mark, text in hunks(lines):
                yield mark, f"  {text}"
            continue
        if _differ_in_their_end(field):
            yield "-", f"{path}: {shown(field.before)}"
            yield "+", f"{path}: {shown(field.after)}"
            continue
        if not field.added:
            yield from _value_lines(path, field.before, "-")
        if not field.removed:
            yield from _value_lines(path, field.after, "+")


def _value_lines(path: str, value: JsonValue, mark: Mark) -> Iterator[Line]:
    if isinstance(value, str) and is_long(value):
        yield mark, f"{path}:"
        for text in _lines(value):
            yield mark, f"  {visible(text)}"
    else:
        yield mark, f"{path}: {shown(value)}"


def text_diff(field: FieldChange) -> list[Line]:
    """The lines that stay, go and come; none unless both sides are texts and one of them has several lines."""
    before, after = field.before, field.after
    if field.added or field.removed or not isinstance(before, str) or not isinstance(after, str):
        return []
    if not (is_long(before) or is_long(after)) or _differ_in_their_end(field):
        return []
    old, new = _lines(before), _lines(after)
    ended = before.endswith("\n") == after.endswith("\n")
    return [*_diff(old, new), *([] if ended else [_unended(before, after)])]


def _differ_in_their_end(field: FieldChange) -> bool:
    """Whether two texts have the same lines; as JSON strings they show what differs."""
    before, after = field.before, field.after
    return isinstance(before, str) and isinstance(after, str) and _lines(before) == _lines(after)


def _unended(before: str, after: str) -> Line:
    return "\\", f"{_NO_LINE_BREAK} {'before' if after.endswith(chr(10)) else 'now'}"


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


def _diff(old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    yield from ((" ", visible(text)) for text in old[:head])
    yield from _middle(old[head : len(old) - tail], new[head : len(new) - tail])
    yield from ((" ", visible(text)) for text in old[len(old) - tail :])


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines are the same from the beginning on."""
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return index
    return min(len(old), len(new))


def _middle(old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    if len(old) * len(new) > _MOST_PAIRS:
        codes = [("replace", 0, len(old), 0, len(new))]
    else:
        codes = list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    for tag, i1, i2, j1, j2 in codes:
        if tag == "equal":
            yield from ((" ", visible(text)) for text in old[i1:i2])
        else:
            yield from (("-", visible(text)) for text in old[i1:i2])
            yield from (("+", visible(text)) for text in new[j1:j2])


def hunks(lines: Sequence[Line], *, around: int = 3) -> Iterator[Line]:
    """What changes, with a few lines around it; how many lines that stay are left out."""
    near = [False] * len(lines)
    for index, (mark, _) in enumerate(lines):
        if mark != " ":
            for close in range(max(index - around, 0), min(index + around + 1, len(lines))):
                near[close] = True
    skipped = 0
    for line, kept in zip(lines, near, strict=True):
        if not kept:
            skipped += 1
            continue
        if skipped:
            yield "\\", _unchanged(skipped)
            skipped = 0
        yield line
    if skipped:
        yield "\\", _unchanged(skipped)


def _unchanged(count: int) -> str:
    return f"{count:,} {'line' if count == 1 else 'lines'} unchanged"
