"""Signatures of requests after Standard Webhooks, version 1 (standardwebhooks.com): symmetric, HMAC-SHA256.

1. Signed is `id.timestamp.body`: the delivery's id, the seconds of the attempt, and the bytes of the body as they are
   sent. A retry has the same id and another time, so that a receiver may refuse what is old and knows what is repeated.
2. A key is a secret of 24 to 64 bytes in base64, behind `whsec_` or by itself, its padding as one likes. While it is
   replaced there are several, and a signature of each; the receiver takes any.
3. Keys become bytes here, while a request is composed, and are in nothing that is kept.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable
from datetime import datetime
from typing import Final

from reconciler.model.delivery import Signature

__all__ = ["BadKey", "signature_lines"]

_PREFIX: Final = "whsec_"
_SHORTEST, _LONGEST = 24, 64


class BadKey(ValueError):
    """A secret is no key. It never leaves the channel."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def signature_lines(signature: Signature, body: bytes, *, at: datetime, secret: Callable[[str], str]) -> str:
    """The header lines of a signed request. What `secret` raises passes through.

    Raises:
        BadKey: a secret is none.
    """
    seconds = int(at.timestamp())
    signed = f"{signature.id}.{seconds}.".encode() + body
    signatures = " ".join(f"v1,{_signed(signed, _key(name, secret(name)))}" for name in signature.keys)
    return f"webhook-id: {signature.id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signatures}\r\n"


def _signed(text: bytes, key: bytes) -> str:
    return b64encode(hmac.digest(key, text, "sha256")).decode("ascii")


def _key(name: str, value: str) -> bytes:
    text = value.strip().removeprefix(_PREFIX).rstrip("=")
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Error, ValueError):
        raise BadKey(name) from None  # the error would carry the value
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise BadKey(name)
    return key
