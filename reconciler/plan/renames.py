"""What looks like a rename: something goes, or is left alone, and something much like it is created.

A rename that nobody declared costs more than it seems: for a moment messages are delivered twice or not at all, or for
good by the old and the new one. So the plan asks, and says what to add to which file.

1. Two callbacks are alike when their types and channels are the same and so are at least three quarters of their
   fields. Headers count one by one.
2. Two device types are alike when at least three quarters of the fields of their callbacks are the same.
3. A callback is looked for below its own device type, under that one's new name if it moves. The callbacks of a device
   type that was probably renamed itself are explained by it.
4. Equal ones are paired first, then the most alike; each is in one pair at most.
5. Nothing that appeared or vanished behind the files is taken for a rename of theirs.
6. The work is linear: equal ones are found by a table, and only so many others are compared at all.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from reconciler.codec.canonical import canonical_json
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Change, Create, Delete, Rename
from reconciler.model.resource import Key
from reconciler.model.snapshot import Observed
from reconciler.plan.scope import Scope

__all__ = ["ALIKE", "renames_of"]

ALIKE: Final = 0.75
"""The share of fields that two have to have in common."""

# Fields that are compared at most, of both sides: a tenth of a second, and 15,000 pairs of callbacks.
_COMPARED: Final = 300_000

# Names that YAML takes for texts, whatever its version; all others are quoted.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)\Z)[A-Za-z][A-Za-z0-9_.-]*\Z", re.IGNORECASE)


_Fields: TypeAlias = Mapping[tuple[str, ...], "str | bytes"]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Something that may have another name by now.

    Attributes:
        among: what its counterpart is looked for among.
        identity: the same for two that are equal.
        contents: what its fields are made of, each with the first step of the way to them.
    """

    key: Key
    among: str
    identity: Hashable
    contents: Sequence[tuple[tuple[str, ...], Content]]


def renames_of(scope: Scope, observed: Observed, changes: Iterable[Change], *, project_file: str) -> tuple[Rename, ...]:
    """Pairs that are probably one definition under a new name, by old key."""
    applied = observed.digests if observed.applied is None else observed.applied.digests
    gone: list[Definition] = []
    created: list[Create] = []
    for change in changes:
        match change:
            case Delete(key=key, before=before) if key in applied:
                gone.append(before)
            case Create(key=key) if key not in applied:
                created.append(change)
            case _:
                pass
    gone += [observed.definitions[key] for key in scope.left if key in applied]
    if not gone or not created:
        return ()
    new = [change.after for change in created]
    found: list[Rename] = []
    explained: set[str] = set()
    for old, key in _pairs(_device_types(gone), _device_types(new)):
        found.append(Rename(old, key, _lines(old.device_type, key.device_type), project_file))
        explained |= {old.device_type, key.device_type}
    files = {change.key: change.origin.file for change in created if change.origin is not None}
    names = {old.device_type: key.device_type for key, old in scope.moves.items() if not key.callback}
    for old, key in _pairs(_callbacks(gone, names, explained), _callbacks(new, {}, explained)):
        if key in files:
            found.append(Rename(old, key, _lines(old.callback, key.callback), files[key]))
    return tuple(sorted(found, key=lambda rename: rename.before))


def _lines(old: str, new: str) -> str:
    return f"moved:\n  - {{from: {_as_yaml(old)}, to: {_as_yaml(new)}}}"


def _as_yaml(name: str) -> str:
    return name if _PLAIN.match(name) else f'"{name}"'


# Candidates


def _device_types(definitions: Iterable[Definition]) -> list[_Candidate]:
    """Device types, known by their callbacks; those without any are nothing that could be recognised."""
    below: defaultdict[str, list[Definition]] = defaultdict(list)
    for each in definitions:
        if each.key.callback:
            below[each.key.device_type].append(each)
    found = []
    for each in definitions:
        if not each.key.callback and (own := below.get(each.key.device_type)):
            identity = frozenset((callback.key.callback, callback.digest) for callback in own)
            found.append(_Candidate(each.key, "", identity, [((c.key.callback,), c.content) for c in own]))
    return found


def _callbacks(
    definitions: Iterable[Definition], names: Mapping[str, str], explained: Collection[str]
) -> list[_Candidate]:
    """Callbacks, below the device types that they belong to once the plan is applied."""
    return [
        _Candidate(each.key, names.get(each.key.device_type, each.key.device_type), each.digest, [((), each.content)])
        for each in definitions
        if each.key.callback and each.key.device_type not in explained
    ]


# Pairs


def _pairs(old_ones: Iterable[_Candidate], new_ones: Iterable[_Candidate]) -> list[tuple[Key, Key]]:
    """Old and new key of those that are equal, then of the most alike; no key twice."""
    equal: defaultdict[tuple[str, Hashable], list[_Candidate]] = defaultdict(list)
    for new in sorted(new_ones, key=_place, reverse=True):
        equal[new.among, new.identity].append(new)
    found: list[tuple[Key, Key]] = []
    unpaired: list[_Candidate] = []
    for old in sorted(old_ones, key=_place):
        if waiting := equal.get((old.among, old.identity)):
            found.append((old.key, waiting.pop().key))
        else:
            unpaired.append(old)
    among: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for waiting in equal.values():
        for new in waiting:
            among[new.among].append(new)
    taken: set[Key] = set()
    for _, old_key, new_key in sorted(_alike((old, new) for old in unpaired for new in among[old.among])):
        if not taken & {old_key, new_key}:
            taken |= {old_key, new_key}
            found.append((old_key, new_key))
    return found


def _place(candidate: _Candidate) -> tuple[str, str]:
    return candidate.key.device_type, candidate.key.callback


def _alike(pairs: Iterable[tuple[_Candidate, _Candidate]]) -> Iterator[tuple[float, Key, Key]]:
    """Of as many pairs as may be compared, those that are alike; the most alike have the lowest number."""
    known: dict[Key, _Fields] = {}
    compared = 0
    for old, new in pairs:
        one, other = _fields_of(old, known), _fields_of(new, known)
        share = _share(one, other)
        if share >= ALIKE:
            yield -share, old.key, new.key
        compared += len(one) + len(other) + 1
        if compared > _COMPARED:
            return


def _fields_of(candidate: _Candidate, known: dict[Key, _Fields]) -> _Fields:
    fields = known.get(candidate.key)
    if fields is None:
        fields = known[candidate.key] = dict(
            field for path, content in candidate.contents for field in _fields(path, content)
        )
    return fields


def _fields(path: tuple[str, ...], content: Content) -> Iterator[tuple[tuple[str, ...], str | bytes]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _fields((*path, name), value)
        else:
            yield (*path, name), value if isinstance(value, str) else canonical_json(value)


def _share(one: _Fields, other: _Fields) -> float:
    """The share of fields that both have in common; none where type or channel differ, which callbacks have."""
    if any(one.get(path) != other.get(path) for path in (("type",), ("channel",))):
        return 0
    every = one.keys() | other.keys()
    return len(one.items() & other.items()) / len(every) if every else 1
