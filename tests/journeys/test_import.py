"""What an engine holds becomes files, files that are there keep their lines, and environments are compared."""

import json
import shutil
from pathlib import Path

import pytest

from tests.journeys.processes import Engine, at_a_terminal, run

PROJECT = """\
# yaml-language-server: $schema=.reconciler/schemas/project.v1.schema.json
apiVersion: reconciler/v1
kind: Project
name: {name}
sources: [device-types/**/*.yaml]

environments:
  dev:
    target: {{engine: "{engine}", token: {{env: RECONCILER_TOKEN}}}}
    variables: {{host: "127.0.0.1:9000"}}
"""


@pytest.fixture
def name(tmp_path: Path) -> str:
    """Of the project and its device types: the engine is shared."""
    return tmp_path.name.replace("_", "-")


@pytest.fixture
def original(tmp_path: Path, engine: Engine, name: str) -> Path:
    """A project whose definitions are at the engine."""
    folder = tmp_path / "original"
    write(folder / "reconciler.yaml", PROJECT.format(name=name, engine=engine.url))
    write(folder / "device-types/a.yaml", DEVICE_TYPES.replace("NAME", name))
    assert run("apply", "-e", "dev", "--yes", cwd=folder, env=engine.env).code == 0
    return folder


DEVICE_TYPES = """\
apiVersion: reconciler/v1
kind: DeviceType
name: NAME-tracker
description: "A tracker: with a colon, and “quotes”"
keepAlive: 90m
downlink: {mode: direct, data: "{time}{rssi}0000"}
payload: "temperature::int:16:little-endian humidity::uint:8"
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    url: "http://${var.host}/uplink/{device}"
    headers: {Authorization: "Bearer ${secret.INGEST_TOKEN}", X-Null: "null"}
    contentType: application/json
    body: |
      {
        "device": "{device}",
        "temperature": {customData#temperature}
      }
    protect: true
  raw:
    type: data/uplink
    channel: batch-url
    url: "http://${var.host}/raw?lines={batch}"
    linePattern: "{device};{data}"
    payload: ""
    enabled: false
  silence: {type: error, channel: email, recipient: [ops@example.com, lab@example.com], message: "it's {info}"}
---
apiVersion: reconciler/v1
kind: DeviceType
name: NAME-empty
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.yaml"))}


def empty_plan(folder: Path, engine: Engine) -> bool:
    planned = run("plan", "-e", "dev", "--check", cwd=folder, env=engine.env)
    return planned.code == 0 and planned.out.startswith("Nothing to change")


def test_a_project_without_files_gets_them_from_the_engine(
    original: Path, tmp_path: Path, engine: Engine, name: str
) -> None:
    fresh = tmp_path / "fresh"
    write(fresh / "reconciler.yaml", PROJECT.format(name=name, engine=engine.url))

    imported = run("import", "-e", "dev", cwd=fresh, env=engine.env)
    assert imported.code == 0, imported.err
    assert f"+ new  device-types/{name}-tracker.yaml\n    {name}-tracker\n    {name}-tracker/raw\n" in imported.out
    assert imported.out.endswith("Imported 5 definitions into 2 files.\n")

    written = texts(fresh)
    assert sorted(written) == [
        f"device-types/{name}-empty.yaml",
        f"device-types/{name}-tracker.yaml",
        "reconciler.yaml",
    ]
    assert written[f"device-types/{name}-tracker.yaml"] == TRACKER.replace("NAME", name)
    assert empty_plan(fresh, engine)
    assert run("fmt", "--check", cwd=fresh).code == 0, "imported files are in canonical form"

    again = run("import", "-e", "dev", cwd=fresh, env=engine.env)
    assert again.out == f"Nothing to import: the files say what {engine.url} holds.\n"
    assert texts(fresh) == written


TRACKER = """\
# yaml-language-server: $schema=../.reconciler/schemas/device-type.v1.schema.json
apiVersion: reconciler/v1
kind: DeviceType
name: NAME-tracker
description: "A tracker: with a colon, and “quotes”"
keepAlive: 90m
downlink: {mode: direct, data: "{time}{rssi}0000"}
payload: "temperature::int:16:little-endian humidity::uint:8"

callbacks:
  raw:
    type: data/uplink
    channel: batch-url
    payload: ""
    url: "http://127.0.0.1:9000/raw?lines={batch}"
    linePattern: "{device};{data}"
    enabled: false

  silence:
    type: error
    channel: email
    recipient: ops@example.com, lab@example.com
    message: "it's {info}"

  telemetry:
    type: data/uplink
    channel: url
    url: "http://127.0.0.1:9000/uplink/{device}"
    headers:
      Authorization: "Bearer ${secret.INGEST_TOKEN}"
      X-Null: "null"
    contentType: application/json
    body: |
      {
        "device": "{device}",
        "temperature": {customData#temperature}
      }
    protect: true
"""


def test_files_that_are_there_keep_every_line_that_does_not_differ(
    original: Path, tmp_path: Path, engine: Engine, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(original, elsewhere)
    file = elsewhere / "device-types/a.yaml"
    for before, after in (
        ("/uplink/{device}", "/v2/{device}"),
        ("keepAlive: 90m", "keepAlive: 2h"),
        ("    enabled: false\n", ""),
        ("    protect: true\n", "    protect: true\n  more: {type: error, channel: url, url: 'http://127.0.0.1/'}\n"),
    ):
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))
    assert run("apply", "-e", "dev", "--yes", cwd=elsewhere, env=engine.env).code == 0

    commented = original / "device-types/a.yaml"
    commented.write_text(
        commented.read_text()
        .replace("keepAlive: 90m", "keepAlive:   90m   # an hour and a half")
        .replace("    headers:", "    # The token comes from the vault.\n    headers:")
    )
    before = commented.read_text()
    imported = run("import", "-e", "dev", "--format", "json", cwd=original, env=engine.env)
    assert imported.code == 0, imported.err
    assert json.loads(imported.out) == {
        "files": [
            {
                "file": "device-types/a.yaml",
                "new": False,
                "definitions": [f"{name}-tracker{each}" for each in ("", "/more", "/raw", "/telemetry")],
            }
        ],
        "left": [],
        "missing": [],
        "revision": None,
    }
    expected = (
        before.replace("keepAlive:   90m   #", "keepAlive:   2h   #")
        .replace("${var.host}/uplink/{device}", "${var.host}/v2/{device}")
        .replace("enabled: false", "enabled: true")
        .replace(
            'message: "it\'s {info}"}\n',
            'message: "it\'s {info}"}\n\n  more:\n    type: error\n    channel: url\n    url: "http://127.0.0.1/"\n',
        )
    )
    assert commented.read_text() == expected
    assert empty_plan(original, engine)


def test_what_another_project_owns_is_taken_over_by_its_name(
    original: Path, tmp_path: Path, engine: Engine, name: str
) -> None:
    successor = tmp_path / "successor"
    write(successor / "reconciler.yaml", PROJECT.format(name=f"{name}-2", engine=engine.url))

    nothing = run("import", "-e", "dev", cwd=successor, env=engine.env)
    assert nothing.out.startswith("Nothing to import")

    unknown = run("import", "-e", "dev", "--adopt", "no-such-project", "--yes", cwd=successor, env=engine.env)
    assert unknown.code == 1
    assert "The project no-such-project owns nothing" in unknown.err
    assert name in unknown.err

    unasked = run("import", "-e", "dev", "--adopt", name, cwd=successor, env=engine.env)
    assert unasked.code == 2
    assert f"reconciler import -e dev --adopt {name} --yes" in unasked.err

    with at_a_terminal("import", "-e", "dev", "--adopt", name, cwd=successor, env=engine.env) as dialogue:
        shown = dialogue.read_until("to do it: ")
        assert f"{name}-tracker/telemetry" in shown
        dialogue.answer("no\n")
    assert dialogue.code == 1
    assert sorted(texts(successor)) == ["reconciler.yaml"]

    taken = run("import", "-e", "dev", "--adopt", name, "--yes", "--note", "hand over", cwd=successor, env=engine.env)
    assert taken.code == 0, taken.err
    assert empty_plan(successor, engine)
    newest = json.loads(
        run("history", "-e", "dev", "--format", "json", "--limit", "1", cwd=successor, env=engine.env).out
    )
    assert newest[0]["note"] == "hand over"
    assert {change["kind"] for change in newest[0]["changes"]} == {"adopt"}
    assert (
        "owned by another project" in run("plan", "-e", "dev", cwd=original, env=engine.env).err.lower()
        or run("plan", "-e", "dev", cwd=original, env=engine.env).code == 1
    )


def test_a_conflict_writes_nothing_and_takes_nothing_over(
    original: Path, tmp_path: Path, engine: Engine, name: str
) -> None:
    successor = tmp_path / "successor"
    write(successor / "reconciler.yaml", PROJECT.format(name=f"{name}-3", engine=engine.url))
    write(successor / f"device-types/.keep/{name}-empty.yaml", "")
    write(
        successor / f"device-types/{name}-empty.yaml",
        "# mine\napiVersion: reconciler/v1\nkind: DeviceType\nname: other\n",
    )
    before = texts(successor)
    refused = run("import", "-e", "dev", "--adopt", name, "--yes", cwd=successor, env=engine.env)
    assert refused.code == 1
    assert "error[import-file-exists]" in refused.err
    assert texts(successor) == before
    assert empty_plan(original, engine), "ownership is where it was"

    outside = run("import", "-e", "dev", "--adopt", name, "--yes", "-o", "elsewhere", cwd=successor, env=engine.env)
    assert outside.code == 1
    assert "error[import-outside-sources]" in outside.err
    assert not (successor / "elsewhere").exists()


def test_a_file_that_can_not_be_written_stops_all(original: Path, engine: Engine) -> None:
    folder = original / "device-types"
    shutil.rmtree(folder)
    folder.write_text("a file, for everybody, root included")
    refused = run("import", "-e", "dev", cwd=original, env=engine.env)
    assert refused.code == 1
    assert "error[file-not-writable]" in refused.err
    assert folder.read_text() == "a file, for everybody, root included"


def test_environments_are_compared_with_the_reasons(cold_chain: Path) -> None:
    compared = run("diff", "dev", "prod", "--check", cwd=cold_chain)
    assert compared.code == 3
    assert "because prod overrides it (reconciler.yaml:23)" in compared.out
    assert "because ${var.ingest} is " in compared.out
    assert compared.out.endswith("dev and prod: 5 definitions differ, 3 the same.\n")
    assert run("diff", "dev", "dev", cwd=cold_chain).code == 2
    assert run("diff", "dev", "nowhere", cwd=cold_chain).code == 1
