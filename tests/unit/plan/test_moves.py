"""What has a new name."""

import pytest

from tests.unit.plan.pictures import Contents, planned, told

X: dict[str, str] = {"url": "x"}


@pytest.mark.parametrize(
    ("files", "held", "moved", "changes"),
    [
        pytest.param(
            {"tracker": {}, "tracker/b": X}, {"tracker": {}, "tracker/a": X}, {"tracker/a": "tracker/b"},
            ["move tracker/a to tracker/b: moved"],
            id="a callback",
        ),
        pytest.param(
            {"tracker": {}, "tracker/b": X}, {"tracker": {}, "tracker/b": X}, {"tracker/a": "tracker/b"},
            [],
            id="an entry that has done its work may stay",
        ),
        pytest.param(
            {"tracker": {}, "tracker/b": X}, {"tracker": {}}, {"tracker/a": "tracker/b"},
            ["create tracker/b: declared"],
            id="where the old name never was, the new one is created",
        ),
        pytest.param(
            {"tracker": {}, "tracker/b": X}, {"tracker": {}, "tracker/a": X, "tracker/b": X},
            {"tracker/a": "tracker/b"},
            ["delete tracker/a: undeclared"],
            id="where both names are, the old one is not declared",
        ),
        pytest.param(
            {"tracker": {}}, {"tracker": {}, "tracker/a": X}, {"tracker/a": "tracker/b"},
            ["delete tracker/a: undeclared"],
            id="what moved and went later goes",
        ),
        pytest.param(
            {"tracker": {}, "tracker/a": X, "tracker/b": X}, {"tracker": {}, "tracker/a": X},
            {"tracker/a": "tracker/b"},
            ["create tracker/b: declared"],
            id="what is still declared stays",
        ),
        pytest.param(
            {"new": {}, "new/a": X}, {"old": {}, "old/a": X}, {"old": "new"},
            ["move old to new: moved", "move old/a to new/a: moved"],
            id="a device type takes its callbacks along",
        ),
        pytest.param(
            {"new": {}, "new/a": {"url": "y"}, "new/c": X}, {"old": {}, "old/a": X, "old/b": X}, {"old": "new"},
            ["move old to new: moved", "move old/a to new/a: moved", "delete old/b: undeclared",
             "create new/c: declared"],
            id="what is not declared below the new name does not come along",
        ),
        pytest.param(
            {"new": {}, "new/b": X}, {"old": {}, "old/a": X}, {"old": "new", "new/a": "new/b"},
            ["move old to new: moved", "move old/a to new/b: moved"],
            id="both entries hold",
        ),
        pytest.param(
            {"new": {}, "new/b": X}, {"old": {}, "old/a": X, "old/b": X}, {"old": "new", "new/a": "new/b"},
            ["move old to new: moved", "move old/b to new/b: moved", "delete old/a: undeclared"],
            id="the one that keeps most of its name has it",
        ),
        pytest.param(
            {"new": {}, "new/a": X}, {"old": {}, "old/a": X, "new": {}}, {"old": "new"},
            ["create new/a: declared"],
            id="a device type whose new name is taken is left alone",
        ),
        pytest.param(
            {"new": {}, "new/a": X}, {"old": {}, "old/a": X}, {"old": "new/a", "old/a": "new"},
            ["create new: declared", "create new/a: declared"],
            id="a device type becomes no callback",
        ),
    ],
)  # fmt: skip
def test_what_an_entry_does(files: Contents, held: Contents, moved: dict[str, str], changes: list[str]) -> None:
    made = planned(files, held, moved=moved)
    assert sorted(told(made)) == sorted(changes)


def test_what_is_moved_to_a_foreign_device_type_is_left_alone() -> None:
    made = planned(
        {"new": {}, "new/a": X}, {"old": {}, "old/a": X}, moved={"old": "new"}, foreign={"new": "cold-store"}
    )
    assert made.is_empty
    assert [str(key) for key in made.left] == ["old", "old/a"]
    assert [str(collision.key) for collision in made.collisions] == ["new", "new/a"]


def test_nothing_is_moved_away_from_another_project() -> None:
    files: Contents = {"new": {}, "new/a": X, "beacon": {}}
    made = planned(files, {}, moved={"old": "new"}, foreign={"old": "cold-store", "old/a": "cold-store"})
    assert told(made) == ["create beacon: declared"]
    (collision,) = made.collisions
    assert (str(collision.key), collision.owner, str(collision.moved_to)) == ("old", "cold-store", "new")


def test_an_entry_that_has_done_its_work_claims_nothing() -> None:
    files: Contents = {"new": {}, "new/a": X}
    made = planned(files, files, moved={"old": "new"}, foreign={"old": "cold-store"})
    assert (made.changes, made.collisions) == ((), ())
