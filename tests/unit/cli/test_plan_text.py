"""Plans as a reviewer reads them at a terminal or in a log."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.cli.render.plan_text import plan_as_text
from reconciler.cli.render.plan_words import counts_line
from reconciler.cli.render.text import Paint, cells
from reconciler.codec.canonical import define
from reconciler.diagnostics import Span
from reconciler.model.definition import Content
from reconciler.model.plan import (
    Adopt,
    Change,
    Collision,
    Create,
    Delete,
    Drift,
    FieldChange,
    Move,
    Plan,
    Reason,
    Rename,
    Resecret,
    Update,
    UpdateKind,
)
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame
from tests.builders import TELEMETRY, a_definition, a_plan

PLAIN = Paint(coloured=False)
TRACKER, OLD = Key("tracker"), Key("tracker", "old")
ORIGIN = Span("device-types/tracker.yaml", 7, 1, 2, "x")
URL = FieldChange(("url",), "http://a/", "http://b/")


def update(*fields: FieldChange, kind: UpdateKind = "update", reason: Reason = Reason.EDITED) -> Update:
    before: Content = {"url": "a"}
    after: Content = {"url": "b"}
    return Update(TELEMETRY, define(TELEMETRY, before), define(TELEMETRY, after), fields, ORIGIN, reason, kind)


def text_of(*changes: Change) -> str:
    return plan_as_text(a_plan(*changes), paint=PLAIN)


# Changes


def test_a_creation_shows_where_it_is_written_and_all_it_holds() -> None:
    content: Content = {
        "url": "http://h/{device}",
        "sendSni": True,
        "headers": {"X-Key": "${secret.K}"},
        "method": "PUT",
    }
    assert text_of(Create(TELEMETRY, define(TELEMETRY, content), ORIGIN)) == (
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
    assert text_of(change).splitlines()[:4] == [
        "~ update  tracker/telemetry  device-types/tracker.yaml:7",
        "    method         POST       → PUT",
        "    headers.X-Key  (not set)  → ${secret.K}",
        "    sendSni        true       → (not set)",
    ]


def test_a_text_of_several_lines_is_a_line_diff() -> None:
    change = update(FieldChange(("body",), "{\n  same\n  old\n}\n", "{\n  same\n  new\n}\n"))
    assert text_of(change).splitlines()[1:8] == [
        "    body",
        "        {",
        "          same",
        "      -   old",
        "      +   new",
        "        }",
        "",
    ]


def test_a_long_text_stands_above_the_one_that_replaces_it() -> None:
    change = update(FieldChange(("url",), "http://a/" + "x" * 60, "http://b/"))
    assert text_of(change).splitlines()[1:4] == [
        "    url",
        "      - http://a/" + "x" * 60,
        "      + http://b/",
    ]


def test_texts_that_differ_in_their_last_line_break_alone_are_told_apart() -> None:
    change = update(FieldChange(("body",), "{\n}", "{\n}\n"))
    assert r'body  "{\n}"  → "{\n}\n"' in text_of(change)


def test_a_text_that_could_be_taken_for_something_else_is_quoted() -> None:
    for text, shown in (("true", '"true"'), ("12", '"12"'), ("", '""'), (" a", '" a"'), ("(not set)", '"(not set)"')):
        assert f"description  {shown}\n" in text_of(Create(TRACKER, define(TRACKER, {"description": text}), None))


def test_a_deletion_shows_what_is_lost() -> None:
    assert text_of(Delete(TELEMETRY, define(TELEMETRY, {"url": "http://h/"}))).splitlines()[:2] == [
        "- delete  tracker/telemetry",
        "    url  http://h/",
    ]


def test_a_move_names_both_keys_and_what_else_changes() -> None:
    same = a_definition(OLD)
    moved = replace(same, key=TELEMETRY)
    assert text_of(Move(TELEMETRY, same, moved, (), ORIGIN)).splitlines()[:2] == [
        "→ move  tracker/old → tracker/telemetry  device-types/tracker.yaml:7",
        "    Its content stays as it is.",
    ]
    assert "    url  http://a/  → http://b/" in text_of(Move(TELEMETRY, same, moved, (URL,), ORIGIN))


def test_an_adoption_names_who_loses_it() -> None:
    same = a_definition()
    assert text_of(Adopt(TELEMETRY, same, same, "fleet", (), ORIGIN)).splitlines()[:2] == [
        "← adopt  tracker/telemetry  device-types/tracker.yaml:7",
        "    It belonged to the project fleet; its content stays as it is.",
    ]
    assert "Nobody owned it." in text_of(Adopt(TELEMETRY, same, same, "", (URL,), ORIGIN))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("f1", "f2", "Its value is another one than when it was last published."),
        (None, "f2", "It had no value when it was last published, and has one now."),
        ("f1", None, "It has no value any more: what refers to it can not be sent."),
    ],
)
def test_a_changed_secret_is_told_by_its_name_and_never_by_its_fingerprint(
    before: str | None, after: str | None, told: str
) -> None:
    users = tuple(Key("tracker", f"c{number:02}") for number in range(22))
    change = Resecret(users[0], "INGEST_TOKEN", before, after, users)
    shown = text_of(change)
    assert shown.splitlines()[:2] == ["* resecret  INGEST_TOKEN", f"    {told}"]
    assert "    Used by tracker/c00, tracker/c01, " in shown
    assert "tracker/c19 and 2 more.\n" in shown
    assert "f1" not in shown
    assert "f2" not in shown


def test_each_unusual_reason_has_a_sentence_and_the_usual_ones_none() -> None:
    usual = {Reason.DECLARED, Reason.EDITED, Reason.UNDECLARED, Reason.MOVED, Reason.ADOPTED, Reason.SECRET_CHANGED}
    sentences = {reason: text_of(update(URL, reason=reason)).splitlines()[1] for reason in Reason}
    without = {reason for reason, line in sentences.items() if line == "    url  http://a/  → http://b/"}
    assert without == usual
    unusual = [line for reason, line in sentences.items() if reason not in usual]
    assert all(line.endswith(".") for line in unusual)
    assert len(set(unusual)) == len(unusual)


def test_signs_and_kinds_stand_below_one_another() -> None:
    changes = [update(URL, kind=kind) for kind in ("update", "enable", "disable", "replace")]
    heads = [line for line in text_of(*changes, Delete(OLD, a_definition(OLD))).splitlines() if "tracker/" in line]
    assert [line.partition("  tracker")[0] for line in heads[:5]] == [
        "~   update ",
        "~   enable ",
        "~   disable",
        "-/+ replace",
        "-   delete ",
    ]


def test_colours_tell_what_comes_from_what_goes() -> None:
    paint = Paint(coloured=True)
    shown = plan_as_text(a_plan(update(URL, kind="enable"), update(URL, kind="disable")), paint=paint)
    assert paint.good("~ enable ") in shown
    assert paint.bad("~ disable") in shown


def test_counts_are_by_kind_and_complete() -> None:
    plan = a_plan(Create(TRACKER, define(TRACKER, {}), None), update(), Delete(TRACKER, define(TRACKER, {})))
    assert counts_line(plan) == "1 to create, 1 to update, 1 to delete"
    plan = a_plan(update(kind="disable"), Resecret(TRACKER, "A", None, None, ()), Resecret(TRACKER, "B", None, "x", ()))
    assert counts_line(plan) == "0 to create, 0 to update, 1 to disable, 0 to delete, 2 changed secrets"


def test_what_the_files_say_can_not_steer_the_terminal_of_a_reviewer() -> None:
    change = Create(TRACKER, define(TRACKER, {"description": "\x1b[2Jgone\x9b"}), None)
    assert not {"\x1b", "\x9b"} & set(text_of(change))


# Beside the changes


def beside() -> Plan:
    """An empty plan with everything that is no change."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    legacy = Key("legacy", "c")
    return replace(
        a_plan(),
        drift=(
            Drift(legacy, None, a_definition(legacy, {"url": "u"}), (), False, Blame("", 4, None), "appeared"),
            Drift(OLD, a_definition(OLD, {"url": "o"}), None, (), False, None, "vanished"),
            Drift(TELEMETRY, a_definition(), a_definition(), (URL,), False, Blame("ana", 5, at), "changed"),
        ),
        left=(Key("legacy"), legacy),
        renames=(Rename(OLD, TELEMETRY, "moved:\n  - {from: old, to: telemetry}", ORIGIN.file),),
    )


def test_drift_stands_apart_with_who_did_it_and_what_becomes_of_it() -> None:
    assert plan_as_text(beside(), paint=PLAIN).partition("\n\nLeft alone")[0] == (
        "Changed at the target behind the files:\n"
        "\n"
        "+ appeared  legacy/c  by somebody in revision 4\n"
        "    The files do not mention it, so it is left alone.\n"
        "    url  u\n"
        "\n"
        "- vanished  tracker/old\n"
        "    The files no longer declare it either.\n"
        "    url  o\n"
        "\n"
        "~ changed   tracker/telemetry  by ana in revision 5, 2026-01-02 03:04:05Z\n"
        "    The files say the same by now.\n"
        "    url  http://a/  → http://b/"
    )


def test_what_is_left_alone_comes_with_the_lines_that_would_delete_it() -> None:
    assert (
        "Left alone, since the files do not mention it:\n"
        "\n"
        "    legacy and its 1 callback\n"
        "\n"
        "To have it deleted, list it in the project file:\n"
        "\n"
        "    removed:\n"
        "      - legacy\n"
    ) in plan_as_text(beside(), paint=PLAIN)


def test_a_likely_rename_comes_with_the_lines_to_copy() -> None:
    assert (
        "This looks like a new name for what is there. To move it instead of deleting it:\n"
        "\n"
        "tracker/old → tracker/telemetry, in device-types/tracker.yaml:\n"
        "\n"
        "    moved:\n"
        "      - {from: old, to: telemetry}\n"
    ) in plan_as_text(beside(), paint=PLAIN)


def test_an_empty_plan_says_so_also_when_somebody_was_there() -> None:
    sentence = "Nothing to change: dev (http://127.0.0.1:8460, revision 3) is as declared.\n"
    assert text_of() == sentence
    assert plan_as_text(beside(), paint=PLAIN).endswith(f"\n\n{sentence}")


def test_what_others_hold_is_listed_and_nothing_is_said_to_be_as_declared() -> None:
    collisions = (Collision(TRACKER, "fleet", ORIGIN), Collision(OLD, "", None, moved_to=TELEMETRY))
    assert plan_as_text(replace(a_plan(), collisions=collisions), paint=PLAIN) == (
        "Claimed by the files and held by others, so not touched:\n"
        "\n"
        "    tracker      held by the project fleet                                device-types/tracker.yaml:7\n"
        "    tracker/old  held by no project; would be moved to tracker/telemetry\n"
        "\n"
        "Nothing that this project may change: dev (http://127.0.0.1:8460, revision 3).\n"
    )


# Width


def test_lines_end_where_the_terminal_does_and_in_a_pipe_they_do_not() -> None:
    content: Content = {"url": "http://h/" + "é日" * 50, "body": "line\n" + "x" * 90 + "\n"}
    changes = (
        Create(TELEMETRY, define(TELEMETRY, content), ORIGIN),
        update(FieldChange(("url",), "http://a/" + "y" * 40, "http://b/"), reason=Reason.EDITED_AND_DRIFTED),
    )
    shown = plan_as_text(a_plan(*changes), paint=PLAIN, width=50)
    told, _, _ = shown.partition("\n\nPlan for")
    assert max(cells(line) for line in told.splitlines() if "tracker" not in line) == 50
    assert "http://h/" + "é日" * 50 in told.replace("\n" + " " * 9, ""), "nothing is lost where a line is cut"
    assert "http://h/" + "é日" * 50 in text_of(*changes)


def test_a_width_that_no_terminal_has_is_taken_for_forty() -> None:
    change = Create(TELEMETRY, define(TELEMETRY, {"url": "x" * 100}), ORIGIN)
    assert plan_as_text(a_plan(change), paint=PLAIN, width=1) == plan_as_text(a_plan(change), paint=PLAIN, width=40)
