"""Journey A: YAML → validate → plan → apply → history, against a running engine."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.config.scaffold import scaffold
from tests.journeys.processes import Engine, at_a_terminal, environment, run


@pytest.fixture
def project(tmp_path: Path, engine: Engine) -> Path:
    """A project as `init` makes it, under names of its own: the engine is shared."""
    folder = tmp_path / f"project-{tmp_path.name}"
    for name, text in scaffold(folder.name).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    edit(folder / "reconciler.yaml", "http://127.0.0.1:8460", engine.url)
    edit(folder / "device-types/tracker.yaml", "name: tracker", f"name: tracker-{tmp_path.name}")
    return folder


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_from_nothing_to_a_revision_and_back_to_an_empty_plan(project: Path, engine: Engine) -> None:
    key = f"tracker-{project.parent.name}"

    checked = run("validate", cwd=project)
    assert (checked.code, checked.out) == (0, "No problems in 2 files.\n")

    planned = run("plan", "-e", "dev", "--check", cwd=project, env=engine.env)
    assert planned.code == 3
    assert f"+ create  {key}  device-types/tracker.yaml:" in planned.out
    assert f"+ create  {key}/telemetry  device-types/tracker.yaml:" in planned.out
    assert "2 to create, 0 to update, 0 to delete." in planned.out

    applied = run("apply", "-e", "dev", "--yes", "--note", "first", cwd=project, env=engine.env)
    assert applied.code == 0
    assert applied.out.startswith(planned.out), "what is applied is what the plan showed"
    assert f"created {key}\ncreated {key}/telemetry\nRevision " in applied.out

    again = run("plan", "-e", "dev", "--check", cwd=project, env=engine.env)
    assert again.code == 0
    assert again.out.startswith("Nothing to change: dev (")

    once_more = run("apply", "-e", "dev", "--yes", "--format", "json", cwd=project, env=engine.env)
    assert once_more.code == 0
    assert json.loads(once_more.out)["revision"] is None, "an empty plan publishes nothing"

    history = json.loads(run("history", "-e", "dev", "--format", "json", cwd=project, env=engine.env).out)
    assert history[0]["note"] == "first"
    assert history[0]["changes"] == [
        {"kind": "create", "key": key},
        {"kind": "create", "key": f"{key}/telemetry"},
    ]
    assert " +2 ~0 -0  first" in run("history", "-e", "dev", "--limit", "1", cwd=project, env=engine.env).out


def test_a_change_is_planned_field_by_field_and_a_deletion_is_limited(project: Path, engine: Engine) -> None:
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
    edit(project / "device-types/tracker.yaml", "method: POST\n    url", "method: PUT\n    sendSni: true\n    url")

    document = json.loads(run("plan", "-e", "dev", "--format", "json", cwd=project, env=engine.env).out)
    (update,) = (change for stage in document["stages"] for change in stage)
    assert update["kind"] == "update"
    fields = {".".join(field["path"]): (field.get("before"), field.get("after")) for field in update["fields"]}
    assert fields == {"method": (None, "PUT"), "sendSni": (None, True)}

    text = run("plan", "-e", "dev", cwd=project, env=engine.env)
    assert re.search(r"method +\(not set\)  → PUT", text.out)
    assert "0 to create, 1 to update, 0 to delete." in text.out
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0

    # Half of what the project owns would go: limits refuse that, and nothing is applied.
    text_before = (project / "device-types/tracker.yaml").read_text()
    (project / "device-types/tracker.yaml").write_text(text_before.partition("callbacks:")[0])
    for command in (("plan", "-e", "dev"), ("apply", "-e", "dev", "--yes")):
        refused = run(*command, cwd=project, env=engine.env)
        assert refused.code == 1
        assert "error[too-many-changes]" in refused.err
    (project / "device-types/tracker.yaml").write_text(text_before)
    assert run("plan", "-e", "dev", "--check", cwd=project, env=engine.env).code == 0


def test_a_plan_that_was_overtaken_is_refused_and_says_by_whom(project: Path, engine: Engine) -> None:
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
    other = project.parent / "other"
    shutil.copytree(project, other)
    edit(project / "device-types/tracker.yaml", "reports temperature", "reports more than temperature")
    edit(other / "device-types/tracker.yaml", "reports temperature", "reports less than temperature")

    with at_a_terminal("apply", "-e", "dev", cwd=project, env=engine.env) as dialogue:
        dialogue.read_until("Type yes to do it: ")
        assert run("apply", "-e", "dev", "--yes", cwd=other, env=engine.env).code == 0
        said = dialogue.answer("yes\n")
    assert dialogue.code == 1
    assert "The plan is stale" in said
    assert "Nothing was applied." in said
    assert "reconciler plan -e dev" in said


@pytest.mark.parametrize(("answer", "code", "applied"), [("yes\n", 0, True), ("no\n", 1, False), ("\n", 1, False)])
def test_apply_asks_and_does_what_it_was_told(
    project: Path, engine: Engine, answer: str, code: int, *, applied: bool
) -> None:
    with at_a_terminal("apply", "-e", "dev", cwd=project, env=engine.env) as dialogue:
        shown = dialogue.read_until("Apply this to dev? Type yes to do it: ")
        assert "2 to create, 0 to update, 0 to delete." in shown
        said = dialogue.answer(answer)
    assert dialogue.code == code
    assert ("is published" in said) is applied
    pending = run("plan", "-e", "dev", "--check", cwd=project, env=engine.env).code
    assert pending == (0 if applied else 3)


def test_a_protected_environment_wants_its_name(project: Path, engine: Engine) -> None:
    edit(project / "reconciler.yaml", "  dev:\n", "  dev:\n    protected: true\n")
    with at_a_terminal("apply", "-e", "dev", cwd=project, env=engine.env) as dialogue:
        dialogue.read_until("Type dev to do it: ")
        said = dialogue.answer("yes\n")
    assert dialogue.code == 1
    assert "Nothing was applied." in said


def test_without_a_terminal_apply_wants_yes_on_the_command_line(project: Path, engine: Engine) -> None:
    refused = run("apply", "-e", "dev", cwd=project, env=engine.env)
    assert refused.code == 2
    assert "reconciler apply -e dev --yes" in refused.err
    assert refused.out == ""


def test_history_tells_who_and_from_which_commit(project: Path, engine: Engine) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
        ended = subprocess.run(
            ["git", *identity, *arguments], cwd=project, env=environment(), capture_output=True, text=True, check=True
        )
        return ended.stdout.strip()

    git("init", "--quiet")
    git("config", "user.name", "Ana")
    git("config", "user.email", "ana@example.com")
    git("add", "--all")
    git("commit", "--quiet", "--message", "begin")
    commit = git("rev-parse", "HEAD")

    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
    edit(project / "device-types/tracker.yaml", "reports temperature", "tells temperature")
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0

    newest, before = json.loads(run("history", "-e", "dev", "--format", "json", cwd=project, env=engine.env).out)[:2]
    assert newest["publishedBy"] == before["publishedBy"] == "Ana <ana@example.com>"
    assert (newest["commit"], before["commit"]) == (f"{commit}-dirty", commit)


def test_init_overwrites_nothing_and_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "device-types").mkdir()
    (tmp_path / "device-types/tracker.yaml").write_text("mine")
    refused = run("init", cwd=tmp_path)
    assert refused.code == 1
    assert "device-types/tracker.yaml" in refused.err
    assert "reconciler.yaml" not in refused.err
    assert [path.name for path in files(tmp_path)] == ["tracker.yaml"]


def test_init_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    made = run("init", "my project", cwd=tmp_path)
    assert made.code == 0
    written = {str(path.relative_to(tmp_path / "my project")): path.read_text() for path in files(tmp_path)}
    assert written == scaffold("my-project")
    assert sorted(made.out.splitlines()) == sorted(f"my project/{name}" for name in scaffold("x"))
    assert "reconciler engine serve" in made.err


def test_schemas_are_written_once_and_then_unchanged(tmp_path: Path) -> None:
    assert "written" in run("schema", "--write", cwd=tmp_path).err
    again = run("schema", "--write", cwd=tmp_path).err
    assert "written" not in again
    assert again.count("unchanged") == len(list((tmp_path / "schemas").iterdir()))
    assert set(json.loads(run("schema", cwd=tmp_path).out)) == {"Project", "DeviceType", "Plan"}
