"""A numbered, digested set of definitions: the meeting point of the two journeys.

1. Revisions are numbered from 1 without gaps; the engine with nothing published is at revision 0, which is empty.
2. A revision never changes. Rolling back publishes an old content under a new number.
3. `next_revision` decides, without I/O, what a publication leads to; the store then publishes it with compare-and-set.
4. The amendments of a publication are one step, not a sequence: each key occurs once, also as one that is left, and
   their order changes nothing.
5. Every callback's device type exists, and belongs to the callback's owner. A device type takes nothing along: when it
   is moved or adopted, its callbacks are moved or adopted beside it, each by an amendment of its own.
6. Secrets are recorded by fingerprint with every revision, so that a later look tells whether their values changed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from reconciler.model.definition import Definition
from reconciler.model.resource import Key, Resource

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

ProblemCode: TypeAlias = Literal["exists", "missing", "moved", "foreign", "has-callbacks", "repeated", "secret-changed"]


@dataclass(frozen=True, slots=True)
class Owned:
    """A definition and the project that owns it."""

    definition: Definition
    owner: str


@dataclass(frozen=True, slots=True)
class Publication:
    """Who published, when, from what: for people, and for the audit.

    Attributes:
        via: what published: `apply`, `rollback` and `import` carry out the files' or their author's intent; empty is
            somebody at the door, behind the files.
        plan: digest of the plan that was carried out, empty without one.
    """

    at: datetime | None
    by: str
    commit: str = ""
    note: str = ""
    via: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Amendment:
    """One step from a revision to the next.

    Attributes:
        expects: the digest that must be there, None for a create.
        after: what will be there, None for a delete.
        source: for a move, the key that it leaves; `expects` is about what stands there.
        taken_from: for an adoption, the project that owns it until now; empty when nobody does.
        resource: what `after` means, where it was checked already: checking 10,000 twice takes half a second.
    """

    kind: Literal["create", "update", "delete", "move", "adopt"]
    key: Key
    expects: str | None
    after: Definition | None
    source: Key | None = None
    taken_from: str | None = None
    resource: Resource | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if (
            (self.kind == "create") != (self.expects is None)
            or (self.kind == "delete") != (self.after is None)
            or (self.kind == "move") != (self.source is not None)
            or (self.kind == "adopt") != (self.taken_from is not None)
            or (self.source is not None and bool(self.source.callback) != bool(self.key.callback))
        ):
            raise ValueError(f"not a {self.kind}: {self.key} expects {self.expects}, leads to {self.after}")

    @property
    def touches(self) -> tuple[Key, ...]:
        """The keys whose definitions it changes."""
        return (self.key,) if self.source is None else (self.key, self.source)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What a revision did, without its contents.

    Attributes:
        changes: pairs of kind and key, in the order published; a move stands under its new key.
        owner: the project that published; empty in what was kept before this was recorded.
        sources: for each move, by its new key, the key that was left.
    """

    number: int
    digest: str
    publication: Publication
    changes: Sequence[tuple[str, Key]]
    owner: str = ""
    sources: Mapping[Key, Key] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """A numbered set of definitions.

    Attributes:
        digest: over keys, digests and owners; see `codec.revision_digest`.
        changes: as in `HistoryEntry`; `owner` and `sources` likewise.
        fingerprints: by name, of every secret that definitions referred to when it was published; None where there was
            no value. Empty in what was kept before this was recorded.
    """

    number: int
    digest: str
    owned: Mapping[Key, Owned]
    publication: Publication
    changes: Sequence[tuple[str, Key]] = field(default=())
    owner: str = ""
    sources: Mapping[Key, Key] = field(default_factory=dict)
    fingerprints: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def entry(self) -> HistoryEntry:
        """Its line in the history."""
        return HistoryEntry(self.number, self.digest, self.publication, self.changes, self.owner, self.sources)


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
    refused: set[Key] = set()
    for amendment in amendments:
        obstacles = tuple(_obstacles(current, amendment, owner=owner))
        if obstacles:
            problems += obstacles
            refused.add(amendment.key)
            continue
        if amendment.source is not None:
            owned.pop(amendment.source, None)
        if amendment.after is None:
            owned.pop(amendment.key, None)
        else:
            owned[amendment.key] = Owned(amendment.after, owner)
    problems += _left_behind(amendments, owned)
    problems += _taken_without_callbacks(amendments, owned, refused, owner=owner)
    problems += _unattached(current, amendments, owned, refused, owner=owner)
    if problems:
        return tuple(problems)
    return Revision(
        number=current.number + 1,
        digest=digest(owned.items()),
        owned=owned,
        publication=publication,
        changes=tuple((amendment.kind, amendment.key) for amendment in amendments),
        owner=owner,
        sources={amendment.key: amendment.source for amendment in amendments if amendment.source is not None},
    )


def _repeated(amendments: Sequence[Amendment]) -> list[Problem]:
    times = Counter(key for amendment in amendments for key in amendment.touches)
    return [
        Problem(key, "repeated", f"{key} is amended {n} times; one publication changes a key once.")
        for key, n in times.items()
        if n > 1
    ]


# What stands against an amendment on its own


def _obstacles(current: Revision, amendment: Amendment, *, owner: str) -> Iterator[Problem]:
    match amendment.kind:
        case "create":
            yield from _not_free(current, amendment.key, owner=owner)
        case "update" | "delete":
            yield from _not_as_expected(current, amendment.key, amendment.expects, owner=owner)
        case "move":
            assert amendment.source is not None, "a move leaves a key"
            yield from _not_as_expected(current, amendment.source, amendment.expects, owner=owner)
            yield from _not_free(current, amendment.key, owner=owner)
        case "adopt":
            assert amendment.taken_from is not None, "an adoption takes from somebody"
            if amendment.taken_from == owner:
                message = f"{amendment.key} can not be adopted by {owner} from {owner}: that is no change of owner."
                yield Problem(amendment.key, "exists", message)
            else:
                yield from _not_to_be_taken(current, amendment.key, amendment.expects, amendment.taken_from)
        case _:
            assert_never(amendment.kind)


def _not_free(current: Revision, key: Key, *, owner: str) -> Iterator[Problem]:
    held = current.owned.get(key)
    if held is None:
        return
    if held.owner != owner:
        yield Problem(key, "foreign", f"{key} belongs to {_named(held.owner)}; {owner} may not touch it.")
    else:
        yield Problem(key, "exists", f"{key} already exists at revision {current.number}.")


def _not_as_expected(current: Revision, key: Key, expects: str | None, *, owner: str) -> Iterator[Problem]:
    held = current.owned.get(key)
    if held is not None and held.owner != owner:
        yield Problem(key, "foreign", f"{key} belongs to {_named(held.owner)}; {owner} may not touch it.")
    else:
        yield from _moved(current, key, expects)


def _not_to_be_taken(current: Revision, key: Key, expects: str | None, taken_from: str) -> Iterator[Problem]:
    held = current.owned.get(key)
    if held is not None and held.owner != taken_from:
        message = f"{key} has moved: expected it to belong to {_named(taken_from)}, found {_named(held.owner)}."
        yield Problem(key, "moved", message)
    else:
        yield from _moved(current, key, expects)


def _moved(current: Revision, key: Key, expects: str | None) -> Iterator[Problem]:
    held = current.owned.get(key)
    if held is None:
        yield Problem(key, "missing", f"{key} does not exist at revision {current.number}.")
    elif held.definition.digest != expects:
        found = held.definition.digest
        yield Problem(key, "moved", f"{key} has moved: expected digest {expects}, found {found}.")


def _named(owner: str) -> str:
    return f"the project {owner}" if owner else "nobody"


# What stands against all of them together


def _left_behind(amendments: Sequence[Amendment], owned: Mapping[Key, Owned]) -> list[Problem]:
    """Device types that leave while callbacks of theirs stay in `owned`."""
    leaving = {a.source or a.key: a.kind for a in amendments if a.kind in ("delete", "move") and not a.key.callback}
    staying = _callbacks_of(leaving.keys() - owned.keys(), owned)
    what = {"delete": "be deleted while it has callbacks", "move": "be moved without its callbacks"}
    return [
        Problem(parent, "has-callbacks", f"{parent} can not {what[leaving[parent]]}: {_names(keys)}.")
        for parent, keys in staying.items()
    ]


def _taken_without_callbacks(
    amendments: Sequence[Amendment], owned: Mapping[Key, Owned], refused: Collection[Key], *, owner: str
) -> list[Problem]:
    """Device types that change hands while callbacks of theirs stay where they are."""
    taken = {a.key for a in amendments if a.kind == "adopt" and not a.key.callback and a.key not in refused}
    staying = {
        parent: [key for key in keys if owned[key].owner != owner and key not in refused]
        for parent, keys in _callbacks_of(taken, owned).items()
    }
    return [
        Problem(parent, "has-callbacks", f"{parent} can not be adopted without its callbacks: {_names(keys)}.")
        for parent, keys in staying.items()
        if keys
    ]


def _unattached(
    current: Revision,
    amendments: Sequence[Amendment],
    owned: Mapping[Key, Owned],
    refused: Collection[Key],
    *,
    owner: str,
) -> Iterator[Problem]:
    """New callbacks of device types that are not there in the end, or belong to somebody else.

    Where the device type is amended too and refused, or leaves, that is what is told.
    """
    for key in (a.key for a in amendments if a.kind in ("create", "move", "adopt") and a.key.callback):
        parent = owned.get(key.parent)
        if key in refused or key.parent in refused:
            continue
        if parent is not None and parent.owner != owner:
            message = f"{key} would belong to a device type of {_named(parent.owner)}."
            yield Problem(key, "foreign", message)
        elif parent is None and key.parent not in current.owned:
            message = f"{key} has no device type: {key.parent} is not in revision {current.number}."
            yield Problem(key, "missing", message)


def _callbacks_of(device_types: Collection[Key], owned: Mapping[Key, Owned]) -> Mapping[Key, Sequence[Key]]:
    found: dict[Key, list[Key]] = {}
    for key in sorted(owned) if device_types else ():
        if key.callback and key.parent in device_types:
            found.setdefault(key.parent, []).append(key)
    return found


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(key.callback for key in keys)
