"""A numbered, digested set of definitions: the meeting point of the two journeys.

1. Revisions are numbered from 1 without gaps; the engine with nothing published is at revision 0, which is empty.
2. A revision never changes. Rolling back publishes an old content under a new number.
3. `next_revision` decides, without I/O, what a publication leads to; the store then publishes it with compare-and-set.
4. The amendments of a publication are one step, not a sequence: each key occurs once and their order changes nothing.
5. Every callback's device type exists, and belongs to the callback's owner.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from reconciler.model.definition import Definition
from reconciler.model.resource import Key

__all__ = [
    "EMPTY",
    "Amendment",
    "HistoryEntry",
    "Owned",
    "Problem",
    "ProblemCode",
    "Publication",
    "Revision",
    "next_revision",
]

ProblemCode: TypeAlias = Literal["exists", "missing", "moved", "foreign", "has-callbacks", "repeated"]


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

    def __post_init__(self) -> None:
        if (self.kind == "create") != (self.expects is None) or (self.kind == "delete") != (self.after is None):
            raise ValueError(f"not a {self.kind}: {self.key} expects {self.expects}, leads to {self.after}")


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


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an amendment can not be made: a slug to branch on and a sentence to read."""

    key: Key
    code: ProblemCode
    message: str


def next_revision(
    current: Revision,
    amendments: Sequence[Amendment],
    *,
    owner: str,
    publication: Publication,
    digest: Callable[[Iterable[tuple[Key, Owned]]], str],
) -> Revision | tuple[Problem, ...]:
    """What publishing `amendments` for `owner` on top of `current` leads to, or all that stands against it.

    `digest` is `codec.canonical.revision_digest`; it comes as an argument because the codec stands above the model.
    """
    problems = _repeated(amendments)
    owned = dict(current.owned)
    for amendment in amendments:
        if (problem := _obstacle(current, amendment, owner=owner)) is not None:
            problems.append(problem)
        elif amendment.after is None:
            owned.pop(amendment.key, None)
        else:
            owned[amendment.key] = Owned(amendment.after, owner)
    problems += _left_behind(amendments, owned)
    problems += _unattached(current, amendments, owned)
    if problems:
        return tuple(problems)
    changes = tuple((amendment.kind, amendment.key) for amendment in amendments)
    return Revision(current.number + 1, digest(owned.items()), owned, publication, changes)


def _repeated(amendments: Sequence[Amendment]) -> list[Problem]:
    times = Counter(amendment.key for amendment in amendments)
    return [
        Problem(key, "repeated", f"{key} is amended {n} times; one publication changes a key once.")
        for key, n in times.items()
        if n > 1
    ]


def _obstacle(current: Revision, amendment: Amendment, *, owner: str) -> Problem | None:
    """What stands against the amendment on its own."""
    key, held, parent = amendment.key, current.owned.get(amendment.key), current.owned.get(amendment.key.parent)
    if held is not None and held.owner != owner:
        return Problem(key, "foreign", f"{key} belongs to the project {held.owner}; {owner} may not touch it.")
    if amendment.expects is None:
        if held is not None:
            return Problem(key, "exists", f"{key} already exists at revision {current.number}.")
        if parent is not None and parent.owner != owner:
            return Problem(key, "foreign", f"{key} would belong to a device type of the project {parent.owner}.")
        return None
    if held is None:
        return Problem(key, "missing", f"{key} does not exist at revision {current.number}.")
    if held.definition.digest != amendment.expects:
        found = held.definition.digest
        return Problem(key, "moved", f"{key} has moved: expected digest {amendment.expects}, found {found}.")
    return None


def _left_behind(amendments: Sequence[Amendment], owned: Mapping[Key, Owned]) -> list[Problem]:
    """Device types that leave while callbacks of theirs stay in `owned`."""
    leaving = {a.key for a in amendments if a.kind == "delete" and not a.key.callback} - owned.keys()
    staying: dict[Key, list[str]] = {}
    for key in sorted(owned) if leaving else ():
        if key.parent in leaving:
            staying.setdefault(key.parent, []).append(key.callback)
    return [
        Problem(parent, "has-callbacks", f"{parent} can not be deleted while it has callbacks: {', '.join(names)}.")
        for parent, names in staying.items()
    ]


def _unattached(current: Revision, amendments: Sequence[Amendment], owned: Mapping[Key, Owned]) -> list[Problem]:
    """New callbacks of device types that neither exist nor are created beside them."""
    return [
        Problem(a.key, "missing", f"{a.key} has no device type: {a.key.parent} is not in revision {current.number}.")
        for a in amendments
        if a.kind == "create" and a.key.parent not in owned and a.key.parent not in current.owned
    ]
