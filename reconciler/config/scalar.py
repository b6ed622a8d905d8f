"""What a plain scalar stands for: the YAML 1.2 core schema (YAML 1.2.2 section 10.3).

`yes`, `on`, `12:30` and `2023-01-01` are texts, `010` is ten, `0o10` eight.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["MAX_DIGITS", "NUMBER_START", "WORDS", "is_number", "plain_scalar"]

MAX_DIGITS: Final = 100
"""No number is longer: converting a very long one is costly."""

NUMBER_START: Final = frozenset("+-.0123456789")
"""What every number begins with."""

WORDS: Final[Mapping[str, bool | None]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""The plain scalars that are neither texts nor numbers."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def is_number(text: str) -> bool:
    """Whether a plain scalar is a number."""
    return bool(_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text))


def plain_scalar(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar of at most `MAX_DIGITS` characters if it is a number."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        if text[:2] == "0o":
            return int(text[2:], 8)
        return int(text, 16) if text[:2] == "0x" else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
