"""What is set aside before anything is compared."""

from dataclasses import replace

from reconciler.codec.canonical import define
from reconciler.diagnostics import Span
from reconciler.model.plan import Collision
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Fingerprint, Observed
from reconciler.plan.scope import collision_findings, scope_of

HERE = Span("tracker.yaml", 3, 1, 8, "tracker:")


def desired(*names: str) -> Desired:
    keys = [Key.parse(name) for name in names]
    return Desired("cold-chain", {key: define(key, {}) for key in keys}, dict.fromkeys(keys, HERE))


def observed(**foreign: str) -> Observed:
    owners = {Key.parse(name): owner for name, owner in foreign.items()}
    return Observed({}, {}, owners, Fingerprint(1, "d"))


def test_without_foreign_definitions_everything_declared_is_compared() -> None:
    scope = scope_of(desired("tracker", "tracker/a"), observed())
    assert (set(map(str, scope.declared)), scope.collisions) == ({"tracker", "tracker/a"}, ())


def test_a_foreign_device_type_takes_its_callbacks_with_it() -> None:
    scope = scope_of(desired("tracker/b", "tracker/a", "tracker", "beacon"), observed(tracker="cold-store"))
    assert set(map(str, scope.declared)) == {"beacon"}
    assert scope.collisions == (
        Collision(Key("tracker"), "cold-store", HERE),
        Collision(Key("tracker", "a"), "cold-store", HERE),
        Collision(Key("tracker", "b"), "cold-store", HERE),
    )


def test_what_others_own_and_nobody_declares_is_no_collision() -> None:
    scope = scope_of(desired("beacon"), observed(tracker="cold-store"))
    assert scope.collisions == ()


def test_a_collision_is_found_once_for_a_device_type_and_its_callbacks() -> None:
    scope = scope_of(desired("tracker", "tracker/a"), observed(tracker="cold-store"))
    (finding,) = collision_findings(scope.collisions)
    assert finding.code == "owned-by-another-project"
    assert finding.span == HERE
    assert "tracker belongs to the project cold-store" in finding.detail
    assert "cold-store" not in finding.summary


def test_a_foreign_callback_is_found_by_itself() -> None:
    (finding,) = collision_findings([Collision(Key("tracker", "a"), "cold-store", None)])
    assert "tracker/a belongs to the project cold-store" in finding.detail


def test_a_move_away_from_another_project_is_a_collision_that_says_so() -> None:
    declared = replace(desired("cooler", "cooler/a", "beacon"), moved={Key("fridge"): Key("cooler")})
    scope = scope_of(declared, observed(fridge="cold-store"))
    assert set(map(str, scope.declared)) == {"beacon"}
    assert scope.collisions == (Collision(Key("fridge"), "cold-store", HERE, moved_to=Key("cooler")),)
    (finding,) = collision_findings(scope.collisions)
    assert finding.code == "owned-by-another-project"
    assert "An entry of `moved` says that fridge is called cooler now" in finding.detail


def test_what_belongs_to_no_project_is_foreign_too() -> None:
    scope = scope_of(desired("tracker", "tracker/a"), observed(tracker=""))
    assert scope.declared == {}
    (finding,) = collision_findings(scope.collisions)
    assert "tracker belongs to no project" in finding.detail


def test_what_goes_and_what_is_left_alone_is_decided_before_anything_is_compared() -> None:
    held = ["tracker", "tracker/a", "tracker/b", "old", "old/c", "old/d", "fridge", "fridge/e", "beacon", "beacon/f"]
    declared = replace(
        desired("tracker", "tracker/a", "new", "new/c"), moved={Key("old"): Key("new")}, removed=frozenset({"beacon"})
    )
    scope = scope_of(declared, replace(observed(), digests=dict.fromkeys(map(Key.parse, held), "d")))
    assert {str(new): str(old) for new, old in scope.moves.items()} == {"new": "old", "new/c": "old/c"}
    assert list(map(str, scope.gone)) == ["beacon", "beacon/f", "old/d", "tracker/b"]
    assert list(map(str, scope.left)) == ["fridge", "fridge/e"]
