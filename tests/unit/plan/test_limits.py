"""What refuses a plan."""

import pytest

from reconciler.codec.canonical import define
from reconciler.model.plan import Change, Collision, Create, Delete, Limits, Plan, Update, parse_limit
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.plan.limits import breaches, refusals


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
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(7, ""), (tuple(changes),), "", collisions)


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


@pytest.mark.parametrize(("protect", "refused"), [(True, True), (False, False)])
def test_a_protected_definition_refuses_deletion(protect: bool, refused: bool) -> None:
    key = Key("tracker", "telemetry")
    deletion = Delete(key, define(key, {"protect": protect}))
    done = Plan("dev", "here", "cold-chain", Fingerprint(7, ""), ((deletion,),), "")
    found = refusals(done, owning(1), Limits())
    assert [each.code for each in found] == (["protected-definition"] if refused else [])


def test_a_protected_definition_may_be_updated_and_created() -> None:
    key = Key("tracker", "telemetry")
    kept, lifted = define(key, {"protect": True}), define(key, {})
    changes = (Update(key, kept, lifted, (), None), Create(key, kept, None))
    assert refusals(Plan("dev", "here", "p", Fingerprint(7, ""), (changes,), ""), owning(1), Limits()) == ()


def test_all_refusals_are_gathered() -> None:
    key = Key("tracker", "telemetry")
    done = Plan(
        "dev",
        "here",
        "cold-chain",
        Fingerprint(7, ""),
        ((Delete(key, define(key, {"protect": True})),),),
        "",
        (Collision(Key("fridge"), "cold-store", None),),
    )
    assert [each.code for each in refusals(done, owning(1), limits(deletes=0))] == [
        "owned-by-another-project",
        "protected-definition",
        "too-many-changes",
    ]


@pytest.mark.parametrize("text", ["", "30 percent", "-1", "%", "1e3", "30%%", "½%", "1.5", "0x10", "٣"])
def test_what_is_neither_a_count_nor_a_percentage_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="A limit is a whole number"):
        parse_limit(text)


@pytest.mark.parametrize(("text", "told"), [(5, "5"), ("5", "5"), ("30%", "30%"), ("12.5 %", "12.5%"), ("0%", "0%")])
def test_a_limit_prints_as_it_is_written(text: int | str, told: str) -> None:
    assert str(parse_limit(text)) == told
