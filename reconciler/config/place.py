"""A YAML document that can tell the place of everything in it.

Values are plain; beside them stand their marks, a tree of the same shape that holds nothing but offsets in the text.
Lines, columns and source lines are made from them when a message needs them: of 10,000 callbacks most never do. The
marks themselves are asked for only then, and not where a cheaper way finds the one place that is needed.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from reconciler.config.position import extent, within
from reconciler.diagnostics import Diagnostic, Span

__all__ = ["Document", "Marks", "Plain", "Source", "SourceText", "Steps", "first_offset"]

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

    def span(self, start: int, end: int) -> Span:
        """The place of `text[start:end]`, cut at the end of its first line; at least one character wide."""
        line, begin = self._line(start)
        found = _LINE_BREAK.search(self.text, begin)
        source = self.text[begin : found.start() if found else len(self.text)]
        column = start - begin
        width = min(end - begin, len(source)) - column
        return Span(self.name, line, column + 1, column + 1 + max(width, 1), source)

    def _line(self, at: int) -> tuple[int, int]:
        """The number of the line that a character stands on, and where that line begins."""
        if "\r" not in self.text:
            return self.text.count("\n", 0, at) + 1, self.text.rfind("\n", 0, at) + 1
        starts = [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]
        line = bisect_right(starts, at)
        return line, starts[line - 1]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, and the place of everything in it."""

    source: SourceText
    value: Plain
    marks: Callable[[], Marks] = field(repr=False, compare=False)
    _offsets: Callable[[Steps], tuple[int, int | None] | None] = field(
        default=lambda steps: None, repr=False, compare=False
    )
    """Where the last key on a way begins, and the value behind it on its line; None when only the marks can tell."""

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
        return self._follow(steps)[1] == len(steps)

    def value_at(self, steps: Steps) -> Plain:
        """The value at the end of the way; None when there is nothing, or null."""
        value, taken = self._follow(steps)
        return value if taken == len(steps) else None

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

    def _follow(self, steps: Steps) -> tuple[Plain, int]:
        """The value at the end of the way, or the last there is, and how many steps lead to it."""
        value = self.value
        for taken, step in enumerate(steps):
            if isinstance(value, dict) and isinstance(step, str) and step in value:
                value = value[step]
                continue
            if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
                value = value[step]
                continue
            return value, taken
        return value, len(steps)

    def _find(self, steps: Steps) -> tuple[Plain, tuple[int, str] | None, Marks, bool]:
        """The value at the end of the way, or the last there is, with its key and marks, and whether it is the end."""
        value, taken = self._follow(steps)
        way = steps[:taken]
        key, marks = self._found_again(value, way) or self._marked(way)
        return value, key, marks, taken == len(steps)

    def _found_again(self, value: Plain, way: Steps) -> tuple[tuple[int, str], Marks] | None:
        """The key and the first mark of the value at the end of the way, if they can be had without all the others."""
        found = self._offsets(way)
        if found is None:
            return None
        start, behind = found
        if isinstance(value, (dict, list)):
            return (start, str(way[-1])), ()
        return None if behind is None else ((start, str(way[-1])), behind)

    def _marked(self, way: Steps) -> tuple[tuple[int, str] | None, Marks]:
        """The key, if there is one, and the marks of the value at the end of the way."""
        value, key, marks = self.value, None, self.marks()
        for step in way:
            assert isinstance(marks, tuple), "marks have the shape of the value"
            if isinstance(value, dict) and isinstance(step, str):
                index = 1 + 2 * list(value).index(step)
                key = first_offset(marks[index]), step
                value, marks = value[step], marks[index + 1]
            elif isinstance(value, list) and isinstance(step, int):
                value, marks = value[step], marks[1 + step]
                key = None
        return key, marks


@dataclass(frozen=True, slots=True)
class Source:
    """What a file held, and what is wrong with it as YAML."""

    documents: tuple[Document, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
