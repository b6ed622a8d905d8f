"""A plan as data: a value that can be read, saved, compared and applied later, never a list of closures.

1. Every change that touches something existing carries the digest it expects there. A plan is stale only when an
   object it touches has moved; unrelated edits don't void it.
2. `fields` and `origin` are for the reader. Nothing may branch on them: apply acts on `key`, `expects` and `after`.
3. Stages are ordered; within one the order does not matter. Device types come before their callbacks, and leave after
   them.
"""

from dataclasses import dataclass, field
from typing import Literal

from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint

__all__ = ["Change", "Create", "Delete", "FieldChange", "Plan", "Receipt", "Update"]


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
class Plan:
    """What it takes to bring a target from `base` to what the files declare.

    Attributes:
        environment: the environment's name in the project file.
        target: where it is, for people; never a secret.
        owner: the project that will own what is created.
        digest: digest of the effect: the same changes in other files, order or words of comment keep it.
    """

    environment: str
    target: str
    owner: str
    base: Fingerprint
    stages: tuple[tuple[Change, ...], ...]
    digest: str

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
