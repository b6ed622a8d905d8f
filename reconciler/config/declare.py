"""The content of a definition → what a document says of it: the way back from `config.content`.

1. Seconds become durations in the largest unit that fits; defaults stay unsaid.
2. A callback whose payload config is that of its device type inherits it. One that has none where it would inherit
   says so by an empty one.
3. Keys come in the order of `config.order`, so that a new document is in canonical form.
"""

from collections.abc import Mapping
from typing import Final, cast

from reconciler.config.content import callback_content
from reconciler.config.document import API_VERSION
from reconciler.config.order import SHAPES, Shape
from reconciler.config.place import Plain
from reconciler.config.spell import STEP, entry
from reconciler.model.definition import Content, JsonValue
from reconciler.model.resource import Key

__all__ = ["callback_value", "device_type_text", "field_value"]

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def field_value(name: str, content: JsonValue) -> Plain:
    """What a document says for a field of a content."""
    if name == "keepAlive":
        seconds = cast("int", content)
        return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds and seconds % size == 0), 0)
    return cast("Plain", dict(content) if isinstance(content, Mapping) else content)


def callback_value(content: Content, *, inherited: str) -> dict[str, Plain]:
    """What a document says of a callback below a device type whose payload config is `inherited`."""
    shape = SHAPES["DeviceType"].below("callbacks").below("")
    value = {name: field_value(name, content[name]) for name in _in_order(content, shape)}
    if content.get("payload") == inherited:
        unsaid = {name: each for name, each in value.items() if name != "payload"}
        if callback_content(unsaid, inherited=inherited).get("payload") == inherited:
            return unsaid
    elif callback_content(value, inherited=inherited).get("payload") != content.get("payload"):
        return dict(sorted([*value.items(), ("payload", "")], key=lambda each: shape.place(each[0])))
    return value


def device_type_text(name: str, contents: Mapping[Key, Content]) -> str:
    """A document that declares a device type and its callbacks, in canonical form."""
    shape = SHAPES["DeviceType"]
    own = contents.get(Key(name), {})
    lines = [f"apiVersion: {API_VERSION}", "kind: DeviceType", *entry("name", name)]
    for field in _in_order(own, shape):
        lines += entry(field, field_value(field, own[field]))
    callbacks = {key.callback: content for key, content in contents.items() if key.callback}
    if callbacks:
        lines += ["", "callbacks:"]
    for index, (callback, content) in enumerate(callbacks.items()):
        value = callback_value(content, inherited=str(own.get("payload", "")))
        lines += [*([""] if index else []), *entry(callback, value, column=STEP)]
    return "\n".join(lines) + "\n"


def _in_order(content: Content, shape: Shape) -> list[str]:
    return sorted(content, key=shape.place)
