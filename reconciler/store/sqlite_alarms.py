"""Alarms in the SQLite store, and what they are about: when a device was heard last.

1. What a group does to alarms is put together first, and then written by few statements (`AlarmChanges`).
2. Finding what is due, and when, are seeks in the index of due times, however many alarms stand.
3. The last message of a device is looked for from the newest segment backwards (`migrations/0001_initial.sql`): a seek
   for every 4,096 messages that came after it.
4. The clock's steps are kept beside the number of messages that had been kept: a message's time is corrected by the
   steps after it.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from reconciler.model.alarm import Alarm
from reconciler.store.protocol import Heard
from reconciler.store.sqlite_motion import SILENCE, AlarmRow, alarm_from
from reconciler.store.sqlite_rows import HEARD_TYPES, MESSAGE, message_from
from reconciler.store.sqlite_statements import as_json, insert, json_rows
from reconciler.store.sqlite_values import device_number, duration

__all__ = [
    "AlarmChanges",
    "EndAlarms",
    "MoveAlarms",
    "alarms_due",
    "clock_stepped",
    "end_alarms",
    "hasten_silences",
    "heard_since",
    "last_heard",
    "move_alarms",
    "next_alarm_at",
]


@dataclass(slots=True)
class MoveAlarms:
    """Give alarms that stand their new due times."""

    alarms: Sequence[AlarmRow]


@dataclass(slots=True)
class EndAlarms:
    """Take away alarms that stand."""

    alarms: Sequence[AlarmRow]


_SET: Final = "INSERT OR IGNORE INTO alarms"

# One kind after the other: of a pair (kind, subject) in a list the planner would seek the kind alone.
_END: Final = "DELETE FROM alarms WHERE kind = :kind AND subject IN (SELECT value FROM json_each(:subjects))"

_MOVE: Final = """
UPDATE alarms SET due_at = moved.due_at
FROM (
    SELECT json_extract(value, '$[0]') AS kind, json_extract(value, '$[1]') AS subject,
        json_extract(value, '$[2]') AS due_at
    FROM json_each(?)
) AS moved
WHERE alarms.kind = moved.kind AND alarms.subject = moved.subject
"""

_HASTEN: Final = f"""
UPDATE alarms SET due_at = :by WHERE kind = {SILENCE} AND device_type = :device_type AND due_at > :by
"""

_DUE: Final = """
SELECT json_group_array(json_array(kind, subject, device, device_type, due_at))
FROM (
    SELECT * FROM alarms INDEXED BY alarms_due WHERE due_at <= :now ORDER BY due_at, kind, subject LIMIT :limit
)
"""

_NEXT_AT: Final = """
SELECT min(due_at) FROM (
    SELECT (SELECT min(due_at) FROM alarms) AS due_at
    UNION ALL
    SELECT (SELECT min(expires_at) FROM downlinks INDEXED BY downlinks_waiting WHERE state < 2 AND state = 0)
    UNION ALL
    SELECT (SELECT min(expires_at) FROM downlinks INDEXED BY downlinks_waiting WHERE state < 2 AND state = 1)
)
"""


class AlarmChanges:
    """What a group does to alarms, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._set: dict[tuple[int, str], AlarmRow] = {}
        self._ended: set[tuple[int, str]] = set()

    def set(self, alarm: AlarmRow) -> None:
        """One that stands already stays as it is."""
        self._set.setdefault(alarm[:2], alarm)

    def end(self, alarm: AlarmRow) -> None:
        """One that does not stand need not."""
        self._set.pop(alarm[:2], None)
        self._ended.add(alarm[:2])

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, and forget it."""
        _end(connection, self._ended)
        insert(connection, _SET, list(self._set.values()))
        self._set, self._ended = {}, set()


def move_alarms(connection: sqlite3.Connection, operations: Sequence[MoveAlarms]) -> None:
    """Of several times for one alarm the last counts."""
    moved = {alarm[:2]: alarm.due_at for operation in operations for alarm in operation.alarms}
    connection.execute(_MOVE, (as_json([(*told_by, due_at) for told_by, due_at in moved.items()]),))


def end_alarms(connection: sqlite3.Connection, operations: Sequence[EndAlarms]) -> None:
    """Take away what any of the operations names."""
    _end(connection, (alarm[:2] for operation in operations for alarm in operation.alarms))


def _end(connection: sqlite3.Connection, told_by: Iterable[tuple[int, str]]) -> None:
    subjects: dict[int, list[str]] = {}
    for kind, subject in told_by:
        subjects.setdefault(kind, []).append(subject)
    for kind, of_kind in subjects.items():
        connection.execute(_END, {"kind": kind, "subjects": as_json(of_kind)})


def hasten_silences(connection: sqlite3.Connection, *, device_type: str, by: int) -> None:
    """Make those of a device type due by then. Looks at every SILENCE alarm; to move 100,000 takes 0.15 s."""
    connection.execute(_HASTEN, {"device_type": device_type, "by": by})


def alarms_due(connection: sqlite3.Connection, now: int, limit: int) -> Sequence[Alarm]:
    """What is due, the earliest first."""
    return [alarm_from(row) for row in json_rows(connection, _DUE, {"now": now, "limit": limit})]


def next_alarm_at(connection: sqlite3.Connection) -> int | None:
    """When something is due or expires, in microseconds since the epoch."""
    (due_at,) = connection.execute(_NEXT_AT).fetchone()
    return None if due_at is None else int(due_at)


# Who was heard

_HEARD: Final = f"type IN ({','.join(map(str, sorted(HEARD_TYPES)))})"

_LAST_HEARD: Final = f"""
WITH RECURSIVE looked (segment, message) AS (
    SELECT segment, (
        SELECT key FROM messages WHERE key >= segment << 12 AND device = :device AND {_HEARD} ORDER BY key DESC LIMIT 1
    )
    FROM (SELECT coalesce(max(segment) + 1, 0) AS segment FROM segments)
    UNION ALL
    SELECT looked.segment - 1, (
        SELECT key FROM segments CROSS JOIN messages ON messages.key = segments.message AND {_HEARD}
        WHERE segments.segment = looked.segment - 1 AND segments.device = :device
        ORDER BY segments.message DESC
        LIMIT 1
    )
    FROM looked WHERE looked.message IS NULL AND looked.segment > (SELECT coalesce(min(segment), 0) FROM segments)
)
SELECT json_array({MESSAGE}, (SELECT coalesce(sum(step), 0) FROM clock_steps WHERE message >= messages.key))
FROM looked CROSS JOIN messages ON messages.key = looked.message
"""

# From the message of each on: the complete segments, then those messages that are in none.
_HEARD_SINCE: Final = f"""
WITH RECURSIVE
asked (place, device, known) AS MATERIALIZED (
    SELECT given.key, given.value, coalesce(messages.key, 0)
    FROM json_each(:devices) AS given
    LEFT JOIN messages ON messages.id = substr(:ids, 16 * given.key + 1, 16)
),
complete (beyond) AS MATERIALIZED (SELECT coalesce(max(segment) + 1, 0) FROM segments),
looked (place, device, known, segment, found) AS (
    SELECT place, device, known, max(known >> 12, (SELECT coalesce(min(segment), 0) FROM segments)), 0 FROM asked
    UNION ALL
    SELECT place, device, known, segment + 1, EXISTS (
        SELECT 1 FROM segments CROSS JOIN messages ON messages.key = segments.message AND {_HEARD}
        WHERE segments.segment = looked.segment AND segments.device = looked.device AND segments.message > looked.known
    )
    FROM looked WHERE NOT found AND segment < (SELECT beyond FROM complete)
)
SELECT json_group_array(place) FROM (
    SELECT place FROM looked WHERE found
    UNION
    SELECT asked.place
    FROM messages CROSS JOIN asked ON asked.device = messages.device AND asked.known < messages.key
    WHERE messages.key >= (SELECT beyond << 12 FROM complete) AND {_HEARD}
        AND messages.device IN (SELECT device FROM asked)
)
"""

_STEP: Final = """
INSERT INTO clock_steps SELECT coalesce(max(key), 0), :by FROM messages WHERE true
ON CONFLICT (message) DO UPDATE SET step = step + excluded.step
"""


def last_heard(connection: sqlite3.Connection, device: str) -> Heard | None:
    """The last message that the device transmitted, and when by today's clock."""
    found = connection.execute(_LAST_HEARD, {"device": device_number(device)}).fetchone()
    if found is None:
        return None
    row, step = orjson.loads(found[0])
    message = message_from(row)
    return Heard(message, message.received_at + duration(step))


def heard_since(connection: sqlite3.Connection, asked: Sequence[tuple[int, bytes]]) -> set[tuple[int, bytes]]:
    """Which of these devices transmitted something after that message of theirs."""
    given = {"ids": b"".join(known for _, known in asked), "devices": as_json([device for device, _ in asked])}
    (places,) = connection.execute(_HEARD_SINCE, given).fetchone()
    return {asked[place] for place in orjson.loads(places)}


_MOVE_DELIVERIES: Final = """
UPDATE deliveries SET due_at = due_at + :by, leased_until = leased_until + :by
WHERE key IN (SELECT key FROM deliveries INDEXED BY deliveries_pending WHERE state = 0)
"""


def clock_stepped(connection: sqlite3.Connection, *, by: int) -> None:
    """Move everything that waits for a time along; 100,000 alarms in 0.2 s, as many deliveries in 0.5 s."""
    connection.execute(_STEP, {"by": by})
    connection.execute(_MOVE_DELIVERIES, {"by": by})
    connection.execute("UPDATE alarms SET due_at = due_at + ?", (by,))
    connection.execute("UPDATE downlinks SET expires_at = expires_at + ? WHERE state < 3", (by,))
