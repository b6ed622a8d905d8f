"""Series of ordered deliveries in the SQLite store: who waits, and whose turn it is.

1. Only the first of a series is in state 0, and what looks for work meets no other: a claim costs as much as if those
   that wait were not there.
2. What comes and what ends cost a seek each in the index of series. What is not ordered is not looked at.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from reconciler.store.sqlite_rows import PENDING, WAITING
from reconciler.store.sqlite_statements import as_json

__all__ = ["advance", "line_up"]

_LINE_UP: Final = f"""
UPDATE deliveries SET state = {WAITING}
WHERE key IN (SELECT value FROM json_each(?)) AND EXISTS (
    SELECT 1 FROM deliveries AS earlier INDEXED BY deliveries_in_series
    WHERE earlier.callback = deliveries.callback AND earlier.device = deliveries.device
        AND earlier.state IN (0, 4) AND earlier.key < deliveries.key
)
"""

_NEXT: Final = """
SELECT json_group_array(json_array((
    SELECT following.key FROM deliveries AS following INDEXED BY deliveries_in_series
    WHERE following.callback = ended.callback AND following.device = ended.device AND following.state IN (0, 4)
    ORDER BY following.key
    LIMIT 1
), json_extract(given.value, '$[1]')))
FROM json_each(?) AS given CROSS JOIN deliveries AS ended ON ended.key = json_extract(given.value, '$[0]')
"""

_ADVANCE: Final = f"""
UPDATE deliveries SET state = {PENDING}, due_at = min(deliveries.due_at, turn.since)
FROM (
    SELECT json_extract(value, '$[0]') AS key, json_extract(value, '$[1]') AS since FROM json_each(?)
) AS turn
WHERE deliveries.key = turn.key AND deliveries.state = {WAITING}
"""


def line_up(connection: sqlite3.Connection, keys: Sequence[int], tally: list[int]) -> None:
    """Let those of these new deliveries wait that have an earlier one in their series."""
    waiting = connection.execute(_LINE_UP, (as_json(keys),)).rowcount
    tally[PENDING] -= waiting
    tally[WAITING] += waiting


def advance(connection: sqlite3.Connection, ended: Sequence[tuple[int, int]], tally: list[int]) -> None:
    """Let the next of each series have its turn; of those that ended the key, and when in microseconds."""
    (turns,) = connection.execute(_NEXT, (as_json(ended),)).fetchone()
    moved = connection.execute(_ADVANCE, (turns,)).rowcount
    tally[WAITING] -= moved
    tally[PENDING] += moved
