"""Secrets whose values are others than at the last publication.

1. Only fingerprints are known here: keyed digests that tell whether a value is the same, and nothing else about it.
2. A secret that lost its value has changed, and so has one that got its first, as long as the files had brought about
   anything before: what refers to it works differently from then on. Before that there is nothing to compare with.
3. A secret concerns a plan as long as a definition that refers to it stays. Definitions are named as they are called
   once the plan is applied.
"""

from collections.abc import Iterator, Sequence

from reconciler.model.plan import Change, Delete, Move, Resecret
from reconciler.model.snapshot import Observed

__all__ = ["changed_secrets"]


def changed_secrets(observed: Observed, changes: Sequence[Change]) -> Iterator[Resecret]:
    """A change for each secret with another value; `changes` are those of definitions."""
    changed = {
        name: state
        for name, state in sorted(observed.secrets.items())
        if state.published != state.current and not (state.published is None and observed.applied is None)
    }
    if not changed:
        return
    gone = {change.key for change in changes if isinstance(change, Delete)}
    renamed = {change.before.key: change.key for change in changes if isinstance(change, Move)}
    for name, state in changed.items():
        users = tuple(sorted(renamed.get(key, key) for key in state.callbacks if key not in gone))
        if users:
            yield Resecret(users[0], name, state.published, state.current, users)
