"""The rules of definitions, as tables: content → findings."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.diagnostics import Severity
from reconciler.grammar import payload
from reconciler.model import definition
from reconciler.model.definition import (
    CALLBACK_DEFAULTS,
    CHANNEL_FIELDS,
    FORM_CONTENT_TYPE,
    body_kind,
    check_callback,
    check_device_type,
)
from reconciler.model.finding import SUMMARIES, Finding
from reconciler.model.headers import FORBIDDEN_NAMES, is_forbidden, is_token
from reconciler.model.resource import CallbackType, DownlinkMode, Key, Method, UrlChannel

TRACKER = Key("tracker")
TELEMETRY = Key("tracker", "telemetry")
URL = "https://example.com/uplink"


def findings(**fields: Any) -> list[tuple[str, tuple[str, ...]]]:
    content = {"type": "data/uplink", "channel": "url", "url": URL, **fields}
    callback, found = check_callback(TELEMETRY, {name: each for name, each in content.items() if each is not None})
    assert (callback is None) == any(each.severity is Severity.ERROR for each in found)
    return [(each.code, each.path) for each in found]


def finding(**fields: Any) -> Finding:
    _, (found,) = check_callback(TELEMETRY, {"type": "data/uplink", "channel": "url", "url": URL, **fields})
    return found


class TestCallbacks:
    def test_the_smallest_one_has_defaults(self) -> None:
        callback, found = check_callback(TELEMETRY, {"type": "data/uplink", "channel": "url", "url": URL})
        assert found == ()
        assert callback is not None
        assert (callback.key, callback.type, callback.payload) == (TELEMETRY, CallbackType.DATA_UPLINK, None)
        assert (callback.enabled, callback.send_duplicates, callback.protect) == (True, False, False)
        channel = callback.channel
        assert isinstance(channel, UrlChannel)
        assert (channel.method, channel.content_type, channel.body) == (Method.POST, FORM_CONTENT_TYPE, None)
        assert (channel.headers, channel.send_sni, channel.downlink_hook) == ((), False, False)

    def test_every_field_arrives(self) -> None:
        callback, found = check_callback(
            TELEMETRY,
            {
                "type": "data/uplink",
                "channel": "url",
                "method": "PUT",
                "url": "https://example.com/{device}",
                "headers": {"x-b": "2", "X-A": "{time}"},
                "contentType": "application/json",
                "body": '{"t": {customData#t}}',
                "payload": "t::int:16",
                "sendSni": True,
                "sendDuplicates": True,
                "enabled": False,
                "protect": True,
            },
        )
        assert found == ()
        assert callback is not None
        assert (callback.enabled, callback.send_duplicates, callback.protect) == (False, True, True)
        assert callback.payload is not None
        assert callback.payload.names == ("t",)
        channel = callback.channel
        assert isinstance(channel, UrlChannel)
        assert (channel.method, channel.send_sni) == (Method.PUT, True)
        assert channel.body is not None
        assert channel.body.render({"customData#t": 5}) == '{"t": 5}'
        assert [name for name, _ in channel.headers] == ["X-A", "x-b"]  # by name: their order is nobody's intention

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"type": None}, [("missing-key", ("type",))]),
            ({"channel": None}, [("missing-key", ("channel",))]),
            ({"url": None}, [("missing-key", ("url",))]),
            ({"type": "data/up"}, [("unknown-callback-type", ("type",))]),
            ({"channel": "web"}, [("unknown-channel", ("channel",))]),
            ({"method": "PATCH"}, [("unknown-method", ("method",))]),
            ({"linePattern": "x"}, [("field-not-of-channel", ("linePattern",))]),
            ({"nonsense": "x"}, [("field-not-of-channel", ("nonsense",))]),
            ({"downlinkHook": True}, [("downlink-hook-not-bidir", ("downlinkHook",))]),
            (
                {"method": "PATCH", "body": "x"},
                [("unknown-method", ("method",)), ("template-bad-form-body", ("body",))],
            ),
        ],
    )
    def test_vocabulary_and_fields(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**fields) == found

    @pytest.mark.parametrize("callback_type", [each for each in CallbackType if each != "data/uplink"])
    def test_types_that_are_not_executed_yet_are_refused_by_name(self, callback_type: CallbackType) -> None:
        assert findings(type=str(callback_type)) == [("callback-type-not-supported", ("type",))]

    @pytest.mark.parametrize("channel", [each for each in CHANNEL_FIELDS if each != "url"])
    def test_channels_that_are_not_executed_yet_are_refused_by_name(self, channel: str) -> None:
        assert findings(channel=channel) == [("channel-not-supported", ("channel",))]

    def test_type_and_channel_are_judged_apart(self) -> None:
        assert findings(type="error", channel="web") == [
            ("callback-type-not-supported", ("type",)),
            ("unknown-channel", ("channel",)),
        ]


class TestTypesToCome:
    """The rules of types that are not executed yet, as they will hold when they are."""

    @pytest.fixture(autouse=True)
    def all_types(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(definition, "SUPPORTED_TYPES", frozenset(CallbackType))

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"type": "data/bidir", "downlinkHook": True, "body": "a={ack}"}, []),
            ({"type": "error", "downlinkHook": True}, [("downlink-hook-not-bidir", ("downlinkHook",))]),
            ({"type": "error", "body": "a={info}&b={severity}"}, []),
            ({"type": "error", "body": "a={data}"}, [("variable-not-offered", ("body",))]),
            ({"type": "error", "body": "a={customData#a}"}, [("variable-not-offered", ("body",))]),
            ({"type": "error", "payload": "a::bool:1"}, [("payload-not-of-type", ("payload",))]),
            ({"type": "service/data-advanced", "payload": "a::bool:1", "body": "a={customData#a}&b={lqi}"}, []),
        ],
    )
    def test_what_they_offer_and_carry(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**fields) == found


class TestVariables:
    @pytest.mark.parametrize(
        "text", ["{device}{time}{data}{seqNumber}", "{rssi}{snr}{avgSnr}{lat}{lng}{duplicate}", "{a b}"]
    )
    def test_what_the_type_offers_may_be_used(self, text: str) -> None:
        assert findings(contentType="text/plain", body=text) == []

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"url": URL + "/{devise}"}, [("unknown-variable", ("url",))]),
            ({"headers": {"X": "{devise}"}}, [("unknown-variable", ("headers", "X"))]),
            ({"body": "a={devise}"}, [("unknown-variable", ("body",))]),
            ({"body": "a={ack}"}, [("variable-not-offered", ("body",))]),
            ({"body": "a={batt}"}, [("variable-not-offered", ("body",))]),
            ({"body": "a={customData#t}"}, [("custom-data-without-payload", ("body",))]),
            ({"body": "a={customData#t}", "payload": "u::bool:1"}, [("undeclared-custom-data", ("body",))]),
            ({"body": "a={customData#t}", "payload": "t::bool:1"}, []),
            ({"body": "a={customData#t}", "payload": "t::bool:9"}, [("payload-bad-bit", ("payload",))]),
            ({"body": "a={x}&b={x}"}, [("unknown-variable", ("body",))] * 2),
        ],
    )
    def test_others_are_found_in_every_template(
        self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        assert findings(**fields) == found

    def test_each_place_is_marked(self) -> None:
        _, found = check_callback(
            TELEMETRY, {"type": "data/uplink", "channel": "url", "url": "https://example.com/{x}/{device}?{xy}={x}"}
        )
        assert sorted((each.offset, each.length) for each in found) == [(20, 3), (33, 4), (38, 3)]

    @pytest.mark.parametrize(
        ("fields", "help"),
        [
            ({"body": "a={devise}"}, "Did you mean {device}?"),
            ({"body": "a={customData#tmp}", "payload": "temp::bool:1"}, "Did you mean {customData#temp}?"),
            ({"body": "a={customData#zz}", "payload": "temp::bool:1"}, "Declare it in the payload config."),
        ],
    )
    def test_the_nearest_name_is_proposed(self, fields: dict[str, Any], help: str) -> None:
        assert finding(**fields).help == help

    def test_what_the_type_offers_is_listed(self) -> None:
        assert "{device}" in finding(body="a={qqq}").help
        assert "data/bidir" in finding(body="a={ack}").detail


class TestGrammars:
    @pytest.mark.parametrize(
        ("fields", "code", "path", "offset"),
        [
            ({"url": "ftp://example.com/"}, "template-bad-url", ("url",), 0),
            ({"url": "https://{device}/"}, "template-variable-in-host", ("url",), 8),
            ({"url": URL + "#x"}, "template-url-fragment", ("url",), 26),
            ({"headers": {"X": "a\nb"}}, "template-control-character", ("headers", "X"), 1),
            ({"headers": {"X": "${x}"}}, "template-unknown-reference", ("headers", "X"), 0),
            ({"body": "a=b&c"}, "template-bad-form-body", ("body",), 4),
            ({"body": "{", "contentType": "application/json"}, "template-invalid-json", ("body",), 1),
            ({"payload": "a::int:65"}, "payload-bad-length", ("payload",), 7),
            ({"payload": ""}, "payload-empty", ("payload",), 0),
        ],
    )
    def test_their_errors_keep_code_and_place(
        self, fields: dict[str, Any], code: str, path: tuple[str, ...], offset: int
    ) -> None:
        found = finding(**fields)
        assert (found.code, found.path, found.offset) == (code, path, offset)
        assert found.summary == SUMMARIES[code]

    def test_a_payload_config_reports_all_its_problems(self) -> None:
        text = "a::int:65 a::bool:9 b"
        assert [code for code, _ in findings(payload=text)] == [each.code for each in payload.problems(text)]

    def test_the_same_mistake_twice_gives_equal_findings(self) -> None:
        assert finding(url="ftp://x/") == finding(url="ftp://x/")


class TestHeaders:
    @pytest.mark.parametrize(
        ("headers", "found"),
        [
            ({"X-Token": "a", "Authorization": "b", "ETag": "c"}, []),
            ({"Host": "a"}, [("forbidden-header", ("headers", "Host"))]),
            ({"content-TYPE": "a"}, [("forbidden-header", ("headers", "content-TYPE"))]),
            ({"Sec-Fetch-Mode": "a"}, [("forbidden-header", ("headers", "Sec-Fetch-Mode"))]),
            ({"Proxy-Anything": "a"}, [("forbidden-header", ("headers", "Proxy-Anything"))]),
            ({"": "a"}, [("bad-header-name", ("headers", ""))]),
            ({"X Y": "a"}, [("bad-header-name", ("headers", "X Y"))]),
            ({"X:": "a"}, [("bad-header-name", ("headers", "X:"))]),
            ({"X\n": "a"}, [("bad-header-name", ("headers", "X\n"))]),
            ({"{device}": "a"}, [("bad-header-name", ("headers", "{device}"))]),
            ({"Xé": "a"}, [("bad-header-name", ("headers", "Xé"))]),
            ({"X-A": "1", "x-a": "2"}, [("duplicate-header", ("headers", "x-a"))]),
        ],
    )
    def test_names(self, headers: dict[str, str], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(headers=headers) == found

    def test_a_login_in_the_url_and_an_authorization_header_exclude_each_other(self) -> None:
        headers = {"authorization": "Bearer ${secret.TOKEN}"}
        assert findings(url="https://me:pw@example.com/", headers=headers) == [
            ("credentials-twice", ("headers", "authorization"))
        ]
        assert findings(url="https://me:pw@example.com/") == []

    @pytest.mark.parametrize(
        "name", ["Accept", "Connection", "Cookie", "Host", "TE", "Transfer-Encoding", "User-Agent"]
    )
    def test_the_usual_suspects_are_forbidden(self, name: str) -> None:
        assert is_forbidden(name)
        assert is_forbidden(name.upper())

    def test_the_list_holds_names_in_lower_case_and_not_the_one_that_is_allowed(self) -> None:
        assert all(is_token(name) and name == name.lower() for name in FORBIDDEN_NAMES)
        assert "authorization" not in FORBIDDEN_NAMES


class TestBodies:
    @pytest.mark.parametrize(
        ("content_type", "kind"),
        [
            ("application/json", "json"),
            ("Application/JSON; charset=utf-8", "json"),
            ("application/vnd.example.v1+json", "json"),
            ("application/x-www-form-urlencoded", "form"),
            ("application/x-www-form-urlencoded;charset=UTF-8", "form"),
            ("text/plain", "text"),
            ('text/plain; charset="utf-8"; x=y', "text"),
            ("text/html", None),
            ("text/json", None),
            ("application/json-seq", None),
            ("json", None),
            ("", None),
            ("application/json\r\nX: y", None),
            ("application/json;", None),
            ("application/json; {device}", None),
        ],
    )
    def test_content_types(self, content_type: str, kind: str | None) -> None:
        assert body_kind(content_type) == kind

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"contentType": "text/html"}, [("content-type-not-supported", ("contentType",))]),
            ({"contentType": "application/json"}, [("json-body-missing", ("contentType",))]),
            ({"contentType": "application/json", "body": "[{time}]"}, []),
            ({"contentType": "text/plain"}, []),
            ({"contentType": "text/plain", "body": "{"}, []),
            ({"method": "GET"}, []),
            ({"method": "GET", "body": "a=b"}, [("body-on-get", ("body",))]),
            ({"method": "GET", "contentType": "text/html"}, [("body-on-get", ("contentType",))]),
            ({"method": "PUT", "body": "a=b"}, []),
        ],
    )
    def test_methods_and_content_types(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**fields) == found


class TestPayloads:
    @pytest.mark.parametrize(
        ("config", "offsets"),
        [
            ("a::uint:64 b::uint:32", []),
            ("a::uint:64 b::uint:32 c::uint:8", [22]),
            ("ab:12:bool:7 b:11:bool:7", [0]),
            ("b:11:uint:8 ab:11:uint:16", [12]),
            ("a::char:13", [0]),
        ],
    )
    def test_a_field_behind_twelve_bytes_is_a_warning(self, config: str, offsets: list[int]) -> None:
        callback, found = check_callback(
            TELEMETRY, {"type": "data/uplink", "channel": "url", "url": URL, "payload": config}
        )
        assert callback is not None
        assert [(each.code, each.severity, each.offset) for each in found] == [
            ("payload-beyond-uplink", Severity.WARNING, offset) for offset in offsets
        ]


class TestDeviceTypes:
    def test_the_smallest_one_has_defaults(self) -> None:
        device_type, found = check_device_type(TRACKER, {})
        assert found == ()
        assert device_type is not None
        assert (device_type.key, device_type.description, device_type.payload) == (TRACKER, "", None)
        assert (device_type.keep_alive, device_type.downlink_mode) == (None, DownlinkMode.NONE)

    def test_every_field_arrives(self) -> None:
        device_type, found = check_device_type(
            TRACKER,
            {
                "description": "of cold chains",
                "payload": "t::int:16",
                "keepAlive": 1800,
                "downlink": {"mode": "direct", "data": "{time}0000{rssi}"},
            },
        )
        assert found == ()
        assert device_type is not None
        assert device_type.description == "of cold chains"
        assert device_type.payload is not None
        assert device_type.keep_alive == timedelta(minutes=30)
        assert (device_type.downlink_mode, device_type.downlink_data) == (DownlinkMode.DIRECT, "{time}0000{rssi}")

    @pytest.mark.parametrize(("seconds", "good"), [(0, True), (1, False), (1799, False), (1800, True), (10**9, True)])
    def test_keep_alive(self, seconds: int, *, good: bool) -> None:
        device_type, found = check_device_type(TRACKER, {"keepAlive": seconds})
        assert (device_type is not None) is good
        assert [each.code for each in found] == ([] if good else ["keep-alive-too-short"])

    @pytest.mark.parametrize(
        ("data", "offset"),
        [
            ("0011223344556677", None),
            ("00112233445566AA", None),
            ("{time}{tapId}", None),
            ("{tapId}0000{rssi}", None),
            ("{rssi}{rssi}{rssi}{rssi}", None),
        ],
    )
    def test_downlink_data_of_eight_bytes(self, data: str, offset: None) -> None:
        device_type, found = check_device_type(TRACKER, {"downlink": {"mode": "direct", "data": data}})
        assert device_type is not None
        assert found == ()

    @pytest.mark.parametrize(
        ("data", "offset"),
        [
            ("", None),
            ("00112233445566", None),
            ("001122334455667788", None),
            ("{time}{time}00", None),
            ("0011223344556", 12),
            ("{time}{device}", 6),
            ("{time}00 00{rssi}", 8),
            ("zz", 0),
        ],
    )
    def test_other_downlink_data(self, data: str, offset: int | None) -> None:
        device_type, found = check_device_type(TRACKER, {"downlink": {"mode": "direct", "data": data}})
        assert device_type is None
        assert [(each.code, each.path, each.offset) for each in found] == [
            ("bad-downlink-data", ("downlink", "data"), offset)
        ]

    @pytest.mark.parametrize(
        ("downlink", "code"),
        [
            ({"mode": "dirct"}, "unknown-downlink-mode"),
            ({"mode": "direct"}, "missing-key"),
            ({"mode": "none", "data": "00"}, "downlink-data-not-direct"),
            ({"mode": "callback", "data": "00"}, "downlink-data-not-direct"),
        ],
    )
    def test_downlink_modes(self, downlink: dict[str, str], code: str) -> None:
        device_type, found = check_device_type(TRACKER, {"downlink": downlink})
        assert device_type is None
        assert [each.code for each in found] == [code]

    def test_payload_configs_are_those_of_callbacks(self) -> None:
        assert [each.code for each in check_device_type(TRACKER, {"payload": "a::int:99"})[1]] == ["payload-bad-length"]


def test_defaults_are_fields_of_some_channel() -> None:
    assert CALLBACK_DEFAULTS.keys() <= frozenset[str]().union(*CHANNEL_FIELDS.values())


def test_summaries_hold_no_text_of_the_user() -> None:
    assert [code for code, summary in SUMMARIES.items() if not summary or "{" in summary or summary.endswith(".")] == []
