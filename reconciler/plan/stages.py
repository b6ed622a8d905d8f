"""The order in which changes are made.

1. Device types come before their callbacks and leave after them, so that at no point a callback stands without one.
2. What is new or changed comes before what leaves: a target that makes changes one by one has a message delivered
   twice for a moment rather than not at all.
3. Within a stage the order does not matter; it is by key, so that equal plans read the same.
"""

from collections.abc import Iterable

from reconciler.model.plan import Change, Delete

__all__ = ["staged"]


def staged(changes: Iterable[Change]) -> tuple[tuple[Change, ...], ...]:
    """The changes in stages; a stage that would be empty is left out."""
    stages: tuple[list[Change], ...] = ([], [], [], [])
    for change in sorted(changes, key=lambda c: (c.key.device_type, c.key.callback)):
        stages[_stage_of(change)].append(change)
    return tuple(tuple(stage) for stage in stages if stage)


def _stage_of(change: Change) -> int:
    match isinstance(change, Delete), bool(change.key.callback):
        case False, False:
            return 0
        case False, True:
            return 1
        case True, True:
            return 2
        case _:
            return 3
