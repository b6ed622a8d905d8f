"""A plan as data: a value that can be read, saved, compared and applied later, never a list of closures.

1. Every change that touches something existing carries the digest it expects there. A plan is stale only when an
   object it touches has moved; unrelated edits don't void it.
2. `fields` and `origin` are for the reader. Nothing may branch on them: apply acts on `key`, `expects` and `after`.
3. Stages are ordered; within one the order does not matter. Device types come before their callbacks, and leave after
   them.
4. What another project owns is no change: a declared key of that kind is a `Collision`, and refuses the plan.
5. Drift is no change: it tells what was changed at the target behind the files, and whether the plan undoes it.
6. Limits are counts, or shares of what the project owned before the plan; `plan.limits` holds a plan against them.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, get_args

from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame, Fingerprint

__all__ = [
    "KINDS",
    "Adopt",
    "Change",
    "ChangeKind",
    "Collision",
    "Count",
    "Create",
    "Delete",
    "Drift",
    "FieldChange",
    "Limit",
    "Limits",
    "Move",
    "Plan",
    "Reason",
    "Receipt",
    "Rename",
    "Resecret",
    "Share",
    "Update",
    "UpdateKind",
    "parse_limit",
]

UpdateKind = Literal["update", "enable", "disable", "replace"]
ChangeKind = Literal["create", "update", "enable", "disable", "replace", "delete", "move", "adopt", "resecret"]
KINDS: Final[tuple[ChangeKind, ...]] = get_args(ChangeKind)
"""In the order in which they are counted and told."""


class Reason(StrEnum):
    """Why a change is in the plan: for the reader, never to branch on."""

    DECLARED = "declared"  # the files declare it, and it never was at the target
    VANISHED = "vanished"  # somebody took it away behind the files
    EDITED = "edited"  # the files say something else than was applied
    DRIFTED = "drifted"  # somebody changed it behind the files, which say what they said
    EDITED_AND_DRIFTED = "edited-and-drifted"
    TYPE_CHANGED = "type-changed"  # it fires on another event now: nothing of the old one stays
    CHANNEL_CHANGED = "channel-changed"
    UNDECLARED = "undeclared"  # its device type is declared, and it no longer is among its callbacks
    REMOVED = "removed"  # the files' `removed` names its device type
    APPEARED = "appeared"  # somebody added it behind the files, below a device type that they declare
    MOVED = "moved"  # the files' `moved` gives it another key
    ADOPTED = "adopted"
    SECRET_CHANGED = "secret-changed"


_COUNT = re.compile(r"\d{1,9}\Z", re.ASCII)
_SHARE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*%\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs. `path` leads into the content; `ABSENT` sides are None with the flag set."""

    path: tuple[str, ...]
    before: JsonValue
    after: JsonValue
    added: bool = False
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Something new; refused when the key exists at the target."""

    key: Key
    after: Definition
    origin: Span | None
    reason: Reason = Reason.DECLARED
    kind: Literal["create"] = field(default="create", init=False)


@dataclass(frozen=True, slots=True)
class Update:
    """Something that exists, with other content.

    `kind` tells what it means: `enable` and `disable` change nothing but that; `replace` changes the type or the
    channel of a callback, so that nothing of what it did stays.
    """

    key: Key
    before: Definition
    after: Definition
    fields: tuple[FieldChange, ...]
    origin: Span | None
    reason: Reason = Reason.EDITED
    kind: UpdateKind = "update"

    @property
    def expects(self) -> str:
        """The digest that the target must still hold."""
        return self.before.digest


@dataclass(frozen=True, slots=True)
class Delete:
    """Something that the files no longer mention."""

    key: Key
    before: Definition
    reason: Reason = Reason.UNDECLARED
    kind: Literal["delete"] = field(default="delete", init=False)

    @property
    def expects(self) -> str:
        """The digest that the target must still hold."""
        return self.before.digest


@dataclass(frozen=True, slots=True)
class Move:
    """Something that exists, under another key and perhaps with other content; `before` has the key it leaves."""

    key: Key
    before: Definition
    after: Definition
    fields: tuple[FieldChange, ...]
    origin: Span | None
    reason: Reason = Reason.MOVED
    kind: Literal["move"] = field(default="move", init=False)

    @property
    def expects(self) -> str:
        """The digest that the target must still hold under the key that is left."""
        return self.before.digest


@dataclass(frozen=True, slots=True)
class Adopt:
    """Something that another project owns, or nobody, and that this one takes over; perhaps with other content."""

    key: Key
    before: Definition
    after: Definition
    taken_from: str
    fields: tuple[FieldChange, ...]
    origin: Span | None
    reason: Reason = Reason.ADOPTED
    kind: Literal["adopt"] = field(default="adopt", init=False)

    @property
    def expects(self) -> str:
        """The digest that the target must still hold."""
        return self.before.digest


@dataclass(frozen=True, slots=True)
class Resecret:
    """A secret whose value is another one than at the last publication; applying it records the new fingerprint.

    `key` is the device type or callback that refers to it first; `callbacks` are all of them.
    """

    key: Key
    name: str
    before: str | None
    after: str | None
    callbacks: tuple[Key, ...]
    reason: Reason = Reason.SECRET_CHANGED
    kind: Literal["resecret"] = field(default="resecret", init=False)


Change = Create | Update | Delete | Move | Adopt | Resecret


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that was changed at the target behind the files.

    Attributes:
        before: what the files had brought about; None when it appeared behind them.
        after: what is there now; None when it vanished.
        undone: whether the plan brings back what the files say; False when they say by now what is there, or when it is
            left alone.
        blame: who did it; None when the history does not tell.
    """

    key: Key
    before: Definition | None
    after: Definition | None
    fields: tuple[FieldChange, ...]
    undone: bool
    blame: Blame | None
    kind: Literal["changed", "vanished", "appeared"]


@dataclass(frozen=True, slots=True)
class Rename:
    """What goes, or is left alone, and what is created are probably one definition under a new name.

    Attributes:
        lines: the YAML to add, complete with its `moved:`.
        file: where to add it.
    """

    before: Key
    after: Key
    lines: str
    file: str


@dataclass(frozen=True, slots=True)
class Collision:
    """A key that the project may not touch: `owner`, another project, holds it or its device type.

    It is declared; or it is `moved_to` a declared one, by the files' `moved`.
    """

    key: Key
    owner: str
    origin: Span | None
    moved_to: Key | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes to bring a target from `base` to what the files declare.

    Attributes:
        environment: the environment's name in the project file.
        target: where it is, for people; never a secret.
        owner: the project that will own what is created.
        digest: digest of the effect: the same changes in other files, order or words of comment keep it
            (`codec.plan.plan_digest`).
        collisions: declared keys that were set aside, by key; they have no effect and no part in the digest.
        drift: what was changed behind the files, by key; likewise.
        left: what the project owns and the files do not mention, so that it is left alone; likewise.
        renames: what looks like a rename; likewise.
    """

    environment: str
    target: str
    owner: str
    base: Fingerprint
    stages: tuple[tuple[Change, ...], ...]
    digest: str
    collisions: tuple[Collision, ...] = ()
    drift: tuple[Drift, ...] = ()
    left: tuple[Key, ...] = ()
    renames: tuple[Rename, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes in the order of their stages."""
        return tuple(change for stage in self.stages for change in stage)

    @property
    def is_empty(self) -> bool:
        """Whether the target already is as declared."""
        return not any(self.stages)


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a target took one change."""

    key: Key
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Count:
    """At most so many."""

    at_most: int
    kind: Literal["count"] = field(default="count", init=False)

    def __str__(self) -> str:
        return str(self.at_most)


@dataclass(frozen=True, slots=True)
class Share:
    """At most so many percent of what the project owned before; more than 100 is possible for creates and totals."""

    percent: Decimal
    kind: Literal["share"] = field(default="share", init=False)

    def __str__(self) -> str:
        return f"{self.percent}%"


Limit = Count | Share


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one plan may do; None is no limit. `total` holds for creates, updates and deletes together."""

    creates: Limit | None = None
    updates: Limit | None = None
    deletes: Limit | None = None
    total: Limit | None = None


def parse_limit(value: int | str) -> Limit:
    """Read what stands in a project file: `5`, `"5"` or `"12.5%"`; ValueError with a sentence when it is neither."""
    text = str(value).strip()
    if _COUNT.match(text):
        return Count(int(text))
    if share := _SHARE.match(text):
        return Share(Decimal(share[1]))
    raise ValueError("A limit is a whole number, such as 5, or a percentage, such as 30%.")
