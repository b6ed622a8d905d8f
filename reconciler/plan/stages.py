"""The order in which changes are made.

1. Device types come before their callbacks and leave after them, so that at no point a callback stands without one.
2. What is new, changed, moved or adopted comes before what leaves: a target that makes changes one by one has a message
   delivered twice for a moment rather than not at all.
3. A device type that moves takes along what is below it: the moves of its callbacks stand in its stage, and so do the
   deletes of those that do not come along, which could not stay behind.
4. New values of secrets come once everything has its name and content, and before what leaves.
5. Within a stage the order does not matter; it is by key, so that equal plans read the same.
"""

from collections.abc import Iterable, Set
from typing import assert_never

from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Resecret, Update

__all__ = ["staged"]

_DEVICE_TYPES, _CALLBACKS, _SECRETS, _CALLBACKS_LEAVE, _DEVICE_TYPES_LEAVE = range(5)


def staged(changes: Iterable[Change]) -> tuple[tuple[Change, ...], ...]:
    """The changes in stages; a stage that would be empty is left out."""
    changes = sorted(changes, key=lambda c: (c.key.device_type, c.key.callback, c.name if c.kind == "resecret" else ""))
    moving = {change.before.key.device_type for change in changes if change.kind == "move" and not change.key.callback}
    stages: tuple[list[Change], ...] = ([], [], [], [], [])
    for change in changes:
        stages[_stage_of(change, moving)].append(change)
    return tuple(tuple(stage) for stage in stages if stage)


def _stage_of(change: Change, moving: Set[str]) -> int:
    """The stage of a change, where the device types in `moving` get another name."""
    match change:
        case Create() | Update() | Adopt():
            return _CALLBACKS if change.key.callback else _DEVICE_TYPES
        case Move(before=before):
            return _CALLBACKS if change.key.callback and before.key.device_type not in moving else _DEVICE_TYPES
        case Delete():
            if change.key.device_type in moving:
                return _DEVICE_TYPES
            return _CALLBACKS_LEAVE if change.key.callback else _DEVICE_TYPES_LEAVE
        case Resecret():
            return _SECRETS
        case _:
            assert_never(change)
