"""A plan as data: a value that can be read, saved, compared and applied later, never a list of closures.

1. Every change that touches something existing carries the digest it expects there. A plan is stale only when an
   object it touches has moved; unrelated edits don't void it.
2. `fields` and `origin` are for the reader. Nothing may branch on them: apply acts on `key`, `expects` and `after`.
3. Stages are ordered; within one the order does not matter. Device types come before their callbacks, and leave after
   them.
4. What another project owns is no change: a declared key of that kind is a `Collision`, and refuses the plan.
5. Limits are counts, or shares of what the project owned before the plan; `plan.limits` holds a plan against them.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint

__all__ = [
    "Change",
    "Collision",
    "Count",
    "Create",
    "Delete",
    "FieldChange",
    "Limit",
    "Limits",
    "Plan",
    "Receipt",
    "Share",
    "Update",
    "parse_limit",
]

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
    kind: Literal["create"] = field(default="create", init=False)


@dataclass(frozen=True, slots=True)
class Update:
    """Something that exists, with other content."""

    key: Key
    before: Definition
    after: Definition
    fields: tuple[FieldChange, ...]
    origin: Span | None
    kind: Literal["update"] = field(default="update", init=False)

    @property
    def expects(self) -> str:
        """The digest that the target must still hold."""
        return self.before.digest


@dataclass(frozen=True, slots=True)
class Delete:
    """Something that the files no longer mention."""

    key: Key
    before: Definition
    kind: Literal["delete"] = field(default="delete", init=False)

    @property
    def expects(self) -> str:
        """The digest that the target must still hold."""
        return self.before.digest


Change = Create | Update | Delete


@dataclass(frozen=True, slots=True)
class Collision:
    """A declared key that the project may not touch: `owner`, another project, holds it or its device type."""

    key: Key
    owner: str
    origin: Span | None


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
    """

    environment: str
    target: str
    owner: str
    base: Fingerprint
    stages: tuple[tuple[Change, ...], ...]
    digest: str
    collisions: tuple[Collision, ...] = ()

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
    kind: Literal["create", "update", "delete"]


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
