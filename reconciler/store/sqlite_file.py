"""One SQLite file: who owns it, in what form it is, and the two threads that touch it.

1. One process owns a store. The kernel holds the lock (`flock`) and lets go of it when the process ends, however it
   ends; a second owner is refused.
2. `synchronous=FULL` in WAL mode: a commit returns when the log is on disk (sqlite.org/pragma.html#pragma_synchronous).
3. All writes run in one thread, each in its own transaction; all reads in another, over a read-only connection, so that
   they never wait behind writes (sqlite.org/wal.html). The event loop is never blocked.
4. The form of the file is the number in `user_version`. Files `migrations/NNNN_name.sql` lead from NNNN - 1 to NNNN,
   each in one transaction. A file of a later form is refused, not guessed at.
5. What SQLite or the system reports leaves this module as a `StoreError`; a full disk as `StoreFull`. The next write is
   tried afresh, so that a store goes on by itself when there is space again.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

from reconciler.errors import StoreBusy, StoreError, StoreFull

__all__ = ["INCREMENTAL", "SqliteFile", "latest_form", "store_path"]

T = TypeVar("T")

_FILE: Final = "store.sqlite3"
_LOCK: Final = "store.lock"

# STRICT tables came with 3.37; everything else that we use is older.
_OLDEST_SQLITE: Final = (3, 37)

_WRITER_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    # 16 MB of log between checkpoints: pages that many groups touch are written back once. 64 MB gained nothing more.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -65536",
    # Some distributions build SQLite to overwrite what it deletes; index entries come and go with every delivery.
    "PRAGMA secure_delete = OFF",
)
_READER_PRAGMAS: Final = (
    "PRAGMA cache_size = -16384",
    # Listings stop when they have enough. An index made on the way would read everything before the first row.
    "PRAGMA automatic_index = OFF",
)
_STATEMENTS_KEPT: Final = 256  # eleven sizes of each insert, and the rest

INCREMENTAL: Final = 2
"""The value of `PRAGMA auto_vacuum` in a file that can return pages."""

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT}


def store_path(directory: Path) -> Path:
    """Where the store of a data directory is."""
    return directory / _FILE


class SqliteFile:
    """The file of a store, owned by this process from `open` to `close`."""

    def __init__(self, directory: Path) -> None:
        self._path = store_path(directory)
        self._lock_path = directory / _LOCK
        self._lock: int | None = None
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._closed = False

    @classmethod
    async def open(cls, directory: Path) -> "SqliteFile":
        """Own the store in `directory`, which is made if missing, and bring it into the current form.

        Raises:
            StoreBusy: another process owns it.
            StoreError: it cannot be opened, or is of a later form than this program knows.
        """
        file = cls(directory)
        try:
            await file._in(file._writing, file._open_writer)
            await file._in(file._reading, file._open_reader)
        except BaseException:
            await file.close()
            raise
        return file

    def write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction of its own; the future is done when that is on disk, or undone."""
        self._check_open()
        return self._in(self._writing, lambda: self._transact(work))

    def read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run `work`, which reads; each of its statements sees one moment."""
        self._check_open()
        return self._in(self._reading, lambda: work(_connected(self._reader)))

    async def close(self) -> None:
        """Finish what was asked before, fold the log into the file, and let go of it; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._in(self._reading, self._close_reader)
        finally:
            # Last, because SQLite folds the log when the last connection closes, and a reader's may not write.
            await self._in(self._writing, self._close_writer)
            self._reading.shutdown()
            self._writing.shutdown()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path} was closed before")

    def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> asyncio.Future[T]:
        def translated() -> T:
            with self._translated():
                return work()

        return asyncio.get_running_loop().run_in_executor(thread, translated)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = _connected(self._writer)
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return result

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # Errors that the sqlite3 module finds itself, before it asks SQLite, carry no code.
            raise self._failure(error, full=getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL) from error
        except OSError as error:
            raise self._failure(error, full=error.errno in _NO_SPACE) from error

    def _failure(self, error: Exception, *, full: bool) -> StoreError:
        if full:
            return StoreFull(f"no space is left for {self._path}; make some (a running engine needs no restart)")
        return StoreError(f"{self._path} cannot be used: {error}")

    def _open_writer(self) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old for a store; 3.37 or later is needed")
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(self._lock_path)
        self._writer = sqlite3.connect(self._path, isolation_level=None, cached_statements=_STATEMENTS_KEPT)
        can_shrink = _let_shrink(self._writer)
        (mode,) = self._writer.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{self._path} is on a file system that cannot hold a store: it refuses a write-ahead log")
        for pragma in _WRITER_PRAGMAS:
            self._writer.execute(pragma)
        _migrate(self._writer, self._path)
        if not can_shrink:
            _rewrite(self._writer)

    def _open_reader(self) -> None:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        self._reader = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=_STATEMENTS_KEPT)
        for pragma in _READER_PRAGMAS:
            self._reader.execute(pragma)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        lock, self._lock = self._lock, None
        try:
            if writer is not None:
                writer.close()
        finally:
            if lock is not None:
                os.close(lock)


def _connected(connection: sqlite3.Connection | None) -> sqlite3.Connection:
    assert connection is not None, "used before it was opened"
    return connection


def _lock(path: Path) -> int:
    """Take the lock that names its owner; it is free again when the descriptor is closed or the process ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreBusy(
            f"{path.parent} is in use by another engine (process {owner}); stop that one, or give this one another"
            " directory"
        ) from None
    with contextlib.suppress(OSError):  # the number is for people; a full disk must not keep the lock from its owner
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _let_shrink(connection: sqlite3.Connection) -> bool:
    """Let the file return pages that it does not need; False when it holds something and can not do so yet."""
    connection.execute(
        f"PRAGMA auto_vacuum = {INCREMENTAL}"
    )  # a file that holds something ignores it until it is rewritten
    (given,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    return bool(pages == 0 or given == INCREMENTAL)


def _rewrite(connection: sqlite3.Connection) -> None:
    """Write the whole file anew, once in its life, so that it can return pages; where space is short, another time."""
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise


def latest_form() -> int:
    """The form into which this program brings a file."""
    return _steps()[-1][0]


def _steps() -> list[tuple[int, str]]:
    return sorted(
        (int(step.name[:4]), step.read_text(encoding="utf-8"))
        for step in resources.files("reconciler.store").joinpath("migrations").iterdir()
        if step.name.endswith(".sql")
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    steps = _steps()
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    latest, _ = steps[-1]
    if form > latest:
        raise StoreError(
            f"{path} was written by a later version of reconciler (form {form}; this one knows up to {latest});"
            " use that version, or give this one another directory"
        )
    for number, statements in steps:
        if number > form:
            connection.executescript(f"BEGIN IMMEDIATE;\n{statements}\nPRAGMA user_version = {number};\nCOMMIT;")
