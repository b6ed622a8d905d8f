"""Values for tests: valid, deterministic, and different only where a test says so."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from reconciler.codec.canonical import define, revision_digest
from reconciler.codec.message import message_id
from reconciler.grammar.escape import Context
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Rendered, Secret
from reconciler.model.definition import Content, Definition
from reconciler.model.delivery import (
    Accepted,
    Attempt,
    Delivery,
    DeliveryId,
    HttpRequest,
    Lease,
    Outcome,
    Settlement,
    Step,
)
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import Key, Method
from reconciler.model.revision import EMPTY, Owned, Publication, Revision
from reconciler.store.protocol import FIRST_TOKEN, Arrival

__all__ = [
    "NOW",
    "TELEMETRY",
    "TOKEN",
    "a_definition",
    "a_delivery",
    "a_lease",
    "a_message",
    "a_request",
    "a_revision",
    "a_settlement",
    "an_arrival",
    "an_attempt",
]

NOW = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
TELEMETRY = Key("tracker", "telemetry")
TOKEN = Secret("INGEST_TOKEN", Context.HEADER)


def a_message(
    number: int = 1,
    *,
    device: str = "1C178",
    time: int = 1_700_000_000,
    data: bytes = bytes.fromhex("e80332c0"),
    received_at: datetime = NOW,
    metadata: Mapping[str, Value] | None = None,
) -> Message:
    """Message `number` (its sequence number) of a device."""
    metadata = {"rssi": -121.5, "station": "0AF0"} if metadata is None else metadata
    station = metadata.get("station")
    return Message(
        id=message_id(
            MessageType.DATA,
            device,
            time,
            sequence_number=number,
            station=station if isinstance(station, str) else None,
            data=data,
        ),
        type=MessageType.DATA,
        device=device,
        device_type="tracker",
        time=time,
        sequence_number=number,
        data=data,
        received_at=received_at,
        metadata=metadata,
    )


def a_request(
    *,
    host: str = "ingest.example.com",
    target: Rendered = "/uplink/1C178",
    headers: Sequence[tuple[str, Rendered]] = (("Authorization", ("Bearer ", TOKEN)),),
    credentials: Rendered | None = None,
    body: Rendered | None = '{"device":"1C178","t":1000,"seq":7}',
) -> HttpRequest:
    """A POST over TLS, with a secret in a header."""
    return HttpRequest(
        method=Method.POST if body is not None else Method.GET,
        scheme="https",
        host=host,
        port=443,
        target=target,
        headers=tuple(headers),
        credentials=credentials,
        body=body,
        send_sni=True,
    )


def a_delivery(
    message: Message | None = None,
    ordinal: int = 0,
    *,
    callback: Key = TELEMETRY,
    revision: int = 3,
    host: str = "ingest.example.com",
    request: HttpRequest | None = None,
    warnings: tuple[str, ...] = (),
    due_at: datetime = NOW,
) -> Delivery:
    """What one callback promised for a message: pending, never attempted."""
    request = request or a_request(host=host)
    return Delivery(
        id=DeliveryId((message or a_message()).id, ordinal),
        callback=callback,
        revision=revision,
        endpoint=request.endpoint,
        request=request,
        warnings=warnings,
        due_at=due_at,
    )


def an_arrival(
    message: Message | None = None,
    *,
    revision: int = 3,
    held: Sequence[Delivery] = (),
    queued: Sequence[Delivery] = (),
) -> Arrival:
    """A message as the router hands it over."""
    return Arrival(message or a_message(), revision, tuple(held), tuple(queued))


def a_lease(delivery: Delivery, *, token: int = FIRST_TOKEN, expires_at: datetime | None = None) -> Lease:
    """The right to attempt a delivery; by default that of the engine which accepted it."""
    return Lease(delivery, token, expires_at or NOW + timedelta(minutes=2))


def an_attempt(
    number: int = 1,
    outcome: Outcome | None = None,
    *,
    started_at: datetime = NOW,
    duration: timedelta = timedelta(milliseconds=12, microseconds=345),
) -> Attempt:
    """One try; it succeeded unless an outcome is given."""
    return Attempt(number, started_at, duration, outcome or Accepted(200, b'{"ok":true}'))


def a_settlement(lease: Lease, step: Step, outcome: Outcome | None = None) -> Settlement:
    """The next attempt under a lease, and what follows from it."""
    return Settlement(lease, an_attempt(lease.delivery.attempts + 1, outcome), step)


def a_definition(key: Key = TELEMETRY, content: Content | None = None) -> Definition:
    """A definition, its digest computed."""
    return define(key, content or {"type": "data/uplink", "url": "https://ingest.example.com/uplink/{device}"})


def a_revision(
    definitions: Sequence[Definition] = (),
    *,
    after: Revision = EMPTY,
    owner: str = "cold-chain",
    publication: Publication | None = None,
) -> Revision:
    """The revision that follows `after` and holds exactly these definitions."""
    owned = {definition.key: Owned(definition, owner) for definition in definitions}
    gone = [("delete", key) for key in after.owned if key not in owned]
    changed = [
        ("update" if key in after.owned else "create", key)
        for key, given in owned.items()
        if after.owned.get(key) != given
    ]
    return Revision(
        number=after.number + 1,
        digest=revision_digest(owned.items()),
        owned=owned,
        publication=publication or Publication(at=NOW, by="ci@example.com", commit="5b6bab4", note="widen the range"),
        changes=(*gone, *changed),
    )
