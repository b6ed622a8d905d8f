"""Model values → the JSON of the engine's doors.

1. Names are camelCase, times ISO 8601 in UTC with milliseconds, keys `device-type/callback`.
2. Secrets do not appear (`runtime.request_form`).
3. What can be of several kinds says so in `kind`, and its other members depend on it.
4. A message has the fields with which it can be sent again; objects and arrays among them are JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

import orjson

from reconciler.codec.message_fields import SHAPES
from reconciler.grammar.escape import Json
from reconciler.grammar.payload import Value
from reconciler.model.definition import JsonValue
from reconciler.model.delivery import (
    LIFECYCLE,
    Accepted,
    Attempt,
    Delivery,
    DeliveryId,
    Refused,
    RetryAt,
    Settlement,
    State,
    Unreachable,
)
from reconciler.model.downlink import INFO_MESSAGES, Downlink, InfoCode
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication, Revision
from reconciler.model.snapshot import SecretState
from reconciler.runtime.engine import Explained
from reconciler.runtime.request_form import request_json
from reconciler.store.protocol import DeliveryRecord

__all__ = [
    "JsonObject",
    "delivery_json",
    "downlink_json",
    "explained_json",
    "history_json",
    "message_json",
    "revision_json",
    "secrets_json",
    "settlement_json",
    "timestamp",
]

JsonObject = Mapping[str, JsonValue]
WhyWaiting = Callable[[str], str | None]

# Enough of a receiver's answer to see what it complains about; the channel keeps up to 64 KiB.
_EXCERPT_BYTES = 4_096


def _nothing_known(endpoint: str) -> None:
    """Nothing is known of any endpoint."""


def timestamp(when: datetime) -> str:
    """`2026-11-23T14:19:18.123Z`."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def message_json(message: Message) -> JsonObject:
    """A message, with the fields it was sent with; `data` is there for types that have a payload."""
    return {
        "id": message.id,
        "type": message.type,
        "device": message.device,
        "deviceType": message.device_type,
        "time": message.time,
        "seqNumber": message.sequence_number,
        **({"data": message.data.hex()} if "data" in SHAPES[message.type].names else {}),
        "receivedAt": timestamp(message.received_at),
        **{name: _shown(given) for name, given in message.metadata.items()},
    }


def _shown(given: Value) -> JsonValue:
    return orjson.loads(given.encode()) if isinstance(given, Json) else given


def delivery_json(record: DeliveryRecord, *, why: WhyWaiting = _nothing_known) -> JsonObject:
    """A delivery, with every attempt; `why` says of an endpoint why what is for it waits."""
    return _delivery_json(record.delivery, record.attempts, why, record.waits_for)


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
    return _delivery_json(after, (settlement.attempt,), _nothing_known)


def explained_json(explained: Explained, *, why: WhyWaiting = _nothing_known) -> JsonObject:
    """What happened to a message, callback by callback; `receptions` are those by other stations.

    `why` says of an endpoint why what is for it waits.
    """
    message = explained.record.message
    deliveries = {record.delivery.id: record for record in explained.record.deliveries}
    return {
        "message": message_json(message),
        "receptions": [_reception_json(each) for each in explained.record.receptions if each.id != message.id],
        "downlink": None if explained.record.downlink is None else downlink_json(explained.record.downlink),
        "revision": explained.record.revision,
        "unknownDeviceType": not explained.explanation.device_type_known,
        "callbacks": [
            {
                "callback": str(match.callback),
                "matched": match.matched,
                "reason": match.reason,
                "decoded": None if match.decoded is None else match.decoded.values,
                "missing": () if match.decoded is None else match.decoded.missing,
                "deliveries": [
                    delivery_json(deliveries[id_], why=why) for id_ in match.deliveries if id_ in deliveries
                ],
            }
            for match in explained.explanation.matches
        ],
    }


def _reception_json(message: Message) -> JsonObject:
    """What tells a reception from the others of its message."""
    return {
        "id": message.id,
        **{name: message.metadata.get(name) for name in ("station", "rssi", "snr")},
        "receivedAt": timestamp(message.received_at),
    }


def downlink_json(downlink: Downlink) -> JsonObject:
    """What a device asked for and what became of it; no code before the result is known."""
    known = downlink.code is not InfoCode.PENDING
    return {
        "state": downlink.state,
        "infoCode": int(downlink.code) if known else None,
        "infoMessage": INFO_MESSAGES[downlink.code] if known else None,
        "data": None if downlink.data is None else downlink.data.hex(),
        "askedAt": timestamp(downlink.asked_at),
        "expiresAt": timestamp(downlink.expires_at),
    }


def history_json(entry: HistoryEntry) -> JsonObject:
    """A revision's line in the history; a move says where from."""
    return {
        "number": entry.number,
        "digest": entry.digest,
        "owner": entry.owner,
        **_publication_json(entry.publication),
        "changes": [_change_json(kind, key, entry.sources.get(key)) for kind, key in entry.changes],
    }


def _change_json(kind: str, key: Key, source: Key | None) -> JsonObject:
    return {"kind": kind, "key": str(key), **({} if source is None else {"from": str(source)})}


def revision_json(revision: Revision) -> JsonObject:
    """A revision with the digests and owners of what it holds."""
    return {
        "number": revision.number,
        "digest": revision.digest,
        "owner": revision.owner,
        **_publication_json(revision.publication),
        "definitions": {
            str(key): {"digest": owned.definition.digest, "owner": owned.owner} for key, owned in revision.owned.items()
        },
    }


def secrets_json(secrets: Mapping[str, SecretState]) -> JsonObject:
    """Fingerprints of secrets, as recorded and as of now, and the definitions that refer to each."""
    return {
        name: {
            "published": state.published,
            "current": state.current,
            "definitions": [str(key) for key in state.callbacks],
        }
        for name, state in secrets.items()
    }


def _publication_json(publication: Publication) -> JsonObject:
    return {
        "publishedAt": None if publication.at is None else timestamp(publication.at),
        "publishedBy": publication.by,
        "commit": publication.commit,
        "note": publication.note,
        "via": publication.via,
        "plan": publication.plan,
    }


def _delivery_json(
    delivery: Delivery, attempts: Sequence[Attempt], why: WhyWaiting, waits_for: DeliveryId | None = None
) -> JsonObject:
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
        "waits": why(delivery.endpoint) if delivery.state is State.PENDING else None,
        "warnings": delivery.warnings,
        "batch": None if delivery.batch is None else str(delivery.batch),
        "ordered": delivery.ordered,
        "waitsFor": None if waits_for is None else str(waits_for),
        "request": request_json(delivery.request),
        "log": [_attempt_json(attempt) for attempt in attempts],
    }


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
