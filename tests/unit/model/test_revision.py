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


def move(source: str, key: str, *, expects: str = "https://a.test", url: str = "https://a.test") -> Amendment:
    digest = definition(source, expects).digest
    return Amendment("move", Key.parse(key), digest, definition(key, url), source=Key.parse(source))


def adopt(key: str, *, taken_from: str = "cold-store", expects: str = "https://a.test") -> Amendment:
    digest = definition(key, expects).digest
    return Amendment("adopt", Key.parse(key), digest, definition(key), taken_from=taken_from)


def publish(current: Revision, *amendments: Amendment, owner: str = "cold-chain") -> Revision | tuple[Problem, ...]:
    return next_revision(current, amendments, owner=owner, publication=BY_ANA, digest=revision_digest)


def revision(keys: Iterable[str] = (), *, foreign: Iterable[str] = (), nobodys: Iterable[str] = ()) -> Revision:
    owned = {Key.parse(k): Owned(definition(k), "cold-chain") for k in keys}
    owned |= {Key.parse(k): Owned(definition(k), "cold-store") for k in foreign}
    owned |= {Key.parse(k): Owned(definition(k), "") for k in nobodys}
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
    assert (first.publication, first.owner) == (BY_ANA, "cold-chain")
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


@pytest.mark.parametrize(
    ("amendments", "found"),
    [
        ([move("tracker/a", "tracker/b")], []),
        ([move("tracker/a", "tracker/b", url="https://b.test")], []),
        ([move("tracker/a", "other/a")], []),
        ([move("tracker", "beacon"), move("tracker/a", "beacon/a"), move("tracker/z", "beacon/y")], []),
        ([move("tracker", "beacon"), move("tracker/a", "beacon/a"), delete("tracker/z"), create("beacon/b")], []),
        ([create("beacon"), move("tracker/a", "beacon/a")], []),
        ([delete("tracker"), move("tracker/a", "other/a"), move("tracker/z", "other/z")], []),
        ([move("tracker/a", "tracker/z")], [("tracker/z", "exists")]),
        ([move("tracker/a", "fridge/doors")], [("fridge/doors", "foreign")]),
        ([move("tracker/a", "fridge/new")], [("fridge/new", "foreign")]),
        ([move("tracker/a", "beacon/a")], [("beacon/a", "missing")]),
        ([move("tracker/nothing", "tracker/b")], [("tracker/nothing", "missing")]),
        ([move("fridge/doors", "tracker/b")], [("fridge/doors", "foreign")]),
        ([move("tracker/a", "tracker/b", expects="https://old.test")], [("tracker/a", "moved")]),
        ([move("tracker/nothing", "tracker/a")], [("tracker/nothing", "missing"), ("tracker/a", "exists")]),
        ([move("tracker", "beacon")], [("tracker", "has-callbacks")]),
        ([move("tracker", "beacon"), move("tracker/a", "beacon/a")], [("tracker", "has-callbacks")]),
        ([move("tracker", "other"), move("tracker/a", "other/a"), move("tracker/z", "other/z")],
         [("other", "exists")]),
        ([move("tracker", "fridge"), move("tracker/a", "fridge/a"), move("tracker/z", "fridge/z")],
         [("fridge", "foreign")]),
        # Each key is touched once: one that is left can not be given away in the same step.
        ([move("tracker/a", "tracker/b"), move("tracker/a", "tracker/c")], [("tracker/a", "repeated")]),
        ([move("tracker/a", "tracker/b"), delete("tracker/a")], [("tracker/a", "repeated")]),
        ([move("tracker/a", "tracker/a")], [("tracker/a", "repeated"), ("tracker/a", "exists")]),
        ([move("tracker/a", "tracker/z"), move("tracker/z", "tracker/a")],
         [("tracker/z", "repeated"), ("tracker/a", "repeated"), ("tracker/z", "exists"), ("tracker/a", "exists")]),
    ],
)  # fmt: skip
def test_what_is_moved_must_be_as_expected_its_new_key_free_and_its_device_type_there(
    amendments: list[Amendment], found: list[tuple[str, str]]
) -> None:
    current = revision(["tracker", "tracker/a", "tracker/z", "other"], foreign=["fridge", "fridge/doors"])
    after = publish(current, *amendments)
    if isinstance(after, Revision):
        assert found == []
        moved = {a.key: a.source for a in amendments if a.kind == "move"}
        assert after.sources == after.entry.sources == moved
        assert not after.owned.keys() & set(moved.values())
        assert all(after.owned[a.key] == Owned(a.after, "cold-chain") for a in amendments if a.after is not None)
        assert all(key.parent in after.owned for key in after.owned)
    else:
        assert [(str(p.key), p.code) for p in after] == found


@pytest.mark.parametrize(
    ("amendments", "found"),
    [
        ([adopt("fridge"), adopt("fridge/a"), adopt("fridge/b")], []),
        ([adopt("fridge"), adopt("fridge/a"), adopt("fridge/b"), create("fridge/c")], []),
        ([adopt("fridge"), adopt("fridge/a"), adopt("fridge/b"), move("tracker/a", "fridge/c")], []),
        ([adopt("lamp")], []),
        ([adopt("loose", taken_from="")], []),
        ([adopt("tracker/stray")], []),  # its device type is the adopter's
        ([adopt("tracker/lost", taken_from="")], []),
        ([adopt("fridge")], [("fridge", "has-callbacks")]),
        ([adopt("fridge"), adopt("fridge/a")], [("fridge", "has-callbacks")]),
        ([adopt("fridge/a")], [("fridge/a", "foreign")]),
        ([adopt("nothing")], [("nothing", "missing")]),
        ([adopt("lamp", expects="https://old.test")], [("lamp", "moved")]),
        ([adopt("lamp", taken_from="somebody")], [("lamp", "moved")]),
        ([adopt("lamp", taken_from="")], [("lamp", "moved")]),
        ([adopt("loose")], [("loose", "moved")]),
        ([adopt("tracker")], [("tracker", "moved")]),  # by now, the adopter's own
        ([adopt("tracker", taken_from="cold-chain")], [("tracker", "exists")]),
        ([adopt("fridge", expects="https://old.test"), adopt("fridge/a"), adopt("fridge/b")], [("fridge", "moved")]),
        ([adopt("fridge"), adopt("fridge/a", expects="https://old.test"), adopt("fridge/b")], [("fridge/a", "moved")]),
        ([adopt("lamp"), adopt("lamp")], [("lamp", "repeated")]),
    ],
)
def test_what_is_adopted_must_be_as_expected_and_comes_with_its_device_type(
    amendments: list[Amendment], found: list[tuple[str, str]]
) -> None:
    current = revision(
        ["tracker", "tracker/a"],
        foreign=["fridge", "fridge/a", "fridge/b", "lamp", "tracker/stray"],
        nobodys=["loose", "tracker/lost"],
    )
    after = publish(current, *amendments)
    if isinstance(after, Revision):
        assert found == []
        assert {after.owned[a.key].owner for a in amendments} == {"cold-chain"}
        untouched = current.owned.keys() - {key for a in amendments for key in a.touches}
        assert {key: after.owned[key] for key in untouched} == {key: current.owned[key] for key in untouched}
    else:
        assert [(str(p.key), p.code) for p in after] == found


@pytest.mark.parametrize(
    ("amendment", "message"),
    [
        (adopt("lamp", taken_from="somebody"),
         "lamp has moved: expected it to belong to the project somebody, found the project cold-store."),
        (adopt("loose"), "loose has moved: expected it to belong to the project cold-store, found nobody."),
        (adopt("fridge"), "fridge can not be adopted without its callbacks: a, b."),
        (adopt("fridge/a"), "fridge/a would belong to a device type of the project cold-store."),
        (move("tracker", "beacon"), "tracker can not be moved without its callbacks: a."),
        (move("tracker/a", "loose/a"), "loose/a would belong to a device type of nobody."),
        (delete("tracker"), "tracker can not be deleted while it has callbacks: a."),
        (delete("loose"), "loose belongs to nobody; cold-chain may not touch it."),
    ],
)  # fmt: skip
def test_a_problem_names_who_and_what(amendment: Amendment, message: str) -> None:
    current = revision(["tracker", "tracker/a"], foreign=["fridge", "fridge/a", "fridge/b", "lamp"], nobodys=["loose"])
    problems = publish(current, amendment)
    assert isinstance(problems, tuple)
    assert [problem.message for problem in problems] == [message]


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
    current = revision(["tracker", "tracker/telemetry"], foreign=["fridge"])
    amendments = [
        *(delete("tracker"), move("tracker/telemetry", "beacon/telemetry")),
        *(create("beacon"), create("beacon/positions"), adopt("fridge")),
    ]
    outcomes = [publish(current, *order) for order in permutations(amendments)]
    assert {outcome.digest for outcome in outcomes if isinstance(outcome, Revision)} == {
        revision(["beacon", "beacon/positions", "beacon/telemetry", "fridge"]).digest
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
        ("move", "00", definition("tracker")),
        ("adopt", "00", definition("tracker")),
    ],
)
def test_an_amendment_that_contradicts_its_kind_is_unbuildable(kind: str, expects: str | None, after: object) -> None:
    with pytest.raises(ValueError, match=kind):
        Amendment(kind, Key("tracker"), expects, after)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("move", {"source": Key("tracker", "a")}),  # a callback does not become a device type
        ("move", {"source": Key("beacon"), "taken_from": "cold-store"}),
        ("adopt", {"source": Key("beacon"), "taken_from": "cold-store"}),
        ("update", {"source": Key("beacon")}),
        ("update", {"taken_from": ""}),
    ],
)
def test_where_something_comes_from_belongs_to_moves_and_adoptions(kind: str, more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=kind):
        Amendment(kind, Key("tracker"), "00", definition("tracker"), **more)  # type: ignore[arg-type]
