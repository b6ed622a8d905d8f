"""How answers to devices are read, made and reported (`callbacks.md` sections 2.4, 6.1 and 6.3)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from reconciler.codec.message import dump_message, load_message
from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.model.downlink import (
    DOWNLINK_BYTES,
    INFO_MESSAGES,
    LISTENING,
    Downlink,
    DownlinkState,
    Failed,
    InfoCode,
    NoData,
    Replies,
    Reply,
    Send,
)
from reconciler.model.message import MessageType
from reconciler.runtime.downlink import acknowledgement, direct_data, read_replies
from tests.unit.runtime.routing_rig import NOW, message

NO_ANSWER = Failed(InfoCode.NO_ANSWER)
INVALID = Failed(InfoCode.INVALID_PAYLOAD)
DATA = "0102030405060a0B"
SEND = Send(bytes.fromhex(DATA))


def answered(answer: object, status: int = 200) -> Replies:
    return read_replies(Accepted(status, orjson.dumps(answer)))


@pytest.mark.parametrize(
    ("member", "reply"),
    [
        # Section 6.3, the table
        ({"downlinkData": DATA}, SEND),
        ({"noData": True}, NoData()),
        ({"downlinkData": "0102030405060a"}, INVALID),
        ({"downlinkData": DATA + "00"}, INVALID),
        ({"downlinkData": "0102030405060aXX"}, INVALID),
        ({"downlinkData": " 102030405060a0b"}, INVALID),
        ({"downlinkData": "01 02 03 04 05 06"}, INVALID),
        ({"downlinkData": "٠١٠٢٠٣٠٤٠٥٠٦٠٧٠٨"}, INVALID),
        ({"downlinkData": ""}, INVALID),
        ({"downlinkData": None}, INVALID),
        ({"downlinkData": 102030405060708}, INVALID),
        ({}, NO_ANSWER),
        ({"noData": False}, NO_ANSWER),
        ({"noData": "true"}, NO_ANSWER),
        ({"noData": 1}, NO_ANSWER),
        ({"data": DATA}, NO_ANSWER),
        (DATA, NO_ANSWER),
        (None, NO_ANSWER),
        ([{"downlinkData": DATA}], NO_ANSWER),
        # Members that nobody documented change nothing
        ({"downlinkData": DATA, "noData": False, "comment": [1]}, SEND),
        # Of two statements the harmless one
        ({"downlinkData": DATA, "noData": True}, NoData()),
        ({"downlinkData": "x", "noData": True}, NoData()),
    ],
)
def test_a_member_of_the_answer_is_for_its_device(member: object, reply: Reply) -> None:
    assert answered({"1C178": member}) == Replies({"1C178": reply}, NO_ANSWER)


@pytest.mark.parametrize(
    ("answer", "devices"),
    [
        ({"1c178": {"noData": True}}, {"1C178"}),
        ({"0001C178": {"noData": True}}, {"1C178"}),
        ({"00a0": {"noData": True}, "2C": {"noData": True}}, {"A0", "2C"}),
        ({"0": {"noData": True}}, {"0"}),
        ({"000": {"noData": True}}, {"0"}),
        ({"70B3D57ED0001A2B": {"noData": True}}, {"70B3D57ED0001A2B"}),
        ({"status": "ok", "": {"noData": True}, "1C178 ": {"noData": True}, "10000000000000000": {}}, set()),
        ({"１C": {"noData": True}}, set()),
    ],
)
def test_ids_are_read_as_receivers_store_them(answer: dict[str, Any], devices: set[str]) -> None:
    replies = answered(answer)

    assert replies.by_device == dict.fromkeys(devices, NoData())
    assert replies.otherwise == NO_ANSWER


@pytest.mark.parametrize(
    "spellings", [("1C178", "1c178"), ("1c178", "1C178"), ("01c178", "1C178", "1c178"), ("1C178", "01C178")]
)
def test_of_several_spellings_the_exact_one_wins(spellings: tuple[str, ...]) -> None:
    answer = {each: {"downlinkData": DATA} if each == "1C178" else {"noData": True} for each in spellings}

    assert answered(answer).by_device == {"1C178": SEND}


def test_of_inexact_spellings_the_last_one_wins() -> None:
    assert answered({"1c178": {"noData": True}, "01c178": {"downlinkData": DATA}}).by_device == {"1C178": SEND}


@pytest.mark.parametrize(
    ("outcome", "otherwise"),
    [
        (Accepted(204), NoData()),
        (Accepted(204, b'{"1C178":{"downlinkData":"0102030405060708"}}'), NoData()),
        (Accepted(200), NO_ANSWER),
        (Accepted(202), NO_ANSWER),
        (Accepted(200, b"  \r\n"), NO_ANSWER),
        (Accepted(200, b"OK"), NO_ANSWER),
        (Accepted(200, b"[]"), NO_ANSWER),
        (Accepted(200, b'"1C178"'), NO_ANSWER),
        (Accepted(200, b"{}"), NO_ANSWER),
        (Accepted(200, b'{"1C178":{"downlinkData":"01020304'), NO_ANSWER),
        (Accepted(200, b"\xff\xfe{\x00}\x00"), NO_ANSWER),
        (Accepted(200, b"[" * 60_000), NO_ANSWER),
        (Accepted(200, b'{"a":' * 500 + b"1" + b"}" * 500), NO_ANSWER),
        (Accepted(200, b"9" * 60_000), NO_ANSWER),
        (Refused(500, b'{"1C178":{"downlinkData":"0102030405060708"}}'), NO_ANSWER),
        (Refused(302), NO_ANSWER),
        (Unreachable("deadline", "No answer within 10 s."), NO_ANSWER),
    ],
)
def test_what_names_no_device_is_for_all_of_them(outcome: Outcome, otherwise: Reply) -> None:
    assert read_replies(outcome) in (Replies({}, otherwise), Replies({"A": NO_ANSWER}, otherwise))


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_success_may_answer(status: int) -> None:
    assert answered({"1C178": {"downlinkData": DATA}}, status).by_device == {"1C178": SEND}


def test_a_byte_order_mark_is_no_part_of_an_answer() -> None:
    assert read_replies(Accepted(200, b'\xef\xbb\xbf{"1C178":{"noData":true}}')).by_device == {"1C178": NoData()}


@pytest.mark.parametrize(
    ("template", "given", "data"),
    [
        ("0102030405060708", {}, "0102030405060708"),
        ("a1B2c3D4e5F60718", {}, "a1b2c3d4e5f60718"),
        ("{time}0000{rssi}", {"rssi": -135}, "57b6bf770000ff79"),
        ("{tapId}0000{rssi}", {"station": "0AF0", "rssi": -121.5}, "00000af00000ff86"),
        ("{rssi}{rssi}{tapId}", {"station": "FFFFFFFF", "rssi": 12}, "000c000cffffffff"),
        ("{tapId}{time}", {"station": "123456789ABCDEF0"}, "9abcdef057b6bf77"),
        # Section 6.1: 0 where the station gives none
        ("{tapId}0000{rssi}", {"station": None, "rssi": None}, "0000000000000000"),
        ("000000000000{rssi}", {"rssi": -1e9}, "0000000000008000"),
        ("000000000000{rssi}", {"rssi": 1e9}, "0000000000007fff"),
        ("{time}{tapId}", {"time": 0, "station": None}, "0000000000000000"),
        ("{time}{tapId}", {"time": 2**32 - 1, "station": None}, "ffffffff00000000"),
    ],
)
def test_direct_data_is_filled_in(template: str, given: dict[str, Any], data: str) -> None:
    made = direct_data(template, message(**given))

    assert (made.hex(), len(made)) == (data, DOWNLINK_BYTES)


def ended(code: InfoCode) -> Downlink:
    return Downlink(
        message=message().id,
        device="1C178",
        device_type="tracker",
        asked_at=NOW,
        expires_at=NOW + LISTENING,
        state=DownlinkState.ENDED,
        code=code,
    )


def test_a_result_is_told_as_the_network_would() -> None:
    at = NOW + timedelta(seconds=12.75)
    told = acknowledgement(ended(InfoCode.NO_ANSWER), at=at)

    assert (told.type, told.device, told.device_type) == (MessageType.ACKNOWLEDGE, "1C178", "tracker")
    assert (told.time, told.received_at) == (int(NOW.timestamp()) + 12, at)
    assert told.metadata == {
        "infoCode": 1,
        "infoMessage": INFO_MESSAGES[InfoCode.NO_ANSWER],
        "downlinkAck": False,
        "downlinkOverusage": False,
    }


@pytest.mark.parametrize("code", InfoCode)
def test_only_a_sent_downlink_is_acknowledged(code: InfoCode) -> None:
    told = acknowledgement(ended(code), at=NOW)

    assert told.metadata["downlinkAck"] is (code is InfoCode.ACKED)
    # A store keeps the id beside the rest: only the engine knows which request this was.
    assert replace(load_message(dump_message(told), received_at=NOW), id=told.id) == told


def test_results_of_one_second_are_told_apart() -> None:
    codes = {acknowledgement(ended(code), at=NOW).event for code in InfoCode}
    others = replace(ended(InfoCode.NO_ANSWER), message="6553f10000000000000000000000000f")

    assert len(codes) == len(InfoCode)
    assert acknowledgement(others, at=NOW).event not in codes
    assert acknowledgement(others, at=NOW).id == acknowledgement(others, at=NOW).id
