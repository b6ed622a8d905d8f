from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.codec.message import dump_message, load_message, message_id, read_message
from reconciler.codec.message_fields import SHAPES
from reconciler.grammar.escape import Json
from reconciler.model.downlink import INFO_MESSAGES, InfoCode
from reconciler.model.message import Message, MessageType, Refusal
from reconciler.model.resource import CallbackType
from reconciler.model.variables import offered

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLINK: dict[str, Any] = {
    # callbacks.md section 12.4, capture of campusiot sigfox-mqtt-bridge (2016)
    "device": "1C178", "deviceType": "tracker", "time": 1471594359, "seqNumber": 2516, "data": "1e2d",
    "station": "0AF0", "rssi": -135.0, "snr": 12.13, "avgSnr": 19.75, "lat": 45, "lng": 6, "duplicate": False,
}  # fmt: skip
# An event of each of the other types, with every field that callbacks.md section 2 names for it.
EVENTS: dict[MessageType, dict[str, Any]] = {
    MessageType.STATUS: {
        "seqNumber": 7, "data": "0102", "batt": 3.04, "temp": -12.5, "station": "0AF0", "rssi": -121.0, "snr": 12.13,
        "avgSnr": 19.75, "lat": 45.0, "lng": 6.0, "duplicate": False, "deviceTypeId": "628fd74fb3cabb6565ae81bb",
    },
    MessageType.GEOLOC: {
        "seqNumber": 7, "lat": 52.0032925, "lng": 5.5690019, "radius": 7800.0, "geolocSource": "NETWORK",
        "station": "0AF0", "rssi": -121.0, "snr": 12.13, "avgSnr": 19.75, "duplicate": False,
    },
    MessageType.ACKNOWLEDGE: {
        "infoCode": 0, "infoMessage": "Acked", "downlinkAck": True, "downlinkOverusage": False,
    },
    MessageType.REPEATER: {
        "batt": 3.6, "whitelistDevices": 0, "repeatedMsg": 1200, "unwantedDevices": 15, "unwantedMsg": 3, "wrongMsg": 0,
        "overRegulMsg": 15,
    },
    MessageType.DATA_ADVANCED: {
        "seqNumber": 7, "data": "1e2d", "lqi": "Limit", "linkQuality": 0, "fixedLat": 0.0, "fixedLng": 0.0,
        "operatorName": "SIGFOX_Netherlands_Hyrde_Networks_BV", "countryCode": 528,
        "duplicates": [{"bsId": "0AF0", "rssi": -121.0, "nbRep": 3}, {"bsId": "37FF", "rssi": -130.5, "nbRep": 1}],
        "computedLocation": {"lat": 52.003292529645705, "lng": 5.569001982230841, "radius": 7800, "source": 2,
                             "status": 1},
        "deviceTypeId": "628fd74fb3cabb6565ae81bb",
    },
    MessageType.ERROR: {"info": "No message received since 2013-10-08 15:36:21", "severity": "WARN"},
}  # fmt: skip


def read(**changes: Any) -> Message | Refusal:
    return read_message({**UPLINK, **changes}, received_at=NOW)


def read_event(kind: MessageType, **changes: Any) -> Message | Refusal:
    fields = {"device": "1C178", "deviceType": "tracker", "time": 1471594359, **EVENTS[kind]}
    return read_message({"type": str(kind), **fields, **changes}, received_at=NOW)


def event(kind: MessageType, **changes: Any) -> Message:
    result = read_event(kind, **changes)
    assert isinstance(result, Message), result
    return result


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
    [
        ("1c178", "1C178"),
        ("00A0", "A0"),
        ("002C", "2C"),
        ("0", "0"),
        ("00000000", "0"),
        ("FFFFFFFF", "FFFFFFFF"),
        ("70b3d57ed0001a2b", "70B3D57ED0001A2B"),
    ],
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

    assert result == "57b6bf776c0ebe48a31e51a0926cc3ed"
    assert result == message().id


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"device": None}, "missing-field", "“device” is missing"),
        ({"device": ""}, "wrong-field", "1 to 16 hex digits"),
        ({"device": "1C178\n"}, "wrong-field", "a text of 6 characters"),
        ({"device": "GG"}, "wrong-field", "not “GG”"),
        ({"device": "0" * 17}, "wrong-field", "1 to 16 hex digits"),
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
        ({"avgSnr": "n/a"}, "wrong-field", "a number, or N/A"),
        ({"lat": True}, "wrong-field", "takes a number"),
        ({"duplicate": "false"}, "wrong-field", "true or false"),
        ({"station": "0AF0\r\nX: y"}, "wrong-field", "“station”"),
        ({"deviceTypeId": "a b"}, "wrong-field", "“deviceTypeId”"),
        ({"seqnumber": 1}, "unknown-field", "did you mean “seqNumber”?"),
        ({"zzz": 1}, "unknown-field", "“zzz” is not a field of a message."),
        ({"type": "uplink"}, "unknown-message-type", "data, status, geoloc"),
        ({"type": ["data"]}, "unknown-message-type", "not an array"),
        ({"batt": 3.0}, "field-of-other-type", "of messages of type data; it belongs to status, repeater."),
        ({"duplicates": []}, "field-of-other-type", "it belongs to data-advanced."),
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


def test_other_networks_carry_longer_payloads() -> None:
    value = {**UPLINK, "data": "00" * 242}

    assert isinstance(read_message(value, received_at=NOW, max_payload_bytes=242), Message)
    assert isinstance(read_message(value, received_at=NOW, max_payload_bytes=241), Refusal)
    assert isinstance(read_message(value, received_at=NOW), Refusal)


@pytest.mark.parametrize("kind", EVENTS)
def test_every_documented_field_of_a_type_is_taken(kind: MessageType) -> None:
    result = event(kind)

    given = {name: value for name, value in EVENTS[kind].items() if name not in ("seqNumber", "data")}
    assert result.type is kind
    assert {name: value for name, value in result.metadata.items() if not isinstance(value, Json)} == {
        name: value for name, value in given.items() if not isinstance(value, list | dict)
    }
    assert result.metadata.keys() == given.keys()


@pytest.mark.parametrize(
    ("kind", "callback_type"),
    [
        (MessageType.DATA, CallbackType.DATA_UPLINK), (MessageType.DATA, CallbackType.DATA_BIDIR),
        (MessageType.STATUS, CallbackType.SERVICE_STATUS), (MessageType.GEOLOC, CallbackType.SERVICE_GEOLOC),
        (MessageType.ACKNOWLEDGE, CallbackType.SERVICE_ACKNOWLEDGE),
        (MessageType.REPEATER, CallbackType.SERVICE_REPEATER),
        (MessageType.DATA_ADVANCED, CallbackType.SERVICE_DATA_ADVANCED), (MessageType.ERROR, CallbackType.ERROR),
    ],
)  # fmt: skip
def test_every_variable_that_a_callback_may_use_is_a_field_of_its_messages(
    kind: MessageType, callback_type: CallbackType
) -> None:
    # The engine fills in deviceTypeId by itself.
    assert set(offered(callback_type)) - {"deviceTypeId"} <= SHAPES[kind].names


def test_object_variables_are_compact_json_in_the_order_given() -> None:
    """The text of `computedLocation` is a capture (callbacks.md section 2.6)."""
    metadata = event(MessageType.DATA_ADVANCED).metadata

    expected = '{"lat":52.003292529645705,"lng":5.569001982230841,"radius":7800,"source":2,"status":1}'
    assert metadata["computedLocation"] == expected
    assert isinstance(metadata["computedLocation"], Json)
    assert metadata["duplicates"] == (
        '[{"bsId":"0AF0","rssi":-121.0,"nbRep":3},{"bsId":"37FF","rssi":-130.5,"nbRep":1}]'
    )


def test_a_mean_of_too_few_messages_is_taken_as_the_operator_writes_it() -> None:
    assert message(avgSnr="N/A").metadata["avgSnr"] == "N/A"


def test_a_message_may_tell_what_data_advanced_will_say() -> None:
    advanced = {"lqi": "GOOD", "linkQuality": 2, "fixedLat": 52.1, "fixedLng": 5.6, "operatorName": "Örland Net",
                "countryCode": 528, "nbRep": 3, "computedLocation": {"lat": 1, "lng": 2}}  # fmt: skip

    metadata = message(**advanced).metadata

    assert metadata == {**message().metadata, **advanced, "computedLocation": '{"lat":1,"lng":2}'}


@pytest.mark.parametrize("code", [code for code in InfoCode if code is not InfoCode.PENDING])
def test_the_result_of_a_downlink_is_completed_by_its_code(code: InfoCode) -> None:
    left_out = {"infoMessage": None, "downlinkAck": None, "downlinkOverusage": None}

    assert event(MessageType.ACKNOWLEDGE, infoCode=int(code), **left_out).metadata == {
        "infoCode": code,
        "infoMessage": INFO_MESSAGES[code],
        "downlinkAck": code is InfoCode.ACKED,
        "downlinkOverusage": code == 3,
    }


def test_an_error_is_severe_unless_it_says_otherwise() -> None:
    assert event(MessageType.ERROR, severity=None).metadata["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("kind", "changes", "code", "words"),
    [
        ("status", {"batt": -0.1}, "wrong-field", "a voltage in volt, a number from 0 to 100, not -0.1"),
        ("status", {"batt": "3.0"}, "wrong-field", "not “3.0”"),
        ("status", {"temp": -274}, "wrong-field", "from -273.15 to 1000"),
        ("status", {"temp": float("nan")}, "wrong-field", "“temp”"),
        ("status", {"ack": True}, "field-of-other-type", "of messages of type status; it belongs to data."),
        ("status", {"bat": 3.0}, "unknown-field", "did you mean “batt”?"),
        ("geoloc", {"lat": None}, "missing-field", "“lat” is missing: it takes a latitude in degrees"),
        ("geoloc", {"lng": None}, "missing-field", "“lng” is missing"),
        ("geoloc", {"lat": 90.1}, "wrong-field", "-90 to 90"),
        ("geoloc", {"lng": -181}, "wrong-field", "-180 to 180"),
        ("geoloc", {"radius": -1}, "wrong-field", "a radius in metres"),
        ("geoloc", {"geolocSource": 100}, "wrong-field", "a word, or a code"),
        ("geoloc", {"data": "00"}, "field-of-other-type", "“data” is no field of messages of type geoloc"),
        ("acknowledge", {"infoCode": None}, "missing-field", "“infoCode” is missing: it takes a result from 0 to 8"),
        ("acknowledge", {"infoCode": 5}, "wrong-field", "a pending result is never delivered, not 5"),
        ("acknowledge", {"infoCode": 9}, "wrong-field", "not 9"),
        ("acknowledge", {"infoCode": True}, "wrong-field", "not true"),
        ("acknowledge", {"infoCode": 0.0}, "wrong-field", "“infoCode”"),
        ("acknowledge", {"infoMessage": ""}, "wrong-field", "1 to 500 characters"),
        ("acknowledge", {"infoMessage": "x" * 501}, "wrong-field", "a text of 501 characters"),
        ("acknowledge", {"infoMessage": "a\r\nb"}, "wrong-field", "without line breaks"),
        ("acknowledge", {"infoMessage": "half \ud800"}, "wrong-field", "“infoMessage”"),
        ("acknowledge", {"downlinkAck": 1}, "wrong-field", "true or false"),
        ("repeater", {"unwantedDevices": 16}, "wrong-field", "15 for more than 14, a whole number from 0 to 15"),
        ("repeater", {"wrongMsg": -1}, "wrong-field", "a range code, a whole number from 0 to 15"),
        ("repeater", {"overRegulMsg": 2.0}, "wrong-field", "a range code"),
        ("repeater", {"repeatedMsg": 2**31}, "wrong-field", "a count"),
        ("data-advanced", {"lqi": "FINE"}, "wrong-field", "one of LIMIT, AVERAGE, GOOD, EXCELLENT, NA, not “FINE”"),
        ("data-advanced", {"linkQuality": 5}, "wrong-field", "0 to 4"),
        ("data-advanced", {"countryCode": 1000}, "wrong-field", "ISO 3166"),
        ("data-advanced", {"duplicates": {}}, "wrong-field", "an array of objects"),
        ("data-advanced", {"duplicates": [1]}, "wrong-field", "an array of objects"),
        ("data-advanced", {"duplicates": [{"bsId": "0" * 20_000}]}, "wrong-field", "at most 16384 bytes"),
        ("data-advanced", {"computedLocation": []}, "wrong-field", "an object"),
        ("data-advanced", {"computedLocation": {"name": "\ud800"}}, "wrong-field", "an object"),
        ("data-advanced", {"batt": 3.0}, "field-of-other-type", "it belongs to status, repeater."),
        ("error", {"severity": "FATAL"}, "wrong-field", "one of ERROR, WARN"),
        ("error", {"severity": "error"}, "wrong-field", "one of ERROR, WARN"),
        ("error", {"info": 3}, "wrong-field", "“info”"),
    ],
)  # fmt: skip
def test_every_field_has_a_kind_and_a_range(kind: str, changes: dict[str, Any], code: str, words: str) -> None:
    refusal = read_event(MessageType(kind), **changes)

    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.reason


def test_receptions_of_one_event_share_its_digits_and_nothing_else() -> None:
    first, second, nowhere = message(), message(station="37FF"), message(station=None)

    assert first.event == second.event == nowhere.event == first.id[:26]
    assert len({first.id, second.id, nowhere.id}) == 3
    assert nowhere.id.endswith("000000")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (event(MessageType.ACKNOWLEDGE, infoCode=0), event(MessageType.ACKNOWLEDGE, infoCode=1)),
        (event(MessageType.ERROR, severity="ERROR"), event(MessageType.ERROR, severity="WARN")),
        (event(MessageType.STATUS, data=""), event(MessageType.DATA_ADVANCED, data="")),
        (event(MessageType.STATUS, seqNumber=None), event(MessageType.STATUS, seqNumber=None, data="")),
    ],
)
def test_events_of_one_second_are_told_apart(one: Message, other: Message) -> None:
    assert one.event != other.event


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (event(MessageType.ACKNOWLEDGE, infoMessage="Acked"), event(MessageType.ACKNOWLEDGE, downlinkAck=False)),
        (event(MessageType.ERROR, info="a"), event(MessageType.ERROR, info="b")),
    ],
)
def test_what_is_said_about_an_event_is_not_its_identity(one: Message, other: Message) -> None:
    assert one.event == other.event


@pytest.mark.parametrize("changes", [{}, {"seqNumber": None}, {"data": ""}, {"station": None, "rssi": None}])
def test_what_is_kept_reads_back_equal(changes: dict[str, Any]) -> None:
    kept = message(**changes)

    assert load_message(dump_message(kept), received_at=NOW) == kept


@pytest.mark.parametrize("kind", EVENTS)
def test_every_type_reads_back_equal(kind: MessageType) -> None:
    kept = event(kind)

    assert load_message(dump_message(kept), received_at=NOW) == kept


def test_objects_read_back_as_the_texts_they_were() -> None:
    """Whoever wrote `-135.00` promised it to a callback; JSON numbers would become `-135.0`."""
    kept = replace(message(), metadata={"computedLocation": Json('{"lat":52.00}')})

    metadata = load_message(dump_message(kept), received_at=NOW).metadata

    assert metadata == {"computedLocation": '{"lat":52.00}'}
    assert isinstance(metadata["computedLocation"], Json)


@pytest.mark.parametrize(
    "text",
    [b"{}", b"[]", b'"x"', b'{"device":"1","deviceType":"t","time":1,"data":7}',
     b'{"type":"event","device":"1","deviceType":"t","time":1,"data":""}'],
)  # fmt: skip
def test_what_was_never_kept_does_not_read_back(text: bytes) -> None:
    with pytest.raises(ValueError, match="does not know"):
        load_message(text, received_at=NOW)
