"""How the SQLite store lets go of what has ended, in steps that nobody has to wait for.

1. What can go is looked for in the reading thread, in the order of arrival, and looked at again where it is removed:
   a replay or another reception may have come between. That a device was heard later stays true, and is asked once.
   Steps of the clock since a message was kept belong to its age.
2. What is old stands together in every table, so that removing it empties whole pages.
3. Pages that are empty are used again first. Those beyond a reserve go back to the file system, a few in a transaction:
   the last of the file are moved into the gaps, and the next checkpoint cuts the file.
"""

import sqlite3
from typing import Final

import orjson

from reconciler.store.sqlite_alarms import heard_since
from reconciler.store.sqlite_file import INCREMENTAL
from reconciler.store.sqlite_motion import GATHERED, RESULT, SILENCE
from reconciler.store.sqlite_rows import HEARD_TYPES, JOINED, PENDING, UNDELIVERED, WAITING
from reconciler.store.sqlite_statements import as_json
from reconciler.store.sqlite_values import EVENT_BYTES, LAST_STATION

__all__ = ["ended", "give_back", "is_behind_a_gap", "remove", "size"]

_PAGES_AT_ONCE: Final = 64
_RESERVE: Final = 16
"""Of so many pages one may be empty: what is removed in a minute is written again in the next."""

_STEPS: Final = "(SELECT coalesce(sum(step), 0) FROM clock_steps WHERE clock_steps.message >= {messages}.key)"

_OVER: Final = f"""
NOT EXISTS (
    SELECT 1 FROM messages AS of_event
    WHERE of_event.id BETWEEN substr(old.id, 1, {EVENT_BYTES})
            AND CAST(substr(old.id, 1, {EVENT_BYTES}) || :last_station AS BLOB)
        AND (
            of_event.received_at + {_STEPS.format(messages="of_event")} >= :before
            OR EXISTS (
                SELECT 1 FROM deliveries
                WHERE deliveries.key BETWEEN of_event.key << 16 AND of_event.key << 16 | 65535
                    AND state IN ({PENDING}, {JOINED}, {WAITING})
            )
            OR EXISTS (SELECT 1 FROM downlinks WHERE downlinks.message = of_event.key AND downlinks.state IN (0, 1))
            OR EXISTS (SELECT 1 FROM alarms WHERE kind = {RESULT} AND subject = lower(hex(of_event.id)))
        )
)
AND NOT EXISTS (
    SELECT 1 FROM alarms WHERE kind = {GATHERED} AND subject = lower(hex(substr(old.id, 1, {EVENT_BYTES})))
)
"""

# A message of the device that is supervised is worth a closer look; most are not.
_ENDED: Final = f"""
WITH
looked AS MATERIALIZED (
    SELECT key, id, device, type, received_at + {_STEPS.format(messages="messages")} AS received_at
    FROM messages WHERE key > :after ORDER BY key LIMIT :limit
),
old AS MATERIALIZED (
    SELECT * FROM looked
    WHERE key < (SELECT max(key) FROM messages)
        AND key < coalesce((SELECT min(key) FROM looked WHERE received_at >= :before), key + 1)
)
SELECT
    (SELECT count(*) FROM old),
    (SELECT max(key) FROM old),
    (SELECT json_group_array(json_array(key, device, hex(id), type IN ({",".join(map(str, sorted(HEARD_TYPES)))})
        AND EXISTS (SELECT 1 FROM alarms WHERE kind = {SILENCE} AND subject = printf('%X', old.device))
    )) FROM old WHERE {_OVER})
"""

_LAST_UP_TO: Final = f"""
SELECT key, received_at + {_STEPS.format(messages="messages")} FROM messages WHERE key <= ? ORDER BY key DESC LIMIT 1
"""

_STILL: Final = f"""
SELECT json_group_array(old.key)
FROM json_each(:keys) AS given CROSS JOIN messages AS old ON old.key = given.value
WHERE {_OVER}
"""

_OF_KEYS: Final = """
FROM json_each(:keys) AS given
CROSS JOIN deliveries ON deliveries.key BETWEEN given.value << 16 AND given.value << 16 | 65535
"""

_STATES: Final = f"SELECT json_group_array(json_array(deliveries.key, state, batch IS deliveries.key)) {_OF_KEYS}"

_UNLIST: Final = """
DELETE FROM undelivered WHERE (message, ordinal) IN (
    SELECT messages.id, given.value & 65535
    FROM json_each(?) AS given CROSS JOIN messages ON messages.key = given.value >> 16
)
"""

_STAND_ALONE: Final = """
UPDATE deliveries INDEXED BY deliveries_batch SET batch = NULL WHERE batch IN (SELECT value FROM json_each(?))
"""

_UNSEGMENT: Final = """
DELETE FROM segments WHERE (segment, device, message) IN (
    SELECT messages.key >> 12, messages.device, messages.key
    FROM json_each(?) AS given CROSS JOIN messages ON messages.key = given.value
)
"""

_UNCOUNT: Final = "UPDATE tally SET deliveries = deliveries - ? WHERE state = ?"


def ended(connection: sqlite3.Connection, before: int, after: int, limit: int) -> tuple[list[int], int | None]:
    """The keys of messages that can go, among the next so many; and where to go on, None at the end."""
    given = {"before": before, "after": after, "limit": limit, "last_station": LAST_STATION}
    looked, last, found = connection.execute(_ENDED, given).fetchone()
    rows = orjson.loads(found)
    # Of a device only the last of these can be the last that was heard.
    newest = {device: bytes.fromhex(message) for _, device, message, watched in rows if watched}
    silent = set(newest.items()) - (heard_since(connection, list(newest.items())) if newest else set())
    keys = [key for key, device, message, _ in rows if (device, bytes.fromhex(message)) not in silent]
    return keys, last if looked == limit else None


def is_behind_a_gap(connection: sqlite3.Connection, before: int, gap: int) -> bool:
    """Whether none, or none within `gap` of the last that is older, was received then or later.

    Halves the order of arrival, which is that of time: 20 looks for a million messages. Only where the clock was set
    unnoticed may it find another place than `ended`. Of what is older there is something, or nobody asks.
    """
    (low, high) = connection.execute("SELECT min(key), max(key) FROM messages").fetchone()
    _, older = connection.execute(_LAST_UP_TO, (low,)).fetchone()
    _, younger = connection.execute(_LAST_UP_TO, (high,)).fetchone()
    if younger < before:
        return True
    while high - low > 1:
        middle = (low + high) // 2
        key, received_at = connection.execute(_LAST_UP_TO, (middle,)).fetchone()
        if received_at < before:
            low, older = middle, received_at
        else:
            high, younger = key, received_at
    return bool(younger - older > gap)


def remove(connection: sqlite3.Connection, keys: list[int], before: int) -> int:
    """Remove those of these messages that can go still; how many."""
    (found,) = connection.execute(
        _STILL, {"keys": as_json(keys), "before": before, "last_station": LAST_STATION}
    ).fetchone()
    if found == "[]":
        return 0
    (text,) = connection.execute(_STATES, {"keys": found}).fetchone()
    deliveries = orjson.loads(text)
    of_deliveries = as_json([key for key, _, _ in deliveries])
    connection.execute("DELETE FROM attempts WHERE delivery IN (SELECT value FROM json_each(?))", (of_deliveries,))
    if undelivered := [key for key, state, _ in deliveries if state == UNDELIVERED]:
        connection.execute(_UNLIST, (as_json(undelivered),))
    connection.execute("DELETE FROM deliveries WHERE key IN (SELECT value FROM json_each(?))", (of_deliveries,))
    if carriers := [key for key, _, carries in deliveries if carries]:
        connection.execute(_STAND_ALONE, (as_json(carriers),))
    states = [state for _, state, _ in deliveries]
    connection.executemany(_UNCOUNT, [(states.count(state), state) for state in set(states)])
    connection.execute("DELETE FROM downlinks WHERE message IN (SELECT value FROM json_each(?))", (found,))
    connection.execute(_UNSEGMENT, (found,))
    return connection.execute("DELETE FROM messages WHERE key IN (SELECT value FROM json_each(?))", (found,)).rowcount


def size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    pages, free, of_page = (_number(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * of_page


def give_back(connection: sqlite3.Connection) -> bool:
    """Cut some free pages off the file; whether more could be."""
    if _number(connection, "auto_vacuum") != INCREMENTAL:
        return False
    spare = _number(connection, "freelist_count") - _number(connection, "page_count") // _RESERVE
    if spare <= 0:
        return False
    for _ in range(min(spare, _PAGES_AT_ONCE)):  # the sqlite3 module takes one step of this statement, and so one page
        connection.execute("PRAGMA incremental_vacuum")
    return spare > _PAGES_AT_ONCE


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
