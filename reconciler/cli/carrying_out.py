"""Carrying plans out: what `apply`, `rollback` and `import` have in common once somebody has agreed.

1. Every apply keeps a journal (`apply.journal_file`), in `.reconciler/journal` beside the project file. An apply whose
   journal has no last line has to be resumed or given up before the next one begins; a rollback at a target that takes
   all or nothing is not kept waiting by that.
2. Where no journal can be written, an engine is written to all the same, since its history tells what was published. A
   target that takes changes one by one is not.
3. An interruption ends the walk in good order; what was done is reported like any other end.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reconciler.apply import Report, Walk, resume
from reconciler.apply.journal import Abandoned, Course, Entry
from reconciler.apply.journal_file import JournalFile
from reconciler.apply.walk import nowhere
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.project import refuse, target_of
from reconciler.cli.provenance import commit_of, who
from reconciler.cli.render.failures import exit_code_of, failure_as_text
from reconciler.cli.render.reports import (
    course_as_text,
    progress_line,
    receipt_line,
    report_as_json,
    report_as_text,
    what_next,
)
from reconciler.cli.terminal import Terminal
from reconciler.config.project import load_project
from reconciler.diagnostics import Diagnostic
from reconciler.errors import ReconcilerError, StoreBusy, StoreError
from reconciler.model.plan import Plan, Receipt
from reconciler.model.revision import Publication
from reconciler.runtime.clock import utc_now

if TYPE_CHECKING:
    from reconciler.targets.protocol import Target

__all__ = [
    "abandon",
    "agree",
    "before_anything_is_done",
    "carry_on",
    "carry_out",
    "conclude",
    "refuse_unfinished",
    "teller",
]


def agree(terminal: Terminal, plan: Plan, *, protected: bool, question: str = "Apply this to {}?") -> None:
    """Ask, and end the verb without a yes. A protected environment wants its name: a hand that always types yes stops.

    `question` has a place for the environment's name.
    """
    expected = plan.environment if protected else "yes"
    asked = f"{question.format(plan.environment)} Type {terminal.paint_talk.strong(expected)} to do it: "
    terminal.err.write(asked)
    terminal.err.flush()
    if sys.stdin.readline().strip() != expected:
        terminal.complain("Nothing was applied.")
        raise typer.Exit(ExitCode.PROBLEMS)


@contextlib.contextmanager
def before_anything_is_done(terminal: Terminal) -> Iterator[None]:
    """Whoever interrupts in here is told that nothing happened yet."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.complain("\nInterrupted. Nothing was applied.")
        raise


def teller(terminal: Terminal, *, as_text: bool) -> Callable[[Receipt], None]:
    """What tells of each change that is in force; silent where a report for programs does."""

    def tell(receipt: Receipt) -> None:
        if as_text:
            terminal.result(receipt_line(receipt, paint=terminal.paint))

    return tell


def carry_out(
    terminal: Terminal,
    directory: Path,
    plan: Plan,
    *,
    note: str,
    tell: Callable[[Receipt], None],
    via: str = "apply",
) -> Report:
    """Apply the plan, under the name of whoever works here and the commit of the project; `tell` as in `apply`.

    Raises:
        StoreBusy: another apply of the environment is running.
    """
    target = target_of(terminal, directory, environment=plan.environment)
    publication = Publication(
        at=None, by=who(directory), commit=commit_of(directory), note=note, via=via, plan=plan.digest
    )
    with _journal(terminal, directory, plan.environment, needed=not target.atomic) as journal:
        keep: Callable[[Entry], None] = nowhere
        if journal is not None:
            if via != "rollback":
                _refuse_if_unfinished(terminal, journal.course())
            keep = journal.keep(plan)
        walk = Walk(plan, tell=_counting(terminal, tell, plan, target), note=keep)
        return _walked(terminal, walk, lambda: walk.go(target, publication), target)


def carry_on(
    terminal: Terminal, directory: Path, environment: str, *, tell: Callable[[Receipt], None]
) -> Report | None:
    """Do what is left of the last apply; None when nothing is.

    Raises:
        StoreError: its journal or its plan can not be read, or another apply is running.
    """
    target = target_of(terminal, directory, environment=environment)
    with JournalFile(_folder(directory), environment, now=utc_now) as journal:
        course = journal.course()
        if course is None or not course.can_be_resumed:
            return None
        plan, begun = journal.plan(course), course.begun
        terminal.say(course_as_text(course))
        publication = Publication(
            at=None, by=who(directory), commit=begun.commit, note=begun.note, via=begun.via, plan=plan.digest
        )
        walk = Walk(plan, tell=_counting(terminal, tell, plan, target), note=journal.note)
        return _walked(terminal, walk, lambda: resume(walk, course, target, publication), target)


def abandon(terminal: Terminal, directory: Path, environment: str) -> Course | None:
    """Give up what is left of the last apply, and say what it had done; None when nothing is left.

    Raises:
        StoreError: its journal can not be read, or another apply is running.
    """
    with JournalFile(_folder(directory), environment, now=utc_now) as journal:
        course = journal.course()
        if course is None or not course.can_be_resumed:
            return None
        journal.note(Abandoned())
        return course


def refuse_unfinished(terminal: Terminal, directory: Path, environment: str) -> None:
    """End the verb when the last apply did not come to its end; say so when it stopped in good order.

    Raises:
        StoreError: its journal can not be read, or another apply is running.
    """
    file = JournalFile(_folder(directory), environment, now=utc_now)
    course = file.course()
    if course is None:
        return
    if course.is_unfinished:
        with file:  # another process may have it, and be at it
            _refuse_if_unfinished(terminal, file.course())
    elif course.can_be_resumed:
        terminal.say(course_as_text(course))


def conclude(terminal: Terminal, report: Report, *, environment: str, as_text: bool) -> None:
    """Write the report and what it asks for; ends the verb unless the plan is in force."""
    terminal.result(report_as_text(report) if as_text else report_as_json(report))
    errors: list[ReconcilerError] = [failure.error for failure in report.failed]
    if report.error is not None:
        errors.append(report.error)
    for error in errors:
        terminal.complain(failure_as_text(error, paint=terminal.paint_talk))
    if next_step := what_next(report, environment=environment):
        terminal.complain(next_step)
    if report.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if errors:
        raise typer.Exit(max(exit_code_of(error) for error in errors))


def _counting(
    terminal: Terminal, tell: Callable[[Receipt], None], plan: Plan, target: "Target"
) -> Callable[[Receipt], None]:
    """`tell`, and on a terminal how many changes a target that takes them one by one has taken."""
    if target.atomic:
        return tell
    total, counted = len(plan.changes), itertools.count(1)

    def tell_and_count(receipt: Receipt) -> None:
        terminal.progress("")
        tell(receipt)
        terminal.progress(progress_line(next(counted), total))

    return tell_and_count


def _walked(
    terminal: Terminal, walk: Walk, steps: Callable[[], Coroutine[None, None, None]], target: "Target"
) -> Report:
    """The report of a walk, however it ended."""

    async def to_the_end() -> None:
        try:
            await steps()
        finally:
            await target.close()

    try:
        asyncio.run(to_the_end())
    except KeyboardInterrupt:
        return replace(walk.report(), interrupted=True)
    finally:
        terminal.progress("")
    return walk.report()


@contextlib.contextmanager
def _journal(terminal: Terminal, directory: Path, environment: str, *, needed: bool) -> Iterator[JournalFile | None]:
    """The journal of an environment; None where none can be kept, and none is needed."""
    journal = JournalFile(_folder(directory), environment, now=utc_now)
    try:
        journal.open()
    except StoreBusy:
        raise
    except StoreError as error:
        if needed:
            raise
        terminal.say(f"{terminal.paint_talk.changed('warning')}: {error} The engine's history will tell what was done.")
        yield None
        return
    try:
        yield journal
    finally:
        journal.close()


def _refuse_if_unfinished(terminal: Terminal, course: Course | None) -> None:
    if course is not None and course.is_unfinished:
        environment = course.begun.environment
        refuse(
            terminal,
            Diagnostic(
                code="apply-unfinished",
                summary="The last apply of this environment did not come to its end",
                detail=course_as_text(course),
                help="Look at what was done, and do the rest of that plan:\n\n"
                f"    reconciler apply --resume -e {environment}\n\n"
                "Or give the rest up, and plan again:\n\n"
                f"    reconciler apply --abandon -e {environment}",
            ),
        )


def _folder(directory: Path) -> Path:
    return load_project(directory).root / ".reconciler" / "journal"
