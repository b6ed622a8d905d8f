"""What a plan may touch, decided before anything is compared, so that no later step can reach further.

1. What other projects own is foreign and never touched. A device type covers its callbacks: a callback declared under
   a foreign device type is set aside with it. What is set aside although the files claim it is a collision, and a
   finding; so is an entry of `moved` that would take something away from another project.
2. What the project owns and the files no longer declare goes as far as the files speak of it: callbacks below a device
   type that they declare, or that they move; whole device types that their `removed` names. Everything else that the
   project owns is left alone, and told: a file that is missing is more often an accident than a wish.
3. What is declared is never removed, whatever `removed` says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.diagnostics import Diagnostic
from reconciler.model.definition import Definition
from reconciler.model.plan import Collision
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.moves import moves_of

__all__ = ["Scope", "collision_findings", "scope_of"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared, and what is not.

    Attributes:
        declared: what the files declare and the project may touch.
        moves: those of them that stand under another key at the target, new key → old key.
        gone: what is at the target, and shall not be, by key.
        left: what the project owns and the files say nothing about, by key.
        collisions: what was set aside, by key.
    """

    declared: Mapping[Key, Definition]
    moves: Mapping[Key, Key] = field(default_factory=dict)
    gone: tuple[Key, ...] = ()
    left: tuple[Key, ...] = ()
    collisions: tuple[Collision, ...] = ()


def scope_of(desired: Desired, observed: Observed) -> Scope:
    """Set aside what belongs to others, find what has a new name, and decide what may go."""
    declared, collisions = _without_foreign(desired, observed)
    moves = moves_of(declared, desired, observed)
    gone, left = _undeclared(declared, moves, desired, observed)
    return Scope(declared, moves, gone, left, collisions)


def _without_foreign(desired: Desired, observed: Observed) -> tuple[Mapping[Key, Definition], tuple[Collision, ...]]:
    foreign = observed.foreign
    if not foreign:
        return desired.definitions, ()
    device_types = {key.device_type for key in foreign}
    declared: dict[Key, Definition] = {}
    collisions: list[Collision] = []
    for key, definition in desired.definitions.items():
        owner = foreign.get(key, foreign.get(key.parent)) if key.device_type in device_types else None
        if owner is None:
            declared[key] = definition
        else:
            collisions.append(Collision(key, owner, desired.origins.get(key)))
    taken = {
        new: Collision(old, foreign[old], desired.origins.get(new), moved_to=new)
        for old, new in desired.moved.items()
        if old in foreign and new in declared and new not in observed.digests
    }
    if taken:
        declared = {key: each for key, each in declared.items() if key not in taken and key.parent not in taken}
    return declared, tuple(sorted((*collisions, *taken.values()), key=lambda c: c.key))


def _undeclared(
    declared: Mapping[Key, Definition], moves: Mapping[Key, Key], desired: Desired, observed: Observed
) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """What goes, and what is left alone, of what the project owns and the files do not declare."""
    moving = set(moves.values())
    undeclared = [key for key in observed.digests if key not in desired.definitions and key not in moving]
    if not undeclared:
        return (), ()
    mentioned = {key.device_type for key in declared} | {key.device_type for key in moving if not key.callback}
    gone: list[Key] = []
    left: list[Key] = []
    for key in sorted(undeclared, key=lambda key: (key.device_type, key.callback)):
        if key.device_type in mentioned:
            goes = bool(key.callback)
        else:
            goes = key.device_type in desired.removed
        (gone if goes else left).append(key)
    return tuple(gone), tuple(left)


def collision_findings(collisions: Iterable[Collision]) -> tuple[Diagnostic, ...]:
    """One finding for each collision; callbacks are not named beside their device type, which explains them."""
    collisions = tuple(collisions)
    named = {collision.key for collision in collisions}
    return tuple(
        _claimed(collision) if collision.moved_to is None else _moved_away(collision, collision.moved_to)
        for collision in collisions
        if not collision.key.callback or collision.key.parent not in named
    )


def _claimed(collision: Collision) -> Diagnostic:
    return Diagnostic(
        code="owned-by-another-project",
        summary="The target holds this definition for another project",
        detail=f"At the target {collision.key} belongs to {_owner(collision)}, and a plan touches only what its own "
        "project owns: two projects that declare the same would undo each other's work.",
        help="Rename it, remove it from these files, or take it over from its owner with `reconciler import`.",
        span=collision.origin,
    )


def _moved_away(collision: Collision, new: Key) -> Diagnostic:
    return Diagnostic(
        code="owned-by-another-project",
        summary="The target holds this definition for another project",
        detail=f"An entry of `moved` says that {collision.key} is called {new} now, and at the target {collision.key} "
        f"belongs to {_owner(collision)}: a plan takes nothing away from another project.",
        help="Remove the entry of `moved`, or take over what it names with `reconciler import` first.",
        span=collision.origin,
    )


def _owner(collision: Collision) -> str:
    return f"the project {collision.owner}" if collision.owner else "no project"
