"""Plans, reports and the history as a reviewer reads them."""

import json
from datetime import UTC, datetime

from reconciler.apply import Report
from reconciler.cli.render.plans import (
    counts_line,
    history_as_json,
    history_as_text,
    plan_as_text,
    receipt_line,
    report_as_json,
    report_as_text,
)
from reconciler.cli.render.text import Paint
from reconciler.codec.canonical import define
from reconciler.diagnostics import Span
from reconciler.errors import TargetUnavailable
from reconciler.model.definition import Content
from reconciler.model.plan import Change, Create, Delete, FieldChange, Plan, Receipt, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Fingerprint

PLAIN = Paint(coloured=False)
TRACKER = Key("tracker")
TELEMETRY = Key("tracker", "telemetry")


def plan_of(*changes: Change) -> Plan:
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(3, ""), (tuple(changes),), "d1")


def update(*fields: FieldChange) -> Update:
    before: Content = {"url": "a"}
    after: Content = {"url": "b"}
    origin = Span("device-types/tracker.yaml", 7, 1, 2, "x")
    return Update(TELEMETRY, define(TELEMETRY, before), define(TELEMETRY, after), fields, origin)


def test_a_creation_shows_where_it_is_written_and_all_it_holds() -> None:
    content: Content = {
        "url": "http://h/{device}",
        "sendSni": True,
        "headers": {"X-Key": "${secret.K}"},
        "method": "PUT",
    }
    change = Create(TELEMETRY, define(TELEMETRY, content), Span("device-types/tracker.yaml", 7, 1, 2, "x"))
    assert plan_as_text(plan_of(change), paint=PLAIN) == (
        "+ create  tracker/telemetry  device-types/tracker.yaml:7\n"
        "    url            http://h/{device}\n"
        "    sendSni        true\n"
        "    headers.X-Key  ${secret.K}\n"
        "    method         PUT\n"
        "\n"
        "Plan for dev (http://127.0.0.1:8460, revision 3): 1 to create, 0 to update, 0 to delete.\n"
        "Digest d1\n"
    )


def test_an_update_shows_each_field_before_and_after() -> None:
    change = update(
        FieldChange(("method",), "POST", "PUT"),
        FieldChange(("headers", "X-Key"), None, "${secret.K}", added=True),
        FieldChange(("sendSni",), True, None, removed=True),
    )
    assert plan_as_text(plan_of(change), paint=PLAIN).splitlines()[:4] == [
        "~ update  tracker/telemetry  device-types/tracker.yaml:7",
        "    method         POST       → PUT",
        "    headers.X-Key  (not set)  → ${secret.K}",
        "    sendSni        true       → (not set)",
    ]


def test_a_text_of_several_lines_is_a_line_diff() -> None:
    change = update(FieldChange(("body",), "{\n  same\n  old\n}\n", "{\n  same\n  new\n}\n"))
    assert plan_as_text(plan_of(change), paint=PLAIN).splitlines()[1:7] == [
        "    body",
        "        {",
        "          same",
        "      -   old",
        "      +   new",
        "        }",
    ]


def test_texts_that_differ_in_their_last_line_break_alone_are_told_apart() -> None:
    change = update(FieldChange(("body",), "{\n}", "{\n}\n"))
    assert r'body  "{\n}"  → "{\n}\n"' in plan_as_text(plan_of(change), paint=PLAIN)


def test_a_text_that_could_be_taken_for_something_else_is_quoted() -> None:
    for text, shown in (("true", '"true"'), ("12", '"12"'), ("", '""'), (" a", '" a"'), ("(not set)", '"(not set)"')):
        change = Create(TRACKER, define(TRACKER, {"description": text}), None)
        assert f"description  {shown}\n" in plan_as_text(plan_of(change), paint=PLAIN)


def test_a_deletion_shows_what_is_lost() -> None:
    change = Delete(TELEMETRY, define(TELEMETRY, {"url": "http://h/"}))
    assert plan_as_text(plan_of(change), paint=PLAIN).splitlines()[:2] == [
        "- delete  tracker/telemetry",
        "    url  http://h/",
    ]


def test_what_the_files_say_can_not_steer_the_terminal_of_a_reviewer() -> None:
    change = Create(TRACKER, define(TRACKER, {"description": "\x1b[2Jgone\x9b"}), None)
    assert not {"\x1b", "\x9b"} & set(plan_as_text(plan_of(change), paint=PLAIN))


def test_an_empty_plan_says_so() -> None:
    assert plan_as_text(plan_of(), paint=PLAIN) == (
        "Nothing to change: dev (http://127.0.0.1:8460, revision 3) is as declared.\n"
    )


def test_counts_are_by_kind() -> None:
    plan = plan_of(Create(TRACKER, define(TRACKER, {}), None), update(), Delete(TRACKER, define(TRACKER, {})))
    assert counts_line(plan) == "1 to create, 1 to update, 1 to delete"


def test_reports_say_what_was_done_and_what_was_not() -> None:
    published = Report((Receipt(TRACKER, "create"),), (), (), None, 4)
    assert receipt_line(published.done[0], paint=PLAIN) == "created tracker"
    assert report_as_text(published) == "Revision 4 is published: 1 created, 0 updated, 0 deleted."
    change = update()
    failed = Report((), (), (change,), TargetUnavailable("gone"), None)
    assert report_as_text(failed) == "Nothing was applied."
    assert json.loads(report_as_json(failed)) == {
        "revision": None,
        "done": [],
        "failed": [],
        "notTried": [{"kind": "update", "key": "tracker/telemetry"}],
        "error": "gone",
    }


def test_history_is_a_line_for_each_revision() -> None:
    at = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)
    changes = (("create", TRACKER), ("create", TELEMETRY), ("delete", Key("old")))
    entry = HistoryEntry(4, "d", Publication(at, "ana", "0123456789abcdef-dirty", "a note"), changes)
    assert history_as_text([entry], paint=PLAIN) == (
        "REVISION  PUBLISHED             BY   COMMIT              CHANGES   NOTE\n"
        "4         2026-11-23 14:19:18Z  ana  0123456789ab-dirty  +2 ~0 -1  a note\n"
    )
    assert history_as_text([], paint=PLAIN) == "Nothing was published yet.\n"
    (document,) = json.loads(history_as_json([entry]))
    assert document["commit"] == "0123456789abcdef-dirty"
    assert document["changes"][2] == {"kind": "delete", "key": "old"}
