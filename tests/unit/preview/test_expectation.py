"""What a test expects, compared with what the router makes of a message."""

import json
from typing import Any

import pytest

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.message import Message
from reconciler.model.resource import CallbackType, Key
from reconciler.preview import fire, fired_by, router_of, verdict
from tests.builders import NOW

CALLBACK = Key("tracker", "telemetry")
UPLINK: Content = {
    "type": "data/uplink",
    "channel": "url",
    "url": "https://ada:${secret.PASSWORD}@example.com/up/{device}?k=${secret.KEY}",
    "headers": {"X-Key": "${secret.KEY}-{seqNumber}"},
    "contentType": "application/json",
    "body": '{"d": "{device}", "t": {customData#temperature}, "s": "${secret.KEY}", "raw": ${secret.KEY}}',
    "payload": "temperature::int:16 label::char:2",
}
GET: Content = {"type": "data/uplink", "channel": "url", "method": "GET", "url": "http://example.com/{device}"}
LINE: Content = {
    "type": "data/uplink",
    "channel": "batch-url",
    "url": "http://example.com/in?lines={batch}&x=1",
    "linePattern": "{device};{seqNumber}",
}
MAIL: Content = {
    "type": "data/uplink",
    "channel": "email",
    "recipient": "ada@example.com, bob@example.com",
    "subject": "{device}",
    "message": "line {time}\n",
}
GIVEN = {"device": "1c178", "deviceType": "tracker", "time": 1_700_000_000, "seqNumber": 7, "data": "00154142"}


def told(content: Content, expected: dict[str, Any], **given: object) -> list[tuple[str, Any, str | None, str | None]]:
    """Code, path, what was expected and what was found, of each mismatch."""
    device_type = define(Key("tracker"), {})
    router = router_of({Key("tracker"): device_type, CALLBACK: define(CALLBACK, content)}, device_types=["tracker"])
    message = read_message({**GIVEN, **given}, received_at=NOW)
    assert isinstance(message, Message), message
    channel = content["channel"]
    assert isinstance(channel, str)
    found = verdict(expected, fire(router, message, CALLBACK), channel=channel).mismatches
    assert all(each.says.endswith(".") for each in found)
    return [(each.code, each.path, each.expected, each.found) for each in found]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (UPLINK, {}),
        (UPLINK, {"fires": True}),
        (UPLINK, {"method": "POST", "contentType": "application/json"}),
        (UPLINK, {"url": "https://example.com/up/1C178?k=${secret.KEY}"}),
        (UPLINK, {"headers": {"x-KEY": "${secret.KEY}-7", "Content-Type": "application/json", "X-Other": None}}),
        (UPLINK, {"headers": {"Authorization": "Basic ada:${secret.PASSWORD}"}}),
        (UPLINK, {"body": '{"d": "1C178", "t": 21, "s": "${secret.KEY}", "raw": ${secret.KEY}}'}),
        (UPLINK, {"json": {"d": "1C178", "t": 21.0, "s": "${secret.KEY}", "raw": "${secret.KEY}"}}),
        (UPLINK, {"custom": {"temperature": 21, "label": "AB"}}),
        (GET, {"body": "", "contentType": ""}),
        (LINE, {"line": "1C178;7", "url": "http://example.com/in?lines=1C178%3B7&x=1", "method": "POST"}),
        (LINE, {"body": "lines=1C178%3B7&x=1"}),
        (MAIL, {"recipient": "bob@example.com", "subject": "1C178", "message": "line 1700000000\n"}),
        (MAIL, {"recipients": ["bob@example.com", "ada@example.com"]}),
        ({**UPLINK, "enabled": False}, {"fires": False}),
    ],
)
def test_what_is_sent_is_as_expected(content: Content, expected: dict[str, Any]) -> None:
    assert told(content, expected) == []


NOT_MET = "expectation-not-met"


@pytest.mark.parametrize(
    ("content", "expected", "mismatches"),
    [
        (UPLINK, {"method": "PUT"}, [(NOT_MET, ("method",), "PUT", "POST")]),
        (
            UPLINK,
            {"url": "x", "contentType": "text/plain"},
            [
                (NOT_MET, ("url",), "x", "https://example.com/up/1C178?k=${secret.KEY}"),
                (NOT_MET, ("contentType",), "text/plain", "application/json"),
            ],
        ),
        (
            UPLINK,
            {"headers": {"X-None": "1", "X-Key": None}},
            [
                (NOT_MET, ("headers", "X-None"), "1", None),
                (NOT_MET, ("headers", "X-Key"), None, "${secret.KEY}-7"),
            ],
        ),
        (
            UPLINK,
            {"json": {"d": "1C178", "t": True, "s": "${secret.KEY}", "u": 1}},
            [
                (NOT_MET, ("json", "t"), "true", "21"),
                (NOT_MET, ("json", "u"), "1", None),
                (NOT_MET, ("json", "raw"), None, '"${secret.KEY}"'),
            ],
        ),
        ({**UPLINK, "contentType": "text/plain", "body": "{"}, {"json": {}}, [(NOT_MET, ("json",), "{}", "{")]),
        (GET, {"json": 1}, [(NOT_MET, ("json",), "1", None)]),
        (GET, {"body": "x"}, [(NOT_MET, ("body",), "x", None)]),
        (
            UPLINK,
            {"custom": {"temperature": 22, "nothing": 1}},
            [
                (NOT_MET, ("custom", "temperature"), "22", "21"),
                (NOT_MET, ("custom", "nothing"), "1", None),
            ],
        ),
        (LINE, {"custom": {"x": 1}}, [(NOT_MET, ("custom",), None, None)]),
        (LINE, {"line": ""}, [(NOT_MET, ("line",), "", "1C178;7")]),
        (LINE, {"json": {}}, [("expectation-not-of-channel", ("json",), None, None)]),
        (
            MAIL,
            {"recipient": "eve@example.com", "recipients": ["ada@example.com"], "url": ""},
            [
                ("expectation-not-of-channel", ("url",), None, None),
                (NOT_MET, ("recipient",), "eve@example.com", "ada@example.com, bob@example.com"),
                (NOT_MET, ("recipients",), "ada@example.com", "ada@example.com, bob@example.com"),
            ],
        ),
        (UPLINK, {"fires": False}, [("callback-fired", ("fires",), None, None)]),
        ({**UPLINK, "enabled": False}, {"method": "PUT"}, [("callback-did-not-fire", (), None, None)]),
        ({**UPLINK, "enabled": False}, {"fires": True}, [("callback-did-not-fire", (), None, None)]),
        (
            UPLINK,
            {"fires": False, "url": "", "body": ""},
            [
                ("expectation-contradictory", ("url",), None, None),
                ("expectation-contradictory", ("body",), None, None),
                ("callback-fired", ("fires",), None, None),
            ],
        ),
    ],
)
def test_everything_that_differs_is_told(content: Content, expected: dict[str, Any], mismatches: list[Any]) -> None:
    assert told(content, expected) == mismatches


def test_a_field_beyond_the_payload_is_null() -> None:
    assert told(UPLINK, {"custom": {"temperature": 21, "label": None}}, data="0015") == []
    assert (
        told({**UPLINK, "payload": "temperature::float:32"}, {"custom": {"temperature": None}}, data="7fc00000") == []
    )


def test_a_further_reception_fires_only_what_asks_for_it() -> None:
    again = {"duplicate": True, "station": "0AF0"}
    asking = {**LINE, "sendDuplicates": True, "linePattern": "{duplicate}"}
    assert told(asking, {"line": "true"}, **again) == []
    assert told(asking, {"line": "false"}, station="0AF0") == []
    assert told(LINE, {"fires": False}, **again) == []
    assert [each[0] for each in told(asking, {"line": "true"}, duplicate=True)] == ["callback-did-not-fire"]


def test_messages_of_other_types_and_device_types_do_not_fire_it() -> None:
    assert told(LINE, {"fires": False}, deviceType="valve") == []
    status = {name: value for name, value in GIVEN.items() if name != "data"}
    assert told(LINE, {"fires": False}, **status, type="status") == []


@pytest.mark.parametrize("type", CallbackType)
def test_every_type_of_callback_is_fired_by_one_type_of_message(type: CallbackType) -> None:
    assert fired_by(type) == {"data/uplink": "data", "data/bidir": "data"}.get(type, type.rpartition("/")[2])


def test_a_secret_never_makes_a_body_of_json_unreadable() -> None:
    expected = {"json": {"raw": ["${secret.KEY}"]}}
    content = {**UPLINK, "body": json.dumps({"raw": ["PLACE"]}).replace('"PLACE"', "${secret.KEY}")}
    assert told(content, expected) == []
