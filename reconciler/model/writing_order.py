"""The order in which the fields of definitions are written: in files and in what plans list."""

from typing import Final

__all__ = ["CALLBACK_FIELDS", "DEVICE_TYPE_FIELDS"]

DEVICE_TYPE_FIELDS: Final = ("description", "keepAlive", "downlink", "payload")
"""Of a device type, from what it is to what its bytes mean."""

CALLBACK_FIELDS: Final = (
    "type",
    "channel",
    "payload",
    "method",
    "url",
    "headers",
    "signature",
    "contentType",
    "body",
    "linePattern",
    "recipient",
    "subject",
    "message",
    "downlinkHook",
    "sendSni",
    "sendDuplicates",
    "ordered",
    "enabled",
    "protect",
)
"""Of a callback, from what it is to whether it is in force."""
