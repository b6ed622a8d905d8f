"""A saved plan, applied later and elsewhere: exactly that plan, or a refusal that says why."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from reconciler.config.scaffold import scaffold
from tests.journeys.processes import Engine, Reconciler


@pytest.fixture
def project(tmp_path: Path, engine: Engine, here: Reconciler) -> Path:
    """A project as `init` makes it, under names of its own: the engine is shared."""
    folder = tmp_path / f"project-{tmp_path.name}"
    for name, text in scaffold(folder.name).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    edit(folder / "reconciler.yaml", "http://127.0.0.1:8460", engine.url)
    edit(folder / "reconciler.yaml", "limits: {deletes: 30%, updates: 50%, total: 60%}\n", "")
    edit(folder / "device-types/tracker.yaml", "name: tracker", f"name: {tmp_path.name}")
    return folder


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def saved(project: Path, here: Reconciler) -> dict[str, Any]:
    """Save the plan; what it holds."""
    assert here("plan", "-e", "dev", "-o", "plan.json", cwd=project).code == 0
    plan: dict[str, Any] = json.loads((project / "plan.json").read_text())
    return plan


def newest(project: Path, here: Reconciler) -> Any:
    return json.loads(here("history", "-e", "dev", "--format", "json", cwd=project).out)[0]


def test_it_is_applied_as_it_is_without_a_question_and_without_the_definitions(project: Path, here: Reconciler) -> None:
    plan = saved(project, here)
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(project / "reconciler.yaml", elsewhere)
    applied = here("apply", project / "plan.json", "--note", "approved", cwd=elsewhere)
    assert applied.code == 0, applied
    assert f"Digest {plan['digest']}\n" in applied.out
    assert "2 to create, 0 to update, 0 to delete." in applied.out
    entry = newest(project, here)
    assert (entry["plan"], entry["via"], entry["note"]) == (plan["digest"], "apply", "approved")
    assert here("plan", "-e", "dev", "--check", cwd=project).code == 0


def test_it_comes_through_a_pipe_and_reports_for_programs(project: Path, here: Reconciler) -> None:
    saved(project, here)
    applied = here("apply", "-", "--format", "json", cwd=project, stdin=(project / "plan.json").read_text())
    assert applied.code == 0, applied
    report = json.loads(applied.out)
    assert [change["kind"] for change in report["done"]] == ["create", "create"]
    assert report["revision"] == newest(project, here)["number"]


def test_what_was_planned_is_done_though_the_files_say_something_else_by_now(project: Path, here: Reconciler) -> None:
    saved(project, here)
    edit(project / "device-types/tracker.yaml", "reports temperature", "reports nothing")
    assert here("apply", "plan.json", cwd=project).code == 0
    again = here("plan", "-e", "dev", "--check", cwd=project)
    assert again.code == 3
    assert "0 to create, 1 to update, 0 to delete." in again.out


def test_moving_files_and_rewording_comments_keep_its_digest(project: Path, here: Reconciler) -> None:
    before = saved(project, here)["digest"]
    edit(project / "device-types/tracker.yaml", "callbacks:\n", "# A comment.\ncallbacks: # another\n")
    (project / "device-types/tracker.yaml").rename(project / "device-types/renamed.yaml")
    assert saved(project, here)["digest"] == before


def test_it_is_refused_when_what_it_touches_has_moved_and_says_what_and_by_whom(
    project: Path, here: Reconciler
) -> None:
    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    edit(project / "device-types/tracker.yaml", "reports temperature", "reports more")
    plan = saved(project, here)
    (update,) = (change for stage in plan["stages"] for change in stage)
    other = project.parent / "other"
    shutil.copytree(project, other)
    edit(other / "device-types/tracker.yaml", "reports more", "reports less")
    assert here("apply", "-e", "dev", "--yes", cwd=other).code == 0
    moved_to = newest(project, here)

    refused = here("apply", "plan.json", cwd=project)
    assert refused.code == 1
    found = re.search(
        r"^    (\S+): expected digest (\w+), found digest (\w+); updated by (.*) in revision (\d+) at ",
        refused.err,
        re.MULTILINE,
    )
    assert found is not None, refused.err
    assert (found[1], found[2]) == (update["key"], update["before"]["digest"])
    assert (found[4], int(found[5])) == (moved_to["publishedBy"], moved_to["number"])
    assert newest(project, here) == moved_to


def test_it_holds_when_something_else_has_moved(project: Path, here: Reconciler) -> None:
    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    edit(project / "device-types/tracker.yaml", "reports temperature", "reports more")
    saved(project, here)
    other = project.parent / "other"
    shutil.copytree(project, other)
    edit(other / "device-types/tracker.yaml", "reports more", "reports temperature")
    edit(other / "device-types/tracker.yaml", "method: POST", "method: PUT")
    assert here("apply", "-e", "dev", "--yes", cwd=other).code == 0
    assert here("apply", "plan.json", cwd=project).code == 0


def test_it_is_done_once(project: Path, here: Reconciler) -> None:
    saved(project, here)
    assert here("apply", "plan.json", cwd=project).code == 0
    again = here("apply", "plan.json", cwd=project)
    assert again.code == 1
    assert "The plan is stale" in again.err


def test_limits_hold_for_it_and_its_digest_passes_them(project: Path, here: Reconciler) -> None:
    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    edit(project / "device-types/tracker.yaml", "reports temperature", "reports more")
    plan = saved(project, here)
    edit(project / "reconciler.yaml", "environments:", "limits: {updates: 0}\nenvironments:")
    refused = here("apply", "plan.json", cwd=project)
    assert refused.code == 1
    assert "error[too-many-changes]" in refused.err
    another = here("apply", "plan.json", "--over-limits", "0" * 32, cwd=project)
    assert another.code == 1
    assert "error[override-of-another-plan]" in another.err
    assert here("apply", "plan.json", "--over-limits", plan["digest"], cwd=project).code == 0


def test_a_stale_plan_is_called_stale_though_limits_would_refuse_it_too(project: Path, here: Reconciler) -> None:
    saved(project, here)
    assert here("apply", "plan.json", cwd=project).code == 0
    edit(project / "reconciler.yaml", "environments:", "limits: {total: 1%}\nenvironments:")
    again = here("apply", "plan.json", cwd=project)
    assert again.code == 1
    assert "The plan is stale" in again.err


def test_protection_holds_for_it(project: Path, here: Reconciler) -> None:
    edit(project / "device-types/tracker.yaml", "\n    method: POST\n", "\n    method: POST\n    protect: true\n")
    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    edit(project / "device-types/tracker.yaml", "  telemetry:", "  telemetry-2:")
    assert here("plan", "-e", "dev", "-o", "plan.json", cwd=project).code == 1
    refused = here("apply", "plan.json", cwd=project)
    assert refused.code == 1
    assert "error[protected-definition]" in refused.err


@pytest.mark.parametrize(
    ("before", "after", "options", "says"),
    [
        ("name: project-", "name: another-", (), "It is for the project project-"),
        ("  dev:", "  test:", (), "error[unknown-environment]"),
        ("", "", ("-e", "prod"), "It is for dev, and -e names prod."),
        ("http://127.0.0.1:", "http://127.0.0.2:", (), "and by now dev is at http://127.0.0.2:"),
    ],
)
def test_a_plan_for_elsewhere_is_refused(
    project: Path, here: Reconciler, before: str, after: str, options: tuple[str, ...], says: str
) -> None:
    saved(project, here)
    if before:
        edit(project / "reconciler.yaml", before, after)
    refused = here("apply", "plan.json", *options, cwd=project)
    assert refused.code == 1
    assert says in refused.err
    assert "error[plan-for-elsewhere]" in refused.err or "error[unknown-environment]" in refused.err


def test_an_edited_plan_is_refused(project: Path, here: Reconciler) -> None:
    saved(project, here)
    edit(project / "plan.json", "reports temperature", "reports nothing")
    refused = here("apply", "plan.json", cwd=project)
    assert refused.code == 1
    assert "error[bad-plan-file]" in refused.err
    assert "plan.json" in refused.err
