"""Secrets that a program prints: Vault, SOPS, pass, or whatever a team has.

1. No shell: the program and its arguments are given one by one, and `{name}` in them is replaced.
2. What it prints to stdout is the value, without one line break at its end; nothing printed is no value. Its exit code
   has to be 0. Its stderr goes nowhere: programs print secrets there too, and their logs are not ours.
3. A value is used for five minutes and then read again beside the work: until that is done, and while reading fails,
   the last value stays in use. That nothing was found is believed for ten seconds.
4. It may take ten seconds, after which it is killed, with what it started. Four may run at a time, one for each name.
5. Within an event loop nobody is kept waiting: a value that is not known yet is `SecretPending`. Elsewhere the call
   blocks; then all values that are due are read again at once, for whoever asks there asks for one after the other.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from reconciler.runtime.secrets.pending import SecretPending

__all__ = ["FRESH_FOR", "PLACE", "TIMEOUT", "Command"]

log = logging.getLogger("reconciler.secrets")

PLACE: Final = "{name}"
FRESH_FOR: Final = 300.0
TIMEOUT: Final = 10.0
"""Seconds, both."""

_MISSING_FOR: Final = 10.0
_AT_ONCE: Final = 4
_LONGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A value, and until when it need not be read again."""

    value: str | None = field(repr=False)
    until: float


class Command:
    """One program for all names. Safe to call from any thread."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        timeout: float = TIMEOUT,
        fresh_for: float = FRESH_FOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arguments = tuple(arguments)
        self._timeout = timeout
        self._fresh_for = fresh_for
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(_AT_ONCE)

    def __call__(self, name: str) -> str | None:
        """The value; the last known one while it is read again.

        Raises:
            SecretPending: it is not known yet, and an event loop runs here.
        """
        known = self._known.get(name)
        if known is not None and self._clock() < known.until:
            return known.value
        if not _in_event_loop():
            for due in (name, *self._due()):
                self._read(due)
            self._read(name).result()
            return self._known[name].value
        reading = self._read(name)
        if known is None or known.value is None:
            raise SecretPending(name, reading)
        return known.value

    def _due(self) -> Sequence[str]:
        now = self._clock()
        return [name for name, known in tuple(self._known.items()) if now >= known.until]

    def _read(self, name: str) -> "Future[None]":
        """Have a value read, unless that is being done; when it is done."""
        with self._lock:
            reading = self._reading.get(name)
            known = self._known.get(name)
            if reading is None and known is not None and self._clock() < known.until:
                reading = Future()  # another thread was faster
                reading.set_result(None)
            elif reading is None:
                reading = self._reading[name] = Future()
                reading.set_running_or_notify_cancel()  # whoever stops waiting for it does not end it
                # A daemon: a program that hangs must not keep the engine from ending.
                threading.Thread(target=self._run, args=(name, reading), daemon=True).start()
        return reading

    def _run(self, name: str, reading: "Future[None]") -> None:
        value = None
        try:
            with self._turns:
                value = self._printed(name)
        finally:
            self._keep(name, value)
            reading.set_result(None)

    def _keep(self, name: str, value: str | None) -> None:
        with self._lock:
            before = self._known.get(name)
            if value is not None:
                self._known[name] = _Known(value, self._clock() + self._fresh_for)
            else:
                last = None if before is None else before.value
                self._known[name] = _Known(last, self._clock() + _MISSING_FOR)
            del self._reading[name]

    def _printed(self, name: str) -> str | None:
        """What the program prints for a name; None, and a word in the log, when that is no value."""
        try:
            output = self._output(name)
            if len(output) > _LONGEST:
                raise _Failed(f"more than {_LONGEST} bytes")
            text = output.decode()
            if text.endswith("\n"):
                text = text.removesuffix("\n").removesuffix("\r")
            if text:
                return text
            reason = "nothing was printed"
        except _Failed as failed:
            reason = failed.reason
        except OSError as error:
            reason = error.strerror or "it can not be started"
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        log.warning("secret.command-failed", extra={"secret": name, "reason": reason})
        return None

    def _output(self, name: str) -> bytes:
        process = subprocess.Popen(
            [argument.replace(PLACE, name) for argument in self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # one group, to be killed as a whole
        )
        with process:
            try:
                output, _ = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                # Not waited for yet, so that the number of its group is still its own.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise _Failed(f"no answer within {self._timeout:g} s") from None
        if process.returncode != 0:
            raise _Failed(f"exit code {process.returncode}")
        return output


class _Failed(Exception):
    """Why there is no value; nothing of what was printed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
