"""Group commit, over a disk that is done when the test says so."""

import asyncio
from collections.abc import Sequence

import pytest

from reconciler.errors import StoreError, StoreFull
from reconciler.store.group_commit import GroupCommit


class Disk:
    """Remembers the groups it was given; `finish` ends the commit under way."""

    def __init__(self) -> None:
        self.groups: list[Sequence[str]] = []
        self.commit: asyncio.Future[None] | None = None

    def __call__(self, group: Sequence[str]) -> asyncio.Future[None]:
        assert self.commit is None, "two commits at once"
        self.groups.append(list(group))
        self.commit = asyncio.get_running_loop().create_future()
        return self.commit

    async def finish(self, error: Exception | None = None) -> None:
        await settled()
        assert self.commit is not None, "nothing to finish"
        commit, self.commit = self.commit, None
        if error is None:
            commit.set_result(None)
        else:
            commit.set_exception(error)
        await settled()


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(group: GroupCommit[str], *names: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(group.run(name, rows=1)) for name in names]


async def test_what_is_asked_at_the_same_time_is_one_group() -> None:
    disk = Disk()
    asked = ask(GroupCommit(disk), "a", "b", "c")
    await disk.finish()
    await asyncio.gather(*asked)
    assert disk.groups == [["a", "b", "c"]]


async def test_nothing_is_done_before_its_group_is() -> None:
    disk = Disk()
    (asked,) = ask(GroupCommit(disk), "a")
    await settled()
    assert not asked.done()
    await disk.finish()
    assert asked.done()


async def test_what_comes_during_a_commit_is_the_next_group() -> None:
    disk = Disk()
    group = GroupCommit(disk)
    first = ask(group, "a")
    await settled()
    late = ask(group, "b", "c")
    await settled()
    assert disk.groups == [["a"]]
    await disk.finish()
    assert [task.done() for task in (*first, *late)] == [True, False, False]
    await disk.finish()
    await asyncio.gather(*late)
    assert disk.groups == [["a"], ["b", "c"]]


async def test_a_large_operation_does_not_wait_for_others() -> None:
    disk = Disk()
    group = GroupCommit(disk)
    large = asyncio.create_task(group.run("large", rows=1_000))
    await asyncio.sleep(0)  # it is asked for
    small = ask(group, "small")
    await disk.finish()
    await disk.finish()
    await asyncio.gather(large, *small)
    assert disk.groups == [["large"], ["small"]]


async def test_a_group_fails_as_one_and_the_next_is_tried_afresh() -> None:
    disk = Disk()
    group = GroupCommit(disk)
    doomed = ask(group, "a", "b")
    await settled()
    fine = ask(group, "c")
    await disk.finish(StoreFull("no space"))
    for task in doomed:
        with pytest.raises(StoreFull):
            await task
    await disk.finish()
    await asyncio.gather(*fine)


async def test_a_bug_reaches_those_who_asked() -> None:
    disk = Disk()
    (asked,) = ask(GroupCommit(disk), "a")
    await disk.finish(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await asked


async def test_a_caller_that_is_cancelled_does_not_take_its_operation_back() -> None:
    disk = Disk()
    given_up, patient = ask(GroupCommit(disk), "a", "b")
    await settled()
    given_up.cancel()
    await disk.finish()
    await patient
    assert given_up.cancelled()
    assert disk.groups == [["a", "b"]]


async def test_closing_finishes_what_was_asked_and_takes_nothing_more() -> None:
    disk = Disk()
    group = GroupCommit(disk)
    asked = ask(group, "a")
    await settled()
    asked += ask(group, "b")
    await settled()
    closing = asyncio.create_task(group.close())
    await disk.finish()
    assert not closing.done()
    await disk.finish()
    await closing
    await asyncio.gather(*asked)
    with pytest.raises(StoreError, match="closed"):
        await group.run("c", rows=1)


async def test_closing_what_was_never_used_is_immediate() -> None:
    await GroupCommit(Disk()).close()
