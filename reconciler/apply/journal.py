"""What is remembered of an apply: one line of JSON before and after each step. Pure.

1. A line before a step says what will be tried, a line after it what came of it. A step that has the first line alone
   may have been made: that is in doubt until somebody looks at the target.
2. Lines hold keys and digests, never contents, and no words of a target: nothing secret can get into them.
3. A line counts once its line break is there. The last line may have been cut off by whatever ended the program; any
   other that can not be read means that the journal is damaged, and nothing is guessed.
4. An apply is unfinished while its journal has no last line, and so it stays while something is in doubt.
5. An atomic target takes all changes in one step: there `sent` is the line before it, and the last line follows it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast, get_args

import orjson

from reconciler.model.plan import KINDS, Change, ChangeKind, Create, Delete, Resecret
from reconciler.model.resource import Key

__all__ = [
    "FORMAT",
    "Abandoned",
    "Begun",
    "Course",
    "Entry",
    "Finished",
    "Intended",
    "Made",
    "Outcome",
    "Refused",
    "Resumed",
    "Sent",
    "course_of",
    "dump_entry",
    "intended",
    "load_entry",
    "load_journal",
]

FORMAT = "reconciler-journal/1"

Outcome = Literal["done", "stopped"]


@dataclass(frozen=True, slots=True)
class Begun:
    """The first line: which plan is carried out where, and what the history will say of it.

    Attributes:
        plan: the plan's digest.
        base: the revision that the plan was made for.
        changes: how many there are.
        by: who; `commit`, `note` and `via` as in a `Publication`.
    """

    plan: str
    environment: str
    target: str
    owner: str
    base: int
    atomic: bool
    changes: int
    by: str
    commit: str
    note: str
    via: str
    event: Literal["begun"] = field(default="begun", init=False)


@dataclass(frozen=True, slots=True)
class Intended:
    """A change is about to be made. `step` is its place in the plan, from 0; digests are None where nothing is."""

    step: int
    kind: ChangeKind
    key: Key
    expects: str | None
    after: str | None
    event: Literal["intended"] = field(default="intended", init=False)


@dataclass(frozen=True, slots=True)
class Made:
    """The change is in force."""

    step: int
    kind: ChangeKind
    key: Key
    event: Literal["made"] = field(default="made", init=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The target answered, and did not make the change."""

    step: int
    kind: ChangeKind
    key: Key
    event: Literal["refused"] = field(default="refused", init=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """All changes are about to be published as one revision."""

    event: Literal["sent"] = field(default="sent", init=False)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The target was looked at, and the same plan is carried on with; `found` are the steps that are in force."""

    found: tuple[int, ...]
    event: Literal["resumed"] = field(default="resumed", init=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last line: the whole plan is in force (`done`), or it is known which part of it is not (`stopped`)."""

    outcome: Outcome
    revision: int | None
    event: Literal["finished"] = field(default="finished", init=False)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The last line, when somebody decided that the rest shall not be done."""

    event: Literal["abandoned"] = field(default="abandoned", init=False)


Entry = Begun | Intended | Made | Refused | Sent | Resumed | Finished | Abandoned


@dataclass(frozen=True, slots=True)
class Course:
    """What a journal tells.

    Attributes:
        began_at: when its apply began.
        made: the steps that are in force, as far as it was told.
        in_doubt: the steps that were tried, and whose outcome was not told.
        sent: whether an atomic target may have published.
        last: how it ended; None while it is unfinished.
    """

    begun: Begun
    began_at: datetime
    made: frozenset[int]
    in_doubt: frozenset[int]
    sent: bool
    last: Finished | Abandoned | None

    @property
    def is_unfinished(self) -> bool:
        """Whether something may have been done that nobody knows of."""
        return self.last is None

    @property
    def can_be_resumed(self) -> bool:
        """Whether the plan is not wholly in force, and nobody gave it up."""
        return self.last is None or (isinstance(self.last, Finished) and self.last.outcome == "stopped")


def intended(step: int, change: Change) -> Intended:
    """The line before a change."""
    match change:
        case Create(after=after):
            return Intended(step, change.kind, change.key, None, after.digest)
        case Delete():
            return Intended(step, change.kind, change.key, change.expects, None)
        case Resecret(before=before, after=fingerprint):
            return Intended(step, change.kind, change.key, before, fingerprint)
        case _:
            return Intended(step, change.kind, change.key, change.expects, change.after.digest)


# Lines


def dump_entry(entry: Entry, *, at: datetime) -> bytes:
    """The line, its line break included."""
    row: dict[str, Any] = {"at": at.isoformat(timespec="milliseconds"), "event": entry.event}
    if isinstance(entry, Begun):
        row["format"] = FORMAT
    for name in entry.__slots__:
        if name != "event":
            value = getattr(entry, name)
            row[name] = str(value) if isinstance(value, Key) else value
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def load_entry(line: bytes) -> tuple[datetime, Entry]:
    """Read what `dump_entry` wrote; ValueError when it is anything else."""
    try:
        row = orjson.loads(line)
        return datetime.fromisoformat(row["at"]), _entry(row)
    except (KeyError, TypeError, ValueError) as error:  # orjson's error is a ValueError
        raise ValueError(f"not a line of a journal: {type(error).__name__}, {error}") from error


def load_journal(data: bytes) -> Course:
    """What the lines of a journal tell together; ValueError with a sentence when it is damaged."""
    *lines, _cut_off = data.split(b"\n")
    entries: list[tuple[datetime, Entry]] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(load_entry(line))
        except ValueError as error:
            raise ValueError(f"Line {number} is {error}.") from error
    return course_of(entries)


def course_of(entries: Iterable[tuple[datetime, Entry]]) -> Course:
    """What entries tell together; ValueError when they do not begin with the beginning."""
    rows = iter(entries)
    at, begun = next(rows, (None, None))
    if at is None or not isinstance(begun, Begun):
        raise ValueError("It does not begin with the line that tells the plan.")
    made: set[int] = set()
    in_doubt: set[int] = set()
    sent = False
    last: Finished | Abandoned | None = None
    for _, entry in rows:
        match entry:
            case Intended(step=step):
                in_doubt.add(step)
            case Made(step=step):
                in_doubt.discard(step)
                made.add(step)
            case Refused(step=step):
                in_doubt.discard(step)
            case Sent():
                sent = True
            case Resumed(found=found):
                made.update(found)
                in_doubt.clear()
                last = None
            case Finished() | Abandoned():
                last = entry
            case Begun():
                raise ValueError("It tells of two plans.")
    return Course(begun, at, frozenset(made), frozenset(in_doubt), sent, last)


def _entry(row: Mapping[str, Any]) -> Entry:
    match row["event"]:
        case "begun":
            if row["format"] != FORMAT:
                raise ValueError(f"its form is {row['format']!r}, not {FORMAT}")
            return Begun(
                plan=_text(row["plan"]),
                environment=_text(row["environment"]),
                target=_text(row["target"]),
                owner=_text(row["owner"]),
                base=int(row["base"]),
                atomic=bool(row["atomic"]),
                changes=int(row["changes"]),
                by=_text(row["by"]),
                commit=_text(row["commit"]),
                note=_text(row["note"]),
                via=_text(row["via"]),
            )
        case "intended":
            return Intended(int(row["step"]), _kind(row["kind"]), Key.parse(row["key"]), row["expects"], row["after"])
        case "made":
            return Made(int(row["step"]), _kind(row["kind"]), Key.parse(row["key"]))
        case "refused":
            return Refused(int(row["step"]), _kind(row["kind"]), Key.parse(row["key"]))
        case "sent":
            return Sent()
        case "resumed":
            return Resumed(tuple(int(step) for step in row["found"]))
        case "finished":
            if row["outcome"] not in get_args(Outcome):
                raise ValueError(f"unknown outcome {row['outcome']!r}")
            return Finished(cast("Outcome", row["outcome"]), row["revision"])
        case "abandoned":
            return Abandoned()
        case event:
            raise ValueError(f"unknown event {event!r}")


def _kind(value: object) -> ChangeKind:
    for kind in KINDS:
        if kind == value:
            return kind
    raise ValueError(f"unknown kind of change {value!r}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value
