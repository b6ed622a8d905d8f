"""The variables of a message, in the text forms that they have on the wire: `callbacks.md` section 2.

1. What the network did not give is absent here, and renders as `null` (section 2.1).
2. A form goes by type of callback and name: the position of a station (DATA, STATUS) is told in whole degrees, one that
   was computed (GEOLOC) or typed in (DATA_ADVANCED) as precisely as it was given.
3. The operator describes `rssi`, `snr`, `batt` and `temp` in the same words, a float with at most two decimals, and of
   the former every capture has two (`-135.00`, `10.50`). So the latter have two as well: `3.20`, `21.00`.
4. Numbers have no exponent. A position keeps a decimal though it be zero (`0.0`, section 2.6); a radius of whole metres
   has none, as in the captured `"radius":7800`.
5. `signal` and `avgSignal` are what `snr` and `avgSnr` were called until 2016 (section 2.1): each stands for the other.
6. `lqi` is in capitals, as documented; one capture has `Limit` (section 11: receivers must ignore case).
7. `duplicate` is the engine's to say: false for the first reception of a message, true for every other, whatever the
   network thought.
8. A field that does not fit the payload is `null`, and the delivery carries a warning (section 3.3).

Which variables are wanted, and in which form, is found out once (`readings`); per message nothing else is looked at.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from reconciler.grammar.escape import Json
from reconciler.grammar.payload import PayloadConfig, Value
from reconciler.model.message import Message
from reconciler.model.resource import CallbackType
from reconciler.model.variables import Form, offered

__all__ = ["Reading", "Values", "add_custom_data", "readings", "values_of"]

Values = Mapping[str, Value]
"""Variables by name, `customData#name` among them."""

Converter = Callable[[Value], Value]


class Reading(NamedTuple):
    """How a variable is taken from a message's metadata: where it stands there, and what makes its text form."""

    name: str
    source: str
    convert: Converter | None


def values_of(message: Message, wanted: Iterable[Reading], *, duplicate: bool) -> dict[str, Value]:
    """What every event has, and of its metadata what is wanted; the later reading of a name wins."""
    values: dict[str, Value] = {
        "time": message.time,
        "device": message.device,
        "deviceTypeId": message.device_type,
        "data": message.data.hex(),
        "seqNumber": message.sequence_number,
        "duplicate": duplicate,
    }
    metadata = message.metadata
    for name, source, convert in wanted:
        given = metadata.get(source)
        if given is not None:
            values[name] = given if convert is None else convert(given)
    return values


def readings(callback_type: CallbackType, used: Iterable[str]) -> tuple[Reading, ...]:
    """What callbacks of this type take from metadata, of the variables `used`."""
    table = offered(callback_type)
    return tuple(
        Reading(name, source, _CONVERTERS.get(name) or _FORMS.get(table[name].form))
        for name in sorted(used)
        if name in table and name not in _NOT_METADATA
        for source in _SOURCES.get(name, (name,))
        if source in table
    )


def add_custom_data(values: dict[str, Value], config: PayloadConfig, message: Message) -> tuple[str, ...]:
    """Put the fields of the payload among the variables as `customData#name`; a warning for each that is `null`."""
    missing = config.decode_into(values, message.data)
    return _missing_fields(config, missing, message) if missing else ()


def _missing_fields(config: PayloadConfig, missing: Iterable[str], message: Message) -> tuple[str, ...]:
    size = f"{len(message.data)} byte{'' if len(message.data) == 1 else 's'}"
    return tuple(
        f"The field {name} does not fit the payload of {size}; the payload config needs {config.size}. It is null."
        for name in missing
    )


# Text forms. What is no number stays as it is: the oldest pages let avgSnr be `N/A`.


def _two_decimals(given: Value) -> Value:
    return Json(f"{given:.2f}") if isinstance(given, (float, int)) else given


def _whole(given: Value) -> Value:
    return round(given) if isinstance(given, float) else given


def _decimal(given: Value) -> Value:
    """The shortest text that reads back as the same number, with a decimal and without an exponent."""
    if not isinstance(given, (float, int)):
        return given
    text = repr(float(given))
    return Json(f"{Decimal(text):f}" if "e" in text else text)


def _metres(given: Value) -> Value:
    return round(given) if isinstance(given, float) and given.is_integer() else _decimal(given)


def _capitals(given: Value) -> Value:
    return given.upper() if isinstance(given, str) else given


_FORMS: Final[Mapping[Form, Converter]] = {
    Form.TWO_DECIMALS: _two_decimals,
    Form.AT_MOST_TWO_DECIMALS: _two_decimals,
    Form.WHOLE_DEGREES: _whole,
    Form.INTEGER: _whole,
    Form.DECIMAL: _decimal,
}
_CONVERTERS: Final[Mapping[str, Converter]] = {"radius": _metres, "lqi": _capitals}
# The variable's own name last, so that it wins.
_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "snr": ("signal", "snr"),
    "signal": ("snr", "signal"),
    "avgSnr": ("avgSignal", "avgSnr"),
    "avgSignal": ("avgSnr", "avgSignal"),
}
# `deviceTypeId` is not among them: the network may give one, else it is the name of the device type.
_NOT_METADATA: Final = frozenset({"time", "device", "data", "seqNumber", "duplicate"})
