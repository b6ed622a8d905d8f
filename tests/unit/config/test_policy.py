"""Policies: which definitions they are about, and what of these they refuse."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.config.condition import LONGEST_TEXT
from reconciler.config.content import callback_content, device_type_content
from reconciler.config.field import FIELDS, field_named
from reconciler.config.policy import InForce, Policy, idle_findings, policies_of
from reconciler.config.source import parse
from reconciler.model.definition import CALLBACK_DEFAULTS, CHANNEL_FIELDS, DEVICE_TYPE_DEFAULTS, check_callback
from reconciler.model.resource import Key

CALLBACK = Key("tracker", "telemetry")
DEVICE_TYPE = Key("tracker")
URL = {"type": "data/uplink", "channel": "url", "url": "https://ingest.example.com/{device}"}
BATCH = {"type": "data/uplink", "channel": "batch-url", "url": "http://b.example.org:81/?b={batch}", "linePattern": "x"}
MAIL = {"type": "error", "channel": "email", "recipient": ["ops@example.com", "lab@example.org"], "message": "x"}


def policy(**rule: Any) -> Policy:
    """One policy that is in order."""
    value = {"policies": [{"name": "p", "message": "No.", **rule}]}
    (document,) = parse(json.dumps(value), name="file").documents
    (found,), wrong = policies_of(document, value)
    assert [each for each in wrong if each.code != "policy-never-applies"] == []
    return found


def broken(rule: Policy, value: Mapping[str, Any], *, key: Key = CALLBACK, inherited: str = "") -> list[str]:
    """The fields at which a definition breaks the policy, whether it can be built or not."""
    content = callback_content(value, inherited=inherited) if key.callback else device_type_content(value)
    resource = check_callback(key, content)[0] if key.callback else None
    with_resource = InForce([rule]).violations(key, content, resource)
    without = InForce([rule]).violations(key, content, None)
    fields = [each.clause.field.name for each in with_resource]
    assert fields == [each.clause.field.name for each in without]
    return fields


@pytest.mark.parametrize(
    ("rule", "value", "fields"),
    [
        # what is required
        ({"require": {"scheme": "https"}}, URL, []),
        ({"require": {"scheme": "https"}}, BATCH, ["scheme"]),
        ({"require": {"scheme": "https"}}, MAIL, []),
        ({"require": {"scheme": "https", "port": 443, "host": "*.example.com"}}, BATCH, ["scheme", "port", "host"]),
        ({"require": {"port": 443}}, URL, []),
        ({"require": {"host": "INGEST.example.com"}}, {**URL, "url": "https://Ingest.Example.COM"}, []),
        ({"require": {"headers.x-a": "1"}}, {**URL, "headers": {"X-A": "1"}}, []),
        ({"require": {"headers.x-a": "1"}}, {**URL, "headers": {"X-B": "1"}}, ["headers.x-a"]),
        ({"require": {"headers.x-a": "1"}}, URL, ["headers.x-a"]),
        ({"require": {"headers.x-a": "1"}}, BATCH, []),
        ({"require": {"headers": {"present": True}}}, URL, ["headers"]),
        ({"require": {"recipient": "*@example.com"}}, MAIL, ["recipient"]),
        ({"require": {"recipient": "*@example.*"}}, MAIL, []),
        ({"require": {"linePattern": {"present": True}}}, URL, []),
        ({"require": {"key": "tracker/*"}}, URL, []),
        ({"require": {"key": {"regex": "^[A-Z]"}}}, URL, ["key"]),
        ({"require": {"channel": {"in": ["url", "batch-url"]}}}, MAIL, ["channel"]),
        # defaults are values like others
        ({"require": {"method": "POST", "enabled": True, "sendSni": True}}, URL, ["sendSni"]),
        ({"require": {"contentType": "application/json*"}}, URL, ["contentType"]),
        ({"require": {"contentType": "application/json*"}}, {**URL, "method": "GET"}, []),
        ({"require": {"body": {"present": True}}}, URL, ["body"]),
        ({"require": {"body": {"present": True}}}, {**URL, "method": "GET"}, []),
        ({"require": {"payload": {"present": True}}}, URL, ["payload"]),
        ({"require": {"payload": {"present": True}}}, {**URL, "type": "service/status"}, []),
        # what is forbidden
        ({"forbid": {"channel": "email"}}, MAIL, ["channel"]),
        ({"forbid": {"channel": "email"}}, URL, []),
        ({"forbid": {"channel": "email", "enabled": True}}, MAIL, ["channel"]),
        ({"forbid": {"channel": "email", "enabled": False}}, MAIL, []),
        ({"forbid": {"host": "*.example.org", "port": {"max": 1023}}}, BATCH, ["host"]),
        ({"forbid": {"host": "*"}}, MAIL, []),
        ({"forbid": {"recipient": "*@example.org"}}, MAIL, ["recipient"]),
        ({"forbid": {"recipient": "*@example.net"}}, MAIL, []),
        ({"forbid": {"headers.X": {"present": False}, "url": "*"}}, URL, ["url"]),
        ({"forbid": {"headers.X": {"present": False}}}, MAIL, []),
        ({"forbid": {"url": {"regex": "^http:"}}, "require": {"port": {"min": 1024}}}, BATCH, ["port", "url"]),
        # what it is about
        ({"match": {"type": "data/*"}, "forbid": {"enabled": True}}, URL, ["enabled"]),
        ({"match": {"type": "service/*"}, "forbid": {"enabled": True}}, URL, []),
        ({"match": {"kind": "callback"}, "forbid": {"enabled": True}}, URL, ["enabled"]),
        ({"match": {"kind": "device-type"}, "forbid": {"description": ""}}, URL, []),
        ({"match": {"key": "beacon/*"}, "forbid": {"enabled": True}}, URL, []),
        ({"match": {"host": "*.example.org"}, "require": {"scheme": "https"}}, BATCH, ["scheme"]),
        ({"match": {"host": "*.example.org"}, "forbid": {"enabled": True}}, MAIL, []),
        ({"match": {"recipient": "*@example.org"}, "forbid": {"enabled": True}}, MAIL, ["enabled"]),
        ({"match": {"method": "GET"}, "forbid": {"enabled": True}}, URL, []),
    ],
)
def test_of_callbacks(rule: Mapping[str, Any], value: Mapping[str, Any], fields: list[str]) -> None:
    assert broken(policy(**rule), value) == fields


@pytest.mark.parametrize(
    ("rule", "value", "fields"),
    [
        ({"require": {"keepAlive": {"min": "30m"}}}, {}, ["keepAlive"]),
        ({"require": {"keepAlive": {"min": "30m"}}}, {"keepAlive": "2h"}, []),
        ({"require": {"keepAlive": {"present": True}}}, {"keepAlive": 0}, ["keepAlive"]),
        ({"require": {"description": {"present": True}}}, {}, ["description"]),
        ({"require": {"downlink.mode": "none"}}, {}, []),
        ({"require": {"downlink.mode": "none"}}, {"downlink": {"mode": "callback"}}, ["downlink.mode"]),
        ({"forbid": {"downlink.data": "*"}}, {"downlink": {"mode": "direct", "data": "00"}}, ["downlink.data"]),
        ({"forbid": {"downlink.data": "*"}}, {}, []),
        ({"require": {"payload": {"present": True}}}, {"payload": "a::bool:7"}, []),
        ({"require": {"key": "track*"}}, {}, []),
    ],
)
def test_of_device_types(rule: Mapping[str, Any], value: Mapping[str, Any], fields: list[str]) -> None:
    about = {"match": {"kind": "device-type"}}
    assert broken(policy(**about, **rule), value, key=DEVICE_TYPE) == fields
    assert broken(policy(**about, **rule), URL) == []


def test_an_inherited_payload_config_counts() -> None:
    assert broken(policy(require={"payload": {"present": True}}), URL, inherited="a::bool:7") == []


@pytest.mark.parametrize(
    ("rule", "unknown"),
    [
        ({"require": {"url": "x"}}, "url"),
        ({"require": {"host": "x"}}, "url"),
        ({"require": {"headers.A": "x"}}, "headers"),
        ({"match": {"url": "*"}, "forbid": {"enabled": True}}, "url"),
        ({"forbid": {"enabled": True, "url": "*"}}, "url"),
        ({"match": {"method": "POST"}, "forbid": {"enabled": True}}, "method"),
        ({"require": {"body": {"present": True}}}, "method"),
    ],
)
def test_a_policy_waits_for_what_is_not_known(rule: Mapping[str, Any], unknown: str) -> None:
    content = callback_content(URL, inherited="")
    in_force = InForce([policy(**rule)])
    assert in_force.violations(CALLBACK, content, None) != []
    assert in_force.violations(CALLBACK, content, None, frozenset({unknown})) == []
    assert in_force.violations(CALLBACK, content, None, frozenset({"subject"})) != []


def test_a_url_that_is_none_has_no_parts() -> None:
    value = {**URL, "url": "ingest.example.org"}
    assert broken(policy(require={"host": "x"}), value) == []
    assert broken(policy(require={"url": "https://*"}), value) == ["url"]


@pytest.mark.parametrize(
    "rule",
    [
        {"require": {"body": {"regex": "a"}}},
        {"forbid": {"body": {"regex": "b"}}},
        {"match": {"body": {"regex": "b"}}, "forbid": {"enabled": True}},
    ],
)
def test_nobody_escapes_by_a_long_text(rule: Mapping[str, Any]) -> None:
    assert len(broken(policy(**rule), {**URL, "contentType": "text/plain", "body": "a" * (LONGEST_TEXT + 1)})) == 1


def test_an_item_of_a_list_is_told() -> None:
    content = callback_content(MAIL, inherited="")
    for rule in ({"require": {"recipient": "*@example.com"}}, {"forbid": {"recipient": "*@example.org"}}):
        (violation,) = InForce([policy(**rule)]).violations(CALLBACK, content, None)
        assert violation.value == "lab@example.org"


@pytest.mark.parametrize(
    ("environments", "held", "others"),
    [
        (None, ["dev", "prod", None], []),
        (["prod"], ["prod"], ["dev", "prod-eu", None]),
        (["prod*", "stag?"], ["prod", "prod-eu", "stag1"], ["dev", "stag", None]),
    ],
)
def test_where_it_holds(environments: list[str] | None, held: list[str | None], others: list[str | None]) -> None:
    rule = {} if environments is None else {"environments": environments}
    found = policy(require={"scheme": "https"}, **rule)
    assert [each for each in held if not found.holds_in(each)] == []
    assert [each for each in others if found.holds_in(each)] == []


@pytest.mark.parametrize(
    ("message", "sentence"), [("No mail", "No mail."), ("Why?", "Why?"), ("Two\n  lines.\n", "Two lines.")]
)
def test_a_message_is_a_sentence(message: str, sentence: str) -> None:
    assert policy(require={"scheme": "https"}, message=message).message == sentence


@pytest.mark.parametrize(
    ("match", "idle"),
    [
        ({}, 0),
        ({"key": "tracker/*"}, 0),
        ({"key": {"in": ["tracker/none", "tracker/telemetry"]}}, 0),
        ({"key": "tracker"}, 1),
        ({"key": "beacon/*"}, 1),
        ({"kind": "device-type", "key": "tracker"}, 0),
        ({"kind": "device-type", "key": "tracker/*"}, 1),
    ],
)
def test_one_that_names_nothing_that_is_declared_is_idle(match: Mapping[str, Any], idle: int) -> None:
    value = {"policies": [{"name": "p", "message": "m", "match": match, "require": {"payload": "x"}}]}
    (document,) = parse(json.dumps(value), name="file").documents
    policies, _ = policies_of(document, value)
    assert len([*idle_findings(document, policies, [], [DEVICE_TYPE, CALLBACK])]) == idle
    assert [*idle_findings(document, policies, [], None)] == []


class TestFields:
    def test_of_callbacks_are_those_that_channels_have(self) -> None:
        plain = {name: each for name, each in FIELDS.items() if each.kinds == ("callback",) and name == each.source}
        fields = frozenset[str]().union(*CHANNEL_FIELDS.values())
        assert plain.keys() | {"payload"} == fields
        for name, each in plain.items():
            assert each.channels == {channel for channel, names in CHANNEL_FIELDS.items() if name in names}

    def test_of_device_types_are_those_that_contents_have(self) -> None:
        sources = {each.source for each in FIELDS.values() if "device-type" in each.kinds and each.source}
        assert sources == DEVICE_TYPE_DEFAULTS.keys()

    def test_that_are_left_out_have_their_defaults(self) -> None:
        for name, default in CALLBACK_DEFAULTS.items():
            assert FIELDS[name].read(CALLBACK, {}, None) == default
        for name in ("description", "payload", "keepAlive"):
            assert FIELDS[name].read(DEVICE_TYPE, {}, None) == DEVICE_TYPE_DEFAULTS[name]

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("url", ("url",)),
            ("host", ("url",)),
            ("downlink.mode", ("downlink", "mode")),
            ("headers.authorization", ("headers", "Authorization")),
            ("headers.X", ("headers", "X")),
            ("key", ()),
        ],
    )
    def test_lead_to_what_decides_them(self, name: str, path: tuple[str, ...]) -> None:
        found = field_named(name)
        assert found is not None
        assert found.path({"headers": {"Authorization": "x"}}) == path

    @pytest.mark.parametrize("name", ["", "urls", "headers.", "headers.a b", "downlink", "Url"])
    def test_that_do_not_exist(self, name: str) -> None:
        assert field_named(name) is None
