"""From a message to the exact requests it makes (`callbacks.md` sections 1, 2 and 4.1)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.codec.canonical import define, revision_digest
from reconciler.codec.message import read_message
from reconciler.errors import StoreError
from reconciler.grammar.template import redact
from reconciler.model.definition import Content, check_callback
from reconciler.model.delivery import Delivery, HttpRequest
from reconciler.model.message import Message
from reconciler.model.resource import Key, Method
from reconciler.model.revision import EMPTY, Owned, Publication, Revision
from reconciler.runtime.routing import Router, render_request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# callbacks.md section 12.4: campusiot sigfox-mqtt-bridge (GET, 2016)
CAPTURED: dict[str, Any] = {
    "device": "1C178", "deviceType": "tracker", "time": 1471594359, "duplicate": False, "snr": 12.13,
    "station": "0AF0", "data": "1e2d", "avgSnr": 19.75, "lat": 45, "lng": 6, "rssi": -135.0, "seqNumber": 2516,
}  # fmt: skip
ALL_VARIABLES = (
    "time={time}&device={device}&duplicate={duplicate}&snr={snr}&station={station}&data={data}"
    "&avgSnr={avgSnr}&lat={lat}&lng={lng}&rssi={rssi}&seqNumber={seqNumber}"
)


def message(**changes: Any) -> Message:
    result = read_message({**CAPTURED, **changes}, received_at=NOW)
    assert isinstance(result, Message), result
    return result


def content(**fields: Any) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": "http://a.example/", **fields}


def revision(number: int = 1, /, **callbacks: Content) -> Revision:
    owned = {Key("tracker"): Owned(define(Key("tracker"), {}), "test")}
    for name, each in callbacks.items():
        key = Key("tracker", name)
        owned[key] = Owned(define(key, each), "test")
    return Revision(number, revision_digest(owned.items()), owned, Publication(at=NOW, by="test"))


def deliveries(sent: Message, **callbacks: Content) -> tuple[Delivery, ...]:
    return Router.compile(revision(**callbacks)).route(sent, now=NOW).deliveries


def request(sent: Message | None = None, /, **fields: Any) -> HttpRequest:
    (delivery,) = deliveries(sent or message(), hook=content(**fields))
    return delivery.request


def test_a_captured_request_is_reproduced_to_the_byte() -> None:
    made = request(method="GET", url=f"http://a.example/?{ALL_VARIABLES}")

    assert made.target == (
        "/?time=1471594359&device=1C178&duplicate=false&snr=12.13&station=0AF0&data=1e2d"
        "&avgSnr=19.75&lat=45&lng=6&rssi=-135.00&seqNumber=2516"
    )
    assert (made.method, made.body, made.headers) == (Method.GET, None, ())


def test_what_the_network_did_not_give_is_null() -> None:
    bare = message(duplicate=None, snr=None, station=None, avgSnr=None, lat=None, lng=None, rssi=None, seqNumber=None)

    assert request(bare, method="GET", url=f"http://a.example/?{ALL_VARIABLES}").target == (
        "/?time=1471594359&device=1C178&duplicate=null&snr=null&station=null&data=1e2d"
        "&avgSnr=null&lat=null&lng=null&rssi=null&seqNumber=null"
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        # callbacks.md section 2.1, column "text form on the wire"
        ("snr", 10.5, "10.50"),
        ("rssi", -135, "-135.00"),
        ("rssi", -0.004, "-0.00"),
        ("lat", 44.6, "45"),
        ("lng", -1.2, "-1"),
        ("station", "37ff", "37FF"),
        ("duplicate", True, "true"),
    ],
)
def test_variables_have_their_documented_text_forms(name: str, value: object, text: str) -> None:
    made = request(message(**{name: value}), method="GET", url=f"http://a.example/?v={{{name}}}")

    assert made.target == f"/?v={text}"


def test_values_of_a_json_body_are_json() -> None:
    body = '{"d":{device},"s":"{device}","rssi":{rssi},"dup":{duplicate},"n":{seqNumber},"none":{snr}}'
    made = request(message(snr=None), method="POST", contentType="application/json", body=body)

    assert made.body == '{"d":"1C178","s":"1C178","rssi":-135.00,"dup":false,"n":2516,"none":null}'
    assert made.headers == (("Content-Type", "application/json"),)


@pytest.mark.parametrize(
    ("url", "body", "sent"),
    [
        # callbacks.md section 4.1: the query's pairs stand in front of a form body
        ("http://a.example/?id={device}&time={time}", "data={data}", "id=1C178&time=1471594359&data=1e2d"),
        ("http://a.example/?id={device}", None, "id=1C178"),
        ("http://a.example/", "data={data}", "data=1e2d"),
        ("http://a.example/", None, ""),
    ],
)
def test_a_form_body_has_the_query_in_front(url: str, body: str | None, sent: str) -> None:
    made = request(method="POST", url=url, **({} if body is None else {"body": body}))

    assert made.body == sent
    assert made.headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert redact(made.target) == url.removeprefix("http://a.example").replace("{device}", "1C178").replace(
        "{time}", "1471594359"
    )


def test_other_bodies_leave_the_query_alone() -> None:
    made = request(method="PUT", url="http://a.example/?id={device}", contentType="text/plain", body="{data}")

    assert (made.method, made.target, made.body) == (Method.PUT, "/?id=1C178", "1e2d")


def test_headers_follow_the_content_type_by_name_and_carry_variables_and_secrets() -> None:
    made = request(
        method="POST",
        contentType="application/json",
        body="{}",
        headers={"X-Device": "{device}", "Authorization": "Bearer ${secret.TOKEN}"},
    )

    assert [(name, redact(value)) for name, value in made.headers] == [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer ${secret.TOKEN}"),
        ("X-Device", "1C178"),
    ]
    assert not isinstance(dict(made.headers)["Authorization"], str)


def test_credentials_of_the_url_travel_apart_from_it() -> None:
    made = request(method="GET", url="https://login:${secret.PASSWORD}@a.example/", sendSni=True)

    assert made.credentials is not None
    assert redact(made.credentials) == "login:${secret.PASSWORD}"
    assert (made.scheme, made.host, made.port, made.target, made.send_sni) == ("https", "a.example", 443, "/", True)


def test_custom_data_comes_from_the_payload_config_of_the_callback() -> None:
    made = request(
        method="GET", url="http://a.example/{customData#hi}/{customData#lo}", payload="hi::uint:8 lo::uint:8"
    )

    assert made.target == "/30/45"


def test_a_payload_that_is_too_short_gives_null_and_a_warning() -> None:
    (delivery,) = deliveries(
        message(data="1e"),
        hook=content(
            method="GET", url="http://a.example/{customData#hi}/{customData#lo}", payload="hi::uint:8 lo::uint:8"
        ),
    )

    assert delivery.request.target == "/30/null"
    assert delivery.warnings == (
        "The field lo does not fit the payload of 1 byte; the payload config needs 2. It is null.",
    )


def test_every_enabled_callback_fires_in_the_order_of_names() -> None:
    made = deliveries(
        message(),
        zebra=content(method="GET", url="http://z.example:8080/"),
        apple=content(method="GET"),
        sleeping=content(method="GET", enabled=False),
    )

    assert [(str(d.callback), d.id.ordinal, d.endpoint) for d in made] == [
        ("tracker/apple", 0, "http://a.example:80"),
        ("tracker/zebra", 1, "http://z.example:8080"),
    ]
    assert {d.revision for d in made} == {1}


@pytest.mark.parametrize(("device_type", "known"), [("tracker", True), ("stranger", False)])
def test_without_callbacks_there_is_nothing_to_deliver(device_type: str, known: bool) -> None:
    route = Router.compile(revision()).route(message(deviceType=device_type), now=NOW)

    assert (route.deliveries, route.device_type_known) == ((), known)


def test_the_empty_revision_knows_no_device_type() -> None:
    assert not Router.compile(EMPTY).route(message(), now=NOW).device_type_known


def test_a_new_router_delivers_by_the_new_definitions_and_the_old_one_by_the_old() -> None:
    old = Router.compile(revision(same=content(method="GET"), hook=content(method="GET", url="http://a.example/old")))
    new = Router.compile(
        revision(2, same=content(method="GET"), hook=content(method="GET", url="http://a.example/new")), known=old
    )

    def targets(router: Router) -> list[tuple[int, object]]:
        return [(d.revision, d.request.target) for d in router.route(message(), now=NOW).deliveries]

    assert targets(old) == [(1, "/old"), (1, "/")]
    assert targets(new) == [(2, "/new"), (2, "/")]


def test_a_preview_is_exactly_what_the_router_sends() -> None:
    fields = content(method="POST", body="t={customData#t}", payload="t::int:32")
    callback, _ = check_callback(Key("tracker", "hook"), fields)
    (delivery,) = deliveries(message(), hook=fields)
    assert callback is not None

    assert render_request(callback, message()) == (delivery.request, delivery.warnings)


def test_a_definition_that_was_broken_in_the_store_is_named() -> None:
    with pytest.raises(StoreError, match="tracker/hook, as stored, breaks a rule"):
        Router.compile(revision(hook=content(url="nowhere")))


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        # One pass: what a device sends is never read as a template, and never leaves its place.
        ("7b6465766963657d", "v=%7Bdevice%7D&device=1C178"),
        ("263d2526", "v=%26%3D%25%26&device=1C178"),
        ("0d0a0d0a", "v=%0D%0A%0D%0A&device=1C178"),
    ],
)
def test_a_payload_cannot_leave_its_place(data: str, sent: str) -> None:
    size = len(data) // 2
    made = request(
        message(data=data), method="POST", body="v={customData#v}&device={device}", payload=f"v::char:{size}"
    )

    assert made.body == sent
