"""Documents to canonical contents."""

from typing import Any

import pytest

from reconciler.config.content import callback_content, device_type_content, has_references, settled
from reconciler.model.definition import Content

CALLBACK = {"type": "data/uplink", "channel": "url", "url": "https://example.com/"}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({}, {}),
        ({"description": "", "payload": "", "keepAlive": 0, "downlink": {"mode": "none"}}, {}),
        ({"keepAlive": "0s"}, {}),
        ({"keepAlive": "2h"}, {"keepAlive": 7200}),
        ({"downlink": {"mode": "direct", "data": "00"}}, {"downlink": {"mode": "direct", "data": "00"}}),
        ({"description": "x", "payload": "a::bool:1"}, {"description": "x", "payload": "a::bool:1"}),
        ({"apiVersion": "a", "kind": "b", "name": "c", "callbacks": {}, "moved": []}, {}),
    ],
)
def test_device_types(value: dict[str, Any], content: dict[str, Any]) -> None:
    assert device_type_content(value) == content


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"method": "POST", "headers": {}, "contentType": "application/x-www-form-urlencoded", "body": ""}, {}),
        ({"enabled": True, "protect": False, "sendSni": False, "sendDuplicates": False, "downlinkHook": False}, {}),
        ({"enabled": False, "protect": True}, {"enabled": False, "protect": True}),
        ({"method": "GET", "headers": {"A": "b"}}, {"method": "GET", "headers": {"A": "b"}}),
        ({"tests": [{}]}, {}),
    ],
)
def test_callbacks_leave_out_their_defaults(value: dict[str, Any], content: dict[str, Any]) -> None:
    assert callback_content({**CALLBACK, **value}, inherited="") == {**CALLBACK, **content}


@pytest.mark.parametrize(
    ("own", "payload"), [({}, "a::bool:1"), ({"payload": "b::bool:1"}, "b::bool:1"), ({"payload": ""}, None)]
)
def test_a_payload_config_is_inherited_where_none_is_written(own: dict[str, Any], payload: str | None) -> None:
    assert callback_content({**CALLBACK, **own}, inherited="a::bool:1").get("payload") == payload


def test_types_without_a_payload_inherit_none() -> None:
    assert "payload" not in callback_content({**CALLBACK, "type": "error"}, inherited="a::bool:1")


def test_references_are_settled_in_every_text() -> None:
    content: Content = {
        **CALLBACK,
        "url": "https://${var.a}/",
        "headers": {"X": "${var.b}", "Y": "y"},
        "body": "${var.}${var.c}",
    }
    assert has_references(content)
    result = settled(content, {"a": "host", "b": "value"})
    assert result.content == {
        **content,
        "url": "https://host/",
        "headers": {"X": "value", "Y": "y"},
        "body": "${var.}${var.c}",
    }
    assert set(result.texts) == {("url",), ("headers", "X"), ("body",)}
    assert [(path, each.name) for path, each in result.unresolved] == [(("body",), None), (("body",), "c")]
    assert content["headers"] == {"X": "${var.b}", "Y": "y"}


def test_without_references_the_content_is_the_same_one() -> None:
    assert not has_references(CALLBACK)
    assert settled(CALLBACK, {}).content is CALLBACK
