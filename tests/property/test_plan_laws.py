"""Laws of planning, for generated triples of what files declare, what a target holds, and what was applied."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import TypeGuard, TypeVar

import jsonschema
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.codec.canonical import canonical_json, define
from reconciler.codec.plan import dump_plan, load_plan, plan_digest
from reconciler.config.published import schema_of
from reconciler.model.definition import Content, Definition, JsonValue
from reconciler.model.plan import KINDS, Adopt, Change, Create, Delete, Move, Reason, Resecret, Update, UpdateKind
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, Owned, Revision
from reconciler.model.snapshot import Desired
from reconciler.plan.adoption import make_adoption
from reconciler.plan.diff import field_changes
from tests.property.plan_worlds import (
    OURS,
    TARGET,
    THEIRS,
    World,
    amended,
    carried_out,
    definition_sets,
    observe,
    planned,
    worlds,
)

K = TypeVar("K")
V = TypeVar("V")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6).map(abs) | texts
values: st.SearchStrategy[JsonValue] = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
fields = st.sampled_from(["url", "headers", "body", "enabled", "protect", "x"]) | texts
contents: st.SearchStrategy[Content] = st.dictionaries(fields, values, max_size=4)

EMPTY_WORLD = World(Desired(OURS, {}, {}), EMPTY, None, {})


# What a plan leads to


@given(worlds())
def test_every_plan_can_be_applied_and_reaches_the_goal(world: World) -> None:
    plan = planned(world)
    after = carried_out(world, plan)
    held = world.revision.owned
    left = {key: held[key] for key in plan.left}
    theirs = {key: owned for key, owned in held.items() if owned.owner == THEIRS}
    assert dict(after.revision.owned) == _goal(world) | left | theirs


@given(worlds())
def test_the_plan_after_an_apply_is_empty(world: World) -> None:
    after = planned(carried_out(world, planned(world)))
    assert after.is_empty
    assert after.drift == () or world.revision.number == after.base.revision


@given(worlds())
def test_a_plan_is_empty_only_when_nothing_differs(world: World) -> None:
    plan = planned(world)
    definitions = [change for change in plan.changes if not isinstance(change, Resecret)]
    assert bool(definitions) == (carried_out(world, plan).revision.digest != world.revision.digest)


@given(worlds())
def test_at_no_stage_a_callback_stands_without_its_device_type(world: World) -> None:
    revision = world.revision
    for stage in planned(world).stages:
        following = amended(revision, stage)
        assert isinstance(following, Revision), following
        revision = following


@given(worlds())
def test_what_is_new_or_changed_comes_before_what_leaves(world: World) -> None:
    plan = planned(world)
    moving = {change.before.key.device_type for change in plan.changes if _is_move_of_device_type(change)}
    leaves = [isinstance(c, Delete) for c in plan.changes if c.key.device_type not in moving]
    assert leaves == sorted(leaves)


# Whose doing it is


@given(worlds())
def test_drift_is_what_differs_from_what_was_applied_and_nothing_else(world: World) -> None:
    held, applied = _digests(world), _applied(world)
    differs = {key for key in held.keys() | applied.keys() if held.get(key) != applied.get(key)}
    drift = planned(world).drift
    assert [each.key for each in drift] == sorted(differs)
    for each in drift:
        sides = (None if each.before is None else each.before.digest, None if each.after is None else each.after.digest)
        assert sides == (applied.get(each.key), held.get(each.key))


@given(worlds())
def test_drift_is_undone_when_the_plan_changes_what_drifted(world: World) -> None:
    plan = planned(world)
    after = _digests(carried_out(world, plan))
    names = {change.before.key: change.key for change in plan.changes if isinstance(change, Move)}
    for each in plan.drift:
        there = None if each.after is None else each.after.digest
        assert each.undone == (after.get(names.get(each.key, each.key)) != there)


@given(worlds())
def test_every_change_comes_from_intent_or_drift_and_its_reason_says_from_which(world: World) -> None:
    held, applied, goal = _digests(world), _applied(world), _goal(world)
    for change in planned(world).changes:
        if not isinstance(change, Create | Update | Delete):
            continue
        declared = goal[change.key].definition.digest if change.key in goal else None
        intended = declared != applied.get(change.key)
        drifted = held.get(change.key) != applied.get(change.key)
        assert intended or drifted
        match change.reason:
            case Reason.EDITED | Reason.DECLARED:
                assert intended
                assert not drifted
            case Reason.UNDECLARED:
                assert intended
            case Reason.DRIFTED | Reason.APPEARED:
                assert drifted
                assert not intended
            case Reason.VANISHED:
                assert drifted
            case Reason.EDITED_AND_DRIFTED:
                assert intended
                assert drifted
            case _:
                assert change.reason in (Reason.TYPE_CHANGED, Reason.CHANNEL_CHANGED, Reason.REMOVED)


@given(worlds())
def test_whose_doing_it_is_changes_nothing_that_is_done(world: World) -> None:
    alone, known = planned(replace(world, applied=None, secrets={})), planned(replace(world, secrets={}))
    assert alone.digest == known.digest
    assert alone.drift == ()


# What a plan touches


@given(worlds())
def test_a_plan_never_names_what_others_own(world: World) -> None:
    plan = planned(world)
    theirs = {key for key, owned in world.revision.owned.items() if owned.owner == THEIRS}
    assert theirs.isdisjoint(_touched(change) for change in plan.changes)
    assert theirs & world.desired.definitions.keys() <= {collision.key for collision in plan.collisions}
    for change in plan.changes:
        assert change.key.parent not in theirs


@given(worlds())
def test_only_what_the_files_mention_is_deleted_and_the_rest_is_left_alone(world: World) -> None:
    plan = planned(world)
    goal, desired = _goal(world), world.desired
    moved = {change.before.key.device_type for change in plan.changes if _is_move_of_device_type(change)}
    mentioned = {key.device_type for key in goal} | moved
    for change in plan.changes:
        if isinstance(change, Delete):
            assert change.key not in desired.definitions
            assert change.key.device_type in mentioned | desired.removed
            assert change.key.callback or change.key.device_type in desired.removed - mentioned
    left = set(plan.left)
    assert left <= _digests(world).keys() - desired.definitions.keys()
    assert left.isdisjoint(_touched(change) for change in plan.changes if not isinstance(change, Resecret))


@given(worlds())
def test_what_moves_is_never_deleted_and_created(world: World) -> None:
    plan = planned(world)
    created = {change.key for change in plan.changes if isinstance(change, Create)}
    deleted = {change.key for change in plan.changes if isinstance(change, Delete)}
    for old, new in world.desired.moved.items():
        assert not (old in deleted and new in created)
        if _is_moved(plan.changes, old, new):
            for key in deleted:
                assert not (key.parent == old and Key(new.device_type, key.callback) in created)
    for change in plan.changes:
        if isinstance(change, Move):
            assert {change.key, change.before.key}.isdisjoint(created | deleted)


@given(worlds())
def test_each_key_is_touched_by_one_change_at_most(world: World) -> None:
    changes = [change for change in planned(world).changes if not isinstance(change, Resecret)]
    touched = [key for change in changes for key in dict.fromkeys((change.key, _touched(change)))]
    assert len(touched) == len(set(touched))


@given(worlds())
def test_a_suggested_rename_becomes_a_move_once_its_lines_are_added(world: World) -> None:
    plan = planned(world)
    assert len({key for rename in plan.renames for key in (rename.before, rename.after)}) == 2 * len(plan.renames)
    for rename in plan.renames:
        entry = Key(rename.after.device_type, rename.before.callback) if rename.before.callback else rename.before
        desired = replace(world.desired, moved={**world.desired.moved, entry: rename.after})
        assert _is_moved(planned(replace(world, desired=desired)).changes, rename.before, rename.after)


@given(definition_sets(), definition_sets())
def test_what_was_adopted_is_ours_and_as_declared(held: dict[Key, Definition], declared: dict[Key, Definition]) -> None:
    owned = {key: Owned(definition, THEIRS) for key, definition in held.items()}
    world = replace(EMPTY_WORLD, desired=Desired(OURS, declared, {}), revision=replace(EMPTY, owned=owned))
    seen = observe(world, owner=THEIRS)
    plan = make_adoption(world.desired, seen, taken_from=THEIRS, environment="dev", target=TARGET)
    after = planned(carried_out(world, plan))
    assert after.collisions == ()
    assert {change.key for change in after.changes} == {key for key in declared if key not in held} | {
        key for key in held if key not in declared and key.parent in declared
    }
    assert {change.kind for change in after.changes} <= {"create", "delete"}


# What a plan is


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_files_and_definitions_does_not_matter(world: World, dice: Random) -> None:
    assert planned(_shuffled(world, dice)) == planned(world)


@given(worlds())
def test_the_digest_ignores_files_lines_and_order(world: World) -> None:
    plan = planned(world)
    elsewhere = replace(world, desired=replace(world.desired, origins={}))
    assert planned(elsewhere).digest == plan.digest
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
def test_a_plan_file_reads_back_equal_and_is_as_its_schema_says(world: World) -> None:
    plan = planned(world)
    text = dump_plan(plan)
    assert load_plan(text) == plan
    tree = json.loads(text)
    jsonschema.validate(tree, schema_of("Plan"))
    assert sum(tree["summary"].values()) == len(plan.changes)
    assert list(tree["summary"]) == list(KINDS)


# Rows


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


@given(contents, contents)
def test_rows_of_any_two_contents_survive_the_plan_file(before: Content, after: Content) -> None:
    key = Key("tracker", "telemetry")
    old, new = define(key, before), define(key, after)
    changes = (Update(key, old, new, field_changes(before, after), None),)
    digest = plan_digest(changes, environment="dev", target=TARGET, owner=OURS)
    plan = replace(planned(EMPTY_WORLD), stages=(changes,), digest=digest)
    assert load_plan(dump_plan(plan)) == plan


# What the laws speak of


def _goal(world: World) -> dict[Key, Owned]:
    """What the files declare and others do not hold, nor anything that would become it."""
    foreign = {key for key, owned in world.revision.owned.items() if owned.owner == THEIRS}
    free = {key: d for key, d in world.desired.definitions.items() if key not in foreign and key.parent not in foreign}
    taken = {
        new
        for old, new in world.desired.moved.items()
        if old in foreign and new in free and new not in world.revision.owned
    }
    return {key: Owned(d, OURS) for key, d in free.items() if key not in taken and key.parent not in taken}


def _digests(world: World) -> dict[Key, str]:
    return {key: owned.definition.digest for key, owned in world.revision.owned.items() if owned.owner == OURS}


def _applied(world: World) -> dict[Key, str]:
    if world.applied is None:
        return _digests(world)
    return {key: definition.digest for key, definition in world.applied.items()}


def _touched(change: Change) -> Key:
    """Where at the target the change takes hold."""
    return change.before.key if isinstance(change, Move) else change.key


def _is_moved(changes: Iterable[Change], old: Key, new: Key) -> bool:
    return any(isinstance(change, Move) and (change.before.key, change.key) == (old, new) for change in changes)


def _is_move_of_device_type(change: Change) -> TypeGuard[Move]:
    return isinstance(change, Move) and not change.key.callback


def _shuffled(world: World, dice: Random) -> World:
    def shuffled(mapping: Mapping[K, V]) -> dict[K, V]:
        items = list(mapping.items())
        dice.shuffle(items)
        return dict(items)

    desired = world.desired
    return World(
        replace(desired, definitions=shuffled(desired.definitions), moved=shuffled(desired.moved)),
        replace(world.revision, owned=shuffled(world.revision.owned)),
        None if world.applied is None else shuffled(world.applied),
        shuffled(world.secrets),
    )


def _other_effects(change: Change) -> list[Change]:
    """The same change with one part of its effect altered."""
    other = define(change.key, {"url": "https://somewhere.else.test"})
    renamed = replace(change, key=Key(change.key.device_type, change.key.callback + "-2"))
    match change:
        case Create():
            return [renamed, replace(change, after=other), Delete(change.key, change.after)]
        case Update(before=before, after=after):
            kinds: list[UpdateKind] = ["update", "enable", "disable", "replace"]
            return [
                renamed,
                replace(change, after=other),
                replace(change, before=other),
                Move(change.key, before, after, (), None),
                *(replace(change, kind=kind) for kind in kinds if kind != change.kind),
            ]
        case Delete():
            return [renamed, replace(change, before=other), Create(change.key, other, None)]
        case Move(before=before):
            elsewhere = Key(before.key.device_type + "-2", before.key.callback)
            return [
                renamed,
                replace(change, after=other),
                replace(change, before=define(before.key, {"url": "https://somewhere.else.test"})),
                replace(change, before=replace(before, key=elsewhere)),
            ]
        case Resecret():
            return [renamed, replace(change, name="OTHER"), replace(change, after="3d")]
        case Adopt():
            return [renamed, replace(change, taken_from="nobody"), replace(change, before=other)]


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
