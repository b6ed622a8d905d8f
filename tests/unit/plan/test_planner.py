"""Files, target and what was applied → a plan, by example; the laws are in `tests/property/test_plan_laws.py`."""

import pytest

from reconciler.codec.canonical import define
from reconciler.model.plan import Create, Delete, FieldChange, Move, Reason, Update
from reconciler.model.resource import Key
from tests.unit.plan.pictures import Contents, line_of, planned, told

TRACKER, TELEMETRY, ALARMS = Key("tracker"), Key("tracker", "telemetry"), Key("tracker", "alarms")


def test_what_is_new_changed_and_gone_becomes_a_create_an_update_and_a_delete() -> None:
    files: Contents = {"tracker": {}, "tracker/telemetry": {"url": "b"}}
    made = planned(files, {"tracker/telemetry": {"url": "a"}, "tracker/alarms": {"url": "c"}})
    before, after = define(TELEMETRY, {"url": "a"}), define(TELEMETRY, {"url": "b"})
    assert made.stages == (
        (Create(TRACKER, define(TRACKER, {}), line_of("tracker")),),
        (Update(TELEMETRY, before, after, (FieldChange(("url",), "a", "b"),), line_of("tracker/telemetry")),),
        (Delete(ALARMS, define(ALARMS, {"url": "c"})),),
    )
    assert (made.environment, made.target, made.owner) == ("dev", "http://127.0.0.1:8460", "cold-chain")
    assert made.base.revision == 7


def test_what_is_as_declared_is_not_in_the_plan() -> None:
    made = planned({"tracker": {}, "tracker/a": {"url": "a"}}, {"tracker/a": {"url": "a"}, "tracker": {}})
    assert made.is_empty
    assert made.stages == ()


# What the three pictures say: declared, there, applied. None: no such definition.
@pytest.mark.parametrize(
    ("files", "held", "applied", "change"),
    [
        ("a", "a", "a", None),
        ("a", "a", "b", None),
        ("a", "a", None, None),
        ("a", None, None, "create: declared"),
        ("a", None, "a", "create: vanished"),
        ("a", None, "b", "create: vanished"),
        ("b", "a", "a", "update: edited"),
        ("b", "a", "b", "update: drifted"),
        ("b", "a", "c", "update: edited-and-drifted"),
        ("b", "a", None, "update: edited-and-drifted"),
        (None, "a", "a", "delete: undeclared"),
        (None, "a", "b", "delete: undeclared"),
        (None, "a", None, "delete: appeared"),
        (None, None, "a", None),
    ],
)  # fmt: skip
def test_whose_doing_a_difference_is(
    files: str | None, held: str | None, applied: str | None, change: str | None
) -> None:
    def picture(url: str | None) -> Contents:
        return {"tracker": {}} if url is None else {"tracker": {}, "tracker/a": {"url": url}}

    made = planned(picture(files), picture(held), applied=picture(applied))
    assert [f"{each.kind}: {each.reason}" for each in made.changes] == ([] if change is None else [change])


def test_where_nothing_was_applied_yet_everything_there_counts_as_applied() -> None:
    made = planned(
        {"tracker": {}, "tracker/new": {}, "tracker/a": {"url": "b"}}, {"tracker": {}, "tracker/a": {}, "tracker/b": {}}
    )
    assert told(made) == [
        "update tracker/a: edited",
        "create tracker/new: declared",
        "delete tracker/b: undeclared",
    ]
    assert made.drift == ()


@pytest.mark.parametrize(
    ("key", "before", "after", "kind"),
    [
        ("tracker/a", {"url": "a"}, {"url": "b"}, "update: edited"),
        ("tracker/a", {"url": "a"}, {"url": "a", "enabled": False}, "disable: edited"),
        ("tracker/a", {"url": "a", "enabled": False}, {"url": "a"}, "enable: edited"),
        ("tracker/a", {"enabled": False}, {"enabled": True}, "enable: edited"),
        ("tracker/a", {"url": "a", "enabled": False}, {"url": "b"}, "update: edited"),
        ("tracker/a", {"url": "a"}, {"url": "a", "enabled": True}, "update: edited"),
        ("tracker/a", {"x": 1}, {"x": True, "enabled": False}, "update: edited"),
        ("tracker/a", {"type": "error"}, {"type": "data/uplink"}, "replace: type-changed"),
        ("tracker/a", {"channel": "url"}, {"channel": "email"}, "replace: channel-changed"),
        ("tracker/a", {"channel": "url", "type": "error"}, {"channel": "email"}, "replace: type-changed"),
        ("tracker/a", {"channel": "url"}, {"channel": "email", "enabled": False}, "replace: channel-changed"),
        ("tracker", {"enabled": False}, {}, "update: edited"),
        ("tracker", {"type": "a"}, {"type": "b"}, "update: edited"),
    ],
)  # fmt: skip
def test_what_a_change_of_content_is_called(key: str, before: Contents, after: Contents, kind: str) -> None:
    (change,) = planned({"tracker": {}, key: after}, {"tracker": {}, key: before}).changes
    assert f"{change.kind}: {change.reason}" == kind


def test_a_replacement_that_undoes_a_drift_says_what_is_replaced() -> None:
    files: Contents = {"tracker": {}, "tracker/a": {"channel": "url"}}
    (change,) = planned(files, {"tracker": {}, "tracker/a": {"channel": "email"}}, applied=files).changes
    assert (change.kind, change.reason) == ("replace", Reason.CHANNEL_CHANGED)


def test_below_a_device_type_that_is_declared_what_is_not_declared_goes() -> None:
    held: Contents = {"tracker": {}, "tracker/a": {}, "fridge": {}, "fridge/a": {}}
    made = planned({"tracker": {}}, held)
    assert told(made) == ["delete tracker/a: undeclared"]
    assert made.left == (Key("fridge"), Key("fridge", "a"))


def test_an_empty_project_leaves_everything_alone() -> None:
    made = planned({}, {"tracker": {}, "tracker/a": {}}, foreign={"fridge": "cold-store"})
    assert made.is_empty
    assert made.left == (Key("tracker"), Key("tracker", "a"))


def test_a_device_type_that_is_removed_goes_with_its_callbacks_and_whatever_appeared_below_it() -> None:
    applied: Contents = {"tracker": {}, "tracker/a": {}, "fridge": {}}
    made = planned({}, {**applied, "tracker/b": {}}, applied=applied, removed=["tracker", "nowhere"])
    assert told(made) == ["delete tracker/a: removed", "delete tracker/b: removed", "delete tracker: removed"]
    assert made.left == (Key("fridge"),)


def test_what_is_declared_is_not_removed() -> None:
    files: Contents = {"tracker": {}, "tracker/a": {}}
    assert planned(files, files, removed=["tracker"]).is_empty


def test_foreign_definitions_are_never_touched_even_when_declared() -> None:
    made = planned({"tracker": {}, "tracker/a": {}, "beacon": {}}, {}, foreign={"tracker": "cold-store"})
    assert told(made) == ["create beacon: declared"]
    assert [str(collision.key) for collision in made.collisions] == ["tracker", "tracker/a"]


def test_foreign_device_types_are_not_removed() -> None:
    made = planned({}, {}, foreign={"tracker": "cold-store", "tracker/a": "cold-store"}, removed=["tracker"])
    assert (made.changes, made.left, made.collisions) == ((), (), ())


def test_a_callback_of_ours_under_a_foreign_device_type_is_left_alone() -> None:
    made = planned({"tracker": {}, "tracker/a": {"url": "b"}}, {"tracker/a": {}}, foreign={"tracker": "cold-store"})
    assert made.is_empty
    made = planned({"tracker": {}}, {"tracker/a": {}}, foreign={"tracker": "cold-store"})
    assert made.is_empty
    assert made.left == (Key("tracker", "a"),)


def test_a_move_shows_what_changes_on_the_way() -> None:
    made = planned(
        {"tracker": {}, "tracker/new": {"url": "b"}},
        {"tracker": {}, "tracker/old": {"url": "a"}},
        moved={"tracker/old": "tracker/new"},
    )
    old, new = Key("tracker", "old"), Key("tracker", "new")
    before, after = define(old, {"url": "a"}), define(new, {"url": "b"})
    fields = (FieldChange(("url",), "a", "b"),)
    assert made.changes == (Move(new, before, after, fields, line_of("tracker/new")),)
    assert made.changes[0].reason == Reason.MOVED


def test_reasons_drift_and_advice_have_no_part_in_the_digest() -> None:
    files: Contents = {"tracker": {}, "tracker/a": {"url": "a"}, "tracker/new": {"url": "x", "type": "error"}}
    held: Contents = {"tracker": {}, "tracker/a": {"url": "b"}, "tracker/old": {"url": "x", "type": "error"}}
    before, after = planned(files, held), planned(files, held, applied=files)
    assert (before.renames, before.drift) != (after.renames, after.drift)
    assert told(before) != told(after)
    assert before.digest == after.digest
