"""Diagnostics → SARIF 2.1.0 (OASIS), the form that code scanning services read.

1. Columns count code points (`columnKind`, section 3.14.17 of the standard); lines and columns from 1, as ours.
2. File names become relative URI references (section 3.4.4): percent-encoded, with forward slashes.
3. Each code that occurs is a rule, with its explain page as help (section 3.49).
"""

import json
from collections.abc import Callable, Sequence
from urllib.parse import quote

from reconciler import __version__
from reconciler.cli.render.diagnostics import source_of
from reconciler.diagnostics import Diagnostic, Severity, Span, in_reading_order

__all__ = ["diagnostics_as_sarif"]

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def diagnostics_as_sarif(diagnostics: Sequence[Diagnostic], *, page: Callable[[str], str | None]) -> str:
    """One run with every finding; `page` gives the explain page of a code."""
    found = in_reading_order(diagnostics)
    summaries = {each.code: each.summary for each in found}
    codes = sorted(summaries)
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "reconciler",
                        "semanticVersion": __version__,
                        "rules": [_rule(code, summaries[code], page(code)) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(each, codes.index(each.code)) for each in found],
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _rule(code: str, summary: str, page: str | None) -> dict[str, object]:
    rule: dict[str, object] = {"id": code, "shortDescription": {"text": summary}}
    if page is not None:
        rule["help"] = {"text": page, "markdown": page}
    return rule


def _result(diagnostic: Diagnostic, rule_index: int) -> dict[str, object]:
    sentences = (diagnostic.summary, diagnostic.detail, diagnostic.help)
    result: dict[str, object] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule_index,
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": "\n".join(text for text in sentences if text)},
    }
    if diagnostic.span is not None:
        result["locations"] = [{"physicalLocation": _place(diagnostic.span)}]
    elif diagnostic.file:
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(diagnostic.file)}}}]
    if diagnostic.related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": label}, "physicalLocation": _place(span)}
            for number, (label, span) in enumerate(diagnostic.related, start=1)
        ]
    return result


def _place(span: Span) -> dict[str, object]:
    return {
        "artifactLocation": {"uri": _uri(span.file)},
        "region": {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.line,
            "endColumn": span.end_column,
            "snippet": {"text": source_of(span)},
        },
    }


def _uri(file: str) -> str:
    return quote(file.replace("\\", "/"), safe="/", errors="surrogateescape")
