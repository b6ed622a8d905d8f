"""Section 1, types, subtypes, triggers, channels: which event fires what, when, and how often."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.codec.message import read_message
from reconciler.model.definition import Content
from reconciler.model.message import Refusal
from tests.conformance.operator.rig import (
    EVENTS,
    TYPES,
    a_callback,
    an_event,
    findings_of,
    in_virtual_time,
    simulated,
)
from tests.virtual_time import EPOCH

# The eight kinds of events: what comes in, and what fires.
KINDS: Mapping[str, tuple[dict[str, Any], set[str]]] = {
    "a message": (an_event("data"), {"data/uplink", "data/bidir"}),
    "a message that asks": (an_event("data", ack=True), {"data/uplink", "data/bidir"}),
    "a status frame": (an_event("status"), {"service/status"}),
    "a computed position": (an_event("geoloc"), {"service/geoloc"}),
    "the result of a downlink": (an_event("acknowledge"), {"service/acknowledge"}),
    "a frame of a repeater": (an_event("repeater"), {"service/repeater"}),
    "all receptions of a message": (an_event("data-advanced"), {"service/data-advanced"}),
    "trouble": (an_event("error"), {"error"}),
}


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_each_type_fires_on_its_event_and_on_no_other(kind: str, type: str) -> None:
    event, fires = KINDS[kind]
    async with simulated(hook=a_callback(type, "http://far.example/{device}/{time}")) as world:
        await world.take_all(event)
        await asyncio.sleep(1)
        assert world.far.targets == (["/1C178/1700000000"] if type in fires else [])


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_with_all_eight_types_declared_only_those_of_the_event_fire(kind: str) -> None:
    event, fires = KINDS[kind]
    hooks: dict[str, Any] = {type.replace("/", "-"): a_callback(type, f"http://far.example/{type}") for type in TYPES}
    async with simulated(**hooks) as world:
        await world.take_all(event)
        await asyncio.sleep(1)
        assert sorted(world.far.targets) == sorted(f"/{type}" for type in fires)


def test_1_an_event_of_another_kind_is_refused() -> None:
    for kind in ("uplink", "data/uplink", "bidir", "", 0):
        assert isinstance(read_message({**an_event(), "type": kind}, received_at=EPOCH), Refusal), kind


def test_1_left_out_the_kind_is_data() -> None:
    event = an_event()
    del event["type"]
    assert read_message(event, received_at=EPOCH) == read_message(an_event(), received_at=EPOCH)


# Several of a kind, disabled ones, other device types


@pytest.mark.parametrize("type", TYPES)
@in_virtual_time
async def test_1_several_callbacks_of_a_kind_all_fire(type: str) -> None:
    hooks: dict[str, Any] = {f"hook-{number}": a_callback(type, f"http://far.example/{number}") for number in range(3)}
    event = next(event for event, fires in KINDS.values() if type in fires)
    async with simulated(**hooks) as world:
        await world.take_all(event)
        await asyncio.sleep(1)
        assert sorted(world.far.targets) == ["/0", "/1", "/2"]


@pytest.mark.parametrize("type", TYPES)
@in_virtual_time
async def test_1_a_disabled_callback_does_not_fire_and_does_again_when_it_is_enabled(type: str) -> None:
    event = next(event for event, fires in KINDS.values() if type in fires)
    async with simulated(on=a_callback(type, "http://far.example/on"), off=a_callback(type, enabled=False)) as world:
        await world.take_all(event)
        await asyncio.sleep(1)
        assert world.far.targets == ["/on"]
        await world.publish(off=a_callback(type, "http://far.example/off"))
        await world.take_all({**event, "time": event["time"] + 1})
        await asyncio.sleep(1)
        assert sorted(world.far.targets) == ["/off", "/on", "/on"]


@in_virtual_time
async def test_1_a_callback_fires_for_every_device_of_its_type() -> None:
    async with simulated(hook=a_callback(url="http://far.example/{device}")) as world:
        for device in ("1C178", "3F52A6", "89C3"):
            await world.take(device=device)
        await asyncio.sleep(1)
        assert sorted(world.far.targets) == ["/1C178", "/3F52A6", "/89C3"]


@in_virtual_time
async def test_1_a_callback_does_not_fire_for_devices_of_other_types() -> None:
    async with simulated(hook=a_callback()) as world:
        taken = await world.take(deviceType="other")
        await asyncio.sleep(1)
        assert not taken.routed
        assert world.far.calls == []


@in_virtual_time
async def test_1_uplink_fires_with_the_first_frame() -> None:
    async with simulated(hook=a_callback(url="http://far.example/{station}")) as world:
        await asyncio.sleep(100)
        await world.take(station="0AF0")
        await world.take(station="37FF")
        await asyncio.sleep(100)
        assert [call.at for call in world.far.calls] == pytest.approx([100])
        assert world.far.targets == ["/0AF0"]


@pytest.mark.parametrize("kind", ["status", "repeater"])
@in_virtual_time
async def test_1_frames_out_of_band_do_not_count_as_uplinks(kind: str) -> None:
    async with simulated(uplink=a_callback(), bidir=a_callback("data/bidir"), late=ADVANCED) as world:
        await world.take(kind)
        await asyncio.sleep(100)
        assert world.far.calls == []


# DATA_ADVANCED

ADVANCED: Content = {
    "type": "service/data-advanced",
    "channel": "url",
    "url": "http://far.example/advanced",
    "contentType": "application/json",
    "body": '{"device":"{device}","time":{time},"data":"{data}","seq":{seqNumber},"duplicates":{duplicates},'
    '"computedLocation":{computedLocation},"lqi":"{lqi}"}',
}
RECEPTIONS: list[dict[str, Any]] = [
    {"station": "0AF0", "rssi": -121.0, "snr": 12.5, "nbRep": 3},
    {"station": "37ff", "rssi": -135.5, "snr": 8.25, "nbRep": 1},
    {"station": "1D44", "rssi": -90.25, "snr": 20.0, "nbRep": 2},
]


@in_virtual_time
async def test_1_data_advanced_fires_25_seconds_after_the_first_frame() -> None:
    async with simulated(late=ADVANCED) as world:
        await asyncio.sleep(50)
        await world.take(station="0AF0")
        await asyncio.sleep(10)
        await world.take(station="37FF")
        await asyncio.sleep(100)
        assert [call.at for call in world.far.calls] == pytest.approx([75], abs=0.1)


@in_virtual_time
async def test_1_data_advanced_has_the_gathered_receptions_of_the_message() -> None:
    async with simulated(late=ADVANCED) as world:
        for reception in RECEPTIONS:
            await world.take(**reception)
            await asyncio.sleep(2)
        await asyncio.sleep(60)
        (call,) = world.far.calls
        body = call.json
        duplicates = body.pop("duplicates")
        assert body == {
            "device": "1C178",
            "time": 1_700_000_000,
            "data": "e80332c0",
            "seq": 7,
            "computedLocation": None,
            "lqi": "null",
        }
        assert duplicates == [
            {"bsId": "0AF0", "rssi": -121.0, "snr": 12.5, "nbRep": 3},
            {"bsId": "37FF", "rssi": -135.5, "snr": 8.25, "nbRep": 1},
            {"bsId": "1D44", "rssi": -90.25, "snr": 20.0, "nbRep": 2},
        ]


@in_virtual_time
async def test_1_data_advanced_has_what_any_reception_told() -> None:
    async with simulated(late=ADVANCED) as world:
        await world.take(station="0AF0")
        await world.take(station="37FF", lqi="GOOD", computedLocation={"lat": 1.5, "lng": 2.5, "radius": 7800})
        await asyncio.sleep(60)
        body = world.far.calls[0].json
        assert (body["lqi"], body["computedLocation"]) == ("GOOD", {"lat": 1.5, "lng": 2.5, "radius": 7800})


@in_virtual_time
async def test_1_data_advanced_fires_once_for_a_message_also_when_receptions_come_late_or_again() -> None:
    async with simulated(late=ADVANCED) as world:
        for reception in (RECEPTIONS[0], RECEPTIONS[1], RECEPTIONS[1], RECEPTIONS[0]):
            await world.take(**reception)
        await asyncio.sleep(40)
        await world.take(**RECEPTIONS[2])
        await world.take(**RECEPTIONS[0])
        await asyncio.sleep(200)
        (call,) = world.far.calls
        assert [each["bsId"] for each in call.json["duplicates"]] == ["0AF0", "37FF"]


@in_virtual_time
async def test_1_data_advanced_fires_for_each_message() -> None:
    async with simulated(late=ADVANCED) as world:
        await world.take_all(
            *(an_event(**reception, seqNumber=number) for reception in RECEPTIONS for number in range(4))
        )
        await asyncio.sleep(60)
        assert sorted(call.json["seq"] for call in world.far.calls) == [0, 1, 2, 3]
        assert {len(call.json["duplicates"]) for call in world.far.calls} == {3}


@in_virtual_time
async def test_1_data_advanced_without_metadata_has_no_receptions_to_tell_of() -> None:
    async with simulated(late=ADVANCED) as world:
        await world.take()
        await asyncio.sleep(60)
        (call,) = world.far.calls
        assert call.json["duplicates"] == []


@in_virtual_time
async def test_1_data_advanced_comes_beside_uplink_and_later() -> None:
    async with simulated(late=ADVANCED, soon=a_callback(url="http://far.example/uplink")) as world:
        await world.take(**RECEPTIONS[0])
        await asyncio.sleep(60)
        assert world.far.targets == ["/uplink", "/advanced"]


@in_virtual_time
async def test_1_data_advanced_comes_late_but_once_when_the_engine_was_down() -> None:
    async with simulated(late=ADVANCED) as world:
        await world.take(**RECEPTIONS[0])
        store = world.engine.store
    await asyncio.sleep(600)
    for calls in (1, 0):
        async with simulated(store=store) as world:
            await asyncio.sleep(60)
            assert len(world.far.calls) == calls


@in_virtual_time
async def test_1_a_disabled_data_advanced_callback_gathers_nothing() -> None:
    async with simulated(late={**ADVANCED, "enabled": False}) as world:
        await world.take(**RECEPTIONS[0])
        await asyncio.sleep(60)
        assert world.far.calls == []


# Types, subtypes


@pytest.mark.parametrize(
    "type",
    ["data", "service", "data/status", "service/uplink", "error/uplink", "error/none", "event", "DATA/UPLINK", ""],
)
def test_1_there_are_no_other_types(type: str) -> None:
    content = {**a_callback(), "type": type}
    assert [found.code for found in findings_of(content)] == ["unknown-callback-type" if type else "missing-key"]


@pytest.mark.parametrize("type", TYPES)
def test_1_these_types_exist(type: str) -> None:
    assert findings_of(a_callback(type)) == ()


# Channels

URL: Content = {"channel": "url", "url": "http://far.example/", "method": "GET"}
BATCH: Content = {"channel": "batch-url", "url": "http://far.example/?b={batch}", "linePattern": "{device};{time};"}
EMAIL: Content = {"channel": "email", "recipient": "ops@far.example", "subject": "{device}", "message": "{time}"}

# Section 1's table: "yes" has a source; the others are unclear there, allowed by the API's schema, and taken here.
CHANNELS = [
    ("1 yes D", URL, set(TYPES)),
    ("1 yes D or I", BATCH, {"data/uplink", "data/bidir", "service/status", "service/geoloc"}),
    ("1 yes D", EMAIL, {"data/uplink", "error"}),
]


@pytest.mark.parametrize(
    ("channel", "type"),
    [(content, type) for _, content, _ in CHANNELS for type in TYPES],
    ids=[
        f"{source if type in sure else '1 U'} {type} {content['channel']}"
        for source, content, sure in CHANNELS
        for type in TYPES
    ],
)
@in_virtual_time
async def test_1_types_and_channels(channel: Content, type: str) -> None:
    event = next(event for event, fires in KINDS.values() if type in fires)
    async with simulated(hook={**channel, "type": type}) as world:
        await world.take_all(event)
        await asyncio.sleep(3)
        (call,) = world.far.calls
        sent = call.mail.subject if channel is EMAIL else call.target
        assert sent == {"url": "/", "email": "1C178"}.get(str(channel["channel"]), "/?b=1C178%3B1700000000%3B")


@pytest.mark.parametrize("channel", ["URL", "batch", "mail", "sms", ""])
def test_1_there_are_no_other_channels(channel: str) -> None:
    content = {**a_callback(), "channel": channel}
    assert [found.code for found in findings_of(content)] == ["unknown-channel" if channel else "missing-key"]


@pytest.mark.parametrize(
    ("channel", "field"),
    [
        *(("batch-url", field) for field in ("headers", "body", "contentType", "recipient", "subject", "message")),
        *(("email", field) for field in ("url", "method", "headers", "body", "contentType", "linePattern", "sendSni")),
        *(("url", field) for field in ("linePattern", "recipient", "subject", "message")),
    ],
)
def test_1_a_channel_has_its_own_fields(channel: str, field: str) -> None:
    content = {"type": "data/uplink", **{"url": URL, "batch-url": BATCH, "email": EMAIL}[channel]}
    value: Any = {"X-A": "b"} if field == "headers" else True if field == "sendSni" else "GET"
    found = findings_of({**content, field: value})
    assert [(each.code, each.path) for each in found] == [("field-not-of-channel", (field,))]


def test_every_kind_of_event_of_the_rig_is_in_the_table() -> None:
    assert {event["type"] for event, _ in KINDS.values()} == set(EVENTS)
