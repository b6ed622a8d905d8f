"""How much goes into one statement of the SQLite store, and in what form.

1. What a statement is about comes as one packed text or blob, and what it finds returns as one row: each step gives the
   interpreter lock away, and a busy event loop gives it back late.
2. Inserts take chunks whose sizes are powers of two, so that the statements of few sizes stay prepared.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, TypeVar

import orjson

from reconciler.store.sqlite_rows import LeaseRow
from reconciler.store.sqlite_values import JsonRow

__all__ = ["as_json", "insert", "json_rows", "packed"]

_T = TypeVar("_T")

_LARGEST_INSERT: Final = 1_024


def insert(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]], *, constants: tuple[int, ...] = ()
) -> None:
    """Insert rows; `into` is the statement up to its VALUES, `constants` what ends each row.

    A blob should be a `bytearray`: of `bytes`, as of None and bool, the module asks how they would like to be adapted,
    and takes 0.3 us instead of 0.07.
    """
    for chunk in _chunks(rows):
        connection.execute(_statement(into, len(chunk), len(chunk[0]), constants), list(chain.from_iterable(chunk)))


def packed(leases: Sequence[LeaseRow]) -> dict[str, object]:
    """Leases as a blob of ids and a JSON array of ordinals and tokens."""
    ids, ordinals, tokens = zip(*leases, strict=True) if leases else ((), (), ())
    return {"ids": b"".join(ids), "leases": as_json(list(zip(ordinals, tokens, strict=True)))}


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
def _statement(into: str, rows: int, columns: int, constants: tuple[int, ...]) -> str:
    row = f"({','.join(['?'] * columns + list(map(str, constants)))})"
    return f"{into} VALUES {','.join([row] * rows)}"
