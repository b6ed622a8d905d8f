"""The shape of contents that come over the wire.

A publisher may be any client, so that nothing is believed before it was looked at: known fields of the right types,
and exactly the canonical form. Whether the values make sense is `model.definition`'s question.

1. A content is canonical: a field that equals its default is left out, since it would move the digest without
   changing anything.
2. Texts are texts, flags are flags: 1 is not true, and "3600" is not a number of seconds.
3. All problems are listed, each as a sentence that names the field.
4. The same documents pass here and through the files' loader; a test feeds both the same cases.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, cast

from reconciler.codec.quoting import MAX_SHOWN, shown
from reconciler.model.definition import (
    CALLBACK_DEFAULTS,
    CHANNEL_FIELDS,
    DEVICE_TYPE_DEFAULTS,
    NAME_PATTERN,
    Content,
)
from reconciler.model.resource import CallbackType, DownlinkMode, Key, Method

__all__ = ["read_content"]

_NAME = re.compile(NAME_PATTERN)
# The largest number of seconds that the operator's API carries and every language reads alike: 100 years.
_MAX_SECONDS: Final = 100 * 365 * 86_400

_Check = Callable[[str, object], Iterator[str]]


def read_content(key: Key, value: object) -> Content | tuple[str, ...]:
    """The content of a definition, or the sentences that say why it is none."""
    problems = [*_name_problems(key)]
    fields, defaults = (
        (_CALLBACK_FIELDS, CALLBACK_DEFAULTS) if key.callback else (_DEVICE_TYPE_FIELDS, DEVICE_TYPE_DEFAULTS)
    )
    if not isinstance(value, dict):
        return (*problems, f"The content of a definition is an object, not {shown(value)}.")
    for name, given in value.items():
        check = fields.get(name) if isinstance(name, str) else None
        if check is None:
            problems.append(_unknown(str(name), fields))
            continue
        wrong = [*check(name, given)]
        problems += wrong
        if not wrong and name in defaults and given == defaults[name]:
            problems.append(f"“{name}” equals its default; a canonical content leaves it out.")
    if key.callback:
        problems += (f"“{name}” is missing." for name in ("type", "channel") if name not in value)
    return tuple(problems) if problems else cast("Content", value)


def _name_problems(key: Key) -> Iterator[str]:
    for name in (key.device_type, key.callback):
        # A device type has no callback's name.
        if not _NAME.fullmatch(name) and (name or not key.device_type):
            yield f"“{name[:MAX_SHOWN]}” cannot be a name: letters, digits, “_”, “.” and “-”, 64 characters at most."
            return


def _unknown(name: str, fields: Mapping[str, _Check]) -> str:
    near = get_close_matches(name, fields, n=1)
    hint = f"; did you mean “{near[0]}”?" if near else "."
    return f"“{name[:MAX_SHOWN]}” is not a field of this definition{hint}"


# The types of fields


def _text(name: str, given: object) -> Iterator[str]:
    if not isinstance(given, str):
        yield f"“{name}” is a text, not {shown(given)}."


def _flag(name: str, given: object) -> Iterator[str]:
    if not isinstance(given, bool):
        yield f"“{name}” is true or false, not {shown(given)}."


def _seconds(name: str, given: object) -> Iterator[str]:
    if type(given) is not int or not 0 <= given <= _MAX_SECONDS:
        yield f"“{name}” is a whole number of seconds from 0 to {_MAX_SECONDS}, not {shown(given)}."


def _one_of(*words: str) -> _Check:
    def check(name: str, given: object) -> Iterator[str]:
        if given not in words:
            yield f"“{name}” is one of {', '.join(words)}, not {shown(given)}."

    return check


def _texts(name: str, given: object) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"“{name}” is an object of texts, not {shown(given)}."
        return
    for key, value in given.items():
        yield from _text(f"{name}.{str(key)[:MAX_SHOWN]}", value)


def _downlink(name: str, given: object) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"“{name}” is an object, not {shown(given)}."
        return
    for field in given.keys() - _DOWNLINK_FIELDS.keys():
        yield _unknown(str(field), _DOWNLINK_FIELDS)
    for field, check in _DOWNLINK_FIELDS.items():
        if field in given:
            yield from check(f"{name}.{field}", given[field])
    if "mode" not in given:
        yield f"“{name}.mode” is missing."


_DOWNLINK_FIELDS: Final[Mapping[str, _Check]] = {"mode": _one_of(*DownlinkMode), "data": _text}
_DEVICE_TYPE_FIELDS: Final[Mapping[str, _Check]] = {
    "description": _text,
    "payload": _text,
    "keepAlive": _seconds,
    "downlink": _downlink,
}
_CALLBACK_FIELDS: Final[Mapping[str, _Check]] = {
    "type": _one_of(*CallbackType),
    "channel": _one_of(*CHANNEL_FIELDS),
    "method": _one_of(*Method),
    "headers": _texts,
    **dict.fromkeys(("sendSni", "sendDuplicates", "downlinkHook", "ordered", "enabled", "protect"), _flag),
    **dict.fromkeys(
        ("url", "signature", "contentType", "body", "linePattern", "recipient", "subject", "message"), _text
    ),
    "payload": _text,
}
