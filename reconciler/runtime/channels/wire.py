"""A request as the bytes that go over the wire.

1. Request line, Host, User-Agent, Accept, the callback's headers, Content-Length, body: one piece, for one write.
   Content-Length is there whenever there is a body, and for POST and PUT always (RFC 9110 section 8.6).
2. Everything is checked here once more, whoever checked before: a target of visible ASCII, header names that are
   tokens and not ours to write, header values without control characters (RFC 9110 sections 5.1 and 5.5). A request
   that breaks a rule is an outcome, and nothing of it is sent.
3. Secrets become text here, escaped for their place. Nothing that holds one is cached: what is the same for all
   requests of an endpoint is kept as one text (`fixed_lines`), header lines without a secret are kept in their checked
   form, and the rest is made each time. `Filling` forgets the values with the request, too.
4. A header value outside ASCII is sent as UTF-8, which RFC 9110 section 5.5 leaves open as opaque bytes.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from reconciler.grammar.template import Rendered, fill, redact
from reconciler.model.delivery import HttpRequest, Outcome, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.echo import without
from reconciler.runtime.channels.signing import BadKey, signature_lines
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.clock import utc_now

__all__ = ["Endpoint", "Filling", "SecretMissing", "compose", "fixed_lines"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# They frame the request or belong to this hop (RFC 9110 sections 7.6.1 and 10.1, RFC 9112 section 6): ours to write.
_OURS: Final = frozenset(
    {"accept", "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "user-agent"}
)


class Endpoint(NamedTuple):
    """What shares connections: where they lead, and whether the TLS handshake names the host."""

    scheme: str
    host: str
    port: int
    send_sni: bool

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class SecretMissing(LookupError):
    """A secret is not set. It never leaves the channel."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Filling:
    """The secrets of one request: looked up when their place is reached, remembered until the answer is read."""

    __slots__ = ("_basic", "_look_up", "_used")

    def __init__(self, look_up: Callable[[str], str | None]) -> None:
        self._look_up = look_up
        self._used: dict[str, str] = {}
        self._basic: tuple[str, str] | None = None  # how it may be shown, and how it was sent

    def __call__(self, name: str) -> str:
        value = self._look_up(name)
        if value is None:
            raise SecretMissing(name)
        self._used[name] = value
        return value

    def basic(self, credentials: Rendered) -> str:
        """The value of an Authorization header for `login:password` (RFC 7617; UTF-8, as its section 2.1 allows)."""
        encoded = b64encode(fill(credentials, self).encode()).decode("ascii")
        if not isinstance(credentials, str):
            self._basic = redact(credentials), encoded
        return f"Basic {encoded}"

    def without_echo(self, outcome: Outcome) -> Outcome:
        """The outcome, with `${secret.NAME}` wherever the receiver's answer repeats a secret.

        Receivers that echo a request would carry its secrets into the store. What is recognised, `echo.py` says.
        """
        if not self._used or isinstance(outcome, Unreachable):
            return outcome
        body = outcome.body
        if self._basic is not None:
            shown, sent = self._basic
            body = without(body, sent, shown=shown)  # before what is in it: the beginning may be a login's own form
        for name, value in self._used.items():
            body = without(body, value, shown=f"${{secret.{name}}}")
        return outcome if body == outcome.body else replace(outcome, body=body)


def fixed_lines(endpoint: Endpoint, user_agent: str) -> str | Unreachable:
    """What all requests to an endpoint have in common, from behind the target on."""
    if endpoint.scheme not in _DEFAULT_PORTS:
        return unreachable(Reason.BAD_REQUEST_TEXT, f"The scheme {endpoint.scheme!r} is neither http nor https.")
    if not _HOST.fullmatch(endpoint.host):
        return unreachable(Reason.BAD_REQUEST_TEXT, "The host holds characters that no host name has.")
    return f" HTTP/1.1\r\nHost: {endpoint.authority}\r\nUser-Agent: {user_agent}\r\nAccept: */*\r\n"


def compose(
    request: HttpRequest, *, fixed: str, secret: Filling, now: Callable[[], datetime] = utc_now
) -> bytes | Unreachable:
    """The bytes to send, or why there are none. `now` is asked for the time of a signature."""
    try:
        target = fill(request.target, secret)
        if not (target.startswith("/") and target.isascii() and target.isprintable()) or " " in target:
            return unreachable(Reason.BAD_REQUEST_TEXT, "The path or query holds characters that no URL can hold.")
        head = request.method + " " + target + fixed
        for name, value in request.headers:
            line = _same_line(name, value) if isinstance(value, str) else _line(name, fill(value, secret))
            if line is None:
                return _refused(name)
            head += line
        if request.credentials is not None:
            if any(name.lower() == "authorization" for name, _ in request.headers):
                return unreachable(Reason.BAD_REQUEST_TEXT, "Credentials are given in the URL and in a header.")
            head += f"Authorization: {secret.basic(request.credentials)}\r\n"
        if request.body is not None:
            body = fill(request.body, secret).encode()
            if request.signature is not None:
                head += signature_lines(request.signature, body, at=now(), secret=secret)
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        return (head + ("\r\n" if request.method is Method.GET else "Content-Length: 0\r\n\r\n")).encode()
    except SecretMissing as missing:
        detail = f"The engine has no secret {missing.name} (--secrets); give it one and replay the delivery."
        return unreachable(Reason.SECRET_MISSING, detail)
    except BadKey as bad:
        detail = f"The secret {bad.name} is no signing key: whsec_ and 24 to 64 bytes in base64. Nothing was sent."
        return unreachable(Reason.BAD_SIGNING_KEY, detail)
    except UnicodeEncodeError:
        return unreachable(Reason.BAD_REQUEST_TEXT, "The request holds half of a character (a lone surrogate).")


@lru_cache(maxsize=1024)
def _may_be_sent(name: str) -> bool:
    """Names are the author's and therefore few; only values change with each message."""
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _OURS


def _line(name: str, value: str) -> str | None:
    """A header line; None when the name or the value may not be sent."""
    if not _may_be_sent(name) or _NOT_IN_VALUE.search(value):
        return None
    return f"{name}: {value}\r\n"


# Most headers without a secret are the same in every message of a callback.
_same_line = lru_cache(maxsize=1024)(_line)


def _refused(name: str) -> Unreachable:
    if not _may_be_sent(name):
        return unreachable(Reason.BAD_REQUEST_TEXT, f"The header name {name!r} is not one that may be sent.")
    return unreachable(Reason.BAD_REQUEST_TEXT, f"The value of the header {name} holds a control character.")
