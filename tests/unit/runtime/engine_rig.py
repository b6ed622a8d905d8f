"""An engine in virtual time, over the reference store and a channel that plays a script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Sendable, State, Unreachable
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.breaker import BreakerPolicy
from reconciler.runtime.engine import Engine
from reconciler.runtime.lanes import Capacity
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.virtual_time import VirtualLoop

__all__ = ["DOWN", "OK", "TIME", "Script", "amendments", "callback", "running", "states", "until_idle", "uplink"]

OK = Accepted(200)
DOWN = Unreachable("connection-refused", "Nobody listens there.")
TIME = 1_700_000_000
Answer = Callable[[HttpRequest], tuple[float, Outcome]]


def at_once(request: HttpRequest) -> tuple[float, Outcome]:
    return 0.001, OK


@dataclass
class Script:
    """Answers after the scripted time with the scripted outcome, and remembers when it was asked what."""

    answer: Answer = at_once
    sent: list[tuple[float, str]] = field(default_factory=list)
    requests: list[HttpRequest] = field(default_factory=list)
    at_work: dict[str, int] = field(default_factory=dict)
    busiest: dict[str, int] = field(default_factory=dict)

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        assert isinstance(request, HttpRequest)
        endpoint = request.endpoint
        self.sent.append((asyncio.get_running_loop().time(), f"{request.host}{request.target}"))
        self.requests.append(request)
        self.at_work[endpoint] = self.at_work.get(endpoint, 0) + 1
        self.busiest[endpoint] = max(self.busiest.get(endpoint, 0), self.at_work[endpoint])
        try:
            seconds, outcome = self.answer(request)
            if seconds >= timeout.total_seconds():
                await asyncio.sleep(timeout.total_seconds())
                return Unreachable("deadline", "No answer within 10 s.")
            await asyncio.sleep(seconds)
            return outcome
        finally:
            self.at_work[endpoint] -= 1

    async def close(self) -> None:
        """Nothing is open."""


def callback(url: str, **more: str | bool) -> Content:
    return {"type": "data/uplink", "channel": "url", "method": "GET", "url": url, **more}


def amendments(device_type: Content | None = None, **callbacks: Content) -> list[Amendment]:
    """What creates the device type `tracker` and these callbacks of it."""
    created = [Amendment("create", Key("tracker"), None, define(Key("tracker"), device_type or {}))]
    for name, content in callbacks.items():
        key = Key("tracker", name)
        created.append(Amendment("create", key, None, define(key, content)))
    return created


def uplink(number: int, *, at: datetime | None = None, **more: object) -> Message:
    """Message `number` of a device, as the door reads it; received now, unless told when."""
    if at is None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        at = loop.now()
    fields = {"device": "1C178", "deviceType": "tracker", "time": TIME, "seqNumber": number, **more}
    message = read_message(fields, received_at=at)
    assert isinstance(message, Message), message
    return message


@asynccontextmanager
async def running(
    script: Script,
    *,
    store: MemoryStore | None = None,
    capacity: Capacity | None = None,
    device_type: Mapping[str, Any] | None = None,
    clock_ahead: Callable[[], timedelta] = timedelta,
    breaker: BreakerPolicy | None = None,
    hooks: Mapping[str, Content] = MappingProxyType({}),
    **callbacks: Content,
) -> AsyncIterator[Engine]:
    """A running engine; `clock_ahead` is how far its wall clock is ahead of virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    engine = Engine(
        store=store or MemoryStore(),
        channel=script,
        now=lambda: loop.now() + clock_ahead(),
        dice=lambda: 0.0,
        breaker=breaker,
        capacity=capacity,
    )
    await engine.start()
    callbacks.update(hooks)
    if callbacks:
        published = await engine.publish(
            amendments(device_type, **callbacks),
            owner="test",
            expect=0,
            publication=Publication(at=loop.now(), by="test"),
        )
        assert isinstance(published, Revision), published
    try:
        yield engine
    finally:
        await engine.stop()


async def states(engine: Engine) -> list[State]:
    """Of all deliveries, by id."""
    records = await engine.store.deliveries(DeliveryFilter(), limit=1000)
    return [record.delivery.state for record in reversed(records)]


async def until_idle(engine: Engine) -> None:
    """Wait until nothing is pending."""
    while (await engine.store.counts())[State.PENDING]:
        await asyncio.sleep(1)
