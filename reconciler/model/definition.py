"""The canonical content of a resource, and every rule that a definition must obey.

A definition is a key, a content and a digest. The content is plain JSON, spelled like the YAML that people write
(`sendSni`, `linePattern`), settled (variables filled in, the device type's payload config inherited) and without the
fields that equal their default, so that a default added later moves no digest.

The files' loader and the engine's publish door use the same rules from here; neither trusts the other. What is not
said here about a rule is in `callbacks.md`: section 1 (types and channels), 2 (variables), 3 (payload configs),
4 (channels) and 6 (downlinks).

1. A check reports everything that is wrong, never the first only, and builds the resource when nothing is.
2. It expects the shape that `codec.definition` accepts: known fields of the right types, all words of a vocabulary
   known, required fields present or not; whether they are needed is decided here.
3. The vocabulary is complete; what the engine does not execute yet is refused by name, and not looked into.
4. Parsed texts are kept in a small cache, since callbacks of one device type share most of theirs.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, Literal, TypeAlias, TypeVar, cast

from reconciler.diagnostics import Severity
from reconciler.errors import GrammarError
from reconciler.grammar.body import parse_form_body, parse_json_body
from reconciler.grammar.payload import PayloadConfig
from reconciler.grammar.payload import problems as payload_problems
from reconciler.grammar.template import CUSTOM_DATA, Template, parse_header_value, parse_text_body
from reconciler.grammar.template import Variable as UsedVariable
from reconciler.grammar.url import UrlTemplate, parse_url
from reconciler.model.finding import SUMMARIES, Finding, finding
from reconciler.model.headers import is_forbidden, is_token
from reconciler.model.resource import Callback, CallbackType, DeviceType, DownlinkMode, Key, Method, UrlChannel
from reconciler.model.variables import ALL_NAMES, describe, offered, offering, takes_payload

__all__ = [
    "CALLBACK_DEFAULTS",
    "CHANNEL_FIELDS",
    "DEVICE_TYPE_DEFAULTS",
    "FORM_CONTENT_TYPE",
    "NAME_PATTERN",
    "SUMMARIES",
    "BodyKind",
    "Content",
    "Definition",
    "Finding",
    "JsonValue",
    "body_kind",
    "check_callback",
    "check_device_type",
    "no_such_field",
]

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
Content: TypeAlias = Mapping[str, JsonValue]
BodyKind = Literal["json", "form", "text"]

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What device types, callbacks and projects may be called."""

FORM_CONTENT_TYPE: Final = "application/x-www-form-urlencoded"

DEVICE_TYPE_DEFAULTS: Final[Content] = {"description": "", "payload": "", "keepAlive": 0, "downlink": {"mode": "none"}}
"""What a device type's content leaves out."""

CALLBACK_DEFAULTS: Final[Content] = {
    "method": "POST",
    "headers": {},
    "contentType": FORM_CONTENT_TYPE,
    "body": "",
    "subject": "",
    "message": "",
    "payload": "",
    "sendSni": False,
    "sendDuplicates": False,
    "downlinkHook": False,
    "enabled": True,
    "protect": False,
}
"""What a callback's content leaves out."""

_EVERY_CHANNEL = ("type", "channel", "payload", "enabled", "protect", "sendDuplicates")
CHANNEL_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "url": frozenset(
        (*_EVERY_CHANNEL, "method", "url", "headers", "contentType", "body", "sendSni", "downlinkHook"),
    ),
    "batch-url": frozenset((*_EVERY_CHANNEL, "method", "url", "linePattern", "sendSni", "downlinkHook")),
    "email": frozenset((*_EVERY_CHANNEL, "recipient", "subject", "message")),
}
"""The fields that a callback of each channel may have (`callbacks.md` sections 4 and 8.2)."""

SUPPORTED_TYPES: Final = frozenset({CallbackType.DATA_UPLINK})
SUPPORTED_CHANNELS: Final = frozenset({"url"})

_CALLBACK_TYPES: Final = {str(each): each for each in CallbackType}
_METHODS: Final = {str(each): each for each in Method}

# callbacks.md section 8.4: 0 or at least 1800 s.
_SHORTEST_KEEP_ALIVE: Final = timedelta(minutes=30)
# callbacks.md section 2.1 and 6.1.
_UPLINK_BYTES: Final = 12
_DOWNLINK_BYTES: Final = 8
_DOWNLINK_VARIABLES: Final[Mapping[str, int]] = {"{time}": 4, "{tapId}": 4, "{rssi}": 2}
_DOWNLINK_PART = re.compile(r"\{(?:time|tapId|rssi)\}|[0-9A-Fa-f]{2}")

# RFC 9110 section 8.3.1: type "/" subtype *( OWS ";" OWS name "=" ( token / quoted-string ) )
_MIME_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CONTENT_TYPE = re.compile(
    rf"(?P<type>{_MIME_TOKEN})/(?P<subtype>{_MIME_TOKEN})"
    rf"(?:[ \t]*;[ \t]*{_MIME_TOKEN}=(?:{_MIME_TOKEN}|\"[ !#-\[\]-~\t]*\"))*[ \t]*"
)


@dataclass(frozen=True, slots=True)
class Definition:
    """What is declared under a key; equal digests mean equal contents (`codec.content_digest`)."""

    key: Key
    content: Content
    digest: str


def body_kind(content_type: str) -> BodyKind | None:
    """How a body of this content type is written; None for one that callbacks cannot send."""
    parsed = _CONTENT_TYPE.fullmatch(content_type)
    if parsed is None:
        return None
    match parsed["type"].lower(), parsed["subtype"].lower():
        case "application", "x-www-form-urlencoded":
            return "form"
        case "application", subtype if subtype == "json" or subtype.endswith("+json"):
            return "json"
        case "text", "plain":
            return "text"
        case _:
            return None


def check_device_type(key: Key, content: Content) -> tuple[DeviceType | None, tuple[Finding, ...]]:
    """Build the device type; None when a finding is an error."""
    payload, findings = _payload(content)
    found = [*findings, *_keep_alive_findings(content), *_downlink_findings(content)]
    if _refused(found):
        return None, tuple(found)
    seconds = cast("int", content.get("keepAlive", 0))
    downlink = cast("Mapping[str, str]", content.get("downlink", {}))
    device_type = DeviceType(
        key=key,
        description=_text(content, "description"),
        payload=payload,
        keep_alive=timedelta(seconds=seconds) if seconds else None,
        downlink_mode=DownlinkMode(downlink.get("mode", "none")),
        downlink_data=downlink.get("data"),
    )
    return device_type, tuple(found)


def check_callback(key: Key, content: Content) -> tuple[Callback | None, tuple[Finding, ...]]:
    """Build the callback; None when a finding is an error."""
    callback_type = _CALLBACK_TYPES.get(_text(content, "type"))
    if callback_type not in SUPPORTED_TYPES or content.get("channel") not in SUPPORTED_CHANNELS:
        return None, tuple(_vocabulary_findings(content))
    found = [*_field_findings(content)]
    payload, findings = _payload(content)
    found += findings
    if "payload" in content and not takes_payload(callback_type):
        detail = f"A {callback_type} callback carries no payload, so that there is nothing to decode."
        found.append(finding("payload-not-of-type", ("payload",), detail, at_key=True))
    if content.get("downlinkHook") and callback_type is not CallbackType.DATA_BIDIR:
        detail = f"Devices wait for the answer of a data/bidir callback only; this one is {callback_type}."
        found.append(finding("downlink-hook-not-bidir", ("downlinkHook",), detail, at_key=True))
    channel = _url_channel(content, _Scope(callback_type, payload, broken=payload is None and bool(findings)), found)
    if channel is None or _refused(found):
        return None, tuple(found)
    callback = Callback(
        key=key,
        type=callback_type,
        channel=channel,
        payload=payload,
        enabled=bool(content.get("enabled", True)),
        send_duplicates=bool(content.get("sendDuplicates", False)),
        protect=bool(content.get("protect", False)),
    )
    return callback, tuple(found)


# What callbacks and device types share


def _text(content: Content, name: str) -> str:
    return cast("str", content.get(name, CALLBACK_DEFAULTS.get(name, "")))


def _refused(found: Sequence[Finding]) -> bool:
    return any(each.severity is Severity.ERROR for each in found)


def _broken_grammar(path: tuple[str, ...], error: GrammarError) -> Finding:
    return finding(error.code, path, error.reason, offset=error.offset, length=error.length)


def _did_you_mean(word: str, known: Sequence[str], *, shape: str = "{}", otherwise: str = "") -> str:
    near = get_close_matches(word, known, n=1)
    return f"Did you mean {shape.format(near[0])}?" if near else otherwise


def _payload(content: Content) -> tuple[PayloadConfig | None, tuple[Finding, ...]]:
    text = content.get("payload")
    return _parsed_payload(text) if isinstance(text, str) else (None, ())


@lru_cache(maxsize=1024)
def _parsed_payload(text: str) -> tuple[PayloadConfig | None, tuple[Finding, ...]]:
    errors = payload_problems(text)
    if errors:
        return None, tuple(_broken_grammar(("payload",), error) for error in errors)
    config = PayloadConfig.parse(text)
    return config, tuple(_beyond_uplink(config))


def _beyond_uplink(config: PayloadConfig) -> Iterator[Finding]:
    for name in config.decode(bytes(_UPLINK_BYTES)).missing:
        place = re.search(rf"(?<!\S){re.escape(name)}:\S*", config.text)
        detail = f"An uplink carries at most {_UPLINK_BYTES} bytes; {name} reads beyond them and will always be null."
        yield finding(
            "payload-beyond-uplink",
            ("payload",),
            detail,
            help="Check its index and its length.",
            severity=Severity.WARNING,
            offset=place.start() if place else None,
            length=place.end() - place.start() if place else 1,
        )


# Device types


def _keep_alive_findings(content: Content) -> Iterator[Finding]:
    seconds = cast("int", content.get("keepAlive", 0))
    if 0 < seconds < _SHORTEST_KEEP_ALIVE.total_seconds():
        detail = f"It is {seconds} s; the shortest silence that can be supervised is 1800 s."
        help = "Write 30m or more, or 0 to switch the supervision off."
        yield finding("keep-alive-too-short", ("keepAlive",), detail, help=help)


def _downlink_findings(content: Content) -> Iterator[Finding]:
    downlink = cast("Mapping[str, str]", content.get("downlink", {}))
    mode = downlink.get("mode", "none")
    modes = [str(each) for each in DownlinkMode]
    if mode not in modes:
        detail = f"{mode} is none of {', '.join(modes)}."
        yield finding("unknown-downlink-mode", ("downlink", "mode"), detail, help=_did_you_mean(mode, modes))
    elif mode == "direct":
        if "data" in downlink:
            yield from _downlink_data_findings(downlink["data"])
        else:
            detail = "In mode direct the network sends the same data to every device that asks, and none is given."
            yield finding("missing-key", ("downlink", "data"), detail, help='For example: data: "{time}0000{rssi}"')
    elif "data" in downlink:
        detail = f"Only mode direct sends data of its own; this is mode {mode}, and the data would never be sent."
        yield finding("downlink-data-not-direct", ("downlink", "data"), detail, at_key=True)


def _downlink_data_findings(data: str) -> Iterator[Finding]:
    path = ("downlink", "data")
    at = size = 0
    while part := _DOWNLINK_PART.match(data, at):
        size += _DOWNLINK_VARIABLES.get(part[0], 1)
        at = part.end()
    help = "It is made of hex digits, {time} and {tapId} (4 bytes each) and {rssi} (2 bytes)."
    if at < len(data):
        detail = "Here stands neither a pair of hex digits nor one of the variables that downlink data may have."
        yield finding("bad-downlink-data", path, detail, help=help, offset=at)
    elif size != _DOWNLINK_BYTES:
        detail = f"A downlink carries exactly {_DOWNLINK_BYTES} bytes; this makes {size}."
        yield finding("bad-downlink-data", path, detail, help=help)


# Callbacks


def _vocabulary_findings(content: Content) -> Iterator[Finding]:
    """Types and channels that are not known, or known and not supported yet: nothing else can be checked then."""
    callback_type, channel = _text(content, "type"), _text(content, "channel")
    if callback_type not in _CALLBACK_TYPES:
        yield _unknown_word("unknown-callback-type", "type", callback_type, list(_CALLBACK_TYPES))
    elif callback_type not in SUPPORTED_TYPES:
        detail = f"{callback_type} is a type of callback, but the engine does not execute it yet."
        help = f"Supported now: {', '.join(sorted(SUPPORTED_TYPES))}."
        yield finding("callback-type-not-supported", ("type",), detail, help=help)
    if channel not in CHANNEL_FIELDS:
        yield _unknown_word("unknown-channel", "channel", channel, list(CHANNEL_FIELDS))
    elif channel not in SUPPORTED_CHANNELS:
        detail = f"{channel} is a channel, but the engine does not send through it yet."
        help = f"Supported now: {', '.join(sorted(SUPPORTED_CHANNELS))}."
        yield finding("channel-not-supported", ("channel",), detail, help=help)


def _field_findings(content: Content) -> Iterator[Finding]:
    channel = _text(content, "channel")
    for name in sorted(content.keys() - CHANNEL_FIELDS[channel]):
        yield finding("field-not-of-channel", (name,), no_such_field(channel, name), at_key=True)
    method = _text(content, "method")
    if method not in _METHODS:
        yield _unknown_word("unknown-method", "method", method, list(_METHODS))


def no_such_field(channel: str, name: str) -> str:
    """Why a callback cannot have this field, and which can."""
    owners = [each for each, fields in CHANNEL_FIELDS.items() if name in fields]
    elsewhere = f"; it belongs to {' and '.join(owners)}" if owners else ""
    return f"A callback of channel {channel} has no {name}{elsewhere}."


def _unknown_word(code: str, name: str, word: str, known: Sequence[str]) -> Finding:
    if not word:
        return finding("missing-key", (name,), f"A callback needs its {name}: one of {', '.join(known)}.")
    return finding(code, (name,), f"{word} is none of {', '.join(known)}.", help=_did_you_mean(word, known))


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the templates of a callback may refer to; `broken` when its payload config is not known for its faults."""

    type: CallbackType
    payload: PayloadConfig | None
    broken: bool


def _url_channel(content: Content, scope: _Scope, found: list[Finding]) -> UrlChannel | None:
    method = _METHODS.get(_text(content, "method"), Method.POST)
    content_type = _text(content, "contentType")
    if "url" in content:
        url = _template(parse_url, content["url"], ("url",), scope, found)
    else:
        found.append(finding("missing-key", ("url",), "A callback of channel url needs the URL to send to."))
        url = None
    headers = _headers(cast("Mapping[str, str]", content.get("headers", {})), url, scope, found)
    body = None
    if method is Method.GET:
        for name in ("contentType", "body"):
            if name in content:
                detail = f"A GET request carries everything in its URL; its {name} would never be sent."
                help = "Take it away, or use method POST or PUT."
                found.append(finding("body-on-get", (name,), detail, help=help, at_key=True))
    else:
        body = _body(content, content_type, scope, found)
    if url is None:
        return None
    return UrlChannel(
        method=method,
        url=url,
        headers=headers,
        content_type=content_type,
        body=body,
        send_sni=bool(content.get("sendSni", False)),
        downlink_hook=bool(content.get("downlinkHook", False)),
    )


def _headers(
    headers: Mapping[str, str], url: UrlTemplate | None, scope: _Scope, found: list[Finding]
) -> tuple[tuple[str, Template], ...]:
    """The headers in the order of their names: the order of a mapping is nobody's intention."""
    parsed: list[tuple[str, Template]] = []
    seen: dict[str, str] = {}
    for name, value in sorted(headers.items(), key=lambda item: (item[0].lower(), item[0])):
        path = ("headers", name)
        lower = name.lower()
        if not is_token(name):
            detail = "The name of a header is made of letters, digits and hyphens."
            found.append(finding("bad-header-name", path, detail, at_key=True))
        elif is_forbidden(name):
            found.append(finding("forbidden-header", path, _why_forbidden(lower), at_key=True))
        elif lower in seen:
            detail = f"{name} and {seen[lower]} are the same header: the case of letters does not count in its name."
            found.append(finding("duplicate-header", path, detail, help="Keep one of them.", at_key=True))
        elif lower == "authorization" and url is not None and url.userinfo is not None:
            detail = "The URL holds a login, which is sent as an Authorization header too; a request can have only one."
            help = "Take the login out of the URL, or the header away."
            found.append(finding("credentials-twice", path, detail, help=help, at_key=True))
        seen.setdefault(lower, name)
        template = _template(parse_header_value, value, path, scope, found)
        if template is not None:
            parsed.append((name, template))
    return tuple(parsed)


def _why_forbidden(lower: str) -> str:
    if lower == "content-type":
        return "The content type of a body is declared by contentType, so that the body can be checked against it."
    return "Standard request headers belong to the protocol; of them, only Authorization can be set by a callback."


_BODY_PARSERS: Final[Mapping[BodyKind, Callable[[str], Template]]] = {
    "json": parse_json_body,
    "form": parse_form_body,
    "text": parse_text_body,
}


def _body(content: Content, content_type: str, scope: _Scope, found: list[Finding]) -> Template | None:
    kind = body_kind(content_type)
    if kind is None:
        detail = "A body can be JSON, a form or plain text; only then it is known how values have to be escaped in it."
        help = f"Supported: application/json, {FORM_CONTENT_TYPE} and text/plain, with parameters."
        found.append(finding("content-type-not-supported", ("contentType",), detail, help=help))
        return None
    if "body" in content:
        return _template(_BODY_PARSERS[kind], content["body"], ("body",), scope, found)
    if kind == "json":
        detail = f"The content type is {content_type}, and an empty body is not JSON."
        help = """For example: body: '{"device": "{device}", "time": {time}}'"""
        found.append(finding("json-body-missing", ("contentType",), detail, help=help))
    return None


# Templates

_T = TypeVar("_T", Template, UrlTemplate)


def _template(
    parse: Callable[[str], _T], text: JsonValue, path: tuple[str, ...], scope: _Scope, found: list[Finding]
) -> _T | None:
    parsed = cast("_T | GrammarError", _parsed(parse, text))
    if isinstance(parsed, GrammarError):
        found.append(_broken_grammar(path, parsed))
        return None
    known = offered(scope.type)
    for used in parsed.variables:
        if used.name not in known:
            found += _variable_findings(used, path, scope)
    return parsed


@lru_cache(maxsize=4096)
def _parsed(parse: Callable[[str], Template | UrlTemplate], text: str) -> Template | UrlTemplate | GrammarError:
    try:
        return parse(text)
    except GrammarError as error:
        # Kept without its traceback, which would keep the frames of whoever asked first.
        return error.with_traceback(None)


def _variable_findings(used: UsedVariable, path: tuple[str, ...], scope: _Scope) -> Iterator[Finding]:
    """What is wrong with a variable that the type does not offer, once for each place where it stands."""
    code, detail, help = "", "", ""
    if used.name.startswith(CUSTOM_DATA):
        declared = scope.payload.names if scope.payload else ()
        name = used.name.removeprefix(CUSTOM_DATA)
        if scope.broken or name in declared:
            return
        if not takes_payload(scope.type):
            code = "variable-not-offered"
            detail = f"A {scope.type} callback carries no payload, so that there is no {{{used.name}}}."
        elif scope.payload is None:
            code = "custom-data-without-payload"
            detail = f"{{{used.name}}} is a field of the payload, and no payload config says what those are."
            help = f"Declare it, at the callback or at its device type: payload: {name}::uint:8"
        else:
            code = "undeclared-custom-data"
            detail = f"The payload config declares {', '.join(declared)}; {name} would always be null."
            otherwise = "Declare it in the payload config."
            help = _did_you_mean(name, declared, shape=f"{{{{{CUSTOM_DATA}{{}}}}}}", otherwise=otherwise)
    elif used.name in ALL_NAMES:
        code = "variable-not-offered"
        types = " and ".join(offering(used.name))
        detail = f"{{{used.name}}} is offered by {types}; this callback is {scope.type}, and it would always be null."
        help = f"{scope.type} offers {describe(scope.type)}."
    else:
        code = "unknown-variable"
        detail = f"No callback has a variable {{{used.name}}}; it would always be null."
        otherwise = f"It can be {describe(scope.type)}."
        known = list(offered(scope.type))
        if "#" in used.name:  # only fields of a payload are written so
            known = [CUSTOM_DATA + used.name.partition("#")[2]]
        help = _did_you_mean(used.name, known, shape="{{{}}}", otherwise=otherwise)
    for offset in used.offsets:
        yield finding(code, path, detail, help=help, offset=offset, length=used.length)
