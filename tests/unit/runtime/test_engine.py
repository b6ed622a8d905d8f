"""The engine in virtual time, over the reference store and a channel that plays a script."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from reconciler.codec.canonical import define
from reconciler.errors import RevisionConflict, StoreError, StoreFull
from reconciler.model.delivery import HttpRequest, Lease, Refused, Settlement, State
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.engine import Engine
from reconciler.runtime.lanes import Capacity
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter, Kept
from tests.unit.runtime.engine_rig import DOWN, OK, Script, callback, running, states, until_idle, uplink
from tests.virtual_time import EPOCH, run


def test_a_message_is_delivered_once_and_the_attempt_is_recorded() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, hook=callback("http://a.example/{device}")) as engine:
            (taken,) = await engine.take([uplink(1)])
            await asyncio.sleep(1)
            (record,) = await engine.store.deliveries(DeliveryFilter(), limit=9)

        assert (taken.repeated, taken.routed) == (False, True)
        assert [path for _, path in script.sent] == ["a.example/1C178"]
        assert record.delivery.state is State.DELIVERED
        assert [(a.number, a.outcome) for a in record.attempts] == [(1, OK)]
        assert record.attempts[0].duration == timedelta(milliseconds=1)

    run(story())


def test_a_repeated_message_gives_no_second_delivery() -> None:
    async def story() -> None:
        script = Script()
        async with running(script, hook=callback("http://a.example/")) as engine:
            (first,), (second,) = await engine.take([uplink(1)]), await engine.take([uplink(1)])
            twice = await engine.take([uplink(2), uplink(2)])
            await asyncio.sleep(1)
            assert engine.worker.held == 0

        assert [first.repeated, second.repeated, *(t.repeated for t in twice)] == [False, True, False, True]
        assert len(script.sent) == 2

    run(story())


def test_a_failing_receiver_is_tried_at_one_two_and_four_minutes_and_then_kept_as_undelivered() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.5, Refused(500)))
        async with running(script, hook=callback("http://a.example/")) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)
            (record,) = await engine.store.deliveries(DeliveryFilter(state=State.UNDELIVERED), limit=9)

        # Each wait counts from the end of the failure before, half a second after its start.
        assert [at for at, _ in script.sent] == pytest.approx([0, 60.5, 181.0, 421.5])
        assert [a.number for a in record.attempts] == [1, 2, 3, 4]

    run(story())


def test_an_undelivered_one_can_be_replayed_and_has_the_whole_schedule_again() -> None:
    async def story() -> None:
        down = True
        script = Script(lambda request: (0.001, DOWN if down else OK))
        async with running(script, hook=callback("http://a.example/")) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)
            assert await states(engine) == [State.UNDELIVERED]
            replayed = await engine.replay_where(DeliveryFilter(state=State.UNDELIVERED), limit=10)
            await asyncio.sleep(1)
            down = False
            await until_idle(engine)
            (record,) = await engine.store.deliveries(DeliveryFilter(), limit=9)

        assert replayed == 1
        assert record.delivery.state is State.DELIVERED
        assert [a.outcome for a in record.attempts] == [DOWN] * 5 + [OK]
        assert script.sent[5][0] - script.sent[4][0] == pytest.approx(60, abs=0.1)

    run(story())


def test_a_dead_endpoint_does_not_slow_another_one() -> None:
    async def story() -> None:
        script = Script(lambda request: (99, OK) if request.host == "dead.example" else (0.001, OK))
        async with running(
            script, dead=callback("http://dead.example/{seqNumber}"), live=callback("http://live.example/{seqNumber}")
        ) as engine:
            await engine.take([uplink(n) for n in range(500)])
            await asyncio.sleep(1)

            assert sum(path.startswith("live") for _, path in script.sent) == 500

    run(story())


def test_first_attempts_never_wait_behind_retries() -> None:
    async def story() -> None:
        capacity = Capacity(slots=8)
        slow = True
        script = Script(lambda request: (9, Refused(500)) if slow else (0.001, OK))
        async with running(script, capacity=capacity, hook=callback("http://a.example/{seqNumber}")) as engine:
            await engine.take([uplink(n) for n in range(200)])
            while not any(path == "a.example/0" for at, path in script.sent if at > 1):
                await asyncio.sleep(1)  # until retries are under way, every slot of theirs busy
            slow = False
            while engine.worker.in_flight > capacity.retry_slots:
                await asyncio.sleep(1)
            start = asyncio.get_running_loop().time()
            await engine.take([uplink(1000)])
            await asyncio.sleep(0.1)

            assert [at - start for at, path in script.sent if path == "a.example/1000"] == pytest.approx([0], abs=0.01)

    run(story())


def test_attempts_in_flight_to_one_endpoint_are_bounded() -> None:
    async def story() -> None:
        script = Script(lambda request: (1, OK))
        async with running(script, capacity=Capacity(slots=8), hook=callback("http://a.example/")) as engine:
            await engine.take([uplink(n) for n in range(100)])
            await until_idle(engine)

        assert script.busiest == {"http://a.example:80": 6}  # two of the eight are kept for retries
        assert len(script.sent) == 100

    run(story())


def test_memory_is_bounded_and_what_has_no_room_is_delivered_all_the_same() -> None:
    async def story() -> None:
        capacity = Capacity(slots=4, room_per_endpoint=10, room=20)
        script = Script(lambda request: (1, OK))
        most = 0
        async with running(script, capacity=capacity, hook=callback("http://a.example/{seqNumber}")) as engine:
            await engine.take([uplink(n) for n in range(200)])
            while (await engine.store.counts())[State.PENDING]:
                most = max(most, engine.worker.held)
                await asyncio.sleep(0.5)

        assert most <= 10
        assert len({path for _, path in script.sent}) == len(script.sent) == 200

    run(story())


@pytest.mark.parametrize("store_fails", [False, True])
def test_a_lease_that_could_end_before_its_attempt_is_given_back_and_claimed_anew(store_fails: bool) -> None:
    class Unreleasing(MemoryStore):
        async def release(self, leases: Sequence[Lease]) -> None:
            if store_fails:
                raise StoreError("the store is locked")
            await super().release(leases)

    async def story() -> None:
        script = Script(lambda request: (9, OK))
        capacity = Capacity(slots=4, lease=timedelta(seconds=30))
        async with running(
            script, store=Unreleasing(), capacity=capacity, hook=callback("http://a.example/{seqNumber}")
        ) as engine:
            await engine.take([uplink(n) for n in range(30)])
            await until_idle(engine)
            assert engine.worker.held == 0

        assert len({path for _, path in script.sent}) == len(script.sent) == 30

    run(story())


def test_a_lease_has_to_outlast_an_attempt() -> None:
    with pytest.raises(ValueError, match="outlast"):
        Engine(
            store=MemoryStore(),
            channel=Script(),
            now=lambda: EPOCH,
            dice=lambda: 0.0,
            capacity=Capacity(lease=timedelta(seconds=10)),
        )


def test_a_stop_finishes_what_is_in_flight_and_the_next_start_takes_up_the_rest() -> None:
    async def story() -> None:
        store = MemoryStore()
        script = Script(lambda request: (5, OK))
        capacity = Capacity(slots=8)
        async with running(script, store=store, capacity=capacity, hook=callback("http://a.example/{seqNumber}")) as e:
            await e.take([uplink(n) for n in range(20)])
            await asyncio.sleep(1)
        assert (await store.counts())[State.DELIVERED] == 6
        async with running(script, store=store, capacity=capacity) as e:
            await until_idle(e)

        assert len({path for _, path in script.sent}) == len(script.sent) == 20

    run(story())


def test_nothing_is_taken_up_after_a_stop_and_stopping_twice_is_fine() -> None:
    async def story() -> None:
        async with running(Script(), hook=callback("http://a.example/")) as engine:
            await engine.stop()
            assert not engine.is_running
            await engine.stop()

    run(story())


def test_messages_are_routed_under_exactly_one_revision_and_keep_the_bytes_it_promised() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.001, DOWN if asyncio.get_running_loop().time() < 30 else OK))
        async with running(script, hook=callback("http://a.example/old")) as engine:
            await engine.take([uplink(1)])
            key = Key("tracker", "hook")
            old = engine.revision.owned[key].definition
            new = define(key, callback("http://a.example/new"))
            revision = await engine.publish(
                [Amendment("update", key, old.digest, new)],
                owner="test",
                expect=1,
                publication=Publication(at=None, by="test"),
            )
            assert isinstance(revision, Revision)
            await engine.take([uplink(2)])
            await until_idle(engine)
            records = await engine.store.deliveries(DeliveryFilter(), limit=9)

        requests = [(r.delivery.revision, r.delivery.request) for r in records]
        assert sorted((n, r.target) for n, r in requests if isinstance(r, HttpRequest)) == [(1, "/old"), (2, "/new")]
        assert sorted({path for _, path in script.sent}) == ["a.example/new", "a.example/old"]

    run(story())


def test_publishing_on_top_of_another_revision_is_refused_and_changes_nothing() -> None:
    async def story() -> None:
        async with running(Script(), hook=callback("http://a.example/")) as engine:
            with pytest.raises(RevisionConflict) as caught:
                await engine.publish([], owner="test", expect=7, publication=Publication(at=None, by="test"))

            assert (caught.value.expected, caught.value.current) == (7, 1)
            assert engine.revision.number == 1

    run(story())


def test_a_message_of_an_unknown_device_type_is_kept_and_said_to_be_unrouted() -> None:
    async def story() -> None:
        async with running(Script(), hook=callback("http://a.example/")) as engine:
            (taken,) = await engine.take([uplink(1, deviceType="stranger")])
            explained = await engine.explain(taken.message.id)

        assert (taken.routed, taken.repeated) == (False, False)
        assert explained is not None
        assert not explained.explanation.device_type_known
        assert explained.record.deliveries == ()

    run(story())


def test_an_explanation_names_every_callback_and_why_it_fired_or_not() -> None:
    async def story() -> None:
        async with running(
            Script(),
            fires=callback("http://a.example/{customData#t}", payload="t::int:16"),
            sleeps=callback("http://a.example/", enabled=False),
        ) as engine:
            (taken,) = await engine.take([uplink(1, data="01")])
            await asyncio.sleep(1)
            explained = await engine.explain(taken.message.id)

        assert explained is not None
        fires, sleeps = explained.explanation.matches
        assert (fires.matched, sleeps.matched) == (True, False)
        assert fires.decoded is not None
        assert dict(fires.decoded.values) == {"t": None}
        assert "disabled" in sleeps.reason
        (record,) = explained.record.deliveries
        assert (record.delivery.id,) == fires.deliveries
        assert "does not fit the payload of 1 byte" in record.delivery.warnings[0]
        assert isinstance(record.delivery.request, HttpRequest)
        assert record.delivery.request.target == "/null"

    run(story())


class Failing(MemoryStore):
    """The reference store, with a disk that can fill up."""

    full = False

    async def accept(self, *args: object, **more: object) -> Sequence[Kept]:
        if self.full:
            raise StoreFull("the disk is full")
        return await super().accept(*args, **more)  # type: ignore[arg-type]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        if self.full:
            raise StoreError("the disk is full")
        return await super().settle(settlements)


def test_a_full_disk_refuses_messages_keeps_settlements_and_recovers_without_a_restart() -> None:
    async def story() -> None:
        store = Failing()
        script = Script(lambda request: (1, OK))
        async with running(script, store=store, hook=callback("http://a.example/{seqNumber}")) as engine:
            await engine.take([uplink(1)])
            store.full = True
            with pytest.raises(StoreFull):
                await engine.take([uplink(2)])
            await asyncio.sleep(5)
            assert await states(engine) == [State.PENDING]
            store.full = False
            await asyncio.sleep(1)
            assert await states(engine) == [State.DELIVERED]
            await engine.take([uplink(2)])
            await until_idle(engine)
            assert engine.worker.held == 0

        assert [path for _, path in script.sent] == ["a.example/1", "a.example/2"]
        assert engine.events.counters.store_failures > 0

    run(story())


def test_an_idle_engine_asks_the_store_nothing() -> None:
    class Counting(MemoryStore):
        asked = 0

        async def next_claim_at(self) -> datetime | None:
            self.asked += 1
            return await super().next_claim_at()

    async def story() -> None:
        store = Counting()
        async with running(Script(), store=store, hook=callback("http://a.example/")) as engine:
            await engine.take([uplink(1)])
            await asyncio.sleep(300)
            before = store.asked
            await asyncio.sleep(3600)

            assert store.asked == before

    run(story())


def test_a_watcher_sees_every_settlement_until_the_engine_stops() -> None:
    async def story() -> None:
        seen = []
        async with running(Script(), hook=callback("http://a.example/")) as engine:

            async def watch() -> None:
                async for event in engine.events.subscribe():
                    assert isinstance(event, Settlement)
                    seen.append(event.lease.delivery.id.message)

            watching = asyncio.create_task(watch())
            await asyncio.sleep(0)
            taken = await engine.take([uplink(1), uplink(2)])
            await asyncio.sleep(1)
        await watching

        assert sorted(seen) == sorted(t.message.id for t in taken)

    run(story())
