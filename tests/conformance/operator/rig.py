"""An engine between devices and receivers, for tests that read like the operator's documentation.

`live` has real HTTP between the engine and receivers on loopback, in real time; `simulated` has virtual time and a far
end that answers by script, so that minutes cost nothing. In both, definitions are published as contents that pass the
engine's own check, and messages come in as the JSON that the doors accept: nothing is built by hand.
"""

import asyncio
import functools
import inspect
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.diagnostics import Severity
from reconciler.grammar.template import Rendered, fill
from reconciler.model.definition import Content, check_callback, check_device_type
from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Sendable, Settlement, Unreachable
from reconciler.model.finding import Finding
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.channels.dispatch import Channels
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.mail_settings import MailSettings, Security
from reconciler.runtime.channels.tls import Tls
from reconciler.runtime.clock import utc_now
from reconciler.runtime.engine import Engine, Taken
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter, DeliveryRecord, Store
from tests.fakes import Received, Sink
from tests.mail_sink import MailSink
from tests.virtual_time import EPOCH, VirtualLoop

__all__ = [
    "DEVICE_TYPE",
    "EVENTS",
    "SENDER",
    "START",
    "TYPES",
    "Call",
    "Clock",
    "FarEnd",
    "Reply",
    "World",
    "a_callback",
    "an_event",
    "at",
    "findings_of",
    "in_virtual_time",
    "live",
    "minutes",
    "plain",
    "received",
    "simulated",
]

DEVICE_TYPE = "tracker"
DEVICE = "1C178"
TIME = 1_700_000_000
SENDER = "engine@sender.example"
SECRETS = {"TOKEN": "s3cr3t-t0k3n"}
PATIENCE = 10.0  # seconds until a test of sockets that hangs fails

TYPES = (
    "data/uplink",
    "data/bidir",
    "service/status",
    "service/geoloc",
    "service/acknowledge",
    "service/repeater",
    "service/data-advanced",
    "error",
)
"""The eight types of section 1."""

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "data": {"seqNumber": 7, "data": "e80332c0"},
    "status": {"seqNumber": 8, "batt": 3.61, "temp": 21.5},
    "geoloc": {"seqNumber": 9, "lat": 48.85837, "lng": 2.294481, "radius": 1500},
    "acknowledge": {"infoCode": 0, "infoMessage": "Acked", "downlinkAck": True, "downlinkOverusage": False},
    "repeater": {"batt": 3.1, "whitelistDevices": 2, "repeatedMsg": 5},
    "data-advanced": {"seqNumber": 10, "data": "e80332c0", "lqi": "GOOD"},
    "error": {"info": "No message received since 2013-10-08 15:36:21", "severity": "ERROR"},
}
"""One event of each kind, as a network reports it, but for the device, its type and the time."""


def a_callback(type: str = "data/uplink", url: str = "http://far.example/", **more: Any) -> Content:
    """What a user writes for a callback of channel url; a GET without further words."""
    content: dict[str, Any] = {"type": type, "channel": "url", "url": url, **more}
    if "body" not in content and "contentType" not in content:
        content.setdefault("method", "GET")
    return content


def findings_of(content: Content) -> tuple[Finding, ...]:
    """What the engine says to a callback before it is saved, errors only."""
    _, found = check_callback(Key(DEVICE_TYPE, "hook"), content)
    return tuple(each for each in found if each.severity is Severity.ERROR)


def an_event(kind: str = "data", **fields: Any) -> dict[str, Any]:
    """The JSON of an event as it comes in; None takes a field away."""
    event = {"type": kind, "deviceType": DEVICE_TYPE, "device": DEVICE, "time": TIME, **EVENTS[kind], **fields}
    return {name: value for name, value in event.items() if value is not None}


# Time


class Clock:
    """The engine's wall clock: that of the loop, and whatever somebody set it to."""

    def __init__(self, base: Callable[[], datetime]) -> None:
        self._base = base
        self._offset = timedelta()

    def __call__(self) -> datetime:
        return self._base() + self._offset

    def step(self, by: timedelta) -> None:
        """Set it forward, or back."""
        self._offset += by


def in_virtual_time(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function that runs in virtual time."""

    def test(**given: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(story(**given))

    functools.update_wrapper(test, story)
    vars(test)["__signature__"] = inspect.signature(story)
    del vars(test)["__wrapped__"]  # pytest would take it for a coroutine function
    return test


# The far end of simulated worlds


@dataclass(frozen=True, slots=True)
class Call:
    """One request that went out: when, in seconds since the start, and what it says, secrets filled in."""

    at: float
    request: Sendable

    @property
    def http(self) -> HttpRequest:
        assert isinstance(self.request, HttpRequest)
        return self.request

    @property
    def mail(self) -> Mail:
        assert isinstance(self.request, Mail)
        return self.request

    @property
    def target(self) -> str:
        """Path and query."""
        return plain(self.http.target)

    @property
    def body(self) -> str:
        assert self.http.body is not None
        return plain(self.http.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def plain(rendered: Rendered) -> str:
    """A rendered text with secrets filled in."""
    return fill(rendered, lambda name: f"value of {name}")


Reply: TypeAlias = "Outcome | tuple[float, Outcome]"
"""An outcome at once, or after so many seconds."""


def always_fine(call: Call) -> Reply:
    return Accepted(200)


@dataclass
class FarEnd:
    """All receivers at once; `answer` decides, `calls` remembers."""

    answer: Callable[[Call], Reply] = always_fine
    calls: list[Call] = field(default_factory=list)

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        call = Call(asyncio.get_running_loop().time(), request)
        self.calls.append(call)
        reply = self.answer(call)
        seconds, outcome = reply if isinstance(reply, tuple) else (0.0, reply)
        if seconds >= timeout.total_seconds():
            await asyncio.sleep(timeout.total_seconds())
            return Unreachable("deadline", "No answer in time.")
        await asyncio.sleep(seconds)
        return outcome

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def targets(self) -> list[str]:
        """Path and query of all calls, in order."""
        return [call.target for call in self.calls]


# Worlds


@dataclass
class World:
    """A running engine, and what devices and users do to it.

    Attributes:
        far: the far end of a simulated world.
        settlements: every attempt so far, in the order in which they became durable.
    """

    engine: Engine
    clock: Clock
    far: FarEnd = field(default_factory=FarEnd)
    settlements: list[Settlement] = field(default_factory=list)

    async def publish(self, device_type: Content | None = None, **callbacks: Content) -> None:
        """Create, or replace, the device type and these callbacks; every one has to pass the check."""
        contents = {Key(DEVICE_TYPE): device_type or {}}
        contents |= {Key(DEVICE_TYPE, name.replace("_", "-")): content for name, content in callbacks.items()}
        amendments = []
        for key, content in contents.items():
            resource, found = (check_callback if key.callback else check_device_type)(key, content)
            assert resource is not None, [f"{key} {each.code}: {each.detail}" for each in found]
            owned = self.engine.revision.owned.get(key)
            definition = define(key, content)
            if owned is None:
                amendments.append(Amendment("create", key, None, definition))
            elif owned.definition.digest != definition.digest:
                amendments.append(Amendment("update", key, owned.definition.digest, definition))
        published = await self.engine.publish(
            amendments,
            owner="test",
            expect=self.engine.revision.number,
            publication=Publication(at=self.clock(), by="test"),
        )
        assert isinstance(published, Revision), published

    async def take(self, kind: str = "data", **fields: Any) -> Taken:
        """An event comes in."""
        (taken,) = await self.take_all(an_event(kind, **fields))
        return taken

    async def take_all(self, *events: Mapping[str, Any]) -> Sequence[Taken]:
        """Events come in together."""
        messages = [read_message(event, received_at=self.clock()) for event in events]
        good = [message for message in messages if isinstance(message, Message)]
        assert len(good) == len(messages), messages
        return await self.engine.take(good)

    async def settled(self, count: int) -> list[Settlement]:
        """Wait until so many attempts were made."""
        async with asyncio.timeout(PATIENCE):
            while len(self.settlements) < count:
                await asyncio.sleep(0.001)
        return self.settlements

    async def deliveries(self, **where: Any) -> list[DeliveryRecord]:
        """What was promised so far, the oldest id first."""
        return list(reversed(await self.engine.store.deliveries(DeliveryFilter(**where), limit=1_000)))


@asynccontextmanager
async def running(engine: Engine, clock: Clock, far: FarEnd) -> AsyncIterator[World]:
    """Start the engine, stop it at the end; no bug of its tasks goes unnoticed."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    world = World(engine, clock, far)
    await engine.start()
    watching = asyncio.create_task(_watch(world))
    await asyncio.sleep(0)
    try:
        yield world
    finally:
        await engine.stop()
        await watching
        loop.set_exception_handler(None)
    assert complaints == []


async def _watch(world: World) -> None:
    async for event in world.engine.events.subscribe():
        assert isinstance(event, Settlement)
        world.settlements.append(event)


@asynccontextmanager
async def simulated(
    answer: Callable[[Call], Reply] = always_fine,
    *,
    device_type: Content | None = None,
    store: Store | None = None,
    **callbacks: Content,
) -> AsyncIterator[World]:
    """An engine in virtual time; `callbacks` are published, if there are any."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    clock, far = Clock(loop.now), FarEnd(answer)
    engine = Engine(store=store or MemoryStore(), channel=far, now=clock, dice=lambda: 0.0)
    async with running(engine, clock, far) as world:
        if callbacks or device_type:
            await world.publish(device_type, **callbacks)
        yield world


@asynccontextmanager
async def live(
    *,
    tls: Tls | None = None,
    store: Store | None = None,
    smtp: MailSink | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[World]:
    """An engine in real time that reaches every name at the loopback address, and mails through `smtp`."""
    http = HttpChannel(
        secrets=SECRETS.get,
        egress=EgressPolicy(allow_private=True),
        connections_per_endpoint=4,
        resolve=_loopback,
        tls=tls,
    )
    channels = Channels(http=http, mail=None if smtp is None else _mail_channel(smtp))
    clock = clock or Clock(utc_now)
    engine = Engine(store=store or MemoryStore(), channel=channels, now=clock, dice=lambda: 0.0)
    try:
        async with running(engine, clock, FarEnd()) as world:
            yield world
    finally:
        await channels.close()


def _mail_channel(smtp: MailSink) -> MailChannel:
    settings = MailSettings(host="127.0.0.1", port=smtp.port, security=Security.OFFERED, sender=SENDER)
    return MailChannel(settings, secrets=SECRETS.get, now=utc_now, tls=_mail_tls())


@functools.cache
def _mail_tls() -> Tls:
    return Tls(alpn=())


async def received(callback: Content, event: Mapping[str, Any], *, device_type: Content | None = None) -> Received:
    """The request that a receiver on loopback gets for an event; the callback is written for the host far.example."""
    async with Sink() as sink, live() as world:
        await world.publish(device_type, hook=at(sink, callback))
        await world.take_all(event)
        await world.settled(1)
        (request,) = sink.requests
        return request


def at(sink: Sink, content: Content) -> Content:
    """The callback with this receiver in the place of far.example."""
    url = content["url"]
    assert isinstance(url, str)
    assert "//far.example/" in url or "@far.example/" in url
    return {**content, "url": url.replace("far.example/", f"far.example:{sink.port}/")}


async def _loopback(host: str) -> Sequence[str]:
    return ("127.0.0.1",)


def minutes(number: float) -> timedelta:
    """So many minutes."""
    return timedelta(minutes=number)


START = int(EPOCH.timestamp())
"""When simulated worlds begin, in seconds since the Unix epoch."""
