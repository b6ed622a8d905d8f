"""Looking back and going back: history, one revision, drift, rollback."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.config.scaffold import scaffold
from tests.journeys.processes import Engine, Reconciler, Run, at_a_terminal
from tests.journeys.test_apply_saved import edit


@pytest.fixture
def project(tmp_path: Path, engine: Engine, here: Reconciler) -> Path:
    """A project as `init` makes it, applied twice; the engine is shared."""
    folder = tmp_path / f"project-{tmp_path.name}"
    for name, text in scaffold(folder.name).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    edit(folder / "reconciler.yaml", "http://127.0.0.1:8460", engine.url)
    edit(folder / "reconciler.yaml", "limits: {deletes: 30%, updates: 50%, total: 60%}\n", "limits: {updates: 2}\n")
    edit(folder / "device-types/tracker.yaml", "name: tracker", f"name: {tmp_path.name}")
    assert here("apply", "-e", "dev", "--yes", cwd=folder).code == 0
    edit(folder / "device-types/tracker.yaml", "method: POST", "method: PUT")
    assert here("apply", "-e", "dev", "--yes", "--note", "the second", cwd=folder).code == 0
    return folder


@pytest.fixture
def callback(tmp_path: Path) -> str:
    return f"{tmp_path.name}/telemetry"


def history(project: Path, here: Reconciler) -> list[Any]:
    """The revisions of this project, newest first."""
    ended = here("history", "-e", "dev", "--limit", "100", "--format", "json", cwd=project)
    return [entry for entry in json.loads(ended.out) if entry["owner"] == project.name]


def held(engine: Engine, key: str) -> Mapping[str, Any]:
    """What stands under a key now."""
    number = engine.ask("GET", "/v1/revisions/current")["number"]
    found = engine.ask("POST", f"/v1/revisions/{number}/definitions", json={"keys": [key]})["definitions"]
    definition: Mapping[str, Any] = found[key]
    return definition


def change_by_hand(engine: Engine, project: Path, key: str, **fields: object) -> None:
    """Change a definition at the engine's door, behind the files."""
    now = held(engine, key)
    number = engine.ask("GET", "/v1/revisions/current")["number"]
    change = {"kind": "update", "key": key, "expects": now["digest"], "after": {**now["content"], **fields}}
    body = {"owner": project.name, "by": "Mallory", "changes": [change]}
    engine.ask("POST", "/v1/revisions", json=body, headers={"If-Match": f'"{number}"'})


def back(project: Path, here: Reconciler, *arguments: str) -> Run:
    return here("rollback", "-e", "dev", "--yes", *arguments, cwd=project)


def test_without_a_number_what_was_there_before_the_last_apply_comes_back(
    project: Path, engine: Engine, here: Reconciler, callback: str
) -> None:
    before = history(project, here)
    ended = back(project, here, "--note", "too early")
    assert ended.code == 0, ended
    assert f"~ update  {callback}\n" in ended.out
    assert f"This leads back to revision {before[0]['number'] - 1} (" in ended.out
    assert "reconciler plan -e dev" in ended.err
    assert "method" not in held(engine, callback)["content"]
    newest = history(project, here)[0]
    assert (newest["via"], newest["note"]) == ("rollback", "too early")
    assert newest["plan"] != ""

    pending = here("plan", "-e", "dev", "--check", cwd=project)
    assert pending.code == 3, "the files still want what they say"
    assert "Changed at the target behind the files" not in pending.out, "a rollback is no drift"

    assert back(project, here).code == 0, "once more takes it back"
    assert held(engine, callback)["content"]["method"] == "PUT"


def test_a_number_names_the_revision(project: Path, engine: Engine, here: Reconciler, callback: str) -> None:
    first, second = history(project, here)[1]["number"], history(project, here)[0]["number"]
    assert back(project, here, str(first)).code == 0
    assert "method" not in held(engine, callback)["content"]
    assert back(project, here, str(second)).code == 0
    again = back(project, here, str(second))
    assert again.code == 0
    assert "Nothing to change: dev holds what revision" in again.out
    assert len(history(project, here)) == 4, "and nothing was published for that"


def test_limits_do_not_keep_one_from_going_back_and_protection_does(
    project: Path, here: Reconciler, callback: str
) -> None:
    edit(project / "reconciler.yaml", "limits: {updates: 2}", "limits: {updates: 0}")
    assert back(project, here).code == 0
    edit(project / "reconciler.yaml", "limits: {updates: 0}", "")
    edit(project / "device-types/tracker.yaml", "\n    method: PUT\n", "\n    method: PUT\n    protect: true\n")
    edit(project / "device-types/tracker.yaml", "  telemetry:", "  telemetry-2:")
    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    refused = back(project, here)
    assert refused.code == 1
    assert "error[protected-definition]" in refused.err
    assert history(project, here)[0]["via"] == "apply"


def test_going_back_is_asked_and_no_means_no(project: Path, engine: Engine, here: Reconciler) -> None:
    goal = history(project, here)[1]["number"]
    with at_a_terminal("rollback", "-e", "dev", cwd=project, env=engine.env) as dialogue:
        dialogue.read_until(f"Take dev back to revision {goal}? Type yes to do it: ")
        said = dialogue.answer("no\n")
    assert dialogue.code == 1
    assert "Nothing was applied." in said
    assert len(history(project, here)) == 2


def test_where_there_is_nothing_to_go_back_to(project: Path, here: Reconciler) -> None:
    edit(project / "reconciler.yaml", f"name: {project.name}", "name: never-applied")
    ended = back(project, here)
    assert ended.code == 1
    assert "error[nothing-to-go-back-to]" in ended.err
    unknown = back(project, here, "999999")
    assert unknown.code == 1
    assert "error[unknown-revision]" in unknown.err


def test_drift_tells_what_by_whom_and_when_and_an_apply_undoes_it(
    project: Path, engine: Engine, here: Reconciler, callback: str
) -> None:
    def drift(*options: str) -> Run:
        return here("drift", "-e", "dev", *options, cwd=project)

    assert drift("--check").code == 0
    edit(project / "device-types/tracker.yaml", "reports temperature", "tells temperature")
    assert drift("--check").code == 0, "what the files say is no drift"
    change_by_hand(engine, project, callback, url="http://127.0.0.1:9000/elsewhere")
    told = drift("--check")
    assert told.code == 3
    number = engine.ask("GET", "/v1/revisions/current")["number"]
    assert f"~ changed   {callback}  by Mallory in revision {number}, 20" in told.out
    assert "    - url: http://127.0.0.1:9000/uplink/{device}\n    + url: http://127.0.0.1:9000/elsewhere\n" in told.out
    assert "\n    reconciler apply -e dev\n" in told.out
    assert "\n    reconciler import -e dev\n" in told.out
    assert drift().code == 0
    (document,) = json.loads(drift("--format", "json").out)["drift"]
    assert (document["key"], document["blame"]["by"], document["blame"]["revision"]) == (callback, "Mallory", number)

    assert here("apply", "-e", "dev", "--yes", cwd=project).code == 0
    assert drift("--check").code == 0
    assert held(engine, callback)["content"]["url"].endswith("/uplink/{device}")


def test_a_rollback_undoes_drift_too(project: Path, engine: Engine, here: Reconciler, callback: str) -> None:
    change_by_hand(engine, project, callback, url="http://127.0.0.1:9000/elsewhere")
    assert back(project, here).code == 0
    content = held(engine, callback)["content"]
    assert "method" not in content
    assert content["url"].endswith("/uplink/{device}")


def test_history_tells_what_published_and_one_revision_all_that_it_did(
    project: Path, engine: Engine, here: Reconciler, callback: str
) -> None:
    change_by_hand(engine, project, callback, sendSni=True)
    assert back(project, here).code == 0
    rolled, by_hand, second, first = history(project, here)
    assert [entry["via"] for entry in (rolled, by_hand, second, first)] == ["rollback", "", "apply", "apply"]

    listed = here("history", "-e", "dev", "--limit", "2", cwd=project).out
    assert "VIA" in listed
    assert listed.count("\n") == 3

    def one(number: int, *options: str) -> Run:
        return here("history", str(number), "-e", "dev", *options, cwd=project)

    told = one(second["number"])
    assert told.code == 0
    assert f"Revision {second['number']}\n" in told.out
    assert f"  plan       {second['plan']}\n" in told.out
    assert "  note       the second\n" in told.out
    assert f"~ update  {callback}\n    method  (not set)  → PUT\n" in told.out
    assert "  via        the engine's door, behind the files\n" in one(by_hand["number"]).out
    assert f"+ create  {callback}\n" in one(first["number"]).out
    document = json.loads(one(rolled["number"], "--format", "json").out)
    assert document["via"] == "rollback"
    (change,) = document["changes"]
    assert {field["path"][0] for field in change["fields"]} == {"method", "sendSni"}
    assert one(999_999).code == 1
