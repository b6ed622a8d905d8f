"""Model values → the JSON of the engine's doors.

Names are camelCase, times ISO 8601 in UTC with milliseconds, keys `device-type/callback`. Secrets appear as
`${secret.NAME}`; a password that stands in a URL in clear is not shown either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from reconciler.grammar.template import Rendered, redact
from reconciler.model.definition import JsonValue
from reconciler.model.delivery import (
    LIFECYCLE,
    Accepted,
    Attempt,
    Delivery,
    HttpRequest,
    Refused,
    RetryAt,
    Settlement,
    State,
    Unreachable,
)
from reconciler.model.message import Message
from reconciler.model.revision import HistoryEntry, Publication, Revision
from reconciler.runtime.engine import Explained
from reconciler.store.protocol import DeliveryRecord

__all__ = [
    "delivery_json",
    "explained_json",
    "history_json",
    "message_json",
    "revision_json",
    "settlement_json",
    "timestamp",
]

JsonObject = Mapping[str, JsonValue]

# Enough of a receiver's answer to see what it complains about; the channel keeps up to 64 KiB.
_EXCERPT_BYTES = 4_096
_DEFAULT_PORTS = {"http": 80, "https": 443}


def timestamp(when: datetime) -> str:
    """`2026-11-23T14:19:18.123Z`."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def message_json(message: Message) -> JsonObject:
    """A message, with the fields it was sent with."""
    return {
        "id": message.id,
        "device": message.device,
        "deviceType": message.device_type,
        "time": message.time,
        "seqNumber": message.sequence_number,
        "data": message.data.hex(),
        "receivedAt": timestamp(message.received_at),
        **message.metadata,
    }


def delivery_json(record: DeliveryRecord) -> JsonObject:
    """A delivery, with every attempt."""
    return _delivery_json(record.delivery, record.attempts)


def settlement_json(settlement: Settlement) -> JsonObject:
    """A delivery as the attempt leaves it, with that attempt alone."""
    delivery, step = settlement.lease.delivery, settlement.step
    after = replace(
        delivery,
        due_at=step.when if isinstance(step, RetryAt) else delivery.due_at,
        state=LIFECYCLE[delivery.state, step.kind],
        attempts=settlement.attempt.number,
        tries=delivery.tries + 1,
    )
    return _delivery_json(after, (settlement.attempt,))


def explained_json(explained: Explained) -> JsonObject:
    """What happened to a message, callback by callback."""
    deliveries = {record.delivery.id: record for record in explained.record.deliveries}
    callbacks: list[JsonObject] = []
    for match in explained.explanation.matches:
        record = None if match.delivery is None else deliveries.get(match.delivery)
        callbacks.append(
            {
                "callback": str(match.callback),
                "matched": match.matched,
                "reason": match.reason,
                "decoded": None if match.decoded is None else match.decoded.values,
                "missing": () if match.decoded is None else match.decoded.missing,
                "delivery": None if record is None else delivery_json(record),
            }
        )
    return {
        "message": message_json(explained.record.message),
        "revision": explained.record.revision,
        "unknownDeviceType": not explained.explanation.device_type_known,
        "callbacks": callbacks,
    }


def history_json(entry: HistoryEntry) -> JsonObject:
    """A revision's line in the history."""
    return {
        "number": entry.number,
        "digest": entry.digest,
        **_publication_json(entry.publication),
        "changes": [{"kind": kind, "key": str(key)} for kind, key in entry.changes],
    }


def revision_json(revision: Revision) -> JsonObject:
    """A revision with the digests and owners of what it holds."""
    return {
        "number": revision.number,
        "digest": revision.digest,
        **_publication_json(revision.publication),
        "definitions": {
            str(key): {"digest": owned.definition.digest, "owner": owned.owner} for key, owned in revision.owned.items()
        },
    }


def _publication_json(publication: Publication) -> JsonObject:
    return {
        "publishedAt": None if publication.at is None else timestamp(publication.at),
        "publishedBy": publication.by,
        "commit": publication.commit,
        "note": publication.note,
    }


def _delivery_json(delivery: Delivery, attempts: Sequence[Attempt]) -> JsonObject:
    return {
        "id": str(delivery.id),
        "messageId": delivery.id.message,
        "callback": str(delivery.callback),
        "revision": delivery.revision,
        "state": delivery.state,
        "endpoint": delivery.endpoint,
        "attempts": delivery.attempts,
        "tries": delivery.tries,
        "dueAt": timestamp(delivery.due_at) if delivery.state is State.PENDING else None,
        "warnings": delivery.warnings,
        "request": _request_json(delivery.request),
        "log": [_attempt_json(attempt) for attempt in attempts],
    }


def _request_json(request: HttpRequest) -> JsonObject:
    host = f"[{request.host}]" if ":" in request.host else request.host
    authority = host if request.port == _DEFAULT_PORTS.get(request.scheme) else f"{host}:{request.port}"
    headers = {name: redact(value) for name, value in request.headers}
    if request.credentials is not None:
        headers["Authorization"] = f"Basic {_without_password(request.credentials)}"
    return {
        "method": request.method,
        "url": f"{request.scheme}://{authority}{redact(request.target)}",
        "headers": headers,
        "body": None if request.body is None else redact(request.body),
        "sendSni": request.send_sni,
    }


def _without_password(credentials: Rendered) -> str:
    """`login:***` for what stands in clear; references to secrets hide nothing and are shown."""
    if isinstance(credentials, str):
        return f"{credentials.partition(':')[0]}:***"
    return redact(credentials)


def _attempt_json(attempt: Attempt) -> JsonObject:
    status: int | None = None
    reason: str | None = None
    detail: str | None = None
    body = b""
    match attempt.outcome:
        case Accepted() | Refused():
            status, body = attempt.outcome.status, attempt.outcome.body
        case Unreachable():
            reason, detail = attempt.outcome.reason, attempt.outcome.detail
        case _:
            assert_never(attempt.outcome)
    return {
        "number": attempt.number,
        "startedAt": timestamp(attempt.started_at),
        "durationMs": round(attempt.duration.total_seconds() * 1000, 3),
        "outcome": attempt.outcome.kind,
        "status": status,
        "reason": reason,
        "detail": detail,
        "body": body[:_EXCERPT_BYTES].decode("utf-8", "replace") if body else None,
    }
