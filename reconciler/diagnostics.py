"""Findings about what the user wrote, as values.

A `Diagnostic` is a collection of facts; `cli.render` turns it into text, JSON, SARIF or annotations. Rules:

1. `code` is a kebab-case slug that names the problem, never the remedy; `reconciler explain CODE` has a page for each.
2. `summary` never contains text of the user, so that the same problem always reads the same.
3. `detail` says what, where and why it matters, in full sentences. `help` says what to do; a line that can be copied
   stands alone.
4. Collect all; sort only when rendering; never stop at the first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Diagnostic", "Severity", "Span", "has_errors", "in_reading_order"]

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class Severity(StrEnum):
    """How much a finding matters: an error refuses the run, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file.

    `line` and `column` count from 1, columns in characters; `end_column` is exclusive and on the same line.
    `source` is the whole line without its line break, so that a renderer never has to read the file again.
    """

    file: str
    line: int
    column: int
    end_column: int
    source: str

    def __post_init__(self) -> None:
        if self.line < 1 or self.column < 1 or self.end_column <= self.column:
            raise ValueError(f"not a place in a file: {self.line}:{self.column}-{self.end_column}")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `file` names the place when there is no line to show (a missing or empty file); it is ignored beside a `span`.
    `related` holds further places with a short label each, such as the first of two duplicates.
    """

    code: str
    summary: str
    detail: str = ""
    help: str = ""
    severity: Severity = Severity.ERROR
    span: Span | None = None
    file: str | None = None
    related: tuple[tuple[str, Span], ...] = ()

    def __post_init__(self) -> None:
        if not _SLUG.match(self.code):
            raise ValueError(f"a diagnostic's code is a kebab-case slug, not {self.code!r}")
        if not self.summary:
            raise ValueError("a diagnostic without a summary says nothing")

    @property
    def place(self) -> tuple[str, int, int]:
        """File, line and column; an empty file name and zeros where there is none."""
        if self.span is not None:
            return self.span.file, self.span.line, self.span.column
        return self.file or "", 0, 0


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, line and column, each finding once."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.place, d.code, d.detail)))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether one of them refuses the run."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
