"""Section 4.1, channel URL: what a receiver gets, byte for byte, and what is refused when it is saved."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from reconciler.model.definition import Content
from tests.conformance.operator.rig import a_callback, an_event, at, findings_of, live, received
from tests.fakes import Sink

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TEXT = "text/plain"
URL = "http://far.example/uplink?id={device}&time={time}"


def posting(content_type: str, body: str, url: str = "http://far.example/", **more: Any) -> Content:
    return a_callback(url=url, method="POST", contentType=content_type, body=body, **more)


def in_hex(text: str) -> str:
    return text.encode().hex()


# Methods


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_4_1_methods(method: str) -> None:
    request = await received(a_callback(url="http://far.example/p?d={device}", method=method), an_event())
    assert (request.method, request.target) == (method, "/p?d=1C178")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD", "get", ""])
def test_4_1_no_other_method(method: str) -> None:
    assert findings_of({**a_callback(), "method": method})


async def test_4_1_a_get_sends_no_body() -> None:
    request = await received(a_callback(url=URL, method="GET"), an_event())
    assert request.target == "/uplink?id=1C178&time=1700000000"
    assert request.body == b""
    assert request.header("Content-Length") is None
    assert request.header("Content-Type") is None


@pytest.mark.parametrize("field", [{"body": "a={device}"}, {"contentType": JSON}], ids=["body", "contentType"])
def test_4_1_a_get_with_a_body_is_refused(field: dict[str, str]) -> None:
    codes = {found.code for found in findings_of({**a_callback(method="GET"), **field})}
    assert "body-on-get" in codes


# Where variables may stand

PLACES = [
    ("4.1 in the path", a_callback(url="http://far.example/{device}/{data}"), "/1C178/e80332c0"),
    ("4.1 in the query", a_callback(url="http://far.example/?d={device}&t={time}"), "/?d=1C178&t=1700000000"),
    ("4.1 within a segment", a_callback(url="http://far.example/a-{device}-b"), "/a-1C178-b"),
    ("4.1 twice", a_callback(url="http://far.example/{device}/{device}"), "/1C178/1C178"),
    ("4.1 alone in the query", a_callback(url="http://far.example/?{device}"), "/?1C178"),
]


@pytest.mark.parametrize(("callback", "target"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
async def test_4_1_variables_in_the_url(callback: Content, target: str) -> None:
    assert (await received(callback, an_event())).target == target


async def test_4_1_variables_in_header_values() -> None:
    callback = a_callback(headers={"X-Device": "<{device}>", "X-Time": "{time}", "X-None": "{rssi}"})
    request = await received(callback, an_event())
    assert [request.header(name) for name in ("X-Device", "X-Time", "X-None")] == ["<1C178>", "1700000000", "null"]


def test_4_1_not_in_header_names() -> None:
    assert [f.code for f in findings_of(a_callback(headers={"X-{device}": "a"}))] == ["bad-header-name"]


@pytest.mark.parametrize("url", ["http://{device}.example/", "http://far.example:{time}/", "{device}://far.example/"])
def test_4_1_not_in_front_of_the_path(url: str) -> None:
    assert [found.code for found in findings_of(a_callback(url=url))] == ["template-variable-in-host"]


# Percent-encoding

ENCODED = [
    ("4.1 the documented sample", "00A0;13;3b;", "00A0%3B13%3B3b%3B"),
    ("4.1 separators of a query", "a&b=c#d", "a%26b%3Dc%23d"),
    ("4.1 a blank and a plus", "a b+c", "a%20b%2Bc"),
    ("4.1 a per cent sign", "100%41", "100%2541"),
    ("4.1 a slash and a question mark", "a/b?c", "a%2Fb%3Fc"),
    ("4.1 a line break", "a\r\nX: y", "a%0D%0AX%3A%20y"),
    ("4.1 beyond ASCII", "düne", "d%C3%BCne"),
    ("4.1 unreserved stays", "Az09-._~", "Az09-._~"),
]


@pytest.mark.parametrize(("value", "encoded"), [row[1:] for row in ENCODED], ids=[row[0] for row in ENCODED])
async def test_4_1_a_value_in_the_url_is_percent_encoded(value: str, encoded: str) -> None:
    size = len(value.encode())
    url = "http://far.example/{customData#x}/end?q={customData#x}&last=1"
    request = await received(a_callback(url=url, payload=f"x::char:{size}"), an_event(data=in_hex(value)))
    assert request.target == f"/{encoded}/end?q={encoded}&last=1"
    assert parse_qsl(urlsplit(request.target).query) == [("q", value), ("last", "1")]


# Credentials


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("login:password", "login:password"),
        ("login:", "login:"),
        ("login", "login:"),
        ("lo%40gin:pass%3Aword", "lo@gin:pass:word"),
        ("login:${secret.TOKEN}", "login:s3cr3t-t0k3n"),
    ],
)
async def test_4_1_basic_from_the_url(userinfo: str, credentials: str) -> None:
    request = await received(a_callback(url=f"http://{userinfo}@far.example/p"), an_event())
    assert request.header("Authorization") == f"Basic {b64encode(credentials.encode()).decode()}"
    assert request.target == "/p"
    assert "@" not in (request.header("Host") or "")


def test_4_1_basic_and_an_authorization_header_are_not_combined() -> None:
    content = a_callback(url="http://a:b@far.example/", headers={"authorization": "Bearer x"})
    assert [found.code for found in findings_of(content)] == ["credentials-twice"]


# Headers


async def test_4_1_authorization_is_allowed_as_a_header() -> None:
    request = await received(a_callback(headers={"Authorization": "Bearer ${secret.TOKEN}"}), an_event())
    assert request.header("Authorization") == "Bearer s3cr3t-t0k3n"


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Content-Type", "Content-Length", "Cookie", "User-Agent", "Accept", "Accept-Encoding"),
        *("Accept-Language", "Accept-Charset", "Connection", "host", "CONTENT-TYPE", "Transfer-Encoding", "Referer"),
        *("If-Modified-Since", "Range", "Expect", "Upgrade", "Via", "Date", "From", "Origin", "Cache-Control"),
    ],
)
def test_4_1_standard_headers_are_refused(name: str) -> None:
    assert [found.code for found in findings_of(a_callback(headers={name: "x"}))] == ["forbidden-header"]


@pytest.mark.parametrize("name", ["X-Token", "Api-Key", "x_under_score", "Authorization", "x1"])
def test_4_1_other_headers_are_allowed(name: str) -> None:
    assert findings_of(a_callback(headers={name: "x"})) == ()


def test_4_1_a_header_occurs_once() -> None:
    found = findings_of(a_callback(headers={"X-Token": "a", "x-token": "b"}))
    assert [each.code for each in found] == ["duplicate-header"]


@pytest.mark.parametrize("value", ["a\r\nX-Bad: 1", "a\nX-Bad: 1", "a\rX-Bad: 1", "a\0b"])
async def test_4_1_a_device_cannot_add_a_header(value: str) -> None:
    callback = a_callback(headers={"X-Text": "{customData#x}"}, payload=f"x::char:{len(value)}")
    request = await received(callback, an_event(data=in_hex(value)))
    assert request.header("X-Bad") is None
    assert (request.header("X-Text") or "").isprintable()


# Where to


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("http://far.example/", True),
        ("https://far.example/", True),
        ("http://far.example:5051/p", True),
        ("http://[2001:db8::1]:80/", True),
        ("ftp://far.example/", False),
        ("far.example/", False),
        ("http:///p", False),
        ("http://far.example:0/", False),
        ("http://far.example:65536/", False),
    ],
)
def test_4_1_http_https_and_explicit_ports(url: str, accepted: bool) -> None:
    assert (findings_of(a_callback(url=url)) == ()) == accepted


# Content types: what is accepted when it is saved

SAVED = [
    ("4.1 form: pairs", FORM, "a={device}&b={time}", None),
    ("4.1 form: fixed text", FORM, "a=1&b=x-{device}-y", None),
    ("4.1 form: no pairs", FORM, "{device}", "template-bad-form-body"),
    ("4.1 form: prose", FORM, "just text", "template-bad-form-body"),
    ("4.1 form: JSON", FORM, '{"a":{time}}', "template-bad-form-body"),
    ("4.1 form: a pair without a name", FORM, "a=1&={device}", "template-bad-form-body"),
    ("4.1 form: a variable as a name", FORM, "{device}=1", "template-bad-form-body"),
    ("4.1 JSON: values", JSON, '{"d":"{device}","t":{time}}', None),
    ("4.1 JSON: unquoted hex is a value", JSON, '{"d":{data}}', None),
    ("4.1 JSON: a list", JSON, "[{time},{seqNumber}]", None),
    ("4.1 JSON: a lone value", JSON, "{time}", None),
    ("4.1 JSON: a trailing comma", JSON, '{"t":{time},}', "template-invalid-json"),
    ("4.1 JSON: trailing characters", JSON, '{"t":{time}}x', "template-invalid-json"),
    ("4.1 JSON: not closed", JSON, '{"t":{time}', "template-invalid-json"),
    ("4.1 JSON: two variables in a row", JSON, '{"t":{time}{time}}', "template-invalid-json"),
    ("4.1 JSON: digits beside a variable", JSON, '{"t":1{time}}', "template-invalid-json"),
    ("4.1 JSON: no body", JSON, None, "json-body-missing"),
    ("4.1 text: anything", TEXT, 'any "thing" = {device} & {', None),
    ("4.1 content type with parameters", "application/json; charset=utf-8", '{"t":{time}}', None),
]


@pytest.mark.parametrize(("content_type", "body", "code"), [row[1:] for row in SAVED], ids=[row[0] for row in SAVED])
def test_4_1_the_rule_when_it_is_saved(content_type: str, body: str | None, code: str | None) -> None:
    content = {**a_callback(method="POST", contentType=content_type), **({} if body is None else {"body": body})}
    assert [found.code for found in findings_of(content)] == ([] if code is None else [code])


# Content types: what is sent

SENT = [
    ("4.1 form: the query stands in front", FORM, "data={data}", URL, "id=1C178&time=1700000000&data=e80332c0"),
    ("4.1 form: an empty body equals the query", FORM, "", URL, "id=1C178&time=1700000000"),
    ("4.1 form: no query", FORM, "data={data}", "http://far.example/", "data=e80332c0"),
    ("4.1 form: neither", FORM, "", "http://far.example/", ""),
    ("4.1 form: with a parameter", f"{FORM}; charset=utf-8", "d={data}", "http://far.example/?a=1", "a=1&d=e80332c0"),
    ("4.1 form: values are encoded", FORM, "x={customData#x}", "http://far.example/", "x=a%26b%3D%22%20c"),
    ("4.1 JSON: the query stays out", JSON, '{"t":{time}}', URL, '{"t":1700000000}'),
    ("4.1 JSON: inside a string", JSON, '{"x":"<{customData#x}>"}', URL, '{"x":"<a&b=\\" c>"}'),
    ("4.1 JSON: as a value", JSON, '{"x":{customData#x}}', URL, '{"x":"a&b=\\" c"}'),
    ("4.1 text: as it is", TEXT, "x={customData#x}\n{device}", URL, 'x=a&b=" c\n1C178'),
    ("4.1 text: the query stays out", TEXT, "", URL, ""),
]  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("content_type", "body", "url", "sent"), [row[1:] for row in SENT], ids=[row[0] for row in SENT]
)
async def test_4_1_the_body_as_sent(method: str, content_type: str, body: str, url: str, sent: str) -> None:
    custom = {"payload": "x:4:char:7"} if "customData" in body else {}
    content = {**a_callback(url=url, contentType=content_type, body=body), "method": method, **custom}
    if body == "":
        content.pop("body")
    if not custom:
        request = await received(content, an_event())
    else:
        request = await received(content, an_event(data="00000000" + in_hex('a&b=" c')))
    assert request.body.decode() == sent
    assert request.header("Content-Type") == content_type
    assert request.header("Content-Length") == str(len(sent.encode()))
    if url == URL:  # the sample of an undelivered POST shows the full URL, with the same pairs as its body
        assert request.target == "/uplink?id=1C178&time=1700000000"


async def test_4_1_the_default_content_type_is_the_form() -> None:
    request = await received(a_callback(method="POST", body="a={device}"), an_event())
    assert request.header("Content-Type") == FORM
    assert request.body == b"a=1C178"


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\t", '","z":1', "\x01", "ü", "</s>"])
async def test_4_1_whatever_a_device_sends_a_json_body_stays_what_it_was(text: str) -> None:
    size = len(text.encode())
    callback = posting(JSON, '{"s":"{customData#x}","v":{customData#x},"n":1}', payload=f"x::char:{size}")
    request = await received(callback, an_event(data=in_hex(text)))
    assert json.loads(request.body) == {"s": text, "v": text, "n": 1}


async def test_4_1_several_requests_use_the_url_of_each_message() -> None:
    async with Sink() as sink, live() as world:
        await world.publish(hook=at(sink, a_callback(url="http://far.example/{seqNumber}")))
        await world.take_all(*(an_event(seqNumber=number) for number in range(5)))
        await world.settled(5)
        assert sorted(request.target for request in sink.requests) == [f"/{number}" for number in range(5)]
