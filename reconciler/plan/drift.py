"""What was changed at the target behind the files.

1. What the files had brought about is held against what is there. What differs is drift, whatever the files say by now.
2. Drift is told apart from the plan's changes and has no part in its digest: the same plan may undo a drift, confirm
   it, or leave it alone.
3. It is undone when the plan changes what drifted. It is not when the files say by now what is there, and not where
   the plan touches nothing: in what is left alone, and in what others own by now.
"""

from collections.abc import Iterable, Iterator

from reconciler.model.definition import Definition
from reconciler.model.plan import Adopt, Change, Create, Delete, Drift, Move, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Applied, Desired, Observed
from reconciler.plan.diff import field_changes

__all__ = ["drift_of"]


def drift_of(desired: Desired, observed: Observed, changes: Iterable[Change]) -> tuple[Drift, ...]:
    """Everything that differs from what the files had brought about, by key."""
    applied = observed.applied
    if applied is None or applied.digests == observed.digests:
        return ()
    drifted = {key for key, digest in applied.digests.items() if observed.digests.get(key) != digest}
    drifted |= observed.digests.keys() - applied.digests.keys()
    undone = set(_undone(changes))
    return tuple(_drift(key, desired, observed, applied, undone=key in undone) for key in sorted(drifted))


def _drift(key: Key, desired: Desired, observed: Observed, applied: Applied, *, undone: bool) -> Drift:
    declared = desired.definitions.get(key)
    before = _known(key, applied.digests.get(key), applied.contents.get(key), declared)
    after = _known(key, observed.digests.get(key), observed.definitions.get(key), declared)
    blame = observed.blame.get(key)
    if before is None:
        return Drift(key, None, after, (), undone, blame, "appeared")
    if after is None:
        return Drift(key, before, None, (), undone, blame, "vanished")
    return Drift(key, before, after, field_changes(before.content, after.content), undone, blame, "changed")


def _known(key: Key, digest: str | None, told: Definition | None, declared: Definition | None) -> Definition | None:
    """The definition with the digest: told by the target, or, where the target spared that, the declared one."""
    if digest is None:
        return None
    for definition in (told, declared):
        if definition is not None and definition.digest == digest:
            return definition
    raise ValueError(f"the content of {key} with the digest {digest} is not known")


def _undone(changes: Iterable[Change]) -> Iterator[Key]:
    """The keys at which something else stands once the plan is applied."""
    for change in changes:
        match change:
            case Create() | Update() | Delete():
                yield change.key
            case Move(key=key, before=before, after=after):
                yield key
                if before.digest != after.digest:
                    yield before.key
            case Adopt() | Resecret():
                pass
