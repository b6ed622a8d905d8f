"""How much goes into one statement of the SQLite store, and in what form.

1. What a statement is about comes as one packed text or blob, and what it finds returns as one row: each step gives the
   interpreter lock away, and a busy event loop gives it back late.
2. Inserts take chunks whose sizes are powers of two, so that the statements of few sizes stay prepared.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, TypeVar

import orjson

from reconciler.store.sqlite_rows import LeaseRow
from reconciler.store.sqlite_values import JsonRow

__all__ = ["as_json", "insert", "json_rows", "packed"]

_T = TypeVar("_T")

_LARGEST_INSERT: Final = 256


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows; `into` is the statement up to its VALUES."""
    for chunk in _chunks(rows):
        connection.execute(_statement(into, len(chunk), len(chunk[0])), list(chain.from_iterable(chunk)))


def packed(leases: Iterable[LeaseRow]) -> dict[str, object]:
    """Leases as a blob of ids and a JSON array of ordinals and tokens."""
    leases = list(leases)
    return {
        "ids": b"".join(lease.message for lease in leases),
        "leases": as_json([(lease.ordinal, lease.token) for lease in leases]),
    }


def as_json(value: object) -> str:
    """JSON as statements take it."""
    return orjson.dumps(value).decode()


def json_rows(connection: sqlite3.Connection, statement: str, given: Mapping[str, Any]) -> Sequence[JsonRow]:
    """The rows of a statement that makes one JSON array of them."""
    (text,) = connection.execute(statement, given).fetchone()
    rows: Sequence[JsonRow] = orjson.loads(text)
    return rows


def _chunks(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    start, size = 0, _LARGEST_INSERT
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@cache
def _statement(into: str, rows: int, columns: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{into} VALUES {','.join([row] * rows)}"
