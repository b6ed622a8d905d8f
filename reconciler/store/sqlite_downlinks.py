"""Downlink requests in the SQLite store: what `store.downlinks` decides, in few statements for a group.

Requests are rare beside messages: four a day for each device (`callbacks.md` section 6.4). What a group is about is
read into values, decided there, and written back.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import orjson

from reconciler.model.downlink import Downlink, DownlinkState, InfoCode, Replies
from reconciler.store.downlinks import admitted, answered, expired, reported_on, result_alarm, served
from reconciler.store.sqlite_alarms import AlarmChanges
from reconciler.store.sqlite_motion import DOWNLINK, alarm_row, downlink_from, downlink_row
from reconciler.store.sqlite_statements import as_json, insert, json_rows
from reconciler.store.sqlite_values import id_bytes, micros

__all__ = ["Expire", "OpenRequests", "Serve", "answer", "downlink", "expire", "serve"]

_REQUESTS: Final = f"""
SELECT json_group_array(json_array(found.message, {DOWNLINK}))
FROM (%s) AS found
CROSS JOIN downlinks ON downlinks.message = found.message
CROSS JOIN messages ON messages.key = downlinks.message
"""


@dataclass(slots=True)
class Serve:
    """Hand out what is READY at `now`, of one message or device type if it is given; `served` tells what it was."""

    now: datetime
    limit: int
    message: str | None
    device_type: str | None
    served: Sequence[Downlink] = field(default=(), init=False)


@dataclass(slots=True)
class Expire:
    """End what expired by `now`; `ended` tells how many."""

    now: datetime
    ended: int = field(default=0, init=False)


# Requests and reports that arrive

# What is not expired when the next request comes; then, as reports need them, the newest that can be reported on.
_OPEN: Final = (
    _REQUESTS
    % """
    WITH given (device, asked_at) AS MATERIALIZED (
        SELECT key, value FROM json_each(:devices)
    )
    SELECT downlinks.message
    FROM given CROSS JOIN downlinks INDEXED BY downlinks_open
    ON downlinks.state < 3 AND downlinks.device = given.device AND downlinks.expires_at > given.asked_at
    UNION
    SELECT downlinks.message
    FROM given CROSS JOIN downlinks ON downlinks.message IN (
        SELECT message FROM downlinks INDEXED BY downlinks_open
        WHERE state < 3 AND state > 0 AND device = given.device
        ORDER BY expires_at DESC, message DESC
        LIMIT :reports
    )
    UNION
    SELECT downlinks.message
    FROM given CROSS JOIN downlinks ON downlinks.message IN (
        SELECT message FROM downlinks INDEXED BY downlinks_open
        WHERE state < 3 AND state = 0 AND device = given.device
        ORDER BY expires_at DESC, message DESC
        LIMIT :reports
    )
    ORDER BY 1
    """
)

_CHANGE: Final = """
UPDATE downlinks SET state = change.state, data = change.data, code = change.code
FROM (
    SELECT json_extract(value, '$[0]') AS message, json_extract(value, '$[1]') AS state,
        json_extract(value, '$[2]') AS data, json_extract(value, '$[3]') AS code
    FROM json_each(?)
) AS change
WHERE downlinks.message = change.message
"""


class OpenRequests:
    """The requests that requests and reports of one group have to do with; by the keys of their messages."""

    def __init__(
        self, connection: sqlite3.Connection, asking: Iterable[Downlink], reports: Sequence[tuple[str, InfoCode]]
    ) -> None:
        asked_at: dict[str, int | None] = {device: None for device, _ in reports}
        for request in asking:
            at = micros(request.asked_at)
            earlier = asked_at.get(request.device)
            asked_at[request.device] = at if earlier is None else min(at, earlier)
        self._of_device: dict[str, dict[int, Downlink]] = {device: {} for device in asked_at}
        given = {"devices": as_json(asked_at), "reports": len(reports)}
        for key, row in json_rows(connection, _OPEN, given):
            request = downlink_from(row)
            self._of_device[request.device][key] = request
        self._new: dict[int, Downlink] = {}
        self._changed: dict[int, Downlink] = {}

    def ask(self, key: int, request: Downlink, alarms: AlarmChanges) -> None:
        """Keep a request with its message."""
        others = self._of_device[request.device]
        request = admitted(request, others.values())
        others[key] = self._new[key] = request
        if request.state is DownlinkState.ENDED:
            alarms.set(alarm_row(result_alarm(request, at=request.asked_at)))

    def report(self, device: str, code: InfoCode) -> None:
        """End the request that the network speaks of."""
        requests = self._of_device[device]
        if (found := reported_on(list(requests.values()))) is None:
            return
        key = next(key for key, request in requests.items() if request is found)
        requests[key] = replace(found, state=DownlinkState.ENDED, code=code)
        (self._new if key in self._new else self._changed)[key] = requests[key]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what became of them."""
        _change(connection, self._changed)
        insert(
            connection, "INSERT INTO downlinks", [(key, *downlink_row(request)) for key, request in self._new.items()]
        )


# Answers, and what becomes of requests

# For each answer the requests of its delivery's message, or of the messages of the batch that the delivery carries.
_ASKED: Final = f"""
SELECT json_group_array(json_array(found.answer, found.message, {DOWNLINK}))
FROM (
    SELECT given.key AS answer, given.value >> 16 AS message FROM json_each(:deliveries) AS given
    UNION
    SELECT given.key, line.key >> 16
    FROM json_each(:deliveries) AS given
    CROSS JOIN deliveries AS line INDEXED BY deliveries_batch ON line.batch = given.value
    ORDER BY 1, 2
) AS found
CROSS JOIN downlinks ON downlinks.message = found.message AND downlinks.state = 0
CROSS JOIN messages ON messages.key = downlinks.message
"""

_READY: Final = (
    _REQUESTS
    % """
    SELECT message FROM downlinks INDEXED BY downlinks_waiting
    WHERE state < 2 AND state = 1 AND expires_at > :now AND device_type = coalesce(:device_type, device_type)
    ORDER BY expires_at, message
    LIMIT :limit
    """
)

_READY_ONE: Final = (
    _REQUESTS
    % """
    SELECT downlinks.message
    FROM messages CROSS JOIN downlinks ON downlinks.message = messages.key
    WHERE messages.id = :message AND downlinks.state = 1 AND downlinks.expires_at > :now
        AND downlinks.device_type = coalesce(:device_type, downlinks.device_type)
    LIMIT :limit
    """
)

_LATE: Final = (
    _REQUESTS
    % """
    SELECT message FROM downlinks INDEXED BY downlinks_waiting
    WHERE state < 2 AND state IN (0, 1) AND expires_at <= :now
    """
)


def answer(
    connection: sqlite3.Connection, given: Sequence[tuple[int, Replies, datetime]], alarms: AlarmChanges
) -> None:
    """Give those that asked what an attempt brought: the key of its delivery, what it brought, and when."""
    keys = as_json([key for key, _, _ in given])
    changed: dict[int, Downlink] = {}
    for place, message, row in json_rows(connection, _ASKED, {"deliveries": keys}):
        if message not in changed:
            _, replies, ended_at = given[place]
            changed[message] = request = answered(downlink_from(row), replies, at=ended_at)
            if request.state is DownlinkState.ENDED:
                alarms.set(alarm_row(result_alarm(request, at=ended_at)))
    _change(connection, changed)


def serve(connection: sqlite3.Connection, wanted: Serve) -> None:
    """Hand out what is wanted, and fill in the answer."""
    given: dict[str, object] = {
        "now": micros(wanted.now),
        "limit": wanted.limit,
        "device_type": wanted.device_type,
    }
    if wanted.message is not None:
        given["message"] = id_bytes(wanted.message)
    rows = json_rows(connection, _READY if wanted.message is None else _READY_ONE, given)
    ready = {message: served(downlink_from(row)) for message, row in rows}
    _change(connection, ready)
    wanted.served = list(ready.values())


def expire(connection: sqlite3.Connection, wanted: Expire, alarms: AlarmChanges) -> None:
    """End what expired, and fill in the answer."""
    late = {
        message: expired(downlink_from(row))
        for message, row in json_rows(connection, _LATE, {"now": micros(wanted.now)})
    }
    for request in late.values():
        alarms.set(alarm_row(result_alarm(request, at=wanted.now)))
    _change(connection, late)
    wanted.ended = len(late)


def downlink(connection: sqlite3.Connection, message_id: str) -> Downlink | None:
    """The request that a message is."""
    row = connection.execute(
        f"SELECT {DOWNLINK} FROM messages CROSS JOIN downlinks ON message = key WHERE id = ?", (id_bytes(message_id),)
    ).fetchone()
    return None if row is None else downlink_from(orjson.loads(row[0]))


def _change(connection: sqlite3.Connection, requests: Mapping[int, Downlink]) -> None:
    if requests:
        connection.execute(_CHANGE, (as_json([(key, *downlink_row(r)[4:]) for key, r in requests.items()]),))
