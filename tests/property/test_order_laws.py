"""The law of order: whatever fails, stops, dies or runs beside it, no delivery is attempted before those of its series.

Engines run in virtual time over one reference store; `tests/property/test_store_laws.py` holds the SQLite store to it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Sendable, State, Unreachable
from reconciler.model.revision import Publication, Revision
from reconciler.runtime.engine import Engine
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.unit.runtime.engine_rig import amendments, callback, uplink
from tests.virtual_time import VirtualLoop, run

DEVICES = ("1C178", "89C3")
CALLBACKS = {
    "a": callback("http://a.example/{device}/{seqNumber}", ordered=True),
    "b": callback("http://b.example/{device}/{seqNumber}", ordered=True),
}
Series = tuple[str, str]

ENDED = {State.DELIVERED, State.UNDELIVERED}


@dataclass
class World:
    """Far ends that fail by script, and what they were asked; judged while it happens."""

    store: MemoryStore
    failures: Mapping[tuple[str, str, int], int]
    begun: dict[Series, list[int]] = field(default_factory=dict)
    at_work: dict[Series, int] = field(default_factory=dict)

    async def attempt(self, request: HttpRequest, *, timeout: timedelta, dead: asyncio.Event) -> Outcome:
        _, device, number = str(request.target).split("/")
        series, place = (request.host, device), int(number)
        begun = self.begun.setdefault(series, [])
        if not begun or begun[-1] != place:
            assert place not in begun, "one that has ended is attempted again"
            assert self.at_work.get(series, 0) == 0, "two of a series are in flight"
            begun.append(place)
        failed = self.failures.get((request.host, device, place), 0)
        attempts = sum(1 for _ in await self._attempts(request))
        self.at_work[series] = self.at_work.get(series, 0) + 1
        await asyncio.sleep(0.5)
        if dead.is_set():  # nobody will ever know
            self.at_work[series] -= 1
            await asyncio.Event().wait()
        self.at_work[series] -= 1
        return Accepted(200) if attempts >= failed else Unreachable("connection-refused", "Nobody listens there.")

    async def _attempts(self, request: HttpRequest) -> list[object]:
        for record in await self.store.deliveries(DeliveryFilter(), limit=1_000):
            if record.delivery.request == request:
                return list(record.attempts)
        raise AssertionError("attempted, and not kept")


class Mortal:
    """A store and a channel as an engine sees them, until it is killed: then every call hangs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.dead = asyncio.Event()

    def __getattr__(self, verb: str) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            if self.dead.is_set():
                await asyncio.Event().wait()
            return await getattr(self._world.store, verb)(*given, **named)

        return call

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        assert isinstance(request, HttpRequest)
        if self.dead.is_set():
            await asyncio.Event().wait()
        return await self._world.attempt(request, timeout=timeout, dead=self.dead)


async def an_engine(world: World) -> tuple[Engine, Mortal]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    mortal = Mortal(world)
    engine = Engine(store=mortal, channel=mortal, now=loop.now, dice=lambda: 0.0)
    await engine.start()
    return engine, mortal


messages = st.tuples(st.sampled_from(DEVICES), st.integers(0, 2))  # whose, and which of two engines takes it
events = st.one_of(
    st.lists(messages, min_size=1, max_size=4),
    st.integers(0, 90),  # seconds that pass
    st.sampled_from(["restart", "kill"]),
)


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(events, max_size=12),
    failing=st.dictionaries(
        st.tuples(st.sampled_from(["a.example", "b.example"]), st.sampled_from(DEVICES), st.integers(1, 12)),
        st.integers(1, 5),
        max_size=8,
    ),
)
def test_no_delivery_is_attempted_before_those_of_its_series(
    story: list[Any], failing: dict[tuple[str, str, int], int]
) -> None:
    async def play() -> None:
        world = World(MemoryStore(), failing)
        accepted: dict[str, list[int]] = {device: [] for device in DEVICES}
        (first, mortal), (second, _) = await an_engine(world), await an_engine(world)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        published = await first.publish(
            amendments(**CALLBACKS), owner="test", expect=0, publication=Publication(at=loop.now(), by="test")
        )
        assert isinstance(published, Revision)
        await second.stop()
        second, _ = await an_engine(world)  # which knows of the revision
        for event in story:
            if isinstance(event, int):
                await asyncio.sleep(event)
            elif isinstance(event, list):
                for device, which in event:
                    number = len(accepted[device]) + 1
                    accepted[device].append(number)
                    await (second if which else first).take([uplink(number, device=device)])
            else:
                if event == "kill":
                    mortal.dead.set()
                else:
                    await first.stop()
                first, mortal = await an_engine(world)
        await asyncio.sleep(12 * 8 * 60)  # as long as twelve that fail one after the other, and leases that expire
        records = await world.store.deliveries(DeliveryFilter(), limit=1_000)
        assert all(record.delivery.state in ENDED for record in records)
        for device, numbers in accepted.items():
            for host in ("a.example", "b.example"):
                assert world.begun.get((host, device), []) == numbers
                given_up = {n for n in numbers if failing.get((host, device, n), 0) > 3}
                assert given_up == {
                    int(str(r.delivery.request.target).rpartition("/")[2])
                    for r in records
                    if r.delivery.state is State.UNDELIVERED
                    and isinstance(r.delivery.request, HttpRequest)
                    and (r.delivery.request.host, str(r.delivery.request.target).split("/")[1]) == (host, device)
                }
        await first.stop()
        await second.stop()

    run(play())
