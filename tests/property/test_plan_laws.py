"""Laws of planning, for generated pairs of what files declare and what a target holds.

The target of most laws is a revision and `next_revision`, without I/O; the last one needs an engine's doors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import httpx
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.apply import apply
from reconciler.codec.canonical import canonical_json, define, revision_digest
from reconciler.codec.plan import dump_plan, load_plan, plan_digest
from reconciler.diagnostics import Span
from reconciler.errors import PlanStale
from reconciler.model.definition import Content, Definition, JsonValue
from reconciler.model.plan import Change, Create, Delete, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Owned, Problem, Publication, Revision, next_revision
from reconciler.model.snapshot import Desired, Fingerprint, Observed
from reconciler.plan.diff import field_changes
from reconciler.plan.planner import make_plan
from reconciler.targets.engine import EngineTarget
from tests.conformance.fake_engine import TOKEN, FakeEngine

OURS, THEIRS = "cold-chain", "cold-store"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6).map(abs) | texts
values: st.SearchStrategy[JsonValue] = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
fields = st.sampled_from(["url", "headers", "body", "enabled", "protect", "x"]) | texts
contents: st.SearchStrategy[Content] = st.dictionaries(fields, values, max_size=4)
# For the laws of sets, where it matters that contents are often equal, and not what they are.
few_contents: st.SearchStrategy[Content] = st.sampled_from(
    [
        {},
        {"url": "a"},
        {"url": "b", "enabled": False},
        {"headers": {"A": "1", "": None}},
        {"body": "é\n", "x": [1.5, {}]},
    ]
)

device_types = st.sampled_from(["beacon", "fridge", "tracker", "valve"])
callbacks = st.sampled_from(["alarms", "log", "telemetry"])


@st.composite
def definition_sets(draw: st.DrawFn, names: st.SearchStrategy[str] = device_types) -> dict[Key, Definition]:
    """Device types with their callbacks: no callback without its device type."""
    keys: dict[Key, None] = {}
    for name, own in draw(st.dictionaries(names, st.sets(callbacks))).items():
        keys[Key(name)] = None
        keys |= dict.fromkeys(Key(name, callback) for callback in sorted(own))
    return {key: define(key, draw(few_contents)) for key in keys}


@dataclass(frozen=True, slots=True)
class World:
    """What the files declare, and the revision at the target."""

    desired: Desired
    revision: Revision


@st.composite
def worlds(draw: st.DrawFn) -> World:
    declared = draw(definition_sets())
    origins = {key: Span("a.yaml", line, 1, 2, str(key)) for line, key in enumerate(declared, 1)}
    theirs_at = draw(st.sets(device_types))
    ours = {key: d for key, d in draw(definition_sets()).items() if key.device_type not in theirs_at}
    theirs = {key: d for key, d in draw(definition_sets()).items() if key.device_type in theirs_at}
    # Half of the time something is held exactly as declared.
    ours |= {key: declared[key] for key in ours.keys() & declared.keys() if draw(st.booleans())}
    owned = {key: Owned(d, OURS) for key, d in ours.items()} | {key: Owned(d, THEIRS) for key, d in theirs.items()}
    revision = Revision(draw(st.integers(1, 99)), revision_digest(owned.items()), owned, Publication(None, "ana"))
    return World(Desired(OURS, declared, origins), revision)


def observe(revision: Revision, known: Mapping[Key, Definition]) -> Observed:
    """What a target tells about itself: contents only where they are not known."""
    ours = {key: o.definition for key, o in revision.owned.items() if o.owner == OURS}
    return Observed(
        digests={key: d.digest for key, d in ours.items()},
        definitions={key: d for key, d in ours.items() if key not in known or known[key].digest != d.digest},
        foreign={key: o.owner for key, o in revision.owned.items() if o.owner != OURS},
        fingerprint=Fingerprint(revision.number, revision.digest),
    )


def planned(world: World, revision: Revision | None = None) -> Plan:
    observed = observe(revision or world.revision, world.desired.definitions)
    return make_plan(world.desired, observed, environment="dev", target="http://127.0.0.1:8460")


def amendment(change: Change) -> Amendment:
    match change:
        case Create(key=key, after=after):
            return Amendment("create", key, None, after)
        case Update(key=key, after=after):
            return Amendment("update", key, change.expects, after)
        case Delete(key=key):
            return Amendment("delete", key, change.expects, None)


def applied(revision: Revision, plan: Plan) -> Revision | tuple[Problem, ...]:
    return next_revision(
        revision,
        [amendment(change) for change in plan.changes],
        owner=OURS,
        publication=Publication(None, "ana"),
        digest=revision_digest,
    )


@given(worlds())
def test_every_plan_can_be_applied_and_reaches_the_goal(world: World) -> None:
    after = applied(world.revision, planned(world))
    assert isinstance(after, Revision)
    goal = {
        key: Owned(definition, OURS)
        for key, definition in world.desired.definitions.items()
        if key.parent not in observe(world.revision, {}).foreign
    }
    theirs = {key: owned for key, owned in world.revision.owned.items() if owned.owner == THEIRS}
    assert dict(after.owned) == goal | theirs


@given(worlds())
def test_the_plan_after_an_apply_is_empty(world: World) -> None:
    after = applied(world.revision, planned(world))
    assert isinstance(after, Revision)
    assert planned(world, after).is_empty


@given(worlds())
def test_a_plan_is_empty_only_when_nothing_differs(world: World) -> None:
    after = applied(world.revision, planned(world))
    assert isinstance(after, Revision)
    assert planned(world).is_empty == (after.digest == world.revision.digest)


@given(worlds())
def test_at_no_stage_a_callback_stands_without_its_device_type(world: World) -> None:
    revision = world.revision
    for stage in planned(world).stages:
        following = next_revision(
            revision,
            [amendment(change) for change in stage],
            owner=OURS,
            publication=Publication(None, "ana"),
            digest=revision_digest,
        )
        assert isinstance(following, Revision)
        revision = following


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_definitions_does_not_matter(world: World, dice: Random) -> None:
    assert planned(_shuffled(world, dice)) == planned(world)


@given(worlds())
def test_a_plan_never_names_what_others_own(world: World) -> None:
    plan = planned(world)
    theirs = {key for key, owned in world.revision.owned.items() if owned.owner == THEIRS}
    assert theirs.isdisjoint(change.key for change in plan.changes)
    assert theirs & world.desired.definitions.keys() <= {collision.key for collision in plan.collisions}


@given(worlds())
def test_the_digest_ignores_files_lines_and_order(world: World) -> None:
    plan = planned(world)
    moved = replace(world, desired=replace(world.desired, origins={}))
    assert planned(moved).digest == plan.digest
    backwards = tuple(reversed(plan.changes))
    assert plan_digest(backwards, environment="dev", target=plan.target, owner=OURS) == plan.digest


@given(worlds(), st.data())
def test_the_digest_changes_with_every_effect(world: World, data: st.DataObject) -> None:
    plan = planned(world)
    assume(not plan.is_empty)
    changes = list(plan.changes)
    at = data.draw(st.integers(0, len(changes) - 1))
    variants = [changes[:at] + changes[at + 1 :]]
    for other in _other_effects(changes[at]):
        variants.append([*changes[:at], other, *changes[at + 1 :]])
    digests = {plan_digest(each, environment="dev", target=plan.target, owner=OURS) for each in variants}
    digests |= {
        plan_digest(changes, environment="prod", target=plan.target, owner=OURS),
        plan_digest(changes, environment="dev", target="https://other.test", owner=OURS),
        plan_digest(changes, environment="dev", target=plan.target, owner=THEIRS),
    }
    assert plan.digest not in digests
    assert len(digests) == len(variants) + 3


@given(worlds())
def test_a_plan_file_reads_back_equal(world: World) -> None:
    plan = planned(world)
    assert load_plan(dump_plan(plan)) == plan


@given(contents, contents)
def test_rows_lead_from_one_content_to_the_other(before: Content, after: Content) -> None:
    built = dict(before)
    for row in field_changes(before, after):
        _put(built, row.path, None if row.removed else row.after, remove=row.removed)
    assert canonical_json(built) == canonical_json(after)


@given(contents, contents)
def test_rows_are_distinct_and_none_says_nothing(before: Content, after: Content) -> None:
    rows = field_changes(before, after)
    assert len({row.path for row in rows}) == len(rows)
    assert all(row.added or row.removed or canonical_json(row.before) != canonical_json(row.after) for row in rows)
    assert bool(rows) == (canonical_json(before) != canonical_json(after))


@given(worlds(), definition_sets())
async def test_a_plan_is_refused_when_a_touched_object_moved_and_not_when_another_did(
    world: World, meanwhile: dict[Key, Definition]
) -> None:
    plan = planned(world)
    assume(not plan.is_empty)
    engine = FakeEngine()
    engine.revisions.append(replace(world.revision, number=1))
    target = EngineTarget(plan.target, TOKEN, transport=httpx.ASGITransport(engine.app))
    edit = planned(World(Desired(OURS, meanwhile, {}), engine.current))
    assert (await apply(edit, target, Publication(None, "bob"), tell=lambda receipt: None)).succeeded

    before, edited = world.revision.owned, engine.current
    report = await apply(plan, target, Publication(None, "ana"), tell=lambda receipt: None)
    await target.close()
    touched = {change.key for change in plan.changes}
    moved = {key for key in before.keys() | edited.owned.keys() if before.get(key) != edited.owned.get(key)}
    if touched & moved:
        assert isinstance(report.error, PlanStale)
        assert engine.current == edited
    elif not {key.parent for key in touched} & {key.parent for key in moved}:
        assert report.succeeded
        after = engine.current.owned
        assert {key: after.get(key) for key in moved} == {key: edited.owned.get(key) for key in moved}
        assert all(_reached(change, after) for change in plan.changes)


def _reached(change: Change, owned: Mapping[Key, Owned]) -> bool:
    if isinstance(change, Delete):
        return change.key not in owned
    return owned[change.key] == Owned(change.after, OURS)


def _shuffled(world: World, dice: Random) -> World:
    declared, owned = list(world.desired.definitions.items()), list(world.revision.owned.items())
    dice.shuffle(declared)
    dice.shuffle(owned)
    return World(
        replace(world.desired, definitions=dict(declared)),
        replace(world.revision, owned=dict(owned)),
    )


def _other_effects(change: Change) -> list[Change]:
    """The same change with one part of its effect altered."""
    other = define(change.key, {"url": "https://somewhere.else.test"})
    renamed = Key(change.key.device_type, change.key.callback + "-2")
    match change:
        case Create():
            return [replace(change, after=other), replace(change, key=renamed), Delete(change.key, change.after)]
        case Update():
            return [replace(change, after=other), replace(change, before=other), replace(change, key=renamed)]
        case Delete():
            return [replace(change, before=other), replace(change, key=renamed), Create(change.key, other, None)]


def _put(content: dict[str, JsonValue], path: tuple[str, ...], value: JsonValue, *, remove: bool) -> None:
    *parents, name = path
    for parent in parents:
        inner = content[parent]
        assert isinstance(inner, Mapping)
        copy = dict(inner)
        content[parent] = copy
        content = copy
    if remove:
        del content[name]
    else:
        content[name] = value
