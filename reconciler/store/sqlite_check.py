"""What is wrong with a SQLite store: its file, and what must be true of the rows in it.

1. All of it is asked in one read transaction, so that it is one moment, also while an engine writes.
2. SQLite judges the file first (`PRAGMA integrity_check`: pages, indexes, types). Laws about rows are asked only of a
   file that is sound and of the current form.
3. A law is a statement that counts what breaks it and names the first.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.store.sqlite_file import latest_form
from reconciler.store.sqlite_rows import JOINED, PENDING, STATES, UNDELIVERED, WAITING

__all__ = ["Condition", "condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What was found. `damage` is SQLite's own words about the file; `broken` are laws, each a sentence.

    `form` is the file's; laws were asked only if it is the `latest`. `counts` are messages, deliveries, revisions.
    """

    form: int
    latest: int
    damage: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damage or self.broken)


_BEYOND: Final = "revision NOT BETWEEN 0 AND (SELECT coalesce(max(number), 0) FROM revisions)"

_LAWS: Final = (
    (
        "deliveries whose message is missing",
        "SELECT key FROM deliveries WHERE key >> 16 NOT IN (SELECT key FROM messages)",
    ),
    (
        "deliveries whose callback or endpoint has no name",
        "SELECT key FROM deliveries WHERE callback NOT IN (SELECT id FROM names)"
        " OR endpoint NOT IN (SELECT id FROM names)",
    ),
    ("deliveries of a revision that was never published", f"SELECT key FROM deliveries WHERE {_BEYOND}"),
    ("messages of a revision that was never published", f"SELECT key FROM messages WHERE {_BEYOND}"),
    (
        "deliveries in a state that there is not",
        f"SELECT key FROM deliveries WHERE state NOT BETWEEN 0 AND {len(STATES) - 1}",
    ),
    (
        "deliveries that are leased though they are not pending",
        f"SELECT key FROM deliveries WHERE leased_until IS NOT NULL AND state <> {PENDING}",
    ),
    (
        "deliveries with another number of attempts than they tell",
        "SELECT key FROM deliveries WHERE tries > attempts"
        " OR attempts <> (SELECT count(*) FROM attempts WHERE attempts.delivery = deliveries.key)",
    ),
    (
        "attempts whose delivery is missing",
        "SELECT delivery FROM attempts WHERE delivery NOT IN (SELECT key FROM deliveries)",
    ),
    (
        "lines of a batch that nothing carries",
        "SELECT line.key FROM deliveries AS line INDEXED BY deliveries_batch"
        " LEFT JOIN deliveries AS carrier ON carrier.key = line.batch"
        " WHERE line.batch IS NOT NULL AND carrier.batch IS NOT carrier.key",
    ),
    (
        "lines of a batch that do not stand where the delivery stands that carries them",
        "SELECT line.key FROM deliveries AS line INDEXED BY deliveries_batch"
        " CROSS JOIN deliveries AS carrier ON carrier.key = line.batch"
        f" WHERE line.batch IS NOT NULL AND line.key <> line.batch"
        f" AND line.state <> iif(carrier.state = {PENDING}, {JOINED}, carrier.state)",
    ),
    (
        "deliveries that joined no batch, though they say so",
        f"SELECT key FROM deliveries WHERE state = {JOINED} AND (batch IS NULL OR batch = key)",
    ),
    (
        "ordered deliveries that wait with nothing pending before them",
        f"SELECT key FROM deliveries WHERE state = {WAITING} AND NOT EXISTS"
        " (SELECT 1 FROM deliveries AS first INDEXED BY deliveries_in_series WHERE first.callback = deliveries.callback"
        f" AND first.device = deliveries.device AND first.state IN (0, 4) AND first.key < deliveries.key"
        f" AND first.state = {PENDING})",
    ),
    (
        "ordered deliveries that are pending with another before them",
        f"SELECT key FROM deliveries WHERE state = {PENDING} AND device IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM deliveries AS first INDEXED BY deliveries_in_series WHERE first.callback = deliveries.callback"
        " AND first.device = deliveries.device AND first.state IN (0, 4) AND first.key < deliveries.key)",
    ),
    (
        "undelivered deliveries that are not listed",
        "SELECT deliveries.key FROM deliveries CROSS JOIN messages ON messages.key = deliveries.key >> 16"
        f" WHERE state = {UNDELIVERED} AND NOT EXISTS"
        " (SELECT 1 FROM undelivered WHERE message = messages.id AND ordinal = deliveries.key & 65535)",
    ),
    (
        "deliveries that are listed as undelivered and are not",
        "SELECT hex(undelivered.message) FROM undelivered LEFT JOIN messages ON messages.id = undelivered.message"
        " LEFT JOIN deliveries ON deliveries.key = messages.key << 16 | undelivered.ordinal"
        f" WHERE deliveries.state IS NOT {UNDELIVERED}",
    ),
    (
        "states that are counted wrongly",
        "SELECT state FROM tally WHERE deliveries <>"
        " (SELECT count(*) FROM deliveries WHERE deliveries.state = tally.state)",
    ),
    (
        "messages that are not found by their device",
        "SELECT key FROM messages WHERE key < (SELECT max(segment) + 1 << 12 FROM segments) AND NOT EXISTS"
        " (SELECT 1 FROM segments WHERE segment = key >> 12 AND segments.device = messages.device AND message = key)",
    ),
    (
        "messages that are found by a device and are missing",
        "SELECT message FROM segments WHERE NOT EXISTS"
        " (SELECT 1 FROM messages WHERE messages.key = segments.message AND messages.device = segments.device)",
    ),
    (
        "downlink requests whose message is missing",
        "SELECT message FROM downlinks WHERE message NOT IN (SELECT key FROM messages)",
    ),
    ("messages whose content can not be read", "SELECT key FROM messages WHERE NOT json_valid(content)"),
    ("deliveries whose request can not be read", "SELECT key FROM deliveries WHERE NOT json_valid(request)"),
    ("attempts whose outcome can not be read", "SELECT delivery FROM attempts WHERE NOT json_valid(outcome)"),
    (
        "revisions without the one before them",
        "SELECT number FROM revisions WHERE number > 1 AND number - 1 NOT IN (SELECT number FROM revisions)",
    ),
    (
        "definitions without their content or their revision",
        "SELECT since FROM members WHERE content NOT IN (SELECT id FROM contents)"
        " OR since NOT IN (SELECT number FROM revisions) OR until <= since",
    ),
)


def condition(connection: sqlite3.Connection) -> Condition:
    """Look at everything; a file of a gigabyte takes some ten seconds.

    Raises:
        sqlite3.Error: the file can not be read at all.
    """
    connection.execute("BEGIN")
    try:
        (form,) = connection.execute("PRAGMA user_version").fetchone()
        damage = [told for (told,) in connection.execute("PRAGMA integrity_check") if told != "ok"]
        if damage or form != latest_form():
            return Condition(form, latest_form(), tuple(damage))
        counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _COUNTED]
        return Condition(form, latest_form(), (), tuple(_broken(connection)), (counts[0], counts[1], counts[2]))
    finally:
        connection.execute("ROLLBACK")


_COUNTED: Final = ("messages", "deliveries", "revisions")


def _broken(connection: sqlite3.Connection) -> Iterator[str]:
    for what, statement in _LAWS:
        count, first = _found(connection, statement)
        if count:
            yield f"{count:,} {what}; the first is {first}."


def _found(connection: sqlite3.Connection, statement: str) -> tuple[int, object]:
    count, first = connection.execute(
        f"WITH found (place) AS ({statement}) SELECT count(*), min(place) FROM found"
    ).fetchone()
    return count, first
