"""What an apply reports, at a target that takes all or nothing and at one that takes changes one by one."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from reconciler.apply import apply
from reconciler.apply.journal import Begun, Entry, Finished, Sent
from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, StoreError, TargetError, TargetRejected, TargetUnavailable
from reconciler.model.plan import Change, Create, Delete, Plan, Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.targets.protocol import Target, Writer

BY_ANA = Publication(None, "ana")


def create(name: str) -> Change:
    return Create(Key.parse(name), define(Key.parse(name), {}), None)


def delete(name: str) -> Change:
    return Delete(Key.parse(name), define(Key.parse(name), {}))


PLAN = Plan(
    "dev",
    "here",
    "cold-chain",
    Fingerprint(7, ""),
    ((create("tracker"),), (create("tracker/a"), create("tracker/b")), (delete("old/c"),)),
    "",
)


@dataclass(slots=True)
class Recorder:
    """A target that keeps keys, and fails where told to: at a key, at the `entry` or at the `exit`."""

    atomic: bool
    fails_at: Collection[str] = ()
    error: TargetError | PlanStale = field(default_factory=lambda: TargetUnavailable("It broke."))
    location: str = "here"
    held: list[str] = field(default_factory=list)
    opened: int = 0

    @asynccontextmanager
    async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
        self.opened += 1
        if "entry" in self.fails_at:
            raise self.error
        writer = RecorderWriter(self)
        yield writer
        if "exit" in self.fails_at:
            raise self.error
        if self.atomic:
            self.held += writer.gathered
            writer.revision = 8

    async def observe(self, owner: str, known: Mapping[Key, str] | None) -> Observed:
        return Observed({}, {}, {}, Fingerprint(7, ""))

    async def history(self, *, limit: int, before: int | None = None) -> tuple[HistoryEntry, ...]:
        return ()

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class RecorderWriter:
    target: Recorder
    gathered: list[str] = field(default_factory=list)
    revision: int | None = None

    async def write(self, change: Change) -> Receipt:
        if str(change.key) in self.target.fails_at:
            raise self.target.error
        (self.gathered if self.target.atomic else self.target.held).append(str(change.key))
        return Receipt(change.key, change.kind)


def names(changes: Collection[Change | Receipt]) -> list[str]:
    return [str(change.key) for change in changes]


ALL = ["tracker", "tracker/a", "tracker/b", "old/c"]


@pytest.mark.parametrize(("atomic", "revision"), [(True, 8), (False, None)])
async def test_all_changes_are_made_in_the_order_of_the_stages(atomic: bool, revision: int | None) -> None:
    target, told = Recorder(atomic=atomic), list[Receipt]()
    report = await apply(PLAN, target, BY_ANA, tell=told.append)
    assert target.held == ALL
    assert report.succeeded
    assert names(report.done) == names(told) == ALL
    assert (report.failed, report.not_tried, report.error, report.revision) == ((), (), None, revision)


async def test_a_failure_ends_the_run_after_its_stage() -> None:
    target, told = Recorder(atomic=False, fails_at={"tracker/a"}), list[Receipt]()
    report = await apply(PLAN, target, BY_ANA, tell=told.append)
    assert target.held == names(report.done) == names(told) == ["tracker", "tracker/b"]
    assert [(str(failure.change.key), failure.error) for failure in report.failed] == [("tracker/a", target.error)]
    assert names(report.not_tried) == ["old/c"]
    assert not report.succeeded


async def test_every_failure_of_a_stage_is_reported() -> None:
    target = Recorder(atomic=False, fails_at={"tracker/a", "tracker/b"})
    report = await apply(PLAN, target, BY_ANA, tell=lambda receipt: None)
    assert names([failure.change for failure in report.failed]) == ["tracker/a", "tracker/b"]


@pytest.mark.parametrize("where", ["entry", "tracker/a", "exit"])
async def test_an_atomic_target_that_fails_leaves_nothing_done(where: str) -> None:
    target, told = Recorder(atomic=True, fails_at={where}), list[Receipt]()
    report = await apply(PLAN, target, BY_ANA, tell=told.append)
    assert (target.held, told) == ([], [])
    assert report.error is target.error
    assert (report.done, report.failed, names(report.not_tried), report.revision) == ((), (), ALL, None)


async def test_a_target_that_can_not_be_opened_tries_nothing() -> None:
    report = await apply(PLAN, Recorder(atomic=False, fails_at={"entry"}), BY_ANA, tell=lambda receipt: None)
    assert names(report.not_tried) == ALL
    assert not report.succeeded


async def test_a_failing_exit_is_reported_beside_what_was_done() -> None:
    report = await apply(PLAN, Recorder(atomic=False, fails_at={"exit"}), BY_ANA, tell=lambda receipt: None)
    assert names(report.done) == ALL
    assert not report.succeeded


async def test_a_stale_plan_is_a_report_too() -> None:
    stale = PlanStale("It moved.")
    report = await apply(PLAN, Recorder(atomic=True, fails_at={"exit"}, error=stale), BY_ANA, tell=lambda receipt: None)
    assert report.error is stale


async def test_an_empty_plan_opens_nothing() -> None:
    target = Recorder(atomic=True)
    report = await apply(replace(PLAN, stages=()), target, BY_ANA, tell=lambda receipt: None)
    assert report.succeeded
    assert target.opened == 0


async def test_a_plan_is_applied_only_where_it_was_made_for() -> None:
    target = Recorder(atomic=True, location="elsewhere")
    report = await apply(PLAN, target, BY_ANA, tell=lambda receipt: None)
    assert str(report.error) == "This plan was made for here; it can not be applied to elsewhere."
    assert target.opened == 0


async def test_a_bug_in_a_target_is_not_hidden_in_a_report() -> None:
    class Buggy(RecorderWriter):
        async def write(self, change: Change) -> Receipt:
            raise ZeroDivisionError

    class BuggyTarget(Recorder):
        @asynccontextmanager
        async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
            yield Buggy(self)

    with pytest.raises(ZeroDivisionError):
        await apply(PLAN, BuggyTarget(atomic=True), BY_ANA, tell=lambda receipt: None)


def test_the_recorder_is_a_target() -> None:
    target: Target = Recorder(atomic=True)
    assert target.location == "here"


# The journal


def steps_of(*notes: Entry) -> list[str]:
    """“intended tracker”, by the words of the entries."""
    return [" ".join([entry.event, str(entry.key)] if hasattr(entry, "key") else [entry.event]) for entry in notes]


async def test_each_change_is_noted_before_it_is_made_and_after() -> None:
    target, notes = Recorder(atomic=False), list[Entry]()
    held_when_noted: list[list[str]] = []

    def note(entry: Entry) -> None:
        notes.append(entry)
        held_when_noted.append([*target.held])

    await apply(PLAN, target, BY_ANA, tell=lambda receipt: None, note=note)
    assert steps_of(*notes) == [
        "begun",
        *(f"{event} {key}" for key in ALL for event in ("intended", "made")),
        "finished",
    ]
    assert held_when_noted == [[], *(ALL[:made] for step in range(4) for made in (step, step + 1)), ALL]
    assert notes[-1] == Finished("done", None)


async def test_an_atomic_apply_is_noted_before_it_is_sent_and_after() -> None:
    target, notes = Recorder(atomic=True), list[Entry]()
    await apply(PLAN, target, BY_ANA, tell=lambda receipt: None, note=notes.append)
    assert steps_of(*notes) == ["begun", "sent", "finished"]
    assert notes[-1] == Finished("done", 8)


async def test_the_first_line_tells_the_plan_and_what_the_history_will_say() -> None:
    notes = list[Entry]()
    publication = Publication(None, "ana", "5b6bab4", "a note", via="rollback")
    await apply(PLAN, Recorder(atomic=True), publication, tell=lambda receipt: None, note=notes.append)
    assert notes[0] == Begun(
        PLAN.digest, "dev", "here", "cold-chain", 7, True, 4, "ana", "5b6bab4", "a note", "rollback"
    )


async def test_an_empty_plan_and_one_for_elsewhere_begin_nothing() -> None:
    notes = list[Entry]()
    for plan in (replace(PLAN, stages=()), replace(PLAN, target="elsewhere")):
        await apply(plan, Recorder(atomic=True), BY_ANA, tell=lambda receipt: None, note=notes.append)
    assert notes == []


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (PlanStale("It moved."), True),
        (TargetRejected("No.", status=422), True),
        (TargetUnavailable("It broke."), False),
    ],
)
async def test_a_change_without_an_answer_is_in_doubt_and_one_that_was_refused_is_not(
    error: TargetError | PlanStale, *, known: bool
) -> None:
    one_by_one, notes = Recorder(atomic=False, fails_at={"tracker/a"}, error=error), list[Entry]()
    report = await apply(PLAN, one_by_one, BY_ANA, tell=lambda receipt: None, note=notes.append)
    assert names(report.in_doubt) == ([] if known else ["tracker/a"])
    assert ("refused tracker/a" in steps_of(*notes)) is known
    assert (notes[-1] == Finished("stopped", None)) is known

    at_once, notes = Recorder(atomic=True, fails_at={"exit"}, error=error), list[Entry]()
    report = await apply(PLAN, at_once, BY_ANA, tell=lambda receipt: None, note=notes.append)
    assert names(report.in_doubt) == ([] if known else ALL)
    assert notes[-1] == (Finished("stopped", None) if known else Sent())


async def test_what_failed_before_it_was_sent_is_not_in_doubt() -> None:
    notes = list[Entry]()
    report = await apply(
        PLAN, Recorder(atomic=True, fails_at={"entry"}), BY_ANA, tell=lambda receipt: None, note=notes.append
    )
    assert report.in_doubt == ()
    assert notes[-1] == Finished("stopped", None)


@pytest.mark.parametrize("atomic", [True, False])
async def test_a_step_whose_line_can_not_be_kept_is_not_made(*, atomic: bool) -> None:
    count = 0
    while True:
        target, taken = Recorder(atomic=atomic), list[Entry]()

        def note(entry: Entry, taken: list[Entry] = taken, room: int = count) -> None:
            if len(taken) == room:
                raise StoreError("The disk is full.")
            taken.append(entry)

        report = await apply(PLAN, target, BY_ANA, tell=lambda receipt: None, note=note)
        if report.error is None:
            break
        assert not report.succeeded
        assert isinstance(report.error, StoreError)
        assert target.held == names(report.done)
        told_to_be_done = sum(entry.event == ("sent" if atomic else "intended") for entry in taken)
        assert len(target.held) == (told_to_be_done and 4 if atomic else told_to_be_done)
        count += 1
    assert count == (3 if atomic else 2 + 2 * 4)
