"""Which mail server takes the engine's mail, and how: a value, chosen by the engine's administrator."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["DEFAULT_PORTS", "MAX_ADDRESS", "Login", "MailSettings", "Security", "is_address"]

MAX_ADDRESS: Final = 254  # characters: RFC 3696, erratum 1690

# RFC 5321 sections 4.1.2 and 4.5.3.1, without what nobody uses: quoted local parts. Addresses outside ASCII need a
# server that knows SMTPUTF8, and so does every server behind it; a domain may be written in its xn-- form. Nothing that
# looks like an encoded word (RFC 2047): some programs decode those in addresses, line ends included.
_ADDRESS = re.compile(
    rf"(?=.{{1,{MAX_ADDRESS}}}\Z)(?!.*=\?[^?]*\?[BbQq]\?)"
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-](?:\.?[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]){0,63}"
    r"@(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
    r"|\[[0-9A-Fa-fIiPpVv:.]{2,50}\])"
)


class Security(StrEnum):
    """How a connection comes to TLS; the words are the schemes of URLs.

    `OFFERED` sends without TLS when the server does not offer STARTTLS, so that it takes no login.
    """

    OFFERED = "smtp"
    STARTTLS = "smtp+starttls"
    AT_ONCE = "smtps"


DEFAULT_PORTS: Final = {Security.OFFERED: 25, Security.STARTTLS: 587, Security.AT_ONCE: 465}


@dataclass(frozen=True, slots=True)
class Login:
    """Who the engine is to the mail server."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The mail server and the sender.

    Attributes:
        host: ASCII name or address, an IPv6 address without brackets.
        sender: the address of From and of the envelope; failure notices go there.
        login: None without; never with `Security.OFFERED`.
    """

    host: str
    port: int
    security: Security
    sender: str
    login: Login | None = None


def is_address(text: str) -> bool:
    """Whether mail can be sent to it: `local@domain` in ASCII, no name, no brackets."""
    return _ADDRESS.fullmatch(text) is not None
