from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.message import read_message
from reconciler.model.message import Message, MessageType, Refusal
from reconciler.runtime.api.networks.lorawan import MAX_PAYLOAD_BYTES, Ignored
from reconciler.runtime.api.networks.the_things_stack import read_webhook

NOW = datetime(2026, 3, 14, tzinfo=UTC)
SAMPLES = Path(__file__).parents[4] / "samples" / "networks"
TIME = 1_773_480_413  # 2026-03-14T09:26:53Z


def sample(name: str) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads((SAMPLES / f"the-things-stack-{name}.json").read_bytes())
    return body


def messages_of(body: Mapping[str, object]) -> Sequence[Message]:
    read = read_webhook(body, device_type="soil-probe")
    assert isinstance(read, Sequence), read
    messages = [read_message(each, received_at=NOW, max_payload_bytes=MAX_PAYLOAD_BYTES) for each in read]
    assert all(isinstance(each, Message) for each in messages), messages
    return messages  # type: ignore[return-value]


def uplink(**changes: Any) -> dict[str, Any]:
    """The sample with members of `uplink_message` changed, or taken out by `...`."""
    body = sample("uplink")
    content = {**body["uplink_message"], **changes}
    return {**body, "uplink_message": {name: value for name, value in content.items() if value is not ...}}


def heard(*entries: dict[str, Any]) -> Sequence[Message]:
    return messages_of(uplink(rx_metadata=list(entries)))


def test_an_uplink_is_a_reception_for_each_gateway_the_strongest_first() -> None:
    first, second, third = messages_of(sample("uplink"))

    assert (first.device, first.device_type, first.time) == ("70B3D57ED0051A2B", "soil-probe", TIME)
    assert first.sequence_number == 512
    assert first.data.hex() == "00eb01970ed901f401e402d609c40317"
    assert {each.event for each in (first, second, third)} == {first.event}
    assert len({each.id for each in (first, second, third)}) == 3
    assert (first.metadata["rssi"], first.metadata["snr"]) == (-97.0, 7.75)
    assert second.metadata == {
        "station": "B827EBFFFE4C11D2", "rssi": -104.0, "snr": 1.5, "lat": 52.2297, "lng": 5.1663, "ack": True,
        "fixedLat": 52.2304, "fixedLng": 5.1671,
    }  # fmt: skip
    assert third.metadata["station"] == "0016C001F118A9C3"


def test_a_gateway_without_an_eui_has_a_station_that_stays_the_same() -> None:
    (named,) = heard({"gateway_ids": {"gateway_id": "shed"}})
    (again,) = heard({"gateway_ids": {"gateway_id": "shed"}, "rssi": -80})
    (other,) = heard({"gateway_ids": {"gateway_id": "barn"}})

    assert named.metadata["station"] == "85A215061A869D31"
    assert named.id == again.id
    assert named.id != other.id


def test_gateways_of_other_networks_are_told_apart_as_far_as_those_tell() -> None:
    def through_broker(**forwarder: str) -> dict[str, Any]:
        return {"gateway_ids": {"gateway_id": "packetbroker"}, "packet_broker": forwarder, "rssi": -100}

    named = through_broker(forwarder_net_id="000013", forwarder_tenant_id="a", forwarder_gateway_id="roof")
    same_name = through_broker(forwarder_net_id="000013", forwarder_tenant_id="b", forwarder_gateway_id="roof")
    nameless = through_broker(forwarder_net_id="000013", forwarder_tenant_id="b")

    assert len(heard(named, same_name, nameless)) == 3
    assert len(heard(nameless, nameless)) == 1


@pytest.mark.parametrize(
    "metadata", [..., None, [], [{}], [{"rssi": -90}, {"rssi": -80}], ["nonsense"], [{"gateway_ids": None}], "nonsense"]
)
def test_an_uplink_of_which_no_gateway_is_known_is_one_message(metadata: object) -> None:
    (message,) = messages_of(uplink(rx_metadata=metadata))

    assert "station" not in message.metadata


def test_at_most_a_hundred_gateways_are_kept_the_strongest() -> None:
    entries = [{"gateway_ids": {"gateway_id": f"g{number}"}, "rssi": -number} for number in range(130)]
    kept = heard(*reversed(entries))

    assert [each.metadata["rssi"] for each in kept] == [-float(number) for number in range(100)]


def test_fields_that_are_left_out_are_zero_false_or_empty() -> None:
    (message,) = messages_of(
        uplink(
            f_cnt=..., f_port=..., frm_payload=..., confirmed=..., locations=...,
            rx_metadata=[{"gateway_ids": {"gateway_id": "a"}, "rssi": -90, "location": {"latitude": 52.0}}],
        )
    )  # fmt: skip

    assert (message.sequence_number, message.data) == (0, b"")
    assert message.metadata["ack"] is False
    assert message.metadata["snr"] == 0.0
    assert (message.metadata["lat"], message.metadata["lng"]) == (52.0, 0.0)
    assert "fixedLat" not in message.metadata


@pytest.mark.parametrize(
    ("settings", "entry"),
    [({"data_rate": {"fsk": {"bit_rate": 50000}}}, {"rssi": -90}), ({"data_rate": {"lora": {}}}, {}), ({}, {})],
)
def test_a_signal_to_noise_ratio_is_not_invented(settings: dict[str, Any], entry: dict[str, Any]) -> None:
    gateway = {"gateway_ids": {"gateway_id": "a"}, "location": {}}
    (message,) = messages_of(uplink(settings=settings, rx_metadata=[{**gateway, **entry}]))

    assert "snr" not in message.metadata
    assert "lat" not in message.metadata


def test_a_payload_may_have_242_bytes() -> None:
    body = uplink(frm_payload="AAAA" * 80 + "AAA=")

    assert len(messages_of(body)[0].data) == 242


def test_the_time_is_the_network_servers_and_else_the_application_servers() -> None:
    body = uplink(received_at=...)

    assert messages_of(body)[0].time == TIME + 1
    assert messages_of({**body, "received_at": "2026-03-14T10:26:53.999999999+01:00"})[0].time == TIME


def test_a_downlink_that_was_sent_is_acknowledged() -> None:
    (message,) = messages_of(sample("downlink-sent"))

    assert (message.type, message.device, message.time) == (MessageType.ACKNOWLEDGE, "70B3D57ED0051A2B", TIME + 9)
    assert message.metadata["infoCode"] == 0
    assert message.metadata["downlinkAck"] is True


def test_a_downlink_that_failed_is_acknowledged_as_such_in_the_networks_words() -> None:
    (message,) = messages_of(sample("downlink-failed"))

    assert message.metadata["infoCode"] == 4
    assert message.metadata["infoMessage"] == "application downlink payload is too long"
    assert message.metadata["downlinkAck"] is False


@pytest.mark.parametrize("words", [None, "", "two\nlines", 7, "x" * 501])
def test_words_that_are_none_are_replaced_by_ours(words: object) -> None:
    body = sample("downlink-failed")
    body["downlink_failed"]["error"] = {"message_format": words}
    (message,) = messages_of(body)

    assert "Network error" in str(message.metadata["infoMessage"])


def test_a_location_that_was_solved_is_a_geoloc() -> None:
    (message,) = messages_of(sample("location-solved"))

    assert message.type is MessageType.GEOLOC
    assert message.metadata == {
        "lat": 52.22981, "lng": 5.16592, "radius": 340.0, "geolocSource": "SOURCE_LORA_TDOA_GEOLOCATION",
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        "join_accept", "uplink_normalized", "downlink_ack", "downlink_nack", "downlink_queued",
        "downlink_queue_invalidated", "service_data", "something_new",
    ],
)  # fmt: skip
def test_other_events_are_ignored_by_name(kind: str) -> None:
    body = {**sample("join-accept"), kind: {}}
    if kind != "join_accept":
        del body["join_accept"]
    ignored = read_webhook(body, device_type="soil-probe")

    assert isinstance(ignored, Ignored)
    assert ignored.kind == kind


def test_the_documented_failure_that_names_no_device_is_ignored() -> None:
    body = sample("downlink-failed")
    del body["end_device_ids"]["dev_eui"], body["received_at"]

    assert isinstance(read_webhook(body, device_type="soil-probe"), Ignored)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({}, "missing-field", "“end_device_ids” is missing"),
        ({"end_device_ids": {"device_id": "a"}}, "missing-field", "“uplink_message” is missing"),
        ({**uplink(), "end_device_ids": {"device_id": "a"}}, "missing-field", "“end_device_ids.dev_eui” is missing"),
        ({**uplink(), "end_device_ids": {"dev_eui": "70B3"}}, "wrong-field", "16 hex digits, not “70B3”"),
        (uplink(frm_payload="%%"), "wrong-field", "“uplink_message.frm_payload” takes base64, not “%%”"),
        (uplink(frm_payload=7), "wrong-field", "takes base64, not 7"),
        (uplink(received_at="yesterday"), "wrong-field", "“received_at” takes an ISO 8601 time"),
        (uplink(received_at="2026-03-14T09:26:53"), "wrong-field", "“received_at” takes an ISO 8601 time"),
        ({**uplink(received_at=...), "received_at": None}, "missing-field", "“received_at” is missing"),
        ({**sample("location-solved"), "location_solved": {}}, "missing-field", "“location_solved.location”"),
    ],
)
def test_what_cannot_be_a_message_is_refused_by_the_name_it_has_there(
    body: dict[str, Any], code: str, words: str
) -> None:
    refusal = read_webhook(body, device_type="soil-probe")

    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.reason


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
_members = ["f_cnt", "frm_payload", "rx_metadata", "settings", "received_at", "confirmed", "locations"]
_entries = ["gateway_ids", "packet_broker", "rssi", "snr", "location"]


@given(
    st.dictionaries(st.sampled_from(_members), _json, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(_entries), _json), max_size=3),
)
def test_whatever_an_uplink_holds_is_read_or_refused(content: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    for body in (uplink(**content), uplink(rx_metadata=entries)):
        read = read_webhook(body, device_type="soil-probe")
        if isinstance(read, Sequence):
            assert all(isinstance(read_message(each, received_at=NOW), Message | Refusal) for each in read)
