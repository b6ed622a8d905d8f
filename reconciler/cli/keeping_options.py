"""What `--keep-days` and `--keep-size` were given → how long and how much the engine keeps."""

import re
from datetime import timedelta
from typing import Final

from reconciler.cli.byte_size import bytes_of
from reconciler.diagnostics import Diagnostic
from reconciler.runtime.retention import Keeping

__all__ = ["keeping"]

_FOREVER: Final = "forever"
_DAYS: Final = re.compile(r"[1-9][0-9]{0,4}")
_LEAST: Final = 10**6  # less is a number whose unit was forgotten


def keeping(days: str, size: str | None) -> Keeping | Diagnostic:
    """Read both; without a size it is the age alone that counts."""
    if days != _FOREVER and not _DAYS.fullmatch(days):
        return Diagnostic(
            "keep-bad-days",
            "How long to keep messages can not be read",
            f"--keep-days takes a number of days from 1 on, or “{_FOREVER}”, not “{days}”.",
            "Write the days as a number:\n\n    --keep-days 30",
        )
    kept = None if size is None else bytes_of(size)
    if size is not None and (kept is None or kept < _LEAST):
        return Diagnostic(
            "keep-bad-size",
            "How much to keep can not be read",
            f"--keep-size takes a whole number with a unit from MB or MiB on, not “{size}”.",
            "Write the size with its unit:\n\n    --keep-size 2GB",
        )
    return Keeping(
        age=None if days == _FOREVER else timedelta(days=int(days)),
        size=kept,
    )
