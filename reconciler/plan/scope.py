"""What a plan may touch: everything but what other projects own.

1. Foreign definitions are set aside before anything is compared, so that no later step can reach them.
2. A device type covers its callbacks: a callback declared under a foreign device type is set aside with it.
3. What is set aside although the files declare it is a collision, and a finding: the files claim what is not theirs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.diagnostics import Diagnostic
from reconciler.model.definition import Definition
from reconciler.model.plan import Collision
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Observed

__all__ = ["Scope", "collision_findings", "scope_of"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared, and what was declared but set aside (by key)."""

    declared: Mapping[Key, Definition]
    collisions: tuple[Collision, ...]


def scope_of(desired: Desired, observed: Observed) -> Scope:
    """Set aside what belongs to others."""
    foreign = observed.foreign
    if not foreign:
        return Scope(desired.definitions, ())
    owners = {key: foreign.get(key) or foreign.get(key.parent) for key in desired.definitions}
    declared = {key: definition for key, definition in desired.definitions.items() if owners[key] is None}
    collisions = [Collision(key, owner, desired.origins.get(key)) for key, owner in owners.items() if owner is not None]
    return Scope(declared, tuple(sorted(collisions, key=lambda c: c.key)))


def collision_findings(collisions: Iterable[Collision]) -> tuple[Diagnostic, ...]:
    """One finding for each collision; callbacks are not named beside their device type, which explains them."""
    collisions = tuple(collisions)
    named = {collision.key for collision in collisions}
    return tuple(
        Diagnostic(
            code="owned-by-another-project",
            summary="The target holds this definition for another project",
            detail=f"At the target {c.key} belongs to the project {c.owner}, and a plan touches only what its own "
            "project owns: two projects that declare the same would undo each other's work.",
            help=f"Rename it, remove it from these files, or let {c.owner} delete it first.",
            span=c.origin,
        )
        for c in collisions
        if not c.key.callback or c.key.parent not in named
    )
