"""What a revision did, told as the changes of a plan."""

from reconciler.model.definition import Content
from reconciler.model.plan import Adopt, Move, Reason, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.plan.past import changes_of
from tests.unit.plan.pictures import Contents, definitions


def callback(url: str, **more: str | bool) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": url, **more}


A, B = callback("https://a.example.com/"), callback("https://b.example.com/")


def entry(*changes: str, moved: dict[str, str] | None = None) -> HistoryEntry:
    """“update tracker/a” for each change."""
    pairs = [change.split(" ") for change in changes]
    sources = {Key.parse(new): Key.parse(old) for old, new in (moved or {}).items()}
    return HistoryEntry(
        4, "d", Publication(None, "ana"), tuple((k, Key.parse(key)) for k, key in pairs), "cold-chain", sources
    )


def told(entry: HistoryEntry, before: Contents, after: Contents) -> list[str]:
    changes = changes_of(entry, definitions(before), definitions(after), {})
    return [f"{change.kind} {change.key}" for change in changes]


def test_changes_come_in_the_order_of_a_plan_with_its_words_for_updates() -> None:
    revision = entry("delete tracker/a", "create fridge/a", "update tracker/b", "update tracker/c", "create fridge")
    before: Contents = {"tracker/a": A, "tracker/b": A, "tracker/c": {**A, "enabled": False}}
    after: Contents = {"tracker/b": {**A, "channel": "email"}, "tracker/c": A, "fridge": {}, "fridge/a": B}
    assert told(revision, before, after) == [
        "create fridge",
        "create fridge/a",
        "replace tracker/b",
        "enable tracker/c",
        "delete tracker/a",
    ]


def test_fields_are_those_that_differ() -> None:
    (change,) = changes_of(entry("update tracker/a"), definitions({"tracker/a": A}), definitions({"tracker/a": B}), {})
    assert isinstance(change, Update)
    assert [(field.path, field.after) for field in change.fields] == [(("url",), "https://b.example.com/")]
    assert change.reason is Reason.EDITED


def test_a_move_is_told_from_its_old_key() -> None:
    revision = entry("move tracker/new", moved={"tracker/old": "tracker/new"})
    before, after = definitions({"tracker/old": A}), definitions({"tracker/new": B})
    (change,) = changes_of(revision, before, after, {})
    assert isinstance(change, Move)
    assert (change.before.key, change.key) == (Key("tracker", "old"), Key("tracker", "new"))


def test_an_adoption_tells_whose_it_was() -> None:
    before, after = definitions({"door": {}}), definitions({"door": {}})
    (change,) = changes_of(entry("adopt door"), before, after, {Key("door"): "access"})
    assert isinstance(change, Adopt)
    assert (change.taken_from, change.fields) == ("access", ())


def test_what_is_not_known_is_left_out() -> None:
    assert told(entry("update tracker/a", "delete tracker/b", "create tracker/c", "mend tracker/d"), {}, {}) == []
