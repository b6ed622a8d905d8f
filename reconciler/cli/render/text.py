"""What every rendered text has in common: colours, visible control characters, aligned columns, wrapped paragraphs.

1. Text that somebody else wrote passes through `visible` on its way to a screen: an escape sequence in a file name, a
   payload or a receiver's answer must not move the cursor, a bidirectional override must not reorder a line, and what
   takes no room must not make two different texts look alike.
2. Widths are counted in terminal cells: East Asian wide characters take two, combining ones none.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Paint", "cells", "chunks", "columns", "indent", "paragraphs", "plural", "visible"]

# C0 and C1 controls, line and paragraph separators, bidirectional controls (Unicode UAX #9), lone surrogates; then what
# is drawn as nothing at all: soft hyphen, joiners and zero-width blanks, fillers, tags.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\xad\u115f\u1160\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]",
)
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LINE_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours by meaning, so that no renderer names one."""

    coloured: bool

    def good(self, text: str) -> str:
        """What is created, accepted, fine."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """What is deleted, refused, wrong."""
        return self._in("31;1", text)

    def changed(self, text: str) -> str:
        """What is updated, retried, doubtful."""
        return self._in("33", text)

    def strong(self, text: str) -> str:
        """What a reader looks for first."""
        return self._in("1", text)

    def faint(self, text: str) -> str:
        """What frames the rest."""
        return self._in("2", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured and text else text


def visible(text: str) -> str:
    """The text on one line, its control characters and what nobody would see written as escapes."""
    if text.isascii() and text.isprintable():  # nearly always, and told sooner than by the search below
        return text
    return _CONTROL.sub(lambda match: _NAMED.get(match[0]) or _escape(match[0]), text)


def cells(text: str) -> int:
    """How many cells of a terminal the text takes; colours take none."""
    if "\x1b" in text:  # ours: `visible` leaves no other
        text = _COLOUR.sub("", text)
    if text.isascii():
        return len(text)
    return len(text) + sum(_cell_width(character) - 1 for character in _BEYOND_ASCII.findall(text))


def columns(rows: Sequence[Sequence[str]], *, gap: int = 2) -> list[str]:
    """Rows as lines whose columns stand below one another; the last one is not padded."""
    widths: list[int] = []
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        for index, text in enumerate(row[:-1]):
            widths[index] = max(widths[index], cells(text))
    return [
        "".join(text + " " * (widths[index] - cells(text) + gap) for index, text in enumerate(row[:-1])) + row[-1]
        for row in rows
    ]


def chunks(text: str, width: int) -> list[str]:
    """A line cut into pieces of at most `width` cells, at least one; nothing is lost, blanks included."""
    if cells(text) <= width:
        return [text]
    pieces: list[str] = []
    start = taken = 0
    for index, character in enumerate(text):
        wide = _cell_width(character)
        if taken + wide > width and index > start:
            pieces.append(text[start:index])
            start, taken = index, 0
        taken += wide
    return [*pieces, text[start:]]


def paragraphs(text: str) -> list[str]:
    """Lines of at most 100 cells; a line that is indented already, such as a command to copy, stays as it is."""
    lines: list[str] = []
    for line in text.splitlines():
        shown = visible(line)
        if line[:1].isspace() or not line:
            lines.append(shown)
        else:
            lines += textwrap.wrap(shown, _LINE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines


def indent(lines: Iterable[str], *, by: int) -> list[str]:
    """The same lines further to the right; empty ones stay empty."""
    return [" " * by + line if line else line for line in lines]


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """“1 error”, “2 errors”; `nouns` where an s is not enough."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or noun + 's'}"


def _escape(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _cell_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
