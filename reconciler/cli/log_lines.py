"""The engine's log: one line for each thing that happened, fields instead of prose.

    2026-11-23T14:19:18.123Z WARNING delivery.attempted delivery=655f2ac0….0 outcome=refused cause=500 step=retry-at

Values that hold blanks are quoted, control characters and all other white space are escaped: nothing from outside can
begin a line, or a field. As JSON a line is one object with `at`, `level` and `event` before the same fields; a
traceback is the text `exception`.

The audit log (`runtime.api.audit`) is JSON wherever it has a file of its own. The file is opened again when somebody
moved it away, as logrotate does, and only its owner can read it.
"""

import json
import logging
import os
import re
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TextIO

from reconciler.cli.options import LogFormat
from reconciler.cli.render.text import visible
from reconciler.runtime.api.audit import AUDIT_LOGGER

__all__ = ["JsonLines", "LogLines", "audit_to", "log_to"]

_ENGINE_LOGGER = "reconciler.engine"
# What every record has; the rest was given as `extra`, and is what the event is about.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


# What str.isspace() and terminals take for a blank, beside the blank itself (`visible` has escaped the controls).
_OTHER_SPACE = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")


class LogLines(logging.Formatter):
    """A record as one line, its traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = [f"{name}={_quoted(value)}" for name, value in vars(record).items() if name not in _OWN]
        words = [_at(record), record.levelname, _plain(record.getMessage()), *fields]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        event: dict[str, object] = {"at": _at(record), "level": record.levelname, "event": record.getMessage()}
        event |= {name: value for name, value in vars(record).items() if name not in _OWN and name not in event}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


class _AuditFile(WatchedFileHandler):
    """One line for each event; what can not be written is told in the ordinary log, and stops nothing."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_owner_only)

    def handleError(self, record: logging.LogRecord) -> None:
        logging.getLogger("reconciler.api").error(
            "audit.not-written", extra={"file": self.baseFilename, "audit": record.getMessage()}
        )


def audit_to(path: Path) -> None:
    """Write the audit log to a file alone; call it after `log_to`.

    Raises:
        OSError: it can not be opened.
    """
    file = _AuditFile(path, encoding="utf-8")
    file.setFormatter(JsonLines())
    logger = logging.getLogger(AUDIT_LOGGER)
    logger.handlers[:] = [file]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logging.getLogger(_ENGINE_LOGGER).removeFilter(_not_audited)


def _not_audited(record: logging.LogRecord) -> bool:
    """A publication is one event: `audit.published` says more of it, in the log too unless it has a file."""
    return record.msg != "revision.published"


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _at(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return f"{at.isoformat(timespec='milliseconds')}Z"


def log_to(stream: TextIO, *, level: int, form: LogFormat = LogFormat.TEXT) -> None:
    """Send the program's log to a stream; libraries speak only when something is wrong."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines() if form is LogFormat.TEXT else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("reconciler").setLevel(level)
    logging.getLogger(_ENGINE_LOGGER).addFilter(_not_audited)


def _plain(text: str) -> str:
    """Visible, with no white space but the blank."""
    shown = visible(text)
    return shown if shown.isascii() else _OTHER_SPACE.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def _quoted(value: object) -> str:
    text = _plain(str(value))
    if text and not any(character in text for character in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
