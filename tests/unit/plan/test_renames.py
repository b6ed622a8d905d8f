"""What looks like a rename."""

import pytest

from reconciler.model.definition import Content
from reconciler.model.plan import Plan
from tests.unit.plan.pictures import Contents, planned


def callback(**fields: str) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": "https://a.example.com/", "body": "{device}", **fields}


def suggested(plan: Plan) -> list[str]:
    return [f"{rename.before} → {rename.after}" for rename in plan.renames]


def test_one_gone_and_one_new_that_are_equal_are_probably_one() -> None:
    made = planned({"tracker": {}, "tracker/new": callback()}, {"tracker": {}, "tracker/old": callback()})
    (rename,) = made.renames
    assert (str(rename.before), str(rename.after)) == ("tracker/old", "tracker/new")
    assert rename.file == "device-types/tracker.yaml"
    assert rename.lines == "moved:\n  - {from: old, to: new}"


def test_with_the_lines_added_it_is_moved_and_nothing_is_suggested_any_more() -> None:
    made = planned(
        {"tracker": {}, "tracker/new": callback()},
        {"tracker": {}, "tracker/old": callback()},
        moved={"tracker/old": "tracker/new"},
    )
    assert ([change.kind for change in made.changes], made.renames) == (["move"], ())


@pytest.mark.parametrize(
    ("new", "alike"),
    [
        (callback(url="https://b.example.com/"), True),
        (callback(url="https://b.example.com/", body="x"), False),
        (callback(method="PUT"), True),
        (callback(type="error"), False),
        (callback(channel="batch-url"), False),
        ({**callback(), "headers": {"A": "1", "B": "2"}}, False),
        ({**callback(), "headers": {"A": "1"}}, True),
    ],
)
def test_three_quarters_of_the_fields_have_to_be_the_same(new: Content, alike: bool) -> None:
    made = planned({"tracker": {}, "tracker/new": new}, {"tracker": {}, "tracker/old": callback()})
    assert suggested(made) == (["tracker/old → tracker/new"] if alike else [])


def test_equal_ones_come_first_then_the_most_alike_and_each_occurs_once() -> None:
    near, far = callback(url="n", method="PUT"), callback(url="f", method="PUT")
    held: Contents = {"tracker": {}, "tracker/a": callback(), "tracker/b": callback(), "tracker/c": near}
    files: Contents = {"tracker": {}, "tracker/x": far, "tracker/y": callback(), "tracker/z": callback(contentType="t")}
    assert suggested(planned(files, held)) == [
        "tracker/a → tracker/y",
        "tracker/b → tracker/z",
        "tracker/c → tracker/x",
    ]


def test_a_callback_is_not_looked_for_below_another_device_type() -> None:
    made = planned(
        {"tracker": {}, "fridge": {}, "fridge/new": callback()},
        {"tracker": {}, "fridge": {}, "tracker/old": callback()},
    )
    assert suggested(made) == []


def test_a_callback_is_looked_for_below_the_new_name_of_its_device_type() -> None:
    made = planned({"new": {}, "new/b": callback()}, {"old": {}, "old/a": callback()}, moved={"old": "new"})
    assert [change.kind for change in made.changes] == ["move", "delete", "create"]
    assert suggested(made) == ["old/a → new/b"]
    assert made.renames[0].lines == "moved:\n  - {from: a, to: b}"


@pytest.mark.parametrize("removed", [[], ["old"]])
def test_a_device_type_is_known_by_its_callbacks_whether_it_is_left_or_removed(removed: list[str]) -> None:
    old: Contents = {"old": {"description": "x"}, "old/a": callback(), "old/b": callback(url="b"), "kept": {}}
    new: Contents = {"new": {"description": "y"}, "new/a": callback(), "new/b": callback(url="c"), "kept": {}}
    made = planned(new, old, removed=removed)
    (rename,) = made.renames
    assert (str(rename.before), str(rename.after), rename.file) == ("old", "new", "reconciler.yaml")
    assert rename.lines == "moved:\n  - {from: old, to: new}"


def test_device_types_with_other_callbacks_or_with_none_are_not_alike() -> None:
    held: Contents = {"old": {}, "old/a": callback(), "bare": {}}
    files: Contents = {"new": {}, "new/b": callback(), "empty": {}}
    assert suggested(planned(files, held)) == []


def test_nothing_that_came_or_went_behind_the_files_is_taken_for_a_rename() -> None:
    files: Contents = {"tracker": {}, "tracker/a": callback()}
    made = planned(files, {"tracker": {}, "tracker/b": callback()}, applied=files)
    assert [f"{change.kind} {change.reason}" for change in made.changes] == ["create vanished", "delete appeared"]
    assert suggested(made) == []


@pytest.mark.parametrize(
    ("name", "written"),
    [("new", "new"), ("a.b-c_d", "a.b-c_d"), ("7", '"7"'), ("1e3", '"1e3"'), ("No", '"No"'), ("null", '"null"'),
     ("n", '"n"'), ("none", "none"), ("0x1F", '"0x1F"'), ("2026-11-23", '"2026-11-23"')],
)  # fmt: skip
def test_a_name_that_yaml_would_take_for_something_else_is_quoted(name: str, written: str) -> None:
    made = planned({"tracker": {}, f"tracker/{name}": callback()}, {"tracker": {}, "tracker/old": callback()})
    assert made.renames[0].lines == f"moved:\n  - {{from: old, to: {written}}}"


def test_only_so_many_are_compared_but_equal_ones_are_always_found() -> None:
    held: Contents = {"tracker": {}} | {f"tracker/old-{n:03}": callback(url=f"{n}") for n in range(300)}
    files: Contents = {"tracker": {}} | {f"tracker/new-{n:03}": callback(url=f"{n}", x="1") for n in range(299)}
    made = planned({**files, "tracker/same": callback(url="299")}, held)
    assert 0 < len(made.renames) < 300
    assert "tracker/old-299 → tracker/same" in suggested(made)
