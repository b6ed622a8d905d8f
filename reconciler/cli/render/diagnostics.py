"""Diagnostics → text with the source line and a caret, JSON, and annotations for GitHub; SARIF has its own module.

Every form lists all findings in reading order (`diagnostics.in_reading_order`).
"""

import json
from collections.abc import Sequence
from typing import Final

from reconciler.cli.render.github import annotation
from reconciler.cli.render.line_mask import masked_in_place
from reconciler.cli.render.text import Paint, cells, indent, paragraphs, plural, visible
from reconciler.diagnostics import Diagnostic, Severity, Span, in_reading_order

__all__ = ["diagnostics_as_github", "diagnostics_as_json", "diagnostics_as_text", "source_of", "summary_line"]

# A JSON body can make one line of thousands of characters; this much of it surrounds the caret.
_EXCERPT_CELLS: Final = 110
_LEAD_CELLS: Final = 40


def diagnostics_as_text(diagnostics: Sequence[Diagnostic], *, paint: Paint) -> str:
    """One block for each finding, an empty line between them; empty when there is none."""
    return "\n".join(_block(diagnostic, paint) for diagnostic in in_reading_order(diagnostics))


def summary_line(diagnostics: Sequence[Diagnostic], *, files: int, paint: Paint) -> str:
    """How many findings there are, or that there is none."""
    found = in_reading_order(diagnostics)
    errors = sum(each.severity is Severity.ERROR for each in found)
    warnings = len(found) - errors
    if not found:
        return f"{paint.good('No problems')} in {plural(files, 'file')}."
    counts = []
    if errors:
        counts.append(paint.bad(plural(errors, "error")))
    if warnings:
        counts.append(paint.changed(plural(warnings, "warning")))
    return f"{' and '.join(counts)} in {plural(files, 'file')}."


def diagnostics_as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """One object: the findings, and how many of each severity there are."""
    found = in_reading_order(diagnostics)
    errors = sum(each.severity is Severity.ERROR for each in found)
    document = {
        "diagnostics": [_as_object(each) for each in found],
        "errors": errors,
        "warnings": len(found) - errors,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def diagnostics_as_github(diagnostics: Sequence[Diagnostic]) -> str:
    """One workflow command for each finding; GitHub shows it at the line of the pull request."""
    return "".join(f"{_annotation(each)}\n" for each in in_reading_order(diagnostics))


def source_of(span: Span) -> str:
    """The line as it can be shown to anybody: a password that stands there in clear is masked, columns stay."""
    return masked_in_place(span.source)


# Text


def _block(diagnostic: Diagnostic, paint: Paint) -> str:
    colour = paint.bad if diagnostic.severity is Severity.ERROR else paint.changed
    lines = [f"{colour(f'{diagnostic.severity}[{diagnostic.code}]')}: {paint.strong(visible(diagnostic.summary))}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic.span, paint)
    elif diagnostic.file:
        lines.append(f"  {paint.faint('-->')} {visible(diagnostic.file)}")
    if diagnostic.detail:
        lines += indent(paragraphs(diagnostic.detail), by=2)
    for label, span in diagnostic.related:
        lines.append(f"  {visible(label)}")
        lines += _excerpt(span, paint)
    if diagnostic.help:
        first, *rest = paragraphs(diagnostic.help)
        lines.append(f"  {paint.good('help')}: {first}")
        lines += indent(rest, by=2)
    return "\n".join(lines) + "\n"


def _excerpt(span: Span, paint: Paint) -> list[str]:
    number = str(span.line)
    margin = " " * len(number)
    source, carets = _underlined(span)
    bar = paint.faint("|")
    return [
        f"  {margin}{paint.faint('-->')} {visible(span.file)}:{span.line}:{span.column}",
        f"  {margin} {bar}",
        f"  {paint.faint(number)} {bar} {source}",
        f"  {margin} {bar} {paint.bad(carets)}",
    ]


def _underlined(span: Span) -> tuple[str, str]:
    """The source line as it can be shown, and the line of carets below it."""
    source = source_of(span)
    before = visible(source[: span.column - 1])
    marked = visible(source[span.column - 1 : span.end_column - 1])
    after = visible(source[span.end_column - 1 :])
    if cells(before) + cells(marked) + cells(after) > _EXCERPT_CELLS:
        if cells(before) > _LEAD_CELLS:
            before = f"…{before[-_LEAD_CELLS:]}"
        if cells(marked) > _EXCERPT_CELLS - _LEAD_CELLS:
            marked = f"{marked[: _EXCERPT_CELLS - _LEAD_CELLS]}…"
            after = ""
        room = max(_EXCERPT_CELLS - cells(before) - cells(marked), 0)
        if cells(after) > room:
            after = f"{after[:room]}…"
    pad = " " * cells(before)
    return before + marked + after, pad + "^" * max(cells(marked), 1)


# JSON


def _as_object(diagnostic: Diagnostic) -> dict[str, object]:
    file, line, column = diagnostic.place
    span = diagnostic.span
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "help": diagnostic.help,
        "file": file or None,
        "line": line or None,
        "column": column or None,
        "endColumn": None if span is None else span.end_column,
        "source": None if span is None else source_of(span),
        "related": [
            {"label": label, "file": place.file, "line": place.line, "column": place.column}
            for label, place in diagnostic.related
        ],
    }


# GitHub


def _annotation(diagnostic: Diagnostic) -> str:
    file, _, _ = diagnostic.place
    message = "\n".join(part for part in (diagnostic.detail, diagnostic.help) if part) or diagnostic.summary
    title = f"{diagnostic.summary} [{diagnostic.code}]"
    return annotation(diagnostic.severity, message, title=title, span=diagnostic.span, file=file)
