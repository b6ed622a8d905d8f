"""Why no answer came: the reasons of `Unreachable`, each with its meaning.

1. A reason is a slug to branch and to count on; it says what kind of thing happened, never to whom.
2. A detail is one or two sentences for the person who runs the receiver: what happened, and what would help. It holds
   names, addresses, numbers and the server's own words about TLS and mail; never a path, a query, a header's value or a
   secret.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from reconciler.model.delivery import Unreachable

__all__ = ["REASONS", "Reason", "unreachable"]


class Reason(StrEnum):
    """The slugs; `REASONS` says what each means."""

    ANSWER_HEADERS_TOO_LARGE = "answer-headers-too-large"
    BAD_MAIL_ADDRESS = "bad-mail-address"
    BAD_REQUEST_TEXT = "bad-request-text"
    BAD_SIGNING_KEY = "bad-signing-key"
    CLOSING = "closing"
    CONNECTION_REFUSED = "connection-refused"
    CONNECTION_RESET = "connection-reset"
    DEADLINE = "deadline"
    FORBIDDEN_ADDRESS = "forbidden-address"
    MAIL_NOT_CONFIGURED = "mail-not-configured"
    MAIL_REFUSED = "mail-refused"
    NETWORK_UNREACHABLE = "network-unreachable"
    NOT_HTTP = "not-http"
    NOT_SMTP = "not-smtp"
    SECRET_MISSING = "secret-missing"
    TLS_CERTIFICATE = "tls-certificate"
    TLS_HANDSHAKE = "tls-handshake"
    UNRESOLVED = "unresolved"


REASONS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.ANSWER_HEADERS_TOO_LARGE: "The answer's headers were longer than the engine reads.",
        Reason.BAD_MAIL_ADDRESS: "A recipient's address is none that mail can be sent to; the mail was not sent.",
        Reason.BAD_REQUEST_TEXT: "The request would not have been a valid HTTP request; it was not sent.",
        Reason.BAD_SIGNING_KEY: "A secret that signs the request is no signing key; the request was not sent.",
        Reason.CLOSING: "The engine was stopping; the request was not sent, or its answer no longer awaited.",
        Reason.CONNECTION_REFUSED: "Nothing listens at the address and port.",
        Reason.CONNECTION_RESET: "The connection ended before a whole answer had come.",
        Reason.DEADLINE: "No whole answer came in time; the detail says how far it got.",
        Reason.FORBIDDEN_ADDRESS: "The host is at an address that deliveries may not be sent to.",
        Reason.MAIL_NOT_CONFIGURED: "The engine was given no mail server; the mail was not sent.",
        Reason.MAIL_REFUSED: "The mail server refused the mail, its sender, its recipient or the login.",
        Reason.NETWORK_UNREACHABLE: "No way leads to the address.",
        Reason.NOT_HTTP: "What answered does not speak HTTP/1.1.",
        Reason.NOT_SMTP: "What answered does not speak SMTP.",
        Reason.SECRET_MISSING: "A secret that the request needs is not set; the request was not sent.",
        Reason.TLS_CERTIFICATE: "The server's certificate cannot be trusted.",
        Reason.TLS_HANDSHAKE: "No encrypted connection came about.",
        Reason.UNRESOLVED: "The host's name leads to no address.",
    }
)


def unreachable(reason: Reason, detail: str) -> Unreachable:
    """The outcome, with the reason as a plain string, as stores and codecs keep it."""
    return Unreachable(reason.value, detail)
