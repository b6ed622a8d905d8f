"""What every rendered plan says in the same words: signs, kinds, reasons, who changed what, how many there are.

Sentences hold text of others only through `quote`, which makes it harmless for the form at hand: `visible` for a
screen, a code span for Markdown, an element for HTML. All else is ours and holds no character that a form would read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from reconciler.cli.render.text import plural
from reconciler.diagnostics import Span
from reconciler.model.plan import KINDS, Adopt, Change, ChangeKind, Collision, Drift, Move, Plan, Reason, Resecret
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame

__all__ = [
    "DONE",
    "SIGNS",
    "Commands",
    "Quote",
    "blame_of",
    "counts_line",
    "done_line",
    "fate_of",
    "holder_of",
    "left_alone",
    "listed",
    "names_of",
    "origin_of",
    "place_of",
    "reason_of",
    "users_of",
]

Quote: TypeAlias = Callable[[str], str]

SIGNS: Final[Mapping[ChangeKind, str]] = {
    "create": "+",
    "update": "~",
    "enable": "~",
    "disable": "~",
    "replace": "-/+",
    "delete": "-",
    "move": "→",
    "adopt": "←",
    "resecret": "*",
}

DONE: Final[Mapping[ChangeKind, str]] = {
    "create": "created",
    "update": "updated",
    "enable": "enabled",
    "disable": "disabled",
    "replace": "replaced",
    "delete": "deleted",
    "move": "moved",
    "adopt": "adopted",
    "resecret": "secret noted",
}
"""What a change of each kind is called once it is made."""

# These are counted also when there are none: a reader looks for what will be deleted.
_ALWAYS: Final = ("create", "update", "delete")

# What is usual has no words: something new, something edited, something no longer declared.
_REASONS: Final[Mapping[Reason, str]] = {
    Reason.VANISHED: "Somebody took it away behind the files; this brings it back.",
    Reason.DRIFTED: "Somebody changed it behind the files; this brings back what they say.",
    Reason.EDITED_AND_DRIFTED: "The files changed, and somebody changed it behind them too; the files win.",
    Reason.TYPE_CHANGED: "Its type changed: it fires on other events from then on, and nothing of the old one stays.",
    Reason.CHANNEL_CHANGED: "Its channel changed: nothing of how it delivered stays.",
    Reason.REMOVED: "The project file lists its device type among what is removed.",
    Reason.APPEARED: "Somebody added it behind the files, below a device type that they declare.",
}


@dataclass(frozen=True, slots=True)
class Commands:
    """What to type next: to apply the plan, and, where a limit refuses it, to apply exactly this one nevertheless."""

    apply: str
    override: str | None = None


def counts_line(plan: Plan) -> str:
    """“2 to create, 1 to update, 0 to delete”, and each other kind that occurs."""
    return ", ".join(
        plural(count, "changed secret") if kind == "resecret" else f"{count:,} to {kind}"
        for kind, count in _counts(change.kind for change in plan.changes)
    )


def done_line(kinds: Iterable[ChangeKind]) -> str:
    """“2 created, 1 updated, 0 deleted”, and each other kind that occurs."""
    return ", ".join(f"{count:,} {DONE[kind]}" for kind, count in _counts(kinds))


def _counts(kinds: Iterable[ChangeKind]) -> Iterator[tuple[ChangeKind, int]]:
    counted = Counter(kinds)
    return ((kind, counted[kind]) for kind in KINDS if counted[kind] or kind in _ALWAYS)


# One change


def names_of(change: Change) -> tuple[str, ...]:
    """What a change is about: its key; for a move the old one and the new one; for a secret its name."""
    match change:
        case Move():
            return str(change.before.key), str(change.key)
        case Resecret():
            return (change.name,)
        case _:
            return (str(change.key),)


def origin_of(change: Change) -> Span | None:
    """Where the author wrote it; nowhere for what is gone from the files."""
    return getattr(change, "origin", None)


def place_of(origin: Span) -> str:
    """“device-types/tracker.yaml:7”."""
    return f"{origin.file}:{origin.line}"


def reason_of(change: Change, quote: Quote) -> str:
    """Why the change is there, where that is not plain; empty where it is."""
    match change:
        case Move():
            usual = "" if change.fields else "Its content stays as it is."
        case Adopt():
            owner = f"It belonged to the project {quote(change.taken_from)}" if change.taken_from else "Nobody owned it"
            usual = f"{owner}." if change.fields else f"{owner}; its content stays as it is."
        case Resecret():
            usual = _what_moved(change)
        case _:
            usual = ""
    return " ".join(sentence for sentence in (_REASONS.get(change.reason, ""), usual) if sentence)


def users_of(change: Resecret, quote: Quote) -> str:
    """“Used by tracker/a, tracker/b and 3 more.”; they do not change."""
    return f"Used by {listed([str(key) for key in change.callbacks], quote)}." if change.callbacks else ""


def listed(names: list[str], quote: Quote, *, at_most: int = 20) -> str:
    """“a, b and 3 more”."""
    shown = ", ".join(quote(name) for name in names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most:,} more"


def _what_moved(change: Resecret) -> str:
    if change.before is None:
        return "It had no value when it was last published, and has one now."
    if change.after is None:
        return "It has no value any more: what refers to it can not be sent."
    return "Its value is another one than when it was last published."


# Beside the changes


def blame_of(blame: Blame | None, quote: Quote) -> str:
    """“by Ada in revision 7, 2026-01-01 12:00:00Z”; empty when nobody knows."""
    if blame is None:
        return ""
    when = "" if blame.at is None else f", {blame.at:%Y-%m-%d %H:%M:%SZ}"
    return f"by {quote(blame.by) if blame.by else 'somebody'} in revision {blame.revision:,}{when}"


def fate_of(drift: Drift, left: frozenset[Key]) -> str:
    """What the plan does about something that was changed behind the files."""
    if drift.undone:
        return "The plan undoes it."
    if drift.key in left or drift.key.parent in left:
        return "The files do not mention it, so it is left alone."
    if drift.kind == "vanished":
        return "The files no longer declare it either."
    return "The files say the same by now."


def holder_of(collision: Collision, quote: Quote) -> str:
    """“held by the project fleet”, and for what the files' `moved` would take away, its new name."""
    held = f"held by the project {quote(collision.owner)}" if collision.owner else "held by no project"
    return held if collision.moved_to is None else f"{held}; would be moved to {quote(str(collision.moved_to))}"


def left_alone(plan: Plan) -> list[tuple[str, str]]:
    """Device types that are left alone, and what of them: “”, “and its 3 callbacks”, “only its 3 callbacks”."""
    callbacks = Counter(key.device_type for key in plan.left if key.callback)
    whole = {key.device_type for key in plan.left if not key.callback}
    rows: list[tuple[str, str]] = []
    for name in sorted(whole | callbacks.keys()):
        its = f"its {plural(callbacks[name], 'callback')}" if callbacks[name] else ""
        rows.append((name, f"and {its}" if its and name in whole else f"only {its}" if its else ""))
    return rows
