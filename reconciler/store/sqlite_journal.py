"""What people ask the SQLite store, and what the engine asks without changing anything; in the reading thread.

1. Whatever can change is asked for in one statement, so that an answer is one moment.
2. Listing goes by descending id and stops when it has enough. It starts from what is undelivered, of the device, or
   pending, when that is asked for; a callback or endpoint alone is looked for among all deliveries, newest first. What
   is pending stands in no order of ids and is sorted for every page, a million in 0.3 s.
3. Joins are written in the order in which they run (`CROSS JOIN`, sqlite.org/optoverview.html#crossjoin): the planner
   has no statistics here, and could not know that a million rows belong to one endpoint.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from reconciler.model.delivery import DeliveryId, State
from reconciler.model.message import Message
from reconciler.store.protocol import MOST_COUNTED, DeliveryFilter, DeliveryRecord, EndpointBacklog, MessageRecord
from reconciler.store.sqlite_claims import WAITING
from reconciler.store.sqlite_motion import DOWNLINK, downlink_from
from reconciler.store.sqlite_rows import DELIVERY, MESSAGE, STATES, attempt_from, delivery_from, message_from
from reconciler.store.sqlite_statements import json_rows
from reconciler.store.sqlite_values import (
    EVENT_BYTES,
    JsonRow,
    device_number,
    event_bytes,
    id_bytes,
    last_of_event,
    moment,
    place_of,
)

__all__ = [
    "backlog",
    "counts",
    "deliveries",
    "delivery",
    "message",
    "messages_of",
    "names",
    "next_claim_at",
    "receptions",
]

_RECORDS: Final = f"""
SELECT json_group_array(json_array({DELIVERY}, json((
    SELECT json_group_array(json_array(number, started_at, duration, outcome)) FROM attempts
    WHERE attempts.delivery = deliveries.key
)), json((
    SELECT json_array(hex(before.id), first.key & 65535)
    FROM deliveries AS first INDEXED BY deliveries_in_series
    CROSS JOIN messages AS before ON before.key = first.key >> 16
    WHERE deliveries.state = {STATES.index(State.WAITING)} AND first.callback = deliveries.callback
        AND first.device = deliveries.device AND first.state IN (0, 4)
    ORDER BY first.key
    LIMIT 1
))))
FROM (%s) AS found
CROSS JOIN deliveries ON deliveries.key = found.key
CROSS JOIN messages ON messages.key = deliveries.key >> 16
CROSS JOIN names AS callbacks ON callbacks.id = deliveries.callback
CROSS JOIN names AS endpoints ON endpoints.id = deliveries.endpoint
"""

_OF_MESSAGE: Final = """
SELECT deliveries.key AS key
FROM messages CROSS JOIN deliveries ON deliveries.key BETWEEN messages.key << 16 AND messages.key << 16 | 65535
WHERE messages.id = :message
ORDER BY deliveries.key
"""

_RECEPTIONS: Final = f"""
SELECT json_group_array({MESSAGE}) FROM (
    SELECT * FROM messages WHERE id BETWEEN :event AND :last_of_event ORDER BY key
) AS messages
"""

_MESSAGE: Final = f"""
SELECT json_array(
    {MESSAGE}, messages.revision, json(({_RECORDS % _OF_MESSAGE})),
    json(({_RECEPTIONS})),
    json((SELECT {DOWNLINK} FROM downlinks WHERE downlinks.message = messages.key))
)
FROM messages WHERE messages.id = :message
"""

# The segments that are complete, then those messages that are in none.
_OF_DEVICE: Final = """
complete (segment) AS (
    SELECT segment FROM (SELECT min(segment) AS segment FROM segments) WHERE segment IS NOT NULL
    UNION ALL
    SELECT segment + 1 FROM complete WHERE segment < (SELECT max(segment) FROM segments)
),
of_device (message) AS (
    SELECT segments.message
    FROM complete CROSS JOIN segments ON segments.segment = complete.segment AND segments.device = :device
    UNION ALL
    SELECT key FROM messages
    WHERE key >= (SELECT coalesce(max(segment) + 1, 0) << 12 FROM segments) AND device = :device
)
"""

_LISTED_ALL: Final = """
SELECT deliveries.key AS key
FROM messages INDEXED BY messages_by_id
CROSS JOIN deliveries ON deliveries.key BETWEEN messages.key << 16 AND messages.key << 16 | 65535
"""

_LISTED_BY_DEVICE: Final = f"""
WITH RECURSIVE {_OF_DEVICE}
SELECT deliveries.key AS key
FROM of_device
CROSS JOIN messages ON messages.key = of_device.message
CROSS JOIN deliveries ON deliveries.key BETWEEN messages.key << 16 AND messages.key << 16 | 65535
"""

_LISTED_PENDING: Final = """
SELECT deliveries.key AS key
FROM deliveries INDEXED BY deliveries_pending
CROSS JOIN messages ON messages.key = deliveries.key >> 16
"""

# Lines are joined while what carries them is pending.
_LISTED_JOINED: Final = """
SELECT deliveries.key AS key
FROM deliveries AS carrier INDEXED BY deliveries_pending
CROSS JOIN deliveries INDEXED BY deliveries_batch ON deliveries.batch = carrier.key AND carrier.state = 0
CROSS JOIN messages ON messages.key = deliveries.key >> 16
"""

_LISTED_WAITING: Final = """
SELECT deliveries.key AS key
FROM deliveries INDEXED BY deliveries_in_series
CROSS JOIN messages ON messages.key = deliveries.key >> 16 AND deliveries.device IS NOT NULL
    AND deliveries.state IN (0, 4)
"""

_LISTED_UNDELIVERED: Final = """
SELECT deliveries.key AS key
FROM undelivered
CROSS JOIN messages ON messages.id = undelivered.message
CROSS JOIN deliveries ON deliveries.key = messages.key << 16 | undelivered.ordinal
"""

_MESSAGES_OF: Final = f"""
WITH RECURSIVE {_OF_DEVICE}
SELECT json_group_array({MESSAGE}) FROM (
    SELECT messages.key
    FROM of_device CROSS JOIN messages ON messages.key = of_device.message
    ORDER BY messages.id DESC
    LIMIT :limit
) AS found CROSS JOIN messages ON messages.key = found.key
"""

_NEXT_CLAIM_AT: Final = f"""
WITH RECURSIVE {WAITING}
SELECT min(claimable_at) FROM (
    SELECT (
        SELECT min(due_at) FROM deliveries INDEXED BY deliveries_pending
        WHERE state = 0 AND endpoint = waiting.endpoint AND leased_until IS NULL
    ) AS claimable_at FROM waiting
    UNION ALL
    SELECT (
        SELECT min(max(due_at, leased_until)) FROM deliveries INDEXED BY deliveries_pending
        WHERE state = 0 AND endpoint = waiting.endpoint AND leased_until > 0
    ) FROM waiting
)
"""

_BACKLOG: Final = f"""
WITH RECURSIVE {WAITING}
SELECT json_group_array(json_array(names.text, pending, oldest))
FROM (
    SELECT endpoint, (
        SELECT count(*) FROM (
            SELECT 1 FROM deliveries INDEXED BY deliveries_pending
            WHERE state = 0 AND endpoint = waiting.endpoint
            LIMIT {MOST_COUNTED}
        )
    ) AS pending, (
        SELECT min(due_at) FROM (
            SELECT (
                SELECT min(due_at) FROM deliveries INDEXED BY deliveries_pending
                WHERE state = 0 AND endpoint = waiting.endpoint AND leased_until IS NULL
            ) AS due_at
            UNION ALL
            SELECT (
                SELECT min(due_at) FROM deliveries INDEXED BY deliveries_pending
                WHERE state = 0 AND endpoint = waiting.endpoint AND leased_until > 0
            )
        )
    ) AS oldest
    FROM waiting WHERE endpoint IS NOT NULL
) AS backlog CROSS JOIN names ON names.id = backlog.endpoint
"""
"""A seek for each endpoint, and a bounded number of steps: what is leased is no more than an engine has in memory."""


def message(connection: sqlite3.Connection, message_id: str) -> MessageRecord | None:
    """A message and what belongs to it; None when there is none of that id."""
    given = {"message": id_bytes(message_id), **_range(id_bytes(message_id)[:EVENT_BYTES])}
    row = connection.execute(_MESSAGE, given).fetchone()
    if row is None:
        return None
    text, revision, records, receptions, request = orjson.loads(row[0])
    return MessageRecord(
        message_from(text),
        revision,
        tuple(map(_record_from, records)),
        tuple(map(message_from, receptions)),
        None if request is None else downlink_from(request),
    )


def receptions(connection: sqlite3.Connection, event: str) -> Sequence[Message]:
    """The messages of an event, in the order of arrival."""
    return [message_from(row) for row in json_rows(connection, _RECEPTIONS, _range(event_bytes(event)))]


def messages_of(connection: sqlite3.Connection, device: str, limit: int) -> Sequence[Message]:
    """The newest messages of a device."""
    given = {"device": device_number(device), "limit": limit}
    return [message_from(row) for row in json_rows(connection, _MESSAGES_OF, given)]


def delivery(connection: sqlite3.Connection, delivery_id: DeliveryId) -> DeliveryRecord | None:
    """A delivery with its attempts; None when there is none of that id."""
    message_bytes, ordinal = place_of(delivery_id)
    given = {"message": message_bytes, "ordinal": ordinal}
    found = "SELECT key << 16 | :ordinal AS key FROM messages WHERE id = :message"
    return next(iter(_records(connection, found, given)), None)


def deliveries(
    connection: sqlite3.Connection, where: DeliveryFilter, limit: int, before: DeliveryId | None
) -> Sequence[DeliveryRecord]:
    """The newest deliveries that match and come before that id."""
    given: dict[str, Any] = {"limit": limit}
    conditions = []
    if where.state is not None:
        conditions.append(f"deliveries.state = {STATES.index(where.state)}")  # not bound, or no partial index would fit
    if where.callback is not None:
        conditions.append("deliveries.callback = (SELECT id FROM names WHERE text = :callback)")
        given["callback"] = str(where.callback)
    if where.endpoint is not None:
        conditions.append("deliveries.endpoint = (SELECT id FROM names WHERE text = :endpoint)")
        given["endpoint"] = where.endpoint
    if where.device is not None:
        conditions.append("messages.device = :device")
        given["device"] = device_number(where.device)
    if before is not None:
        conditions.append("messages.id <= :message")
        conditions.append("(messages.id < :message OR deliveries.key & 65535 < :ordinal)")
        given["message"], given["ordinal"] = place_of(before)
    source, newest_first = _source(where)
    found = f"{source} WHERE {' AND '.join(conditions) or 'true'} ORDER BY {newest_first} LIMIT :limit"
    return _records(connection, found, given)


def _source(where: DeliveryFilter) -> tuple[str, str]:
    """Where to look, starting from the smallest set that holds all that match; and the order of that set."""
    if where.state is State.UNDELIVERED:
        return _LISTED_UNDELIVERED, "undelivered.message DESC, undelivered.ordinal DESC"
    by_id = "messages.id DESC, deliveries.key DESC"
    if where.device is not None:
        return _LISTED_BY_DEVICE, by_id
    if where.state is State.PENDING:
        return _LISTED_PENDING, by_id
    if where.state is State.JOINED:
        return _LISTED_JOINED, by_id
    if where.state is State.WAITING:
        return _LISTED_WAITING, by_id
    return _LISTED_ALL, by_id


def counts(connection: sqlite3.Connection) -> Mapping[State, int]:
    """How many deliveries stand in each state."""
    return {STATES[state]: number for state, number in connection.execute("SELECT state, deliveries FROM tally")}


def backlog(connection: sqlite3.Connection) -> Sequence[EndpointBacklog]:
    """What waits for each endpoint, by endpoint."""
    rows = json_rows(connection, _BACKLOG, {})
    waiting = [EndpointBacklog(endpoint, pending, moment(oldest)) for endpoint, pending, oldest in rows]
    return sorted(waiting, key=lambda each: each.endpoint)


def next_claim_at(connection: sqlite3.Connection) -> int | None:
    """When something can be claimed, in microseconds since the epoch."""
    (claimable_at,) = connection.execute(_NEXT_CLAIM_AT).fetchone()
    return None if claimable_at is None else int(claimable_at)


def names(connection: sqlite3.Connection) -> dict[str, int]:
    """Every name and its number."""
    return dict(connection.execute("SELECT text, id FROM names"))


def _range(event: bytes) -> dict[str, bytes]:
    """Between which ids the messages of an event stand."""
    return {"event": event, "last_of_event": last_of_event(event)}


def _records(connection: sqlite3.Connection, found: str, given: Mapping[str, Any]) -> Sequence[DeliveryRecord]:
    return [_record_from(row) for row in json_rows(connection, _RECORDS % found, given)]


def _record_from(row: JsonRow) -> DeliveryRecord:
    delivery, attempts, first = row
    waits_for = None if first is None else DeliveryId(first[0].lower(), first[1])
    return DeliveryRecord(delivery_from(delivery), tuple(map(attempt_from, attempts)), waits_for)
