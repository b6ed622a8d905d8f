"""Desired and observed → a plan.

1. Foreign definitions are set aside first (`plan.scope`).
2. Definitions are compared by digest; only where digests differ are contents looked at, for the reader (`plan.diff`).
3. What the project owns and the files no longer mention is deleted: the files are the whole truth of a project.
4. Law: planning again right after an apply gives an empty plan.
"""

from collections.abc import Iterator

from reconciler.codec.plan import plan_digest
from reconciler.model.plan import Change, Create, Delete, Plan, Update
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.diff import field_changes
from reconciler.plan.scope import Scope, scope_of
from reconciler.plan.stages import staged

__all__ = ["make_plan"]


def make_plan(desired: Desired, observed: Observed, *, environment: str, target: str) -> Plan:
    """What it takes to bring the target to what the files declare.

    `observed` must hold the contents of all that is owned and is not declared with the same digest.
    """
    scope = scope_of(desired, observed)
    stages = staged(_changes(scope, desired, observed))
    return Plan(
        environment=environment,
        target=target,
        owner=desired.owner,
        base=observed.fingerprint,
        stages=stages,
        digest=plan_digest(
            (change for stage in stages for change in stage),
            environment=environment,
            target=target,
            owner=desired.owner,
        ),
        collisions=scope.collisions,
    )


def _changes(scope: Scope, desired: Desired, observed: Observed) -> Iterator[Change]:
    for key, after in scope.declared.items():
        held = observed.digests.get(key)
        if held is None:
            yield Create(key, after, desired.origins.get(key))
        elif held != after.digest:
            before = observed.definitions[key]
            fields = field_changes(before.content, after.content)
            yield Update(key, before, after, fields, desired.origins.get(key))
    for key in observed.digests.keys() - desired.definitions.keys():
        yield Delete(key, observed.definitions[key])
