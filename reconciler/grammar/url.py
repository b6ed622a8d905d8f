"""The URL of a callback: a fixed scheme, host and port, and templates for what comes behind them.

Where a request goes is decided when the URL is written, never by a message (`callbacks.md` section 4.1, RFC 3986):

1. http or https, a host, a port from 1 to 65535. No variable and no secret in any of them.
2. `login:password@` becomes Basic credentials; secrets may stand there, variables may not. Percent-encoding is undone
   in what the author wrote; a secret is taken as it is. A login without a colon has an empty password, unless a secret
   is part of it: then the secret brings the colon.
3. Up to the first `?` a value is escaped for a path, behind it for a query. A path segment of `..` and variables is
   refused, because empty values would let it climb.
4. No fragment, since none is ever sent; the `#` of `{customData#x}` is part of a name. No blanks, no control
   characters.
5. Other characters that a URL cannot hold are percent-encoded where the author wrote them; `%XX` is kept.
6. A host outside ASCII is taken by its IDNA name (the standard library's, IDNA 2003), an IPv6 address in its short
   form. A host that ends in a number is an IPv4 address in its usual form: `0x7f.1`, `017700000001` and `2130706433`
   mean one address to some resolvers, another or none to others (URL Standard section 3.5).

Thousands of callbacks send to a few servers, so that what stands in front of the path is read once for all of them.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import unquote

from reconciler.errors import GrammarError
from reconciler.grammar.escape import CONTROL, Context, literal_in_path, literal_in_query
from reconciler.grammar.payload import Value
from reconciler.grammar.template import (
    Reference,
    Rendered,
    Template,
    Variable,
    join,
    scan,
    segments,
    with_stand_ins,
)

__all__ = ["UrlTemplate", "parse_url"]

_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

_SHAPE = re.compile(
    r"(?P<scheme>[^:/?#]*)://(?:(?P<userinfo>[^/?#]*)@)?(?P<host>\[[^\]/?#@]*\]|[^:/?#@]*)(?P<rest>[^/?#]*)"
    r"(?P<path>[^?#]*)(?:(?P<mark>\?)(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
_USERINFO = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:\x00-]|%[0-9A-Fa-f]{2})*")
_PORT = re.compile(r":0*([0-9]{1,5})")
_MAX_PORT: Final = 65_535

# RFC 1035 section 2.3.4. Underscores are no host name by the letter, but container networks are full of them.
_MAX_HOST: Final = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_DOUBLE_DOT = re.compile(r"(?:\.|%2[eE]){2}")

_ORIGIN = re.compile(r"[^:/?#]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """A URL that parsed, with what is needed to build a request from it.

    Attributes:
        host: name in ASCII and lower case, or address; an IPv6 address without its brackets.
        userinfo: `login:password` of Basic credentials, decoded and without variables.
        path: at least `/` when rendered.
        query: what stands behind the first `?`, `None` without one; a form body gets it put in front.
        target: path and query in one, as the request line has them.
    """

    text: str
    scheme: str
    host: str
    port: int
    userinfo: Template | None
    path: Template
    query: Template | None
    target: Template

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def names(self) -> Set[str]:
        """The names of the variables."""
        return self.target.names

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables of path and query."""
        return self.target.variables

    @property
    def secrets(self) -> frozenset[str]:
        """The secrets of credentials, path and query."""
        return self.target.secrets | (self.userinfo.secrets if self.userinfo else frozenset())

    def render(self, values: Mapping[str, Value]) -> Rendered:
        """The whole URL without its credentials, which travel in a header."""
        return join(f"{self.scheme}://{self.authority}", self.target.render(values))


def parse_url(text: str) -> UrlTemplate:
    """The URL of a callback.

    Raises:
        GrammarError: one of the rules above is broken.
    """
    start = _ORIGIN.match(text)
    origin = _origin(start[0]) if start else None
    if start is None or origin is None or not text.isprintable() or " " in text or _may_climb(text):
        return _whole(text)
    references = scan(text)
    if "#" in text and text.count("#") > sum("#" in reference.name for reference in references):
        return _whole(text)
    mark = text.find("?", start.end())
    return _complete(text, origin, references, start.end(), None if mark < 0 else mark)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What stands in front of a path."""

    scheme: str
    host: str
    port: int
    userinfo: Template | None


@lru_cache(maxsize=1024)
def _origin(text: str) -> _Origin | None:
    """The origin that a text is; None when something is wrong with it."""
    try:
        url = _whole(text)
    except GrammarError:
        return None
    return _Origin(url.scheme, url.host, url.port, url.userinfo)


def _may_climb(text: str) -> bool:
    """Whether a dot may stand beside a reference."""
    return "}." in text or ".{" in text or ".$" in text or "%2" in text


def _whole(text: str) -> UrlTemplate:
    """As `parse_url`, every rule in its order."""
    control = CONTROL.search(text)
    if control:
        raise GrammarError(
            "template-control-character", text, control.start(), "A URL cannot hold line breaks or control characters."
        )
    references = scan(text)
    shape = _shape(text, references)
    _refuse_blanks_and_fragment(text, shape)
    _refuse_moving_host(text, shape, references)
    _refuse_climbing(text, shape)
    scheme = _scheme(text, shape)
    userinfo = _userinfo(text, shape, references)
    host = _host(text, shape)
    port = _port(text, shape) or _DEFAULT_PORTS[scheme]
    mark = None if shape["mark"] is None else shape.start("mark")
    return _complete(text, _Origin(scheme, host, port, userinfo), references, shape.start("path"), mark)


def _complete(
    text: str, origin: _Origin, references: tuple[Reference, ...], start: int, mark: int | None
) -> UrlTemplate:
    """The URL whose path begins at `start`, and whose query, if there is one, behind `mark`."""
    path_end = len(text) if mark is None else mark
    in_path = segments(text, references, context=Context.PATH, literal=literal_in_path, start=start, end=path_end) or (
        "/",
    )
    path = Template(text[start:path_end], in_path)
    query, target = None, path
    if mark is not None:
        in_query = segments(text, references, context=Context.QUERY, literal=literal_in_query, start=mark + 1)
        query = Template(text[mark + 1 :], in_query)
        target = Template(text[start:], (*in_path, "?", *in_query))
    return UrlTemplate(text, origin.scheme, origin.host, origin.port, origin.userinfo, path, query, target)


def _bad(text: str, start: int, end: int, reason: str) -> GrammarError:
    return GrammarError("template-bad-url", text, start, reason, length=end - start)


def _shape(text: str, references: tuple[Reference, ...]) -> re.Match[str]:
    """Finds the parts in a copy where every reference is blanked out by NULs, so that offsets stay the same."""
    shape = _SHAPE.fullmatch(with_stand_ins(text, references, lambda reference: "\0" * reference.length))
    if shape is not None:
        return shape
    if references and references[0].start == 0:
        raise _moving_host(text, references[0])
    raise _bad(text, 0, len(text), "A URL begins with http:// or https://, followed by a host.")


def _refuse_blanks_and_fragment(text: str, shape: re.Match[str]) -> None:
    blank = text.find(" ")
    if blank >= 0:
        raise _bad(text, blank, blank + 1, "A URL cannot hold blanks; a blank is written as %20.")
    if shape["fragment"] is not None:
        start, end = shape.span("fragment")
        reason = "A fragment is never sent to a server; a number sign in a path or query is written as %23."
        raise GrammarError("template-url-fragment", text, start, reason, length=end - start)


def _moving_host(text: str, reference: Reference) -> GrammarError:
    reason = (
        "Where a request goes is fixed when the callback is written: no variable may stand in front of the path, "
        "and a secret only in the credentials, as in https://${secret.LOGIN}:${secret.PASSWORD}@host/."
    )
    return GrammarError("template-variable-in-host", text, reference.start, reason, length=reference.length)


def _refuse_moving_host(text: str, shape: re.Match[str], references: tuple[Reference, ...]) -> None:
    for reference in references:
        in_userinfo = shape.start("userinfo") <= reference.start < shape.end("userinfo")
        if reference.start < shape.start("path") and not (reference.secret and in_userinfo):
            raise _moving_host(text, reference)


def _scheme(text: str, shape: re.Match[str]) -> str:
    scheme = shape["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise _bad(text, 0, shape.end("scheme"), "The scheme of a URL is http or https.")
    return scheme


def _userinfo(text: str, shape: re.Match[str], references: tuple[Reference, ...]) -> Template | None:
    if not shape["userinfo"]:
        return None
    start, end = shape.span("userinfo")
    allowed = _USERINFO.match(shape.string, start, end)
    if allowed is None or allowed.end() < end:
        wrong = start if allowed is None else allowed.end()
        raise _bad(text, wrong, wrong + 1, "In login:password this character has to be percent-encoded (@ is %40).")
    parts = segments(text, references, context=Context.TEXT, literal=unquote, start=start, end=end)
    # RFC 7617 section 2 wants a colon; one that a secret brings along cannot be seen from here.
    if ":" not in shape["userinfo"] and all(isinstance(part, str) for part in parts):
        parts = (*parts, ":")
    return Template(text[start:end], parts)


def _host(text: str, shape: re.Match[str]) -> str:
    host, (start, end) = shape["host"], shape.span("host")
    if not host:
        raise _bad(text, start, start, "The host is missing.")
    if host.startswith("["):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError as error:
            raise _bad(text, start, end, "What stands in brackets has to be an IPv6 address.") from error
        if address.scope_id is not None:
            raise _bad(text, start, end, "An address in a URL cannot name a network interface.")
        return str(address)
    try:
        # The length comes first: the codec's time grows with its square.
        name = host.encode("idna").decode("ascii").lower() if len(host) <= _MAX_HOST else ""
    except UnicodeError:
        name = ""
    if len(name) > _MAX_HOST or not _HOST.fullmatch(name):
        reason = (
            "A host is an address, or a name of letters, digits and hyphens with dots between, 63 characters at most."
        )
        raise _bad(text, start, end, reason)
    if _ENDS_IN_NUMBER.fullmatch(name):
        try:
            IPv4Address(name)
        except AddressValueError as error:
            reason = "A host that ends in a number is an IPv4 address: four decimal numbers up to 255, as in 192.0.2.7."
            raise _bad(text, start, end, reason) from error
    return name


def _port(text: str, shape: re.Match[str]) -> int | None:
    start, end = shape.span("rest")
    if start == end:
        return None
    port = _PORT.fullmatch(shape["rest"])
    if port is None or not 1 <= int(port[1]) <= _MAX_PORT:
        raise _bad(text, start, end, f"A port is a colon and a number from 1 to {_MAX_PORT}, directly behind the host.")
    return int(port[1])


def _refuse_climbing(text: str, shape: re.Match[str]) -> None:
    start = shape.start("path")
    for segment in shape["path"].split("/"):
        if "\0" in segment and _DOUBLE_DOT.fullmatch(segment.replace("\0", "")):
            reason = "This path segment becomes '..' when its values are empty, and '..' leads to another path."
            raise _bad(text, start, start + len(segment), reason)
        start += len(segment) + 1
