"""Values for tests: valid, deterministic, and different only where a test says so."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from reconciler.codec.canonical import define, revision_digest
from reconciler.codec.message import message_id
from reconciler.grammar.escape import Context
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Rendered, Secret
from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.definition import Content, Definition
from reconciler.model.delivery import (
    Accepted,
    Attempt,
    Batch,
    BatchLine,
    Delivery,
    DeliveryId,
    HttpRequest,
    Lease,
    Mail,
    Outcome,
    Request,
    Settlement,
    Step,
)
from reconciler.model.downlink import LISTENING, Downlink, DownlinkState, InfoCode, Replies
from reconciler.model.message import Message, MessageType
from reconciler.model.plan import Change, Plan
from reconciler.model.resource import Key, Method
from reconciler.model.revision import EMPTY, Owned, Publication, Revision
from reconciler.model.snapshot import Fingerprint
from reconciler.store.protocol import FIRST_TOKEN, Arrival

__all__ = [
    "NOW",
    "TELEMETRY",
    "TOKEN",
    "a_batch",
    "a_definition",
    "a_delivery",
    "a_downlink",
    "a_lease",
    "a_line",
    "a_mail",
    "a_message",
    "a_plan",
    "a_request",
    "a_revision",
    "a_settlement",
    "an_alarm",
    "an_arrival",
    "an_attempt",
]

NOW = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
TELEMETRY = Key("tracker", "telemetry")
TOKEN = Secret("INGEST_TOKEN", Context.HEADER)


def a_message(
    number: int = 1,
    *,
    kind: MessageType = MessageType.DATA,
    device: str = "1C178",
    time: int = 1_700_000_000,
    data: bytes = bytes.fromhex("e80332c0"),
    received_at: datetime = NOW,
    station: str = "0AF0",
    metadata: Mapping[str, Value] | None = None,
) -> Message:
    """Message `number` (its sequence number) of a device; uplinks that differ in their station alone are receptions.

    Those of other types have no payload and, unless they are given, no metadata.
    """
    if kind is not MessageType.DATA:
        data, metadata = b"", metadata or {}
    metadata = {"rssi": -121.5, "station": station} if metadata is None else metadata
    heard_by = metadata.get("station")
    return Message(
        id=message_id(
            kind,
            device,
            time,
            sequence_number=number,
            station=heard_by if isinstance(heard_by, str) else None,
            data=data,
        ),
        type=kind,
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


def a_line(*, host: str = "ingest.example.com", line: Rendered = "1C178%3B7") -> BatchLine:
    """A line of the batches of one callback, with a secret behind the lines."""
    return BatchLine(
        method=Method.POST,
        scheme="https",
        host=host,
        port=443,
        path="/batch",
        before="lines=",
        after=("&key=", Secret("INGEST_KEY", Context.QUERY)),
        credentials=None,
        send_sni=True,
        line=line,
    )


def a_mail(recipient: str = "ada@example.com") -> Mail:
    """One e-mail, of two that a callback sends."""
    return Mail(
        id="6553f100.0",
        recipient=recipient,
        recipients=("ada@example.com", "bob@example.com"),
        subject="1C178: door open",
        text="The door of 1C178 is open.\nžluťoučký kůň",
    )


def a_delivery(
    message: Message | None = None,
    ordinal: int = 0,
    *,
    callback: Key = TELEMETRY,
    revision: int = 3,
    host: str = "ingest.example.com",
    request: Request | None = None,
    warnings: tuple[str, ...] = (),
    due_at: datetime = NOW,
    asks: bool = False,
    ordered: bool = False,
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
        asks=asks,
        ordered=ordered,
    )


def an_alarm(
    subject: str = "1C178",
    *,
    kind: AlarmKind = AlarmKind.SILENCE,
    device: str = "1C178",
    device_type: str = "tracker",
    due_at: datetime = NOW,
) -> Alarm:
    """A promise about a device, due now."""
    return Alarm(kind, subject, device, device_type, due_at)


def a_downlink(
    message: Message | None = None,
    *,
    state: DownlinkState = DownlinkState.ASKED,
    data: bytes | None = None,
    code: InfoCode = InfoCode.PENDING,
    asked_at: datetime = NOW,
) -> Downlink:
    """The request that a message is."""
    message = message or a_message()
    return Downlink(
        message=message.id,
        device=message.device,
        device_type=message.device_type,
        asked_at=asked_at,
        expires_at=asked_at + LISTENING,
        state=state,
        data=data,
        code=code,
    )


def an_arrival(
    message: Message | None = None,
    *,
    revision: int = 3,
    held: Sequence[Delivery] = (),
    queued: Sequence[Delivery] = (),
    again: Sequence[Delivery] = (),
    alarms: Sequence[Alarm] = (),
    downlink: Downlink | None = None,
    reported: InfoCode | None = None,
    ends: Alarm | None = None,
    unless_heard_after: str | None = None,
) -> Arrival:
    """A message as the router hands it over."""
    return Arrival(
        message or a_message(),
        revision,
        tuple(held),
        tuple(queued),
        tuple(again),
        tuple(alarms),
        downlink,
        reported,
        ends,
        unless_heard_after,
    )


def a_lease(delivery: Delivery, *, token: int = FIRST_TOKEN, expires_at: datetime | None = None) -> Lease:
    """The right to attempt a delivery; by default that of the engine which accepted it."""
    return Lease(delivery, token, expires_at or NOW + timedelta(minutes=2))


def a_batch(lines: Sequence[Lease], *, request: HttpRequest | None = None, asks: bool = False) -> Batch:
    """Leased lines and the request that will carry them."""
    return Batch(tuple(lines), request or a_request(target="/batch?lines=1C178%3B7%0A1C178%3B8"), asks)


def an_attempt(
    number: int = 1,
    outcome: Outcome | None = None,
    *,
    started_at: datetime = NOW,
    duration: timedelta = timedelta(milliseconds=12, microseconds=345),
) -> Attempt:
    """One try; it succeeded unless an outcome is given."""
    return Attempt(number, started_at, duration, outcome or Accepted(200, b'{"ok":true}'))


def a_settlement(
    lease: Lease,
    step: Step,
    outcome: Outcome | None = None,
    *,
    replies: Replies | None = None,
    started_at: datetime = NOW,
) -> Settlement:
    """The next attempt under a lease, and what follows from it."""
    attempt = an_attempt(lease.delivery.attempts + 1, outcome, started_at=started_at)
    return Settlement(lease, attempt, step, replies)


def a_definition(key: Key = TELEMETRY, content: Content | None = None) -> Definition:
    """A definition, its digest computed."""
    return define(key, content or {"type": "data/uplink", "url": "https://ingest.example.com/uplink/{device}"})


def a_plan(*changes: Change) -> Plan:
    """A plan of these changes in one stage; its digest is only a word."""
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(3, ""), (changes,) if changes else (), "d1")


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
