"""`reconciler test` as a user runs it: on a new project, on every example, and in pipelines."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.journeys.processes import run

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = sorted(file.parent.name for file in EXAMPLES.glob("*/reconciler.yaml"))
FILE = "device-types/tracker.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `init` begins with, and an environment that needs a variable of the process."""
    assert run("init", tmp_path).code == 0
    file = tmp_path / "reconciler.yaml"
    file.write_text(
        file.read_text()
        + '  prod:\n    target: {engine: "http://127.0.0.1:8460"}\n    variables: {host: {env: PROD_HOST}}\n'
    )
    return tmp_path


@pytest.mark.parametrize("name", PROJECTS)
def test_every_example_has_tests_and_they_pass(name: str) -> None:
    ended = run("test", "-C", EXAMPLES / name, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    results = json.loads(ended.out)
    assert results["total"] > 0
    assert results["passed"] == results["total"]
    assert results["environmentsNotTested"] == []


def test_a_new_project_passes_where_its_variables_are_known(project: Path) -> None:
    ended = run("test", cwd=project)
    assert (ended.code, ended.out) == (0, "1 test passed in dev. Not tested: prod.\n")
    assert "PROD_HOST, which is not set" in ended.err
    ended = run("test", cwd=project, env={"PROD_HOST": "example.com"})
    assert (ended.code, ended.out, ended.err) == (0, "2 tests passed in dev and prod.\n", "")


def test_an_environment_that_was_asked_for_has_to_be_testable(project: Path) -> None:
    ended = run("test", "-e", "prod", cwd=project)
    assert (ended.code, ended.out) == (1, "")
    assert "error[environment-variable-not-set]" in ended.err
    ended = run("test", "-e", "staging", cwd=project)
    assert (ended.code, ended.out) == (1, "")
    assert "error[unknown-environment]" in ended.err


def test_failures_end_with_1_in_every_format_and_file(project: Path) -> None:
    file = project / FILE
    file.write_text(file.read_text().replace("temperature: 1000", "temperature: 999"))
    ended = run("test", "-e", "dev", cwd=project)
    assert ended.code == 1
    assert f"--> {FILE}:" in ended.out
    assert "    - 999\n    + 1000\n" in ended.out
    assert ended.out.endswith("\n1 test failed, 0 passed in dev.\n")

    as_json = run("test", "-e", "dev", "--format", "json", cwd=project)
    assert as_json.code == 1
    (found,) = json.loads(as_json.out)["tests"][0]["failures"]
    assert (found["code"], found["expected"], found["found"]) == ("expectation-not-met", "999", "1000")

    report = run("test", "-e", "dev", "--format", "junit", "-o", "report.xml", cwd=project)
    assert (report.code, report.out) == (1, ended.out)
    root = ElementTree.parse(project / "report.xml").getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("1", "1")
    (case,) = root.iter("testcase")
    assert (case.attrib["file"], case.attrib["line"]) == (FILE, str(found["line"] - 4))


def test_paths_choose_tests(project: Path) -> None:
    other = project / "device-types/valve.yaml"
    other.write_text((project / FILE).read_text().replace("name: tracker", "name: valve"))
    ended = run("test", "-e", "dev", "-v", "device-types/valve.yaml", cwd=project)
    assert (ended.code, ended.out) == (0, "passed valve/telemetry, test 1 (dev)\n\n1 test passed in dev.\n")
    assert run("test", "-e", "dev", "device-types", cwd=project).out == "2 tests passed in dev.\n"
    ended = run("test", "nowhere.yaml", cwd=project)
    assert (ended.code, ended.out) == (1, "")
    assert "error[file-not-found]" in ended.err


def test_faulty_files_are_shown_and_not_tested(project: Path) -> None:
    (project / "device-types/valve.yaml").write_text("apiVersion: reconciler/v1\nkind: DeviceType\nname: [valve]\n")
    for arguments in (("test",), ("test", "-e", "dev"), ("test", "-e", "dev", FILE)):
        ended = run(*arguments, cwd=project)
        assert (ended.code, ended.out) == (1, "")
        assert "device-types/valve.yaml:3:1" in ended.err


def test_a_report_that_cannot_be_written_is_no_success(project: Path) -> None:
    ended = run("test", "-e", "dev", "-o", "no/such/folder", cwd=project)
    assert (ended.code, ended.out) == (4, "1 test passed in dev.\n")
    assert "can not be written" in ended.err
    assert run("test", "--format", "yaml", cwd=project).code == 2
