"""TLS to receivers and to the mail server: verified always, naming the host or not.

A callback says whether the handshake names its host (`sendSni`, `callbacks.md` section 4.1). Rules:

1. The certificate has to chain to a trusted authority and to cover the host, with and without SNI. Nothing turns that
   off; a private authority is added, not put in the place of the public ones.
2. TLS 1.2 at least (RFC 9325 section 3.1.1), ALPN `http/1.1`; none for mail, because SMTP has no registered name
   there and servers that look at ALPN refuse a foreign one.
3. Without SNI: the standard library checks a name only if it sends it, for one parameter means both. `_Unnamed` keeps
   the name back, and checks it against the certificate when the handshake is done, before a byte of a request is
   written. Setting `check_hostname` to False and nothing else, as recipes have it, would accept any certificate.
4. A certificate covers a name by its subject alternative names alone, RFC 9525 section 6: DNS names letter for letter
   without regard to case, `*` for the whole left-most label and no more; addresses only by IP entries. The common name
   counts for nothing.
5. Two contexts for the whole process: making one costs 23 ms, for it reads all public authorities. Sessions are not
   resumed: copying them costs Python more than a full handshake saves (0.89 ms against 0.72 ms).
"""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.unreachable import Reason, unreachable

__all__ = ["Tls", "covers", "explain_handshake", "public_tls"]

C = TypeVar("C", bound=ssl.SSLContext)


class Tls:
    """The two contexts, made once and shared by all connections.

    Raises:
        OSError: the file of private authorities cannot be read, or holds no certificate (`ssl.SSLError`).
    """

    __slots__ = ("_named", "_unnamed")

    def __init__(self, *, authorities: Path | None = None, alpn: Sequence[str] = ("http/1.1",)) -> None:
        self._named = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), authorities, alpn)
        self._unnamed = _strict(_Unnamed(ssl.PROTOCOL_TLS_CLIENT), authorities, alpn)
        self._unnamed.check_hostname = False  # `_CheckedAfterwards` does it

    def context(self, *, send_sni: bool) -> ssl.SSLContext:
        """The context to connect with; either way the host goes in as `server_hostname`."""
        return self._named if send_sni else self._unnamed


@lru_cache(maxsize=1)
def public_tls() -> Tls:
    """The public authorities alone, as the system knows them."""
    return Tls()


def _strict(context: C, authorities: Path | None, alpn: Sequence[str]) -> C:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # rule 4
    if alpn:
        context.set_alpn_protocols(alpn)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if authorities is not None:
        context.load_verify_locations(cafile=authorities)
    return context


class _WrongName(ssl.SSLCertVerificationError):
    """The certificate is sound, but for somebody else."""


class _CheckedAfterwards(ssl.SSLObject):
    """The TLS half of a connection that did not name its host."""

    host: str | None = None

    def do_handshake(self) -> None:
        super().do_handshake()  # raises SSLWantReadError until it is done
        certificate = self.getpeercert()
        if self.host is None or certificate is None or not covers(certificate, self.host):
            raise _WrongName("the certificate does not cover the host")


class _Unnamed(ssl.SSLContext):
    """A context whose connections leave the server_name extension out."""

    sslobject_class = _CheckedAfterwards

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> _CheckedAfterwards:
        wrapped = super().wrap_bio(incoming, outgoing, server_side, None, session)
        assert isinstance(wrapped, _CheckedAfterwards)
        wrapped.host = server_hostname.decode("ascii") if isinstance(server_hostname, bytes) else server_hostname
        return wrapped


def covers(certificate: Mapping[str, Any], host: str) -> bool:
    """Whether a certificate, as `getpeercert` tells it, is for this name or address."""
    address = _address(host.partition("%")[0])
    if address is None:
        return any(_same_name(pattern, host) for pattern in _alternative_names(certificate, "DNS"))
    # OpenSSL writes IPv6 addresses in full, with capital letters and, in some versions, a line break.
    return any(_address(text.strip()) == address for text in _alternative_names(certificate, "IP Address"))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _alternative_names(certificate: Mapping[str, Any], kind: str) -> Iterable[str]:
    return [name for found, name in certificate.get("subjectAltName", ()) if found == kind]


def _same_name(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower(), host.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return pattern == host and "*" not in pattern
    suffix = pattern[1:]
    label, _, rest = host.partition(".")
    # Two labels behind the star, as OpenSSL wants: nobody is the owner of all names under a top-level domain.
    return suffix.count(".") >= 2 and "*" not in suffix and label != "" and f".{rest}" == suffix


_TRUST: Final = "a private one has to be given to the engine as trusted"
_UNKNOWN: Final = f"comes from an unknown authority, or the server leaves out the intermediate certificates; {_TRUST}"

# What to write instead, by the scheme of the URL that was tried.
_WITHOUT_TLS: Final[Mapping[str, str]] = {
    "https": "a receiver without TLS has an http:// URL",
    "smtps": "a mail server that turns to TLS with STARTTLS has an smtp+starttls:// URL",
    "smtp": "what it answered to STARTTLS was no TLS",
}

# OpenSSL's X509_V_ERR_*, `x509_vfy.h`.
_CERTIFICATE_WORDS: Final[Mapping[int, str]] = {
    9: "is not valid yet; the clock of the server or of this machine may be wrong",
    10: "has expired; it has to be renewed on the server",
    18: "is self-signed; a trusted authority has to sign it, or it has to be given to the engine as trusted",
    19: f"comes from an unknown authority; {_TRUST}",
    20: _UNKNOWN,
    21: _UNKNOWN,
    62: "is for another host",
    64: "is for another address",
}


def explain_handshake(error: OSError, host: str, *, scheme: str = "https") -> Unreachable:
    """The outcome of a handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)
        if isinstance(error, _WrongName):
            words = "is for another host; a server that has several chooses the right one with sendSni: true"
        else:
            words = _CERTIFICATE_WORDS.get(code, f"was refused: {getattr(error, 'verify_message', 'no reason given')}")
        return unreachable(Reason.TLS_CERTIFICATE, f"The certificate of {host} {words}.")
    if not isinstance(error, ssl.SSLError):
        detail = f"{host} ended the connection during the TLS handshake."
    elif error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
        detail = f"{host} does not speak TLS on this port; {_WITHOUT_TLS[scheme]}."
    else:
        words = (error.reason or "no reason given").replace("_", " ").lower()
        detail = f"The TLS handshake with {host} failed: {words}."
    return unreachable(Reason.TLS_HANDSHAKE, detail)
