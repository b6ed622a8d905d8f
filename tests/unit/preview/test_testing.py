"""Tests of callbacks, from the files to what failed and where."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from reconciler.config.callback_tests import callback_tests
from reconciler.config.load import load
from reconciler.preview import Trial, router_of, run_test
from reconciler.preview.expectation import MismatchCode
from reconciler.preview.testing import SUMMARIES

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: tested
sources: [device-types/*.yaml]
environments:
  dev:
    target: {engine: "http://127.0.0.1:8460"}
    variables: {host: dev.example.com}
  prod:
    target: {engine: "http://127.0.0.1:8460"}
    variables: {host: example.com, only-here: "1"}
    overrides:
      valve: null
      tracker: {callbacks: {telemetry: {method: PUT}}}
"""
TRACKER = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    url: "https://${var.host}/{device}"
    tests:
"""
TELEMETRY = """\
      - given: {device: "1C178", time: 1, seqNumber: 7}
        expect: {url: "https://${var.host}/1C178"}
"""


def trials(
    folder: Path, tests: str = TELEMETRY, *, environment: str = "dev", more: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> list[Trial]:  # fmt: skip
    (folder / "device-types").mkdir()
    (folder / "reconciler.yaml").write_text(PROJECT)
    (folder / "device-types/tracker.yaml").write_text(TRACKER + tests)
    (folder / "device-types/valve.yaml").write_text(
        TRACKER.replace("name: tracker", "name: valve") + TELEMETRY.replace("1C178", "A")
    )
    loaded = load(folder, environ={}, environment=environment)
    assert loaded.desired is not None, loaded.diagnostics
    found = [*callback_tests(loaded, within=[folder / each for each in within])]
    router = router_of(loaded.desired.definitions, device_types={each.callback.key.device_type for each in found})
    return [run_test(router, each, environment=environment) for each in found]


def failed(trial: Trial) -> list[tuple[str, int, str]]:
    """Code, line and marked text of each failure."""
    spans = [each.diagnostic.span for each in trial.failures]
    return [
        (each.diagnostic.code, span.line, span.source[span.column - 1 : span.end_column - 1])
        for each, span in zip(trial.failures, spans, strict=True)
        if span is not None
    ]


def test_one_test_fits_environments_that_differ_in_their_variables(tmp_path: Path) -> None:
    assert [(str(each.callback), each.name, each.passed) for each in trials(tmp_path)] == [
        ("tracker/telemetry", "test 1", True),
        ("valve/telemetry", "test 1", True),
    ]


def test_an_environment_that_takes_callbacks_away_takes_their_tests_along(tmp_path: Path) -> None:
    assert [str(each.callback) for each in trials(tmp_path, environment="prod")] == ["tracker/telemetry"]


def test_overrides_are_tested(tmp_path: Path) -> None:
    tests = TELEMETRY.replace("{url:", "{method: PUT, url:")
    (trial,) = trials(tmp_path, tests, environment="prod")
    assert trial.passed


def test_only_tests_of_chosen_files_run(tmp_path: Path) -> None:
    assert [str(each.callback) for each in trials(tmp_path, within=["device-types/valve.yaml"])] == ["valve/telemetry"]


@pytest.mark.parametrize(
    ("pattern", "names"), [("dev", ["one", "test 2"]), ("d*", ["one", "test 2"]), ("prod", ["test 2"])]
)
def test_a_test_may_name_its_environments(tmp_path: Path, pattern: str, names: list[str]) -> None:
    tests = TELEMETRY.replace("- given", f'- name: one\n        environments: ["{pattern}"]\n        given') + TELEMETRY
    assert [each.name for each in trials(tmp_path, tests, within=["device-types/tracker.yaml"])] == names


def test_failures_point_at_what_was_expected(tmp_path: Path) -> None:
    tests = """\
      - given: {device: "1C178", time: 1}
        expect:
          method: PUT
          url: "https://${var.host}/1C179"
          headers: {X-None: one}
          subject: none
"""
    trial = trials(tmp_path, tests)[0]
    assert failed(trial) == [
        ("expectation-not-of-channel", 15, "subject"),
        ("expectation-not-met", 12, "PUT"),
        ("expectation-not-met", 13, '"https://${var.host}/1C179"'),
        ("expectation-not-met", 14, "one"),
    ]
    assert (trial.failures[2].expected, trial.failures[2].found) == (
        "https://dev.example.com/1C179",
        "https://dev.example.com/1C178",
    )
    assert (trial.span.line, trial.span.source.strip()) == (10, '- given: {device: "1C178", time: 1}')


@pytest.mark.parametrize(
    ("tests", "failure"),
    [
        (
            '      - given: {device: "1C17G", time: 1}\n        expect: {}\n',
            ("wrong-field", 10, '"1C17G"'),
        ),
        ("      - given: {time: 1}\n        expect: {}\n", ("missing-field", 10, "given")),
        (
            '      - given: {device: "1", time: 1, type: status}\n        expect: {}\n',
            ("callback-did-not-fire", 11, "expect"),
        ),
        (
            '      - given: {device: "1", time: 1}\n        expect: {body: "${var.only-here}"}\n',
            ("undefined-variable", 11, "${var.only-here}"),
        ),
        (
            '      - given: {device: "${var}", time: 1}\n        expect: {}\n',
            ("bad-variable-reference", 10, "${var"),
        ),
        (
            '      - given: {device: "1", time: 1}\n        expect: {fires: false}\n',
            ("callback-fired", 11, "false"),
        ),
    ],
)
def test_what_cannot_be_compared_fails_at_its_place(tmp_path: Path, tests: str, failure: tuple[str, int, str]) -> None:
    assert failed(trials(tmp_path, tests)[0]) == [failure]


def test_warnings_of_deliveries_are_told(tmp_path: Path) -> None:
    tests = """\
      - given: {device: "1", time: 1, data: "00"}
        expect: {custom: {t: null}}
    payload: "t::int:16"
"""
    trial = trials(tmp_path, tests)[0]
    assert trial.passed
    assert trial.warnings == (
        "The field t does not fit the payload of 1 byte; the payload config needs 2. It is null.",
    )


def test_each_code_has_a_summary() -> None:
    assert set(SUMMARIES) == set(MismatchCode.__args__)  # type: ignore[attr-defined]
