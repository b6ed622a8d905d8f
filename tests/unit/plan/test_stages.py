"""The order in which changes are made."""

from itertools import permutations

from reconciler.codec.canonical import define
from reconciler.model.plan import Change, Create, Delete, Update
from reconciler.model.resource import Key
from reconciler.plan.stages import staged


def create(name: str) -> Change:
    return Create(Key.parse(name), define(Key.parse(name), {}), None)


def update(name: str) -> Change:
    key = Key.parse(name)
    return Update(key, define(key, {}), define(key, {"enabled": False}), (), None)


def delete(name: str) -> Change:
    return Delete(Key.parse(name), define(Key.parse(name), {}))


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


def test_a_stage_that_would_be_empty_is_left_out() -> None:
    assert staged([]) == ()
    assert told(staged([delete("old"), create("kept/a")])) == [["create kept/a"], ["delete old"]]


def test_the_order_that_changes_come_in_does_not_matter() -> None:
    changes = [create("b"), create("b/x"), create("a"), delete("b/y")]
    assert all(staged(order) == staged(changes) for order in permutations(changes))
