"""The order in which changes are made."""

from itertools import permutations

from reconciler.codec.canonical import define
from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Resecret, Update
from reconciler.model.resource import Key
from reconciler.plan.stages import staged


def create(name: str) -> Change:
    return Create(Key.parse(name), define(Key.parse(name), {}), None)


def update(name: str) -> Change:
    key = Key.parse(name)
    return Update(key, define(key, {}), define(key, {"enabled": False}), (), None)


def delete(name: str) -> Change:
    return Delete(Key.parse(name), define(Key.parse(name), {}))


def move(old: str, new: str) -> Change:
    return Move(Key.parse(new), define(Key.parse(old), {}), define(Key.parse(new), {}), (), None)


def adopt(name: str) -> Change:
    key = Key.parse(name)
    return Adopt(key, define(key, {}), define(key, {}), "cold-store", (), None)


def resecret(name: str, at: str) -> Change:
    return Resecret(Key.parse(at), name, "1f", "2e", (Key.parse(at),))


def told(stages: tuple[tuple[Change, ...], ...]) -> list[list[str]]:
    return [[f"{change.kind} {change.key}" for change in stage] for stage in stages]


def test_device_types_come_before_their_callbacks_and_leave_after_them() -> None:
    changes = [
        delete("old"),
        delete("old/a"),
        update("kept/b"),
        create("new/c"),
        create("new"),
        update("kept"),
        delete("kept/d"),
    ]
    assert told(staged(changes)) == [
        ["update kept", "create new"],
        ["update kept/b", "create new/c"],
        ["delete kept/d", "delete old/a"],
        ["delete old"],
    ]


def test_what_moves_and_what_is_adopted_comes_with_what_is_new_and_secrets_come_before_what_leaves() -> None:
    changes = [
        delete("kept/d"),
        resecret("TOKEN", "kept/b"),
        resecret("ALPHA", "kept/b"),
        update("kept/b"),
        move("kept/x", "kept/c"),
        adopt("fridge/a"),
        adopt("fridge"),
        create("beacon"),
    ]
    assert told(staged(changes)) == [
        ["create beacon", "adopt fridge"],
        ["adopt fridge/a", "update kept/b", "move kept/c"],
        ["resecret kept/b", "resecret kept/b"],
        ["delete kept/d"],
    ]
    secrets = staged(changes)[2]
    assert [change.name for change in secrets if isinstance(change, Resecret)] == ["ALPHA", "TOKEN"]


def test_a_device_type_that_moves_takes_along_what_is_below_it_in_one_stage() -> None:
    changes = [
        delete("old/gone"),
        delete("kept/gone"),
        move("old", "new"),
        move("old/a", "new/b"),
        move("kept/a", "new/c"),
        create("new/d"),
        resecret("TOKEN", "new/b"),
    ]
    assert told(staged(changes)) == [
        ["move new", "move new/b", "delete old/gone"],
        ["move new/c", "create new/d"],
        ["resecret new/b"],
        ["delete kept/gone"],
    ]


def test_a_stage_that_would_be_empty_is_left_out() -> None:
    assert staged([]) == ()
    assert told(staged([delete("old"), create("kept/a")])) == [["create kept/a"], ["delete old"]]


def test_the_order_that_changes_come_in_does_not_matter() -> None:
    changes = [create("b"), resecret("B", "b/x"), create("b/x"), create("a"), delete("b/y"), resecret("A", "b/x")]
    assert all(staged(order) == staged(changes) for order in permutations(changes))
