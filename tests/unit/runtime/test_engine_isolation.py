"""What endpoints do to one another, and what an outage does to its own: the whole engine in virtual time."""

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from reconciler.model.definition import Content
from reconciler.model.delivery import HttpRequest, Refused, State
from reconciler.runtime.breaker import BreakerPolicy, Standing
from reconciler.runtime.engine import Engine
from reconciler.runtime.lanes import Capacity
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.unit.runtime.engine_rig import DOWN, OK, Script, callback, running, states, until_idle, uplink
from tests.virtual_time import run

HOOK = callback("http://a.example/{seqNumber}")
ENDPOINT = "http://a.example:80"
# As the real one, in less time: an outage of ten seconds is long here.
QUICK = BreakerPolicy(
    streak=20, lasting=timedelta(seconds=10), parks=(timedelta(seconds=20), timedelta(seconds=40)), floor=2.0
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def send(engine: Engine, *, until: float, each: float, first: int = 0) -> int:
    """A message each so many seconds; the number of the next."""
    while now() < until:
        await engine.take([uplink(first)])
        first += 1
        await asyncio.sleep(each)
    return first


def in_each_second(script: Script, *, since: float) -> dict[int, int]:
    return Counter(int(at) for at, _ in script.sent if at >= since)


# Endpoints among one another


@pytest.mark.parametrize("hanging", [1, 20])
def test_endpoints_that_hang_to_the_deadline_do_not_slow_the_others(hanging: int) -> None:
    async def story() -> None:
        hosts = [f"h{number}.example" for number in range(100)]
        script = Script(lambda request: (99, OK) if request.host in hosts[:hanging] else (0.01, OK))
        callbacks = {f"to-{host[:-8]}": callback(f"http://{host}/{{seqNumber}}") for host in hosts}
        async with running(script, hooks=callbacks) as engine:
            for number in range(300):  # ten a second for each of a hundred: more than the hanging ones ever take
                await engine.take([uplink(number)])
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.1)
            in_time = [path for at, path in script.sent if not path.startswith(tuple(hosts[:hanging])) and at < 30.1]
            late = [
                (at, path)
                for at, path in script.sent
                if path.split("/")[0] not in hosts[:hanging] and at - int(path.split("/")[1]) / 10 > 0.001
            ]

            assert len(in_time) == 300 * (100 - hanging)
            assert late == []
            assert engine.worker.in_flight <= Capacity().flights

    run(story())


def test_attempts_in_flight_are_bounded_over_all_endpoints_and_leave_some_for_each() -> None:
    async def story() -> None:
        capacity = Capacity(slots=16, flights=64)
        hosts = [f"h{number}.example" for number in range(40)]
        script = Script(lambda request: (0.01, OK) if request.host == "live.example" else (9, OK))
        callbacks = {f"to-{host[:-8]}": callback(f"http://{host}/{{seqNumber}}") for host in hosts}
        most = 0
        async with running(
            script, capacity=capacity, live=callback("http://live.example/{seqNumber}"), hooks=callbacks
        ) as engine:
            for number in range(40):
                await engine.take([uplink(number)])
                await asyncio.sleep(0.25)
                most = max(most, engine.worker.in_flight)
            assert sum(path.startswith("live") for _, path in script.sent) == 40
            await until_idle(engine)

        assert most <= 64
        assert len({path for _, path in script.sent}) == len(script.sent) == 41 * 40

    run(story())


def test_endpoints_that_hang_do_not_eat_up_the_memory() -> None:
    async def story() -> None:
        capacity = Capacity(slots=4, room_per_endpoint=100, room=200)
        script = Script(lambda request: (0.01, OK) if request.host == "live.example" else (9, OK))
        dead = {f"dead-{number}": callback(f"http://dead{number}.example/{{seqNumber}}") for number in range(5)}
        async with running(
            script, capacity=capacity, live=callback("http://live.example/{seqNumber}"), hooks=dead
        ) as engine:
            for number in range(200):
                await engine.take([uplink(number)])
                await asyncio.sleep(0.1)
                assert engine.worker.held <= 200
            late = [at - int(path[13:]) / 10 for at, path in script.sent if path.startswith("live")]

            assert len(late) == 200
            assert max(late) < 0.001

    run(story())


@pytest.mark.parametrize("what", ["retries", "replays"])
def test_first_attempts_never_wait_behind_what_was_tried_before(what: str) -> None:
    async def story() -> None:
        capacity = Capacity(slots=8, flights=200, room_per_endpoint=40, room=80)
        slow = False
        script = Script(lambda request: (9, Refused(404)) if slow else (0.01, Refused(404)))
        async with running(script, capacity=capacity, hook=HOOK) as engine:
            await engine.take([uplink(number) for number in range(200)])
            if what == "replays":
                await until_idle(engine)
                await engine.replay_where(DeliveryFilter(state=State.UNDELIVERED), limit=200)
            else:
                await asyncio.sleep(60)
            slow = True
            await asyncio.sleep(30)
            assert engine.worker.in_flight == capacity.retry_slots
            start = now()
            for number in range(1000, 1020):
                await engine.take([uplink(number)])
                await asyncio.sleep(9.1)
            late = [at - start - 9.1 * (int(path[10:]) - 1000) for at, path in script.sent if len(path) == 14]
            in_time = [each for each in late if abs(each) < 0.001]

            assert len(in_time) == 20

    run(story())


# An outage


def test_what_is_documented_stays_as_it_is_for_few_deliveries_and_for_short_outages() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.001, DOWN if now() < 59 else OK))
        async with running(script, hook=HOOK) as engine:
            await engine.take([uplink(number) for number in range(500)])
            await asyncio.sleep(0.5)
            assert engine.worker.endpoints == {ENDPOINT: Standing.OPEN}
            await until_idle(engine)
        assert len(script.sent) == 1000
        assert all(at < 1 or 60 <= at < 61 for at, _ in script.sent)

        script = Script(lambda request: (0.001, DOWN))
        async with running(script, hook=HOOK) as engine:
            start = now()
            await engine.take([uplink(number) for number in range(24)])
            await until_idle(engine)
        assert Counter(round((at - start) / 60) for at, _ in script.sent) == {0: 24, 1: 24, 3: 24, 7: 24}

    run(story())


def test_a_parked_endpoint_costs_no_tries_no_slots_and_no_memory_but_one_probe_at_a_time() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.001, DOWN))
        async with running(script, breaker=QUICK, hook=HOOK) as engine:
            await send(engine, until=30, each=0.5)
            assert engine.worker.endpoints == {ENDPOINT: Standing.PARKED}
            before = len(script.sent)
            await send(engine, until=600, each=0.5, first=1000)
            assert engine.worker.held == 0
            probes = [at for at, _ in script.sent[before:]]
            counts = await engine.store.counts()
            records = await engine.store.deliveries(DeliveryFilter(), limit=5000)

        assert [round(later - sooner) for sooner, later in pairwise(probes)] == [40] * (len(probes) - 1)
        assert len(probes) == 15
        assert counts[State.UNDELIVERED] <= len(probes)
        assert sum(len(record.attempts) for record in records) == len(script.sent)
        untried = [r for r in records if r.delivery.state is State.PENDING and not r.attempts]
        assert len(untried) >= 1140

    run(story())


def test_the_probe_is_the_oldest_due_delivery() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.001, DOWN))
        async with running(script, breaker=QUICK, hook=HOOK) as engine:
            await send(engine, until=25, each=0.5)
            before = len(script.sent)
            records = await engine.store.deliveries(DeliveryFilter(state=State.PENDING), limit=5000)
            oldest = min(records, key=lambda record: (record.delivery.due_at, record.delivery.id))
            while len(script.sent) == before:
                await asyncio.sleep(1)
            request = oldest.delivery.request
            assert isinstance(request, HttpRequest)
            assert script.sent[before][1] == f"a.example{request.target}"

    run(story())


@pytest.mark.parametrize("each", [2.0, 0.2])
def test_after_a_long_outage_the_receiver_never_gets_more_than_one_fifth_above_its_normal_load(each: float) -> None:
    async def story() -> None:
        script = Script(lambda request: (0.01, DOWN if 60 <= now() < 240 else OK))
        async with running(script, breaker=QUICK, hook=HOOK) as engine:
            last = await send(engine, until=1500, each=each)
            await until_idle(engine)
            counts = await engine.store.counts()

        normal = 1 / each
        parked_at = 60 + 20  # long enough to be noticed, at either load
        busiest = max(in_each_second(script, since=parked_at).values())
        assert busiest <= max(1.2 * normal, QUICK.floor) + 1
        assert (
            counts[State.UNDELIVERED] <= 10
        )  # those whose last try was a probe, or fell before the outage was noticed
        assert counts[State.DELIVERED] >= last - 10

    run(story())


def test_what_keeps_its_order_counts_as_load_too() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.01, DOWN if now() < 15 else OK))
        hook = callback("http://a.example/{seqNumber}", ordered=True)
        async with running(script, breaker=QUICK, hook=hook) as engine:
            number = 0
            while now() < 110:
                await engine.take([uplink(number, device=f"{number:X}")])
                number += 1
                await asyncio.sleep(0.05)
            in_last_seconds = in_each_second(script, since=105)

        # Twenty a second is what messages ask for; the floor alone would be 2.
        assert min(in_last_seconds[second] for second in range(105, 109)) >= 15

    run(story())


def test_a_short_outage_after_a_recovery_parks_again_and_longer() -> None:
    async def story() -> None:
        script = Script(lambda request: (0.01, DOWN if now() < 35 or 60 <= now() < 300 else OK))
        async with running(script, breaker=QUICK, hook=HOOK) as engine:
            stood: list[Standing] = []
            for second in range(700):
                await engine.take([uplink(second)])
                await asyncio.sleep(1)
                standing = engine.worker.endpoints[ENDPOINT]
                if stood[-1:] != [standing]:
                    stood.append(standing)

        parked = [Standing.PARKED, Standing.RECOVERING]
        assert stood == [Standing.OPEN, *parked, *parked, Standing.OPEN]

    run(story())


def test_a_restart_neither_forgets_that_nobody_was_there_nor_uses_tries_to_find_out() -> None:
    async def story() -> None:
        store = MemoryStore()
        script = Script(lambda request: (0.001, DOWN if now() < 300 else OK))
        async with running(script, store=store, breaker=QUICK, hook=HOOK) as engine:
            await send(engine, until=100, each=0.5)
        before = len(script.sent)
        async with running(script, store=store, breaker=QUICK) as engine:
            assert engine.worker.endpoints == {ENDPOINT: Standing.PROBING}
            await asyncio.sleep(99)
            assert len(script.sent) - before == 3
            await until_idle(engine)
        assert (await states(engine)).count(State.UNDELIVERED) <= 3
        assert max(in_each_second(script, since=before).values()) <= QUICK.floor + 1

    run(story())


def test_a_restart_catches_up_at_the_load_that_what_waits_tells_of() -> None:
    async def story() -> None:
        store = MemoryStore()
        script = Script(lambda request: (0.001, DOWN if now() < 100 else OK))
        async with running(script, store=store, breaker=QUICK, hook=HOOK) as engine:
            await send(engine, until=99, each=0.05)
        async with running(script, store=store, breaker=QUICK) as engine:
            await asyncio.sleep(110)
            found = in_each_second(script, since=190)
        # About twenty a second came; the floor alone would be 2.
        assert 15 <= found[200] <= 24

    run(story())


def test_an_endpoint_that_has_much_waiting_but_not_for_long_is_not_suspected() -> None:
    async def story() -> None:
        store = MemoryStore()
        script = Script(lambda request: (5, OK))
        async with running(script, store=store, breaker=QUICK, hook=HOOK) as engine:
            await engine.take([uplink(number) for number in range(500)])
            await asyncio.sleep(1)
        async with running(script, store=store, breaker=QUICK) as engine:
            await asyncio.sleep(0.1)
            assert engine.worker.endpoints == {ENDPOINT: Standing.OPEN}

    run(story())


def test_each_change_is_logged_once_and_a_delivery_that_waits_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="reconciler.engine")

    async def story() -> None:
        script = Script(lambda request: (0.001, DOWN if now() < 50 else OK))
        async with running(script, breaker=QUICK, hook=HOOK) as engine:
            assert engine.worker.why_waiting(ENDPOINT) is None
            await send(engine, until=25, each=0.5)
            why = engine.worker.why_waiting(ENDPOINT)
            assert why is not None
            assert why.startswith(f"Nobody answers at {ENDPOINT}: what is for it is kept and uses no tries. In 5 sec")
            while engine.worker.endpoints != {ENDPOINT: Standing.RECOVERING}:
                await asyncio.sleep(1)
            assert "answers again" in (engine.worker.why_waiting(ENDPOINT) or "")
            await until_idle(engine)
            await send(engine, until=400, each=1, first=1000)
            assert engine.worker.why_waiting(ENDPOINT) is None

    run(story())
    changes = [record.message for record in caplog.records if record.message.startswith("endpoint.")]
    assert changes == [
        "endpoint.parked",
        "endpoint.probing",
        "endpoint.parked",
        "endpoint.probing",
        "endpoint.recovering",
        "endpoint.open",
    ]


def test_lines_of_a_batch_are_parked_like_any_delivery_and_lost_never() -> None:
    async def story() -> None:
        lines: Content = {
            "type": "data/uplink",
            "channel": "batch-url",
            "url": "http://a.example/?lines={batch}",
            "linePattern": "{seqNumber}",
        }
        script = Script(lambda request: (0.001, DOWN if now() < 200 else OK))
        policy = BreakerPolicy(streak=20, lasting=timedelta(seconds=10), parks=(timedelta(seconds=20),))
        async with running(script, breaker=policy, hook=lines) as engine:
            await send(engine, until=150, each=0.5)
            assert engine.worker.endpoints == {ENDPOINT: Standing.PARKED}
            assert engine.worker.held == 0
            await until_idle(engine)
            assert engine.worker.held == 0
        found = Counter(await states(engine))
        assert found[State.UNDELIVERED] <= 60  # lines of batches that were tried before, and of probes
        assert found[State.DELIVERED] + found[State.UNDELIVERED] == 300

    run(story())


@pytest.mark.parametrize("stops_at", [15.0, 32.0, 80.0])
def test_a_stop_while_an_endpoint_is_parked_or_recovers_gives_everything_back(stops_at: float) -> None:
    async def story() -> None:
        store = MemoryStore()
        script = Script(lambda request: (0.5, DOWN if now() < 40 else OK))
        async with running(script, store=store, breaker=QUICK, hook=HOOK) as engine:
            await send(engine, until=stops_at, each=0.2)
        assert engine.worker.held == 0
        assert engine.worker.in_flight == 0
        async with running(script, store=store, breaker=QUICK) as engine:
            await until_idle(engine)
        assert (await states(engine)).count(State.UNDELIVERED) <= 3

    run(story())


# The clock


@pytest.mark.parametrize("step", [timedelta(hours=1), -timedelta(hours=1)])
@pytest.mark.parametrize("stepped_at", [0.25, 20, 60.3])
def test_retries_keep_their_schedule_when_the_clock_is_set(step: timedelta, stepped_at: float) -> None:
    async def story() -> None:
        script = Script(lambda request: (0.5, Refused(500)))
        async with running(
            script, clock_ahead=lambda: step if now() >= stepped_at else timedelta(), hook=HOOK
        ) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)

        assert [at for at, _ in script.sent] == pytest.approx([0, 60.5, 181.0, 421.5])

    run(story())


@pytest.mark.parametrize("step", [timedelta(hours=1), -timedelta(hours=1)])
def test_leases_in_memory_outlive_a_clock_that_is_set_and_nothing_is_sent_twice(step: timedelta) -> None:
    async def story() -> None:
        script = Script(lambda request: (9, OK))
        capacity = Capacity(slots=4, lease=timedelta(seconds=40))
        async with running(
            script, capacity=capacity, clock_ahead=lambda: step if now() >= 15 else timedelta(), hook=HOOK
        ) as engine:
            await engine.take([uplink(number) for number in range(60)])
            await until_idle(engine)
            assert engine.worker.held == 0
            assert now() < 60 / 3 * 9 + 40

        assert len({path for _, path in script.sent}) == len(script.sent) == 60

    run(story())
