"""The canonical content of a definition: its fields, their defaults, and which channel has which.

A content is plain JSON, spelled like the YAML that people write (`sendSni`, `linePattern`), settled (variables filled
in, the device type's payload config inherited) and without the fields that equal their default, so that a default added
later moves no digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from reconciler.model.resource import Key

__all__ = [
    "CALLBACK_DEFAULTS",
    "CHANNEL_FIELDS",
    "DEVICE_TYPE_DEFAULTS",
    "FORM_CONTENT_TYPE",
    "NAME_PATTERN",
    "Content",
    "Definition",
    "JsonValue",
    "no_such_field",
    "text_of",
]

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
Content: TypeAlias = Mapping[str, JsonValue]

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What device types, callbacks and projects may be called."""

FORM_CONTENT_TYPE: Final = "application/x-www-form-urlencoded"

DEVICE_TYPE_DEFAULTS: Final[Content] = {"description": "", "payload": "", "keepAlive": 0, "downlink": {"mode": "none"}}
"""What a device type's content leaves out."""

CALLBACK_DEFAULTS: Final[Content] = {
    "method": "POST",
    "headers": {},
    "signature": "",
    "contentType": FORM_CONTENT_TYPE,
    "body": "",
    "subject": "",
    "message": "",
    "payload": "",
    "sendSni": False,
    "sendDuplicates": False,
    "downlinkHook": False,
    "ordered": False,
    "enabled": True,
    "protect": False,
}
"""What a callback's content leaves out."""

_EVERY_CHANNEL = ("type", "channel", "payload", "enabled", "protect", "sendDuplicates")
CHANNEL_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "url": frozenset(
        (
            *_EVERY_CHANNEL,
            *("method", "url", "headers", "signature", "contentType", "body", "sendSni", "downlinkHook", "ordered"),
        ),
    ),
    "batch-url": frozenset((*_EVERY_CHANNEL, "method", "url", "linePattern", "sendSni", "downlinkHook")),
    "email": frozenset((*_EVERY_CHANNEL, "recipient", "subject", "message")),
}
"""The fields that a callback of each channel may have (`callbacks.md` sections 4 and 8.2)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What is declared under a key; equal digests mean equal contents (`codec.content_digest`)."""

    key: Key
    content: Content
    digest: str


def no_such_field(channel: str, name: str) -> str:
    """Why a callback cannot have this field, and which can."""
    owners = [each for each, fields in CHANNEL_FIELDS.items() if name in fields]
    elsewhere = f"; it belongs to {' and '.join(owners)}" if owners else ""
    return f"A callback of channel {channel} has no {name}{elsewhere}."


def text_of(content: Content, name: str) -> str:
    """A text of a content, its default when it is left out."""
    return cast("str", content.get(name, CALLBACK_DEFAULTS.get(name, "")))
