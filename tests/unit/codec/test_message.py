from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.codec.message import dump_message, load_message, message_id, read_message
from reconciler.model.message import Message, MessageType, Refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLINK: dict[str, Any] = {
    # callbacks.md section 12.4, capture of campusiot sigfox-mqtt-bridge (2016)
    "device": "1C178", "deviceType": "tracker", "time": 1471594359, "seqNumber": 2516, "data": "1e2d",
    "station": "0AF0", "rssi": -135.0, "snr": 12.13, "avgSnr": 19.75, "lat": 45, "lng": 6, "duplicate": False,
}  # fmt: skip


def read(**changes: Any) -> Message | Refusal:
    return read_message({**UPLINK, **changes}, received_at=NOW)


def message(**changes: Any) -> Message:
    result = read(**changes)
    assert isinstance(result, Message), result
    return result


def test_a_captured_uplink_becomes_a_message() -> None:
    result = message()

    assert (result.type, result.device, result.device_type) == (MessageType.DATA, "1C178", "tracker")
    assert (result.time, result.sequence_number, result.data) == (1471594359, 2516, b"\x1e\x2d")
    assert result.metadata == {
        "station": "0AF0", "rssi": -135.0, "snr": 12.13, "avgSnr": 19.75, "lat": 45.0, "lng": 6.0, "duplicate": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "device"),
    # callbacks.md section 11: no padding, upper case
    [("1c178", "1C178"), ("00A0", "A0"), ("002C", "2C"), ("0", "0"), ("00000000", "0"), ("FFFFFFFF", "FFFFFFFF")],
)
def test_device_ids_are_upper_case_without_padding(written: str, device: str) -> None:
    assert message(device=written).device == device


def test_only_what_identifies_a_message_makes_its_id() -> None:
    same = [message(), message(rssi=-90.0), message(device="01c178"), message(snr=None)]
    others = [
        message(time=1471594360), message(device="1C179"), message(seqNumber=2517), message(station="0AF1"),
        message(seqNumber=None), message(seqNumber=None, data="1e2e"),
    ]  # fmt: skip

    assert len({m.id for m in same}) == 1
    assert len({m.id for m in [*same, *others]}) == 1 + len(others)


def test_ids_sort_by_event_time() -> None:
    ids = [message(time=time).id for time in (0, 1, 1471594359, 2**32 - 1)]

    assert ids == sorted(ids)
    assert all(len(each) == 32 for each in ids)


def test_an_id_never_moves() -> None:
    """Stores keep ids: a change of this value would make every kept message unknown."""
    result = message_id(MessageType.DATA, "1C178", 1471594359, sequence_number=2516, station="0AF0", data=b"\x1e\x2d")

    assert result == "57b6bf775f52d15dc3d62c64bcb4b664"
    assert result == message().id


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"device": None}, "missing-field", "“device” is missing"),
        ({"device": ""}, "wrong-field", "1 to 8 hex digits"),
        ({"device": "1C178\n"}, "wrong-field", "a text of 6 characters"),
        ({"device": "GG"}, "wrong-field", "not “GG”"),
        ({"device": "123456789"}, "wrong-field", "1 to 8 hex digits"),
        ({"device": 7}, "wrong-field", "not 7"),
        ({"deviceType": None}, "missing-field", "“deviceType” is missing"),
        ({"deviceType": "a/b"}, "wrong-field", "the name of a device type"),
        ({"time": None}, "missing-field", "“time” is missing"),
        ({"time": -1}, "wrong-field", "not -1"),
        ({"time": 2**32}, "wrong-field", "seconds"),
        ({"time": 1.5}, "wrong-field", "whole seconds"),
        ({"time": True}, "wrong-field", "not true"),
        ({"time": "1471594359"}, "wrong-field", "not “1471594359”"),
        ({"seqNumber": -1}, "wrong-field", "“seqNumber”"),
        ({"seqNumber": 2**31}, "wrong-field", "“seqNumber”"),
        ({"data": "1e2"}, "wrong-field", "even number of hex digits"),
        ({"data": "1e 2d"}, "wrong-field", "without blanks"),
        ({"data": "xx"}, "wrong-field", "hex"),
        ({"data": 12}, "wrong-field", "not 12"),
        ({"data": "00" * 13}, "payload-too-long", "13 bytes"),
        ({"rssi": "-135.00"}, "wrong-field", "takes a number"),
        ({"rssi": float("inf")}, "wrong-field", "takes a number"),
        ({"rssi": float("nan")}, "wrong-field", "takes a number"),
        ({"lat": True}, "wrong-field", "takes a number"),
        ({"duplicate": "false"}, "wrong-field", "true or false"),
        ({"station": "0AF0\r\nX: y"}, "wrong-field", "“station”"),
        ({"deviceTypeId": "a b"}, "wrong-field", "“deviceTypeId”"),
        ({"seqnumber": 1}, "unknown-field", "did you mean “seqNumber”?"),
        ({"zzz": 1}, "unknown-field", "“zzz” is not a field of a message."),
        ({"type": "status"}, "message-type-not-supported", "“status” are not supported yet"),
        ({"type": "data-advanced"}, "message-type-not-supported", "“data-advanced”"),
        ({"type": "uplink"}, "unknown-message-type", "data, status, geoloc"),
        ({"type": 3}, "unknown-message-type", "data"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_message_is_refused_with_a_reason(changes: dict[str, Any], code: str, words: str) -> None:
    refusal = read(**changes)

    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.reason


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "null"), ([], "an array"), ("x", "“x”"), (3, "not 3"), (True, "not true")],
)
def test_a_message_is_an_object(value: object, words: str) -> None:
    refusal = read_message(value, received_at=NOW)

    assert isinstance(refusal, Refusal)
    assert refusal.code == "message-not-an-object"
    assert words in refusal.reason


@pytest.mark.parametrize("changes", [{}, {"seqNumber": None}, {"data": ""}, {"station": None, "rssi": None}])
def test_what_is_kept_reads_back_equal(changes: dict[str, Any]) -> None:
    kept = message(**changes)

    assert load_message(dump_message(kept), received_at=NOW) == kept


def test_what_was_never_kept_does_not_read_back() -> None:
    with pytest.raises(ValueError, match="not a kept message"):
        load_message(b"{}", received_at=NOW)
