"""The fields that policies speak of: which definitions have them, and what their values are like.

They are the fields that people write, by their path (`headers.Authorization`, `downlink.mode`), and some that follow
from these: `host`, `scheme` and `port` of the URL, `key` and `kind` of the definition.

1. A field is read as the environment will hold it: overridden, settled, with its default where it is left out.
2. What is not there, or can not be known, is None: a header that nobody set, the host of a text that is no URL.
3. Names of headers count without regard to case (RFC 9110 section 5.1); a host is in lower case.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from reconciler.errors import GrammarError
from reconciler.grammar.batch_url import BatchUrl
from reconciler.grammar.url import UrlTemplate, parse_url
from reconciler.model.definition import CALLBACK_DEFAULTS, CHANNEL_FIELDS, DEVICE_TYPE_DEFAULTS, Content, JsonValue
from reconciler.model.resource import Callback, CallbackType, DownlinkMode, EmailChannel, Key, Method, Resource
from reconciler.model.variables import takes_payload

__all__ = ["FIELDS", "FIELD_PATTERN", "Field", "FieldSort", "Kind", "Reader", "field_named", "unreadable"]

Kind: TypeAlias = Literal["callback", "device-type"]

FieldSort: TypeAlias = Literal["text", "texts", "flag", "number", "duration", "mapping"]
"""What a value is: `texts` are several, each judged by itself; a duration is read in seconds."""

Reader: TypeAlias = Callable[[Key, Content, Resource | None], JsonValue]
"""Takes the value from a definition: its key, its content, and what was built of it, if that was possible."""

_EVERY: Final = frozenset(CHANNEL_FIELDS)
_TYPES: Final = frozenset(map(str, CallbackType))
_HTTP: Final = frozenset({"url", "batch-url"})
_PARTS: Final = frozenset({"host", "scheme", "port"})
_HEADER: Final = "headers."
_HEADER_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of definitions.

    Attributes:
        kinds: what has it.
        channels: which callbacks have it, if they are of one of the `types`, and no GET where it is `bodies_only`.
        source: the key of a definition that the value comes from; empty for what no key decides.
        words: all values that there are; empty where there is no such list.
    """

    name: str
    sort: FieldSort
    description: str
    read: Reader
    source: str
    kinds: tuple[Kind, ...] = ("callback",)
    channels: frozenset[str] = _EVERY
    types: frozenset[str] = _TYPES
    bodies_only: bool = False
    words: tuple[str, ...] = ()
    examples: tuple[object, ...] = ()

    def path(self, content: Content) -> tuple[str, ...]:
        """The way to what decides the value; empty where no key does."""
        if self.name.startswith(_HEADER):
            return ("headers", _header_name(content, self.name.removeprefix(_HEADER)))
        if "." in self.name:
            return tuple(self.name.split("."))
        return (self.source,) if self.source else ()


def field_named(name: str) -> Field | None:
    """The field of this name; None when definitions have none."""
    header = name.removeprefix(_HEADER)
    if header != name and re.fullmatch(_HEADER_NAME, header):
        description = f"The header {header}."
        return Field(name, "text", description, _header(header), "headers", channels=CHANNELS_OF["headers"])
    return FIELDS.get(name)


def unreadable(content: Content) -> frozenset[str]:
    """The fields that follow from a text that is not what it should be."""
    return frozenset() if _url(content, None) is not None else _PARTS


# How values are read


def _plain(name: str, default: JsonValue = None) -> Reader:
    return lambda key, content, resource: content.get(name, default)


def _of_downlink(name: str) -> Reader:
    def read(key: Key, content: Content, resource: Resource | None) -> JsonValue:
        downlink = content.get("downlink", DEVICE_TYPE_DEFAULTS["downlink"])
        return downlink.get(name) if isinstance(downlink, dict) else None

    return read


def _header(name: str) -> Reader:
    def read(key: Key, content: Content, resource: Resource | None) -> JsonValue:
        headers = content.get("headers")
        if not isinstance(headers, dict):
            return None
        return headers[name] if name in headers else headers.get(_header_name(content, name))

    return read


def _header_name(content: Content, name: str) -> str:
    """The name of a header as it is written here."""
    headers = content.get("headers")
    if not isinstance(headers, dict) or name in headers:
        return name
    lower = name.lower()
    return next((each for each in headers if each.lower() == lower), name)


def _of_url(part: Callable[[UrlTemplate | BatchUrl], JsonValue]) -> Reader:
    def read(key: Key, content: Content, resource: Resource | None) -> JsonValue:
        url = _url(content, resource)
        return None if url is None else part(url)

    return read


def _url(content: Content, resource: Resource | None) -> UrlTemplate | BatchUrl | None:
    if isinstance(resource, Callback) and not isinstance(resource.channel, EmailChannel):
        return resource.channel.url
    text = content.get("url")
    try:
        return parse_url(text) if isinstance(text, str) else None
    except GrammarError:
        return None


def _recipients(key: Key, content: Content, resource: Resource | None) -> JsonValue:
    if isinstance(resource, Callback) and isinstance(resource.channel, EmailChannel):
        return resource.channel.recipients
    text = content.get("recipient")
    return tuple(each.strip() for each in text.split(",")) if isinstance(text, str) else ()


# The fields

CHANNELS_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        name: frozenset(channel for channel, names in CHANNEL_FIELDS.items() if name in names)
        for name in frozenset[str]().union(*CHANNEL_FIELDS.values())
    }
)
"""Field of callbacks → the channels that have it."""


def _callbacks(
    name: str,
    sort: FieldSort,
    description: str,
    *examples: object,
    words: tuple[str, ...] = (),
    bodies_only: bool = False,
) -> Field:
    return Field(
        name,
        sort,
        description,
        _plain(name, CALLBACK_DEFAULTS.get(name)),
        name,
        channels=CHANNELS_OF[name],
        bodies_only=bodies_only,
        words=words,
        examples=examples,
    )


def _part_of_url(
    name: str,
    sort: FieldSort,
    description: str,
    part: Callable[[UrlTemplate | BatchUrl], JsonValue],
    *examples: object,
    words: tuple[str, ...] = (),
) -> Field:
    return Field(name, sort, description, _of_url(part), "url", channels=_HTTP, words=words, examples=examples)


def _device_types(
    name: str, sort: FieldSort, description: str, read: Reader, *examples: object, words: tuple[str, ...] = ()
) -> Field:
    source = name.partition(".")[0]
    return Field(name, sort, description, read, source, kinds=("device-type",), words=words, examples=examples)


_BOTH: Final[tuple[Kind, ...]] = ("callback", "device-type")
_METHODS: Final = tuple(map(str, Method))
_MODES: Final = tuple(map(str, DownlinkMode))

_ALL: Final = (
    Field(
        "kind",
        "text",
        "What the policy is about, callback or device-type; only in match.",
        lambda key, content, resource: "callback" if key.callback else "device-type",
        "",
        kinds=_BOTH,
        words=_BOTH,
        examples=("device-type",),
    ),
    Field(
        "key",
        "text",
        "The name of a device type, or of a device type and a callback with a slash between.",
        lambda key, content, resource: str(key),
        "",
        kinds=_BOTH,
        examples=("tracker/*", {"regex": "^[a-z0-9-]+/[a-z0-9-]+$"}),
    ),
    _callbacks("type", "text", "Which events fire the callback.", "data/*", words=tuple(map(str, CallbackType))),
    _callbacks("channel", "text", "How it is sent.", "url", {"in": ["url", "batch-url"]}, words=tuple(CHANNEL_FIELDS)),
    _callbacks("url", "text", "Where to send, as it is declared.", "https://*", {"regex": "^https://"}),
    _part_of_url("scheme", "text", "The URL's scheme.", lambda url: url.scheme, "https", words=("http", "https")),
    _part_of_url(
        "host",
        "text",
        "The URL's host, in lower case; an address of version 6 without its brackets.",
        lambda url: url.host,
        "*.example.com",
        {"in": ["ingest.example.com", "*.internal"]},
    ),
    _part_of_url("port", "number", "The URL's port, also where it is left out.", lambda url: url.port, 443),
    _callbacks("method", "text", "HTTP method.", "POST", words=_METHODS),
    _callbacks(
        "headers",
        "mapping",
        "The headers as a whole; headers.NAME is one of them, whatever the case of its letters.",
        {"present": True},
    ),
    _callbacks("signature", "text", "The secrets that sign the request.", {"present": True}),
    _callbacks("contentType", "text", "Content type of the body.", "application/json*", bodies_only=True),
    _callbacks("body", "text", "Template of the body.", {"present": True}, bodies_only=True),
    _callbacks("linePattern", "text", "Template of the line for one message.", "{device};*"),
    Field(
        "recipient",
        "texts",
        "Each address that mail is sent to.",
        _recipients,
        "recipient",
        channels=CHANNELS_OF["recipient"],
        examples=("*@example.com",),
    ),
    _callbacks("subject", "text", "Template of the subject.", {"present": True}),
    _callbacks("message", "text", "Template of the mail's text.", {"present": True}),
    Field(
        "payload",
        "text",
        "Payload config, inherited or its own.",
        _plain("payload", ""),
        "payload",
        kinds=_BOTH,
        types=frozenset(str(each) for each in CallbackType if takes_payload(each)),
        examples=({"present": True},),
    ),
    _callbacks("sendSni", "flag", "Names the host during the TLS handshake.", True),
    _callbacks("sendDuplicates", "flag", "Fires once for every station.", False),
    _callbacks("downlinkHook", "flag", "Its answer is the device's downlink.", True),
    _callbacks("ordered", "flag", "Sends what one device's messages make in their order.", True),
    _callbacks("enabled", "flag", "Whether it fires at all.", True),
    _callbacks("protect", "flag", "Refuses plans that would delete the callback.", True),
    _device_types("description", "text", "For people.", _plain("description", ""), {"present": True}),
    _device_types(
        "keepAlive",
        "duration",
        "How long a device may be silent; present unless it is 0.",
        _plain("keepAlive", 0),
        {"min": "30m", "max": "24h"},
    ),
    _device_types(
        "downlink.mode", "text", "Who answers a device that asks.", _of_downlink("mode"), "callback", words=_MODES
    ),
    _device_types(
        "downlink.data", "text", "What is sent to every device in mode direct.", _of_downlink("data"), {"present": True}
    ),
)

FIELDS: Final[Mapping[str, Field]] = MappingProxyType({each.name: each for each in _ALL})
"""All fields but single headers, by their names."""

FIELD_PATTERN: Final = f"^(?:{'|'.join(re.escape(name) for name in FIELDS)}|headers\\.{_HEADER_NAME})$"
"""What a field may be called."""
