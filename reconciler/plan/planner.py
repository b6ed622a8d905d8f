"""Desired, observed and what was last applied → a plan.

1. What the plan may touch is decided first (`plan.scope`).
2. Definitions are compared by digest; only where digests differ are contents looked at.
3. Three pictures are held against each other: what the files declare, what is there, and what the files had brought
   about. Where files and target differ, the third tells whose doing it is: the author's, or somebody's behind the
   files. Without it everything that is there counts as brought about by the files.
4. Whose doing it is, is for the reader. It changes neither what is done nor the digest.
5. Law: planning again right after an apply gives an empty plan.
"""

from collections.abc import Iterator, Mapping

from reconciler.codec.plan import plan_digest
from reconciler.model.definition import Definition
from reconciler.model.plan import Change, Create, Delete, Move, Plan, Reason, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.diff import field_changes
from reconciler.plan.drift import drift_of
from reconciler.plan.meaning import replaced, update_kind
from reconciler.plan.renames import renames_of
from reconciler.plan.scope import Scope, scope_of
from reconciler.plan.secrets import changed_secrets
from reconciler.plan.stages import staged

__all__ = ["make_plan"]


def make_plan(
    desired: Desired, observed: Observed, *, environment: str, target: str, project_file: str = "reconciler.yaml"
) -> Plan:
    """What it takes to bring the target to what the files declare.

    `observed` must hold the contents of all that is owned and is not declared with the same digest, and
    `observed.applied` those of all that drifted and was not applied as it is declared. `project_file` is where the
    advice about device types belongs.
    """
    scope = scope_of(desired, observed)
    changes = [*_changes(scope, desired, observed)]
    changes += changed_secrets(observed, changes)
    return Plan(
        environment=environment,
        target=target,
        owner=desired.owner,
        base=observed.fingerprint,
        stages=staged(changes),
        digest=plan_digest(changes, environment=environment, target=target, owner=desired.owner),
        collisions=scope.collisions,
        drift=drift_of(desired, observed, changes),
        left=scope.left,
        renames=renames_of(scope, observed, changes, project_file=project_file),
    )


def _changes(scope: Scope, desired: Desired, observed: Observed) -> Iterator[Change]:
    held, origins = observed.digests, desired.origins
    applied = held if observed.applied is None else observed.applied.digests
    for key, after in scope.declared.items():
        found = held.get(key)
        if found == after.digest:
            continue
        if found is not None:
            yield _update(observed.definitions[key], after, desired, applied)
        elif (old := scope.moves.get(key)) is not None:
            before = observed.definitions[old]
            yield Move(key, before, after, field_changes(before.content, after.content), origins.get(key))
        else:
            yield Create(key, after, origins.get(key), Reason.VANISHED if key in applied else Reason.DECLARED)
    for key in scope.gone:
        yield Delete(key, observed.definitions[key], _why_gone(key, desired, applied))


def _update(before: Definition, after: Definition, desired: Desired, applied: Mapping[Key, str]) -> Update:
    key = after.key
    fields = field_changes(before.content, after.content)
    reason = replaced(before, after) or _why_different(before, after, applied.get(key))
    return Update(key, before, after, fields, desired.origins.get(key), reason, update_kind(before, after))


def _why_different(before: Definition, after: Definition, applied: str | None) -> Reason:
    """Whose doing it is that what is there and what is declared differ."""
    if applied == before.digest:
        return Reason.EDITED
    return Reason.DRIFTED if applied == after.digest else Reason.EDITED_AND_DRIFTED


def _why_gone(key: Key, desired: Desired, applied: Mapping[Key, str]) -> Reason:
    if key.device_type in desired.removed:
        return Reason.REMOVED
    return Reason.UNDECLARED if key in applied else Reason.APPEARED
