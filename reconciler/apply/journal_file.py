"""The files that remember an apply: `.reconciler/journal/ENV.ndjson` and, beside it, the plan that it carries out.

1. A line is on disk (fsync) before the next step is made. The plan is there before the first line is: a journal without
   its plan can not be.
2. There is one journal for each environment, that of the last apply. The next one takes its place, atomically.
3. Who writes has the lock, and the kernel lets go of it however the process ends: an apply that is still running is
   told from one that was killed.
4. The folder is left alone by git wherever it is, so that it makes no commit look edited.
5. What the system refuses leaves this module as a `StoreError`.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

from reconciler.apply.journal import Abandoned, Begun, Course, Entry, Finished, dump_entry, load_journal
from reconciler.codec.plan import dump_plan, load_plan
from reconciler.errors import StoreBusy, StoreError
from reconciler.model.plan import Plan

if sys.platform != "win32":
    import fcntl

__all__ = ["JournalFile", "read_course"]


class JournalFile:
    """The journal of an environment, held by this process from `open` to `close`."""

    def __init__(self, folder: Path, environment: str, *, now: Callable[[], datetime]) -> None:
        """Nothing is touched before `open`; `folder` is the project's `.reconciler/journal`."""
        self._folder = folder
        self._path = folder / f"{environment}.ndjson"
        self._plan_path = folder / f"{environment}.plan.json"
        self._lock_path = folder / f"{environment}.lock"
        self._now = now
        self._plan: Plan | None = None
        self._lock: int | None = None
        self._lines: int | None = None

    def open(self) -> Self:
        """Take the lock.

        Raises:
            StoreBusy: an apply of the same environment is running.
            StoreError: the folder can not be written to.
        """
        with self._translated():
            if not self._folder.exists():
                self._folder.mkdir(parents=True)
                (self._folder / ".gitignore").write_text("*\n", encoding="ascii")
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            if sys.platform != "win32":
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(self._lock)
                    self._lock = None
                    raise StoreBusy(
                        f"Another apply of this environment is running in this project: {self._lock_path} is locked."
                    ) from None
        return self

    def close(self) -> None:
        """Let go of the files; safe to call twice."""
        for descriptor in (self._lines, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._lines = self._lock = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def course(self) -> Course | None:
        """What the journal tells; None when there is none.

        Raises:
            StoreError: it can not be read, or is damaged.
        """
        return read_course(self._path)

    def plan(self, course: Course) -> Plan:
        """The plan that the journal is about.

        Raises:
            StoreError: it can not be read, or is another one.
        """
        with self._translated():
            try:
                plan = load_plan(self._plan_path.read_bytes())
            except ValueError as error:
                raise StoreError(f"{self._plan_path} can not be used: {error}") from error
        if plan.digest != course.begun.plan:
            raise StoreError(f"{self._plan_path} holds another plan than the one that {self._path} tells of.")
        return plan

    def keep(self, plan: Plan) -> Callable[[Entry], None]:
        """Where an apply of this plan notes its steps; its first line replaces the journal before it."""
        self._plan = plan
        return self.note

    def note(self, entry: Entry) -> None:
        """Write a line, and return once it is on disk.

        Raises:
            StoreError: it could not be written.
        """
        line = dump_entry(entry, at=self._now())
        with self._translated():
            if isinstance(entry, Begun):
                assert self._plan is not None, "an apply keeps its plan before it begins"
                self._replace(self._plan_path, dump_plan(self._plan))
                self._replace(self._path, line)
                return
            self._append(line)
            if isinstance(entry, Abandoned) or (isinstance(entry, Finished) and entry.outcome == "done"):
                self._plan_path.unlink(missing_ok=True)  # nothing will be done by it any more

    def _append(self, line: bytes) -> None:
        if self._lines is None:
            self._lines = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            # A last line without its line break must not become the beginning of this one.
            os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)
        try:
            _write(self._lines, line)
            os.fsync(self._lines)
        except OSError:
            os.close(self._lines)
            self._lines = None
            raise

    def _replace(self, path: Path, data: bytes) -> None:
        """Put a file in the place of another; after a crash it is the one or the other, whole."""
        new = path.with_name(f"{path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(new, path)
        _sync_folder(self._folder)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self._folder
            raise StoreError(f"The journal of an apply can not be kept in {where}: {error.strerror}.") from error


def read_course(path: Path) -> Course | None:
    """What a journal tells; None when there is none. As `JournalFile.course`."""
    try:
        return load_journal(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"The journal {path} can not be read: {error.strerror}.") from error
    except ValueError as error:
        raise StoreError(f"The journal {path} is damaged, and nothing is guessed. {error}") from error


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it: one call may take a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """Make a renamed file's name durable; Windows has no such call, and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
