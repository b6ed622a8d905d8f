"""One-second windows, in virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.delivery import Lease
from reconciler.model.resource import Key
from reconciler.runtime.windows import Windows
from tests.builders import a_delivery, a_lease, a_message
from tests.virtual_time import run

LOG, OTHER = Key("tracker", "fleet-log"), Key("tracker", "other-log")


def line(number: int, callback: Key = LOG) -> Lease:
    return a_lease(a_delivery(a_message(number), callback=callback))


class Closed:
    """What was handed on, and when."""

    def __init__(self) -> None:
        self.at: list[tuple[float, list[Lease]]] = []

    def __call__(self, lines: Sequence[Lease]) -> None:
        self.at.append((round(asyncio.get_running_loop().time(), 6), list(lines)))


def test_a_window_closes_a_second_after_its_first_line() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        await asyncio.sleep(5.25)
        windows.add(line(1))
        await asyncio.sleep(0.75)
        windows.add(line(2))
        await asyncio.sleep(9)

        assert closed.at == [(6.25, [line(1), line(2)])]

    run(story())


def test_windows_follow_one_another_every_second_while_lines_keep_coming() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        for number in range(30):
            windows.add(line(number))
            await asyncio.sleep(0.11)
        await asyncio.sleep(9)

        assert [at for at, _ in closed.at] == [1.0, 2.0, 3.0, 4.0]
        assert [each for _, lines in closed.at for each in lines] == [line(number) for number in range(30)]

    run(story())


def test_after_a_pause_the_next_line_opens_a_window_of_its_own() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        windows.add(line(1))
        await asyncio.sleep(7.5)
        windows.add(line(2))
        await asyncio.sleep(9)

        assert closed.at == [(1.0, [line(1)]), (8.5, [line(2)])]

    run(story())


def test_callbacks_have_windows_of_their_own() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        windows.add(line(1))
        await asyncio.sleep(0.5)
        windows.add(line(2, OTHER))
        windows.add(line(3))
        await asyncio.sleep(9)

        assert closed.at == [(1.0, [line(1), line(3)]), (1.5, [line(2, OTHER)])]

    run(story())


def test_a_loop_that_was_blocked_closes_one_window_and_begins_anew() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        windows.add(line(1))
        late = windows._windows[LOG]
        windows._windows[LOG] = replace(late, closes_at=late.closes_at - 5)  # it should have closed five seconds ago
        await asyncio.sleep(1.5)
        windows.add(line(2))
        await asyncio.sleep(9)

        assert closed.at == [(1.0, [line(1)]), (2.0, [line(2)])]

    run(story())


def test_what_is_emptied_is_not_handed_on() -> None:
    async def story() -> None:
        closed = Closed()
        windows = Windows(closed=closed)
        windows.add(line(1))
        windows.add(line(2, OTHER))
        emptied = windows.empty()
        await asyncio.sleep(9)

        assert (emptied, closed.at) == ([line(1), line(2, OTHER)], [])

    run(story())
