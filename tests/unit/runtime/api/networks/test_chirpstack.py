from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from reconciler.codec.message import read_message
from reconciler.model.message import Message, MessageType, Refusal
from reconciler.runtime.api.networks.chirpstack import read_event
from reconciler.runtime.api.networks.lorawan import MAX_PAYLOAD_BYTES, Ignored

NOW = datetime(2026, 3, 14, tzinfo=UTC)
SAMPLES = Path(__file__).parents[4] / "samples" / "networks"
TIME = 1_773_480_611  # 2026-03-14T09:30:11Z


def sample(name: str, **changes: Any) -> dict[str, Any]:
    """A sample with members changed, or taken out by `...`."""
    body = {**orjson.loads((SAMPLES / f"chirpstack-{name}.json").read_bytes()), **changes}
    return {name: value for name, value in body.items() if value is not ...}


def messages_of(event: str, body: Mapping[str, object]) -> Sequence[Message]:
    read = read_event(event, body, device_type="soil-probe")
    assert isinstance(read, Sequence), read
    messages = [read_message(each, received_at=NOW, max_payload_bytes=MAX_PAYLOAD_BYTES) for each in read]
    assert all(isinstance(each, Message) for each in messages), messages
    return messages  # type: ignore[return-value]


def test_an_uplink_is_a_reception_for_each_gateway_the_strongest_first() -> None:
    first, second = messages_of("up", sample("up"))

    assert (first.device, first.device_type, first.time) == ("24E124128C2B40F1", "soil-probe", TIME)
    assert (first.sequence_number, first.data.hex()) == (79, "01756403671001046864")
    assert first.event == second.event
    # Its gateway knows no position; its signal to noise is 0, which is left out.
    assert first.metadata == {"station": "0016C001F153A14C", "rssi": -87.0, "snr": 0.0, "ack": False}
    assert second.metadata == {
        "station": "24E124FFFEF01A2B", "rssi": -98.0, "snr": 8.25, "lat": 48.5839, "lng": 7.7455, "ack": False,
    }  # fmt: skip


def test_fields_that_are_left_out_are_zero_false_or_empty() -> None:
    (message,) = messages_of("up", sample("up", fCnt=..., fPort=..., data=..., confirmed=..., rxInfo=...))

    assert (message.sequence_number, message.data, message.metadata) == (0, b"", {"ack": False})


def test_a_confirmed_uplink_waits_for_what_comes_back() -> None:
    assert all(each.metadata["ack"] is True for each in messages_of("up", sample("up", confirmed=True)))


def test_a_downlink_that_a_gateway_took_is_acknowledged() -> None:
    (message,) = messages_of("txack", sample("txack"))

    assert (message.type, message.device, message.time) == (MessageType.ACKNOWLEDGE, "24E124128C2B40F1", TIME + 2)
    assert message.metadata["infoCode"] == 0


@pytest.mark.parametrize(("code", "info_code"), [("EXPIRED", 4), ("DOWNLINK_PAYLOAD_SIZE", 2)])
def test_a_downlink_that_is_lost_is_acknowledged_as_such(code: str, info_code: int) -> None:
    (message,) = messages_of("log", sample("log-expired", code=code))

    assert message.metadata["infoCode"] == info_code
    assert message.metadata["infoMessage"] == "Device queue-item has expired"


@pytest.mark.parametrize("code", [..., "DOWNLINK_GATEWAY", "UPLINK_MIC", 7, ["EXPIRED"]])
def test_other_lines_of_the_log_are_ignored(code: object) -> None:
    assert isinstance(read_event("log", sample("log-expired", code=code), device_type="soil-probe"), Ignored)


def test_a_location_is_a_geoloc() -> None:
    (message,) = messages_of("location", sample("location"))

    assert message.type is MessageType.GEOLOC
    assert message.metadata == {
        "lat": 48.58412, "lng": 7.74601, "radius": 85.0, "geolocSource": "GEO_RESOLVER_TDOA",
    }  # fmt: skip


def test_a_location_without_source_and_accuracy_is_one_still() -> None:
    (message,) = messages_of("location", sample("location", location={"latitude": 1.5}))

    assert message.metadata == {"lat": 1.5, "lng": 0.0}


@pytest.mark.parametrize("event", ["status", "join", "ack", "integration", "something-new"])
def test_other_events_are_ignored_by_name(event: str) -> None:
    ignored = read_event(event, sample("status"), device_type="soil-probe")

    assert isinstance(ignored, Ignored)
    assert ignored.kind == event


@pytest.mark.parametrize(
    ("event", "body", "code", "words"),
    [
        ("up", {}, "missing-field", "“deviceInfo.devEui” is missing, and without it this up means nothing"),
        ("up", sample("up", deviceInfo={"devEui": "x"}), "wrong-field", "“deviceInfo.devEui” takes 16 hex digits"),
        (
            "up",
            {"devEUI": "JOEkEowrQPE="},
            "wrong-field",
            "this is an event of version 3, and this door reads version 4",
        ),
        ("up", sample("up", time=...), "missing-field", "“time” is missing"),
        ("up", sample("up", time=1_773_480_611), "wrong-field", "“time” takes an ISO 8601 time"),
        ("up", sample("up", data="q"), "wrong-field", "“data” takes base64, not “q”"),
        ("location", sample("location", location={}), "missing-field", "“location” is missing"),
    ],
)
def test_what_cannot_be_a_message_is_refused_by_the_name_it_has_there(
    event: str, body: dict[str, Any], code: str, words: str
) -> None:
    refusal = read_event(event, body, device_type="soil-probe")

    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.reason
