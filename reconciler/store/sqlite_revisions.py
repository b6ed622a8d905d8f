"""Revisions in the SQLite store.

1. A content is kept once, whatever number of revisions and keys it stands under.
2. A revision is kept as its difference from the one before: a definition is in force from `since` until `until`. What
   it held is read back whole.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from reconciler.codec.canonical import canonical_json
from reconciler.errors import RevisionConflict
from reconciler.model.definition import Definition
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, HistoryEntry, Owned, Publication, Revision
from reconciler.store.sqlite_values import JsonRow, micros, moment

__all__ = ["history", "newest", "publish", "revision"]

_OWNED: Final = """
SELECT json_group_array(json_array(members.key, contents.digest, contents.content, members.owner))
FROM members CROSS JOIN contents ON contents.id = members.content
WHERE members.since <= :number AND (members.until IS NULL OR members.until > :number)
"""

_IN_FORCE: Final = """
SELECT json_group_array(json_array(members.key, contents.digest, members.owner))
FROM members CROSS JOIN contents ON contents.id = members.content
WHERE members.until IS NULL
"""

_ENTRIES: Final = """
SELECT json_group_array(json_array(number, digest, published_at, published_by, commit_id, note, changes)) FROM (
    SELECT * FROM revisions WHERE number < :before ORDER BY number DESC LIMIT :limit
)
"""

_KEEP_CONTENTS: Final = """
INSERT OR IGNORE INTO contents (digest, content)
SELECT json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)
"""

_END: Final = "UPDATE members SET until = :number WHERE until IS NULL AND key IN (SELECT value FROM json_each(:keys))"

_BEGIN: Final = """
INSERT INTO members
SELECT :number, json_extract(value, '$[0]'), contents.id, json_extract(value, '$[3]'), NULL
FROM json_each(:members) AS given CROSS JOIN contents ON contents.digest = json_extract(given.value, '$[1]')
"""

_NEVER: Final = 2**63 - 1


def newest(connection: sqlite3.Connection, known: Revision) -> Revision:
    """The newest revision: `known`, unless a newer one was published."""
    number = _current_number(connection)
    return known if known.number == number else revision(connection, number) or EMPTY


def revision(connection: sqlite3.Connection, number: int) -> Revision | None:
    """A revision with all that it holds."""
    if number == EMPTY.number:
        return EMPTY
    entry = next(iter(history(connection, limit=1, before=number + 1)), None)
    if entry is None or entry.number != number:
        return None
    (text,) = connection.execute(_OWNED, {"number": number}).fetchone()
    definitions = [
        (Definition(Key.parse(key), orjson.loads(content), digest), owner)
        for key, digest, content, owner in orjson.loads(text)
    ]
    owned = {definition.key: Owned(definition, owner) for definition, owner in definitions}
    return Revision(number, entry.digest, owned, entry.publication, entry.changes)


def history(connection: sqlite3.Connection, *, limit: int, before: int | None) -> Sequence[HistoryEntry]:
    """What the newest revisions below `before` did."""
    given = {"limit": limit, "before": _NEVER if before is None else before}
    (text,) = connection.execute(_ENTRIES, given).fetchone()
    return [_entry(row) for row in orjson.loads(text)]


def publish(connection: sqlite3.Connection, revision: Revision) -> None:
    """Write what `revision` changes in the current one.

    Raises:
        RevisionConflict: it is not numbered as the next.
    """
    current = _current_number(connection)
    if revision.number != current + 1:
        raise RevisionConflict(expected=revision.number - 1, current=current)
    (text,) = connection.execute(_IN_FORCE).fetchone()
    before = {key: (digest, owner) for key, digest, owner in orjson.loads(text)}
    after = {str(key): (owned.definition.digest, owned.owner) for key, owned in revision.owned.items()}
    ended = [key for key, member in before.items() if after.get(key) != member]
    begun = [
        (str(key), owned.definition.digest, canonical_json(owned.definition.content).decode(), owned.owner)
        for key, owned in revision.owned.items()
        if before.get(str(key)) != (owned.definition.digest, owned.owner)
    ]
    connection.execute("INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?)", _columns(revision))
    connection.execute(_END, {"number": revision.number, "keys": _json(ended)})
    members = _json(begun)
    connection.execute(_KEEP_CONTENTS, (members,))
    connection.execute(_BEGIN, {"number": revision.number, "members": members})


def _current_number(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM revisions").fetchone()
    return int(number)


def _columns(revision: Revision) -> tuple[object, ...]:
    told = revision.publication
    changes = _json([(kind, str(key)) for kind, key in revision.changes])
    at = None if told.at is None else micros(told.at)
    return revision.number, revision.digest, at, told.by, told.commit, told.note, changes


def _entry(row: JsonRow) -> HistoryEntry:
    number, digest, at, by, commit, note, changes = row
    publication = Publication(at=None if at is None else moment(at), by=by, commit=commit, note=note)
    return HistoryEntry(
        number, digest, publication, tuple((kind, Key.parse(key)) for kind, key in orjson.loads(changes))
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
