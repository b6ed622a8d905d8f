"""What a running engine reads again: its tokens, and the certificate of its doors.

1. Files are looked at four times a second, and read when they have changed; SIGHUP reads them at once. So a token that
   is taken out of its file opens nothing a second later.
2. Tokens fail closed: a line that is no token is left out and told, a file that is gone holds none. A file that is
   there and can not be read changes nothing, because that is a mishap and no decision.
3. A certificate that can not be used changes nothing and is told; the last good one is shown meanwhile.
"""

import asyncio
import logging
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from reconciler.cli.token_file import load_tokens
from reconciler.runtime.api import audit
from reconciler.runtime.api.certificate import ServerCertificate
from reconciler.runtime.api.tokens import Tokens

__all__ = ["Reloading"]

log = logging.getLogger("reconciler.api")

_LOOK_EVERY: Final = 0.25
_Stamp: TypeAlias = tuple[int, int, int, int]


class Reloading:
    """The files of an engine that may change while it runs.

    Attributes:
        failures: readings that left something as it was, by what was read.
    """

    def __init__(self, tokens: Tokens, token_file: Path, certificate: ServerCertificate | None) -> None:
        """`tokens` are those in force; they are exchanged in place."""
        self.failures = {"tokens": 0, "certificate": 0}
        self._tokens = tokens
        self._token_file = token_file
        self._certificate = certificate
        # Tokens may have changed since they were read; reading them once more costs nothing.
        self._token_stamp: _Stamp | str | None = "unknown"
        self._certificate_stamps = self._stamps()
        self._warn_of_open_key()

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate of the doors ends; None without one."""
        return None if self._certificate is None else self._certificate.expires_at

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY)

    def look(self) -> None:
        """Read what has changed."""
        stamp = _stamp(self._token_file)
        if stamp != self._token_stamp:
            self._token_stamp = stamp
            self._read_tokens()
        stamps = self._stamps()
        if stamps != self._certificate_stamps:
            self._certificate_stamps = stamps
            self._read_certificate()

    def read(self) -> None:
        """Read everything, changed or not."""
        self._token_stamp, self._certificate_stamps = _stamp(self._token_file), self._stamps()
        self._read_tokens()
        self._read_certificate()

    def _read_tokens(self) -> None:
        try:
            tokens, findings = load_tokens(self._token_file)
        except OSError as error:
            self.failures["tokens"] += 1
            log.error("tokens.unreadable", extra={"file": str(self._token_file), "error": error.strerror})
            return
        self.failures["tokens"] += bool(findings)
        for finding in findings:
            log.error("tokens.bad-line", extra={"file": str(self._token_file), "reason": finding.detail})
        before = tuple(self._tokens)
        if set(before) != set(tokens):
            self._tokens.replace(tokens)
            audit.tokens_replaced(before, tokens)

    def _read_certificate(self) -> None:
        if self._certificate is None:
            return
        problem = self._certificate.load()
        if problem is not None:
            self.failures["certificate"] += 1
            log.error("tls.certificate-unusable", extra={"reason": problem.detail})
            return
        audit.certificate_replaced(str(self._certificate.files[0]))
        self._warn_of_open_key()

    def _warn_of_open_key(self) -> None:
        mode = None if self._certificate is None else self._certificate.open_permissions()
        if self._certificate is not None and mode is not None:
            advice = "others can use it; take that from them with chmod 600"
            log.warning("tls.key-open", extra={"file": str(self._certificate.files[1]), "mode": mode, "advice": advice})

    def _stamps(self) -> tuple[_Stamp | None, ...]:
        return () if self._certificate is None else tuple(_stamp(path) for path in self._certificate.files)


def _stamp(path: Path) -> _Stamp | None:
    """What differs when a file was written, or another one has its name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
