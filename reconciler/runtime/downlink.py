"""What a device that asks for a downlink is answered, and how the result is told (`callbacks.md` section 6). Pure.

How an answer is read (section 6.3), and the side taken where the page is silent:

1. A 2xx whose body is a JSON object has a member for each device it answers. `downlinkData` of exactly 16 hex digits is
   sent; anything else under that name is INVALID_PAYLOAD. `noData: true` declines, even beside data: of two statements
   that contradict each other, the one that moves no actuator is taken.
2. A member with neither, a device without a member, a body that is no such object, and every failure: NO_ANSWER.
3. 204 declines for all devices; whatever stands behind it is not looked at.
4. Ids of devices are read in any case and with leading zeros, for receivers store them so; written exactly as they were
   sent, they win over other spellings of the same id, and among those the last wins. Other members are ignored.
5. A byte order mark is skipped (RFC 8259 section 8.1 lets a reader do so). Nothing in a body makes reading fail; the
   work is in proportion to its size, which the channel limits.
"""

import re
from datetime import datetime
from typing import Final

import orjson

from reconciler.codec.message import message_id
from reconciler.model.delivery import Accepted, Outcome
from reconciler.model.downlink import INFO_MESSAGES, Downlink, Failed, InfoCode, NoData, Replies, Reply, Send
from reconciler.model.message import Message, MessageType

__all__ = ["acknowledgement", "direct_data", "read_replies"]

_NO_CONTENT: Final = 204
_NO_ANSWER: Final = Failed(InfoCode.NO_ANSWER)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DEVICE = re.compile(r"0*([0-9A-Fa-f]{1,16})")
_DOWNLINK_DATA = re.compile(r"[0-9A-Fa-f]{16}")

_VARIABLE = re.compile(r"\{(time|tapId|rssi)\}")
_LOWEST_RSSI: Final = -(2**15)
_HIGHEST_RSSI: Final = 2**15 - 1


def read_replies(outcome: Outcome) -> Replies:
    """What the answer to a callback says to the devices that wait for it."""
    if not isinstance(outcome, Accepted):
        return Replies({}, _NO_ANSWER)
    if outcome.status == _NO_CONTENT:
        return Replies({}, NoData())
    try:
        answer = orjson.loads(outcome.body.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return Replies({}, _NO_ANSWER)
    if not isinstance(answer, dict):
        return Replies({}, _NO_ANSWER)
    by_device: dict[str, Reply] = {}
    exact: dict[str, Reply] = {}
    for key, member in answer.items():
        if (digits := _DEVICE.fullmatch(key)) is not None:
            device = digits[1].upper()
            (exact if key == device else by_device)[device] = _reply(member)
    return Replies(by_device | exact, _NO_ANSWER)


def _reply(member: object) -> Reply:
    if not isinstance(member, dict):
        return _NO_ANSWER
    if member.get("noData") is True:
        return NoData()
    if "downlinkData" not in member:
        return _NO_ANSWER
    data = member["downlinkData"]
    if not isinstance(data, str) or not _DOWNLINK_DATA.fullmatch(data):
        return Failed(InfoCode.INVALID_PAYLOAD)
    return Send(bytes.fromhex(data))


def direct_data(template: str, message: Message) -> bytes:
    """The 8 bytes that mode DIRECT sends in answer to a message; `template` is that of a checked device type.

    Big-endian: `{time}` 4 bytes of epoch seconds, `{tapId}` the station in 4 bytes (the lower ones of a longer id),
    `{rssi}` whole dBm in 2 bytes, signed. 0 stands for what the network did not give (section 6.1).
    """
    return bytes.fromhex(_VARIABLE.sub(lambda variable: _bytes_of(variable[1], message).hex(), template))


def _bytes_of(variable: str, message: Message) -> bytes:
    if variable == "time":
        return message.time.to_bytes(4, "big")
    if variable == "tapId":
        station = message.metadata.get("station")
        return (int(station, 16) & 0xFFFF_FFFF if isinstance(station, str) else 0).to_bytes(4, "big")
    rssi = message.metadata.get("rssi")
    level = round(rssi) if isinstance(rssi, (float, int)) else 0
    return min(max(level, _LOWEST_RSSI), _HIGHEST_RSSI).to_bytes(2, "big", signed=True)


def acknowledgement(downlink: Downlink, *, at: datetime) -> Message:
    """The ACKNOWLEDGE event of a request that has ended, as if the network had sent it (section 2.4).

    Its id also holds which request it was: a device may have several that end alike within a second.
    """
    time, code = int(at.timestamp()), downlink.code
    return Message(
        id=message_id(
            MessageType.ACKNOWLEDGE,
            downlink.device,
            time,
            sequence_number=None,
            station=None,
            data=b"",
            detail=f"{int(code)} {downlink.message}",
        ),
        type=MessageType.ACKNOWLEDGE,
        device=downlink.device,
        device_type=downlink.device_type,
        time=time,
        sequence_number=None,
        data=b"",
        received_at=at,
        metadata={
            "infoCode": int(code),
            "infoMessage": INFO_MESSAGES[code],
            "downlinkAck": code is InfoCode.ACKED,
            "downlinkOverusage": False,
        },
    )
