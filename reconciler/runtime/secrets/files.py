"""Secrets in files: one for each in a directory, as Docker and Kubernetes mount them, or all of them in one.

1. A file is looked at once a second at most, and read again when it is another one: device, inode, size and time of
   change tell. Symbolic links are followed, for Kubernetes changes all files of a volume at once by moving one.
2. Of a file in a directory one line break at its end is taken off: editors and `echo` leave one, and no token has one.
3. One file with all of them is JSON, an object of texts, if its name ends in `.json`. Otherwise it has lines
   `NAME=VALUE`, as `docker run --env-file` takes them: a value reaches to the end of its line, without any expansion;
   quotes around all of it are taken off, and so is `export` in front. Blank lines and those that begin with # say
   nothing.
4. What was there and cannot be read any more keeps its last value, and is told in the log; what was taken away has
   none.
"""

import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

__all__ = ["LONGEST", "DirectoryOfSecrets", "FileOfSecrets", "Unreadable", "read_secrets"]

log = logging.getLogger("reconciler.secrets")

LONGEST: Final = 1024 * 1024
"""How many bytes a file may have."""

_LOOK_AGAIN_AFTER: Final = 1.0
_LINE = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)", re.DOTALL)

T = TypeVar("T")


class Unreadable(ValueError):
    """Why a file holds no secrets: a sentence that repeats nothing of it. `line` is 0 where it is not about one."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class DirectoryOfSecrets:
    """A file for each secret, called like it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._files: dict[str, _Watched[str]] = {}

    def __call__(self, name: str) -> str | None:
        """The content of the file of that name."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _Watched(self._path / name, _without_line_break, self._clock)
        return file.value()


class FileOfSecrets:
    """One file with all secrets."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = _Watched(path, lambda text: read_secrets(text, as_json=path.suffix == ".json"), clock)

    def __call__(self, name: str) -> str | None:
        """What the file says of that name."""
        secrets = self._file.value()
        return None if secrets is None else secrets.get(name)


def read_secrets(text: str, *, as_json: bool) -> Mapping[str, str]:
    """What a file of secrets says.

    Raises:
        Unreadable: it is not of the form that its name promises.
    """
    return _members(text) if as_json else _lines(text)


def _members(text: str) -> Mapping[str, str]:
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        # The error itself holds the whole text.
        raise Unreadable(f"It is not JSON: {error.msg}.", line=error.lineno) from None
    except RecursionError:
        raise Unreadable("It is nested too deeply.") from None
    if not isinstance(value, dict):
        raise Unreadable("It has to be a JSON object: values by the names of secrets.")
    for number, each in enumerate(value.values(), 1):
        if not isinstance(each, str):
            raise Unreadable(f"The value of member {number} is not a text.")
    return value


def _lines(text: str) -> Mapping[str, str]:
    secrets: dict[str, str] = {}
    for number, written in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = written.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        read = _LINE.fullmatch(line)
        if read is None:
            raise Unreadable("The line is not of the form NAME=VALUE.", line=number)
        value = read["value"]
        if len(value) > 1 and value[0] in "\"'" and value[0] == value[-1]:
            value = value[1:-1]
        secrets[read["name"]] = value
    return secrets


def _without_line_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


class _Watched(Generic[T]):
    """What a file holds, read again when it changed."""

    __slots__ = ("_clock", "_look_at", "_path", "_read", "_seen", "_value")

    def __init__(self, path: Path, read: Callable[[str], T], clock: Callable[[], float]) -> None:
        self._path = path
        self._read = read
        self._clock = clock
        self._look_at = 0.0
        self._seen: tuple[int, ...] | None = None
        self._value: T | None = None

    def value(self) -> T | None:
        now = self._clock()
        if self._seen is None or now >= self._look_at:
            self._look_at = now + _LOOK_AGAIN_AFTER
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            status = os.stat(self._path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return
            self._value = self._read(_text(self._path, status))
            self._seen = seen
        except FileNotFoundError:
            self._seen = self._value = None
        except OSError as error:
            self._failed(error.strerror or "the system refused")
        except Unreadable as error:
            self._failed(error.reason)

    def _failed(self, reason: str) -> None:
        log.warning("secret.unreadable", extra={"file": str(self._path), "reason": reason})


def _text(path: Path, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("It is not a file.")
    if status.st_size > LONGEST:
        raise Unreadable(f"It holds more than {LONGEST} bytes.")
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:  # which holds the bytes
        raise Unreadable("It is not UTF-8 text.") from None
