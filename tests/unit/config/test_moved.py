"""What entries of `moved` and names in `removed` lead to; what is wrong with them is told by the stories."""

from collections.abc import Mapping
from typing import Any

from reconciler.codec.canonical import define
from reconciler.config.moved import moves, removals
from reconciler.config.overlay import Declared
from reconciler.config.source import parse
from reconciler.model.definition import Definition
from reconciler.model.resource import Key


def declared(name: str, *entries: Mapping[str, str] | None) -> dict[str, Declared]:
    (document,) = parse("a: 1\n", name="file").documents
    return {name: Declared(name, document, {"moved": [*entries]})}


def definitions(*keys: Key) -> dict[Key, Definition]:
    return {key: define(key, {}) for key in keys}


def moved(old: str, new: str) -> dict[str, str]:
    return {"from": old, "to": new}


def test_callbacks_move_below_the_name_that_their_device_type_has_now() -> None:
    project = {"moved": [moved("tracker", "beacon")]}
    files = declared("beacon", moved("telemetry", "uplink"))
    assert moves(project, files, definitions(Key("beacon"), Key("beacon", "uplink"))) == {
        Key("tracker"): Key("beacon"),
        Key("beacon", "telemetry"): Key("beacon", "uplink"),
    }


def test_nothing_moves_to_what_an_environment_does_not_hold() -> None:
    project = {"moved": [moved("tracker", "beacon")]}
    files = declared("beacon", moved("telemetry", "uplink"))
    assert moves(project, files, definitions(Key("beacon"))) == {Key("tracker"): Key("beacon")}
    assert moves(project, files, definitions()) == {}


def test_entries_that_were_set_aside_move_nothing() -> None:
    files = declared("beacon", None, moved("telemetry", "uplink"))
    held = definitions(Key("beacon"), Key("beacon", "uplink"))
    assert moves({"moved": [None]}, files, held) == {Key("beacon", "telemetry"): Key("beacon", "uplink")}


def test_what_is_removed_or_taken_away_by_an_override_shall_be_gone() -> None:
    files = declared("tracker") | declared("beacon")
    overrides: dict[str, Any] = {"tracker": None, "beacon": {}, "unknown": None}
    assert removals({}, files, {}) == frozenset()
    assert removals({"removed": ["legacy", None]}, files, overrides) == {"legacy", "tracker"}
