"""The operator's callbacks → messages: its variables (`callbacks.md` section 2) as a template sends them.

1. A field has the name of a variable, and its value is the variable's text, in quotes or not: what a form, a query and
   a JSON body carry reads alike. `model.variables` says what each form takes.
2. `null`, an empty text, `N/A` and `NaN` mean that the network gave no value (section 2.1).
3. Fields that are no variable of the event are passed over: templates carry fixed texts for other receivers, and
   decoded fields that this engine decodes itself. A variable of the event that does not read is refused by name.
4. The operator puts the query of a form in front of its body (section 4.1). So a field may be there twice, but not with
   two values.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from reconciler.codec.quoting import shown
from reconciler.model.message import MessageType, Refusal
from reconciler.model.resource import CallbackType
from reconciler.model.variables import Form, Variable, offered

__all__ = ["EVENTS", "Event", "read_callback"]


class Event(NamedTuple):
    """An event that the operator reports.

    `present` are the fields that a template for it has, whatever their values; `given` those that have one.
    """

    type: MessageType
    callback_type: CallbackType
    present: tuple[str, ...] = ()
    given: tuple[str, ...] = ("device", "time")


EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "uplink": Event(MessageType.DATA, CallbackType.DATA_UPLINK, ("data",)),
        # Without `ack` nothing would tell that a device asks, and no answer would ever be sent.
        "bidir": Event(MessageType.DATA, CallbackType.DATA_BIDIR, ("data", "ack")),
        "data-advanced": Event(MessageType.DATA_ADVANCED, CallbackType.SERVICE_DATA_ADVANCED),
        "status": Event(MessageType.STATUS, CallbackType.SERVICE_STATUS),
        "geoloc": Event(MessageType.GEOLOC, CallbackType.SERVICE_GEOLOC, given=("device", "time", "lat", "lng")),
        "acknowledge": Event(
            MessageType.ACKNOWLEDGE, CallbackType.SERVICE_ACKNOWLEDGE, given=("device", "time", "infoCode")
        ),
        "repeater": Event(MessageType.REPEATER, CallbackType.SERVICE_REPEATER),
        "error": Event(MessageType.ERROR, CallbackType.ERROR),
    }
)
"""By the last segment of the door's path."""

_NO_VALUE = frozenset({"", "null", "n/a", "nan"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?\Z")
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
_PLACEHOLDER = re.compile(r"\{[A-Za-z][A-Za-z0-9#_-]*\}\Z")
_WRONG: Final = object()

# Not variables, but fields that say which of our device types a device is of.
_DEVICE_TYPE = Variable("deviceType", Form.TEXT, "name of the device type")
_DEVICE_TYPE_ID = Variable("deviceTypeId", Form.TEXT, "id of the device type")


def read_callback(name: str, pairs: Iterable[tuple[str, object]]) -> Mapping[str, object] | Refusal:
    """What `read_message` reads, of one request: `name` is a key of `EVENTS`, `pairs` its query and its body."""
    event = EVENTS[name]
    table = offered(event.callback_type)
    fields: dict[str, Any] = {}
    for field, given in pairs:
        variable = table.get(field) or _of_device_type(field)
        if variable is None:
            continue
        value = _read(variable.form, given)
        if value is _WRONG:
            return _wrong(name, variable, given)
        if fields.setdefault(field, value) != value:
            reason = f"“{field}” is given twice, as {shown(fields[field])} and as {shown(value)}."
            return Refusal("contradictory-field", reason)
    without = (field for field in event.given if fields.get(field) is None)
    missing = next(without, None) or next((field for field in event.present if field not in fields), None)
    if missing is not None:
        return _missing(name, missing)
    device_type = fields.pop("deviceType", None) or fields.get("deviceTypeId")
    if device_type is None:
        reason = (
            f"Nothing says which device type this {name} is for. Add it to the URL of the callback: ?deviceType=NAME"
        )
        return Refusal("missing-field", reason)
    message = {field: value for field, value in fields.items() if value is not None and field in table}
    return {**message, "type": event.type, "deviceType": device_type}


def _of_device_type(field: str) -> Variable | None:
    return _DEVICE_TYPE if field == "deviceType" else _DEVICE_TYPE_ID if field == "deviceTypeId" else None


# Values by their form: None for no value, _WRONG for what is none


def _read(form: Form, given: object) -> object:
    if given is None:
        return None
    if isinstance(given, str):
        given = given.strip()
        if given.lower() in _NO_VALUE:
            return None
    return _READERS[form](given)


def _integer(given: object) -> object:
    if isinstance(given, str):
        return int(given) if _WHOLE.match(given) else _WRONG
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given if type(given) is int else _WRONG


def _number(given: object) -> object:
    if isinstance(given, str):
        return float(given) if _NUMBER.match(given) else _WRONG
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else _WRONG


def _text(given: object) -> object:
    """An id of nothing but digits may stand without quotes; of any other number JSON has lost how it was written."""
    return str(given) if isinstance(given, str) or (type(given) is int and given >= 0) else _WRONG


def _flag(given: object) -> object:
    if isinstance(given, str):
        return {"true": True, "false": False}.get(given.lower(), _WRONG)
    return given if isinstance(given, bool) else _WRONG


def _json(given: object) -> object:
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            return _WRONG
    return given if isinstance(given, dict | list) else _WRONG


_READERS: Mapping[Form, Callable[[object], object]] = {
    Form.INTEGER: _integer,
    Form.TWO_DECIMALS: _number,
    Form.AT_MOST_TWO_DECIMALS: _number,
    Form.DECIMAL: _number,
    Form.WHOLE_DEGREES: _number,
    Form.TEXT: _text,
    Form.FLAG: _flag,
    Form.JSON: _json,
}
_TAKES: Mapping[Form, str] = {
    Form.INTEGER: "a whole number",
    Form.TWO_DECIMALS: "a number",
    Form.AT_MOST_TWO_DECIMALS: "a number",
    Form.DECIMAL: "a number",
    Form.WHOLE_DEGREES: "a number",
    Form.TEXT: "a text",
    Form.FLAG: "true or false",
    Form.JSON: "an object or array of JSON",
}


def _wrong(name: str, variable: Variable, given: object) -> Refusal:
    field = variable.name
    if isinstance(given, str) and _PLACEHOLDER.match(given.strip()):
        reason = (
            f"“{field}” of this {name} came as {shown(given)}: the operator does not offer this variable to the"
            " callback. Take it out of the template."
        )
        return Refusal("variable-not-filled", reason)
    quotes = " Put it in quotes in the template." if variable.form is Form.TEXT else ""
    return Refusal(
        "wrong-field", f"“{field}” of this {name} takes {_TAKES[variable.form]}, not {shown(given)}.{quotes}"
    )


def _missing(name: str, field: str) -> Refusal:
    article = "an" if name[0] in "aeiou" else "a"
    reason = (
        f"“{field}” is missing, and without it {article} {name} means nothing. Add it to the template of the callback:"
        f' {field}={{{field}}} in a form, "{field}": "{{{field}}}" in JSON.'
    )
    return Refusal("missing-field", reason)
