"""The rules of definitions, as tables: content → findings."""

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from reconciler.diagnostics import Severity
from reconciler.grammar import payload
from reconciler.model.definition import (
    CALLBACK_DEFAULTS,
    CHANNEL_FIELDS,
    FORM_CONTENT_TYPE,
    Content,
    body_kind,
    check_callback,
    check_device_type,
)
from reconciler.model.finding import SUMMARIES, Finding
from reconciler.model.headers import FORBIDDEN_NAMES, is_forbidden, is_token
from reconciler.model.resource import (
    BatchUrlChannel,
    CallbackType,
    DownlinkMode,
    EmailChannel,
    Key,
    Method,
    UrlChannel,
)

TRACKER = Key("tracker")
TELEMETRY = Key("tracker", "telemetry")
URL = "https://example.com/uplink"


def findings(**fields: Any) -> list[tuple[str, tuple[str, ...]]]:
    content = {"type": "data/uplink", "channel": "url", "url": URL, **fields}
    callback, found = check_callback(TELEMETRY, {name: each for name, each in content.items() if each is not None})
    assert (callback is None) == any(each.severity is Severity.ERROR for each in found)
    return [(each.code, each.path) for each in found]


def finding(**fields: Any) -> Finding:
    content = {"type": "data/uplink", "channel": "url", "url": URL, **fields}
    _, (found,) = check_callback(TELEMETRY, {name: each for name, each in content.items() if each is not None})
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
                "ordered": True,
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
        assert (channel.method, channel.send_sni, channel.ordered) == (Method.PUT, True, True)
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
            ({"type": "data/bidir", "ordered": True}, [("ordered-bidir", ("ordered",))]),
            ({"type": "data/bidir", "ordered": False}, []),
            ({"type": "error", "ordered": True}, []),
            ({"downlinkHook": True}, [("downlink-hook-not-bidir", ("downlinkHook",))]),
            (
                {"method": "PATCH", "body": "x"},
                [("unknown-method", ("method",)), ("template-bad-form-body", ("body",))],
            ),
        ],
    )
    def test_vocabulary_and_fields(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**fields) == found

    def test_type_and_channel_are_judged_apart(self) -> None:
        assert findings(type="errors", channel="web", method="PATCH") == [
            ("unknown-callback-type", ("type",)),
            ("unknown-channel", ("channel",)),
        ]


ADVANCED = "service/data-advanced"


class TestTypes:
    @pytest.mark.parametrize("callback_type", CallbackType)
    def test_each_may_use_every_channel(self, callback_type: CallbackType) -> None:
        for fields in (
            {"url": "https://example.com/{device}?t={time}", "contentType": "application/json", "body": "{}"},
            {"channel": "batch-url", "url": "https://example.com/?b={batch}", "linePattern": "{device};{time}"},
            {"channel": "email", "url": None, "recipient": "ops@example.com", "subject": "{device}"},
        ):
            by_mail = callback_type is CallbackType.DATA_BIDIR and fields.get("channel") == "email"
            expected = [("mail-cannot-answer", ("channel",))] if by_mail else []
            assert findings(type=str(callback_type), **fields) == expected

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"type": "data/bidir", "downlinkHook": True, "body": "a={ack}"}, []),
            ({"type": "error", "downlinkHook": True}, [("downlink-hook-not-bidir", ("downlinkHook",))]),
            ({"type": "error", "body": "a={info}&b={severity}"}, []),
            ({"type": "error", "body": "a={data}"}, [("variable-not-offered", ("body",))]),
            ({"type": "error", "body": "a={customData#a}"}, [("variable-not-offered", ("body",))]),
            ({"type": "error", "payload": "a::bool:1"}, [("payload-not-of-type", ("payload",))]),
            ({"type": "service/geoloc", "body": "a={lat}&b={geolocSource}"}, []),
            ({"type": "service/repeater", "body": "a={batt}&b={temp}"}, [("variable-not-offered", ("body",))]),
            ({"type": ADVANCED, "payload": "a::bool:1", "method": "GET", "url": URL + "?{customData#a}{lqi}"}, []),
        ],
    )
    def test_what_they_offer_and_carry(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**fields) == found

    @pytest.mark.parametrize("callback_type", CallbackType)
    def test_those_whose_events_several_stations_report_may_be_sent_again(self, callback_type: CallbackType) -> None:
        content: Content = {
            "type": str(callback_type),
            "channel": "url",
            "url": URL,
            "method": "GET",
            "sendDuplicates": True,
        }
        callback, found = check_callback(TELEMETRY, content)
        repeats = callback_type in {"data/uplink", "data/bidir", "service/status", "service/geoloc"}
        assert callback is not None
        assert callback.send_duplicates is repeats
        assert [(each.code, each.severity) for each in found] == (
            [] if repeats else [("send-duplicates-without-effect", Severity.WARNING)]
        )


class TestObjectVariables:
    """callbacks.md section 2.6: ready JSON, to be written without quotes."""

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"contentType": "application/json", "body": '{"a": {duplicates}, "b": {computedLocation}}'}, []),
            ({"contentType": "application/json", "body": '{"a": "{lqi}", "b": {operatorName}}'}, []),
            ({"contentType": "application/json", "body": '["{duplicates}"]'}, [("object-variable-quoted", ("body",))]),
            ({"body": "a={duplicates}"}, [("data-advanced-not-json", ("contentType",))]),
            ({"contentType": "text/plain"}, [("data-advanced-not-json", ("contentType",))]),
            ({"contentType": "text/html"}, [("content-type-not-supported", ("contentType",))]),
            ({"method": "GET", "url": URL + "?{computedLocation}"}, []),
            (
                {"channel": "batch-url", "url": URL + "?b={batch}", "linePattern": "{lqi};{duplicates}"},
                [("object-variable-in-line", ("linePattern",))],
            ),
            ({"channel": "email", "url": None, "recipient": "a@b", "message": "{duplicates}"}, []),
        ],
    )
    def test_places(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(type=ADVANCED, **fields) == found

    def test_each_quoted_place_is_marked_as_a_warning(self) -> None:
        body = '["{duplicates}", {duplicates}, "at {computedLocation}"]'
        content = {"type": ADVANCED, "channel": "url", "url": URL, "contentType": "application/json", "body": body}
        callback, found = check_callback(TELEMETRY, content)
        assert callback is not None
        assert [(each.severity, each.offset, each.length) for each in found] == [
            (Severity.WARNING, 2, len("{duplicates}")),
            (Severity.WARNING, 35, len("{computedLocation}")),
        ]


class TestBatches:
    BATCH: ClassVar[dict[str, Any]] = {
        "channel": "batch-url",
        "url": URL + "?k=1&b={batch}&z=2",
        "linePattern": "{device};{time}",
    }

    def test_every_field_arrives(self) -> None:
        content: Content = {"type": "data/bidir", **self.BATCH, "method": "PUT", "sendSni": True, "downlinkHook": True}
        callback, found = check_callback(TELEMETRY, content)
        assert found == ()
        assert callback is not None
        channel = callback.channel
        assert isinstance(channel, BatchUrlChannel)
        assert (channel.method, channel.send_sni, channel.downlink_hook) == (Method.PUT, True, True)
        assert (channel.url.before.render({}), channel.url.after.render({})) == ("k=1&b=", "&z=2")
        assert channel.line_pattern.render({"device": "1C178", "time": 7}) == "1C178%3B7"

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"url": None}, [("missing-key", ("url",))]),
            ({"linePattern": None}, [("missing-key", ("linePattern",))]),
            ({"linePattern": ""}, [("missing-key", ("linePattern",))]),
            ({"url": URL}, [("template-batch-missing", ("url",))]),
            ({"url": "ftp://example.com/?b={batch}"}, [("template-bad-url", ("url",))]),
            ({"url": URL + "?b={batch}&{time}"}, [("template-variable-in-batch-url", ("url",))]),
            ({"linePattern": "{device}\n"}, [("template-control-character", ("linePattern",))]),
            ({"linePattern": "{devise}"}, [("unknown-variable", ("linePattern",))]),
            ({"linePattern": "{batch}"}, [("unknown-variable", ("linePattern",))]),
            ({"linePattern": "{customData#a}", "payload": "a::bool:1"}, []),
            ({"body": "a=b"}, [("field-not-of-channel", ("body",))]),
            ({"downlinkHook": True}, [("downlink-hook-not-bidir", ("downlinkHook",))]),
            (
                {"url": URL, "linePattern": "{x}"},
                [("template-batch-missing", ("url",)), ("unknown-variable", ("linePattern",))],
            ),
        ],
    )
    def test_rules(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**{**self.BATCH, **fields}) == found

    @pytest.mark.parametrize(
        ("url", "help"),
        [
            (URL, f'Put it there:\n    url: "{URL}?lines={{batch}}"'),
            (URL + "?", f'Put it there:\n    url: "{URL}?lines={{batch}}"'),
            (URL + "?k=1", f'Put it there:\n    url: "{URL}?k=1&lines={{batch}}"'),
            (URL + "?a={batch}&b={batch}", "Keep one of them."),
            (URL + "/{batch}", 'For example:\n    url: "https://example.com/in?key=1&lines={batch}"'),
            (URL + "?a={batch}&b={data}", "Take it out of the url, and put it into linePattern."),
            ("https://{device}/", ""),
        ],
    )
    def test_what_to_do_about_a_url(self, url: str, help: str) -> None:
        assert finding(**{**self.BATCH, "url": url}).help == help

    def test_what_is_proposed_for_a_url_without_the_lines_is_good(self) -> None:
        for url in (URL, URL + "?", URL + "?k=1&", "http://a", "http://a?${secret.K}"):
            proposed = finding(**{**self.BATCH, "url": url}).help.partition('"')[2].rstrip('"')
            assert findings(**{**self.BATCH, "url": proposed}) == []

    @pytest.mark.parametrize(
        ("fields", "help"),
        [
            ({"url": URL + "?b={batch}"}, "choose channel: batch-url"),
            ({"body": "a={batch}"}, "choose channel: batch-url"),
            ({**BATCH, "linePattern": "{batch}"}, "a line pattern makes a single line"),
        ],
    )
    def test_the_place_of_the_lines_is_explained_where_it_is_none(self, fields: dict[str, Any], help: str) -> None:
        assert help in finding(**fields).help


class TestMails:
    MAIL: ClassVar[dict[str, Any]] = {"channel": "email", "url": None, "recipient": "ops@example.com", "subject": "x"}

    def test_every_field_arrives(self) -> None:
        content = {
            "type": "error",
            "channel": "email",
            "recipient": " ops@example.com,Lab+1@Example.com ",
            "subject": "{device}: {info}",
            "message": "{info}\n",
        }
        callback, found = check_callback(TELEMETRY, content)
        assert found == ()
        assert callback is not None
        channel = callback.channel
        assert isinstance(channel, EmailChannel)
        assert channel.recipients == ("ops@example.com", "Lab+1@Example.com")
        assert channel.subject.render({"device": "1C178", "info": "a\r\nBcc: x\u2028"}) == "1C178: a  Bcc: x "
        assert channel.message.render({"info": "a\nb"}) == "a\nb\n"

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"recipient": None}, [("missing-key", ("recipient",))]),
            ({"subject": None}, [("empty-mail", ("message",))]),
            ({"subject": None, "message": "x"}, []),
            ({"subject": "a\nb"}, [("template-control-character", ("subject",))]),
            ({"subject": "a\u2028b"}, [("template-control-character", ("subject",))]),
            ({"subject": "${x}"}, [("template-unknown-reference", ("subject",))]),
            ({"subject": "{batch}"}, [("unknown-variable", ("subject",))]),
            ({"message": "{info}"}, [("variable-not-offered", ("message",))]),
            ({"message": "a\nb\t{device}"}, []),
            ({"downlinkHook": True}, [("field-not-of-channel", ("downlinkHook",))]),
            ({"method": "GET"}, [("field-not-of-channel", ("method",))]),
            ({"recipient": "{device}@a, ${secret.B}"}, [("variable-in-recipient", ("recipient",))] * 2),
            ({"recipient": "${x}"}, [("template-unknown-reference", ("recipient",))]),
            (
                {"recipient": "a@b, A@B,c, c@d"},
                [("recipient-twice", ("recipient",)), ("bad-recipient", ("recipient",))],
            ),
        ],
    )
    def test_rules(self, fields: dict[str, Any], found: list[tuple[str, tuple[str, ...]]]) -> None:
        assert findings(**{**self.MAIL, **fields}) == found

    @pytest.mark.parametrize(
        "address",
        [
            "ops@example.com",
            "a@b",
            "first.last+tag@sub.example-1.com",
            "!#$%&'*+/=?^_`|~-@example.com",
            f"{'a' * 64}@example.com",
            f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 60}",  # 254 characters
            "ops@1and1.example",
            "ops@xn--bcher-kva.example",
            "ops@[192.0.2.1]",
            "ops@[IPv6:2001:db8::1]",
        ],
    )
    def test_addresses(self, address: str) -> None:
        assert findings(**{**self.MAIL, "recipient": address}) == []

    @pytest.mark.parametrize(
        "address",
        [
            "ops",
            "@example.com",
            "ops@",
            "a@b@c",
            "ops@example..com",
            "ops@.example.com",
            "ops@example.com.",
            "ops@-example.com",
            "ops@under_score.com",
            "ops@192.0.2.1",
            "ops@[192.0.2]",
            "ops@[192.0.2.1",
            "ops@[IPv6:fe80::1%eth0]",
            "ops@[2001:db8::1]",
            ".ops@example.com",
            "o..ps@example.com",
            "o ps@example.com",
            '"o ps"@example.com',
            "Ops <ops@example.com>",
            "ops@example.com (Ops)",
            "ops@example.com\nBcc: x@example.com",
            "ops@example.com; lab@example.com",
            "{}@example.com",
            "öps@example.com",
            "ops@bücher.example",
            "=?utf-8?q?=0A?=@example.com",
            f"{'a' * 65}@example.com",
            f"a@{'b' * 64}.com",
            f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 61}",
        ],
    )
    def test_what_is_no_address(self, address: str) -> None:
        found = finding(type="error", channel="email", recipient=f"a@b, {address}, c@d", subject="x", url=None)
        assert (found.code, found.offset, found.length) == ("bad-recipient", 5, len(address))
        assert found.detail.endswith(".")

    @pytest.mark.parametrize(("recipient", "offset"), [("", 0), (" ", 1), (",a@b", 0), ("a@b,  ,c@d", 6), ("a@b,", 4)])
    def test_nothing_is_no_address(self, recipient: str, offset: int) -> None:
        found = finding(**{**self.MAIL, "recipient": recipient})
        assert (found.code, found.offset, found.length) == ("bad-recipient", offset, 1)

    def test_several_are_told_to_be_separated_by_commas(self) -> None:
        found = finding(**{**self.MAIL, "recipient": "ops@example.com; lab@example.com"})
        assert "separated by commas" in found.help


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
            ({"body": "a={temperature}", "payload": "temperature::bool:1"}, "Did you mean {customData#temperature}?"),
            ({"body": "a={BATT}", "type": "service/status"}, "Did you mean {batt}?"),
            ({"body": "a={infoCod}", "type": "service/acknowledge"}, "Did you mean {infoCode}?"),
            ({"body": "a={radus}", "type": "service/geoloc"}, "Did you mean {radius}?"),
            ({"body": "a={repeatedMsgs}", "type": "service/repeater"}, "Did you mean {repeatedMsg}?"),
            ({"body": "a={severty}", "type": "error"}, "Did you mean {severity}?"),
            ({"body": "a={akc}", "type": "data/bidir"}, "Did you mean {ack}?"),
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
