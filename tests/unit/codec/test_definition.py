"""Contents over the wire: what is taken as it is, and what every refusal says."""

from typing import Any

import pytest

from reconciler.codec.definition import read_content
from reconciler.model.resource import Key

TRACKER = Key("tracker")
TELEMETRY = Key("tracker", "telemetry")
CALLBACK = {"type": "data/uplink", "channel": "url", "url": "https://example.com/"}


@pytest.mark.parametrize(
    ("key", "content"),
    [
        (TRACKER, {}),
        (TRACKER, {"description": "x", "payload": "a::bool:1", "keepAlive": 1800}),
        (TRACKER, {"downlink": {"mode": "direct", "data": "00"}}),
        (TELEMETRY, CALLBACK),
        (TELEMETRY, {**CALLBACK, "method": "PUT", "headers": {"A": "b"}, "contentType": "text/plain", "body": "x"}),
        (TELEMETRY, {**CALLBACK, "enabled": False, "protect": True, "sendSni": True, "sendDuplicates": True}),
        (TELEMETRY, {**CALLBACK, "ordered": True}),
        (TELEMETRY, {"type": "error", "channel": "email", "recipient": "a@b", "subject": "x", "message": "y"}),
        (
            TELEMETRY,
            {"type": "data/bidir", "channel": "batch-url", "url": "x", "linePattern": "y", "downlinkHook": True},
        ),
    ],
)
def test_a_canonical_content_is_taken_as_it_is(key: Key, content: dict[str, Any]) -> None:
    assert read_content(key, content) is content


@pytest.mark.parametrize(
    ("key", "content", "problems"),
    [
        (TRACKER, [], ["The content of a definition is an object, not an array."]),
        (TRACKER, None, ["The content of a definition is an object, not null."]),
        (TRACKER, {"url": "x"}, ["“url” is not a field of this definition."]),
        (TRACKER, {"paylod": "x"}, ["“paylod” is not a field of this definition; did you mean “payload”?"]),
        (TRACKER, {"payload": 5}, ["“payload” is a text, not 5."]),
        (
            TRACKER,
            {"keepAlive": "1800"},
            ["“keepAlive” is a whole number of seconds from 0 to 3153600000, not “1800”."],
        ),
        (TRACKER, {"keepAlive": True}, ["“keepAlive” is a whole number of seconds from 0 to 3153600000, not true."]),
        (TRACKER, {"keepAlive": -1}, ["“keepAlive” is a whole number of seconds from 0 to 3153600000, not -1."]),
        (TRACKER, {"downlink": 5}, ["“downlink” is an object, not 5."]),
        (TRACKER, {"downlink": {}}, ["“downlink.mode” is missing."]),
        (
            TRACKER,
            {"downlink": {"mode": "x", "data": 5}},
            [
                "“downlink.mode” is one of direct, callback, none, managed, not “x”.",
                "“downlink.data” is a text, not 5.",
            ],
        ),
        (TRACKER, {"downlink": {"mode": "callback", "x": 1}}, ["“x” is not a field of this definition."]),
        (TELEMETRY, {}, ["“type” is missing.", "“channel” is missing."]),
        (TELEMETRY, {**CALLBACK, "enabled": 0}, ["“enabled” is true or false, not 0."]),
        (TELEMETRY, {**CALLBACK, "headers": []}, ["“headers” is an object of texts, not an array."]),
        (TELEMETRY, {**CALLBACK, "headers": {"A": 1}}, ["“headers.A” is a text, not 1."]),
        (TELEMETRY, {**CALLBACK, "method": []}, ["“method” is one of GET, POST, PUT, not an array."]),
        (TELEMETRY, {**CALLBACK, "body": None}, ["“body” is a text, not null."]),
        (TELEMETRY, {**CALLBACK, "tests": []}, ["“tests” is not a field of this definition."]),
        (
            TELEMETRY,
            {**CALLBACK, "url": 1.5, "x": 1},
            ["“url” is a text, not 1.5.", "“x” is not a field of this definition."],
        ),
    ],
)
def test_every_problem_is_a_sentence(key: Key, content: object, problems: list[str]) -> None:
    assert read_content(key, content) == tuple(problems)


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        (TRACKER, "description", ""),
        (TRACKER, "keepAlive", 0),
        (TRACKER, "downlink", {"mode": "none"}),
        (TELEMETRY, "method", "POST"),
        (TELEMETRY, "headers", {}),
        (TELEMETRY, "enabled", True),
        (TELEMETRY, "sendSni", False),
        (TELEMETRY, "contentType", "application/x-www-form-urlencoded"),
    ],
)
def test_defaults_are_refused_because_they_would_move_the_digest(key: Key, field: str, value: object) -> None:
    content = {**(CALLBACK if key.callback else {}), field: value}
    assert read_content(key, content) == (f"“{field}” equals its default; a canonical content leaves it out.",)


@pytest.mark.parametrize(
    "key", [Key("a b"), Key(""), Key("-a"), Key("a" * 65), Key("a", "b/c"), Key("a\n"), Key("", "b"), Key("é")]
)
def test_names_are_checked_too(key: Key) -> None:
    problems = read_content(key, CALLBACK if key.callback else {})
    assert isinstance(problems, tuple)
    assert "cannot be a name" in problems[0]


def test_a_hostile_value_is_shown_short() -> None:
    (problem,) = read_content(TELEMETRY, {**CALLBACK, "enabled": "x" * 10_000})
    assert len(problem) < 100
    (problem,) = read_content(TELEMETRY, {**CALLBACK, "x" * 10_000: 1})
    assert len(problem) < 100
