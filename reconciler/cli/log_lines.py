"""The engine's log on stderr: one line for each thing that happened, fields instead of prose.

    2026-11-23T14:19:18.123Z WARNING delivery.attempted delivery=655f2ac0….0 outcome=refused cause=500 step=retry-at

Values that hold blanks are quoted, and control characters are escaped: nothing from outside can begin a line.
"""

import logging
from datetime import UTC, datetime
from typing import TextIO

from reconciler.cli.render.text import visible

__all__ = ["LogLines", "log_to"]

# What every record has; the rest was given as `extra`, and is what the event is about.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogLines(logging.Formatter):
    """A record as one line, its traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        fields = [f"{name}={_quoted(value)}" for name, value in vars(record).items() if name not in _OWN]
        words = [f"{at.isoformat(timespec='milliseconds')}Z", record.levelname, visible(record.getMessage()), *fields]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to(stream: TextIO, *, level: int) -> None:
    """Send the program's log to a stream; libraries speak only when something is wrong."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("reconciler").setLevel(level)


def _quoted(value: object) -> str:
    text = visible(str(value))
    if text and not any(character in text for character in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
