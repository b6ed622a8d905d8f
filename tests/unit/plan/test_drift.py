"""What was changed behind the files."""

from datetime import UTC, datetime

import pytest

from reconciler.codec.canonical import define
from reconciler.model.plan import Drift, FieldChange
from reconciler.model.resource import Key
from reconciler.model.snapshot import Applied, Blame, Fingerprint, Observed
from reconciler.plan.drift import drift_of
from tests.unit.plan.pictures import Contents, desired, planned, told_drift

A = Key("tracker", "a")
BLAME = Blame("bob", 6, datetime(2026, 11, 23, 14, tzinfo=UTC))


@pytest.mark.parametrize(
    ("files", "held", "applied", "drift"),
    [
        ("a", "a", "a", None),
        ("b", "a", "a", None),
        (None, "a", "a", None),
        ("a", None, None, None),
        ("a", "b", "a", "changed, undone"),
        ("c", "b", "a", "changed, undone"),
        ("b", "b", "a", "changed"),
        (None, "b", "a", "changed, undone"),
        ("a", None, "a", "vanished, undone"),
        (None, None, "a", "vanished"),
        ("a", "a", None, "appeared"),
        ("b", "a", None, "appeared, undone"),
        (None, "a", None, "appeared, undone"),
    ],
)
def test_what_differs_from_what_the_files_had_brought_about(
    files: str | None, held: str | None, applied: str | None, drift: str | None
) -> None:
    def picture(url: str | None) -> Contents:
        return {"tracker": {}} if url is None else {"tracker": {}, "tracker/a": {"url": url}}

    made = planned(picture(files), picture(held), applied=picture(applied))
    assert [told_drift(each) for each in made.drift] == ([] if drift is None else [f"tracker/a {drift}"])


def test_a_drift_says_what_differs_and_whose_doing_it_is() -> None:
    applied: Contents = {"tracker": {}, "tracker/a": {"url": "a"}}
    made = planned(
        {"tracker": {}, "tracker/a": {"url": "c"}},
        {"tracker": {}, "tracker/a": {"url": "b"}},
        applied=applied,
        blame={"tracker/a": BLAME},
    )
    fields = (FieldChange(("url",), "a", "b"),)
    assert made.drift == (Drift(A, define(A, {"url": "a"}), define(A, {"url": "b"}), fields, True, BLAME, "changed"),)


def test_drift_of_what_is_left_alone_is_told_and_stays() -> None:
    made = planned({}, {"fridge": {}, "fridge/a": {"url": "b"}}, applied={"fridge": {}, "fridge/a": {"url": "a"}})
    assert [told_drift(each) for each in made.drift] == ["fridge/a changed"]
    assert made.is_empty


def test_what_another_project_took_has_vanished_and_stays_with_it() -> None:
    files: Contents = {"tracker": {}, "tracker/a": {}}
    made = planned(files, {}, applied=files, foreign={"tracker": "cold-store", "tracker/a": "cold-store"})
    assert [told_drift(each) for each in made.drift] == ["tracker vanished", "tracker/a vanished"]


@pytest.mark.parametrize(("url", "told"), [("b", ["tracker/old changed"]), ("a", ["tracker/old changed, undone"])])
def test_drift_of_what_moves_is_undone_by_a_move_that_changes_it(url: str, told: list[str]) -> None:
    made = planned(
        {"tracker": {}, "tracker/new": {"url": url}},
        {"tracker": {}, "tracker/old": {"url": "b"}},
        applied={"tracker": {}, "tracker/old": {"url": "a"}},
        moved={"tracker/old": "tracker/new"},
    )
    assert [each.kind for each in made.changes] == ["move"]
    assert [told_drift(each) for each in made.drift] == told


def test_a_move_that_somebody_took_back_is_made_again() -> None:
    made = planned(
        {"tracker": {}, "tracker/new": {}},
        {"tracker": {}, "tracker/old": {}},
        applied={"tracker": {}, "tracker/new": {}},
        moved={"tracker/old": "tracker/new"},
    )
    assert [each.kind for each in made.changes] == ["move"]
    assert [told_drift(each) for each in made.drift] == ["tracker/new vanished, undone", "tracker/old appeared"]


def test_a_target_that_does_not_tell_what_drifted_breaks_its_promise() -> None:
    here = define(A, {"url": "b"})
    observed = Observed({A: here.digest}, {A: here}, {}, Fingerprint(7, ""), Applied(5, {A: "00"}, {}))
    with pytest.raises(ValueError, match="the content of tracker/a with the digest 00 is not known"):
        drift_of(desired({}), observed, [])
