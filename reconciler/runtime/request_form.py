"""A request as people and programs are shown it: by the engine's doors, by previews, by tests of callbacks. Pure.

1. Secrets appear as `${secret.NAME}`; a password that stands in a URL in clear is not shown either. A signature and
   its time are made while sending, and are shown as what they are made of.
2. What can be of several kinds says so in `kind`, and its other members depend on it.
"""

from collections.abc import Mapping
from typing import Final, assert_never
from urllib.parse import unquote

from reconciler.grammar.template import Rendered, Secret, redact
from reconciler.model.definition import JsonValue
from reconciler.model.delivery import BatchLine, HttpRequest, Mail, Request

__all__ = ["request_json"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def request_json(request: Request) -> Mapping[str, JsonValue]:
    """What is sent; a line of a batch shows itself, and the URL in which the lines will stand for `{batch}`."""
    match request:
        case HttpRequest():
            return {
                "kind": request.kind,
                "method": request.method,
                "url": f"{_origin(request)}{redact(request.target)}",
                "headers": {name: redact(value) for name, value in request.headers}
                | _authorization(request)
                | _signature(request),
                "body": None if request.body is None else redact(request.body),
                "sendSni": request.send_sni,
            }
        case BatchLine():
            before, after = redact(request.before), redact(request.after)
            return {
                "kind": request.kind,
                "method": request.method,
                "url": f"{_origin(request)}{redact(request.path)}?{before}{{batch}}{after}",
                "headers": _authorization(request),
                "line": _decoded(request.line),
                "sendSni": request.send_sni,
            }
        case Mail():
            return {
                "kind": request.kind,
                "recipient": request.recipient,
                "recipients": request.recipients,
                "subject": redact(request.subject),
                "text": redact(request.text),
            }
        case _:
            assert_never(request)


def _origin(request: HttpRequest | BatchLine) -> str:
    """Scheme and authority as somebody would write them: without the port that the scheme has anyway."""
    host = f"[{request.host}]" if ":" in request.host else request.host
    authority = host if request.port == _DEFAULT_PORTS.get(request.scheme) else f"{host}:{request.port}"
    return f"{request.scheme}://{authority}"


def _authorization(request: HttpRequest | BatchLine) -> dict[str, str]:
    """The header that the channel makes of a URL's credentials."""
    return {} if request.credentials is None else {"Authorization": f"Basic {_without_password(request.credentials)}"}


def _signature(request: HttpRequest) -> dict[str, str]:
    """The headers that the channel makes of a signature."""
    if request.signature is None:
        return {}
    return {
        "webhook-id": request.signature.id,
        "webhook-timestamp": "(when it is sent)",
        "webhook-signature": " ".join(f"v1,***(${{secret.{name}}})" for name in request.signature.keys),
    }


def _decoded(line: Rendered) -> str:
    """A line as its author and the values have it."""
    return redact(unquote(line) if isinstance(line, str) else tuple(_plain(part) for part in line))


def _plain(part: str | Secret) -> str | Secret:
    return unquote(part) if isinstance(part, str) else part


def _without_password(credentials: Rendered) -> str:
    """`login:***` for what stands in clear; references to secrets hide nothing and are shown."""
    if isinstance(credentials, str):
        return f"{credentials.partition(':')[0]}:***"
    return redact(credentials)
