"""Until when a certificate is valid: one field of X.509 (RFC 5280 section 4.1), which `ssl` does not tell of our own.

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
        [0] version, serialNumber, signature, issuer, validity SEQUENCE { notBefore, notAfter }, … }, … }

1. What is read was accepted by OpenSSL before. What has another form all the same gives None: an age that nobody can
   tell must not keep doors shut.
"""

import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

__all__ = ["expires_at"]

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


class _Part(NamedTuple):
    """A tag, its contents, and what stands behind it (X.690 section 8.1)."""

    tag: int
    contents: bytes
    rest: bytes


def expires_at(pem: str) -> datetime | None:
    """When the first certificate of a chain ends; None when that can not be read."""
    begin = pem.find(_BEGIN)
    end = pem.find(_END, begin)
    if begin < 0 or end < 0:
        return None
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(pem[begin : end + len(_END)]))
    except (ValueError, IndexError):
        return None


def _not_after(der: bytes) -> datetime:
    part = _part(_part(_part(der).contents).contents)
    if part.tag == _VERSION:
        part = _part(part.rest)
    for _ in ("signature", "issuer", "validity"):
        part = _part(part.rest)
    after = _part(_part(part.contents).rest)
    text = after.contents.decode("ascii")
    if after.tag == _UTC_TIME:
        # RFC 5280 section 4.1.2.5.1: years from 50 on are those of the last century.
        text = ("19" if text >= "50" else "20") + text
    elif after.tag != _GENERALIZED_TIME:
        raise ValueError(f"not a time: tag {after.tag}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _part(der: bytes) -> _Part:
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start], "big")
    return _Part(der[0], der[start : start + size], der[start + size :])
