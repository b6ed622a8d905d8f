"""What a publication leads to, and what stands against it."""

from collections.abc import Iterable
from itertools import permutations

import pytest

from reconciler.codec.canonical import define, revision_digest
from reconciler.model.definition import Definition
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, Amendment, Owned, Problem, Publication, Revision, next_revision

BY_ANA = Publication(at=None, by="ana", commit="abc123", note="first")


def definition(key: str, url: str = "https://a.test") -> Definition:
    return define(Key.parse(key), {"url": url})


def create(key: str, url: str = "https://a.test") -> Amendment:
    return Amendment("create", Key.parse(key), None, definition(key, url))


def update(key: str, url: str, *, expects: str) -> Amendment:
    return Amendment("update", Key.parse(key), definition(key, expects).digest, definition(key, url))


def delete(key: str, *, expects: str = "https://a.test") -> Amendment:
    return Amendment("delete", Key.parse(key), definition(key, expects).digest, None)


def publish(current: Revision, *amendments: Amendment, owner: str = "cold-chain") -> Revision | tuple[Problem, ...]:
    return next_revision(current, amendments, owner=owner, publication=BY_ANA, digest=revision_digest)


def revision(keys: Iterable[str] = (), *, foreign: Iterable[str] = ()) -> Revision:
    owned = {Key.parse(k): Owned(definition(k), "cold-chain") for k in keys}
    owned |= {Key.parse(k): Owned(definition(k), "cold-store") for k in foreign}
    return Revision(7, revision_digest(owned.items()), owned, BY_ANA)


def test_the_first_publication_makes_revision_1() -> None:
    first = publish(EMPTY, create("tracker"), create("tracker/telemetry"))
    assert isinstance(first, Revision)
    assert first.number == 1
    assert {str(key): owned.owner for key, owned in first.owned.items()} == {
        "tracker": "cold-chain",
        "tracker/telemetry": "cold-chain",
    }
    assert first.digest == revision_digest(first.owned.items())
    assert first.publication == BY_ANA
    assert first.changes == (("create", Key("tracker")), ("create", Key("tracker", "telemetry")))


def test_a_publication_changes_what_it_names_and_leaves_the_rest() -> None:
    current = revision(["tracker", "tracker/alarms", "tracker/telemetry"], foreign=["fridge"])
    after = publish(
        current, update("tracker/telemetry", "https://b.test", expects="https://a.test"), delete("tracker/alarms")
    )
    assert isinstance(after, Revision)
    assert after.number == 8
    assert {str(k): o.definition.content["url"] for k, o in after.owned.items()} == {
        "tracker": "https://a.test",
        "tracker/telemetry": "https://b.test",
        "fridge": "https://a.test",
    }
    assert after.owned[Key("fridge")].owner == "cold-store"
    assert Key("tracker", "alarms") in current.owned


@pytest.mark.parametrize(
    ("amendments", "found"),
    [
        ([create("tracker")], [("tracker", "exists")]),
        ([create("fridge")], [("fridge", "foreign")]),
        ([create("fridge/doors")], [("fridge/doors", "foreign")]),
        ([create("beacon/positions")], [("beacon/positions", "missing")]),
        ([update("beacon", "https://b.test", expects="https://a.test")], [("beacon", "missing")]),
        ([update("tracker", "https://b.test", expects="https://old.test")], [("tracker", "moved")]),
        ([update("fridge", "https://b.test", expects="https://a.test")], [("fridge", "foreign")]),
        ([delete("beacon")], [("beacon", "missing")]),
        ([delete("tracker/telemetry", expects="https://old.test")], [("tracker/telemetry", "moved")]),
        ([delete("fridge")], [("fridge", "foreign")]),
        ([delete("tracker")], [("tracker", "has-callbacks")]),
        ([delete("tracker"), delete("tracker/telemetry"), create("tracker/new")], [("tracker", "has-callbacks")]),
        ([create("beacon"), create("beacon")], [("beacon", "repeated")]),
        ([create("tracker"), create("beacon/a"), delete("fridge")],
         [("tracker", "exists"), ("fridge", "foreign"), ("beacon/a", "missing")]),
    ],
)  # fmt: skip
def test_every_obstacle_is_named(amendments: list[Amendment], found: list[tuple[str, str]]) -> None:
    current = revision(["tracker", "tracker/telemetry"], foreign=["fridge"])
    problems = publish(current, *amendments)
    assert isinstance(problems, tuple)
    assert [(str(p.key), p.code) for p in problems] == found


def test_a_problem_says_what_was_expected_and_what_was_found() -> None:
    problems = publish(revision(["tracker"]), delete("tracker", expects="https://old.test"))
    assert isinstance(problems, tuple)
    expected, found = definition("tracker", "https://old.test").digest, definition("tracker").digest
    assert problems[0].message == f"tracker has moved: expected digest {expected}, found {found}."


def test_a_device_type_leaves_together_with_its_callbacks() -> None:
    after = publish(revision(["tracker", "tracker/telemetry"]), delete("tracker"), delete("tracker/telemetry"))
    assert isinstance(after, Revision)
    assert after.owned == {}


def test_the_order_of_amendments_changes_nothing_but_the_record_of_it() -> None:
    current = revision(["tracker", "tracker/telemetry"])
    amendments = [delete("tracker/telemetry"), delete("tracker"), create("beacon"), create("beacon/positions")]
    outcomes = [publish(current, *order) for order in permutations(amendments)]
    assert {outcome.digest for outcome in outcomes if isinstance(outcome, Revision)} == {
        revision(["beacon", "beacon/positions"]).digest
    }
    assert all(isinstance(outcome, Revision) for outcome in outcomes)


@pytest.mark.parametrize(
    ("kind", "expects", "after"),
    [
        ("create", "00", definition("tracker")),
        ("create", None, None),
        ("update", None, definition("tracker")),
        ("update", "00", None),
        ("delete", None, None),
        ("delete", "00", definition("tracker")),
    ],
)
def test_an_amendment_that_contradicts_its_kind_is_unbuildable(kind: str, expects: str | None, after: object) -> None:
    with pytest.raises(ValueError, match=kind):
        Amendment(kind, Key("tracker"), expects, after)  # type: ignore[arg-type]
