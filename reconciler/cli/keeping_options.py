"""What `--keep-days` and `--keep-size` were given → how long and how much the engine keeps."""

import re
from datetime import timedelta
from typing import Final

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.retention import Keeping

__all__ = ["keeping"]

_FOREVER: Final = "forever"
_DAYS: Final = re.compile(r"[1-9][0-9]{0,4}")
_SIZE: Final = re.compile(r"(?P<number>[1-9][0-9]{0,5}) ?(?P<unit>[MGT])B")
_BYTES: Final = {"M": 10**6, "G": 10**9, "T": 10**12}


def keeping(days: str, size: str | None) -> Keeping | Diagnostic:
    """Read both; without a size it is the age alone that counts."""
    if days != _FOREVER and not _DAYS.fullmatch(days):
        return Diagnostic(
            "keep-bad-days",
            "How long to keep messages can not be read",
            f"--keep-days takes a number of days from 1 on, or “{_FOREVER}”, not “{days}”.",
            "Write the days as a number:\n\n    --keep-days 30",
        )
    read = None if size is None else _SIZE.fullmatch(size.strip())
    if size is not None and read is None:
        return Diagnostic(
            "keep-bad-size",
            "How much to keep can not be read",
            f"--keep-size takes a whole number with MB, GB or TB, not “{size}”.",
            "Write the size with its unit:\n\n    --keep-size 2GB",
        )
    return Keeping(
        age=None if days == _FOREVER else timedelta(days=int(days)),
        size=None if read is None else int(read["number"]) * _BYTES[read["unit"]],
    )
