"""Taking over what another project owns, or nobody: the plan that `import` makes.

1. What is declared and the other one holds is adopted; nothing else is done. What is missing or superfluous after that
   is for an ordinary plan, and its review.
2. A device type is adopted with everything below it, since callbacks belong to whom their device type belongs: those
   that the files do not declare come along as they are.
3. What a third project holds is a collision.
"""

from collections.abc import Iterator

from reconciler.codec.plan import plan_digest
from reconciler.model.plan import Adopt, Collision, Plan
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.diff import field_changes
from reconciler.plan.stages import staged

__all__ = ["make_adoption"]


def make_adoption(desired: Desired, observed: Observed, *, taken_from: str, environment: str, target: str) -> Plan:
    """What it takes that `desired.owner` owns what it declares and `taken_from` holds.

    `observed` is the target as `taken_from` sees it: what that one owns is `digests`, with the contents of all that is
    not declared with the same digest, and everybody else's is foreign.
    """
    changes = [*_adoptions(desired, observed, taken_from)]
    collisions = tuple(
        Collision(key, owner, desired.origins.get(key))
        for key, owner in sorted(observed.foreign.items())
        if key in desired.definitions and owner != desired.owner
    )
    return Plan(
        environment=environment,
        target=target,
        owner=desired.owner,
        base=observed.fingerprint,
        stages=staged(changes),
        digest=plan_digest(changes, environment=environment, target=target, owner=desired.owner),
        collisions=collisions,
    )


def _adoptions(desired: Desired, observed: Observed, taken_from: str) -> Iterator[Adopt]:
    for key, digest in observed.digests.items():
        if key.parent not in desired.definitions:
            continue
        declared = desired.definitions.get(key)
        before = declared if declared is not None and declared.digest == digest else observed.definitions[key]
        after = before if declared is None else declared
        fields = () if before is after else field_changes(before.content, after.content)
        yield Adopt(key, before, after, taken_from, fields, desired.origins.get(key))
