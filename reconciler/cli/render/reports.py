"""What came of plans → text for people, JSON for programs."""

import json
from typing import Final, assert_never

from reconciler.apply import Report
from reconciler.apply.journal import Course, Finished
from reconciler.cli.render.plan_text import plan_as_text
from reconciler.cli.render.plan_words import DONE, counts_line, done_line
from reconciler.cli.render.text import Paint, indent, plural, visible
from reconciler.model.plan import Change, Plan, Receipt, Resecret
from reconciler.model.revision import HistoryEntry
from reconciler.plan.rollback import Rollback

__all__ = [
    "course_as_text",
    "plan_line",
    "progress_line",
    "receipt_line",
    "report_as_json",
    "report_as_text",
    "way_back_as_text",
    "what_next",
]


def receipt_line(receipt: Receipt, *, paint: Paint) -> str:
    """“created tracker/telemetry”."""
    match receipt.kind:
        case "create" | "enable":
            colour = paint.good
        case "delete" | "disable" | "replace":
            colour = paint.bad
        case "update" | "move" | "adopt" | "resecret":
            colour = paint.changed
        case kind:
            assert_never(kind)
    return f"{colour(DONE[receipt.kind])} {visible(str(receipt.key))}"


def plan_line(plan: Plan, *, paint: Paint) -> str:
    """What a plan that was read before will do, in a line, and its digest."""
    place = f"{visible(plan.environment)} ({visible(plan.target)})"
    return f"Plan for {place}: {counts_line(plan)}.\n{paint.faint(f'Digest {plan.digest}')}"


def way_back_as_text(rollback: Rollback, entry: HistoryEntry, *, paint: Paint, width: int | None) -> str:
    """Where a rollback leads, what it changes, and what stays all the same."""
    plan, lines = rollback.plan, []
    goal = f"revision {rollback.revision}"
    at = "" if entry.publication.at is None else f", {entry.publication.at:%Y-%m-%d %H:%M:%SZ}"
    goal += f" ({visible(entry.publication.by) or 'unknown'}{at})"
    if plan.is_empty and not plan.collisions:
        lines.append(f"{paint.good('Nothing to change')}: {visible(plan.environment)} holds what {goal} held.")
    else:
        lines += [plan_as_text(plan, paint=paint, width=width), f"This leads back to {goal}."]
    if rollback.kept:
        lines.append("These belonged to others then, and stay as they are:")
        lines += indent((f"{visible(str(key))} ({visible(owner) or 'nobody'})" for key, owner in rollback.kept), by=4)
    return "\n".join(lines) + "\n"


def progress_line(done: int, total: int) -> str:
    """“ 7 of 12 changes made”, as wide at the first change as at the last."""
    return f"{done:>{len(f'{total:,}')},} of {total:,} changes made"


def report_as_text(report: Report) -> str:
    """What an apply did, in a line or two."""
    counts = done_line(receipt.kind for receipt in report.done)
    if report.revision is not None:
        if not report.done:
            return f"Revision {report.revision} was published before the interruption; nothing was left to do."
        return f"Revision {report.revision} is published: {counts}."
    before = f"{plural(len(report.found), 'change')} found in force. " if report.found else ""
    if not report.done:
        if report.in_doubt:
            return f"{before}Whether anything was applied is not known."
        return (
            f"{before}Nothing was applied."
            if not report.succeeded or not before
            else f"{before}Nothing was left to do."
        )
    rest = "" if report.succeeded else f"; {len(report.failed):,} failed, {len(report.not_tried):,} not tried"
    return f"{before}Applied: {counts}{rest}."


def what_next(report: Report, *, environment: str) -> str:
    """What a run that did not reach its goal leaves to do; empty where there is nothing to say."""
    head = "Interrupted." if report.interrupted else ""
    if report.succeeded:
        return f"{head} The whole plan is in force.".strip() if head else ""
    if report.in_doubt or report.done or report.found:
        if not report.in_doubt:
            doubt = ""
        elif report.done or report.found:
            doubt = f"What became of {_named(report.in_doubt)} is not known. "
        else:
            doubt = "Whether the plan was applied is not known. "
        return (
            f"{head} {doubt}To look at the target and do what is left:\n\n"
            f"    reconciler apply --resume -e {environment}\n"
        ).lstrip()
    return f"{head} Nothing was applied." if head else ""


def course_as_text(course: Course) -> str:
    """What the journal of an apply tells, in a sentence or two."""
    begun = course.begun
    what = "rollback" if begun.via == "rollback" else "import" if begun.via == "import" else "apply"
    lead = f"The last {what} of {visible(begun.environment)} began {course.began_at:%Y-%m-%d %H:%M:%SZ}"
    lead += f", by {visible(begun.by)}" if begun.by else ""
    if isinstance(course.last, Finished) and course.last.outcome == "stopped":
        return f"{lead}, and stopped before its end: {_so_far(course)}. `--resume` does the rest of its plan."
    if begun.atomic:
        return f"{lead}, and did not come to its end: whether its revision was published is not known."
    doubt = f", and what became of {len(course.in_doubt)} is not known" if course.in_doubt else ""
    return f"{lead}, and did not come to its end: {_so_far(course)}{doubt}."


def report_as_json(report: Report) -> str:
    """The same for programs."""
    document = {
        "revision": report.revision,
        "done": [_receipt(receipt) for receipt in report.done],
        "failed": [
            {"kind": failure.change.kind, "key": str(failure.change.key), "message": str(failure.error)}
            for failure in report.failed
        ],
        "notTried": [_change(change) for change in report.not_tried],
        "foundInForce": [_receipt(receipt) for receipt in report.found],
        "inDoubt": [_change(change) for change in report.in_doubt],
        "interrupted": report.interrupted,
        "error": None if report.error is None else str(report.error),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


_LISTED: Final = 3


def _named(changes: tuple[Change, ...]) -> str:
    """“tracker/a, tracker/b and 3 more”."""
    names = [visible(change.name if isinstance(change, Resecret) else str(change.key)) for change in changes]
    if len(names) <= _LISTED:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED:,} more"


def _so_far(course: Course) -> str:
    if course.begun.atomic:
        return "nothing was applied"
    return f"{len(course.made):,} of {plural(course.begun.changes, 'change')} are in force"


def _receipt(receipt: Receipt) -> dict[str, str]:
    return {"kind": receipt.kind, "key": str(receipt.key)}


def _change(change: Change) -> dict[str, str]:
    return {"kind": change.kind, "key": str(change.key)}
