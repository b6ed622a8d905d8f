"""What a group of writes does to the SQLite store, inside one transaction and in the writing thread.

1. One statement for the whole group wherever SQL can say it. The statements' number does not grow with the group, but
   for inserts: one for each power of two in the number of rows.
2. What a statement is about comes as one packed text or blob, and what it finds returns as one row: each step gives the
   interpreter lock away, and a busy event loop gives it back late.
3. Operations of a group were asked for at the same time, so that their order is free: accept, settle, release, replay,
   claim.
4. The token is the right to settle: whoever has the number that stands there may. Claiming, settling and releasing
   raise it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Final, TypeAlias, TypeVar

import orjson

from reconciler.store.sqlite_claims import Claim, claim
from reconciler.store.sqlite_rows import (
    ORDINAL_BITS,
    PENDING,
    STATES,
    UNDELIVERED,
    ArrivalRow,
    LeaseRow,
    SettlementRow,
)

__all__ = ["Accept", "Operation", "Release", "Replay", "Settle", "perform"]


@dataclass(slots=True)
class Accept:
    """Keep messages with their deliveries; `fresh` tells which were not kept before. `names` may be new."""

    arrivals: Sequence[ArrivalRow]
    names: Sequence[tuple[int, str]]
    fresh: list[bool] = field(default_factory=list, init=False)


@dataclass(slots=True)
class Settle:
    """Record attempts and steps; `recorded` tells which leases were still held."""

    settlements: Sequence[SettlementRow]
    recorded: list[bool] = field(default_factory=list, init=False)


@dataclass(slots=True)
class Release:
    """Give leases back."""

    leases: Sequence[LeaseRow]


@dataclass(slots=True)
class Replay:
    """Make settled deliveries pending again, due `now`; `changed` tells how many. Tokens mean nothing here."""

    deliveries: Sequence[LeaseRow]
    now: int
    changed: int = field(default=0, init=False)


Operation: TypeAlias = Accept | Settle | Release | Replay | Claim
_O = TypeVar("_O", bound=Operation)
_T = TypeVar("_T")

# How many deliveries the group brings into each state, by the state's number; fewer than none when it takes them out.
_Tally: TypeAlias = list[int]


def perform(connection: sqlite3.Connection, group: Sequence[Operation]) -> None:
    """Do what the group asks for, and fill in its answers."""
    tally = [0] * len(STATES)

    def each(kind: type[_O], do: Callable[[sqlite3.Connection, Sequence[_O], _Tally], None]) -> None:
        if operations := [operation for operation in group if isinstance(operation, kind)]:
            do(connection, operations, tally)

    each(Accept, _accept)
    each(Settle, _settle)
    each(Release, _release)
    each(Replay, _replay)
    for operation in group:
        if isinstance(operation, Claim):
            claim(connection, operation)
    if any(tally):
        connection.execute(_COUNT, (_json(tally),))


_COUNT: Final = "UPDATE tally SET deliveries = deliveries + json_extract(?, '$[' || state || ']')"


# Accept

_SEGMENT_BITS: Final = 12

_KNOWN: Final = """
WITH RECURSIVE given (start) AS (
    SELECT 1 UNION ALL SELECT start + 16 FROM given WHERE start + 16 < length(:ids)
)
SELECT
    (SELECT coalesce(max(key), 0) FROM messages),
    (SELECT json_group_array(hex(id)) FROM given CROSS JOIN messages ON id = substr(:ids, start, 16))
"""
"""The last key, and which of the packed ids are kept already."""

_ENTER_SEGMENT: Final = f"""
INSERT INTO segments
SELECT key >> {_SEGMENT_BITS}, device, key FROM messages
WHERE key BETWEEN :segment << {_SEGMENT_BITS} AND (:segment + 1 << {_SEGMENT_BITS}) - 1
ORDER BY device, key
"""


def _accept(connection: sqlite3.Connection, operations: Sequence[Accept], tally: _Tally) -> None:
    ids = b"".join(arrival.id for operation in operations for arrival in operation.arrivals)
    if not ids:
        return
    last, known = connection.execute(_KNOWN, {"ids": ids}).fetchone()
    seen = {bytes.fromhex(known_id) for known_id in orjson.loads(known)}
    messages, deliveries = [], []
    key = last
    for operation in operations:
        for arrival in operation.arrivals:
            fresh = arrival.id not in seen
            operation.fresh.append(fresh)
            if not fresh:
                continue
            seen.add(arrival.id)
            key += 1
            messages.append((key, *arrival[:-1]))
            for ordinal, delivery in arrival.deliveries:
                deliveries.append((key << ORDINAL_BITS | ordinal, *delivery))
                tally[delivery.state] += 1
    names = {name for operation in operations for name in operation.names}
    _insert(connection, "INSERT OR IGNORE INTO names", list(names))
    _insert(connection, "INSERT INTO messages", messages)
    _insert(connection, "INSERT INTO deliveries", deliveries)
    for segment in range(last + 1 >> _SEGMENT_BITS, key + 1 >> _SEGMENT_BITS):
        connection.execute(_ENTER_SEGMENT, {"segment": segment})


# Leases

_HELD: Final = """
SELECT json_group_array(coalesce(deliveries.key, 0))
FROM json_each(:leases) AS given
LEFT JOIN messages ON messages.id = substr(:ids, 16 * given.key + 1, 16)
LEFT JOIN deliveries
    ON deliveries.key = messages.key << 16 | json_extract(given.value, '$[0]')
    AND deliveries.state = 0
    AND deliveries.token = json_extract(given.value, '$[1]')
"""
"""For each lease the key of its delivery, 0 when it is lost."""

_STEP: Final = """
UPDATE deliveries
SET state = step.state, due_at = coalesce(step.due_at, deliveries.due_at), attempts = attempts + 1, tries = tries + 1,
    token = token + 1, leased_until = NULL
FROM (
    SELECT json_extract(value, '$[0]') AS key, json_extract(value, '$[1]') AS state,
        json_extract(value, '$[2]') AS due_at
    FROM json_each(?)
) AS step
WHERE deliveries.key = step.key
"""

_LIST_UNDELIVERED: Final = """
INSERT INTO undelivered
SELECT messages.id, deliveries.key & 65535
FROM json_each(?) AS given
CROSS JOIN deliveries ON deliveries.key = given.value
CROSS JOIN messages ON messages.key = deliveries.key >> 16
"""

_RELEASE: Final = """
UPDATE deliveries SET token = token + 1, leased_until = NULL WHERE key IN (SELECT value FROM json_each(?))
"""


def _settle(connection: sqlite3.Connection, operations: Sequence[Settle], tally: _Tally) -> None:
    settlements = [settlement for operation in operations for settlement in operation.settlements]
    keys = iter(_held(connection, [settlement.lease for settlement in settlements]))
    steps, attempts, undelivered = [], [], []
    settled = {0}
    for operation in operations:
        for settlement in operation.settlements:
            key = next(keys)
            operation.recorded.append(key not in settled)
            if key in settled:  # lost before, or settled earlier in this very group
                continue
            settled.add(key)
            steps.append((key, settlement.state, settlement.due_at))
            attempts.append((key, *settlement.attempt))
            tally[PENDING] -= 1
            tally[settlement.state] += 1
            if settlement.state == UNDELIVERED:
                undelivered.append(key)
    connection.execute(_STEP, (_json(steps),))
    # OR REPLACE, because an attempt numbered wrongly must not fail the group.
    _insert(connection, "INSERT OR REPLACE INTO attempts", attempts)
    if undelivered:
        connection.execute(_LIST_UNDELIVERED, (_json(undelivered),))


def _release(connection: sqlite3.Connection, operations: Sequence[Release], tally: _Tally) -> None:
    keys = _held(connection, [lease for operation in operations for lease in operation.leases])
    connection.execute(_RELEASE, (_json(keys),))


def _held(connection: sqlite3.Connection, leases: Sequence[LeaseRow]) -> list[int]:
    (found,) = connection.execute(_HELD, _packed(leases)).fetchone()
    keys: list[int] = orjson.loads(found)
    return keys


# Replay

_SETTLED: Final = """
SELECT deliveries.state, json_group_array(DISTINCT deliveries.key)
FROM json_each(:leases) AS given
CROSS JOIN messages ON messages.id = substr(:ids, 16 * given.key + 1, 16)
CROSS JOIN deliveries ON deliveries.key = messages.key << 16 | json_extract(given.value, '$[0]')
WHERE deliveries.state <> 0
GROUP BY deliveries.state
"""

_REPLAY: Final = """
UPDATE deliveries SET state = 0, tries = 0, due_at = :now WHERE key IN (SELECT value FROM json_each(:keys))
"""

_UNLIST: Final = """
DELETE FROM undelivered WHERE (message, ordinal) IN (
    SELECT messages.id, given.value & 65535
    FROM json_each(:keys) AS given CROSS JOIN messages ON messages.key = given.value >> 16
)
"""


def _replay(connection: sqlite3.Connection, operations: Sequence[Replay], tally: _Tally) -> None:
    for operation in operations:
        for state, keys in connection.execute(_SETTLED, _packed(operation.deliveries)).fetchall():
            changed = connection.execute(_REPLAY, {"keys": keys, "now": operation.now}).rowcount
            connection.execute(_UNLIST, {"keys": keys})
            tally[state] -= changed
            tally[PENDING] += changed
            operation.changed += changed


# How much goes into one statement

_LARGEST_INSERT: Final = 256


def _insert(connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
    for chunk in _chunks(rows):
        connection.execute(_statement(insert, len(chunk), len(chunk[0])), list(chain.from_iterable(chunk)))


def _chunks(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Chunks as large as powers of two, so that the statements of few sizes stay prepared."""
    start, size = 0, _LARGEST_INSERT
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@cache
def _statement(insert: str, rows: int, columns: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{insert} VALUES {','.join([row] * rows)}"


def _packed(leases: Iterable[LeaseRow]) -> dict[str, object]:
    leases = list(leases)
    return {
        "ids": b"".join(lease.message for lease in leases),
        "leases": _json([(lease.ordinal, lease.token) for lease in leases]),
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
