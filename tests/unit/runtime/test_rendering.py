"""From the values of a message to the exact requests of each channel (`callbacks.md` section 4)."""

import pytest

from reconciler.grammar.template import redact
from reconciler.model.definition import Content, check_callback
from reconciler.model.delivery import BatchLine, HttpRequest, Mail
from reconciler.model.resource import Key, Method
from reconciler.runtime.rendering import variables_used
from reconciler.runtime.routing import render_requests
from tests.unit.runtime.routing_rig import content, deliveries, line, mail, message, request

# URL


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


# BATCH_URL


def test_a_batch_callback_makes_a_line_and_all_that_its_request_will_need() -> None:
    made = line(
        method="PUT",
        url="https://login:pass@a.example:8443/in/${secret.KEY}?key=1&lines={batch}&end=2",
        linePattern="{device};{time};{data}",
        sendSni=True,
    )

    assert (made.method, made.scheme, made.host, made.port) == (Method.PUT, "https", "a.example", 8443)
    assert (redact(made.path), made.before, made.after) == ("/in/${secret.KEY}", "key=1&lines=", "&end=2")
    # Section 4.2, as recorded: percent-encoded
    assert made.line == "1C178%3B1471594359%3B1e2d"
    assert (made.credentials, made.send_sni, made.endpoint) == ("login:pass", True, "https://a.example:8443")


@pytest.mark.parametrize("data", ["0a", "0d0a", "00", "0b", "0c", "c285"])
def test_a_payload_cannot_begin_another_line(data: str) -> None:
    size = len(data) // 2
    made = line(message(data=data), linePattern="{customData#v};{device}", payload=f"v::char:{size}")

    assert made.line == f"{'%20' * len(bytes.fromhex(data).decode())}%3B1C178"


# EMAIL


def test_an_email_callback_makes_a_mail_for_each_recipient() -> None:
    sent = message()
    first, second = mail(
        sent, recipient="ops@example.com, night@example.com", subject="{device}", message="{data} at {time}"
    )

    assert first == Mail(
        id=f"{sent.id}.0",
        recipient="ops@example.com",
        recipients=("ops@example.com", "night@example.com"),
        subject="1C178",
        text="1e2d at 1471594359",
    )
    assert second == Mail(
        id=f"{sent.id}.1",
        recipient="night@example.com",
        recipients=("ops@example.com", "night@example.com"),
        subject="1C178",
        text="1e2d at 1471594359",
    )
    assert first.endpoint == "smtp"


def test_a_payload_cannot_break_a_subject() -> None:
    (made,) = mail(message(data="0d0a42"), subject="<{customData#v}>", payload="v::char:3")

    assert made.subject == "<  B>"


# What all channels share

CHANNELS: dict[str, Content] = {
    "url": content(method="POST", body="t={customData#t}", payload="t::int:32"),
    "batch-url": content(
        channel="batch-url", url="http://a.example/?l={batch}", linePattern="{customData#t}", payload="t::int:32"
    ),
    "email": {
        "type": "data/uplink", "channel": "email", "recipient": "a@example.com,b@example.com",
        "message": "{customData#t}", "payload": "t::int:32",
    },
}  # fmt: skip


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_preview_is_exactly_what_the_router_sends(channel: str) -> None:
    callback, _ = check_callback(Key("tracker", "hook"), CHANNELS[channel])
    made = deliveries(message(), hook=CHANNELS[channel])
    assert callback is not None

    requests, warnings = render_requests(callback, message())
    assert requests == tuple(each.request for each in made)
    assert [warnings] * len(made) == [each.warnings for each in made]
    assert warnings == ("The field t does not fit the payload of 2 bytes; the payload config needs 4. It is null.",)


def test_a_preview_needs_no_payload_config() -> None:
    callback, _ = check_callback(Key("tracker", "hook"), content(method="GET", url="http://a.example/{rssi}"))
    (made,) = deliveries(message(), hook=content(method="GET", url="http://a.example/{rssi}"))
    assert callback is not None

    assert render_requests(callback, message()) == ((made.request,), ())


@pytest.mark.parametrize("channel", CHANNELS)
def test_all_that_a_channel_uses_is_known(channel: str) -> None:
    callback, _ = check_callback(Key("tracker", "hook"), CHANNELS[channel])
    assert callback is not None

    assert variables_used(callback.channel) == {"customData#t"}


def test_callbacks_of_all_channels_share_a_message() -> None:
    made = deliveries(message(), a=CHANNELS["url"], b=CHANNELS["batch-url"], c=CHANNELS["email"])

    assert [type(each.request) for each in made] == [HttpRequest, BatchLine, Mail, Mail]
    assert [each.id.ordinal for each in made] == [0, 1, 2, 3]
    assert [each.endpoint for each in made] == [each.request.endpoint for each in made]
