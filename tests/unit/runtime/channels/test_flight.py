"""Deadlines in virtual time: one timer, exact for each, and cancellations that are told apart."""

import asyncio
from math import inf

import pytest

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.flight import Alarm, Flight
from reconciler.runtime.channels.unreachable import Reason
from tests.virtual_time import run


class Watch:
    """Deadlines under one alarm; notes when each was ended and how often the alarm rang."""

    def __init__(self) -> None:
        self.alarm = Alarm(self.end_overdue)
        self.awaited: set[float] = set()
        self.ended: list[tuple[float, float]] = []
        self.rang = 0

    def begin(self, deadline: float) -> None:
        self.awaited.add(deadline)
        if deadline < self.alarm.rings_at:
            self.alarm.ring_at(asyncio.get_running_loop(), deadline)

    def end_overdue(self, now: float) -> float:
        self.rang += 1
        for deadline in sorted(self.awaited):
            if deadline <= now:
                self.awaited.discard(deadline)
                self.ended.append((deadline, round(asyncio.get_running_loop().time(), 6)))
        return min(self.awaited, default=inf)


def test_each_is_ended_at_its_own_time_in_whatever_order_they_began() -> None:
    async def story() -> Watch:
        watch = Watch()
        for deadline in (10.0, 3.0, 7.0, 3.5):
            watch.begin(deadline)
        await asyncio.sleep(5)
        watch.begin(6.0)
        await asyncio.sleep(60)
        return watch

    assert run(story()).ended == [(d, d) for d in (3.0, 3.5, 6.0, 7.0, 10.0)]


def test_requests_that_end_in_time_leave_the_alarm_alone() -> None:
    async def story() -> Watch:
        watch = Watch()
        for _ in range(1_000):
            now = asyncio.get_running_loop().time()
            watch.begin(now + 10)
            await asyncio.sleep(0.05)
            watch.awaited.discard(now + 10)
        await asyncio.sleep(60)
        return watch

    watch = run(story())
    assert watch.ended == []
    assert watch.rang <= 50 / 10 + 2, "about once per timeout in 50 s"


def test_a_cancelled_alarm_rings_no_more() -> None:
    async def story() -> int:
        watch = Watch()
        watch.begin(1.0)
        watch.alarm.cancel()
        await asyncio.sleep(5)
        return watch.rang

    assert run(story()) == 0


async def waiting(flights: list[Flight]) -> Unreachable | str:
    flight = Flight(deadline=1.0)
    flight.doing = "it waited"
    flights.append(flight)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        interruption = flight.interruption()
        if interruption is None:
            raise
        return interruption
    return "unreachable"


def test_an_interruption_becomes_an_outcome_and_the_task_lives_on() -> None:
    async def story() -> None:
        flights: list[Flight] = []

        async def worker() -> list[object]:
            first = await waiting(flights)
            await asyncio.sleep(1)
            task = asyncio.current_task()
            return [first, task is not None and task.cancelling()]

        task = asyncio.create_task(worker())
        await asyncio.sleep(0)
        flights[0].interrupt(Reason.DEADLINE)
        flights[0].interrupt(Reason.CLOSING)
        assert await task == [Unreachable("deadline", "Time is up: it waited."), 0]

    run(story())


def test_a_cancellation_from_outside_passes_through_even_in_the_same_moment() -> None:
    async def story() -> None:
        for interrupted in (False, True):
            flights: list[Flight] = []
            task = asyncio.create_task(waiting(flights))
            await asyncio.sleep(0)
            if interrupted:
                flights[0].interrupt(Reason.DEADLINE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(story())
