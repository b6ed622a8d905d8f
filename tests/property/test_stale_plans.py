"""Laws of plans that met another world than they were made for.

Generated interleavings: a plan is made, somebody publishes something else, and the plan is carried out. First without
I/O, by what the changes expect; then through the doors of an engine.
"""

from collections.abc import Mapping
from dataclasses import replace

import httpx
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from reconciler.apply import apply
from reconciler.errors import PlanStale
from reconciler.model.definition import Definition
from reconciler.model.plan import Change, Delete, Move, Resecret
from reconciler.model.resource import Key
from reconciler.model.revision import Owned, Publication, Revision
from reconciler.model.snapshot import Desired
from reconciler.plan.planner import make_plan
from reconciler.targets.engine import EngineTarget
from tests.conformance.fake_engine import TOKEN, FakeEngine
from tests.property.plan_worlds import (
    OURS,
    TARGET,
    THEIRS,
    World,
    amended,
    definition_sets,
    observe,
    planned,
    worlds,
)


@settings(max_examples=1_500)
@given(worlds(), definition_sets(), st.sampled_from([OURS, THEIRS]), st.booleans())
def test_a_plan_is_refused_when_something_it_touches_moved_and_not_when_something_unrelated_did(
    world: World, meanwhile: dict[Key, Definition], editor: str, removing: bool
) -> None:
    changes = [change for change in planned(world).changes if not isinstance(change, Resecret)]
    edit = _edit(world, meanwhile, editor, removing=removing)
    edited = amended(world.revision, edit, owner=editor)
    assert isinstance(edited, Revision), edited
    touched = {key for change in changes for key in _touches(change)}
    moved = _moved(world.revision, edited)
    assume(touched and moved)

    after = amended(edited, changes)
    if touched & moved:
        event("stale")
        assert not isinstance(after, Revision)
    elif not {key.parent for key in touched} & {key.parent for key in moved}:
        event("unrelated")
        assert isinstance(after, Revision), after
        assert {key: after.owned.get(key) for key in moved} == {key: edited.owned.get(key) for key in moved}
        assert all(_reached(change, after.owned) for change in changes)


@given(worlds(), definition_sets())
async def test_so_it_is_through_the_doors_of_an_engine(world: World, meanwhile: dict[Key, Definition]) -> None:
    world = replace(world, secrets={})
    plan = planned(world)
    edit = planned(World(Desired(OURS, meanwhile, {}), world.revision, None, {}))
    assume(not plan.is_empty)
    engine = FakeEngine()
    engine.revisions.append(replace(world.revision, number=1))
    plan, edit = (replace(each, base=replace(each.base, revision=1)) for each in (plan, edit))
    target = EngineTarget(plan.target, TOKEN, transport=httpx.ASGITransport(engine.app))
    assert (await apply(edit, target, Publication(None, "bob"), tell=lambda receipt: None)).succeeded

    edited = engine.current
    report = await apply(plan, target, Publication(None, "ana"), tell=lambda receipt: None)
    await target.close()
    touched = {key for change in plan.changes for key in _touches(change)}
    moved = _moved(world.revision, edited)
    if touched & moved:
        assert isinstance(report.error, PlanStale)
        assert engine.current == edited
    elif not {key.parent for key in touched} & {key.parent for key in moved}:
        assert report.succeeded
        after = engine.current.owned
        assert {key: after.get(key) for key in moved} == {key: edited.owned.get(key) for key in moved}
        assert all(_reached(change, after) for change in plan.changes)


def _edit(world: World, meanwhile: Mapping[Key, Definition], editor: str, *, removing: bool) -> tuple[Change, ...]:
    """What somebody does meanwhile, for one project or the other: any set of definitions, in place of theirs."""
    gone = frozenset(key.device_type for key in world.revision.owned) if removing else frozenset()
    other = replace(world, desired=Desired(editor, meanwhile, {}, {}, gone), applied=None, secrets={})
    return make_plan(other.desired, observe(other, owner=editor), environment="dev", target=TARGET).changes


def _moved(before: Revision, after: Revision) -> set[Key]:
    keys = before.owned.keys() | after.owned.keys()
    return {key for key in keys if before.owned.get(key) != after.owned.get(key)}


def _touches(change: Change) -> tuple[Key, ...]:
    return (change.key, change.before.key) if isinstance(change, Move) else (change.key,)


def _reached(change: Change, owned: Mapping[Key, Owned]) -> bool:
    if isinstance(change, Delete):
        return change.key not in owned
    assert not isinstance(change, Resecret)
    if isinstance(change, Move) and change.before.key in owned:
        return False
    return owned[change.key] == Owned(change.after, OURS)
