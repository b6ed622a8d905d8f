"""Batches in virtual time: windows of a second, durable membership, retries of the same batch."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.errors import StoreError
from reconciler.model.definition import Content
from reconciler.model.delivery import Batch, HttpRequest, Refused, State
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.unit.runtime.engine_rig import DOWN, OK, Script, running, states, until_idle, uplink
from tests.virtual_time import run

LOG: Content = {
    "type": "data/uplink",
    "channel": "batch-url",
    "method": "POST",
    "url": "http://a.example/log?lines={batch}",
    "linePattern": "{device};{seqNumber}",
}


def lines(request: HttpRequest) -> list[int]:
    """The sequence numbers of a batch."""
    assert isinstance(request.target, str)
    (text,) = parse_qs(urlsplit(request.target).query)["lines"]
    return [int(line.partition(";")[2]) for line in text.split("\n")]


def test_messages_of_a_second_travel_in_one_request() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, log=LOG) as engine:
            for number in range(5):
                await engine.take([uplink(number)])
                await asyncio.sleep(0.3)
            await asyncio.sleep(5)
            records = await engine.store.deliveries(DeliveryFilter(), limit=9)
            assert engine.worker.held == 0

        assert [(round(at, 2), lines(r)) for (at, _), r in zip(script.sent, script.requests, strict=True)] == [
            (1.0, [0, 1, 2, 3]),
            (2.0, [4]),
        ]
        assert script.requests[0].body == "lines=1C178%3B0%0A1C178%3B1%0A1C178%3B2%0A1C178%3B3"
        assert {record.delivery.state for record in records} == {State.DELIVERED}
        # One of them carries the batch and has its attempt.
        assert sorted(len(record.attempts) for record in records) == [0, 0, 0, 1, 1]

    run(story())


def test_callbacks_and_endpoints_have_batches_of_their_own() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, one=LOG, two={**LOG, "url": "http://b.example/log?lines={batch}"}) as engine:
            await engine.take([uplink(1), uplink(2)])
            await asyncio.sleep(3)

        assert sorted((r.host, lines(r)) for r in script.requests) == [("a.example", [1, 2]), ("b.example", [1, 2])]

    run(story())


def test_a_batch_that_fails_is_tried_again_as_it_was() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.1, OK if len(script.requests) > 4 else Refused(500)))
        async with running(script, log=LOG) as engine:
            await engine.take([uplink(1), uplink(2)])
            await asyncio.sleep(1.5)
            await engine.take([uplink(3)])
            await until_idle(engine)
            assert await states(engine) == [State.DELIVERED] * 3

        assert Counter(tuple(lines(r)) for r in script.requests) == {(1, 2): 3, (3,): 3}

    run(story())


def test_a_batch_that_is_given_up_is_undelivered_in_all_its_lines_and_replayed_by_any_of_them() -> None:
    async def story() -> None:
        down = True
        script = Script(lambda request: (0.1, DOWN if down else OK))
        async with running(script, log=LOG) as engine:
            taken = await engine.take([uplink(1), uplink(2), uplink(3)])
            await until_idle(engine)
            assert await states(engine) == [State.UNDELIVERED] * 3
            down = False
            records = await engine.store.deliveries(DeliveryFilter(), limit=9)
            some_line = next(r.delivery for r in records if r.delivery.id.message == taken[2].message.id)
            await engine.replay([some_line.id])
            await until_idle(engine)
            assert await states(engine) == [State.DELIVERED] * 3

        assert [lines(r) for r in script.requests] == [[1, 2, 3]] * 5

    run(story())


def test_lines_that_are_not_in_a_batch_when_the_engine_stops_are_gathered_by_the_next() -> None:
    async def story() -> None:
        script, store = Script(), MemoryStore()
        async with running(script, store=store, log=LOG) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(1.2)
            await engine.take([uplink(2), uplink(3)])
        async with running(script, store=store) as engine:
            await engine.take([uplink(4)])
            await until_idle(engine)
            await asyncio.sleep(3)

        assert [lines(r) for r in script.requests[:1]] == [[1]]
        assert sorted(number for r in script.requests for number in lines(r)) == [1, 2, 3, 4]

    run(story())


class Unsteady(MemoryStore):
    """Fails to join batches for a while."""

    fails = 0

    async def join(self, batches: Sequence[Batch]) -> Sequence[bool]:
        if self.fails:
            self.fails -= 1
            raise StoreError("the disk is full")
        return await super().join(batches)


def test_a_batch_that_cannot_be_kept_is_not_sent_and_its_lines_wait_for_the_next_window() -> None:
    async def story() -> None:
        script, store = Script(), Unsteady()
        async with running(script, store=store, log=LOG) as engine:
            store.fails = 3
            await engine.take([uplink(1), uplink(2)])
            await asyncio.sleep(3.5)
            assert script.sent == []
            await until_idle(engine)
            assert engine.worker.held == 0

        assert [lines(r) for r in script.requests] == [[1, 2]]

    run(story())


@pytest.mark.parametrize("stops_at", [0.5, 0.999, 1.0, 1.0005, 1.05, 1.2, 30.0])
def test_after_a_crash_no_message_is_in_two_batches_that_succeeded_and_none_in_no_batch(stops_at: float) -> None:
    """The engine vanishes: its tasks end without a word, as they do when the process is killed."""

    async def story() -> None:
        script, store = Script(lambda request: (0.1, OK)), MemoryStore()

        async def first() -> None:
            async with running(script, store=store, log=LOG) as engine:
                await engine.take([uplink(n) for n in range(10)])
                await asyncio.sleep(1000)

        before = set(asyncio.all_tasks())
        crashing = asyncio.create_task(first())
        await asyncio.sleep(stops_at)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.gather(crashing, return_exceptions=True)
        await asyncio.sleep(300)  # its leases expire
        async with running(script, store=store) as engine:
            await until_idle(engine)
            assert await states(engine) == [State.DELIVERED] * 10

        # A batch may be repeated, but always as it was.
        batches = {tuple(lines(request)) for request in script.requests}
        assert sorted(number for batch in batches for number in batch) == list(range(10))

    run(story())
