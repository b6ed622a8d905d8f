"""Sizes as people write them in options: `500MB`, `2GiB`."""

import re
from typing import Final

__all__ = ["bytes_of"]

_UNITS: Final = {"": 1} | {
    f"{prefix}{binary}B": (1024 if binary else 1000) ** power
    for power, prefix in enumerate("KMGT", start=1)
    for binary in ("", "i")
}
_SIZE = re.compile(rf"(?P<number>[0-9]{{1,15}}) ?(?P<unit>{'|'.join(sorted(_UNITS, reverse=True))})", re.ASCII)


def bytes_of(text: str) -> int | None:
    """How many bytes: `MB` are of a thousand, `MiB` of 1,024, without a unit they are bytes; None for anything else."""
    read = _SIZE.fullmatch(text.strip())
    return None if read is None else int(read["number"]) * _UNITS[read["unit"]]
