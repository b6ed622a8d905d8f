"""What `plan` writes, where, and how it ends: against a running engine."""

import json
import re
import stat
from pathlib import Path

import pytest

from reconciler.config.scaffold import scaffold
from tests.journeys.processes import Engine, at_a_terminal, run

FORMATS = ("text", "json", "markdown", "html", "github")


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


def is_of_format(text: str, format: str) -> bool:
    """Whether a text is what the format promises."""
    match format:
        case "text":
            return bool(re.search(r"^(Plan for dev|Nothing to change: dev) \(", text, re.MULTILINE))
        case "json":
            return bool(json.loads(text)["digest"])
        case "markdown":
            return text.startswith("<!-- reconciler plan: dev -->\n")
        case "html":
            return text.startswith("<!DOCTYPE html>\n") and text.endswith("</html>\n")
        case _:
            return all(line.startswith("::") for line in text.splitlines()) and "Plan for dev" in text


def test_each_format_is_written_before_the_verb_ends_however_it_ends(project: Path, engine: Engine) -> None:
    definitions = project / "device-types/tracker.yaml"
    states = (
        ((), 0, "pending"),
        (("--check",), 3, "pending"),
        (("--check",), 1, "refused"),  # a refusal outdoes what is pending
        ((), 1, "refused"),
        (("--check",), 0, "applied"),
    )
    whole = definitions.read_text()
    for options, code, state in states:
        if state != "pending":
            assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
        if state == "refused":
            definitions.write_text(whole.partition("callbacks:")[0])
        for format in FORMATS:
            planned = run("plan", "-e", "dev", "--format", format, *options, cwd=project, env=engine.env)
            assert planned.code == code, (state, format, planned.err)
            assert is_of_format(planned.out, format)
            assert ("error[too-many-changes]" in planned.err) is (state == "refused")
        definitions.write_text(whole)


def test_the_plan_is_saved_as_it_is_shown_and_the_command_for_it_is_told(project: Path, engine: Engine) -> None:
    file = project / "out" / "a plan.json"
    file.parent.mkdir()
    planned = run("plan", "-e", "dev", "-o", file, "--format", "json", "--check", cwd=project, env=engine.env)
    assert planned.code == 3
    assert file.read_text() == planned.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"    reconciler apply '{file}'\n" in planned.err
    assert list(file.parent.iterdir()) == [file]

    quiet = run("plan", "-e", "dev", "-o", file, "-q", cwd=project, env=engine.env)
    assert quiet.err == ""
    markdown = run("plan", "-e", "dev", "-o", "p.json", "--format", "markdown", cwd=project, env=engine.env)
    assert "```sh\nreconciler apply p.json\n```\n" in markdown.out
    unsaved = run("plan", "-e", "dev", "--format", "markdown", "-C", project, env=engine.env)
    assert f"```sh\nreconciler apply -C {project} -e dev\n```\n" in unsaved.out


def test_a_refused_plan_is_saved_too_and_ends_with_the_command_that_applies_exactly_it(
    project: Path, engine: Engine
) -> None:
    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
    definitions = project / "device-types/tracker.yaml"
    definitions.write_text(definitions.read_text().partition("callbacks:")[0])
    refused = run("plan", "-e", "dev", "-o", "p.json", "--format", "markdown", cwd=project, env=engine.env)
    assert refused.code == 1
    digest = json.loads((project / "p.json").read_text())["digest"]
    command = f"reconciler apply p.json --over-limits {digest}"
    assert f"    {command}\n" in refused.err
    assert f"```sh\n{command}\n```\n" in refused.out
    assert "#### Deleted (1)" in refused.out
    text = run("plan", "-e", "dev", cwd=project, env=engine.env)
    assert f"    reconciler apply -e dev --over-limits {digest}\n" in text.err
    applied = run(*command.split()[1:], cwd=project, env=engine.env)
    assert applied.code == 0
    assert run("plan", "-e", "dev", "--check", cwd=project, env=engine.env).code == 0


def test_a_file_that_can_not_be_written_costs_nothing_but_the_file(project: Path, engine: Engine) -> None:
    for name in ("missing/p.json", "device-types"):
        planned = run("plan", "-e", "dev", "-o", name, cwd=project, env=engine.env)
        assert planned.code == 4
        assert is_of_format(planned.out, "text")
        assert f"error: The plan can not be saved in {name}: " in planned.err
    assert run("plan", "-e", "dev", "-o", "-", cwd=project, env=engine.env).code == 2
    assert not (project / "-").exists()


def test_a_password_in_clear_is_shown_nowhere_and_stands_in_the_plan_file(project: Path, engine: Engine) -> None:
    edit(project / "device-types/tracker.yaml", 'url: "http', 'url: "http://ops:hunter22@h.example.com/ #http')
    edit(project / "device-types/tracker.yaml", " #http", '"  # ')
    for format in FORMATS:
        planned = run("plan", "-e", "dev", "-o", "p.json", "--format", format, cwd=project, env=engine.env)
        assert planned.code == 0, planned.err
        assert "hunter22" not in planned.out + planned.err
        assert "://ops:***@h.example.com/" in planned.out
        assert "warning: A password stands in clear in tracker-" in planned.err
    assert "://ops:hunter22@h.example.com/" in (project / "p.json").read_text()


def test_at_a_terminal_a_plan_has_colours_unless_they_are_not_wanted_and_ends_where_it_ends(
    project: Path, engine: Engine
) -> None:
    for no_colour in ("", "1"):
        env = {**engine.env, "TERM": "xterm", "COLUMNS": "60", "NO_COLOR": no_colour}
        with at_a_terminal("plan", "-e", "dev", cwd=project, env=env) as dialogue:
            shown = dialogue.read_until("Digest ")
        assert ("\x1b[32m+ create\x1b[0m" in shown) is (not no_colour)
        told = re.sub("\x1b\\[[0-9;]*m", "", shown).partition("Plan for")[0]
        assert max(len(line) for line in told.splitlines() if line.startswith(" ")) == 60
    piped = run("plan", "-e", "dev", cwd=project, env={**engine.env, "COLUMNS": "60"}).out
    assert max(len(line) for line in piped.splitlines()) > 60
