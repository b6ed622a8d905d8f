"""An example in virtual time: its files are loaded as the command line does, an engine in this process executes them.

So a silence of a day costs a moment, and every arrival is known with the callback that it came from and with its time.
The far ends are played: every request is answered 204, or with what the example's `answers.json` has for its path.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.codec.message import read_message
from reconciler.config.load import load
from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Sendable, State
from reconciler.model.message import Message
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.channels.mail_wire import compose as compose_mail
from reconciler.runtime.channels.wire import Endpoint, Filling, compose, fixed_lines
from reconciler.runtime.engine import Engine
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.journeys.arrivals import Arrival, downlink_text, mail_text, request_text
from tests.virtual_time import EPOCH, VirtualLoop

__all__ = ["lines_of", "rehearse"]


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The objects of an NDJSON file; none when there is no such file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class _FarEnds:
    """Every receiver that an example has."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers

    async def send(self, request: Sendable, *, timeout: timedelta) -> Outcome:
        if isinstance(request, HttpRequest) and isinstance(request.target, str):
            path = urlsplit(request.target).path
            if path in self._answers:
                return Accepted(200, json.dumps(self._answers[path]).encode())
        return Accepted(204)

    async def close(self) -> None:
        """Nothing is open."""


async def rehearse(project: Path, *, secrets: Mapping[str, str], sender: str) -> list[Arrival]:
    """Everything that arrives, by moment, message and callback, until nothing can come any more."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    answers = project / "answers.json"
    far_ends = _FarEnds(json.loads(answers.read_text()) if answers.exists() else {})
    store = MemoryStore()
    engine = Engine(store=store, channel=far_ends, now=loop.now, dice=lambda: 0.0)
    await engine.start()
    try:
        await _publish(engine, project)
        messages = [_message(each) for each in lines_of(project / "messages.ndjson")]
        taken = await engine.take(messages)
        assert all(each.routed and not each.repeated for each in taken), taken
        asked_by = {message.id: message for message in messages}
        handed = [each async for each in _network_side(engine, asked_by, lines_of(project / "results.ndjson"))]
        while (await store.counts())[State.PENDING] or await store.next_alarm_at() is not None:
            await asyncio.sleep(60)
    finally:
        await engine.stop()
    sent = [each async for each in _sent(store, secrets=secrets, sender=sender)]
    order = {message.id: number for number, message in enumerate(messages)}
    return [each.arrival for each in sorted([*sent, *handed], key=lambda each: each.place(order))]


@dataclass(frozen=True, slots=True)
class _Known:
    """An arrival, and what it came from: a message, and the how-manieth of it."""

    arrival: Arrival
    message: str
    ordinal: int

    def place(self, order: Mapping[str, int]) -> tuple[int, int, str, int]:
        """By whole seconds, then as the messages were sent; those that the engine made itself come last."""
        seconds = round(self.arrival.after.total_seconds())
        return seconds, order.get(self.message, len(order)), self.message, self.ordinal


async def _publish(engine: Engine, project: Path) -> None:
    assert load(project, environ={}).diagnostics == (), "nothing is wrong in any environment"
    loaded = load(project, environ={}, environment="dev")
    assert loaded.diagnostics == ()
    assert loaded.desired is not None
    amendments = [Amendment("create", key, None, each) for key, each in loaded.desired.definitions.items()]
    publication = Publication(at=engine.now(), by="rehearsal")
    published = await engine.publish(amendments, owner=project.name, expect=0, publication=publication)
    assert isinstance(published, Revision), published


def _message(fields: Mapping[str, object]) -> Message:
    message = read_message(fields, received_at=EPOCH)
    assert isinstance(message, Message), message
    return message


async def _network_side(
    engine: Engine, asked_by: Mapping[str, Message], results: list[dict[str, Any]]
) -> AsyncIterator[_Known]:
    """Fetch downlinks, and report what became of each, until all results are told."""
    awaited = {result["device"]: result for result in results}
    while awaited:
        downlinks = await engine.serve_downlinks(limit=100, wait=timedelta(minutes=1))
        assert downlinks, f"nothing to transmit to {awaited}"
        for downlink in downlinks:
            assert downlink.data is not None
            asked = asked_by[downlink.message]
            fields = {
                "message": downlink.message,
                "device": downlink.device,
                "deviceType": downlink.device_type,
                "data": downlink.data.hex(),
                "time": asked.time,
                "seqNumber": asked.sequence_number,
                "station": asked.metadata.get("station"),
            }
            arrival = Arrival(engine.now() - EPOCH, "GET /v1/downlinks", "json", downlink_text(fields))
            yield _Known(arrival, downlink.message, 1)
            await engine.take([_message(awaited.pop(downlink.device))])


async def _sent(store: MemoryStore, *, secrets: Mapping[str, str], sender: str) -> AsyncIterator[_Known]:
    """What the journal says was sent: one arrival for each attempt, batches once."""
    for record in await store.deliveries(DeliveryFilter(), limit=10_000):
        delivery = record.delivery
        assert delivery.state is State.DELIVERED, record
        assert delivery.warnings == (), record
        if delivery.batch not in (None, delivery.id):
            continue
        match delivery.request:
            case HttpRequest():
                kind, text = "http", _request_text(delivery.request, secrets)
            case Mail():
                kind, text = "mail", _mail_text(delivery.request, secrets, sender)
            case _:
                raise AssertionError(f"{record} was delivered, and never joined a batch")
        for attempt in record.attempts:
            arrival = Arrival(attempt.started_at - EPOCH, str(delivery.callback), kind, text)
            yield _Known(arrival, delivery.id.message, delivery.id.ordinal)


def _request_text(request: HttpRequest, secrets: Mapping[str, str]) -> str:
    fixed = fixed_lines(Endpoint(request.scheme, request.host, request.port, request.send_sni), "rehearsal")
    assert isinstance(fixed, str)
    wire = compose(request, fixed=fixed, secret=Filling(secrets.get))
    assert isinstance(wire, bytes), wire
    head, _, body = wire.decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    pairs = [(name, value) for name, _, value in (header.partition(": ") for header in headers)]
    return request_text(request.method, line.split(" ")[1], pairs, body)


def _mail_text(mail: Mail, secrets: Mapping[str, str], sender: str) -> str:
    content = compose_mail(mail, sender=sender, sent_at=EPOCH, secret=Filling(secrets.get))
    assert isinstance(content, bytes), content
    return mail_text(sender, [mail.recipient], content)
