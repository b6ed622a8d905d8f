"""The journal of an apply on a real file system: what is kept, who may write, and what a damaged one leads to."""

import json
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.apply import Walk, apply, resume
from reconciler.apply.journal import Abandoned, Finished, Intended
from reconciler.apply.journal_file import JournalFile
from reconciler.errors import StoreBusy, StoreError
from reconciler.model.plan import Receipt
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from tests.conformance.one_by_one import AFTER, BEFORE, OTHERS, SECRETS, OneByOne, twelve_changes

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BY_ANA = Publication(None, "ana", note="a note")


@pytest.fixture
def target(tmp_path: Path) -> OneByOne:
    target = OneByOne(tmp_path / "place.json")
    target.begin(BEFORE, others=OTHERS, secrets=SECRETS)
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".reconciler" / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[JournalFile]:
    with JournalFile(folder, "dev", now=lambda: NOON) as journal:
        yield journal


def silent(receipt: Receipt) -> None:
    pass


async def applied(target: OneByOne, journal: JournalFile) -> None:
    plan = twelve_changes(target.location)
    report = await apply(plan, target, BY_ANA, tell=silent, note=journal.keep(plan))
    assert report.succeeded


async def test_a_journal_has_two_lines_for_each_change_between_its_first_and_its_last(
    target: OneByOne, journal: JournalFile, folder: Path
) -> None:
    await applied(target, journal)
    lines = [json.loads(line) for line in (folder / "dev.ndjson").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begun", *(["intended", "made"] * 12), "finished"]
    assert {line["at"] for line in lines} == {"2026-01-01T12:00:00.000+00:00"}
    assert lines[0]["plan"] == twelve_changes(target.location).digest
    assert lines[0]["note"] == "a note"


async def test_it_holds_no_content_and_is_for_its_owner_alone(
    target: OneByOne, journal: JournalFile, folder: Path
) -> None:
    await applied(target, journal)
    assert "example.com" not in (folder / "dev.ndjson").read_text()
    assert (folder / "dev.ndjson").stat().st_mode & 0o777 == 0o600


async def test_the_plan_is_kept_until_it_is_done(target: OneByOne, journal: JournalFile, folder: Path) -> None:
    plan = twelve_changes(target.location)
    note = journal.keep(plan)
    await Walk(plan, tell=silent, note=note).go(target, BY_ANA)
    assert not (folder / "dev.plan.json").exists()

    walk = Walk(plan, tell=silent, note=journal.keep(plan))
    await walk.go(target, BY_ANA)  # all of it is there already: refused, one by one
    assert not walk.report().succeeded
    course = journal.course()
    assert course is not None
    assert journal.plan(course) == plan
    assert (folder / "dev.plan.json").stat().st_mode & 0o777 == 0o600
    journal.note(Abandoned())
    assert not (folder / "dev.plan.json").exists()


def test_git_does_not_see_it(journal: JournalFile, folder: Path) -> None:
    project = folder.parents[1]
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, check=True, capture_output=True)
    assert (folder / "dev.lock").exists()
    assert status.stdout == b""


def test_there_is_none_before_the_first_apply(journal: JournalFile) -> None:
    assert journal.course() is None


async def test_the_next_apply_replaces_it_and_another_environment_has_its_own(
    target: OneByOne, journal: JournalFile, folder: Path
) -> None:
    await applied(target, journal)
    target.begin(BEFORE, others=OTHERS, secrets=SECRETS)
    await applied(target, journal)
    assert (folder / "dev.ndjson").read_text().count('"begun"') == 1
    with JournalFile(folder, "prod", now=lambda: NOON) as other:
        assert other.course() is None


def test_two_at_once_are_one_too_many(journal: JournalFile, folder: Path) -> None:
    with pytest.raises(StoreBusy, match="Another apply of this environment is running"):
        JournalFile(folder, "dev", now=lambda: NOON).open()
    journal.close()
    JournalFile(folder, "dev", now=lambda: NOON).open().close()


def _hold_and_die(folder: Path) -> None:
    JournalFile(folder, "dev", now=lambda: NOON).open()
    os._exit(9)


def test_who_was_killed_holds_no_lock(folder: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(folder,))
    child.start()
    child.join()
    assert child.exitcode == 9
    JournalFile(folder, "dev", now=lambda: NOON).open().close()


async def test_a_line_that_was_cut_off_is_taken_away_before_the_next(
    target: OneByOne, journal: JournalFile, folder: Path
) -> None:
    await applied(target, journal)
    file = folder / "dev.ndjson"
    *kept, _ = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(kept[:4]) + kept[4][:20])
    journal.close()
    with journal:
        course = journal.course()
        assert course is not None
        assert (set(course.made), set(course.in_doubt)) == ({0}, {1})
        journal.note(Intended(2, "create", Key("fridge", "a"), None, "d"))
        course = journal.course()
        assert course is not None
        assert course.in_doubt == {1, 2}


async def test_a_full_disk_ends_the_run_and_the_rest_is_resumed(
    target: OneByOne, journal: JournalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, write, written = twelve_changes(target.location), os.write, 0

    def write_until_full(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += 1
        if written > 12:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: max(len(data) // 2, 1)] if written == 12 else data)

    walk = Walk(plan, tell=silent, note=journal.keep(plan))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_until_full)
        await walk.go(target, BY_ANA)
    report = walk.report()
    assert isinstance(report.error, StoreError)
    assert "No space left on device" in str(report.error)
    assert len(report.done) == len(target.effects) > 0

    course = journal.course()
    assert course is not None
    rest = Walk(journal.plan(course), tell=silent, note=journal.note)
    await resume(rest, course, target, BY_ANA)
    assert rest.report().succeeded
    assert target.objects == AFTER
    course = journal.course()
    assert course is not None
    assert course.last == Finished("done", None)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace("intended", "intruded", 1), "is damaged, and nothing is guessed. Line 2"),
        (lambda text: "", "is damaged"),
        (lambda text: text + text, "two plans"),
    ],
)
async def test_a_damaged_journal_is_an_error_that_names_it(
    target: OneByOne, journal: JournalFile, folder: Path, damage: Callable[[str], str], says: str
) -> None:
    await applied(target, journal)
    file = folder / "dev.ndjson"
    file.write_text(damage(file.read_text()))
    with pytest.raises(StoreError, match=says) as raised:
        journal.course()
    assert str(file) in str(raised.value)


async def test_a_plan_that_is_gone_or_another_one_is_an_error(
    target: OneByOne, journal: JournalFile, folder: Path
) -> None:
    plan = twelve_changes(target.location)
    target.begin({}, effects=())
    await Walk(plan, tell=silent, note=journal.keep(plan)).go(target, BY_ANA)
    course = journal.course()
    assert course is not None
    file = folder / "dev.plan.json"
    for text in (file.read_text().replace("A tracker", "B tracker"), "{}", None):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(StoreError, match=r"dev\.plan\.json"):
            journal.plan(course)


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".reconciler").write_text("a file")
    with pytest.raises(StoreError, match="can not be kept in"):
        JournalFile(tmp_path / ".reconciler" / "journal", "dev", now=lambda: NOON).open()
