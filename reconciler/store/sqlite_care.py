"""Looking after a store from outside the engine: is it sound, and a copy of it. Both only read, also beside an engine.

1. A reader of a write-ahead log sees one moment and is in nobody's way (sqlite.org/wal.html). While it reads, the log
   grows by what is written meanwhile.
2. A copy is made by `VACUUM INTO`: what is committed at its start, whole and without gaps, however much is written
   meanwhile; the backup API would begin again with every write of another process. It is on disk under another name
   before it gets its own, so that a file of that name is a copy that was finished.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from reconciler.errors import StoreError, StoreFull
from reconciler.store.sqlite_check import Condition, condition
from reconciler.store.sqlite_file import latest_form, store_path

__all__ = ["backup_sqlite", "check_sqlite"]

_UNREADABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OWNER_ONLY: Final = 0o600


def check_sqlite(directory: Path) -> Condition:
    """What is wrong with the store in a directory.

    Raises:
        StoreError: there is none, or the system does not let us read it.
    """
    path = _existing(directory)
    try:
        with closing(_reader(path)) as connection:
            return condition(connection)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _UNREADABLE:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return Condition(0, latest_form(), (str(error),))


def backup_sqlite(directory: Path, copy: Path) -> int:
    """Copy the store in a directory into one file that does not exist yet; its size in bytes.

    Raises:
        StoreError: there is no store, the file exists already, or it can not be written.
        StoreFull: the disk holds no more.
    """
    path = _existing(directory)
    if copy.exists():
        raise StoreError(f"{copy} exists already, and a backup overwrites nothing; name another file")
    unfinished = copy.with_name(f".{copy.name}.{os.getpid()}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY)  # before anything is in it
        os.close(descriptor)
        with closing(_reader(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(unfinished),))
        _sync(unfinished)
        os.link(unfinished, copy)  # unlike a rename it fails when somebody else was quicker
        _sync(copy.parent)
        return copy.stat().st_size
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StoreFull(f"no space is left for {copy}; make some, and begin again") from error
        raise StoreError(f"{path} cannot be copied to {copy}: {error}") from error
    except OSError as error:
        raise StoreError(f"the backup {copy} can not be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _existing(directory: Path) -> Path:
    path = store_path(directory)
    if not path.exists():
        raise StoreError(f"there is no store in {directory}: {path.name} is missing")
    return path


def _reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
