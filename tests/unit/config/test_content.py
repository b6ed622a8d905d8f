"""Documents to canonical contents."""

from typing import Any

import pytest

from reconciler.config.content import callback_content, device_type_content, has_references, item_at, settled
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
        ({"ordered": False}, {}),
        ({"ordered": True}, {"ordered": True}),
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


@pytest.mark.parametrize(
    ("recipient", "text"),
    [("a@b,c@d", "a@b,c@d"), (["a@b"], "a@b"), (["a@b", "c@d"], "a@b, c@d"), (["a@b, c@d", " e@f"], "a@b, c@d,  e@f")],
)
def test_recipients_are_one_text(recipient: object, text: str) -> None:
    value = {"type": "error", "channel": "email", "recipient": recipient}
    assert callback_content(value, inherited="")["recipient"] == text


def test_each_character_of_the_text_of_a_list_leads_back_to_its_item() -> None:
    items = ["a@b", "", "c@d"]
    text = callback_content({"recipient": items}, inherited="")["recipient"]
    assert isinstance(text, str)
    found = {item_at(items, at): character for at, character in enumerate(text) if character not in ", "}
    assert found == {(0, 0): "a", (0, 1): "@", (0, 2): "b", (2, 0): "c", (2, 1): "@", (2, 2): "d"}
    assert [item_at(items, at) for at in (3, 5, len(text))] == [(0, 3), (1, 0), (2, 3)]


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
