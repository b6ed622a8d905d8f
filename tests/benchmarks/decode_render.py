"""How long it takes to decode a payload, render a request and route a message, beside the limits they are held to.

python -m tests.benchmarks.decode_render
"""

import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.grammar.body import parse_json_body
from reconciler.grammar.payload import PayloadConfig, Value
from reconciler.grammar.template import parse_header_value
from reconciler.grammar.url import parse_url
from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.runtime.batching import batches
from reconciler.runtime.downlink import read_replies
from reconciler.runtime.routing import Router
from tests.benchmarks.figures import Figure, print_figures
from tests.builders import a_lease, a_revision

__all__ = ["decode_render"]

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PAYLOAD = "temperature::int:16:little-endian humidity::uint:8 door::bool:7"
_BODY = '{"device":"{device}","t":{customData#temperature},"h":{customData#humidity},"at":{time},"seq":{seqNumber}}'


def _nanoseconds(call: Callable[[], object], calls: int, rounds: int) -> list[float]:
    return [seconds / calls * 1e9 for seconds in timeit.repeat(call, number=calls, repeat=rounds)]


def _grammar() -> list[tuple[str, Callable[[], object], int | None]]:
    config = PayloadConfig.parse("temperature::int:14 humidity:1:uint:10:1 pressure:4:uint:32 weight:8:int:20")
    data = bytes.fromhex("e80332c0ff00112233445566")

    url = parse_url("https://ingest.example.com/uplink/{device}/{deviceTypeId}?t={time}&seq={seqNumber}")
    body = parse_json_body('{"device":"{device}","t":{customData#temperature},"h":{customData#humidity},"at":{time}}')
    header = parse_header_value("Bearer ${secret.INGEST_TOKEN}")
    values: dict[str, Value] = {
        "device": "1C178",
        "deviceTypeId": "628fd74fb3cabb6565ae81bb",
        "time": 1_700_000_000,
        "seqNumber": 7,
        "customData#temperature": -12,
        "customData#humidity": 55,
    }
    hostile = values | {"device": 'a/../b?c=d&e="{time}"\r\n', "deviceTypeId": "déjà vu"}

    def url_and_body(given: dict[str, Value]) -> Callable[[], object]:
        return lambda: (url.target.render(given), body.render(given))

    return [
        ("decode 4 fields of 12 bytes", lambda: config.decode(data), 1_500),
        ("render URL and JSON body, 4 variables each", url_and_body(values), 5_000),
        ("the same, values that need escaping", url_and_body(hostile), None),
        ("render a header with a secret", lambda: header.render(values), None),
    ]


def _message(**changes: Any) -> Message:
    fields = {
        "device": "1C178", "deviceType": "tracker", "time": 1_700_000_000, "seqNumber": 7, "data": "e80332c0",
        "station": "0AF0", "rssi": -135.0, "snr": 12.13, **changes,
    }  # fmt: skip
    message = read_message(fields, received_at=_NOW)
    assert isinstance(message, Message)
    return message


def _routed(message: Message, device_type: Content | None = None, /, **callbacks: Content) -> Callable[[], object]:
    definitions = [define(Key("tracker", name), content) for name, content in callbacks.items()]
    router = Router.compile(a_revision([define(Key("tracker"), device_type or {}), *definitions]))
    return lambda: router.route(message, now=_NOW)


def _routing() -> list[tuple[str, Callable[[], object], int | None]]:
    url: Content = {"type": "data/uplink", "channel": "url", "url": "https://a.example/u/{device}"}
    plain = {**url, "body": "time={time}&data={data}&seq={seqNumber}"}
    decoded = {**url, "contentType": "application/json", "body": _BODY, "payload": _PAYLOAD}
    radio = {**url, "method": "GET", "url": "https://a.example/u?d={device}&r={rssi}&s={snr}&st={station}"}
    line = {"type": "data/uplink", "channel": "batch-url", "url": "https://a.example/b?l={batch}"}
    line |= {"linePattern": "{device};{time};{data};{seqNumber}"}
    mail = {
        "type": "data/uplink",
        "channel": "email",
        "recipient": "a@example.com,b@example.com",
        "subject": "{device}",
    }
    bidir = {**plain, "type": "data/bidir", "downlinkHook": True}
    callback_mode: Content = {"downlink": {"mode": "callback"}}
    advanced = {**url, "type": "service/data-advanced"}
    return [
        ("route: one URL callback, form body", _routed(_message(), a=plain), None),
        ("route: one URL callback, payload and JSON body", _routed(_message(), a=decoded), None),
        ("route: one URL callback, radio metadata", _routed(_message(), a=radio), None),
        ("route: one line of a batch", _routed(_message(), a=line), None),
        ("route: one mail to two", _routed(_message(), a=mail), None),
        ("route: one URL callback for every reception", _routed(_message(), a=plain | {"sendDuplicates": True}), None),
        ("route: a device that asks", _routed(_message(ack=True), callback_mode, a=bidir), None),
        ("route: gathered and supervised", _routed(_message(), {"keepAlive": 7200}, a=plain, b=advanced), None),
    ]


def _answers() -> list[tuple[str, Callable[[], object], int | None]]:
    one = Accepted(200, b'{"1C178":{"downlinkData":"0102030405060708"}}')
    many = Accepted(200, b"{%s}" % b",".join(b'"%X":{"downlinkData":"0102030405060708"}' % n for n in range(1_400)))
    return [
        ("read the answer to one device", lambda: read_replies(one), None),
        ("read the answer to 1,400 devices, 64 KiB", lambda: read_replies(many), None),
    ]


def _batch() -> tuple[str, Callable[[], object], int | None]:
    line: Content = {"type": "data/uplink", "channel": "batch-url", "url": "https://a.example/b?l={batch}"}
    definition = define(Key("tracker", "log"), {**line, "linePattern": "{device};{time};{data};{seqNumber}"})
    router = Router.compile(a_revision([define(Key("tracker"), {}), definition]))
    routes = [router.route(_message(seqNumber=number), now=_NOW) for number in range(1_000)]
    leases = [a_lease(delivery) for route in routes for delivery in route.deliveries]
    return "join 1,000 lines into batches", lambda: batches(leases), None


def decode_render(*, rounds: int = 5, calls: int = 20_000) -> Iterator[Figure]:
    """Nanoseconds of each, in every round."""
    for name, call, limit in [*_grammar(), *_routing()]:
        yield Figure(name, "ns", _nanoseconds(call, calls, rounds), most=limit)
    for name, call, limit in [*_answers(), _batch()]:
        yield Figure(name, "ns", _nanoseconds(call, max(calls // 200, 1), rounds), most=limit)


if __name__ == "__main__":
    print_figures(decode_render())
