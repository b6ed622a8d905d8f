"""What a change expects at a target, what it leads to, and what has moved meanwhile: words for a stale plan. Pure.

1. A change touches keys: its own, and for a move also the one that it leaves. Nothing else can make it stale.
2. A key that moved is told with what was expected, what is found, and who did it in which revision.
3. A changed secret is touched too: its fingerprint when the files were applied, and the one that it has now. Who gave
   it another value is on no record, for values are not published.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry
from reconciler.model.snapshot import SecretState

__all__ = ["Deed", "Standing", "deeds_in", "expected", "goal", "moved_keys", "moved_secret"]

Standing: TypeAlias = "tuple[str, str] | None"
"""Digest and owner of what stands under a key; None when nothing does."""

_DONE: Final[Mapping[str, str]] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "move": "moved here",
    "adopt": "adopted",
}


@dataclass(frozen=True, slots=True)
class Deed:
    """What a revision did to a key; `moved_to` when it took away what stood there."""

    kind: str
    entry: HistoryEntry
    moved_to: Key | None = None

    def __str__(self) -> str:
        done = _DONE.get(self.kind, self.kind) if self.moved_to is None else f"moved to {self.moved_to}"
        told = self.entry.publication
        at = "" if told.at is None else f" at {told.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{done} by {told.by or 'unknown'} in revision {self.entry.number}{at}"


def deeds_in(entry: HistoryEntry) -> Iterator[tuple[Key, Deed]]:
    """What a revision did, key by key."""
    for kind, key in entry.changes:
        yield key, Deed(kind, entry)
    for key, source in entry.sources.items():
        yield source, Deed("move", entry, moved_to=key)


def expected(change: Change, owner: str) -> Mapping[Key, Standing]:
    """What has to stand under the keys that a change touches, for it to be made."""
    match change:
        case Create():
            return {change.key: None}
        case Update() | Delete():
            return {change.key: (change.expects, owner)}
        case Move():
            return {change.before.key: (change.expects, owner), change.key: None}
        case Adopt():
            return {change.key: (change.expects, change.taken_from)}
        case Resecret():
            return {}
        case _:
            assert_never(change)


def goal(change: Change, owner: str) -> Mapping[Key, Standing]:
    """What stands under the keys that a change touches, once it is made."""
    match change:
        case Create() | Update() | Adopt():
            return {change.key: (change.after.digest, owner)}
        case Delete():
            return {change.key: None}
        case Move():
            return {change.before.key: None, change.key: (change.after.digest, owner)}
        case Resecret():
            return {}
        case _:
            assert_never(change)


def moved_keys(
    changes: Sequence[Change], definitions: Mapping[Key, tuple[str, str]], owner: str
) -> Iterator[tuple[Key, str]]:
    """The keys that the changes touch and that are not as expected, each with the difference."""
    for change in changes:
        for key, standing in expected(change, owner).items():
            found = definitions.get(key)
            if found != standing:
                expects = "nothing there" if standing is None else _shown(standing, owner)
                yield key, f"expected {expects}, found {'nothing' if found is None else _shown(found, owner)}"


def _shown(standing: tuple[str, str], owner: str) -> str:
    digest, owned_by = standing
    if owned_by == owner:
        return f"digest {digest}"
    return f"digest {digest} of the project {owned_by}" if owned_by else f"digest {digest} that nobody owns"


def moved_secret(change: Resecret, found: SecretState | None) -> str | None:
    """How a secret differs from what the change was planned with; None when it does not."""
    if found is None:
        return "nothing of this project refers to it any more, or the engine has no record of it"
    if found.published != change.before:
        return f"expected {_fingerprint(change.before)} as applied, found {_fingerprint(found.published)}"
    if found.current != change.after:
        return f"expected {_fingerprint(change.after)} now, found {_fingerprint(found.current)}"
    return None


def _fingerprint(fingerprint: str | None) -> str:
    return "no value" if fingerprint is None else f"fingerprint {fingerprint}"
