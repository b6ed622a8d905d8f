"""Laws of routing: whatever a device sends, what goes out keeps its shape, and everybody gets theirs once."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.canonical import define, revision_digest
from reconciler.codec.delivery import dump_request, load_request
from reconciler.codec.message import dump_message, load_message, read_message
from reconciler.model.definition import Content
from reconciler.model.delivery import BatchLine, Delivery, HttpRequest, Lease, Mail
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import CallbackType, Key
from reconciler.model.revision import Owned, Publication, Revision
from reconciler.runtime.batching import LONGEST_TARGET, batches
from reconciler.runtime.gathering import advanced
from reconciler.runtime.routing import FIRES, Router
from tests.builders import a_lease

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
        "body": "text={customData#text}&level={customData#level}", "sendDuplicates": True,
    },
    "line": {
        "type": "data/bidir", "channel": "batch-url", "url": "http://a.example/in?key=1&lines={batch}&end=2",
        "payload": PAYLOAD, "linePattern": "{device};{customData#text};{rssi};{time}", "downlinkHook": True,
    },
    "mail": {
        "type": "data/uplink", "channel": "email", "recipient": "a@example.com, b@example.com", "payload": PAYLOAD,
        "subject": "<{customData#text}>", "message": "{customData#text}", "sendDuplicates": True,
    },
}  # fmt: skip


def a_router(**callbacks: Content) -> Router:
    device_type: Content = {"downlink": {"mode": "callback"}, "keepAlive": 7200}
    owned = {Key("tracker"): Owned(define(Key("tracker"), device_type), "test")}
    for name, content in callbacks.items():
        key = Key("tracker", name)
        owned[key] = Owned(define(key, content), "test")
    return Router.compile(Revision(1, revision_digest(owned.items()), owned, Publication(at=NOW, by="test")))


ROUTER = a_router(**CALLBACKS)
numbers = st.none() | st.floats(-1e6, 1e6)
hostile = st.sampled_from(
    ["", "\n", "\r\n", "%0A", "&x=1", "=", ";", "..", "\x00", "\x85", "\u2028", '"},{"', "{time}"]
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    payload = draw(st.binary(max_size=12) | hostile.map(lambda text: text.encode()))
    fields: dict[str, Any] = {
        "device": f"{draw(st.integers(0, 2**32 - 1)):X}",
        "deviceType": "tracker",
        "time": draw(st.integers(0, 2**32 - 1)),
        "seqNumber": draw(st.none() | st.integers(0, 4095)),
        "data": payload.hex(),
        "rssi": draw(numbers),
        "snr": draw(numbers),
        "lat": draw(numbers),
        "station": draw(st.none() | st.sampled_from(["0AF0", "37FF"])),
        "duplicate": draw(st.none() | st.booleans()),
        "ack": draw(st.none() | st.booleans()),
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
    route = ROUTER.route(message, now=NOW)
    for delivery in (*route.deliveries, *route.again):
        assert load_request(dump_request(delivery.request)) == delivery.request


# What fires


@st.composite
def sets_of_callbacks(draw: st.DrawFn) -> dict[str, Content]:
    """Callbacks of any type and channel, under names in any order."""

    def callback(type: CallbackType, channel: str, on: bool, duplicates: bool, recipients: int) -> Content:
        common: Content = {"type": str(type), "channel": channel, "enabled": on, "sendDuplicates": duplicates}
        if channel == "url":
            return {**common, "method": "GET", "url": "http://a.example/{device}"}
        if channel == "batch-url":
            return {**common, "url": "http://a.example/?l={batch}", "linePattern": "{device}"}
        return {**common, "recipient": ",".join(f"r{n}@example.com" for n in range(recipients)), "subject": "{device}"}

    channels = st.sampled_from(["url", "batch-url", "email"])
    flags = st.booleans()
    one = st.builds(callback, st.sampled_from(CallbackType), channels, flags, flags, st.integers(1, 3))
    return draw(st.dictionaries(st.sampled_from("abcdefgh"), one, max_size=5))


EVENT = {"device": "1C178", "deviceType": "tracker", "time": 1_700_000_000}
EXTRAS: dict[MessageType, dict[str, Any]] = {
    MessageType.DATA: {"station": "0AF0"},
    MessageType.STATUS: {"station": "0AF0"},
    MessageType.GEOLOC: {"lat": 1, "lng": 2, "station": "0AF0"},
    MessageType.ACKNOWLEDGE: {"infoCode": 0},
}


@given(sets_of_callbacks(), st.sampled_from(MessageType))
def test_an_event_fires_its_types_once_for_each_recipient_in_the_order_of_names(
    callbacks: dict[str, Content], kind: MessageType
) -> None:
    router = a_router(**callbacks)
    message = read_message({**EVENT, "type": str(kind), **EXTRAS.get(kind, {})}, received_at=NOW)
    assert isinstance(message, Message), message
    route = router.route(message, now=NOW)

    def expected(*, again: bool) -> list[tuple[str, int]]:
        names = [
            name
            for name, content in sorted(callbacks.items())
            for _ in range(str(content.get("recipient", "")).count(",") + 1)
            if content["enabled"] and content["type"] in FIRES[kind]
            and (not again or (content["sendDuplicates"] and "station" in message.metadata))
        ]  # fmt: skip
        return [(name, ordinal) for ordinal, name in enumerate(names)]

    assert made_by(route.deliveries) == expected(again=False)
    assert made_by(route.again) == expected(again=True)
    assert {d.id.message for d in (*route.deliveries, *route.again)} <= {message.id}
    for again, deliveries in ((False, route.deliveries), (True, route.again)):
        explanation = router.explain(message, again=again)
        if not again or "station" in message.metadata:
            assert [id for match in explanation.matches for id in match.deliveries] == [d.id for d in deliveries]
        assert len(explanation.matches) == len(callbacks)
        assert all(match.matched is bool(match.deliveries) and match.reason for match in explanation.matches)


def made_by(deliveries: tuple[Delivery, ...]) -> list[tuple[str, int]]:
    return [(delivery.callback.callback, delivery.id.ordinal) for delivery in deliveries]


@given(messages())
def test_a_mail_has_an_id_of_its_own(message: Message) -> None:
    mails = [d for d in ROUTER.route(message, now=NOW).deliveries if isinstance(d.request, Mail)]

    assert [d.request.id for d in mails if isinstance(d.request, Mail)] == [str(d.id) for d in mails]
    assert len({str(d.id) for d in mails}) == 2


@given(messages())
def test_who_waits_for_an_answer_is_asked_for_it(message: Message) -> None:
    route = ROUTER.route(message, now=NOW)
    asks = message.metadata.get("ack") is True

    assert (route.downlink is not None) is asks
    assert [d.callback.callback for d in route.deliveries if d.asks] == (["line"] if asks else [])
    assert not any(d.asks for d in route.again)


# What goes out keeps its shape


@given(messages())
def test_no_payload_leaves_its_place(message: Message) -> None:
    form, as_json, line, mail, _ = (delivery.request for delivery in ROUTER.route(message, now=NOW).deliveries)
    config = decoded_fields(message)
    text = "null" if config["text"] is None else str(config["text"])

    assert isinstance(as_json, HttpRequest)
    assert isinstance(as_json.body, str)
    body = json.loads(as_json.body)
    assert list(body) == ["text", "level", "low", "raw", "rssi", "flag", "seq"]
    assert body["text"] == f"a {text} b"
    assert (body["low"], body["flag"], body["seq"]) == (config["low"], config["flag"], message.sequence_number)

    assert isinstance(as_json.target, str)
    target = urlsplit(as_json.target)
    assert parse_qsl(target.query, keep_blank_values=True) == [("x", text), ("y", "1")]
    assert target.path.count("/") == 2
    assert unquote(target.path.split("/")[1]) in (text, text.replace(".", "%2E"))

    header = dict(as_json.headers)["X-Text"]
    assert isinstance(header, str)
    assert not set(header) & {"\r", "\n", "\0"}
    assert header[0] + header[-1] == "<>"

    assert isinstance(form, HttpRequest)
    assert isinstance(form.body, str)
    pairs = parse_qsl(form.body, keep_blank_values=True, strict_parsing=True)
    assert [name for name, _ in pairs] == ["d", "text", "level"]
    assert pairs[1][1] == text

    assert isinstance(line, BatchLine)
    assert isinstance(line.line, str)
    assert not set(line.line) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")
    assert len(unquote(line.line).splitlines()) == 1

    assert isinstance(mail, Mail)
    assert isinstance(mail.subject, str)
    assert mail.subject.splitlines() == [mail.subject]
    assert mail.text == text


def decoded_fields(message: Message) -> dict[str, Any]:
    explanation = ROUTER.explain(message)
    decoded = explanation.matches[0].decoded
    assert decoded is not None
    return dict(decoded.values)


# Batches


def leased_lines(message: Message, *, revision: int = 1) -> list[Lease]:
    made = ROUTER.route(message, now=NOW).deliveries
    return [a_lease(replace(each, revision=revision)) for each in made if isinstance(each.request, BatchLine)]


@given(st.lists(messages(), min_size=1, max_size=12))
def test_a_receiver_finds_every_line_of_a_batch(sent: list[Message]) -> None:
    lines = [lease for message in sent for lease in leased_lines(message)]
    (batch,) = batches(lines)

    assert isinstance(batch.request.target, str)
    assert isinstance(batch.request.body, str)
    query = urlsplit(batch.request.target).query
    assert batch.request.body == query
    pairs = dict(parse_qsl(query, strict_parsing=True))
    assert list(pairs) == ["key", "lines", "end"]
    assert pairs["lines"].split("\n") == [unquote(line_of(lease)) for lease in lines]
    assert batch.asks is any(message.metadata.get("ack") is True for message in sent)


@given(messages(), st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 2)), max_size=40))
def test_batches_hold_every_line_once_and_no_target_is_too_long(message: Message, sizes: list[tuple[int, int]]) -> None:
    leases = []
    for size, revision in sizes:
        (lease,) = leased_lines(message, revision=revision)
        request = lease.delivery.request
        assert isinstance(request, BatchLine)
        leases.append(replace(lease, delivery=replace(lease.delivery, request=replace(request, line="x" * size))))
    made = batches(leases)

    for revision in (1, 2):
        of_revision = [b for b in made if b.lines[0].delivery.revision == revision]
        together = [lease for batch in of_revision for lease in batch.lines]
        assert together == [lease for lease in leases if lease.delivery.revision == revision]
    for batch in made:
        assert isinstance(batch.request.target, str)
        assert len({lease.delivery.revision for lease in batch.lines}) == 1
        assert len(batch.request.target) <= LONGEST_TARGET or len(batch.lines) == 1


def line_of(lease: Lease) -> str:
    request = lease.delivery.request
    assert isinstance(request, BatchLine)
    assert isinstance(request.line, str)
    return request.line


# Gathered receptions


@given(st.lists(messages(), min_size=1, max_size=5))
def test_gathered_receptions_are_a_message_like_any_other(receptions: list[Message]) -> None:
    made = advanced(receptions, at=NOW)

    assert load_message(dump_message(made), received_at=NOW) == made
    told = json.loads(str(made.metadata["duplicates"]))
    assert [each["bsId"] for each in told] == [
        reception.metadata["station"] for reception in receptions if "station" in reception.metadata
    ]
    assert all(isinstance(each[name], float) for each in told for name in ("rssi", "snr") if name in each)
