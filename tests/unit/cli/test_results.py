"""What came of tests of callbacks, as text, JSON and JUnit XML."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from reconciler.cli.render.test_results import results_as_json, results_as_junit, results_as_text
from reconciler.cli.render.text import Paint
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import JsonValue, check_callback
from reconciler.model.resource import Callback, Key
from reconciler.preview import Failure, Trial

PLAIN = Paint(coloured=False)
SPAN = Span("tracker.yaml", 7, 3, 8, "  given: {}")
CALLBACK, _ = check_callback(
    Key("tracker", "telemetry"), {"type": "data/uplink", "channel": "url", "method": "GET", "url": "http://a/"}
)


@dataclass(frozen=True)
class Written:
    """A test that stands in a file."""

    name: str = "test 1"
    given: Mapping[str, JsonValue] = field(default_factory=dict)
    expect: Mapping[str, JsonValue] = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()
    span: Span = SPAN

    @property
    def callback(self) -> Callback:
        assert CALLBACK is not None
        return CALLBACK

    def place(self, *steps: str | int, at_key: bool = False) -> Span:
        return SPAN


PASSED = Trial(Written(), "dev", warnings=("The field t is null.",))


def differs(expected: str | None, found: str | None) -> Failure:
    span = Span("tracker.yaml", 8, 3, 6, "  url: x")
    return Failure(Diagnostic("expectation-not-met", "It differs", "url differs.", span=span), expected, found)


def failing(*failures: Failure, environment: str | None = "dev", name: str = "a test") -> Trial:
    return Trial(Written(name), environment, failures)


def text(*trials: Trial, with_passed: bool = False, left_out: tuple[str, ...] = ()) -> str:
    environments = tuple(dict.fromkeys(each.environment for each in trials))
    return results_as_text(trials, environments=environments, left_out=left_out, paint=PLAIN, with_passed=with_passed)


def test_every_failure_is_shown_at_its_place_with_what_differs() -> None:
    shown = text(PASSED, failing(differs("http://a/1", "http://a/2"), differs("b", None)))
    assert (
        shown
        == """\
failed tracker/telemetry, a test (dev)
error[expectation-not-met]: It differs
   --> tracker.yaml:8:3
    |
  8 |   url: x
    |   ^^^
  url differs.
    - http://a/1
    + http://a/2
               ^
error[expectation-not-met]: It differs
   --> tracker.yaml:8:3
    |
  8 |   url: x
    |   ^^^
  url differs.
    - b

1 test failed, 1 passed in dev.
"""
    )


def test_texts_of_several_lines_differ_line_by_line() -> None:
    shown = text(failing(differs("one\ntwo\nthree\n", "one\n2\nthree\n")))
    assert "      one\n    - two\n    + 2\n      three\n" in shown


def test_what_cannot_be_seen_is_written_as_json() -> None:
    assert '    - "a "\n    + a\n' in text(failing(differs("a ", "a")))
    assert '    - ""\n    + a\n' in text(failing(differs("", "a")))


def test_passed_tests_are_named_when_asked_for() -> None:
    assert text(PASSED) == "1 test passed in dev.\n"
    assert text(PASSED, with_passed=True) == "passed tracker/telemetry, test 1 (dev)\n\n1 test passed in dev.\n"


def test_the_summary_tells_what_was_not_tested() -> None:
    assert text() == "No tests.\n"
    assert text(PASSED, left_out=("prod",)) == "1 test passed in dev. Not tested: prod.\n"
    assert text(failing(differs("a", "b"), environment=None)).endswith("\n1 test failed, 0 passed.\n")


def test_json_holds_all_of_it() -> None:
    document = json.loads(results_as_json([PASSED, failing(differs("a", "b"))], left_out=["prod"]))
    assert (document["total"], document["passed"], document["failed"]) == (2, 1, 1)
    assert document["environmentsNotTested"] == ["prod"]
    passed, failed = document["tests"]
    assert passed == {
        "callback": "tracker/telemetry",
        "name": "test 1",
        "environment": "dev",
        "file": "tracker.yaml",
        "line": 7,
        "passed": True,
        "failures": [],
        "warnings": ["The field t is null."],
    }
    assert failed["failures"] == [
        {
            "code": "expectation-not-met",
            "detail": "url differs.",
            "file": "tracker.yaml",
            "line": 8,
            "column": 3,
            "expected": "a",
            "found": "b",
        }
    ]


def test_junit_has_a_suite_for_each_environment_with_counts_and_places() -> None:
    trials = [PASSED, failing(differs("a\x00\ud800<", "b"), name="a \x01 & <test>"), failing(environment="prod")]
    root = ElementTree.fromstring(results_as_junit(trials).encode())
    assert (root.tag, root.attrib["tests"], root.attrib["failures"]) == ("testsuites", "3", "1")
    dev, prod = root
    assert dev.attrib == {"name": "dev", "tests": "2", "failures": "1", "errors": "0", "skipped": "0"}
    assert (prod.attrib["name"], prod.attrib["tests"], prod.attrib["failures"]) == ("prod", "1", "0")
    passed, failed = dev
    assert passed.attrib == {
        "name": "test 1",
        "classname": "dev.tracker/telemetry",
        "file": "tracker.yaml",
        "line": "7",
    }
    assert failed.attrib["name"] == "a \\x01 & <test>"
    (failure,) = failed
    assert failure.attrib == {"type": "expectation-not-met", "message": "It differs: url differs."}
    assert failure.text is not None
    assert "+ b" in failure.text


def test_a_project_without_tests_has_an_empty_report() -> None:
    root = ElementTree.fromstring(results_as_junit([]))
    assert (len(root), root.attrib["tests"]) == (0, "0")
