"""A YAML document that can tell the place of everything in it.

Values are plain; beside them stand their marks, a tree of the same shape that holds nothing but offsets in the text.
Lines, columns and source lines are made from them when a message needs them: of 10,000 callbacks most never do.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

from reconciler.config.position import extent, within
from reconciler.diagnostics import Span

__all__ = ["Document", "Marks", "Plain", "SourceText", "Steps", "first_offset"]

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What a YAML document holds."""

Steps: TypeAlias = tuple[str | int, ...]
"""The way from a document's root to a value: keys and indexes."""

Marks: TypeAlias = "int | tuple[Marks, ...]"
"""An offset in the text; for a collection a tuple of its own, then one per item, or one per key and value, in order."""

_LINE_BREAK = re.compile(r"\r\n?|\n")


def first_offset(marks: Marks) -> int:
    """Where a value begins."""
    while isinstance(marks, tuple):
        marks = marks[0]
    return marks


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a file, and the name by which people know it."""

    name: str
    text: str
    _line_starts: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def span(self, start: int, end: int) -> Span:
        """The place of `text[start:end]`, cut at the end of its first line; at least one character wide."""
        if not self._line_starts:
            self._line_starts.append(0)
            self._line_starts.extend(found.end() for found in _LINE_BREAK.finditer(self.text))
        line = bisect_right(self._line_starts, start)
        begin = self._line_starts[line - 1]
        found = _LINE_BREAK.search(self.text, begin)
        source = self.text[begin : found.start() if found else len(self.text)]
        column = start - begin
        width = min(end - begin, len(source)) - column
        return Span(self.name, line, column + 1, column + 1 + max(width, 1), source)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, and the place of everything in it."""

    source: SourceText
    value: Plain
    _marks: Marks = field(repr=False, compare=False)

    def span(self, steps: Steps = (), *, offset: int | None = None, length: int = 1) -> Span:
        """The place of a value; of `length` characters of it from `offset` on.

        A collection is shown by its key, and what is missing by the key of what it is missing from.
        """
        value, key, marks, found = self._find(steps)
        if not found or not isinstance(marks, int) or isinstance(value, (list, dict)):
            return self._key_span(key, marks)
        text = self.source.text
        if offset is not None and isinstance(value, str):
            part = within(text, marks, value, offset=offset, length=length)
            if part is not None:
                return self.source.span(part.start, part.end)
        whole = extent(text, marks, value)
        if whole.start == whole.end:
            return self._key_span(key, marks)
        return self.source.span(whole.start, whole.end)

    def key_span(self, steps: Steps) -> Span:
        """The place of the last key on the way."""
        _, key, marks, _ = self._find(steps)
        return self._key_span(key, marks)

    def holds(self, steps: Steps) -> bool:
        """Whether there is a value at the end of the way."""
        return self._find(steps)[3]

    def value_at(self, steps: Steps) -> Plain:
        """The value at the end of the way; None when there is nothing, or null."""
        value, _, _, found = self._find(steps)
        return value if found else None

    def written(self, steps: Steps) -> str:
        """A scalar as text: a text as it is, a number or flag as it was written (1.10 is not 1.1)."""
        value, _, marks, _ = self._find(steps)
        if isinstance(value, str):
            return value
        whole = extent(self.source.text, first_offset(marks), value)
        return self.source.text[whole.start : whole.end]

    def _key_span(self, key: tuple[int, str] | None, marks: Marks) -> Span:
        if key is None:
            start = first_offset(marks)
            return self.source.span(start, start + 1)
        start, text = key
        whole = extent(self.source.text, start, text)
        return self.source.span(whole.start, whole.end)

    def _find(self, steps: Steps) -> tuple[Plain, tuple[int, str] | None, Marks, bool]:
        """The value at the end of the way, or the last there is, with its key and marks, and whether it is the end."""
        value, key, marks = self.value, None, self._marks
        for step in steps:
            if not isinstance(marks, tuple):
                return value, key, marks, False
            if isinstance(value, dict) and isinstance(step, str) and step in value:
                index = 1 + 2 * list(value).index(step)
                key = first_offset(marks[index]), step
                value, marks = value[step], marks[index + 1]
            elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
                value, marks = value[step], marks[1 + step]
                key = None
            else:
                return value, key, marks, False
        return value, key, marks, True
