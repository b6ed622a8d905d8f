"""Laws of routing: whatever a device sends, what goes out keeps its shape."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.canonical import define, revision_digest
from reconciler.codec.delivery import dump_request, load_request
from reconciler.codec.message import dump_message, load_message, read_message
from reconciler.model.definition import Content
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Owned, Publication, Revision
from reconciler.runtime.routing import Router

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAYLOAD = "text::char:8 level:8:float:32 low:10:int:12 flag:0:bool:7"
CALLBACKS: dict[str, Content] = {
    "json": {
        "type": "data/uplink", "channel": "url", "url": "https://a.example/{customData#text}/end?x={customData#text}&y=1",
        "contentType": "application/json", "payload": PAYLOAD, "headers": {"X-Text": "<{customData#text}>"},
        "body": '{"text":"a {customData#text} b","level":{customData#level},"low":{customData#low},"raw":{data},'
        '"rssi":{rssi},"flag":{customData#flag},"seq":{seqNumber}}',
    },
    "form": {
        "type": "data/uplink", "channel": "url", "url": "http://a.example:8080/?d={device}", "payload": PAYLOAD,
        "body": "text={customData#text}&level={customData#level}",
    },
}  # fmt: skip


def compiled() -> Router:
    owned = {Key("tracker"): Owned(define(Key("tracker"), {}), "test")}
    for name, content in CALLBACKS.items():
        key = Key("tracker", name)
        owned[key] = Owned(define(key, content), "test")
    return Router.compile(Revision(1, revision_digest(owned.items()), owned, Publication(at=NOW, by="test")))


ROUTER = compiled()
numbers = st.none() | st.floats(-1e6, 1e6)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    fields: dict[str, Any] = {
        "device": f"{draw(st.integers(0, 2**32 - 1)):X}",
        "deviceType": "tracker",
        "time": draw(st.integers(0, 2**32 - 1)),
        "seqNumber": draw(st.none() | st.integers(0, 4095)),
        "data": draw(st.binary(max_size=12)).hex(),
        "rssi": draw(numbers),
        "snr": draw(numbers),
        "lat": draw(numbers),
        "duplicate": draw(st.none() | st.booleans()),
    }
    message = read_message(fields, received_at=NOW)
    assert isinstance(message, Message), message
    return message


@given(messages())
def test_a_kept_message_routes_to_the_same_requests(message: Message) -> None:
    kept = load_message(dump_message(message), received_at=NOW)

    assert kept == message
    assert ROUTER.route(kept, now=NOW) == ROUTER.route(message, now=NOW)


@given(messages())
def test_a_kept_request_is_the_request(message: Message) -> None:
    for delivery in ROUTER.route(message, now=NOW).deliveries:
        assert load_request(dump_request(delivery.request)) == delivery.request


@given(messages())
def test_no_payload_leaves_its_place(message: Message) -> None:
    form, as_json = ROUTER.route(message, now=NOW).deliveries
    config = decoded_fields(message)
    text = "null" if config["text"] is None else str(config["text"])

    assert isinstance(as_json.request.body, str)
    body = json.loads(as_json.request.body)
    assert list(body) == ["text", "level", "low", "raw", "rssi", "flag", "seq"]
    assert body["text"] == f"a {text} b"
    assert (body["low"], body["flag"], body["seq"]) == (config["low"], config["flag"], message.sequence_number)

    assert isinstance(as_json.request.target, str)
    target = urlsplit(as_json.request.target)
    assert parse_qsl(target.query, keep_blank_values=True) == [("x", text), ("y", "1")]
    assert target.path.count("/") == 2
    assert unquote(target.path.split("/")[1]) in (text, text.replace(".", "%2E"))

    header = dict(as_json.request.headers)["X-Text"]
    assert isinstance(header, str)
    assert not set(header) & {"\r", "\n", "\0"}
    assert header[0] + header[-1] == "<>"

    assert isinstance(form.request.body, str)
    pairs = parse_qsl(form.request.body, keep_blank_values=True, strict_parsing=True)
    assert [name for name, _ in pairs] == ["d", "text", "level"]
    assert pairs[1][1] == text


def decoded_fields(message: Message) -> dict[str, Any]:
    explanation = ROUTER.explain(message)
    decoded = explanation.matches[0].decoded
    assert decoded is not None
    return dict(decoded.values)
