"""What has a new name: entries of `moved`, held against what the target holds.

1. An entry does something only where the old key is there, the new one is not, and the files declare the new one and
   no longer the old one. So entries may stay in the files: each environment is moved once, whenever it gets there.
2. The entry of a device type stands for its callbacks, as long as the device type itself moves. Where a callback below
   it has a new name too, both entries hold: `old/a` becomes `new/b`.
3. Where several old keys could become one new key, the one that keeps most of its name does; the others are no longer
   declared.
"""

from collections.abc import Mapping

from reconciler.model.definition import Definition
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Observed

__all__ = ["moves_of"]


def moves_of(declared: Mapping[Key, Definition], desired: Desired, observed: Observed) -> Mapping[Key, Key]:
    """New key → old key, of what moves; `declared` is what the files declare and the project may touch."""
    if not desired.moved:
        return {}
    held = observed.digests
    found: dict[Key, Key] = {}
    left: set[Key] = set()

    def move(old: Key, new: Key) -> None:
        is_old = old in held and old not in left and old not in desired.definitions
        is_new = new in declared and new not in found and new not in held
        if is_old and is_new and bool(old.callback) == bool(new.callback):
            found[new] = old
            left.add(old)

    for old, new in sorted(desired.moved.items()):
        move(old, new)
    names = {old.device_type: new.device_type for new, old in found.items() if not old.callback}
    below = sorted(key for key in held if key.callback and key.device_type in names) if names else []
    for key in below:
        move(key, Key(names[key.device_type], key.callback))
    for key in below:
        inner = desired.moved.get(Key(names[key.device_type], key.callback))
        if inner is not None:
            move(key, inner)
    return found
