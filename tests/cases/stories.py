"""Stories: Markdown with the files of a project and what is found in them.

A story is a section. Fenced blocks named like files (```yaml device-types/tracker.yaml) are its files; a project file
that works is added when it has none of its own. A block of environment variables is called `environ`. A block called
`diagnostics` says what loading reports, for every environment, or for one (```diagnostics -e prod). A block called
`none` leaves the project file out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.config.load import load
from reconciler.diagnostics import Diagnostic, Span

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: stories
sources: [device-types/**/*.yaml]
"""

_BLOCK = re.compile(r"^```(?P<language>[a-z]+) *(?P<name>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Story:
    """One section of a page; `expected` is the text of its diagnostics block, from `start` to `end` in the page."""

    title: str
    files: Mapping[str, str]
    environ: Mapping[str, str]
    environment: str | None
    expected: str | None
    start: int
    end: int

    def found(self, root: Path) -> tuple[Diagnostic, ...]:
        """Write the files below `root`, which has to be the current directory, and load them."""
        for name, text in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, newline="")
        return load(Path(), environ=self.environ, environment=self.environment).diagnostics


def stories(page: str) -> Iterator[Story]:
    """The sections of a page that hold files or expectations."""
    headings = [*_HEADING.finditer(page)]
    ends = [heading.start() for heading in headings[1:]] + [len(page)]
    for heading, section_end in zip(headings, ends, strict=True):
        files: dict[str, str] = {}
        environ: dict[str, str] = {}
        expected, environment, start, end = None, None, 0, 0
        has_project = True
        for block in _BLOCK.finditer(page, heading.end(), section_end):
            match block["language"]:
                case "yaml":
                    files[block["name"]] = block["text"]
                case "environ":
                    environ = dict(line.split("=", 1) for line in block["text"].splitlines())
                case "diagnostics":
                    expected, (start, end) = block["text"], block.span("text")
                    environment = block["name"].removeprefix("-e ") or None
                case "none":
                    has_project = False
                case _:
                    pass
        if has_project and files:
            files.setdefault("reconciler.yaml", PROJECT)
        if files or expected is not None:
            yield Story(heading["title"], files, environ, environment, expected, start, end)


def as_text(found: tuple[Diagnostic, ...]) -> str:
    """Diagnostics as stories show them: place, code and summary, the line with carets, what is said about it."""
    return "\n".join(_as_text(each) for each in found) if found else "none\n"


def _as_text(diagnostic: Diagnostic) -> str:
    place = _place(diagnostic.span) if diagnostic.span else diagnostic.file
    lines = [f"{place} {diagnostic.severity}[{diagnostic.code}] {diagnostic.summary}", *_excerpt(diagnostic.span)]
    lines.append(f"  {diagnostic.detail}")
    for label, span in diagnostic.related:
        lines += f"  {label}: {_place(span)}", *_excerpt(span)
    if diagnostic.help:
        lines.append(f"  help: {diagnostic.help}".replace("\n", "\n  "))
    return "\n".join(lines) + "\n"


def _place(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}"


def _excerpt(span: Span | None) -> Iterator[str]:
    if span is not None:
        yield f"    | {span.source}".rstrip()
        yield "    | " + " " * (span.column - 1) + "^" * (span.end_column - span.column)
