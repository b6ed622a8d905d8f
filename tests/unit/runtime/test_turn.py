"""What is to be written waits for the end of the loop's turn."""

import asyncio

import pytest

from reconciler.runtime.turn import Turn
from tests.virtual_time import run


def test_all_that_runs_in_a_turn_runs_before_its_writes_which_keep_their_order() -> None:
    done = []

    async def story() -> None:
        loop, turn = asyncio.get_running_loop(), Turn()

        def work(number: int) -> None:
            done.append(f"work {number}")
            turn.at_end(loop, lambda: done.append(f"write {number}"))

        for number in range(3):
            loop.call_soon(work, number)
        await asyncio.sleep(0.001)
        work(3)
        await asyncio.sleep(0.001)

    run(story())
    assert done == ["work 0", "work 1", "work 2", "write 0", "write 1", "write 2", "work 3", "write 3"]


def test_a_write_that_breaks_costs_the_others_nothing() -> None:
    done, complaints = [], []

    def broken() -> None:
        raise RuntimeError("a bug")

    async def story() -> None:
        loop, turn = asyncio.get_running_loop(), Turn()
        loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        turn.at_end(loop, lambda: done.append("before"))
        turn.at_end(loop, broken)
        turn.at_end(loop, lambda: done.append("behind"))
        await asyncio.sleep(0.001)

    run(story())
    assert done == ["before", "behind"]
    with pytest.raises(RuntimeError, match="a bug"):
        raise complaints[0]


def test_what_a_write_asks_for_has_a_turn_of_its_own() -> None:
    done = []

    async def story() -> None:
        loop, turn = asyncio.get_running_loop(), Turn()

        def again() -> None:
            done.append("first")
            turn.at_end(loop, lambda: done.append("second"))

        turn.at_end(loop, again)
        turn.at_end(loop, lambda: done.append("other"))
        await asyncio.sleep(0.001)

    run(story())
    assert done == ["first", "other", "second"]
