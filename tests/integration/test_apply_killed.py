"""An apply that is killed at any step, and resumed: the goal is reached, nothing is made twice, nothing is forgotten.

A process of its own kills children, each at another step: before and after each change takes effect, before, in the
middle of and after each line of the journal, and around the files that are put in place of others. A child ends by
`os._exit`: no handler runs, nothing is flushed.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply import Walk, journal_file, resume
from reconciler.apply.journal import Finished
from reconciler.apply.journal_file import JournalFile
from reconciler.codec.plan import dump_plan, load_plan
from reconciler.model.revision import Publication
from tests.conformance.one_by_one import AFTER, BEFORE, OTHERS, SECRETS, OneByOne, twelve_changes

KILLED = 9
REPOSITORY = Path(__file__).parents[2]
PATIENCE = 300.0


class Countdown:
    """Ends the process at step `at`; never, if None."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.taken = 0

    def step(self) -> None:
        if self.taken == self.at:
            os._exit(KILLED)
        self.taken += 1


def dying_journal(step: Callable[[], None]) -> None:
    """Count the steps of writing a journal: each write in two halves, each rename from both sides."""
    write, replace = os.write, os.replace

    def write_in_halves(descriptor: int, data: bytes) -> None:
        step()
        write(descriptor, data[: len(data) // 2])
        step()
        write(descriptor, data[len(data) // 2 :])
        step()

    def replace_between_steps(old: Path, new: Path) -> None:
        step()
        replace(old, new)
        step()

    vars(journal_file)["_write"] = write_in_halves
    # The target's own file is replaced by the same call: there it is one step with the change.
    vars(journal_file)["os"] = _System(replace_between_steps)


class _System:
    """The `os` of the journal's module, with another `replace`."""

    def __init__(self, replace: Callable[[Path, Path], None]) -> None:
        self.replace = replace

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def carry_on(folder: Path, step: Callable[[], None]) -> None:
    """What an apply does, or, when one has begun, what resuming it does."""
    target = OneByOne(folder / "place.json", step)
    with JournalFile(folder / "journal", "dev", now=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as journal:
        course = journal.course()
        publication = Publication(None, "ana")
        if course is None:
            plan = twelve_changes(target.location)
            walk = Walk(plan, tell=lambda receipt: None, note=journal.keep(plan))
            asyncio.run(walk.go(target, publication))
        elif course.can_be_resumed:
            walk = Walk(journal.plan(course), tell=lambda receipt: None, note=journal.note)
            asyncio.run(resume(walk, course, target, publication))
        else:
            return
        assert walk.report().succeeded, walk.report()


def in_a_child(work: Callable[[], None]) -> bool:
    """Whether the work came to its end; False when it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r} {error}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, KILLED}, code
    return code == 0


def killed_at(folder: Path, first: int, again: int | None) -> dict[str, Any] | None:
    """Kill an apply at step `first`, and what resumes it at step `again`; what came of it, None past the last step."""
    folder.mkdir()
    target = OneByOne(folder / "place.json")
    target.begin(BEFORE, others=OTHERS, secrets=SECRETS)

    def attempt(at: int | None) -> bool:
        def work() -> None:
            countdown = Countdown(at)
            dying_journal(countdown.step)
            carry_on(folder, countdown.step)

        return in_a_child(work)

    if attempt(first):
        return None
    if again is not None:
        attempt(again)
    ended = attempt(None)
    with JournalFile(folder / "journal", "dev", now=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as journal:
        course = journal.course()
    assert course is not None
    return {
        "ended": ended,
        "objects": target.objects,
        "effects": sorted(target.effects),
        "journal": course.last == Finished("done", None),
    }


def drive(folder: str, *, twice: str) -> None:
    """The process that kills: a line of JSON for each step."""
    load_plan(dump_plan(twelve_changes("one by one")))  # what it imports, no child has to import again
    at = 0
    while True:
        again = at * 7 % 40 if twice == "twice" else None
        came_of_it = killed_at(Path(folder) / str(at), at, again)
        if came_of_it is None:
            return
        sys.stdout.write(f"{json.dumps(came_of_it)}\n")
        at += 1


@pytest.mark.parametrize("twice", ["once", "twice"])
def test_killed_at_any_step_and_resumed_an_apply_reaches_its_goal(tmp_path: Path, twice: str) -> None:
    program = f"from tests.integration.test_apply_killed import drive; drive({str(tmp_path)!r}, twice={twice!r})"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    runs = [json.loads(line) for line in ended.stdout.splitlines()]

    changes = twelve_changes("one by one").changes
    # Around each change two steps; three for each half of a line; a few around the files that begin a journal.
    assert len(runs) > len(changes) * (2 + 2 * 3)
    once = sorted(f"{change.kind} {change.name if change.kind == 'resecret' else change.key}" for change in changes)
    goal = {key: [owner, content] for key, (owner, content) in AFTER.items()}
    for run in runs:
        assert run["ended"]
        assert run["journal"]
        assert run["effects"] == once, "each change took effect once: no second create, no lost delete"
        assert run["objects"] == goal
