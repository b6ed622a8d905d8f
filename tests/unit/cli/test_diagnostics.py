"""Diagnostics as text, JSON, annotations and SARIF."""

import json

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.render.diagnostics import (
    diagnostics_as_github,
    diagnostics_as_json,
    diagnostics_as_text,
    summary_line,
)
from reconciler.cli.render.sarif import diagnostics_as_sarif
from reconciler.cli.render.text import Paint
from reconciler.diagnostics import Diagnostic, Severity, Span

PLAIN = Paint(coloured=False)
SOURCE = '    url: "https://example.com/{devcie}"'
FINDING = Diagnostic(
    code="unknown-variable",
    summary="A template names a variable that does not exist",
    detail="devcie is not a variable.",
    help="Did you mean device?\n\n    {device}",
    span=Span("device-types/tracker.yaml", 12, 31, 39, SOURCE),
    related=(("declared here", Span("device-types/tracker.yaml", 3, 1, 5, "name: tracker")),),
)
WITHOUT_PLACE = Diagnostic("project-not-found", "There is no project here")
FILE_ONLY = Diagnostic("empty-file", "The file declares nothing", file="a b/e.yaml", severity=Severity.WARNING)


def test_text_shows_code_place_line_caret_detail_and_help() -> None:
    assert diagnostics_as_text([FINDING], paint=PLAIN) == (
        "error[unknown-variable]: A template names a variable that does not exist\n"
        "    --> device-types/tracker.yaml:12:31\n"
        "     |\n"
        '  12 |     url: "https://example.com/{devcie}"\n'
        "     |                               ^^^^^^^^\n"
        "  devcie is not a variable.\n"
        "  declared here\n"
        "   --> device-types/tracker.yaml:3:1\n"
        "    |\n"
        "  3 | name: tracker\n"
        "    | ^^^^\n"
        "  help: Did you mean device?\n"
        "\n"
        "      {device}\n"
    )


def test_findings_come_in_reading_order_each_once() -> None:
    later = Diagnostic("b-code", "Later", span=Span("z.yaml", 9, 1, 2, "x"))
    earlier = Diagnostic("a-code", "Earlier", span=Span("z.yaml", 2, 1, 2, "x"))
    text = diagnostics_as_text([later, earlier, later], paint=PLAIN)
    assert [line for line in text.splitlines() if line.startswith("error")] == [
        "error[a-code]: Earlier",
        "error[b-code]: Later",
    ]


@pytest.mark.parametrize(
    ("source", "column", "end", "line", "carets"),
    [
        ("\t- name: x", 4, 8, "\\t- name: x", "    ^^^^"),
        ("日本: wert", 5, 9, "日本: wert", "      ^^^^"),
        ("key: \x1b[31mred", 6, 11, "key: \\x1b[31mred", "     ^^^^^^^^"),
        ("short", 6, 7, "short", "     ^"),
        ("a" * 1499 + "b" * 10 + "c" * 500, 1500, 1510, f"…{'a' * 40}{'b' * 10}{'c' * 59}…", f"{' ' * 41}{'^' * 10}"),
        ("x" * 2000, 1, 2001, f"{'x' * 70}…", "^" * 71),
    ],
    ids=["tab", "wide", "escape", "behind-the-end", "far-right", "very-long"],
)
def test_carets_stand_below_what_they_mark(source: str, column: int, end: int, line: str, carets: str) -> None:
    text = diagnostics_as_text([Diagnostic("a-code", "S", span=Span("f", 1, column, end, source))], paint=PLAIN)
    assert text.splitlines()[3:5] == [f"  1 | {line}", f"    | {carets}"]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], "No problems in 3 files."),
        ([FINDING], "1 error in 3 files."),
        ([FINDING, FILE_ONLY], "1 error and 1 warning in 3 files."),
        ([FILE_ONLY], "1 warning in 3 files."),
    ],
)
def test_summary_counts_by_severity(found: list[Diagnostic], line: str) -> None:
    assert summary_line(found, files=3, paint=PLAIN) == line


def test_json_holds_every_fact() -> None:
    document = json.loads(diagnostics_as_json([FINDING, WITHOUT_PLACE, FILE_ONLY]))
    assert (document["errors"], document["warnings"]) == (2, 1)
    without_place, file_only, finding = document["diagnostics"]
    assert finding == {
        "code": "unknown-variable",
        "severity": "error",
        "summary": FINDING.summary,
        "detail": FINDING.detail,
        "help": FINDING.help,
        "file": "device-types/tracker.yaml",
        "line": 12,
        "column": 31,
        "endColumn": 39,
        "source": SOURCE,
        "related": [{"label": "declared here", "file": "device-types/tracker.yaml", "line": 3, "column": 1}],
    }
    assert without_place["file"] is None
    assert (file_only["file"], file_only["line"]) == ("a b/e.yaml", None)


def test_github_annotations_carry_place_title_and_words() -> None:
    assert diagnostics_as_github([FINDING]) == (
        "::error file=device-types/tracker.yaml,line=12,col=31,endColumn=39,"
        "title=A template names a variable that does not exist [unknown-variable]"
        "::devcie is not a variable.%0ADid you mean device?%0A%0A    {device}\n"
    )


def test_nothing_in_a_finding_can_start_a_workflow_command_of_its_own() -> None:
    evil = Diagnostic("a-code", "Summary", detail="100%\r\n::set-output name=x::y", file="a,b:c\n::error::x")
    (line,) = diagnostics_as_github([evil]).splitlines()
    assert line == (
        "::error file=a%2Cb%3Ac%0A%3A%3Aerror%3A%3Ax,title=Summary [a-code]::100%25%0D%0A::set-output name=x::y"
    )


# What OASIS SARIF 2.1.0 demands of the parts that we write: required members, types, bounds.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "items": {
                                            "required": ["id"],
                                            "properties": {"help": {"required": ["text"]}},
                                        },
                                        "uniqueItems": True,
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "items": {
                            "required": ["message"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "locations": {"items": {"$ref": "#/$defs/location"}},
                                "relatedLocations": {"items": {"$ref": "#/$defs/location"}},
                            },
                        }
                    },
                },
            },
        },
    },
    "$defs": {
        "location": {
            "required": ["physicalLocation"],
            "properties": {
                "id": {"type": "integer", "minimum": 0},
                "physicalLocation": {
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {
                            "required": ["uri"],
                            "properties": {"uri": {"pattern": "^[A-Za-z0-9._~/%-]+$"}},
                        },
                        "region": {
                            "required": ["startLine"],
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                                "endColumn": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
            },
        }
    },
}


def test_sarif_is_what_the_standard_demands() -> None:
    found = [FINDING, WITHOUT_PLACE, FILE_ONLY]
    document = json.loads(diagnostics_as_sarif(found, page=lambda code: f"# {code}" if code == FINDING.code else None))
    Draft202012Validator(SARIF).validate(document)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["empty-file", "project-not-found", "unknown-variable"]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    (finding,) = (result for result in run["results"] if result["ruleId"] == FINDING.code)
    assert finding["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 12,
        "startColumn": 31,
        "endLine": 12,
        "endColumn": 39,
        "snippet": {"text": SOURCE},
    }
    assert [r["help"]["markdown"] for r in run["tool"]["driver"]["rules"] if "help" in r] == ["# unknown-variable"]
    uris = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"][1:]]
    assert uris == ["a%20b/e.yaml", "device-types/tracker.yaml"]
