"""The command line killed (SIGKILL) at every step of an apply to a running engine, and resumed.

One revision, all or nothing: whatever the step, the definitions are published once, `--resume` ends well, and the plan
after it is empty. The steps are counted inside the process: around every request to the engine, in the middle of every
line of the journal, around every file that takes the place of another.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.config.scaffold import scaffold
from tests.journeys.processes import PATIENCE, Engine, Reconciler, environment

KILLER = """
import os, signal, sys
from reconciler.apply import journal_file
from reconciler.targets import client

at, taken = int(sys.argv[1]), 0

def step():
    global taken
    if taken == at:
        os.kill(os.getpid(), signal.SIGKILL)
    taken += 1

ask, write, replace = client.EngineClient._ask, journal_file._write, os.replace

async def ask_between_steps(self, *arguments, **more):
    step()
    answer = await ask(self, *arguments, **more)
    step()
    return answer

def write_in_halves(descriptor, data):
    step()
    write(descriptor, data[: len(data) // 2])
    step()
    write(descriptor, data[len(data) // 2 :])
    step()

def replace_between_steps(*paths):
    step()
    replace(*paths)
    step()

client.EngineClient._ask = ask_between_steps
journal_file._write = write_in_halves
os.replace = replace_between_steps

from reconciler.cli.main import run
code = run(sys.argv[2:])
print(taken, file=sys.stderr)
sys.exit(code)
"""
NEVER = 1_000


def killed_at(step: int, *arguments: str, project: Path, engine: Engine) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLER, str(step), *arguments],
        cwd=project,
        env=environment(engine.env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def a_project(folder: Path, engine: Engine) -> Path:
    for name, text in scaffold(folder.name).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for file, before, after in (
        ("reconciler.yaml", "http://127.0.0.1:8460", engine.url),
        ("device-types/tracker.yaml", "name: tracker", f"name: {folder.name}"),
    ):
        (folder / file).write_text((folder / file).read_text().replace(before, after))
    return folder


def publications(engine: Engine, project: Path) -> list[str]:
    """The kinds of what was changed for this project, revision by revision."""
    revisions = engine.ask("GET", "/v1/revisions?limit=1000")["revisions"]
    return [
        " ".join(change["kind"] for change in revision["changes"])
        for revision in revisions
        if any(change["key"].startswith(project.name) for change in revision["changes"])
    ]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> int:
    """How many steps an apply has that nobody kills."""
    project = a_project(tmp_path_factory.mktemp("unharmed"), engine)
    ended = killed_at(NEVER, "apply", "-e", "dev", "--yes", project=project, engine=engine)
    assert ended.returncode == 0, ended
    return int(ended.stderr.split()[-1])


def test_killed_at_any_step_an_apply_is_resumed_and_published_once(
    tmp_path: Path, engine: Engine, here: Reconciler, steps: int
) -> None:
    assert steps > 3 * 3 + 2 * 2 + 2 * 2  # three lines, two files put in place, at least two requests
    for step in range(steps):
        project = a_project(tmp_path / f"killed-{step}", engine)
        killed = killed_at(step, "apply", "-e", "dev", "--yes", project=project, engine=engine)
        assert killed.returncode == -signal.SIGKILL

        lines = json_lines(project)
        if not lines:  # nothing had begun
            assert publications(engine, project) == []
        elif lines[-1]["event"] != "finished":
            refused = here("apply", "-e", "dev", "--yes", cwd=project)
            assert refused.code == 1
            assert "error[apply-unfinished]" in refused.err
            assert "    reconciler apply --resume -e dev\n" in refused.err
        continued = ("apply", "--resume", "-e", "dev") if lines else ("apply", "-e", "dev", "--yes")
        assert here(*continued, cwd=project).code == 0, step
        assert publications(engine, project) == ["create create"], step
        assert here("plan", "-e", "dev", "--check", cwd=project).code == 0, step
        assert json_lines(project)[-1]["event"] == "finished", step


def json_lines(project: Path) -> list[dict[str, object]]:
    """The whole lines of the journal."""
    file = project / ".reconciler/journal/dev.ndjson"
    if not file.exists():
        return []
    *lines, _ = file.read_text().split("\n")
    return [json.loads(line) for line in lines]
