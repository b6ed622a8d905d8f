"""Finding what can be sent, among a million deliveries that wait for a dead endpoint.

1. Everything goes from endpoint to endpoint by seeks in the index of what is pending; no row is looked at but those
   that are taken. The engine asks this whenever something falls due, in the thread that all writes wait for.
2. `claim` hands out rounds, as the reference does: the oldest of every endpoint that has room, then the second of each.
3. `leased_until` only keeps others from claiming. The first claim after it has passed clears it; the token, which is
   the right to settle, stays good until somebody raises it.
"""

import sqlite3
from dataclasses import dataclass, field
from typing import Final

from reconciler.store.sqlite_rows import DELIVERY

__all__ = ["WAITING", "Claim", "claim", "void_leases"]

_NEVER: Final = 2**63 - 1


@dataclass(slots=True)
class Claim:
    """Lease what is due; `leased` is a JSON array of pairs: `DELIVERY` and token. `room` is a JSON object."""

    room: str
    default_room: int
    limit: int
    now: int
    leased_until: int
    leased: str = field(default="[]", init=False)


WAITING: Final = """waiting (endpoint) AS (
    SELECT min(endpoint) FROM deliveries WHERE state = 0
    UNION ALL
    SELECT (SELECT min(endpoint) FROM deliveries WHERE state = 0 AND endpoint > waiting.endpoint)
    FROM waiting
    WHERE endpoint IS NOT NULL
)"""
"""Every endpoint with something pending, and NULL at the end: one seek each, however much is pending."""

_CLAIMABLE: Final = f"""
WITH RECURSIVE {WAITING},
given (text, places) AS MATERIALIZED (SELECT key, value FROM json_each(:room)),
room (endpoint, places) AS MATERIALIZED (
    SELECT waiting.endpoint, coalesce(given.places, :default_room)
    FROM waiting CROSS JOIN names ON names.id = waiting.endpoint LEFT JOIN given ON given.text = names.text
    WHERE coalesce(given.places, :default_room) > 0
),
turn (round, due_at, key, endpoint, places) AS (
    SELECT 1, oldest.due_at, oldest.key, room.endpoint, room.places
    FROM room CROSS JOIN deliveries AS oldest ON oldest.key = (
        SELECT key FROM deliveries AS free INDEXED BY deliveries_pending
        WHERE state = 0 AND endpoint = room.endpoint AND leased_until IS NULL AND due_at <= :now
        ORDER BY due_at, key
        LIMIT 1
    )
    UNION ALL
    SELECT turn.round + 1, following.due_at, following.key, turn.endpoint, turn.places
    FROM turn CROSS JOIN deliveries AS following ON following.key = coalesce(
        (
            SELECT free.key FROM deliveries AS free INDEXED BY deliveries_pending
            WHERE free.state = 0 AND free.endpoint = turn.endpoint AND free.leased_until IS NULL
                AND free.due_at = turn.due_at AND free.key > turn.key
            ORDER BY free.key
            LIMIT 1
        ),
        (
            SELECT free.key FROM deliveries AS free INDEXED BY deliveries_pending
            WHERE free.state = 0 AND free.endpoint = turn.endpoint AND free.leased_until IS NULL
                AND free.due_at > turn.due_at AND free.due_at <= :now
            ORDER BY free.due_at, free.key
            LIMIT 1
        )
    )
    WHERE turn.round < turn.places
    ORDER BY 1, 2, 3
    LIMIT :limit
)
SELECT json_group_array(key) FROM turn
"""
"""Whose turn it is. The recursion is a queue ordered by round, and taking a row from it adds its endpoint's next one:
the price is a seek for each endpoint and two for each row taken, however many rows are due."""

_LEASE: Final = """
UPDATE deliveries SET token = token + 1, leased_until = :leased_until
WHERE key IN (SELECT value FROM json_each(:keys))
"""

_LEASED: Final = f"""
SELECT json_group_array(json_array({DELIVERY}, deliveries.token))
FROM json_each(:keys) AS given
CROSS JOIN deliveries ON deliveries.key = given.value
CROSS JOIN messages ON messages.key = deliveries.key >> 16
CROSS JOIN names AS callbacks ON callbacks.id = deliveries.callback
CROSS JOIN names AS endpoints ON endpoints.id = deliveries.endpoint
"""

_LEASED_UP_TO: Final = """
    SELECT leased.key
    FROM waiting CROSS JOIN deliveries AS leased INDEXED BY deliveries_pending
    ON leased.state = 0 AND leased.endpoint = waiting.endpoint AND leased.leased_until <= ?
"""

_EXPIRE: Final = f"""
WITH RECURSIVE {WAITING}
UPDATE deliveries SET leased_until = NULL WHERE key IN ({_LEASED_UP_TO})
"""

_VOID: Final = f"""
WITH RECURSIVE {WAITING}
UPDATE deliveries SET token = token + 1, leased_until = NULL WHERE key IN ({_LEASED_UP_TO})
"""


def claim(connection: sqlite3.Connection, wanted: Claim) -> None:
    """Lease what is wanted, and fill in the answer."""
    connection.execute(_EXPIRE, (wanted.now,))
    given = {
        "room": wanted.room,
        "default_room": wanted.default_room,
        "limit": wanted.limit,
        "now": wanted.now,
    }
    (keys,) = connection.execute(_CLAIMABLE, given).fetchone()
    if keys != "[]":
        connection.execute(_LEASE, {"keys": keys, "leased_until": wanted.leased_until})
        (wanted.leased,) = connection.execute(_LEASED, {"keys": keys}).fetchone()


def void_leases(connection: sqlite3.Connection) -> None:
    """End every lease: for a process that has just become the owner, nobody can hold one."""
    connection.execute(_VOID, (_NEVER,))
