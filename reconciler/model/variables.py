"""The variables that each type of callback offers to its templates, as tables: `callbacks.md` section 2.

1. A template may name only what its type offers; another name would render as `null` for ever.
2. `form` is the text that a value has on the wire. What the network did not give is `null`, whatever its form.
3. The legacy names of the older eras are offered too (section 0): templates that use them exist.
4. `customData#x` is offered where a payload config may be set: for DATA and DATA_ADVANCED (section 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from reconciler.model.resource import CallbackType

__all__ = ["ALL_NAMES", "Form", "Variable", "describe", "offered", "offering", "takes_payload"]


class Form(StrEnum):
    """The text form of a value."""

    INTEGER = "integer"
    TWO_DECIMALS = "two decimals"
    AT_MOST_TWO_DECIMALS = "at most two decimals"
    DECIMAL = "decimal number"
    WHOLE_DEGREES = "whole degrees"
    TEXT = "text"
    FLAG = "true or false"
    JSON = "JSON, to be written without quotes"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, the text form of its values, and what they mean."""

    name: str
    form: Form
    meaning: str


def _table(*variables: Variable) -> Mapping[str, Variable]:
    return MappingProxyType({variable.name: variable for variable in variables})


_TIME = Variable("time", Form.INTEGER, "event time, seconds since the Unix epoch")
_DEVICE = Variable("device", Form.TEXT, "device id, upper-case hex without padding")
_DEVICE_TYPE_ID = Variable("deviceTypeId", Form.TEXT, "id of the device type")
_SEQ_NUMBER = Variable("seqNumber", Form.INTEGER, "the device's own counter of messages")
_DATA = Variable("data", Form.TEXT, "payload, lower-case hex")
_DUPLICATE = Variable("duplicate", Form.FLAG, "whether another station delivered this message before")

# Radio metadata: an option of the contract, `null` without it.
_RADIO = (
    Variable("station", Form.TEXT, "id of the receiving station, upper-case hex"),
    Variable("rssi", Form.TWO_DECIMALS, "signal strength in dBm"),
    Variable("snr", Form.TWO_DECIMALS, "signal to noise in dB"),
    Variable("avgSnr", Form.TWO_DECIMALS, "mean signal to noise of the last 25 messages in dB"),
)
_STATION_POSITION = (
    Variable("lat", Form.WHOLE_DEGREES, "latitude of the receiving station"),
    Variable("lng", Form.WHOLE_DEGREES, "longitude of the receiving station"),
)

# Section 2.1; `signal` and `avgSignal` are the names of 2013 to 2016.
_UPLINK = (
    _TIME,
    _DEVICE,
    _DEVICE_TYPE_ID,
    _DATA,
    _SEQ_NUMBER,
    *_RADIO,
    Variable("signal", Form.TWO_DECIMALS, "older name of snr"),
    Variable("avgSignal", Form.TWO_DECIMALS, "older name of avgSnr"),
    *_STATION_POSITION,
    _DUPLICATE,
)
_BIDIR = (
    *_UPLINK,
    Variable("ack", Form.FLAG, "whether the device waits for a downlink"),
    Variable("longPolling", Form.FLAG, "whether the device supports the long-polling downlink mechanism"),
)

_OFFERED: Final[Mapping[CallbackType, Mapping[str, Variable]]] = {
    CallbackType.DATA_UPLINK: _table(*_UPLINK),
    CallbackType.DATA_BIDIR: _table(*_BIDIR),
    # Section 2.2
    CallbackType.SERVICE_STATUS: _table(
        _TIME,
        _DEVICE,
        _DEVICE_TYPE_ID,
        _SEQ_NUMBER,
        Variable("batt", Form.AT_MOST_TWO_DECIMALS, "battery voltage in volt"),
        Variable("temp", Form.AT_MOST_TWO_DECIMALS, "temperature in degrees Celsius"),
        *_RADIO,
        *_STATION_POSITION,
        _DUPLICATE,
    ),
    # Section 2.3
    CallbackType.SERVICE_GEOLOC: _table(
        _TIME,
        _DEVICE,
        _SEQ_NUMBER,
        Variable("lat", Form.DECIMAL, "latitude that was computed"),
        Variable("lng", Form.DECIMAL, "longitude that was computed"),
        Variable("radius", Form.DECIMAL, "radius of uncertainty in metres"),
        Variable("geolocSource", Form.TEXT, "where the position comes from"),
        *_RADIO,
        _DUPLICATE,
    ),
    # Section 2.4
    CallbackType.SERVICE_ACKNOWLEDGE: _table(
        _TIME,
        _DEVICE,
        Variable("infoCode", Form.INTEGER, "result of the downlink, 0 for sent"),
        Variable("infoMessage", Form.TEXT, "the result in words"),
        Variable("downlinkAck", Form.FLAG, "whether the station confirmed the emission"),
        Variable("downlinkOverusage", Form.FLAG, "whether the device is over its daily quota of downlinks"),
    ),
    # Section 2.5
    CallbackType.SERVICE_REPEATER: _table(
        _TIME,
        _DEVICE,
        Variable("batt", Form.TWO_DECIMALS, "battery voltage in volt"),
        Variable("whitelistDevices", Form.INTEGER, "how many devices are repeated, 0 for all"),
        Variable("repeatedMsg", Form.INTEGER, "messages repeated since the last status frame"),
        Variable("unwantedDevices", Form.INTEGER, "devices heard and not repeated, 15 for more than 14"),
        Variable("unwantedMsg", Form.INTEGER, "messages not repeated, as a range code"),
        Variable("wrongMsg", Form.INTEGER, "messages that could not be read, as a range code"),
        Variable("overRegulMsg", Form.INTEGER, "messages dropped for regulation, as a range code"),
    ),
    # Section 2.6
    CallbackType.SERVICE_DATA_ADVANCED: _table(
        _TIME,
        _DEVICE,
        _DEVICE_TYPE_ID,
        _DATA,
        _SEQ_NUMBER,
        Variable("lqi", Form.TEXT, "link quality in a word"),
        Variable("linkQuality", Form.INTEGER, "link quality, 0 for limit to 3 for excellent, 4 for not known"),
        Variable("fixedLat", Form.DECIMAL, "latitude typed into the device's page"),
        Variable("fixedLng", Form.DECIMAL, "longitude typed into the device's page"),
        Variable("operatorName", Form.TEXT, "operator of the network that received the message"),
        Variable("countryCode", Form.INTEGER, "country of that network, ISO 3166 numeric"),
        Variable("duplicates", Form.JSON, "every reception: bsId, rssi, nbRep, snr"),
        Variable("computedLocation", Form.JSON, "computed position: lat, lng, radius, source, status"),
    ),
    # Section 2.7
    CallbackType.ERROR: _table(
        _TIME,
        _DEVICE,
        Variable("info", Form.TEXT, "what happened, in words"),
        Variable("severity", Form.TEXT, "ERROR or WARN"),
    ),
}

_TAKES_PAYLOAD: Final = frozenset(
    {CallbackType.DATA_UPLINK, CallbackType.DATA_BIDIR, CallbackType.SERVICE_DATA_ADVANCED}
)

ALL_NAMES: Final = frozenset(name for table in _OFFERED.values() for name in table)
"""Every variable that some type offers."""


def offered(callback_type: CallbackType) -> Mapping[str, Variable]:
    """The variables of a type by their names; `customData#x` is not among them."""
    return _OFFERED[callback_type]


def offering(name: str) -> tuple[CallbackType, ...]:
    """The types that offer a variable."""
    return tuple(each for each, table in _OFFERED.items() if name in table)


def takes_payload(callback_type: CallbackType) -> bool:
    """Whether a payload config may be set, and `customData#x` used."""
    return callback_type in _TAKES_PAYLOAD


def describe(callback_type: CallbackType) -> str:
    """The variables of a type as they are written, in one line."""
    return ", ".join(f"{{{name}}}" for name in _OFFERED[callback_type])
