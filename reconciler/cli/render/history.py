"""The history of revisions → text for people, JSON for programs."""

import json
from collections.abc import Sequence
from typing import Final

import orjson

from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_text import changes_as_text
from reconciler.cli.render.text import Paint, columns, indent, visible
from reconciler.codec.plan import dump_plan
from reconciler.model.plan import Change, Plan
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry
from reconciler.model.snapshot import Fingerprint

__all__ = ["history_as_json", "history_as_text", "revision_as_json", "revision_as_text"]

_AMENDED: Final = (("create", "+"), ("update", "~"), ("delete", "-"), ("move", "→"), ("adopt", "←"))
_SHORT: Final = 12
"""As many digits of a commit or a digest as tell it from others."""
# These are counted also when there are none.
_ALWAYS: Final = ("create", "update", "delete")


def history_as_text(entries: Sequence[HistoryEntry], *, paint: Paint) -> str:
    """A line for each revision, newest first, as given."""
    if not entries:
        return "Nothing was published yet.\n"
    rows: list[tuple[str, ...]] = [("REVISION", "PUBLISHED", "BY", "COMMIT", "VIA", "PLAN", "CHANGES", "NOTE")]
    for entry in entries:
        published = entry.publication
        rows.append(
            (
                str(entry.number),
                "" if published.at is None else f"{published.at:%Y-%m-%d %H:%M:%SZ}",
                visible(published.by),
                visible(_short_commit(published.commit)),
                visible(published.via),
                visible(published.plan[:_SHORT]),
                _signed_counts(entry),
                visible(published.note),
            )
        )
    if not any(entry.publication.via for entry in entries):  # as engines kept it before they recorded this
        rows = [row[:4] + row[6:] for row in rows]
    heading, *lines = (line.rstrip() for line in columns(rows))
    return "\n".join([paint.faint(heading), *lines]) + "\n"


def history_as_json(entries: Sequence[HistoryEntry]) -> str:
    """An array, newest first, as given."""
    return json.dumps([_entry_as_object(entry) for entry in entries], indent=2, ensure_ascii=False)


def revision_as_text(entry: HistoryEntry, changes: Sequence[Change], *, paint: Paint, width: int | None = None) -> str:
    """One revision whole: who published it, when and from what, and every change with its fields."""
    published = entry.publication
    rows = [
        ("published", "" if published.at is None else f"{published.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("by", visible(published.by)),
        ("project", visible(entry.owner)),
        ("via", visible(published.via) or "the engine's door, behind the files"),
        ("commit", visible(published.commit)),
        ("plan", visible(published.plan)),
        ("note", visible(published.note)),
        ("changes", _signed_counts(entry)),
        ("digest", visible(entry.digest)),
    ]
    head = [paint.strong(f"Revision {entry.number}"), *indent(columns([row for row in rows if row[1]]), by=2)]
    return "\n".join(head) + "\n\n" + _told(entry, changes, paint, width)


def revision_as_json(entry: HistoryEntry, changes: Sequence[Change]) -> str:
    """The same as an object: its line of the history, and the changes in the form of a plan's."""
    document = orjson.loads(dump_plan(masked(_as_plan(entry, changes))))
    told = [change for stage in document["stages"] for change in stage]
    for change in told:
        del change["reason"]  # nobody recorded why
        change.pop("origin", None)
    return json.dumps(_entry_as_object(entry) | ({"changes": told} if told else {}), indent=2, ensure_ascii=False)


def _told(entry: HistoryEntry, changes: Sequence[Change], paint: Paint, width: int | None) -> str:
    if len(changes) == len(entry.changes):
        return changes_as_text(_as_plan(entry, changes), paint=paint, width=width) if changes else "No changes.\n"
    # Published before engines recorded the project, so that contents can not be asked for.
    return "\n".join(f"{kind} {visible(str(key))}" for kind, key in entry.changes) + "\n"


def _as_plan(entry: HistoryEntry, changes: Sequence[Change]) -> Plan:
    base = Fingerprint(entry.number - 1, "")
    return Plan("", "", entry.owner, base, (tuple(changes),), entry.publication.plan)


def _signed_counts(entry: HistoryEntry) -> str:
    """“+2 ~0 -1”, and moves and adoptions where there are some."""
    kinds = [kind for kind, _ in entry.changes]
    counted = ((kind, sign, kinds.count(kind)) for kind, sign in _AMENDED)
    return " ".join(f"{sign}{count}" for kind, sign, count in counted if count or kind in _ALWAYS)


def _short_commit(commit: str) -> str:
    name, dash, mark = commit.partition("-")
    return f"{name[:_SHORT]}{dash}{mark}"


def _entry_as_object(entry: HistoryEntry) -> dict[str, object]:
    published = entry.publication
    return {
        "number": entry.number,
        "digest": entry.digest,
        "publishedAt": None if published.at is None else published.at.isoformat(),
        "publishedBy": published.by,
        "owner": entry.owner,
        "commit": published.commit,
        "note": published.note,
        "via": published.via,
        "plan": published.plan,
        "changes": [_change_as_object(entry, kind, key) for kind, key in entry.changes],
    }


def _change_as_object(entry: HistoryEntry, kind: str, key: Key) -> dict[str, str]:
    change = {"kind": kind, "key": str(key)}
    source = entry.sources.get(key)
    return change if source is None else change | {"from": str(source)}
