"""The fields that a message of each type may carry beside its identity, as tables: `callbacks.md` section 2.

1. Every field has a kind and a range. What a network sends beyond them is refused by name, never cut or bent to fit.
2. A field of another type is no field of this one: a `batt` in a data message would be shown by no callback.
3. `duplicates` and `computedLocation` become compact JSON texts (`grammar.escape.Json`), members in the order given.
   Their members are the network's own; only their size is bounded.
4. A few fields can not be missing, and a few have a value when they are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from reconciler.grammar.escape import CONTROL, LONE_SURROGATE, Json
from reconciler.grammar.payload import Value
from reconciler.model.downlink import INFO_MESSAGES, InfoCode
from reconciler.model.message import MessageType

__all__ = ["IDENTITY", "OBJECTS", "SHAPES", "Field", "Shape", "is_device_type_name", "types_with"]

IDENTITY: Final = frozenset({"type", "device", "deviceType", "time", "seqNumber"})
"""Fields of every type; `data` is one of those types that have a payload."""

OBJECTS: Final = frozenset({"duplicates", "computedLocation"})
"""Fields whose values are JSON."""

# Bound methods: what is looked up once takes half as long for texts as short as these.
is_device_type_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}").fullmatch
_is_station = re.compile(r"[0-9A-Fa-f]{1,16}").fullmatch
# The largest float that still prints as a short decimal number; radio metadata is nowhere near it.
_MAX_NUMBER = 1e15
_MAX_COUNT = 2**31 - 1
_MAX_TEXT = 500
# Some 20 stations hear a message in a dense area, at 60 characters each; this is for ten times as many.
_MAX_JSON_BYTES = 16 * 1024

# A pending result is the network's own affair: it is never delivered (section 2.4).
_RESULTS = frozenset(InfoCode) - {InfoCode.PENDING}

Metadata = dict[str, Value]
Reader = Callable[[Any], Value]


class Field(NamedTuple):
    """How a field is read (None for what it does not take), and what it takes, in words."""

    read: Reader
    expected: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message of one type looks like.

    Attributes:
        names: every field that it may have.
        fields: those that become metadata; `readers` is how each of them is read, once more, for the hot path.
        required: those of them that can not be missing.
        detail: the one that belongs to the identity of the event, empty for none; its text is `detail` of
            `codec.message.message_id`.
        complete: adds what follows from the rest.
    """

    type: MessageType
    names: frozenset[str]
    fields: Mapping[str, Field]
    readers: Mapping[str, Reader]
    required: tuple[str, ...]
    detail: str
    complete: Callable[[Metadata], None] | None


def types_with(name: str) -> tuple[MessageType, ...]:
    """The types that have a field."""
    return tuple(shape.type for shape in SHAPES.values() if name in shape.names)


# Kinds of fields


def _number(given: object) -> float | None:
    if type(given) is float:
        return given if -_MAX_NUMBER < given < _MAX_NUMBER else None
    return float(given) if type(given) is int and -_MAX_NUMBER < given < _MAX_NUMBER else None


def _mean(given: object) -> float | str | None:
    """The oldest pages have `N/A` where too few messages were received (`callbacks.md` section 2.1)."""
    return given if isinstance(given, str) and given == "N/A" else _number(given)


def _flag(given: object) -> bool | None:
    return given if given is True or given is False else None


def _station(given: object) -> str | None:
    return given.upper() if isinstance(given, str) and _is_station(given) else None


def _name(given: object) -> str | None:
    return given if isinstance(given, str) and is_device_type_name(given) else None


def _text(given: object) -> str | None:
    if not isinstance(given, str) or not 0 < len(given) <= _MAX_TEXT:
        return None
    return None if CONTROL.search(given) or LONE_SURROGATE.search(given) else given


def _between(lowest: float, highest: float, what: str) -> Field:
    def read(given: object) -> float | None:
        value = _number(given)
        return value if value is not None and lowest <= value <= highest else None

    return Field(read, f"{what}, a number from {lowest:g} to {highest:g}")


def _whole(highest: int, what: str) -> Field:
    def read(given: object) -> int | None:
        return given if type(given) is int and 0 <= given <= highest else None

    return Field(read, f"{what}, a whole number from 0 to {highest}")


def _word(*words: str, any_case: bool = False) -> Field:
    known = {word.lower() for word in words} if any_case else set(words)

    def read(given: object) -> str | None:
        return given if isinstance(given, str) and (given.lower() if any_case else given) in known else None

    return Field(read, f"one of {', '.join(words)}")


def _info_code(given: object) -> int | None:
    return given if type(given) is int and given in _RESULTS else None


def _source(given: object) -> Value:
    """No page says what `geolocSource` looks like; the source of a computed location is a code (section 2.6)."""
    return _text(given) if isinstance(given, str) else _SOURCE_CODE.read(given)


def _object(given: object) -> Json | None:
    return _compact(given) if isinstance(given, dict) else None


def _objects(given: object) -> Json | None:
    return _compact(given) if isinstance(given, list) and all(isinstance(each, dict) for each in given) else None


def _compact(given: object) -> Json | None:
    try:
        text = orjson.dumps(given)
    except orjson.JSONEncodeError:  # half a surrogate pair, or an integer beyond 64 bits: nothing that JSON text gives
        return None
    return Json(text.decode()) if len(text) <= _MAX_JSON_BYTES else None


_NUMBER = Field(_number, "a number")
_MEAN = Field(_mean, "a number, or N/A")
_FLAG = Field(_flag, "true or false")
_TEXT = Field(_text, f"a text of 1 to {_MAX_TEXT} characters without line breaks and other control characters")
_LATITUDE = _between(-90, 90, "a latitude in degrees")
_LONGITUDE = _between(-180, 180, "a longitude in degrees")
_VOLTS = _between(0, 100, "a voltage in volt")
_COUNT = _whole(_MAX_COUNT, "a count")
_RANGE_CODE = _whole(15, "a range code")
_SOURCE_CODE = _whole(99, "a code")
_OBJECT = Field(_object, f"an object of at most {_MAX_JSON_BYTES} bytes of JSON")
_OBJECTS = Field(_objects, f"an array of objects, at most {_MAX_JSON_BYTES} bytes of JSON")

# The fields of each type

_DEVICE_TYPE_ID = {"deviceTypeId": Field(_name, "the operator's id of the device type")}
_RADIO = {
    "station": Field(_station, "1 to 16 hex digits, such as 0AF0"),
    "rssi": _NUMBER,
    "snr": _NUMBER,
    "avgSnr": _MEAN,
    "duplicate": _FLAG,
}
_STATION_POSITION = {"lat": _NUMBER, "lng": _NUMBER}
# Section 2.6; networks that tell them with the message itself need not tell them twice.
_ADVANCED = {
    "lqi": _word("LIMIT", "AVERAGE", "GOOD", "EXCELLENT", "NA", any_case=True),
    "linkQuality": _whole(4, "a link quality"),
    "fixedLat": _LATITUDE,
    "fixedLng": _LONGITUDE,
    "operatorName": _TEXT,
    "countryCode": _whole(999, "an ISO 3166 numeric code"),
    "computedLocation": _OBJECT,
}

_FIELDS: Final[Mapping[MessageType, Mapping[str, Field]]] = {
    # Section 2.1, with the names of 2013 to 2016
    MessageType.DATA: {
        **_RADIO,
        "signal": _NUMBER,
        "avgSignal": _MEAN,
        **_STATION_POSITION,
        "ack": _FLAG,
        "longPolling": _FLAG,
        **_DEVICE_TYPE_ID,
        **_ADVANCED,
        "nbRep": _whole(255, "a number of repetitions"),
    },
    # Section 2.2
    MessageType.STATUS: {
        "batt": _VOLTS,
        "temp": _between(-273.15, 1000, "a temperature in degrees Celsius"),
        **_RADIO,
        **_STATION_POSITION,
        **_DEVICE_TYPE_ID,
    },
    # Section 2.3
    MessageType.GEOLOC: {
        "lat": _LATITUDE,
        "lng": _LONGITUDE,
        "radius": _between(0, 1e9, "a radius in metres"),
        "geolocSource": Field(_source, "a word, or a code from 0 to 99"),
        **_RADIO,
    },
    # Section 2.4
    MessageType.ACKNOWLEDGE: {
        "infoCode": Field(
            _info_code, f"a result from 0 to {max(InfoCode)} but 5, for a pending result is never delivered"
        ),
        "infoMessage": _TEXT,
        "downlinkAck": _FLAG,
        "downlinkOverusage": _FLAG,
    },
    # Section 2.5
    MessageType.REPEATER: {
        "batt": _VOLTS,
        "whitelistDevices": _COUNT,
        "repeatedMsg": _COUNT,
        "unwantedDevices": _whole(15, "devices, 15 for more than 14"),
        "unwantedMsg": _RANGE_CODE,
        "wrongMsg": _RANGE_CODE,
        "overRegulMsg": _RANGE_CODE,
    },
    # Section 2.6
    MessageType.DATA_ADVANCED: {**_DEVICE_TYPE_ID, **_ADVANCED, "duplicates": _OBJECTS},
    # Section 2.7
    MessageType.ERROR: {"info": _TEXT, "severity": _word("ERROR", "WARN")},
}

# The raw frame of a STATUS is for people: no callback shows it.
_WITH_DATA: Final = frozenset({MessageType.DATA, MessageType.STATUS, MessageType.DATA_ADVANCED})


_REQUIRED: Final[Mapping[MessageType, tuple[str, ...]]] = {
    MessageType.GEOLOC: ("lat", "lng"),
    MessageType.ACKNOWLEDGE: ("infoCode",),
}
_DETAIL: Final[Mapping[MessageType, str]] = {MessageType.ACKNOWLEDGE: "infoCode", MessageType.ERROR: "severity"}


def _complete_acknowledge(metadata: Metadata) -> None:
    code = InfoCode(metadata["infoCode"])  # type: ignore[arg-type]
    metadata.setdefault("infoMessage", INFO_MESSAGES[code])
    metadata.setdefault("downlinkAck", code is InfoCode.ACKED)
    metadata.setdefault("downlinkOverusage", code is InfoCode.OVERRUN_ERROR)


def _complete_error(metadata: Metadata) -> None:
    # Section 7: WARN is of the older page; the newer one knows nothing but ERROR.
    metadata.setdefault("severity", "ERROR")


_COMPLETE: Final[Mapping[MessageType, Callable[[Metadata], None]]] = {
    MessageType.ACKNOWLEDGE: _complete_acknowledge,
    MessageType.ERROR: _complete_error,
}


def _shape(kind: MessageType) -> Shape:
    fields = _FIELDS[kind]
    return Shape(
        type=kind,
        names=IDENTITY.union(fields, ("data",) if kind in _WITH_DATA else ()),
        fields=fields,
        readers={name: field.read for name, field in fields.items()},
        required=_REQUIRED.get(kind, ()),
        detail=_DETAIL.get(kind, ""),
        complete=_COMPLETE.get(kind),
    )


SHAPES: Final[Mapping[str, Shape]] = MappingProxyType({str(kind): _shape(kind) for kind in MessageType})
"""By the word that `type` takes."""
