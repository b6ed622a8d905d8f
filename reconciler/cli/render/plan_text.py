"""Plans → text for people.

1. A plan is shown whole: every change, every field, in the order of its stages; nothing is folded away.
2. A text that changed is shown as a line diff when it is long or has many lines, everything else as `before → after`.
3. What is no change stands apart, below the changes: drift, what is left alone, what looks like a rename, what other
   projects hold. How many changes there are and the digest to approve come last, where a terminal stops scrolling.
4. On a terminal lines end where it ends, cut between any two characters; without a width (a pipe, a file) they don't.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from reconciler.cli.render.plan_lines import (
    SAME_BUT_HIDDEN,
    Line,
    copied,
    is_hidden,
    is_long,
    leaves,
    path_of,
    shown,
    text_diff,
)
from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_words import (
    SIGNS,
    blame_of,
    counts_line,
    fate_of,
    holder_of,
    left_alone,
    names_of,
    origin_of,
    place_of,
    reason_of,
    users_of,
)
from reconciler.cli.render.text import Paint, cells, chunks, columns, indent, visible
from reconciler.diagnostics import Span
from reconciler.model.definition import Content
from reconciler.model.plan import Change, Collision, Create, Delete, Drift, FieldChange, Plan, Rename, Resecret
from reconciler.model.resource import Key

__all__ = ["changes_as_text", "plan_as_text"]

# Values that take more cells than this stand on lines of their own.
_ROW_CELLS: Final = 60
# A terminal narrower than this gets lines of this width, which it breaks itself.
_LEAST_WIDTH: Final = 40
_INDENT: Final = 4
_NOT_SET: Final = "(not set)"


def plan_as_text(plan: Plan, *, paint: Paint, width: int | None = None) -> str:
    """A block for each change, what else there is to know, then how many there are and the digest to approve.

    `width` is that of the terminal in cells, None where lines may be of any length.
    """
    plan = masked(plan)
    page = _Page(paint, None if width is None else max(width, _LEAST_WIDTH) - _INDENT)
    place = f"{visible(plan.environment)} ({visible(plan.target)}, revision {plan.base.revision})"
    blocks = [*_changes(plan, page), *_drift(plan, page), *_left(plan, page)]
    blocks += [*_renames(plan.renames, page), *_collisions(plan.collisions, page)]
    if not plan.is_empty:
        closing = f"Plan for {place}: {counts_line(plan)}.\n{paint.faint(f'Digest {visible(plan.digest)}')}"
    elif plan.collisions:
        closing = f"{paint.changed('Nothing that this project may change')}: {place}."
    else:
        closing = f"{paint.good('Nothing to change')}: {place} is as declared."
    return "\n\n".join([*blocks, closing]) + "\n"


def changes_as_text(plan: Plan, *, paint: Paint, width: int | None = None) -> str:
    """The blocks of the changes alone; `width` as above."""
    page = _Page(paint, None if width is None else max(width, _LEAST_WIDTH) - _INDENT)
    return "\n\n".join(_changes(masked(plan), page)) + "\n"


@dataclass(frozen=True, slots=True)
class _Page:
    """Colours, and how many cells stand to the right of the indent of four; None for as many as it takes."""

    paint: Paint
    width: int | None

    def sentence(self, text: str) -> list[str]:
        if not text or self.width is None:
            return [text] if text else []
        return textwrap.wrap(text, self.width, break_on_hyphens=False)

    def cut(self, text: str, *, beside: int = 0) -> list[str]:
        """The pieces of a text that has `beside` cells to its left."""
        return [text] if self.width is None else chunks(text, self.width - beside)

    def fits(self, line: str) -> bool:
        return self.width is None or cells(line) <= self.width

    def colour(self, kind: str, text: str) -> str:
        match kind:
            case "create" | "enable" | "appeared":
                return self.paint.good(text)
            case "delete" | "disable" | "replace" | "vanished":
                return self.paint.bad(text)
            case _:
                return self.paint.changed(text)

    def line(self, line: Line, text: str) -> str:
        """A piece of a marked line, in the colour of its mark."""
        match line[0]:
            case "+":
                return self.paint.good(text)
            case "-":
                return self.paint.bad(text)
            case " " | "\\":
                return self.paint.faint(text)
            case mark:
                assert_never(mark)


# Changes


def _changes(plan: Plan, page: _Page) -> Iterator[str]:
    changes = plan.changes
    signs = max((len(SIGNS[change.kind]) for change in changes), default=0)
    kinds = max((len(change.kind) for change in changes), default=0)
    for change in changes:
        tag = page.colour(change.kind, f"{SIGNS[change.kind]:<{signs}} {change.kind:<{kinds}}")
        lines = [*_heading(tag, names_of(change), origin_of(change), page)]
        lines += indent([*page.sentence(reason_of(change, visible)), *_body(change, page)], by=_INDENT)
        yield "\n".join(lines)


def _heading(tag: str, names: Sequence[str], origin: Span | None, page: _Page) -> Iterator[str]:
    named = " → ".join(page.paint.strong(visible(name)) for name in names)
    if origin is None:
        yield f"{tag}  {named}"
        return
    place = page.paint.faint(visible(place_of(origin)))
    line = f"{tag}  {named}  {place}"
    if page.width is None or cells(line) <= page.width + _INDENT:
        yield line
    else:
        yield f"{tag}  {named}"
        yield from indent(page.cut(visible(place_of(origin))), by=_INDENT)


def _body(change: Change, page: _Page) -> Iterator[str]:
    match change:
        case Create():
            yield from _fields(change.after.content, page)
        case Delete():
            yield from _fields(change.before.content, page)
        case Resecret():
            yield from page.sentence(users_of(change, visible))
        case _:
            yield from _field_changes(change.fields, page)


def _fields(content: Content, page: _Page) -> Iterator[str]:
    """A row for each field; a text of several lines stands below the rows."""
    values = list(leaves(content))
    rows = [(path, shown(value)) for path, value in values if not is_long(value)]
    margin = max((cells(path) for path, _ in rows), default=0) + 2
    for (_, text), line in zip(rows, columns(rows), strict=True):
        if page.fits(line):
            yield line
        else:
            first, *rest = page.cut(text, beside=margin) if page.fits(" " * 2 * margin) else [text]
            yield line[: len(line) - len(text)] + first
            yield from indent(rest, by=margin)
    for path, value in values:
        if isinstance(value, str) and is_long(value):
            yield path
            for text in value.removesuffix("\n").split("\n"):
                yield from indent(page.cut(visible(text), beside=2), by=2)


def _field_changes(fields: Sequence[FieldChange], page: _Page) -> Iterator[str]:
    rows: list[tuple[str, str, str]] = []
    diffs: list[tuple[str, list[Line]]] = []
    for field in fields:
        path = path_of(field)
        if is_hidden(field):
            rows.append((path, shown(field.before), f"→ {SAME_BUT_HIDDEN}"))
            continue
        lines: list[Line] = text_diff(field)
        before = page.paint.faint(_NOT_SET) if field.added else shown(field.before)
        after = page.paint.faint(_NOT_SET) if field.removed else shown(field.after)
        if not lines and (_takes_lines(field) or not page.fits(f"{path}  {before}  → {after}")):
            lines = [] if field.added else [("-", before)]
            lines += [] if field.removed else [("+", after)]
        if lines:
            diffs.append((path, lines))
        else:
            rows.append((path, before, f"→ {after}"))
    table = columns(rows)
    yield from table if all(page.fits(line) for line in table) else map("  ".join, rows)
    for path, lines in diffs:
        yield path
        yield from indent(_marked(lines, page), by=2)


def _takes_lines(field: FieldChange) -> bool:
    if field.added or field.removed or not isinstance(field.before, str) or not isinstance(field.after, str):
        return False
    return any(cells(text) > _ROW_CELLS for text in (field.before, field.after))


def _marked(lines: Sequence[Line], page: _Page) -> Iterator[str]:
    for line in lines:
        mark, text = line
        for number, piece in enumerate(page.cut(text, beside=4)):
            yield page.line(line, f"{mark if number == 0 else ' '} {piece}".rstrip())


# Beside the changes


def _drift(plan: Plan, page: _Page) -> Iterator[str]:
    if not plan.drift:
        return
    yield page.paint.strong("Changed at the target behind the files:")
    left = frozenset(plan.left)
    for drift in plan.drift:
        sign = {"changed": "~", "vanished": "-", "appeared": "+"}[drift.kind]
        head = f"{page.colour(drift.kind, f'{sign} {drift.kind:<8}')}  {page.paint.strong(visible(str(drift.key)))}"
        blame = blame_of(drift.blame, visible)
        told = [*page.sentence(fate_of(drift, left)), *_what_drifted(drift, page)]
        if page.width is None or cells(head) + cells(blame) < page.width + _INDENT:
            head = f"{head}  {blame}" if blame else head
        else:
            told = [*page.sentence(blame), *told]
        yield "\n".join([head, *indent(told, by=_INDENT)])


def _what_drifted(drift: Drift, page: _Page) -> Iterator[str]:
    """What the changes don't show: what was changed, and what is left as somebody left it."""
    if drift.kind == "changed":
        yield from _field_changes(drift.fields, page)
    elif not drift.undone:
        definition = drift.before if drift.kind == "vanished" else drift.after
        yield from _fields({} if definition is None else definition.content, page)


def _left(plan: Plan, page: _Page) -> Iterator[str]:
    rows = left_alone(plan)
    if not rows:
        return
    yield page.paint.strong("Left alone, since the files do not mention it:")
    yield "\n".join(indent((f"{visible(name)} {what}".rstrip() for name, what in rows), by=_INDENT))
    yield "To have it deleted, list it in the project file:"
    yield "\n".join(indent(["removed:", *(f"  - {visible(name)}" for name, _ in rows)], by=_INDENT))


def _renames(renames: Sequence[Rename], page: _Page) -> Iterator[str]:
    if not renames:
        return
    subject = "This looks" if len(renames) == 1 else f"These {len(renames):,} look"
    yield page.paint.strong(f"{subject} like a new name for what is there. To move it instead of deleting it:")
    for rename in renames:
        names = f"{visible(str(rename.before))} → {visible(str(rename.after))}, in {visible(rename.file)}:"
        yield "\n".join([names, "", *indent(copied(rename.lines), by=_INDENT)])


def _collisions(collisions: Sequence[Collision], page: _Page) -> Iterator[str]:
    if not collisions:
        return
    yield page.paint.strong("Claimed by the files and held by others, so not touched:")
    rows = [
        (_key(each.key, page), holder_of(each, visible), "" if each.origin is None else visible(place_of(each.origin)))
        for each in collisions
    ]
    yield "\n".join(indent((line.rstrip() for line in columns(rows)), by=_INDENT))


def _key(key: Key, page: _Page) -> str:
    return page.paint.strong(visible(str(key)))
