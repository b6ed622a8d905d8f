"""The rules of callbacks that send HTTP requests: one for each message, or one for the messages of a second.

What is not said here about a rule is in `callbacks.md` section 4.1 (URL) and 4.2 (BATCH_URL).

Callbacks differ in their URL before anything else: what was found about headers and bodies is kept for the next.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias, cast

from reconciler.diagnostics import Severity
from reconciler.errors import GrammarError
from reconciler.grammar.batch_url import parse_batch_url, parse_line_pattern
from reconciler.grammar.body import parse_form_body, parse_json_body
from reconciler.grammar.template import Template, parse_header_value, parse_text_body, scan
from reconciler.grammar.url import parse_url
from reconciler.model.content import FORM_CONTENT_TYPE, Content, text_of
from reconciler.model.finding import Finding, finding
from reconciler.model.headers import is_forbidden, is_token
from reconciler.model.resource import BatchUrlChannel, CallbackType, Method, UrlChannel
from reconciler.model.template_rules import Scope, parsed, template

__all__ = ["BodyKind", "batch_url_channel", "body_kind", "url_channel"]

BodyKind = Literal["json", "form", "text"]

# RFC 9110 section 8.3.1: type "/" subtype *( OWS ";" OWS name "=" ( token / quoted-string ) )
_MIME_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CONTENT_TYPE = re.compile(
    rf"(?P<type>{_MIME_TOKEN})/(?P<subtype>{_MIME_TOKEN})"
    rf"(?:[ \t]*;[ \t]*{_MIME_TOKEN}=(?:{_MIME_TOKEN}|\"[ !#-\[\]-~\t]*\"))*[ \t]*"
)


@lru_cache(maxsize=256)
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


# One request for each message


def url_channel(content: Content, method: Method, scope: Scope, found: list[Finding]) -> UrlChannel | None:
    """The channel of a callback; None, and findings, without a URL that can be used."""
    content_type = text_of(content, "contentType")
    if "url" in content:
        url = template(parse_url, content["url"], ("url",), scope, found)
    else:
        found.append(finding("missing-key", ("url",), "A callback of channel url needs the URL to send to."))
        url = None
    written = cast("Mapping[str, str]", content.get("headers", {}))
    headers, findings = _headers(tuple(written.items()), scope, login=url is not None and url.userinfo is not None)
    found += findings
    body = None
    if method is Method.GET:
        for name in ("contentType", "body"):
            if name in content:
                detail = f"A GET request carries everything in its URL; its {name} would never be sent."
                help = "Take it away, or use method POST or PUT."
                found.append(finding("body-on-get", (name,), detail, help=help, at_key=True))
    else:
        text = cast("str | None", content.get("body"))
        body, findings = _body(text, content_type, scope)
        found += findings
    keys, findings = _signing_keys(text_of(content, "signature"), method, tuple(written))
    found += findings
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
        signing_keys=keys,
        ordered=bool(content.get("ordered", False)),
    )


_Headers: TypeAlias = tuple[tuple[str, Template], ...]


@lru_cache(maxsize=1024)
def _headers(
    headers: tuple[tuple[str, str], ...], scope: Scope, *, login: bool
) -> tuple[_Headers, tuple[Finding, ...]]:
    """The headers in the order of their names: the order of a mapping is nobody's intention."""
    found: list[Finding] = []
    kept: list[tuple[str, Template]] = []
    seen: dict[str, str] = {}
    for name, value in sorted(headers, key=lambda item: (item[0].lower(), item[0])):
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
        elif lower == "authorization" and login:
            detail = "The URL holds a login, which is sent as an Authorization header too; a request can have only one."
            help = "Take the login out of the URL, or the header away."
            found.append(finding("credentials-twice", path, detail, help=help, at_key=True))
        seen.setdefault(lower, name)
        each = template(parse_header_value, value, path, scope, found)
        if each is not None:
            kept.append((name, each))
    return tuple(kept), tuple(found)


def _why_forbidden(lower: str) -> str:
    if lower == "content-type":
        return "The content type of a body is declared by contentType, so that the body can be checked against it."
    return "Standard request headers belong to the protocol; of them, only Authorization can be set by a callback."


# Two while a key is replaced; more would only make the header long.
_MAX_KEYS: Final = 5
_SIGNATURE_HEADERS: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
_NOTHING_SIGNED: Final[tuple[tuple[str, ...], tuple[Finding, ...]]] = ((), ())


def _signing_keys(text: str, method: Method, headers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The names of the secrets that sign a request (Standard Webhooks), in the order in which they are written."""
    return _judged_keys(text, method, headers) if text else _NOTHING_SIGNED


@lru_cache(maxsize=1024)
def _judged_keys(text: str, method: Method, headers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    path = ("signature",)
    help = "Write one or more: signature: ${secret.NEW_KEY}, ${secret.OLD_KEY}"
    if method is Method.GET:
        detail = (
            "A signature covers the body alone, and a GET request has none: anybody could put another URL in front."
        )
        help = "Take it away, or use method POST or PUT."
        return (), (finding("bad-signature", path, detail, help=help, at_key=True),)
    try:
        references = scan(text)
    except GrammarError as error:
        return (), (finding(error.code, path, error.reason, help=help, offset=error.offset, length=error.length),)
    found: list[Finding] = []
    behind, expected = 0, True
    for reference in references:
        between = text[behind : reference.start].strip()
        if not reference.secret or between != ("" if expected else ","):
            break
        behind, expected = reference.end, False
    else:
        if not text[behind:].strip() and references:
            names = tuple(reference.name for reference in references)
            if len(set(names)) < len(names) or len(names) > _MAX_KEYS:
                detail = f"Each key signs once, and {_MAX_KEYS} are enough: the new one and those that it replaces."
                found.append(finding("bad-signature", path, detail, help="Take away what is no longer needed."))
            for name in headers:
                if name.lower() in _SIGNATURE_HEADERS:
                    detail = f"{name} is written by the signature; a request can have it only once."
                    help = "Take the header away, or the signature."
                    found.append(finding("bad-signature", ("headers", name), detail, help=help, at_key=True))
            return names, tuple(found)
    detail = (
        "A signature is made with keys that only the engine and the receiver know: references to secrets with commas "
        "between, and nothing else. A key in clear would be in every file, plan and store."
    )
    return (), (finding("bad-signature", path, detail, help=help, offset=behind, length=max(len(text) - behind, 1)),)


_BODY_PARSERS: Final[Mapping[BodyKind, Callable[[str], Template]]] = {
    "json": parse_json_body,
    "form": parse_form_body,
    "text": parse_text_body,
}


@lru_cache(maxsize=1024)
def _body(text: str | None, content_type: str, scope: Scope) -> tuple[Template | None, tuple[Finding, ...]]:
    found: list[Finding] = []
    kind = body_kind(content_type)
    if kind is None:
        detail = "A body can be JSON, a form or plain text; only then it is known how values have to be escaped in it."
        help = f"Supported: application/json, {FORM_CONTENT_TYPE} and text/plain, with parameters."
        found.append(finding("content-type-not-supported", ("contentType",), detail, help=help))
        return None, tuple(found)
    if scope.type is CallbackType.SERVICE_DATA_ADVANCED and kind != "json":
        detail = (
            f"The operator's documentation asks for a JSON body here; this one is {content_type}. The engine sends it "
            "as it is declared, the operator may refuse it."
        )
        help = "Write contentType: application/json and a JSON body, object variables without quotes."
        severity = Severity.WARNING
        found.append(finding("data-advanced-not-json", ("contentType",), detail, help=help, severity=severity))
    body = None
    if text is not None:
        body = template(_BODY_PARSERS[kind], text, ("body",), scope, found)
    elif kind == "json":
        detail = f"The content type is {content_type}, and an empty body is not JSON."
        help = """For example: body: '{"device": "{device}", "time": {time}}'"""
        found.append(finding("json-body-missing", ("contentType",), detail, help=help))
    return body, tuple(found)


# One request for the messages of a second


def batch_url_channel(content: Content, method: Method, scope: Scope, found: list[Finding]) -> BatchUrlChannel | None:
    """The channel of a callback; None, and findings, without a URL and a line pattern that can be used."""
    url = line_pattern = None
    if "url" in content:
        url = parsed(parse_batch_url, content["url"], ("url",), found, help=_mended)
    else:
        detail = "A callback of channel batch-url needs the URL to send to, with {batch} for the lines."
        found.append(finding("missing-key", ("url",), detail, help='For example: url: "https://…/in?lines={batch}"'))
    if content.get("linePattern"):
        line_pattern = template(parse_line_pattern, content["linePattern"], ("linePattern",), scope, found)
    else:
        detail = "A callback of channel batch-url needs the pattern of its lines; without one all of them are empty."
        help = 'For example: linePattern: "{device};{time};{data}"'
        if scope.type not in (CallbackType.DATA_UPLINK, CallbackType.DATA_BIDIR, CallbackType.SERVICE_DATA_ADVANCED):
            help = 'For example: linePattern: "{device};{time}"'
        found.append(finding("missing-key", ("linePattern",), detail, help=help))
    if url is None or line_pattern is None:
        return None
    return BatchUrlChannel(
        method=method,
        url=url,
        line_pattern=line_pattern,
        send_sni=bool(content.get("sendSni", False)),
        downlink_hook=bool(content.get("downlinkHook", False)),
    )


def _mended(error: GrammarError) -> str:
    """What to do about a batch URL that does not parse."""
    match error.code:
        case "template-batch-missing":
            joint = "" if error.text.endswith(("?", "&")) else "&" if "?" in error.text else "?"
            return f'Put it there:\n    url: "{error.text}{joint}lines={{batch}}"'
        case "template-batch-twice":
            return "Keep one of them."
        case "template-batch-misplaced":
            return 'For example:\n    url: "https://example.com/in?key=1&lines={batch}"'
        case "template-variable-in-batch-url":
            return "Take it out of the url, and put it into linePattern."
        case _:
            return ""
