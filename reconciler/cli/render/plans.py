"""Plans and the history of revisions → text for reviewers; `codec.plan` writes the form for programs.

1. A plan is shown whole: every change, every field, in the order of its stages; nothing is folded away.
2. A long or many-line text that changed is shown as a line diff, everything else as `before → after`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final, assert_never

from reconciler.apply import Report
from reconciler.cli.render.text import Paint, cells, columns, indent, visible
from reconciler.diagnostics import Span
from reconciler.model.definition import JsonValue
from reconciler.model.plan import Change, Create, Delete, FieldChange, Plan, Receipt, Update
from reconciler.model.revision import HistoryEntry

__all__ = [
    "counts_line",
    "history_as_json",
    "history_as_text",
    "plan_as_text",
    "receipt_line",
    "report_as_json",
    "report_as_text",
]

# Values that take more cells than this stand on lines of their own.
_ROW_CELLS: Final = 60
# What would read as a number, a word of JSON, or as one of our own remarks.
_AMBIGUOUS = re.compile(r"(?:null|true|false|-?[0-9][0-9.eE+-]*|\(not set\))\Z")


def plan_as_text(plan: Plan, *, paint: Paint) -> str:
    """A block for each change, then how many there are and the digest to approve."""
    place = f"{plan.environment} ({visible(plan.target)}, revision {plan.base.revision})"
    if plan.is_empty:
        return f"{paint.good('Nothing to change')}: {place} is as declared.\n"
    blocks = ["\n".join(_block(change, paint)) + "\n" for change in plan.changes]
    closing = f"Plan for {place}: {counts_line(plan)}.\n{paint.faint(f'Digest {plan.digest}')}\n"
    return "\n".join([*blocks, closing])


def counts_line(plan: Plan) -> str:
    """“2 to create, 1 to update, 0 to delete”."""
    kinds = [change.kind for change in plan.changes]
    return ", ".join(f"{kinds.count(kind):,} to {kind}" for kind in ("create", "update", "delete"))


def receipt_line(receipt: Receipt, *, paint: Paint) -> str:
    """“created tracker/telemetry”."""
    colour = {"create": paint.good, "update": paint.changed, "delete": paint.bad}[receipt.kind]
    return f"{colour(f'{receipt.kind}d')} {visible(str(receipt.key))}"


def report_as_text(report: Report) -> str:
    """What an apply did, in a line or two."""
    kinds = [receipt.kind for receipt in report.done]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}d" for kind in ("create", "update", "delete"))
    if report.revision is not None:
        return f"Revision {report.revision} is published: {counts}."
    if not report.done:
        return "Nothing was applied."
    return f"Applied: {counts}; {len(report.failed):,} failed, {len(report.not_tried):,} not tried."


def report_as_json(report: Report) -> str:
    """The same for programs."""
    document = {
        "revision": report.revision,
        "done": [{"kind": receipt.kind, "key": str(receipt.key)} for receipt in report.done],
        "failed": [
            {"kind": failure.change.kind, "key": str(failure.change.key), "message": str(failure.error)}
            for failure in report.failed
        ],
        "notTried": [{"kind": change.kind, "key": str(change.key)} for change in report.not_tried],
        "error": None if report.error is None else str(report.error),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def history_as_text(entries: Sequence[HistoryEntry], *, paint: Paint) -> str:
    """A line for each revision, newest first, as given."""
    if not entries:
        return "Nothing was published yet.\n"
    rows = [("REVISION", "PUBLISHED", "BY", "COMMIT", "CHANGES", "NOTE")]
    for entry in entries:
        published = entry.publication
        kinds = [kind for kind, _ in entry.changes]
        rows.append(
            (
                str(entry.number),
                "" if published.at is None else f"{published.at:%Y-%m-%d %H:%M:%SZ}",
                visible(published.by),
                visible(_short_commit(published.commit)),
                f"+{kinds.count('create')} ~{kinds.count('update')} -{kinds.count('delete')}",
                visible(published.note),
            )
        )
    heading, *lines = (line.rstrip() for line in columns(rows))
    return "\n".join([paint.faint(heading), *lines]) + "\n"


def history_as_json(entries: Sequence[HistoryEntry]) -> str:
    """An array, newest first, as given."""
    return json.dumps([_entry_as_object(entry) for entry in entries], indent=2, ensure_ascii=False)


# Text


def _block(change: Change, paint: Paint) -> Iterator[str]:
    match change:
        case Create():
            yield f"{paint.good('+ create')}  {paint.strong(str(change.key))}{_origin(change.origin, paint)}"
            yield from indent(_fields(change.after.content), by=4)
        case Update():
            yield f"{paint.changed('~ update')}  {paint.strong(str(change.key))}{_origin(change.origin, paint)}"
            yield from indent(_field_changes(change.fields, paint), by=4)
        case Delete():
            yield f"{paint.bad('- delete')}  {paint.strong(str(change.key))}"
            yield from indent(_fields(change.before.content), by=4)
        case _:
            assert_never(change)


def _origin(origin: Span | None, paint: Paint) -> str:
    return "" if origin is None else f"  {paint.faint(f'{visible(origin.file)}:{origin.line}')}"


def _fields(content: Mapping[str, JsonValue]) -> Iterator[str]:
    """A row for each field; a text of several lines stands below the rows."""
    leaves = list(_leaves(content))
    yield from columns([(path, _shown(value)) for path, value in leaves if not _is_long(value)])
    for path, value in leaves:
        if isinstance(value, str) and _is_long(value):
            yield path
            yield from indent([visible(line) for line in value.splitlines()], by=2)


def _is_long(value: JsonValue) -> bool:
    return isinstance(value, str) and "\n" in value


def _leaves(content: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in content.items():
        path = f"{prefix}{visible(name)}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _field_changes(fields: Sequence[FieldChange], paint: Paint) -> Iterator[str]:
    rows: list[tuple[str, str, str]] = []
    diffs: list[tuple[str, list[str]]] = []
    for field in fields:
        path = visible(".".join(field.path))
        lines = _line_diff(field, paint)
        if lines:
            diffs.append((path, lines))
        else:
            before = paint.faint("(not set)") if field.added else _shown(field.before)
            after = paint.faint("(not set)") if field.removed else _shown(field.after)
            rows.append((path, before, f"→ {after}"))
    yield from columns(rows)
    for path, lines in diffs:
        yield path
        yield from indent(lines, by=2)


def _line_diff(field: FieldChange, paint: Paint) -> list[str]:
    """The lines that stay, go and come; none when the two values fit on one row."""
    if field.added or field.removed or not isinstance(field.before, str) or not isinstance(field.after, str):
        return []
    if all(cells(text) <= _ROW_CELLS and "\n" not in text for text in (field.before, field.after)):
        return []
    before, after = (text.splitlines() for text in (field.before, field.after))
    if before == after:  # only the last line break differs: a row of JSON strings shows it
        return []
    lines: list[str] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [paint.faint(f"  {visible(line)}".rstrip()) for line in before[i1:i2]]
        else:
            lines += [paint.bad(f"- {visible(line)}".rstrip()) for line in before[i1:i2]]
            lines += [paint.good(f"+ {visible(line)}".rstrip()) for line in after[j1:j2]]
    return lines


def _shown(value: JsonValue) -> str:
    """A text as it is, unless it could be taken for something else; anything else as JSON."""
    if isinstance(value, str) and value and visible(value) == value.strip() and not _AMBIGUOUS.match(value):
        return value
    return visible(json.dumps(value, ensure_ascii=False, default=dict))


def _short_commit(commit: str) -> str:
    name, dash, mark = commit.partition("-")
    return f"{name[:12]}{dash}{mark}"


def _entry_as_object(entry: HistoryEntry) -> dict[str, object]:
    published = entry.publication
    return {
        "number": entry.number,
        "digest": entry.digest,
        "publishedAt": None if published.at is None else published.at.isoformat(),
        "publishedBy": published.by,
        "commit": published.commit,
        "note": published.note,
        "changes": [{"kind": kind, "key": str(key)} for kind, key in entry.changes],
    }
