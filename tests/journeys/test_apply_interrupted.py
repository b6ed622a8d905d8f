"""Ctrl-C at every step of an apply to a running engine: exit code 130, and what was done is told and kept.

The steps are counted as in `test_apply_killed`: around every request, in the middle of every line of the journal.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.processes import PATIENCE, Engine, Reconciler, at_a_terminal, environment
from tests.journeys.test_apply_killed import KILLER, NEVER, a_project, json_lines, publications

INTERRUPTER = KILLER.replace("signal.SIGKILL", "signal.SIGINT")


def interrupted_at(step: int, project: Path, engine: Engine) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTER, str(step), "apply", "-e", "dev", "--yes"],
        cwd=project,
        env=environment(engine.env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> int:
    ended = interrupted_at(NEVER, a_project(tmp_path_factory.mktemp("calm"), engine), engine)
    assert ended.returncode == 0, ended
    return int(ended.stderr.split()[-1])


def test_what_was_done_is_told_and_kept(tmp_path: Path, engine: Engine, here: Reconciler, steps: int) -> None:
    outcomes = set()
    for step in range(steps):
        project = a_project(tmp_path / f"interrupted-{step}", engine)
        ended = interrupted_at(step, project, engine)
        assert ended.returncode == 130, (step, ended)
        assert "Traceback" not in ended.stderr, (step, ended)
        published = publications(engine, project) == ["create create"]
        outcomes.add(published)
        if published:
            assert "\nRevision " in ended.stdout, (step, ended)
            assert f"created {project.name}/telemetry\n" in ended.stdout, (step, ended)
            assert "Interrupted. The whole plan is in force.\n" in ended.stderr, (step, ended)
        else:
            assert "Interrupted. Nothing was applied.\n" in ended.stderr, (step, ended)
        assert not json_lines(project) or json_lines(project)[-1]["event"] == "finished", step
        assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0, step
        assert publications(engine, project) == ["create create"], step
    assert outcomes == {True, False}


def test_at_the_question_nothing_was_done(tmp_path: Path, engine: Engine, here: Reconciler) -> None:
    project = a_project(tmp_path / "asked", engine)
    with at_a_terminal("apply", "-e", "dev", cwd=project, env=engine.env) as dialogue:
        dialogue.read_until("Type yes to do it: ")
        dialogue.process.send_signal(signal.SIGINT)
        said = dialogue.rest()
    assert dialogue.code == 130
    assert "Interrupted. Nothing was applied." in said
    assert publications(engine, project) == []


# What is left over by an apply that was killed


def killed_at(step: int, project: Path, engine: Engine) -> list[object]:
    """Kill an apply at a step; the events of its journal."""
    subprocess.run(
        [sys.executable, "-c", KILLER, str(step), "apply", "-e", "dev", "--yes"],
        cwd=project,
        env=environment(engine.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    return [line["event"] for line in json_lines(project)]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, engine: Engine, steps: int) -> int:
    """The first step at which the journal tells that an apply has begun."""
    project = a_project(tmp_path_factory.mktemp("begun"), engine)
    return next(step for step in range(steps) if killed_at(step, project, engine) == ["begun"])


@pytest.fixture
def killed(tmp_path: Path, engine: Engine, begun: int, request: pytest.FixtureRequest) -> Path:
    """A project whose apply was killed when its publication had begun: the journal has no last line.

    Its name is its own: the engine is the module's, and remembers what another test applied.
    """
    number = request.session.items.index(request.node)
    project = a_project(tmp_path / f"killed-{number}", engine)
    assert killed_at(begun, project, engine) == ["begun"]
    return project


def test_an_unfinished_apply_stands_in_the_way_of_the_next_until_it_is_given_up(
    killed: Path, engine: Engine, here: Reconciler
) -> None:
    assert here("plan", "-e", "dev", "-o", "plan.json", cwd=killed).code == 0
    for command in (("apply", "-e", "dev", "--yes"), ("apply", "plan.json")):
        refused = here(*command, cwd=killed)
        assert refused.code == 1
        assert "error[apply-unfinished]" in refused.err
        told = " ".join(refused.err.split())
        assert "did not come to its end: whether its revision was published is not known." in told
        assert "    reconciler apply --resume -e dev\n" in refused.err
        assert "    reconciler apply --abandon -e dev\n" in refused.err
    given_up = here("apply", "--abandon", "-e", "dev", cwd=killed)
    assert given_up.code == 0
    assert "The rest of it is given up." in given_up.err
    assert "Nothing to give up" in here("apply", "--abandon", "-e", "dev", cwd=killed).err
    assert "Nothing to resume" in here("apply", "--resume", "-e", "dev", cwd=killed).err
    assert here("apply", "plan.json", cwd=killed).code == 0
    assert publications(engine, killed) == ["create create"]


def test_resuming_tells_what_it_carries_on_with_and_reports_like_an_apply(
    killed: Path, engine: Engine, here: Reconciler
) -> None:
    ended = here("apply", "--resume", "-e", "dev", "--format", "json", cwd=killed)
    assert ended.code == 0
    assert "The last apply of dev began 20" in ended.err
    report = json.loads(ended.out)
    assert [change["kind"] for change in report["done"]] == ["create", "create"]
    assert publications(engine, killed) == ["create create"]
    assert "Nothing to resume" in here("apply", "--resume", "-e", "dev", cwd=killed).err


def test_a_plan_that_was_applied_from_elsewhere_meanwhile_is_found_to_be_in_force(
    killed: Path, engine: Engine, here: Reconciler
) -> None:
    elsewhere = a_project(killed.parent / "elsewhere", engine)
    for file in ("reconciler.yaml", "device-types/tracker.yaml"):
        (elsewhere / file).write_text((killed / file).read_text())
    assert here("apply", "-e", "dev", "--yes", cwd=elsewhere).code == 0
    resumed = here("apply", "--resume", "-e", "dev", cwd=killed)
    assert resumed.code == 0
    assert "was published before the interruption" in resumed.out
    assert publications(engine, killed) == ["create create"]


def test_a_rollback_does_not_wait_for_an_unfinished_apply(killed: Path, engine: Engine, here: Reconciler) -> None:
    ended = here("rollback", "-e", "dev", "--yes", cwd=killed)
    assert "error[apply-unfinished]" not in ended.err
    assert "error[nothing-to-go-back-to]" in ended.err


def test_an_apply_that_is_running_is_not_taken_for_one_that_was_killed(
    killed: Path, engine: Engine, here: Reconciler
) -> None:
    from reconciler.apply.journal_file import JournalFile
    from reconciler.runtime.clock import utc_now

    with JournalFile(killed / ".reconciler/journal", "dev", now=utc_now):
        for command in (("apply", "-e", "dev", "--yes"), ("apply", "--resume", "-e", "dev")):
            refused = here(*command, cwd=killed)
            assert refused.code == 4
            assert "Another apply of this environment is running" in refused.err


def test_where_no_journal_can_be_kept_an_engine_is_written_to_all_the_same(
    tmp_path: Path, engine: Engine, here: Reconciler
) -> None:
    project = a_project(tmp_path / "readonly", engine)
    (project / ".reconciler/journal").write_text("not a folder")
    ended = here("apply", "-e", "dev", "--yes", cwd=project)
    assert ended.code == 0
    assert "warning: The journal of an apply can not be kept in" in ended.err
    assert publications(engine, project) == ["create create"]
