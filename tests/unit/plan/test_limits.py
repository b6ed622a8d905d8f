"""What refuses a plan."""

import pytest

from reconciler.codec.canonical import define
from reconciler.model.definition import Content
from reconciler.model.plan import (
    Adopt,
    Change,
    Collision,
    Create,
    Delete,
    Limits,
    Move,
    Plan,
    Resecret,
    Update,
    UpdateKind,
    parse_limit,
)
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.plan.limits import breaches, protected, refusals
from tests.unit.plan.pictures import Contents, planned

A = Key("tracker", "a")
PROTECTED: Content = {"protect": True, "type": "data/uplink", "channel": "url", "url": "a"}


def plan(*, creates: int = 0, updates: int = 0, deletes: int = 0, collisions: tuple[Collision, ...] = ()) -> Plan:
    changes: list[Change] = []
    for kind, number in (("create", creates), ("update", updates), ("delete", deletes)):
        for n in range(number):
            key = Key("tracker", f"{kind}-{n}")
            before, after = define(key, {}), define(key, {"enabled": False})
            match kind:
                case "create":
                    changes.append(Create(key, after, None))
                case "update":
                    changes.append(Update(key, before, after, (), None))
                case _:
                    changes.append(Delete(key, before))
    return plan_of(*changes, collisions=collisions)


def plan_of(*changes: Change, collisions: tuple[Collision, ...] = ()) -> Plan:
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(7, ""), (changes,), "d1", collisions)


def update(before: Content, after: Content, kind: UpdateKind = "update") -> Update:
    return Update(A, define(A, before), define(A, after), (), None, kind=kind)


def move(before: Content, after: Content) -> Move:
    return Move(A, define(Key("tracker", "old"), before), define(A, after), (), None)


def adopt(before: Content, after: Content) -> Adopt:
    return Adopt(A, define(A, before), define(A, after), "cold-store", (), None)


def owning(number: int) -> Observed:
    return Observed({Key("tracker", f"c{n}"): "" for n in range(number)}, {}, {}, Fingerprint(7, ""))


def limits(**texts: int | str) -> Limits:
    return Limits(**{name: parse_limit(text) for name, text in texts.items()})


@pytest.mark.parametrize(
    ("done", "owned", "allowed", "breached"),
    [
        (plan(deletes=3), 10, limits(deletes="30%"), False),
        (plan(deletes=4), 10, limits(deletes="30%"), True),
        (plan(deletes=1), 2, limits(deletes="49%"), True),
        (plan(deletes=1), 2, limits(deletes="50%"), False),
        (plan(deletes=1), 1, limits(deletes="99.9%"), True),
        (plan(deletes=1), 100, limits(deletes="0%"), True),
        (plan(deletes=29), 100, limits(deletes="29%"), False),
        (plan(updates=2), 3, limits(updates="66.6%"), True),
        (plan(updates=2), 3, limits(updates="66.7%"), False),
        (plan(updates=5), 1_000, limits(updates=5), False),
        (plan(updates=6), 1_000, limits(updates=5), True),
        (plan(creates=12), 10, limits(creates="100%"), True),
        (plan(creates=12), 0, limits(creates="10%", total="10%"), False),
        (plan(creates=12), 0, limits(creates=10), True),
        (plan(creates=2, updates=2, deletes=2), 10, limits(total="59%"), True),
        (plan(creates=2, updates=2, deletes=2), 10, limits(total="60%"), False),
        (plan(creates=2, updates=2, deletes=2), 10, limits(total=5), True),
        (plan(deletes=9), 9, limits(creates=0, updates=0), False),
        (plan(deletes=9), 9, Limits(), False),
        (plan(), 0, limits(creates=0, updates=0, deletes=0, total=0), False),
    ],
)  # fmt: skip
def test_a_limit_may_be_reached_and_not_passed(done: Plan, owned: int, allowed: Limits, breached: bool) -> None:
    assert bool(breaches(done, owning(owned), allowed)) is breached


def test_a_breach_says_how_many_of_how_many_which_limit_and_what_to_do() -> None:
    (found,) = breaches(plan(deletes=3), owning(9), limits(deletes="30%"))
    assert found.code == "too-many-changes"
    assert found.detail.startswith(
        "cold-chain owns 9 definitions in dev; this plan deletes 3 (33.3 %), "
        "and limits.deletes allows 30 %, which is 2."
    )
    assert "\n\n    reconciler apply -e dev --over-limits d1\n\n" in found.help
    assert found.help.endswith("\n\n    limits: {deletes: 34%}")


def test_a_breach_of_a_count_speaks_of_counts() -> None:
    (found,) = breaches(plan(creates=1, updates=1), owning(1), limits(total=1))
    assert found.detail.startswith(
        "cold-chain owns 1 definition in dev; this plan creates, updates and deletes 2 together, "
        "and limits.total allows 1."
    )
    assert found.help.endswith("\n\n    limits: {total: 2}")


def test_the_limit_that_a_breach_suggests_lets_the_plan_pass() -> None:
    done, observed = plan(updates=2), owning(3)
    (found,) = breaches(done, observed, limits(updates="66.6%"))
    suggested = found.help.rpartition("updates: ")[2].rstrip("}")
    assert breaches(done, observed, limits(updates=suggested)) == ()


def test_every_breached_limit_is_found() -> None:
    found = breaches(plan(creates=1, updates=1, deletes=1), owning(2), limits(creates=0, updates=0, deletes=0, total=0))
    assert [each.detail.partition("limits.")[2].partition(" ")[0] for each in found] == [
        "creates",
        "updates",
        "deletes",
        "total",
    ]


MAIL: Content = {"type": "data/uplink", "channel": "email"}
WEB: Content = {"type": "data/uplink", "channel": "url"}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (Create(A, define(A, {}), None), {"creates", "total"}),
        (update({}, {"url": "a"}), {"updates", "total"}),
        (update({"enabled": False}, {}, "enable"), {"updates", "total"}),
        (update({}, {"enabled": False}, "disable"), {"updates", "total"}),
        (update(WEB, MAIL, "replace"), {"updates", "deletes", "total"}),
        (Delete(A, define(A, {})), {"deletes", "total"}),
        (move(WEB, WEB), {"updates", "total"}),
        (move(WEB, MAIL), {"updates", "deletes", "total"}),
        (adopt(WEB, WEB), {"updates", "total"}),
        (adopt(WEB, MAIL), {"updates", "deletes", "total"}),
        (Resecret(A, "TOKEN", "1f", "2e", (A,)), set()),
    ],
    ids=lambda value: "" if isinstance(value, set) else value.kind,
)
def test_what_counts_towards_which_limit(change: Change, counts: set[str]) -> None:
    names = ("creates", "updates", "deletes", "total")
    breached = {name for name in names if breaches(plan_of(change), owning(9), limits(**{name: 0}))}
    assert breached == counts


def test_a_breach_says_what_else_counts() -> None:
    changes = (
        update({}, {"x": 1}),
        update({}, {"enabled": False}, "disable"),
        move({}, {}),
        update(WEB, MAIL, "replace"),
    )
    (updates, deletes) = breaches(plan_of(*changes), owning(9), limits(updates=3, deletes=0))
    assert "this plan updates 4, of which 1 to disable, 1 to replace, 1 to move, and limits.updates allows 3." in (
        updates.detail
    )
    assert "this plan deletes 1, of which 1 to replace, and limits.deletes allows 0." in deletes.detail


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (Delete(A, define(A, PROTECTED)), True),
        (Delete(A, define(A, {**PROTECTED, "protect": False})), False),
        (Create(A, define(A, PROTECTED), None), False),
        (update(PROTECTED, {**PROTECTED, "url": "b", "enabled": False}), False),
        (update(PROTECTED, {"type": "data/uplink", "channel": "url", "url": "a"}), False),
        (update(PROTECTED, {**PROTECTED, "type": "error"}, "replace"), True),
        (update(PROTECTED, MAIL, "replace"), True),
        (update(WEB, {**MAIL, "protect": True}, "replace"), False),
        (move(PROTECTED, PROTECTED), False),
        (move(PROTECTED, {**PROTECTED, "url": "b"}), False),
        (move(PROTECTED, MAIL), True),
        (adopt(PROTECTED, PROTECTED), False),
        (adopt(PROTECTED, MAIL), True),
    ],
)
def test_what_the_target_protects_is_not_deleted_or_replaced_under_any_name(change: Change, refused: bool) -> None:
    found = refusals(plan_of(change), owning(1), Limits())
    assert [each.code for each in found] == (["protected-definition"] if refused else [])


def test_a_refusal_to_replace_says_what_would_be_replaced_by_what() -> None:
    (found,) = refusals(plan_of(move(PROTECTED, MAIL)), owning(1), Limits())
    assert found.detail.startswith(
        "tracker/old says `protect: true` at http://127.0.0.1:8460, "
        "and in the files its channel is email instead of url."
    )


def test_lifting_the_protection_and_deleting_can_not_be_one_plan() -> None:
    # The files lift it and declare the callback no longer, in whatever way: what the target holds decides.
    held: Contents = {"tracker": {}, "tracker/a": PROTECTED}
    for files, moved in (
        ({"tracker": {}}, {}),
        ({"tracker": {}, "tracker/a": {**MAIL, "protect": False}}, {}),
        ({"tracker": {}, "tracker/b": {**MAIL, "protect": False}}, {"tracker/a": "tracker/b"}),
    ):
        assert [each.code for each in protected(planned(files, held, moved=moved))] == ["protected-definition"]


def test_all_refusals_are_gathered() -> None:
    done = plan_of(Delete(A, define(A, PROTECTED)), collisions=(Collision(Key("fridge"), "cold-store", None),))
    assert [each.code for each in refusals(done, owning(1), limits(deletes=0))] == [
        "owned-by-another-project",
        "protected-definition",
        "too-many-changes",
    ]


def test_the_digest_of_the_plan_lifts_its_limits_and_nothing_else() -> None:
    done = plan_of(Delete(A, define(A, PROTECTED)), collisions=(Collision(Key("fridge"), "cold-store", None),))
    assert [each.code for each in refusals(done, owning(1), limits(deletes=0, total=0), over_limits="d1")] == [
        "owned-by-another-project",
        "protected-definition",
    ]
    assert refusals(plan(deletes=9), owning(9), limits(deletes=0), over_limits="d1") == ()


@pytest.mark.parametrize(("allowed", "codes"), [(0, ["override-of-another-plan", "too-many-changes"]),
                                                (9, ["override-of-another-plan"])])  # fmt: skip
def test_the_digest_of_another_plan_refuses_this_one_and_names_both(allowed: int, codes: list[str]) -> None:
    found = refusals(plan(deletes=9), owning(9), limits(deletes=allowed), over_limits="d2")
    assert [each.code for each in found] == codes
    assert "by the digest d2, and this plan has the digest d1" in found[0].detail


@pytest.mark.parametrize("text", ["", "30 percent", "-1", "%", "1e3", "30%%", "½%", "1.5", "0x10", "٣"])
def test_what_is_neither_a_count_nor_a_percentage_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="A limit is a whole number"):
        parse_limit(text)


@pytest.mark.parametrize(("text", "told"), [(5, "5"), ("5", "5"), ("30%", "30%"), ("12.5 %", "12.5%"), ("0%", "0%")])
def test_a_limit_prints_as_it_is_written(text: int | str, told: str) -> None:
    assert str(parse_limit(text)) == told
