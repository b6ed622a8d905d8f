"""What came of a plan, as somebody reads it who has to decide what to do next."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.apply import Failure, Report
from reconciler.apply.journal import Begun, Course, Finished
from reconciler.cli.render.reports import (
    course_as_text,
    plan_line,
    progress_line,
    receipt_line,
    report_as_json,
    report_as_text,
    way_back_as_text,
    what_next,
)
from reconciler.cli.render.text import Paint
from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, TargetRejected, TargetUnavailable
from reconciler.model.plan import KINDS, Change, Create, Delete, Plan, Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Fingerprint
from reconciler.plan.rollback import Rollback

PLAIN = Paint(coloured=False)
AT = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)
A, B, C, D, E = (Key("tracker", name) for name in "abcde")


def create(key: Key) -> Change:
    return Create(key, define(key, {}), None)


MADE = (Receipt(A, "create"), Receipt(B, "delete"))
NOTHING = Report((), (), (create(A),), None, None)
ALL = Report(MADE, (), (), None, None)
PART = Report(MADE, (Failure(create(C), TargetRejected("No.", status=422)),), (create(D),), None, None)
DOUBT = Report(MADE, (Failure(create(C), TargetUnavailable("It broke.")),), (create(D),), None, None, (), (create(C),))
UNKNOWN = Report((), (), (create(A), create(B)), TargetUnavailable("It broke."), None, (), (create(A), create(B)))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_change_has_a_line(kind: str) -> None:
    line = receipt_line(Receipt(A, next(each for each in KINDS if each == kind)), paint=PLAIN)
    assert line.endswith(" tracker/a")
    assert len(line) > len(" tracker/a")


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (replace(ALL, revision=4), "Revision 4 is published: 1 created, 0 updated, 1 deleted."),
        (
            Report((), (), (), None, 4, MADE),
            "Revision 4 was published before the interruption; nothing was left to do.",
        ),
        (NOTHING, "Nothing was applied."),
        (Report((), (), (), None, None), "Nothing was applied."),
        (ALL, "Applied: 1 created, 0 updated, 1 deleted."),
        (PART, "Applied: 1 created, 0 updated, 1 deleted; 1 failed, 1 not tried."),
        (UNKNOWN, "Whether anything was applied is not known."),
        (replace(ALL, found=MADE[:1]), "1 change found in force. Applied: 1 created, 0 updated, 1 deleted."),
        (replace(ALL, done=(), found=MADE), "2 changes found in force. Nothing was left to do."),
        (replace(NOTHING, found=MADE), "2 changes found in force. Nothing was applied."),
    ],
)
def test_a_report_is_a_line(report: Report, text: str) -> None:
    assert report_as_text(report) == text


RESUME = "\n\n    reconciler apply --resume -e dev\n"


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (ALL, ""),
        (NOTHING, ""),
        (replace(NOTHING, error=PlanStale("It moved.")), ""),
        (PART, f"To look at the target and do what is left:{RESUME}"),
        (DOUBT, f"What became of tracker/c is not known. To look at the target and do what is left:{RESUME}"),
        (UNKNOWN, f"Whether the plan was applied is not known. To look at the target and do what is left:{RESUME}"),
        (replace(ALL, interrupted=True), "Interrupted. The whole plan is in force."),
        (replace(NOTHING, interrupted=True), "Interrupted. Nothing was applied."),
        (replace(PART, interrupted=True), f"Interrupted. To look at the target and do what is left:{RESUME}"),
        (
            replace(DOUBT, in_doubt=tuple(map(create, (A, B, C, D, E)))),
            "What became of tracker/a, tracker/b, tracker/c and 2 more is not known. "
            f"To look at the target and do what is left:{RESUME}",
        ),
    ],
)
def test_what_is_left_to_do_is_a_command(report: Report, text: str) -> None:
    assert what_next(report, environment="dev") == text


def test_programs_get_all_of_it() -> None:
    report = replace(DOUBT, revision=4, found=MADE[:1], interrupted=True, error=PlanStale("It moved."))
    assert json.loads(report_as_json(report)) == {
        "revision": 4,
        "done": [{"kind": "create", "key": "tracker/a"}, {"kind": "delete", "key": "tracker/b"}],
        "failed": [{"kind": "create", "key": "tracker/c", "message": "It broke."}],
        "notTried": [{"kind": "create", "key": "tracker/d"}],
        "foundInForce": [{"kind": "create", "key": "tracker/a"}],
        "inDoubt": [{"kind": "create", "key": "tracker/c"}],
        "interrupted": True,
        "error": "It moved.",
    }


BEGUN = Begun("d" * 32, "dev", "here", "cold-chain", 7, False, 12, "Ana", "", "", "apply")
COURSE = Course(BEGUN, AT, frozenset({0, 1, 2}), frozenset(), sent=False, last=None)


@pytest.mark.parametrize(
    ("course", "text"),
    [
        (
            COURSE,
            "apply of dev began 2026-11-23 14:19:18Z, by Ana, and did not come to its end: 3 of 12 changes are in",
        ),
        (replace(COURSE, in_doubt=frozenset({3})), "3 of 12 changes are in force, and what became of 1 is not known."),
        (
            replace(COURSE, begun=replace(BEGUN, atomic=True), sent=True),
            "did not come to its end: whether its revision was published is not known.",
        ),
        (replace(COURSE, begun=replace(BEGUN, via="rollback", by="")), "The last rollback of dev began"),
        (
            replace(COURSE, last=Finished("stopped", None)),
            "and stopped before its end: 3 of 12 changes are in force. `--resume` does the rest of its plan.",
        ),
        (
            replace(COURSE, begun=replace(BEGUN, atomic=True), last=Finished("stopped", None)),
            "and stopped before its end: nothing was applied.",
        ),
    ],
)
def test_a_journal_is_a_sentence(course: Course, text: str) -> None:
    assert text in course_as_text(course)


def test_progress_is_as_wide_at_the_first_change_as_at_the_last() -> None:
    assert [progress_line(1, 1_200), progress_line(1_200, 1_200)] == [
        "    1 of 1,200 changes made",
        "1,200 of 1,200 changes made",
    ]


PLAN = Plan(
    "dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(7, ""), ((create(A), Delete(B, define(B, {}))),), "d1"
)


def test_a_plan_that_was_read_before_is_a_line_and_its_digest() -> None:
    assert plan_line(PLAN, paint=PLAIN) == (
        "Plan for dev (http://127.0.0.1:8460): 1 to create, 0 to update, 1 to delete.\nDigest d1"
    )


ENTRY = HistoryEntry(3, "d", Publication(AT, "Ana"), ())


def test_the_way_back_names_where_it_leads_and_what_stays() -> None:
    back = Rollback(PLAN, 3, ((Key("door"), "access"), (Key("gate"), "")), ())
    text = way_back_as_text(back, ENTRY, paint=PLAIN, width=None)
    assert "+ create  tracker/a\n" in text
    assert text.endswith(
        "This leads back to revision 3 (Ana, 2026-11-23 14:19:18Z).\n"
        "These belonged to others then, and stay as they are:\n    door (access)\n    gate (nobody)\n"
    )
    nowhere = replace(back, plan=replace(PLAN, stages=()), kept=())
    assert way_back_as_text(nowhere, ENTRY, paint=PLAIN, width=None) == (
        "Nothing to change: dev holds what revision 3 (Ana, 2026-11-23 14:19:18Z) held.\n"
    )
