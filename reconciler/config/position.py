"""Where a character of a scalar's value was written.

A value is not its text: quotes and escapes are undone, indentation is taken away, line breaks are folded. A message
about the tenth character of a URL has to find the place in the file all the same. Rules (YAML 1.2.2 chapters 7 and 8):

1. Plain and quoted scalars: an escape is one character of the value and several of the text; a line break, with the
   blanks around it, is one blank, and n of them are n - 1 line breaks; one behind a backslash is nothing.
2. Block scalars: what stands behind the indentation is the value; a line break is a blank, a line break or nothing.
3. Text and value are walked side by side. Where they disagree the answer is None, and the caller points at the
   scalar's beginning: a place that is roughly right is better than one that is exactly wrong.

Positions are looked up only for a scalar that a message is about, so that reading pays nothing for them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Extent", "characters", "extent", "within"]

_BLOCK_STYLES: Final = frozenset("|>")
_QUOTES: Final = frozenset("\"'")

_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t\r\n]+)*")
_BREAK = r"(?:\r\n?|\n)"
_FOLD = rf"[ \t]*{_BREAK}(?:[ \t]*{_BREAK})*[ \t]*"
_ESCAPE = rf"\\(?:x[0-9A-Fa-f]{{2}}|u[0-9A-Fa-f]{{4}}|U[0-9A-Fa-f]{{8}}|{_BREAK}[ \t]*|[^\r\n])"
_TOKENS = {
    '"': re.compile(rf"(?P<escape>{_ESCAPE})|(?P<fold>{_FOLD})|(?P<end>\")|(?P<plain>.)", re.DOTALL),
    "'": re.compile(rf"(?P<escape>'')|(?P<fold>{_FOLD})|(?P<end>')|(?P<plain>.)", re.DOTALL),
    "": re.compile(rf"(?P<escape>(?!))|(?P<fold>{_FOLD})|(?P<end>(?!))|(?P<plain>.)", re.DOTALL),
}
_BREAKS = re.compile(_BREAK)
_LINE = re.compile(rf"(?P<content>[^\r\n]*)(?P<end>{_BREAK}|\Z)")
_TOKEN_OF_A_PLAIN_SCALAR = re.compile(r"[^\s,\[\]{}]+")


@dataclass(frozen=True, slots=True)
class Extent:
    """The characters of a text from `start` up to, and without, `end`."""

    start: int
    end: int


def extent(text: str, start: int, value: object) -> Extent:
    """The whole scalar that begins at `start`, quotes included; of a block scalar its header only.

    A scalar without any text, such as a value that was left out, is empty: start and end are the same.
    """
    start = _behind_properties(text, start)
    style = text[start : start + 1]
    if style in _BLOCK_STYLES:
        header = _LINE.match(text, start)
        return Extent(start, header.end("content") if header else start + 1)
    if not isinstance(value, str):
        token = _TOKEN_OF_A_PLAIN_SCALAR.match(text, start)
        return Extent(start, start if token is None or (value is None and token[0][0] in "#:") else token.end())
    found = characters(text, start, value)
    if found is None:
        return Extent(start, start + 1)
    if style in _QUOTES:
        quote = text.find(style, found[-1].end if found else start + 1)
        return Extent(start, max(quote, start) + 1)
    return Extent(start, found[-1].end if found else start)


def within(text: str, start: int, value: str, *, offset: int, length: int) -> Extent | None:
    """Where `value[offset : offset + length]` was written; behind the last character for what is missing there.

    `start` is where the scalar begins, or its anchor. None when text and value do not fit each other.
    """
    found = characters(text, start, value)
    if found is None:
        return None
    if offset < len(found):
        return Extent(found[offset].start, found[min(offset + length, len(found)) - 1].end)
    if found:
        return Extent(found[-1].end, found[-1].end + 1)
    whole = extent(text, start, value)
    return Extent(whole.start, max(whole.end, whole.start + 1))


def characters(text: str, start: int, value: str) -> Sequence[Extent] | None:
    """Where each character of `value` was written; None when text and value do not fit each other."""
    start = _behind_properties(text, start)
    style = text[start : start + 1]
    if style in _BLOCK_STYLES:
        return _in_block(text, start, value)
    if style in _QUOTES:
        return _in_flow(text, start + 1, value, style)
    return _in_flow(text, start, value, "")


def _behind_properties(text: str, start: int) -> int:
    properties = _PROPERTIES.match(text, start)
    return properties.end() if properties else start


def _in_flow(text: str, at: int, value: str, style: str) -> list[Extent] | None:
    found: list[Extent] = []
    match_token = _TOKENS[style].match
    while len(found) < len(value):
        token = match_token(text, at)
        if token is None or token.lastgroup == "end":
            return None
        at = token.end()
        match token.lastgroup:
            case "fold":
                breaks = len(_BREAKS.findall(token[0]))
                expected = " " if breaks == 1 else "\n" * (breaks - 1)
            case "escape":
                expected = "" if token[0][1] in "\r\n" else value[len(found)]
            case _:
                expected = token[0]
        if not value.startswith(expected, len(found)):
            return None
        found += [Extent(*token.span())] * len(expected)
    return found


def _in_block(text: str, start: int, value: str) -> list[Extent] | None:
    lines = _LINE.finditer(text, start)
    next(lines, None)  # the header: an indicator, and perhaps a comment
    found: list[Extent] = []
    indent: int | None = None
    for line in lines:
        if len(found) >= len(value):
            break
        first, last = line.span("content")
        if indent is None and line["content"].strip(" "):
            indent = _blanks(line["content"]) - _blanks(value.lstrip("\n"))
        content = "" if indent is None else text[min(first + indent, last) : last]
        if not value.startswith(content, len(found)):
            return None
        found += (Extent(at, at + 1) for at in range(last - len(content), last))
        if len(found) < len(value) and value[len(found)] in " \n":
            found.append(Extent(last, line.end()))
    return found if len(found) >= len(value) else None


def _blanks(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
