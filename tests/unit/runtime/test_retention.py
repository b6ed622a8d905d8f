"""How the engine lets go of what has ended: rounds and steps, in virtual time."""

import asyncio
from datetime import datetime, timedelta

import pytest

from reconciler.cli.keeping_options import keeping
from reconciler.diagnostics import Diagnostic
from reconciler.errors import StoreError
from reconciler.model.delivery import State
from reconciler.runtime.events import Events
from reconciler.runtime.retention import Keeping, Remover
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Pruned
from tests.builders import a_delivery, a_message, an_arrival
from tests.virtual_time import VirtualLoop, run

DAY = timedelta(days=1)


def loop() -> VirtualLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


class Sized(MemoryStore):
    """Each message is 100 bytes; a step takes as long as it is told, and fails when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = 0.0
        self.fails: list[StoreError] = []
        self.given_back = 0
        self.steps: list[float] = []

    async def size(self) -> int:
        return 100 * len(await self.messages_of("1C178", limit=10_000))

    async def prune(self, *, before: datetime, after: int, limit: int, gap: timedelta | None = None) -> Pruned:
        self.steps.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        if self.fails:
            raise self.fails.pop()
        return await super().prune(before=before, after=after, limit=limit, gap=gap)

    async def give_back(self) -> bool:
        self.given_back += 1
        return self.given_back < 3


async def nothing() -> None:
    """The clock was not set."""


async def filled(count: int, *, pending: int = 0) -> Sized:
    """Messages of the last days, one a day, the newest last and of yesterday; the first so many are pending."""
    store = Sized()
    now = loop().now()
    messages = [a_message(n, received_at=now - (count - n) * DAY) for n in range(count)]
    arrivals = [
        an_arrival(message, queued=[a_delivery(message)] if number < pending else [])
        for number, message in enumerate(messages)
    ]
    await store.accept(arrivals, worker="w", lease=DAY, now=now)
    return store


def remover(store: Sized, keeping: Keeping) -> Remover:
    return Remover(store=store, keeping=keeping, now=loop().now, follow_clock=nothing, events=Events())


async def left(store: Sized) -> int:
    return len(await store.messages_of("1C178", limit=10_000))


def test_what_is_older_goes_in_steps_and_space_is_returned() -> None:
    async def main() -> None:
        store = await filled(500, pending=3)
        assert await remover(store, Keeping(age=30 * DAY)).round() == 500 - 3 - 30
        assert await left(store) == 33
        assert (await store.counts())[State.PENDING] == 3
        assert len(store.steps) == 4
        assert store.given_back == 3

    run(main())


@pytest.mark.parametrize(("size", "kept"), [(10**6, 500), (50_000, 500), (40_000, 372), (1, 4)])
def test_while_the_store_is_larger_the_oldest_goes_but_nothing_that_is_pending(size: int, kept: int) -> None:
    async def main() -> None:
        store = await filled(500, pending=3)
        await remover(store, Keeping(age=None, size=size)).round()
        assert await left(store) == kept + 3 * (kept == 372)
        assert (await store.counts())[State.PENDING] == 3

    run(main())


def test_for_most_of_the_time_the_store_is_others() -> None:
    async def main() -> None:
        store = await filled(1_000)
        store.takes = 0.02
        await remover(store, Keeping(age=DAY)).round()
        gaps = [later - earlier for earlier, later in zip(store.steps, store.steps[1:], strict=False)]
        assert min(gaps) == pytest.approx(5 * 0.02)

    run(main())


def test_it_looks_every_minute_and_goes_on_after_a_failure() -> None:
    async def main() -> None:
        store = await filled(200)
        store.fails = [StoreError("no")]
        events = Events()
        task = asyncio.create_task(
            Remover(
                store=store, keeping=Keeping(age=30 * DAY), now=loop().now, follow_clock=nothing, events=events
            ).run()
        )
        await asyncio.sleep(1)
        assert (await left(store), events.counters.store_failures) == (200, 1)
        await asyncio.sleep(61)
        assert await left(store) == 29
        await asyncio.sleep(DAY.total_seconds())
        assert await left(store) == 28
        task.cancel()
        await asyncio.wait([task])

    run(main())


def test_a_clock_that_is_years_ahead_removes_nothing_until_what_came_since_is_old(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after a start with a wrong clock: nobody noticed that it was set."""
    caplog.set_level("INFO", "reconciler.engine")

    async def main() -> None:
        store, ahead = await filled(500, pending=3), 3_650 * DAY
        events = Events()
        wrong = Remover(
            store=store, keeping=Keeping(), now=lambda: loop().now() + ahead, follow_clock=nothing, events=events
        )
        assert [await wrong.round() for _ in range(2)] == [0, 0]
        assert [record.message for record in caplog.records] == ["store.pruning-paused"]
        for number in range(500, 540):
            arrivals = [an_arrival(a_message(number, received_at=loop().now() + ahead))]
            await store.accept(arrivals, worker="w", lease=DAY, now=loop().now() + ahead)
            await asyncio.sleep(DAY.total_seconds())
            if number < 529:
                assert await wrong.round() == 0
        assert await left(store) == 540
        assert await remover(store, Keeping()).round() == 0, "right again: what came while it was wrong bars the way"
        assert await wrong.round() == 540 - 3 - 29
        assert "store.pruning-resumed" in caplog.messages

    run(main())


@pytest.mark.parametrize("ahead", [timedelta(days=3_650), timedelta(days=-3_650), timedelta(hours=1)])
def test_a_step_that_was_noticed_changes_no_age(ahead: timedelta) -> None:
    async def main() -> None:
        store = await filled(500)
        await store.clock_stepped(ahead)
        stepped = Remover(
            store=store, keeping=Keeping(), now=lambda: loop().now() + ahead, follow_clock=nothing, events=Events()
        )
        assert await stepped.round() == 500 - 30

    run(main())


def test_a_step_is_noticed_before_anything_is_removed() -> None:
    """A step smaller than the age, at an engine that nobody asked anything since."""

    async def main() -> None:
        store, ahead = await filled(30), 20 * DAY

        async def notice() -> None:
            await store.clock_stepped(ahead)

        stepped = Remover(
            store=store,
            keeping=Keeping(),
            now=lambda: loop().now() + ahead,
            follow_clock=notice,
            events=Events(),
        )
        assert await stepped.round() == 0

    run(main())


def test_after_a_pause_of_weeks_what_was_before_it_stays_as_long_again() -> None:
    async def main() -> None:
        store = await filled(100)
        await asyncio.sleep(40 * DAY.total_seconds())
        back = an_arrival(a_message(1_000, received_at=loop().now()))
        await store.accept([back], worker="w", lease=DAY, now=loop().now())
        assert await remover(store, Keeping()).round() == 0
        await asyncio.sleep(20 * DAY.total_seconds())
        later = an_arrival(a_message(1_001, received_at=loop().now()))
        await store.accept([later], worker="w", lease=DAY, now=loop().now())
        assert await remover(store, Keeping()).round() == 0
        await asyncio.sleep(11 * DAY.total_seconds())
        assert await remover(store, Keeping()).round() == 101

    run(main())


@pytest.mark.parametrize(
    ("days", "size", "expected"),
    [
        ("30", None, Keeping()),
        ("1", "2GB", Keeping(DAY, 2 * 10**9)),
        ("forever", "500 MB", Keeping(None, 5 * 10**8)),
    ],
)
def test_options_that_can_be_read(days: str, size: str | None, expected: Keeping) -> None:
    assert keeping(days, size) == expected


@pytest.mark.parametrize(
    ("days", "size", "code"),
    [
        ("0", None, "keep-bad-days"),
        ("-1", None, "keep-bad-days"),
        ("4w", None, "keep-bad-days"),
        ("", None, "keep-bad-days"),
        ("30", "2000", "keep-bad-size"),
        ("30", "1.5GB", "keep-bad-size"),
        ("30", "0MB", "keep-bad-size"),
        ("30", "", "keep-bad-size"),
    ],
)
def test_options_that_can_not(days: str, size: str | None, code: str) -> None:
    found = keeping(days, size)
    assert isinstance(found, Diagnostic)
    assert found.code == code
