"""What documents may hold, and that pydantic and the published schema never disagree about it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from reconciler.codec.definition import read_content
from reconciler.config.content import callback_content, device_type_content
from reconciler.config.document import DOCUMENTS, EngineTarget, OperatorTarget, Project, duration
from reconciler.config.published import schema_of
from reconciler.model.resource import Key

CALLBACK = {"type": "data/uplink", "channel": "url", "url": "https://example.com/"}
DEVICE_TYPE: Mapping[str, Any] = {"apiVersion": "reconciler/v1", "kind": "DeviceType", "name": "tracker"}
ENVIRONMENT = {"target": {"engine": "http://127.0.0.1:8460"}}
PROJECT: Mapping[str, Any] = {
    "apiVersion": "reconciler/v1",
    "kind": "Project",
    "name": "p",
    "sources": ["*.yaml"],
    "environments": {"dev": ENVIRONMENT},
}


def accepts(kind: str, value: object) -> bool:
    """The verdict of both, which has to be one."""
    try:
        DOCUMENTS[kind].validate_python(value)
        pydantic = True
    except ValidationError:
        pydantic = False
    jsonschema = Draft202012Validator(schema_of(kind)).is_valid(value)
    assert pydantic == jsonschema
    return pydantic


def test_schemas_are_schemas() -> None:
    for kind in DOCUMENTS:
        Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("name", ["a", "A-1_b.c", "x" * 64], ["", "-a", "a b", "x" * 65, "é", 5, None]),
        ("description", ["", "x"], [1, None, []]),
        ("keepAlive", [0, "0s", "30m", "2h", "1d", "1800s"], [1, -1, "2", "2 h", "h", "1.5h", "2w", True, False, None]),
        ("downlink", [{"mode": "none"}, {"mode": "direct", "data": "00"}], [{}, {"mode": "x"}, "none", {"data": ""}]),
        ("payload", ["", "a::bool:1"], [1, None]),
        ("callbacks", [{}, {"a": CALLBACK}], [[], None, {"a b": CALLBACK}, {"a": None}, {"a": {}}]),
        ("moved", [[], [{"from": "a", "to": "b"}]], [{}, [{"from": "a"}], [{"from": "a", "to": "b c"}]]),
        ("kind", ["DeviceType"], ["Project", "devicetype", None]),
        ("apiVersion", ["reconciler/v1"], ["v1", 1]),
        ("Name", [], ["x"]),
    ],
)
def test_device_types(field: str, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not accepts("DeviceType", {**DEVICE_TYPE, field: value})] == []
    assert [value for value in bad if accepts("DeviceType", {**DEVICE_TYPE, field: value})] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("type", ["data/bidir", "error", "service/geoloc"], ["uplink", "DATA/UPLINK", None]),
        ("channel", [], ["batch-url", "email", "web", None, {}]),
        ("method", ["GET", "PUT"], ["get", "DELETE", None]),
        ("url", ["", "x"], [None, 1, {}]),
        ("headers", [{}, {"a": "b"}], [{"a": 1}, {"a": None}, [], None]),
        ("sendSni", [True, False], ["yes", 1, 0, None]),
        ("enabled", [False], ["false", 0]),
        ("tests", [[], [{"given": {"device": "1"}, "expect": {"json": None}}]], [{}, [{}], [{"given": {}}]]),
        ("linePattern", [], ["x"]),
        ("subject", [], ["x"]),
    ],
)
def test_callbacks_of_channel_url(field: str, good: list[object], bad: list[object]) -> None:
    def document(value: object) -> object:
        return {**DEVICE_TYPE, "callbacks": {"a": {**CALLBACK, field: value}}}

    assert [value for value in good if not accepts("DeviceType", document(value))] == []
    assert [value for value in bad if accepts("DeviceType", document(value))] == []


@pytest.mark.parametrize(
    ("callback", "good"),
    [
        ({"channel": "batch-url", "url": "x", "linePattern": "y"}, True),
        ({"channel": "batch-url", "url": "x"}, False),
        ({"channel": "batch-url", "url": "x", "linePattern": "y", "headers": {}}, False),
        ({"channel": "email", "recipient": "x", "subject": "y", "message": "z"}, True),
        ({"channel": "email", "recipient": ["x", "y"]}, True),
        ({"channel": "email", "recipient": []}, False),
        ({"channel": "email", "recipient": ["x", 1]}, False),
        ({"channel": "email", "recipient": None}, False),
        ({"channel": "email"}, False),
        ({"channel": "email", "recipient": "x", "url": "y"}, False),
        ({"url": "x"}, False),
    ],
)
def test_each_channel_has_its_own_fields(callback: Mapping[str, object], *, good: bool) -> None:
    assert accepts("DeviceType", {**DEVICE_TYPE, "callbacks": {"a": {"type": "error", **callback}}}) is good


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "target",
            [{"engine": "https://x/y", "token": {"env": "T"}}],
            [None, {}, {"engine": "x"}, {"engine": "http://"}],
        ),
        ("target", [], [{"engine": "http://x", "token": "secret"}, {"engine": "http://x?y"}, {"engine": "ftp://x"}]),
        (
            "target",
            [{"sigfox": "https://x", "login": {"env": "L"}, "password": {"env": "P"}}],
            [{"sigfox": "https://x"}],
        ),
        (
            "target",
            [],
            [{"sigfox": "https://x", "login": {"env": "L"}, "password": {"env": "P"}, "engine": "http://x"}],
        ),
        ("variables", [{}, {"a": "x", "b-1": 5, "_c": True, "d": 1.5, "e": {"env": "E"}}], [{"1": "x"}, {"a": None}]),
        ("variables", [], [{"a": {"env": "1"}}, {"a": {"evn": "E"}}, {"a": []}, {"a b": "x"}]),
        (
            "overrides",
            [{}, {"t": None}, {"t": {"callbacks": {"c": None}}}],
            [{"t": []}, {"t": {"callbacks": {"c": 1}}}],
        ),
        ("overrides", [{"t": {"callbacks": {"c": {"headers": {"A": None}}}}}], [{"t": {"name": "x"}}]),
        ("overrides", [{"t": {"keepAlive": None, "downlink": {"mode": "none"}}}], [{"t": {"keepAlive": 5}}]),
        ("overrides", [{"t": {"callbacks": {"c": {"method": None}}}}], [{"t": {"callbacks": {"c": {"method": "x"}}}}]),
        (
            "overrides",
            [{"t": {"callbacks": {"c": {"recipient": each}}}} for each in (None, "x", ["x", "y"])],
            [{"t": {"callbacks": {"c": {"recipient": each}}}} for each in ([], 1, [None])],
        ),
        ("promotesFrom", ["dev"], ["a b", 1]),
        ("protected", [True], ["yes"]),
        (
            "limits",
            [{"deletes": "30%", "updates": 5, "total": "12.5%", "creates": 0}, {}],
            [{"deletes": "130%"}, {"deletes": -1}, {"deletes": 1_000_000_000}],
        ),
        ("limits", [], [{"deletes": 0.5}, {"deletes": True}, {"moves": "1%"}, "30%"]),
    ],
)
def test_environments(field: str, good: list[object], bad: list[object]) -> None:
    def document(value: object) -> object:
        return {**PROJECT, "environments": {"dev": {**ENVIRONMENT, field: value}}}

    assert [value for value in good if not accepts("Project", document(value))] == []
    assert [value for value in bad if accepts("Project", document(value))] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("moved", [[], [{"from": "a", "to": "b"}]], [{}, [{"from": "a"}], [{"from": "a", "to": "b", "x": 1}], None]),
        ("removed", [[], ["a", "b.c"]], ["a", ["a b"], [1], [None], None, {}]),
        ("policies", [[]], [{}, "*.yaml", [5], [{}], None]),
        ("limits", [{"creates": 1, "updates": "0%", "deletes": "12.5%", "total": "100%"}, None], [{"moves": 1}, 5]),
    ],
)
def test_a_project(field: str, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not accepts("Project", {**PROJECT, field: value})] == []
    assert [value for value in bad if accepts("Project", {**PROJECT, field: value})] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("name", ["a"], ["", "a b", 1, None]),
        ("message", ["m"], ["", 1, None]),
        ("severity", ["error", "warning"], ["fatal", None]),
        ("environments", [["prod", "p*"]], [[], "prod", [""], [1], None, ["x" * 201]]),
        ("match", [{}, {"kind": "callback", "key": "a/*"}], [[], None, {"kinds": "x"}]),
        ("forbid", [{"headers.X-A": "*", "downlink.mode": "none"}], [{"headers.": "*"}, {"headers.a b": "*"}]),
        ("require", [{"port": 443}, {"port": 4.5}, {"enabled": True}, {"url": ""}], [{"url": None}, {"url": []}]),
        ("require", [{"url": {}}, {"url": {"regex": "("}}], [{"url": {"regex": 1}}, {"url": {"regexp": "a"}}]),
        (
            "require",
            [{"url": {"in": ["a", 1, 1.5]}}],
            [{"url": {"in": []}}, {"url": {"in": "a"}}, {"url": {"in": [None]}}],
        ),
        ("require", [{"url": {"present": False}}], [{"url": {"present": "yes"}}, {"url": {"present": None}}]),
        ("require", [{"port": {"min": 1, "max": 2.5}}, {"keepAlive": {"min": "2h"}}], [{"port": {"min": None}}]),
        ("forbidden", [], [{"url": "*"}]),
    ],
)
def test_policies(field: str, good: list[object], bad: list[object]) -> None:
    def document(value: object) -> object:
        return {**PROJECT, "policies": [{"name": "p", "message": "m", field: value}]}

    assert [value for value in good if not accepts("Project", document(value))] == []
    assert [value for value in bad if accepts("Project", document(value))] == []


@pytest.mark.parametrize("sources", [[], "*.yaml", [""], [1], None])
def test_a_project_names_its_sources(sources: object) -> None:
    assert not accepts("Project", {**PROJECT, "sources": sources})


def test_a_project_is_read_by_its_python_names() -> None:
    environments = {
        "dev": ENVIRONMENT,
        "prod": {
            "target": {"sigfox": "https://x", "login": {"env": "L"}, "password": {"env": "P"}},
            "promotesFrom": "dev",
        },
    }
    project = DOCUMENTS["Project"].validate_python({**PROJECT, "environments": environments})
    assert isinstance(project, Project)
    assert isinstance(project.environments["dev"].target, EngineTarget)
    operator = project.environments["prod"].target
    assert isinstance(operator, OperatorTarget)
    assert operator.login.env == "L"
    assert project.environments["prod"].promotes_from == "dev"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (0, timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_durations_have_units(text: str | int, length: timedelta) -> None:
    assert duration(text) == length


class TestAgreementWithTheDoor:
    """What the files' loader accepts has the shape that the engine's door accepts, and the other way round."""

    @pytest.mark.parametrize("field", ["description", "payload"])
    @pytest.mark.parametrize("value", ["x", 5, None, True, [], {}])
    def test_on_texts_of_device_types(self, field: str, value: object) -> None:
        by_door = not isinstance(read_content(Key("t"), {field: value}), tuple)
        assert accepts("DeviceType", {**DEVICE_TYPE, field: value}) is by_door

    @pytest.mark.parametrize(
        "downlink",
        [
            {"mode": "direct", "data": "x"},
            {"mode": "callback"},
            {"mode": "x"},
            {"data": "x"},
            {"mode": "direct", "a": 1},
            "x",
        ],
    )
    def test_on_downlinks(self, downlink: object) -> None:
        by_door = not isinstance(read_content(Key("t"), {"downlink": downlink}), tuple)
        assert accepts("DeviceType", {**DEVICE_TYPE, "downlink": downlink}) is by_door

    @pytest.mark.parametrize(
        "field",
        [
            *("type", "method", "url", "headers", "contentType", "body", "payload", "sendSni", "sendDuplicates"),
            *("downlinkHook", "ordered", "enabled", "protect", "nothing"),
        ],
    )
    @pytest.mark.parametrize("value", ["x", "data/bidir", "PUT", 5, None, True, False, [], {"a": "b"}, {"a": 1}])
    def test_on_callbacks(self, field: str, value: object) -> None:
        given = {**CALLBACK, field: value}
        accepted = accepts("DeviceType", {**DEVICE_TYPE, "callbacks": {"c": given}})
        content = callback_content(given, inherited="")  # what equals a default is left out on the wire
        assert accepted is not isinstance(read_content(Key("t", "c"), content), tuple)

    def test_on_a_whole_device_type(self) -> None:
        value = {**DEVICE_TYPE, "keepAlive": "2h", "downlink": {"mode": "direct", "data": "00"}, "description": ""}
        assert accepts("DeviceType", value)
        content = device_type_content(value)
        assert content == {"keepAlive": 7200, "downlink": {"mode": "direct", "data": "00"}}
        assert read_content(Key("t"), content) == content
