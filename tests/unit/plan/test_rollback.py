"""The way back: what it takes, what stays, and what stands against it."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.plan import plan_digest
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Change, Create, Delete, Move, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.plan.rollback import Rollback, make_rollback
from tests.unit.plan.pictures import OURS, TARGET, definitions

Contents = Mapping[str, Content]


def callback(url: str, **more: str | bool) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": url, **more}


A, B = callback("https://a.example.com/"), callback("https://b.example.com/")
ONE: Contents = {"tracker": {}, "tracker/a": A}


def pictures(
    then: Contents, now: Contents, then_foreign: Mapping[str, str], now_foreign: Mapping[str, str]
) -> tuple[Observed, Observed]:
    """Then and now, each with the contents that the other has not like it."""
    earlier, later = definitions(then), definitions(now)

    def picture(
        number: int, held: Mapping[Key, object], other: Mapping[Key, object], foreign: Mapping[str, str]
    ) -> Observed:
        contents = definitions(then if number == 3 else now)
        return Observed(
            {key: each.digest for key, each in contents.items()},
            {key: each for key, each in contents.items() if other.get(key) != each},
            {Key.parse(key): owner for key, owner in foreign.items()},
            Fingerprint(number, ""),
        )

    return picture(3, earlier, later, then_foreign), picture(7, later, earlier, now_foreign)


def back(
    then: Contents,
    now: Contents,
    *,
    then_foreign: Mapping[str, str] | None = None,
    now_foreign: Mapping[str, str] | None = None,
) -> Rollback:
    earlier, observed = pictures(then, now, then_foreign or {}, now_foreign or {})
    return make_rollback(earlier, observed, owner=OURS, environment="dev", target=TARGET)


def told(rollback: Rollback) -> list[str]:
    return [f"{change.kind} {change.key}" for change in rollback.plan.changes]


WAYS: Mapping[str, tuple[Contents, Contents, Sequence[str]]] = {
    "nothing has changed since": (ONE, ONE, []),
    "what came since goes": ({"tracker": {}}, ONE, ["delete tracker/a"]),
    "what went since comes back": (ONE, {}, ["create tracker", "create tracker/a"]),
    "what changed since is as it was": (ONE, {**ONE, "tracker/a": B}, ["update tracker/a"]),
    "a whole device type goes, its callbacks first": ({}, ONE, ["delete tracker/a", "delete tracker"]),
    "what was switched off is on again": (ONE, {**ONE, "tracker/a": {**A, "enabled": False}}, ["enable tracker/a"]),
    "another channel replaces": (
        ONE,
        {**ONE, "tracker/a": {"type": "data/uplink", "channel": "email", "recipient": "a@example.com"}},
        ["replace tracker/a"],
    ),
    "a new name is taken back": (ONE, {"tracker": {}, "tracker/b": A}, ["move tracker/a"]),
    "a name that could be either is not guessed": (
        ONE,
        {"tracker": {}, "tracker/b": A, "tracker/c": A},
        ["create tracker/a", "delete tracker/b", "delete tracker/c"],
    ),
    "a device type's new name takes its callbacks back": (
        ONE,
        {"sensor": {}, "sensor/a": A},
        ["create tracker", "move tracker/a", "delete sensor"],
    ),
}


@pytest.mark.parametrize("case", WAYS)
def test_the_way_back(case: str) -> None:
    then, now, changes = WAYS[case]
    rollback = back(then, now)
    assert told(rollback) == changes
    assert (rollback.revision, rollback.plan.base.revision) == (3, 7)
    assert (rollback.kept, rollback.refused_by) == ((), ())


def test_what_was_taken_over_since_stays_and_is_told() -> None:
    rollback = back(ONE, {**ONE, "door": {}, "door/a": B}, then_foreign={"door": "access", "door/a": "access"})
    assert rollback.plan.is_empty
    assert rollback.kept == ((Key("door"), "access"), (Key("door", "a"), "access"))


def test_what_others_own_by_now_refuses_the_rollback() -> None:
    rollback = back(ONE, {}, now_foreign={"tracker": "cold-store"})
    assert rollback.plan.is_empty
    assert [str(collision.key) for collision in rollback.plan.collisions] == ["tracker", "tracker/a"]
    assert [finding.code for finding in rollback.refused_by] == ["owned-by-another-project"]


PROTECTED: Content = {**A, "protect": True}


@pytest.mark.parametrize(
    ("then", "now", "refused"),
    [
        ({"tracker": {}}, {"tracker": {}, "tracker/a": PROTECTED}, True),
        ({"tracker": {}, "tracker/a": {**A, "type": "data/bidir"}}, {"tracker": {}, "tracker/a": PROTECTED}, True),
        ({"tracker": {}, "tracker/a": {**B, "protect": True}}, {"tracker": {}, "tracker/a": PROTECTED}, False),
        ({"tracker": {}, "tracker/b": PROTECTED}, {"tracker": {}, "tracker/a": PROTECTED}, False),
        ({"tracker": {}}, {"tracker": {}, "tracker/a": A}, False),
    ],
)
def test_protection_holds(then: Contents, now: Contents, *, refused: bool) -> None:
    findings = back(then, now).refused_by
    assert [finding.code for finding in findings] == (["protected-definition"] if refused else [])
    assert all("revision 3" in finding.detail for finding in findings)


contents: st.SearchStrategy[Contents] = st.dictionaries(
    st.sampled_from(["t/a", "t/b", "t/c", "u/a", "u/b"]), st.sampled_from([A, B, {**A, "enabled": False}]), max_size=5
).map(lambda callbacks: {**{name.partition("/")[0]: {} for name in callbacks}, **callbacks})


@given(contents, contents)
def test_applied_it_leads_back(then: Contents, now: Contents) -> None:
    rollback = back(then, now)
    held = dict(definitions(now))
    for change in rollback.plan.changes:
        _make(change, held)
    assert held == definitions(then)
    digest = plan_digest(rollback.plan.changes, environment="dev", target=TARGET, owner=OURS)
    assert rollback.plan.digest == digest


def _make(change: Change, held: dict[Key, Definition]) -> None:
    match change:
        case Create(key=key, after=after):
            assert key not in held
            held[key] = after
        case Update(key=key, before=before, after=after):
            assert held[key] == before
            held[key] = after
        case Delete(key=key, before=before):
            assert held.pop(key) == before
        case Move(key=key, before=before, after=after):
            assert held.pop(before.key) == before
            held[key] = after
        case _:
            raise AssertionError(change)
