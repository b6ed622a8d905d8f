"""Messages as networks send them, and revisions of one device type: what the tests of routing are made of."""

from datetime import UTC, datetime
from typing import Any

from reconciler.codec.canonical import define
from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.delivery import BatchLine, Delivery, HttpRequest, Mail
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import Revision
from reconciler.runtime.routing import Route, Router
from tests.builders import a_revision

__all__ = [
    "CAPTURED",
    "NOW",
    "OTHERS",
    "a_route",
    "content",
    "deliveries",
    "line",
    "mail",
    "message",
    "request",
    "revision",
]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# callbacks.md section 12.4: campusiot sigfox-mqtt-bridge (GET, 2016)
CAPTURED: dict[str, Any] = {
    "device": "1C178", "deviceType": "tracker", "time": 1471594359, "duplicate": False, "snr": 12.13,
    "station": "0AF0", "data": "1e2d", "avgSnr": 19.75, "lat": 45, "lng": 6, "rssi": -135.0, "seqNumber": 2516,
}  # fmt: skip

_OF = {"device": "1C178", "deviceType": "tracker", "time": 1471594359}
# One event of every other type, each with what sections 2.2 to 2.7 list for it.
OTHERS: dict[str, dict[str, Any]] = {
    "status": {
        **_OF, "type": "status", "seqNumber": 2517, "batt": 3.2, "temp": 21.456, "station": "0AF0", "rssi": -121.5,
        "snr": 9, "avgSnr": 8.5, "lat": 44.6, "lng": -1.2,
    },
    "geoloc": {
        **_OF, "type": "geoloc", "seqNumber": 83, "lat": 23.5948976, "lng": 121.0056306, "radius": 10742,
        "geolocSource": "2", "rssi": -127, "station": "6D6C", "avgSnr": 19.24,
    },
    "acknowledge": {**_OF, "type": "acknowledge", "infoCode": 0},
    "repeater": {
        **_OF, "type": "repeater", "batt": 3, "whitelistDevices": 2, "repeatedMsg": 17, "unwantedDevices": 15,
        "unwantedMsg": 3, "wrongMsg": 0, "overRegulMsg": 1,
    },
    "data-advanced": {
        **_OF, "type": "data-advanced", "seqNumber": 2516, "data": "1e2d", "lqi": "Limit", "linkQuality": 0,
        "fixedLat": 0, "fixedLng": 5.25, "operatorName": "SIGFOX_Netherlands", "countryCode": 528,
        "duplicates": [{"bsId": "0AF0", "rssi": -135.0, "nbRep": 3}],
        "computedLocation": {
            "lat": 52.003292529645705, "lng": 5.569001982230841, "radius": 7800, "source": 2, "status": 1,
        },
    },
    "error": {**_OF, "type": "error", "info": "No message received since 2013-10-08 15:36:21", "severity": "ERROR"},
}  # fmt: skip


def message(kind: str = "data", **changes: Any) -> Message:
    fields = CAPTURED if kind == "data" else OTHERS[kind]
    result = read_message({**fields, **changes}, received_at=NOW)
    assert isinstance(result, Message), result
    return result


def content(**fields: Any) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": "http://a.example/", **fields}


def revision(device_type: Content | None = None, /, **callbacks: Content) -> Revision:
    return a_revision(
        [
            define(Key("tracker"), device_type or {}),
            *(define(Key("tracker", name), each) for name, each in callbacks.items()),
        ]
    )


def a_route(sent: Message | None = None, device_type: Content | None = None, /, **callbacks: Content) -> Route:
    return Router.compile(revision(device_type, **callbacks)).route(sent or message(), now=NOW)


def deliveries(sent: Message, /, **callbacks: Content) -> tuple[Delivery, ...]:
    return a_route(sent, **callbacks).deliveries


def request(sent: Message | None = None, /, **fields: Any) -> HttpRequest:
    (delivery,) = deliveries(sent or message(), hook=content(**fields))
    assert isinstance(delivery.request, HttpRequest)
    return delivery.request


def line(sent: Message | None = None, /, **fields: Any) -> BatchLine:
    given = {"channel": "batch-url", "url": "http://a.example/in?lines={batch}", "linePattern": "{device}", **fields}
    (delivery,) = deliveries(sent or message(), log={"type": "data/uplink", **given})
    assert isinstance(delivery.request, BatchLine)
    return delivery.request


def mail(sent: Message | None = None, /, **fields: Any) -> tuple[Mail, ...]:
    given = {"channel": "email", "recipient": "ops@example.com", "subject": "{device}", **fields}
    requests = [each.request for each in deliveries(sent or message(), post={"type": "data/uplink", **given})]
    assert all(isinstance(each, Mail) for each in requests)
    return tuple(each for each in requests if isinstance(each, Mail))
