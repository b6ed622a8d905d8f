"""What an apply reports, at a target that takes all or nothing and at one that takes changes one by one."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from reconciler.apply import apply
from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, TargetError, TargetUnavailable
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

    async def observe(self, owner: str, known: Mapping[Key, str]) -> Observed:
        return Observed({}, {}, {}, Fingerprint(7, ""))

    async def history(self, *, limit: int) -> tuple[HistoryEntry, ...]:
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
