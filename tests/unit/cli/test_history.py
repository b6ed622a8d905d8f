"""The history as somebody reads it who asks what happened."""

import json
from datetime import UTC, datetime

from reconciler.cli.render.history import history_as_json, history_as_text, revision_as_json, revision_as_text
from reconciler.cli.render.text import Paint
from reconciler.codec.canonical import define
from reconciler.model.plan import Create, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.plan.diff import field_changes

PLAIN = Paint(coloured=False)
TRACKER, TELEMETRY = Key("tracker"), Key("tracker", "telemetry")
AT = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)


def test_history_is_a_line_for_each_revision() -> None:
    changes = (("create", TRACKER), ("create", TELEMETRY), ("delete", Key("old")))
    entry = HistoryEntry(4, "d", Publication(AT, "ana", "0123456789abcdef-dirty", "a note"), changes)
    assert history_as_text([entry], paint=PLAIN) == (
        "REVISION  PUBLISHED             BY   COMMIT              CHANGES   NOTE\n"
        "4         2026-11-23 14:19:18Z  ana  0123456789ab-dirty  +2 ~0 -1  a note\n"
    )
    assert history_as_text([], paint=PLAIN) == "Nothing was published yet.\n"
    (document,) = json.loads(history_as_json([entry]))
    assert document["commit"] == "0123456789abcdef-dirty"
    assert document["changes"][2] == {"kind": "delete", "key": "old"}


def test_it_tells_what_published_and_which_plan_was_carried_out() -> None:
    publication = Publication(AT, "ana", "c0ffee", "", via="rollback", plan="0a1b")
    changes = (("move", TELEMETRY), ("adopt", TRACKER))
    entry = HistoryEntry(5, "d", publication, changes, "cold-chain", {TELEMETRY: Key("tracker", "old")})
    by_hand = HistoryEntry(4, "d", Publication(AT, "bob"), ())
    heading, first, second = history_as_text([entry, by_hand], paint=PLAIN).splitlines()
    assert heading.split() == ["REVISION", "PUBLISHED", "BY", "COMMIT", "VIA", "PLAN", "CHANGES", "NOTE"]
    assert "  rollback  0a1b  +0 ~0 -0 →1 ←1" in first
    assert "rollback" not in second
    (document, _) = json.loads(history_as_json([entry, by_hand]))
    assert (document["via"], document["plan"]) == ("rollback", "0a1b")
    assert document["changes"][0] == {"kind": "move", "key": "tracker/telemetry", "from": "tracker/old"}


def test_one_revision_is_told_whole() -> None:
    publication = Publication(AT, "ana", "c0ffee", "a note", via="apply", plan="0a1b")
    entry = HistoryEntry(5, "d1", publication, (("create", TRACKER), ("update", TELEMETRY)), "cold-chain")
    before, after = define(TELEMETRY, {"url": "https://a:pw@h/"}), define(TELEMETRY, {"url": "https://b:pw@h/"})
    changes = (
        Create(TRACKER, define(TRACKER, {"description": "A tracker"}), None),
        Update(TELEMETRY, before, after, field_changes(before.content, after.content), None),
    )
    assert revision_as_text(entry, changes, paint=PLAIN) == (
        "Revision 5\n"
        "  published  2026-11-23 14:19:18 UTC\n"
        "  by         ana\n"
        "  project    cold-chain\n"
        "  via        apply\n"
        "  commit     c0ffee\n"
        "  plan       0a1b\n"
        "  note       a note\n"
        "  changes    +1 ~1 -0\n"
        "  digest     d1\n"
        "\n"
        "+ create  tracker\n"
        "    description  A tracker\n"
        "\n"
        "~ update  tracker/telemetry\n"
        "    url  https://a:***@h/  → https://b:***@h/\n"
    )
    document = json.loads(revision_as_json(entry, changes))
    assert (document["number"], document["plan"]) == (5, "0a1b")
    assert [(change["kind"], change["key"]) for change in document["changes"]] == [
        ("create", "tracker"),
        ("update", "tracker/telemetry"),
    ]
    assert document["changes"][1]["fields"][0]["after"] == "https://b:***@h/"


def test_a_revision_whose_contents_are_not_known_lists_its_keys() -> None:
    entry = HistoryEntry(1, "d1", Publication(None, ""), (("create", TRACKER),))
    text = revision_as_text(entry, (), paint=PLAIN)
    assert "  via      the engine's door, behind the files\n" in text
    assert text.endswith("\n\ncreate tracker\n")
    assert json.loads(revision_as_json(entry, ()))["changes"] == [{"kind": "create", "key": "tracker"}]
