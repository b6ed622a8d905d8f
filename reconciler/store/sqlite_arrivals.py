"""How a group of arrivals enters the SQLite store.

1. Which of them are new is asked once for the whole group, by the part of the id that receptions of an event share: a
   range of the index of ids. The rest is decided here, arrival by arrival in their order.
2. A message that sets nothing in motion beside its deliveries costs nothing for those that do.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from reconciler.store.protocol import Kept
from reconciler.store.sqlite_alarms import AlarmChanges, heard_since
from reconciler.store.sqlite_downlinks import OpenRequests
from reconciler.store.sqlite_motion import InMotion
from reconciler.store.sqlite_rows import HEARD_TYPES, PENDING, ArrivalRow, MessageRow
from reconciler.store.sqlite_series import line_up
from reconciler.store.sqlite_statements import insert
from reconciler.store.sqlite_values import EVENT_BYTES, LAST_STATION, ORDINAL_BITS

__all__ = ["Accept", "accept"]


@dataclass(slots=True)
class Accept:
    """Keep messages with their deliveries; `kept` tells what became of each. `names` may be new."""

    arrivals: Sequence[ArrivalRow]
    names: Sequence[tuple[int, str]]
    kept: list[Kept] = field(default_factory=list, init=False)


_SEGMENT_BITS: Final = 12

# To look one up in its enum takes 80 ns, for every message.
_FRESH, _RECEPTION, _REPEATED, _OVERTAKEN = Kept.FRESH, Kept.RECEPTION, Kept.REPEATED, Kept.OVERTAKEN

_KNOWN: Final = f"""
WITH RECURSIVE given (start) AS (
    SELECT 1 UNION ALL SELECT start + 16 FROM given WHERE start + 16 < length(:ids)
)
SELECT
    (SELECT coalesce(max(key), 0) FROM messages),
    (
        SELECT json_group_array(hex(id))
        FROM given CROSS JOIN messages ON id BETWEEN substr(:ids, start, {EVENT_BYTES}) AND substr(:ids, start, 16)
    )
"""
"""The last key, and what is kept already of the events whose last possible ids are packed."""

_MESSAGES: Final = "INSERT INTO messages (key, id, device, received_at, revision, content, type)"

_PLAIN: Final = """
INSERT INTO deliveries (
    key, callback, endpoint, revision, request, due_at, token, leased_until, state, attempts, tries
)
"""
_OF_PLAIN: Final = (0, 0, 0)

_OTHERS: Final = """
INSERT INTO deliveries (
    key, callback, endpoint, revision, request, due_at, token, leased_until, warnings, state, attempts, tries, asks,
    device
)
"""

_ENTER_SEGMENT: Final = f"""
INSERT INTO segments
SELECT key >> {_SEGMENT_BITS}, device, key FROM messages
WHERE key BETWEEN :segment << {_SEGMENT_BITS} AND (:segment + 1 << {_SEGMENT_BITS}) - 1
ORDER BY device, key
"""


def accept(
    connection: sqlite3.Connection, operations: Sequence[Accept], tally: list[int], alarms: AlarmChanges
) -> None:
    """Keep what is new, and fill in the answers."""
    arrivals = [arrival for operation in operations for arrival in operation.arrivals]
    if not arrivals:
        return
    events = [arrival[0][:EVENT_BYTES] for arrival in arrivals]
    last, found = connection.execute(_KNOWN, {"ids": LAST_STATION.join(events) + LAST_STATION}).fetchone()
    known: dict[bytes, tuple[bytes, ...]] = {}  # ids by event
    for message_id in map(bytes.fromhex, orjson.loads(found)):
        known[message_id[:EVENT_BYTES]] = (*known.get(message_id[:EVENT_BYTES], ()), message_id)
    moving = _Moving(connection, arrivals, alarms)
    messages, plain, others, ordered = [], [], [], []
    key = last
    event_of = iter(events)
    for operation in operations:
        for message_id, message, first, again, in_motion in operation.arrivals:
            event = next(event_of)
            if in_motion is not None:
                device, *_ = message
                if moving.is_overtaken(device, in_motion):
                    operation.kept.append(_OVERTAKEN)
                    continue
                moving.end(in_motion)
            of_event = known.get(event)
            if of_event is None:
                known[event] = (message_id,)
                operation.kept.append(_FRESH)
                entering = first
                key += 1
                if in_motion is not None:
                    moving.begin(key, in_motion)
            elif message_id not in of_event:
                known[event] = (*of_event, message_id)
                operation.kept.append(_RECEPTION)
                entering = again
                key += 1
            else:
                operation.kept.append(_REPEATED)
                continue
            if moving.watches:
                moving.keep(key, message_id, message)
            messages.append((key, bytearray(message_id), *message))
            lowest = key << ORDINAL_BITS
            plain_rows, other_rows = entering
            for row in plain_rows:
                plain.append((lowest | row[0], *row[1:]))
            for other in other_rows:
                others.append((lowest | other.ordinal, *other[1:]))
                tally[other.state] += 1
                if other.device is not None:
                    ordered.append(lowest | other.ordinal)
    tally[PENDING] += len(plain)
    names = {name for operation in operations for name in operation.names}
    insert(connection, "INSERT OR IGNORE INTO names", list(names))
    insert(connection, _MESSAGES, messages)
    insert(connection, _PLAIN, plain, constants=_OF_PLAIN)
    insert(connection, _OTHERS, others)
    if ordered:
        line_up(connection, ordered, tally)
    moving.write(connection)
    for segment in range(last + 1 >> _SEGMENT_BITS, key + 1 >> _SEGMENT_BITS):
        connection.execute(_ENTER_SEGMENT, {"segment": segment})


class _Moving:
    """What the arrivals of a group set in motion beside deliveries."""

    def __init__(self, connection: sqlite3.Connection, arrivals: Sequence[ArrivalRow], alarms: AlarmChanges) -> None:
        self._alarms = alarms
        self._requests: OpenRequests | None = None
        self._heard_since: set[tuple[int, bytes]] = set()
        # Whether somebody asks who was heard; then this group's messages, and the last that each device transmitted.
        self.watches = False
        self._kept: dict[bytes, int] = {}
        self._heard: dict[int, int] = {}
        # The device is the first of a message's columns.
        given = [(message[0], in_motion) for _, message, _, _, in_motion in arrivals if in_motion is not None]
        if not given:
            return
        asking = [each.downlink for _, each in given if each.downlink is not None]
        reports = [each.reported for _, each in given if each.reported is not None]
        if asking or reports:
            self._requests = OpenRequests(connection, asking, reports)
        if asked := [(device, each.known) for device, each in given if each.known is not None]:
            self._heard_since = heard_since(connection, asked)
            self.watches = True

    def is_overtaken(self, device: int, in_motion: InMotion) -> bool:
        if in_motion.known is None:
            return False
        last, known = self._heard.get(device), self._kept.get(in_motion.known)
        if known is not None:
            return last is not None and known < last
        return last is not None or (device, in_motion.known) in self._heard_since

    def keep(self, key: int, message_id: bytes, message: MessageRow) -> None:
        device, *_, kind = message
        self._kept[message_id] = key
        if kind in HEARD_TYPES:
            self._heard[device] = key

    def end(self, in_motion: InMotion) -> None:
        if in_motion.ends is not None:
            self._alarms.end(in_motion.ends)

    def begin(self, key: int, in_motion: InMotion) -> None:
        for alarm in in_motion.alarms:
            self._alarms.set(alarm)
        if self._requests is not None:
            if in_motion.reported is not None:
                self._requests.report(*in_motion.reported)
            if in_motion.downlink is not None:
                self._requests.ask(key, in_motion.downlink, self._alarms)

    def write(self, connection: sqlite3.Connection) -> None:
        if self._requests is not None:
            self._requests.write(connection)
