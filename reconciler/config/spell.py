"""Values → YAML, as a person would write them and `fmt` leaves them.

1. A text has no quotes when it is made of words and reads back as itself, in YAML 1.1 too; otherwise it is quoted.
2. A text of several lines is a literal block if it can be read as one, else it is quoted with escapes; so are
   characters that nobody sees.
3. Mappings are blocks, except below the keys in `_ON_ONE_LINE`; lists stand in brackets.
"""

import re
from collections.abc import Mapping
from typing import Final

from reconciler.config.place import Plain
from reconciler.config.scalar import is_number

__all__ = ["STEP", "entry", "on_one_line", "quoted", "scalar"]

STEP: Final = 2
"""Blanks for each level."""

_ON_ONE_LINE: Final = frozenset({"downlink"})

_WORDS = re.compile(r"[^\W_][\w./+@-]*(?:,? [(]?[^\W_][\w./+@'-]*[)]?)*\.?")
_NAME = re.compile(r"[^\W_][\w./-]*")
_DURATION = re.compile(r"[0-9]+[smhd]")
_READ_AS_SOMETHING_ELSE: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_ESCAPES: Final[Mapping[str, str]] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """A text of one line in quotes: double ones, unless single ones need fewer escapes."""
    if text.count("'") < text.count('"') + text.count("\\"):
        return "'" + text.replace("'", "''") + "'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def scalar(value: str | int | float | bool | None, *, in_flow: bool = False) -> str:
    """A scalar on one line; `in_flow` when it stands in braces or brackets."""
    match value:
        case str():
            if _is_plain(value) and not (in_flow and "," in value):
                return value
            return quoted(value) if value.isprintable() else f'"{"".join(map(_escaped, value))}"'
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def on_one_line(value: Plain) -> str:
    """Any value on one line, as it may stand in braces and brackets."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key_text(key)}: {on_one_line(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(on_one_line, value)) + "]"
    return scalar(value, in_flow=True)


def entry(key: str, value: Plain, *, column: int = 0) -> list[str]:
    """The lines of a key with its value."""
    head = " " * column + key_text(key) + ":"
    match value:
        case dict() if value and key not in _ON_ONE_LINE:
            return [head, *(line for name, each in value.items() for line in entry(name, each, column=column + STEP))]
        case dict() | list():
            return [f"{head} {on_one_line(value)}"]
        case str() if is_block(value):
            header, *content = block(value, column=column + STEP)
            return [f"{head} {header}", *content]
        case _:
            return [f"{head} {scalar(value)}"]


def key_text(key: str) -> str:
    """A key as it is written."""
    return key if _NAME.fullmatch(key) and _is_plain(key) else scalar(key, in_flow=True)


def is_block(text: str) -> bool:
    """Whether a text is written as a literal block: several lines, none with blanks at its end, the first not empty."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    return (
        "\n" in text
        and body[:1] not in {"", " ", "\n"}
        and all(line.isprintable() and line == line.rstrip() for line in lines)
        and bool(lines[-1])
    )


def block(text: str, *, column: int) -> list[str]:
    """The header of a literal block, and its lines at a column."""
    header, body = ("|", text[:-1]) if text.endswith("\n") else ("|-", text)
    return [header, *(" " * column + line if line else "" for line in body.split("\n"))]


def _is_plain(text: str) -> bool:
    if not _WORDS.fullmatch(text) or text.lower() in _READ_AS_SOMETHING_ELSE:
        return False
    return not text[0].isdecimal() or bool(_DURATION.fullmatch(text)) or _is_name_with_digits(text)


def _is_name_with_digits(text: str) -> bool:
    # 1e5, 0x1F, 12.5 and, in YAML 1.1, 1_000 and 1.2.3: what may be a number somewhere is quoted.
    return not is_number(text) and bool(re.search(r"[g-zG-Z]", text)) and not re.match(r"0[xob]", text)


def _escaped(character: str) -> str:
    if character in _ESCAPES or character.isprintable():
        return _ESCAPES.get(character, character)
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
