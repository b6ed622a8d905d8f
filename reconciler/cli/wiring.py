"""Where the program is put together.

1. No other module names concrete stores, targets and channels, and no other reads the environment.
2. Concrete things are imported where they are made: a verb pays for what it uses.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.cli.data_directory import make_data_directory
from reconciler.cli.terminal import Terminal, open_terminal
from reconciler.diagnostics import Diagnostic
from reconciler.errors import StoreError

if TYPE_CHECKING:
    from reconciler.cli.engine_access import EngineAccess
    from reconciler.model.delivery import Mail
    from reconciler.runtime.channels.egress import EgressPolicy
    from reconciler.runtime.channels.mail_settings import MailSettings
    from reconciler.runtime.channels.pool import Counters
    from reconciler.runtime.channels.protocol import Channel
    from reconciler.runtime.channels.tls import Tls
    from reconciler.runtime.engine import Engine
    from reconciler.runtime.retention import Keeping
    from reconciler.runtime.retry import RetryPolicy
    from reconciler.runtime.tracing import Tracing
    from reconciler.store.sqlite_check import Condition
    from reconciler.targets.protocol import Archive, Target

__all__ = [
    "EngineSettings",
    "backup_store",
    "check_store",
    "environment",
    "observer_at",
    "open_engine",
    "open_tracing",
    "run",
    "secret",
    "target_at",
    "this_terminal",
    "variable",
]

T = TypeVar("T")

_SECRET = "RECONCILER_SECRET_"
_INSTALL_TRACES = 'pip install "reconciler[otel]"'


# The environment


def environment() -> Mapping[str, str]:
    """The environment of this process, for the `{env: NAME}` of project files."""
    return os.environ


def variable(name: str) -> str | None:
    """A variable of the environment; None when it is not set or empty."""
    return os.environ.get(name) or None


def secret(name: str) -> str | None:
    """The value of `${secret.NAME}` at this moment; None when it is not set."""
    return os.environ.get(_SECRET + name)


def this_terminal(*, quiet: bool, verbose: bool) -> Terminal:
    """The terminal of this process."""
    return open_terminal(os.environ, quiet=quiet, verbose=verbose)


# Targets


def target_at(access: "EngineAccess") -> "Target":
    """The engine as a target of plans.

    Raises:
        TargetError: address or token can not be one.
    """
    from reconciler.targets.engine import EngineTarget

    return EngineTarget(access.url, access.token, token_variable=access.token_variable, authorities=access.authorities)


def observer_at(access: "EngineAccess") -> "Archive":
    """The engine to be looked at, by somebody who must not write.

    Raises:
        TargetError: address or token can not be one.
    """
    from reconciler.targets.engine import EngineObserver

    return EngineObserver(
        access.url, access.token, token_variable=access.token_variable, authorities=access.authorities
    )


# The store of an engine


def check_store(data: Path) -> "Condition":
    """What is wrong with the store in a data directory, whether or not an engine has it open.

    Raises:
        StoreError: there is none, or it can not be read.
    """
    from reconciler.store.sqlite_care import check_sqlite

    return check_sqlite(data)


def backup_store(data: Path, copy: Path) -> int:
    """Copy the store in a data directory, also while an engine has it open; the size of the copy in bytes.

    Raises:
        StoreError: it can not be copied.
    """
    from reconciler.store.sqlite_care import backup_sqlite

    return backup_sqlite(data, copy)


# The engine


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is made of.

    Attributes:
        data: the directory of its store.
        egress: where it may deliver.
        mail: the server that takes its mail; without one a mail is kept and tried again.
        authorities: a file of certificates to trust beside the public ones.
        policy: when it tries again; the operator's schedule if None.
        secrets: the value of `${secret.NAME}` (`runtime.secrets`); from the environment unless something else is asked
            for.
        keeping: how long it keeps what has ended; without end if None.
    """

    data: Path
    egress: "EgressPolicy"
    mail: "MailSettings | None" = None
    authorities: Path | None = None
    policy: "RetryPolicy | None" = None
    secrets: Callable[[str], str | None] = secret
    keeping: "Keeping | None" = None


@asynccontextmanager
async def open_engine(settings: EngineSettings, *, connections: "Counters | None" = None) -> AsyncIterator["Engine"]:
    """A running engine on the embedded store; at the end it stops in good order and lets go of everything.

    `connections` are counted there, for metrics.

    Raises:
        StoreError: the store can not be used, or the file of authorities can not be read.
    """
    import asyncio
    import random

    from reconciler.runtime.channels.dispatch import Channels
    from reconciler.runtime.channels.http import HttpChannel
    from reconciler.runtime.clock import utc_now
    from reconciler.runtime.engine import Engine
    from reconciler.runtime.fingerprints import Fingerprints, fingerprint_key
    from reconciler.runtime.lanes import Capacity
    from reconciler.runtime.retention import Remover
    from reconciler.runtime.retry import OPERATOR_POLICY
    from reconciler.store.sqlite import open_sqlite

    capacity = Capacity()
    try:
        make_data_directory(settings.data)
    except OSError as error:
        raise StoreError(f"the data directory {settings.data} can not be made: {error.strerror}") from error
    store = await open_sqlite(settings.data)
    try:
        http = HttpChannel(
            secrets=settings.secrets,
            egress=settings.egress,
            connections_per_endpoint=capacity.slots,
            tls=None if settings.authorities is None else _tls(settings, alpn=("http/1.1",)),
        )
        http.counters = connections or http.counters
        channel = Channels(http=http, mail=_mail_channel(settings))
        engine = Engine(
            store=store,
            channel=channel,
            now=utc_now,
            dice=random.random,
            policy=settings.policy or OPERATOR_POLICY,
            capacity=capacity,
            fingerprints=Fingerprints(fingerprint_key(settings.data), settings.secrets),
        )
        removing: asyncio.Task[None] | None = None
        try:
            await engine.start()
            if settings.keeping is not None:
                remover = Remover(
                    store=store,
                    keeping=settings.keeping,
                    now=utc_now,
                    follow_clock=engine.follow_clock,
                    events=engine.events,
                )
                removing = asyncio.create_task(remover.run())
            yield engine
        finally:
            if removing is not None:
                removing.cancel()
            await engine.stop()
            await channel.close()
    finally:
        await store.close()


def open_tracing(*, asked: bool | None) -> "Tracing | Diagnostic | None":
    """Traces as the variables OTEL_… say; None when there are to be none.

    Nobody has `asked` when it is None: then there are traces if a variable names a collector. One is often named for
    every program of a machine, so that an engine that can not make traces then starts all the same.
    """
    named = variable("OTEL_EXPORTER_OTLP_ENDPOINT") or variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or variable("OTEL_TRACES_EXPORTER") == "none"
    )
    if asked is False or (asked is None and (not named or off)):
        return None
    from reconciler.runtime.clock import utc_now

    try:
        from reconciler.runtime.open_telemetry import open_telemetry
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        if asked is None:
            logging.getLogger("reconciler.traces").warning("traces.not-installed", extra={"install": _INSTALL_TRACES})
            return None
        return Diagnostic(
            "traces-not-installed",
            "Traces need OpenTelemetry, which is not installed",
            "--traces asks for traces. The packages that make them come with the extra “otel”.",
            f"Install it, or leave the option out:\n\n    {_INSTALL_TRACES}",
        )
    try:
        return open_telemetry(now=utc_now)
    except (ValueError, OSError) as error:
        return Diagnostic(
            "traces-bad-settings",
            "The settings for traces can not be used",
            f"OpenTelemetry refuses what the variables OTEL_… say: {error}",
            "Correct the variable, or start without traces:\n\n    reconciler engine serve --no-traces",
        )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run an engine's work to its end, on the loop and with the interpreter settings that it was measured with."""
    import asyncio
    import gc

    import uvloop

    # The store's thread waits for the interpreter lock several times in each group; at the default of 5 ms a busy loop
    # lets it wait that long each time.
    sys.setswitchinterval(0.0005)
    # What was imported stays for ever, and a message leaves no cycles to look for. With both settings a single post
    # took 203 us of CPU, without them 242: medians of four runs each, in turns; the first pair showed no gain.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _mail_channel(settings: EngineSettings) -> "Channel[Mail] | None":
    if settings.mail is None:
        return None
    from reconciler.runtime.channels.mail import MailChannel
    from reconciler.runtime.clock import utc_now

    return MailChannel(
        settings.mail, secrets=settings.secrets, now=utc_now, tls=_tls(settings, alpn=()), egress=settings.egress
    )


def _tls(settings: EngineSettings, *, alpn: Sequence[str]) -> "Tls":
    """What to trust: the public authorities, and those of the file."""
    from reconciler.runtime.channels.tls import Tls

    try:
        return Tls(authorities=settings.authorities, alpn=alpn)
    except OSError as error:
        reason = error.strerror or "it holds no certificate in PEM form"
        raise StoreError(f"the authorities in {settings.authorities} can not be read: {reason}") from error
