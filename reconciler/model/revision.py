"""A numbered, digested set of definitions: the meeting point of the two journeys.

1. Revisions are numbered from 1 without gaps; the engine with nothing published is at revision 0, which is empty.
2. A revision never changes. Rolling back publishes an old content under a new number.
3. `next_revision` decides, without I/O, what a publication leads to; the store then publishes it with compare-and-set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from reconciler.model.definition import Definition
from reconciler.model.resource import Key

__all__ = ["EMPTY", "Amendment", "HistoryEntry", "Owned", "Publication", "Revision"]


@dataclass(frozen=True, slots=True)
class Owned:
    """A definition and the project that owns it."""

    definition: Definition
    owner: str


@dataclass(frozen=True, slots=True)
class Publication:
    """Who published, when, from what: for people, and for the audit."""

    at: datetime | None
    by: str
    commit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Amendment:
    """One step from a revision to the next.

    `expects` is the digest that must be there, None for a create; `after` is None for a delete.
    """

    kind: Literal["create", "update", "delete"]
    key: Key
    expects: str | None
    after: Definition | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What a revision did, without its contents. `changes` are pairs of kind and key, in the order published."""

    number: int
    digest: str
    publication: Publication
    changes: Sequence[tuple[str, Key]]


@dataclass(frozen=True, slots=True)
class Revision:
    """A numbered set of definitions. `digest` is over keys, digests and owners; see `codec.revision_digest`."""

    number: int
    digest: str
    owned: Mapping[Key, Owned]
    publication: Publication
    changes: Sequence[tuple[str, Key]] = field(default=())


EMPTY = Revision(number=0, digest="", owned={}, publication=Publication(at=None, by=""))
