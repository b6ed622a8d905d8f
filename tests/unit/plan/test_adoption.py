"""Taking over what others own."""

import pytest

from reconciler.codec.canonical import define
from reconciler.model.plan import Adopt, FieldChange
from reconciler.model.resource import Key
from reconciler.plan.adoption import make_adoption
from tests.unit.plan.pictures import OURS, TARGET, THEIRS, Contents, desired, line_of, observed, told


def adoption(files: Contents, held: Contents, *, foreign: dict[str, str] | None = None) -> list[str]:
    declared = desired(files)
    seen = observed(held, known=declared, foreign=foreign)
    return told(make_adoption(declared, seen, taken_from=THEIRS, environment="dev", target=TARGET))


def test_what_is_declared_and_the_other_holds_is_adopted() -> None:
    held: Contents = {"fridge": {}, "fridge/a": {"url": "a"}, "beacon": {}}
    assert adoption({"fridge": {}, "fridge/a": {"url": "a"}}, held) == [
        "adopt fridge from cold-store: adopted",
        "adopt fridge/a from cold-store: adopted",
    ]


def test_it_may_get_another_content_on_the_way() -> None:
    key = Key("fridge", "a")
    declared = desired({"fridge": {}, "fridge/a": {"url": "b"}})
    seen = observed({"fridge/a": {"url": "a"}}, known=declared)
    made = make_adoption(declared, seen, taken_from="", environment="dev", target=TARGET)
    before, after = define(key, {"url": "a"}), define(key, {"url": "b"})
    assert made.changes == (Adopt(key, before, after, "", (FieldChange(("url",), "a", "b"),), line_of("fridge/a")),)


def test_a_device_type_brings_along_callbacks_that_are_not_declared() -> None:
    assert adoption({"fridge": {}}, {"fridge": {}, "fridge/a": {"url": "a"}}) == [
        "adopt fridge from cold-store: adopted",
        "adopt fridge/a from cold-store: adopted",
    ]


def test_what_is_missing_is_for_the_next_plan() -> None:
    assert adoption({"fridge": {}, "fridge/new": {}, "tracker": {}}, {"fridge": {}}) == [
        "adopt fridge from cold-store: adopted"
    ]


@pytest.mark.parametrize(("owner", "collides"), [("cold-stack", ["tracker"]), (OURS, [])])
def test_what_a_third_project_holds_collides_and_what_we_hold_does_not(owner: str, collides: list[str]) -> None:
    declared = desired({"fridge": {}, "tracker": {}})
    seen = observed({"fridge": {}}, known=declared, foreign={"tracker": owner, "tracker/a": owner})
    made = make_adoption(declared, seen, taken_from=THEIRS, environment="dev", target=TARGET)
    assert [str(collision.key) for collision in made.collisions] == collides
    assert told(made) == ["adopt fridge from cold-store: adopted"]
