"""Differences between files and a target become changes of the files."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.codec.canonical import define
from reconciler.config.export import export, folder_of
from reconciler.config.load import load
from reconciler.config.project import load_project
from reconciler.model.definition import Content
from reconciler.model.resource import Key

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: project
sources: [types/*.yaml]
environments: {dev: {target: {engine: "http://127.0.0.1:8460"}}}
"""
HEAD = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
payload: "a::bool:1"
callbacks:
  mail:
"""
MAIL: Content = {"channel": "email", "recipient": "a@example.com", "subject": "x"}
LINES = "    channel: email\n{}    recipient: a@example.com\n    subject: x\n"


def amended(folder: Path, text: str, held: Mapping[Key, Content]) -> str:
    """A file after what is held has been imported onto it."""
    file = folder / "types" / "tracker.yaml"
    file.parent.mkdir()
    file.write_text(text)
    (folder / "reconciler.yaml").write_text(PROJECT)
    loaded, project = load(folder, environ={}, environment="dev"), load_project(folder)
    definitions = {key: define(key, content) for key, content in held.items()}
    result = export(project, loaded, definitions, folder=folder_of(project))
    assert result.diagnostics == ()
    return next((each.text for each in result.files), text)


@pytest.mark.parametrize(
    ("before", "after", "payload", "added"),
    [
        ("error", "data/uplink", {}, '    payload: ""\n'),
        ("error", "data/uplink", {"payload": "a::bool:1"}, ""),
        ("data/uplink", "error", {}, ""),
    ],
    ids=["inherits nothing", "inherits", "no longer inherits"],
)
def test_a_callback_of_another_type_inherits_what_the_new_type_does(
    tmp_path: Path, before: str, after: str, payload: Content, added: str
) -> None:
    held: dict[Key, Content] = {
        Key("tracker"): {"payload": "a::bool:1"},
        Key("tracker", "mail"): {"type": after, **MAIL, **payload},
    }
    text = amended(tmp_path, f"{HEAD}    type: {before}\n{LINES.format('')}", held)
    assert text == f"{HEAD}    type: {after}\n{LINES.format(added)}"


def test_a_field_at_the_end_of_the_last_callback_stands_before_a_callback_that_is_new(tmp_path: Path) -> None:
    mail = LINES.format("    type: data/uplink\n")
    held: dict[Key, Content] = {
        Key("tracker"): {"payload": "a::bool:1", "keepAlive": 1800},
        Key("tracker", "mail"): {"type": "data/uplink", "payload": "a::bool:1", **MAIL, "protect": True},
        Key("tracker", "more"): {"type": "data/uplink", "payload": "a::bool:1", **MAIL},
    }
    text = amended(tmp_path, f"{HEAD}{mail}keepAlive: 30m\n", held)
    kept, new = text.removesuffix("keepAlive: 30m\n").split("    protect: true\n")
    assert kept == f"{HEAD}{mail}"
    assert new.startswith("\n  more:\n")
    assert sorted(new.splitlines()[2:]) == sorted(mail.splitlines())
