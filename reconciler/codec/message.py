"""Messages ⇄ JSON: what the door accepts, and what the store keeps.

One form serves both: what `dump_message` writes, `read_message` accepts. Rules:

1. Unknown fields are refused by name: a misspelt `seqnumber` must not silently become "no sequence number".
2. `device` becomes upper-case hex without padding and `data` lower-case hex (`callbacks.md` section 2.1, section 11).
3. An uplink carries at most 12 bytes (`callbacks.md` section 2.1: up to 24 hex characters).
4. The id is the event time in 8 hex digits, then 96 bits of BLAKE2b over what identifies a message: type, device, time,
   sequence number and station; and the payload when the network gave no sequence number. Leading with the time keeps
   neighbours together in a store.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from hashlib import blake2b

import orjson

from reconciler.codec.quoting import shown
from reconciler.grammar.payload import Value
from reconciler.model.message import Message, MessageType, Refusal

__all__ = ["SUPPORTED_TYPES", "dump_message", "load_message", "message_id", "read_message"]

SUPPORTED_TYPES = frozenset({MessageType.DATA})
"""The others are refused by name until the engine executes them."""

_DEVICE = re.compile(r"[0-9A-Fa-f]{1,8}\Z")
_STATION = re.compile(r"[0-9A-Fa-f]{1,8}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_MAX_PAYLOAD_BYTES = 12
_MAX_TIME = 2**32 - 1
_MAX_SEQUENCE_NUMBER = 2**31 - 1
# The largest float that still prints as a short decimal number; radio metadata is nowhere near it.
_MAX_NUMBER = 1e15

_IDENTITY = frozenset({"type", "device", "deviceType", "time", "seqNumber", "data"})
_NUMBERS = frozenset({"rssi", "snr", "avgSnr", "lat", "lng"})
_FLAGS = frozenset({"ack", "duplicate", "longPolling"})
_TEXTS = frozenset({"station", "deviceTypeId"})
_FIELDS = _IDENTITY | _NUMBERS | _FLAGS | _TEXTS


def message_id(
    kind: MessageType, device: str, time: int, *, sequence_number: int | None, station: str | None, data: bytes
) -> str:
    """The id under which a repeated message is recognised."""
    told_apart_by = data.hex() if sequence_number is None else str(sequence_number)
    identity = f"{kind}\0{device}\0{time}\0{told_apart_by}\0{station or ''}"
    return f"{time:08x}{blake2b(identity.encode(), digest_size=12, person=b'message/1').hexdigest()}"


def read_message(value: object, *, received_at: datetime) -> Message | Refusal:
    """One parsed JSON value → a message, or the reason why it can not be one."""
    if not isinstance(value, dict):
        return Refusal("message-not-an-object", f"A message is a JSON object, not {shown(value)}.")
    if not _FIELDS.issuperset(value):
        return _unknown_field(value)
    kind = value.get("type", "data")
    if kind != "data":
        return _other_type(kind)
    device = value.get("device")
    if not isinstance(device, str) or not _DEVICE.match(device):
        return _wrong("device", device, "1 to 8 hex digits, such as 1C178")
    device_type = value.get("deviceType")
    if not isinstance(device_type, str) or not _NAME.match(device_type):
        return _wrong("deviceType", device_type, "the name of a device type")
    time = value.get("time")
    if type(time) is not int or not 0 <= time <= _MAX_TIME:
        return _wrong("time", time, f"whole seconds since the Unix epoch, 0 to {_MAX_TIME}")
    sequence_number = value.get("seqNumber")
    if sequence_number is not None and (
        type(sequence_number) is not int or not 0 <= sequence_number <= _MAX_SEQUENCE_NUMBER
    ):
        return _wrong("seqNumber", sequence_number, f"a whole number from 0 to {_MAX_SEQUENCE_NUMBER}")
    data = _payload(value.get("data", ""))
    if isinstance(data, Refusal):
        return data
    metadata = _metadata(value)
    if isinstance(metadata, Refusal):
        return metadata
    device = device.upper().lstrip("0") or "0"
    station = metadata.get("station")
    return Message(
        id=message_id(
            MessageType.DATA,
            device,
            time,
            sequence_number=sequence_number,
            station=station if isinstance(station, str) else None,
            data=data,
        ),
        type=MessageType.DATA,
        device=device,
        device_type=device_type,
        time=time,
        sequence_number=sequence_number,
        data=data,
        received_at=received_at,
        metadata=metadata,
    )


def dump_message(message: Message) -> bytes:
    """The JSON that `load_message` reads back; the id and the time of reception are kept beside it."""
    fields: dict[str, Value] = {"device": message.device, "deviceType": message.device_type, "time": message.time}
    if message.sequence_number is not None:
        fields["seqNumber"] = message.sequence_number
    fields["data"] = message.data.hex()
    fields.update(message.metadata)
    return orjson.dumps(fields)


def load_message(text: bytes, *, received_at: datetime) -> Message:
    """Read what `dump_message` wrote; ValueError when it is something else."""
    message = read_message(orjson.loads(text), received_at=received_at)
    if isinstance(message, Refusal):
        raise ValueError(f"not a kept message: {message.reason}")
    return message


def _payload(text: object) -> bytes | Refusal:
    if not isinstance(text, str):
        return _wrong("data", text, "the payload in hex")
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return _wrong("data", text, "an even number of hex digits")
    if len(data) * 2 != len(text):  # bytes.fromhex skips blanks
        return _wrong("data", text, "hex digits without blanks")
    if len(data) > _MAX_PAYLOAD_BYTES:
        return Refusal(
            "payload-too-long", f"“data” holds {len(data)} bytes; an uplink carries at most {_MAX_PAYLOAD_BYTES}."
        )
    return data


def _metadata(value: Mapping[str, object]) -> Mapping[str, Value] | Refusal:
    metadata: dict[str, Value] = {}
    for name, given in value.items():
        if name in _IDENTITY or given is None:
            continue
        if name in _NUMBERS:
            if type(given) not in (int, float) or not -_MAX_NUMBER < given < _MAX_NUMBER:  # type: ignore[operator]
                return _wrong(name, given, "a number")
            metadata[name] = float(given)  # type: ignore[arg-type]
        elif name in _FLAGS:
            if not isinstance(given, bool):
                return _wrong(name, given, "true or false")
            metadata[name] = given
        elif name == "station":
            if not isinstance(given, str) or not _STATION.match(given):
                return _wrong(name, given, "1 to 8 hex digits, such as 0AF0")
            metadata[name] = given.upper()
        else:
            if not isinstance(given, str) or not _NAME.match(given):
                return _wrong(name, given, "the operator's id of the device type")
            metadata[name] = given
    return metadata


def _wrong(field: str, given: object, expected: str) -> Refusal:
    if given is None:
        return Refusal("missing-field", f"“{field}” is missing: it takes {expected}.")
    return Refusal("wrong-field", f"“{field}” takes {expected}, not {shown(given)}.")


def _unknown_field(value: Mapping[object, object]) -> Refusal:
    name = next(str(name) for name in value if name not in _FIELDS)
    near = get_close_matches(name, _FIELDS, n=1)
    hint = f"; did you mean “{near[0]}”?" if near else "."
    return Refusal("unknown-field", f"“{name[:64]}” is not a field of a message{hint}")


def _other_type(kind: object) -> Refusal:
    known = [str(t) for t in MessageType]
    if isinstance(kind, str) and kind in known:
        return Refusal(
            "message-type-not-supported", f"Messages of type “{kind}” are not supported yet; this engine takes “data”."
        )
    return Refusal("unknown-message-type", f"“type” is one of {', '.join(known)}; left out, it means data.")
