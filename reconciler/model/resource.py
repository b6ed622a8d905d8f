"""What people declare: device types and their callbacks, as values that are valid because they exist.

1. A callback belongs to a device type, never to one device (`callbacks.md` section 1). Its identity is its `Key`.
2. Templates and payload configs inside are already parsed; `model.definition` is the only place that builds them.
3. A secret is a reference by name; its value exists only inside a channel, at the moment of sending.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Literal, NamedTuple, Self

from reconciler.grammar.batch_url import BatchUrl
from reconciler.grammar.payload import PayloadConfig
from reconciler.grammar.template import Template
from reconciler.grammar.url import UrlTemplate

__all__ = [
    "BatchUrlChannel",
    "Callback",
    "CallbackType",
    "Channel",
    "DeviceType",
    "DownlinkMode",
    "EmailChannel",
    "Key",
    "Method",
    "Resource",
    "UrlChannel",
]


class CallbackType(StrEnum):
    """Type and subtype of a callback, spelled as in the files (`callbacks.md` section 1)."""

    DATA_UPLINK = "data/uplink"
    DATA_BIDIR = "data/bidir"
    SERVICE_STATUS = "service/status"
    SERVICE_GEOLOC = "service/geoloc"
    SERVICE_ACKNOWLEDGE = "service/acknowledge"
    SERVICE_REPEATER = "service/repeater"
    SERVICE_DATA_ADVANCED = "service/data-advanced"
    ERROR = "error"


class Method(StrEnum):
    """HTTP methods that a callback may use (`callbacks.md` section 4.1)."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"


class DownlinkMode(StrEnum):
    """Who answers a device that asks for a downlink (`callbacks.md` section 6.1)."""

    DIRECT = "direct"
    CALLBACK = "callback"
    NONE = "none"
    MANAGED = "managed"


class Key(NamedTuple):
    """The identity of a resource: a device type's name, or a device type's and a callback's name.

    A device type sorts right before its callbacks. A named tuple, because nothing is compared, hashed and sorted more
    often: a data class does each in Python.
    """

    device_type: str
    callback: str = ""

    def __str__(self) -> str:
        return f"{self.device_type}/{self.callback}" if self.callback else self.device_type

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; names hold no slash, so the first one separates."""
        device_type, _, callback = text.partition("/")
        return cls(device_type, callback)

    @property
    def parent(self) -> "Key":
        """The device type that a callback belongs to; a device type is its own."""
        return Key(self.device_type)


@dataclass(frozen=True, slots=True)
class UrlChannel:
    """One HTTP request for each message (`callbacks.md` section 4.1).

    `signing_keys` names the secrets that sign it, the newest first; none for a request without a signature. `ordered`
    says whether the requests for one device go one after the other, in the order in which its messages were accepted.
    """

    method: Method
    url: UrlTemplate
    headers: tuple[tuple[str, Template], ...]
    content_type: str
    body: Template | None
    send_sni: bool
    downlink_hook: bool
    signing_keys: tuple[str, ...] = ()
    ordered: bool = False
    kind: Literal["url"] = field(default="url", init=False)


@dataclass(frozen=True, slots=True)
class BatchUrlChannel:
    """One HTTP request a second with a line for each message (`callbacks.md` section 4.2).

    `url` has the variable `{batch}` once, as the whole value of a query pair, and no other variable.
    """

    method: Method
    url: BatchUrl
    line_pattern: Template
    send_sni: bool
    downlink_hook: bool
    kind: Literal["batch-url"] = field(default="batch-url", init=False)


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """One e-mail for each message and recipient (`callbacks.md` section 4.3)."""

    recipients: tuple[str, ...]
    subject: Template
    message: Template
    kind: Literal["email"] = field(default="email", init=False)


Channel = UrlChannel | BatchUrlChannel | EmailChannel


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What devices of one kind have in common.

    `payload` is the default for callbacks that declare none; `keep_alive` is the silence after which ERROR
    callbacks fire, None for never.
    """

    key: Key
    description: str
    payload: PayloadConfig | None
    keep_alive: timedelta | None
    downlink_mode: DownlinkMode
    downlink_data: str | None
    kind: Literal["device-type"] = field(default="device-type", init=False)


@dataclass(frozen=True, slots=True)
class Callback:
    """What is sent where, when a message of a device type arrives.

    `payload` is settled: the callback's own, else its device type's. `protect` refuses deletion and replacement.
    """

    key: Key
    type: CallbackType
    channel: Channel
    payload: PayloadConfig | None
    enabled: bool
    send_duplicates: bool
    protect: bool
    kind: Literal["callback"] = field(default="callback", init=False)


Resource = DeviceType | Callback
