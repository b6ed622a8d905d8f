"""An apply that somebody interrupts, at every step: what is on its way ends, what was done is told, the rest resumed.

An interruption is the cancellation of the task, as `asyncio.run` makes of a Ctrl-C.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.apply import Walk, resume
from reconciler.apply.journal import Finished
from reconciler.apply.journal_file import JournalFile
from reconciler.errors import PlanStale
from reconciler.model.plan import Change, Plan, Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.targets.protocol import Writer
from tests.conformance.one_by_one import AFTER, BEFORE, OTHERS, SECRETS, OneByOne, twelve_changes

BY_ANA = Publication(None, "ana")
CHANGES = twelve_changes("one by one").changes


@dataclass(slots=True)
class Slow(OneByOne):
    """A target whose answers take a while; `asked` is called when a change has come in."""

    asked: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
        yield SlowWriter(self, plan.owner)


@dataclass(slots=True)
class SlowWriter:
    target: Slow
    owner: str
    revision: None = None

    async def write(self, change: Change) -> Receipt:
        self.target.asked()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.target.make(change, self.owner)
        await asyncio.sleep(0)
        return Receipt(change.key, change.kind)


def journal_in(folder: Path) -> JournalFile:
    return JournalFile(folder / "journal", "dev", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def a_place(folder: Path) -> Slow:
    target = Slow(folder / "place.json")
    target.begin(BEFORE, others=OTHERS, secrets=SECRETS)
    return target


async def interrupt(walk: Walk, target: Slow, *, at: int, again: bool = False) -> None:
    """Cancel the walk when change number `at` has come in, and perhaps once more while it is waited for."""
    task = asyncio.ensure_future(walk.go(target, BY_ANA))
    count = 0

    def asked() -> None:
        nonlocal count
        count += 1
        if count == at:
            task.cancel()
            if again:  # after the walk has heard of the first
                loop = asyncio.get_running_loop()
                loop.call_soon(lambda: loop.call_soon(task.cancel))

    target.asked = asked
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("at", range(1, len(CHANGES) + 1))
async def test_what_is_on_its_way_ends_and_what_was_done_is_told_and_resumed(tmp_path: Path, at: int) -> None:
    target, told = a_place(tmp_path), list[Receipt]()
    with journal_in(tmp_path) as journal:
        plan = twelve_changes(target.location)
        walk = Walk(plan, tell=told.append, note=journal.keep(plan))
        await interrupt(walk, target, at=at)
        assert len(target.effects) == len(told) == len(walk.report().done) == at
        assert walk.report().in_doubt == ()
        assert len(walk.report().not_tried) == len(CHANGES) - at
        course = journal.course()
        assert course is not None
        assert course.last == Finished("stopped" if at < len(CHANGES) else "done", None)
        assert not course.is_unfinished
        if course.can_be_resumed:
            rest = Walk(journal.plan(course), tell=told.append, note=journal.note)
            await resume(rest, course, target, BY_ANA)
            assert rest.report().succeeded
            assert (len(rest.report().found), len(rest.report().done)) == (at, len(CHANGES) - at)
    assert target.objects == AFTER
    assert len(target.effects) == len(set(target.effects)) == len(told) == len(CHANGES)


@pytest.mark.parametrize("at", range(1, len(CHANGES) + 1))
async def test_a_second_interruption_is_obeyed_at_once_and_leaves_one_change_in_doubt(tmp_path: Path, at: int) -> None:
    target = a_place(tmp_path)
    with journal_in(tmp_path) as journal:
        plan = twelve_changes(target.location)
        walk = Walk(plan, tell=lambda receipt: None, note=journal.keep(plan))
        await interrupt(walk, target, at=at, again=True)
        assert [change.key for change in walk.report().in_doubt] == [plan.changes[at - 1].key]
        course = journal.course()
        assert course is not None
        assert course.is_unfinished
        rest = Walk(journal.plan(course), tell=lambda receipt: None, note=journal.note)
        await resume(rest, course, target, BY_ANA)
        assert rest.report().succeeded
        course = journal.course()
        assert course is not None
        assert course.last == Finished("done", None)
    assert target.objects == AFTER
    assert len(target.effects) == len(set(target.effects)) == len(CHANGES)


@pytest.mark.parametrize("at", range(len(CHANGES)))
async def test_it_is_not_carried_on_with_when_something_that_it_touches_has_changed(tmp_path: Path, at: int) -> None:
    """Of every change, made or not: what somebody else did to it since is not overwritten."""
    target = a_place(tmp_path)
    with journal_in(tmp_path) as journal:
        plan = twelve_changes(target.location)
        walk = Walk(plan, tell=lambda receipt: None, note=journal.keep(plan))
        await interrupt(walk, target, at=6)
        touched = plan.changes[at]
        meddle(target, touched, made=at < 6)
        before = target.effects
        course = journal.course()
        assert course is not None
        rest = Walk(journal.plan(course), tell=lambda receipt: None, note=journal.note)
        await resume(rest, course, target, BY_ANA)
        assert isinstance(rest.report().error, PlanStale)
        assert f"    {touched.key}: " in str(rest.report().error)
        assert "    reconciler apply --abandon -e dev\n" in str(rest.report().error)
        assert target.effects == before


def meddle(target: OneByOne, change: Change, *, made: bool) -> None:
    """Change what a change touches, so that it is neither as it was nor as it shall be."""
    contents = {key: content for key, (owner, content) in target.objects.items() if owner == "cold-chain"}
    others = {key: held for key, held in target.objects.items() if held[0] != "cold-chain"}
    secrets = {"TOKEN": (SECRETS["TOKEN"][1] if made else SECRETS["TOKEN"][0], SECRETS["TOKEN"][1])}
    if change.kind == "resecret":
        secrets = {"TOKEN": ("2" * 16, "1" * 16)}
    elif change.kind == "adopt" and not made:
        others[str(change.key)] = ("a third project", others[str(change.key)][1])
    else:
        source = change.before.key if change.kind == "move" and not made else change.key
        contents[str(source)] = {"type": "data/uplink", "channel": "url", "url": "https://meddler.example.com/"}
    target.begin(contents, others=others, secrets=secrets, effects=target.effects)


async def test_a_create_that_was_undone_since_is_not_made_again(tmp_path: Path) -> None:
    target = a_place(tmp_path)
    with journal_in(tmp_path) as journal:
        plan = twelve_changes(target.location)
        walk = Walk(plan, tell=lambda receipt: None, note=journal.keep(plan))
        await interrupt(walk, target, at=2)
        assert walk.report().done[0] == Receipt(Key("fridge"), "create")
        others = {key: held for key, held in target.objects.items() if held[0] != "cold-chain"}
        contents = {key: held[1] for key, held in target.objects.items() if held[0] == "cold-chain"}
        del contents["fridge"]
        target.begin(contents, others=others, secrets=SECRETS)
        course = journal.course()
        assert course is not None
        rest = Walk(journal.plan(course), tell=lambda receipt: None, note=journal.note)
        await resume(rest, course, target, BY_ANA)
        assert "fridge: the create was made, and somebody undid it since" in str(rest.report().error)
