"""The certificate that the doors show, replaced while they are open.

1. TLS 1.2 is the oldest version that is spoken; ciphers are those that Python chooses, all with forward secrecy.
2. A new pair of certificate and key is read into a context of its own, and serves only when both fit each other.
   Handshakes from then on use it; connections that are open stay as they are.
3. A pair that can not be used changes nothing: the last good one stays.
4. No client is asked for a certificate: tokens say who comes in.
"""

import ssl
import stat
from datetime import datetime
from pathlib import Path
from typing import Final

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.api.expiry import expires_at

__all__ = ["ServerCertificate"]

_OTHERS: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_READ_BY_GROUP: Final = stat.S_IRGRP


class ServerCertificate:
    """A certificate with its chain, and its key, both files in PEM.

    Attributes:
        context: what a server listens with; it stays the same one.
        expires_at: when the one that is shown ends; None when that can not be read.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Holds nothing yet: `load` it."""
        self.context = _context()
        self.expires_at: datetime | None = None
        self._certificate = certificate
        self._key = key
        self._current = self.context
        # OpenSSL asks also when the client names no server (OpenSSL, SSL_CTX_set_tlsext_servername_callback).
        self.context.sni_callback = self._choose

    @property
    def files(self) -> tuple[Path, Path]:
        """What it is read from."""
        return self._certificate, self._key

    def load(self) -> Diagnostic | None:
        """Read both files; why they can not be used, if so, and then nothing has changed."""
        fresh = _context()
        try:
            fresh.load_cert_chain(self._certificate, self._key, password=_no_password)
            chain = self._certificate.read_text("ascii", "replace")
        except ssl.SSLError as error:
            return _unusable(self._certificate, self._key, _reason(error))
        except OSError as error:
            where = next((path for path in self.files if not _is_readable(path)), self._key)
            return _unusable(self._certificate, self._key, f"{where} can not be read: {error.strerror}.")
        except _Encrypted:
            return _unusable(self._certificate, self._key, f"The key in {self._key} is encrypted with a password.")
        self._current = fresh
        self.expires_at = expires_at(chain)
        return None

    def open_permissions(self) -> str | None:
        """The mode of the key's file, if more than its owner and the reading group may use it."""
        try:
            mode = self._key.stat().st_mode
        except OSError:  # gone again since it was read
            return None
        return f"{stat.S_IMODE(mode):04o}" if mode & _OTHERS & ~_READ_BY_GROUP else None

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


class _Encrypted(Exception):
    """OpenSSL asks for a password; without an answer of ours it would ask whoever sits at the terminal."""


def _no_password() -> str:
    raise _Encrypted


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "The key does not belong to the certificate."
    if error.reason in ("NO_START_LINE", "NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB") or error.reason is None:
        return "One of them is not in PEM form."
    return f"OpenSSL says {error.reason}."


def _unusable(certificate: Path, key: Path, reason: str) -> Diagnostic:
    return Diagnostic(
        "tls-bad-certificate",
        "The certificate of the doors can not be used",
        f"{certificate} with {key}: {reason}",
        "Give the certificate with its chain, the server's own first, and its key without a password, both in PEM:\n\n"
        "    reconciler engine serve --tls-cert FILE --tls-key FILE",
    )
