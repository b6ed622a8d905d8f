"""Connections of one endpoint in virtual time, without a socket: slots, the line, and growing old."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from reconciler.model.delivery import Accepted, Unreachable
from reconciler.runtime.channels.connection import Connection
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.pool import Counters, Pool
from tests.fakes import AtOnce
from tests.virtual_time import run

REFUSED = Unreachable("connection-refused", "Nothing listens.")
ANSWER = b"HTTP/1.1 204 None\r\n\r\n"


class Wire(asyncio.Transport):
    """The transport of a connection that is never more than its two ends."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


class Endpoint:
    """Dials in one second of virtual time; `refuses` while told so."""

    def __init__(self, *, limit: int = 2, idle_for: float = 4.0) -> None:
        self.refuses = False
        self.made: list[Connection] = []
        self.counters = Counters()
        self.pool = Pool(
            dial=self.dial,
            fixed="",
            limit=limit,
            idle_for=idle_for,
            max_body=100,
            counters=self.counters,
            turn=AtOnce(),
        )

    async def dial(self, new: Callable[[], Connection], *, flight: Flight) -> Connection | Unreachable:
        flight.doing = "it was being dialled"
        await asyncio.sleep(1)
        if self.refuses:
            return REFUSED
        connection = new()
        connection.connection_made(Wire(connection))
        self.made.append(connection)
        return connection

    async def taken(self) -> Connection:
        connection = await self.pool.acquire(inf)
        assert isinstance(connection, Connection)
        return connection


def give_back(connection: Connection) -> None:
    """Have a whole exchange over it."""
    answered = connection.send(b"x", deadline=inf)
    connection.data_received(ANSWER)
    assert answered.result() == Accepted(204)


def story(told: Callable[[Endpoint], Awaitable[None]], **options: float) -> None:
    async def begin() -> None:
        endpoint = Endpoint(**options)  # type: ignore[arg-type]
        await told(endpoint)
        await endpoint.pool.close()
        assert not endpoint.pool.sweep(inf), "something is left"

    run(begin())


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_connection_used_last_is_lent_first() -> None:
    async def told(endpoint: Endpoint) -> None:
        first, second = await asyncio.gather(endpoint.taken(), endpoint.taken())
        give_back(first)
        give_back(second)
        assert endpoint.pool.borrow(now()) is second
        assert endpoint.pool.borrow(now()) is first
        assert endpoint.pool.borrow(now()) is None
        assert (endpoint.counters.opened, endpoint.counters.reused) == (2, 2)

    story(told)


def test_the_line_is_served_in_order_by_what_comes_back() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        served: list[int] = []

        async def wait(number: int) -> None:
            give_back(await endpoint.taken())
            served.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(5)]
        await asyncio.sleep(0)
        give_back(connection)
        await asyncio.gather(*waiting)
        assert (served, endpoint.counters.opened) == ([0, 1, 2, 3, 4], 1)

    story(told, limit=1)


def test_a_connection_that_goes_leaves_its_slot_to_the_first_in_line() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        waiting = asyncio.create_task(endpoint.taken())
        await asyncio.sleep(0)
        connection.abort()
        assert await waiting is endpoint.made[1]

    story(told, limit=1)


def test_a_dial_that_fails_leaves_its_slot_to_the_next() -> None:
    async def told(endpoint: Endpoint) -> None:
        endpoint.refuses = True
        outcomes = await asyncio.gather(*(endpoint.pool.acquire(inf) for _ in range(3)))
        assert (outcomes, now()) == ([REFUSED] * 3, 3.0)
        endpoint.refuses = False
        assert await endpoint.taken() is endpoint.made[0]

    story(told, limit=1)


def test_whoever_stops_waiting_takes_nothing_along() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        waiting = [asyncio.create_task(endpoint.taken()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # while it waits
        await asyncio.sleep(0)
        give_back(connection)  # granted to the second, which is cancelled before it can know
        waiting[1].cancel()
        assert await waiting[2] is connection
        assert [task.cancelled() for task in waiting] == [True, True, False]

    story(told, limit=1)


def test_a_slot_that_was_granted_to_somebody_who_left_is_passed_on() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        waiting = [asyncio.create_task(endpoint.taken()) for _ in range(2)]
        await asyncio.sleep(0)
        connection.abort()
        waiting[0].cancel()
        assert await waiting[1] is endpoint.made[1]

    story(told, limit=1)


def test_a_connection_that_died_on_its_way_to_the_first_in_line_is_replaced() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        waiting = asyncio.create_task(endpoint.taken())
        await asyncio.sleep(0)
        give_back(connection)
        connection.abort()
        assert await waiting is endpoint.made[1]

    story(told, limit=1)


def test_cancelling_a_dial_frees_its_slot() -> None:
    async def told(endpoint: Endpoint) -> None:
        dialling = asyncio.create_task(endpoint.taken())
        await asyncio.sleep(0.5)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert await endpoint.taken() is endpoint.made[0]

    story(told, limit=1)


def test_idle_connections_are_closed_when_they_are_old_and_not_before() -> None:
    async def told(endpoint: Endpoint) -> None:
        first, second = await asyncio.gather(endpoint.taken(), endpoint.taken())
        give_back(first)
        await asyncio.sleep(3)
        give_back(second)
        for later, usable in ((0.9, [True, True]), (0.2, [False, True]), (3.0, [False, False])):
            await asyncio.sleep(later)
            assert endpoint.pool.sweep(now())
            assert [first.usable, second.usable] == usable
        await asyncio.sleep(0)
        assert not endpoint.pool.sweep(now())

    story(told)


def test_an_old_connection_is_not_lent_even_if_nobody_swept() -> None:
    async def told(endpoint: Endpoint) -> None:
        give_back(await endpoint.taken())
        await asyncio.sleep(4.1)
        assert endpoint.pool.borrow(now()) is None

    story(told)


def test_the_overdue_are_ended_and_the_next_deadline_is_told() -> None:
    async def told(endpoint: Endpoint) -> None:
        connection = await endpoint.taken()
        answered = connection.send(b"x", deadline=5.0)
        waiting = asyncio.create_task(endpoint.pool.acquire(7.0))
        await asyncio.sleep(0)
        assert endpoint.pool.end_overdue(4.9) == 5.0
        assert endpoint.pool.end_overdue(5.0) == 7.0
        outcome = answered.result()
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "deadline"
        assert endpoint.pool.end_overdue(7.0) == inf
        assert await waiting == Unreachable("deadline", "Time is up: all 1 connections to the endpoint were busy.")

    story(told, limit=1)


def test_closing_ends_everything_and_waits_for_it() -> None:
    async def told(endpoint: Endpoint) -> None:
        busy, idle = await asyncio.gather(endpoint.taken(), endpoint.taken())
        answered = busy.send(b"x", deadline=inf)
        give_back(idle)
        assert endpoint.pool.borrow(now()) is idle
        waiting = asyncio.create_task(endpoint.pool.acquire(inf))
        await asyncio.sleep(0)
        await endpoint.pool.close()
        outcomes = [answered.result(), await waiting]
        assert [outcome.reason for outcome in outcomes if isinstance(outcome, Unreachable)] == ["closing"] * 2
        assert not endpoint.pool.sweep(now())

    story(told)
