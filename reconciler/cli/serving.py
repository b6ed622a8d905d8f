"""Running an engine as a process: its doors, its tokens, its signals, and the order in which all of it ends.

1. What is asked for is checked before anything is opened; then the address is bound, then the store is opened, so that
   a second engine stops at the first thing it can not have.
2. The first SIGTERM or SIGINT takes nothing new and lets what is in flight end; the second ends the process at once.
   Nothing is lost either way: what was acknowledged is on disk, and an attempt that was cut off is made again.
"""

import asyncio
import logging
import re
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

from reconciler import __version__
from reconciler.cli.byte_size import bytes_of
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.log_lines import audit_to, log_to
from reconciler.cli.options import LogFormat
from reconciler.cli.reloading import Reloading
from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.render.text import plural
from reconciler.cli.terminal import Terminal
from reconciler.cli.token_file import Made, add_token, default_token_file, load_tokens
from reconciler.cli.wiring import EngineSettings, open_engine, open_tracing, run
from reconciler.diagnostics import Diagnostic
from reconciler.errors import StoreError
from reconciler.model.delivery import State
from reconciler.runtime.api.application import application
from reconciler.runtime.api.certificate import ServerCertificate
from reconciler.runtime.api.connection import Bounds
from reconciler.runtime.api.room import Disk, Room, RoomBounds
from reconciler.runtime.api.server import listen, serve
from reconciler.runtime.api.tokens import Scope, Tokens
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.pool import Counters
from reconciler.runtime.clock import utc_now
from reconciler.runtime.engine import Engine
from reconciler.runtime.tracing import Tracing

__all__ = [
    "Address",
    "DoorSettings",
    "egress_policy",
    "free_bytes",
    "listen_address",
    "serve_engine",
    "server_certificate",
]

log = logging.getLogger("reconciler.engine")

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")
# A name whose last label is written out, so that none opens everything, and is no number, so that no address that is
# mistyped counts as a name (URL Standard, section 3.5).
_EGRESS_NAME = re.compile(r"(?:[A-Za-z0-9_*-]{1,63}\.)*(?=[^.]*[A-Za-z])(?!0[xX])[A-Za-z0-9_-]{1,63}\.?")
# Nearly “private”, or what others call it or a part of it: hardly the name of a receiver.
_EGRESS_WORD = re.compile(r"[A-Za-z_-]+")
_EGRESS_WORDS = ("private", "loopback", "link-local")
_HAND_OVER_WITHIN = timedelta(seconds=3)
# What the user typed wrong, beside what the machine refuses.
_USAGE_CODES = frozenset({"listen-unknown-host", "listen-bad-port"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; an IPv6 address without brackets."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can come in."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def listen_address(text: str) -> Address | Diagnostic:
    """Read `HOST:PORT`."""
    read = _ADDRESS.fullmatch(text)
    if read is None:
        return Diagnostic(
            "listen-bad-address",
            "The address to listen on can not be read",
            f"--listen takes HOST:PORT, not “{text}”.",
            "Write it like this, an IPv6 address in brackets:\n\n    --listen 127.0.0.1:8460",
        )
    return Address(read["ipv6"] or read["host"], int(read["port"]))


def egress_policy(allowed: Sequence[str]) -> EgressPolicy | Diagnostic:
    """Read what `--allow-egress` was given: networks, names, or `private`; commas separate as repetition does."""
    words = [word.strip() for text in allowed for word in text.split(",") if word.strip()]
    networks, hosts, private = [], [], False
    for word in words:
        if word.lower() == "private":
            private = True
            continue
        try:
            networks.append(ip_network(word))
        except ValueError:
            if not _EGRESS_NAME.fullmatch(word):
                return _bad_egress(word)
            if _EGRESS_WORD.fullmatch(word) and get_close_matches(word.lower(), _EGRESS_WORDS, n=1, cutoff=0.75):
                return _mistyped_egress(word)
            hosts.append(word.lower().removesuffix("."))
    return EgressPolicy(allow_private=private, allow=tuple(networks), hosts=tuple(hosts))


def _bad_egress(word: str) -> Diagnostic:
    return Diagnostic(
        "egress-bad-network",
        "The addresses to deliver to can not be read",
        f"--allow-egress takes networks in CIDR form, names of hosts, or “private”, not “{word}”.",
        "Write a network by its first address and the length of its prefix, a name with * for any characters:\n\n"
        "    --allow-egress 10.1.0.0/16\n"
        "    --allow-egress '*.ingest.internal'",
    )


def _mistyped_egress(word: str) -> Diagnostic:
    return Diagnostic(
        "egress-bad-network",
        "The addresses to deliver to can not be read",
        f"--allow-egress knows one word, “private”, for loopback and private addresses. “{word}” is not it, and would "
        "count as the name of a host.",
        "Write the word, or, if a host is called so, its name with a dot at the end:\n\n"
        "    --allow-egress private\n"
        f"    --allow-egress {word}.",
    )


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """How the doors are kept.

    Attributes:
        token_file: one that was named; without it the data directory has one.
        certificate: what they show; without one they speak HTTP without TLS.
        room: when messages are refused.
        bounds: what clients may take of them.
        log_format: of what happens.
        traces: whether to make them; as the environment says if None.
        audit_log: a file for who changed what; without it that stands in the log.
    """

    address: Address
    token_file: Path | None = None
    certificate: ServerCertificate | None = None
    room: RoomBounds = field(default_factory=RoomBounds)
    bounds: Bounds = field(default_factory=Bounds)
    log_format: LogFormat = LogFormat.TEXT
    traces: bool | None = None
    audit_log: Path | None = None


def free_bytes(text: str) -> int | Diagnostic:
    """Read what `--min-free` was given."""
    read = bytes_of(text)
    if read is None:
        return Diagnostic(
            "size-bad",
            "The size can not be read",
            f"--min-free takes a whole number of bytes, or one with a unit such as MB or MiB, not “{text}”.",
            "Write it like this:\n\n    --min-free 512MiB",
        )
    return read


def server_certificate(certificate: Path | None, key: Path | None) -> ServerCertificate | Diagnostic | None:
    """Read what `--tls-cert` and `--tls-key` name; None without them."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--tls-cert" if certificate is None else "--tls-key"
        return Diagnostic(
            "tls-incomplete",
            "TLS needs a certificate and its key",
            f"{missing} is not given. The doors can not be opened with half of it.",
            "Give both, or neither:\n\n    reconciler engine serve --tls-cert FILE --tls-key FILE",
        )
    both = ServerCertificate(certificate, key)
    return both.load() or both


def serve_engine(terminal: Terminal, settings: EngineSettings, doors: DoorSettings) -> ExitCode:
    """Serve until told to stop; how it ended."""
    address, token_file = doors.address, doors.token_file
    path = token_file or default_token_file(settings.data)
    try:
        tokens, findings = load_tokens(path)
    except OSError as error:
        terminal.fail(f"The token file {path} can not be read: {error.strerror}.", ExitCode.FAILED)
    if findings:
        terminal.complain(diagnostics_as_text(findings, paint=terminal.paint_talk))
        return ExitCode.PROBLEMS
    if not address.is_loopback and (token_file is None or not tokens):
        terminal.complain(diagnostics_as_text([_no_tokens(address)], paint=terminal.paint_talk))
        return ExitCode.USAGE
    log_to(terminal.err, level=_log_level(terminal), form=doors.log_format)
    if doors.audit_log is not None:
        try:
            audit_to(doors.audit_log)
        except OSError as error:
            terminal.fail(f"The audit log {doors.audit_log} can not be written: {error.strerror}.", ExitCode.FAILED)
    tracing = open_tracing(asked=doors.traces)
    if isinstance(tracing, Diagnostic):
        terminal.complain(diagnostics_as_text([tracing], paint=terminal.paint_talk))
        return ExitCode.USAGE
    return run(_serve(terminal, settings, doors, tokens=tokens, token_file=path, tracing=tracing))


async def _serve(
    terminal: Terminal,
    settings: EngineSettings,
    doors: DoorSettings,
    *,
    tokens: Tokens,
    token_file: Path,
    tracing: Tracing | None,
) -> ExitCode:
    address = doors.address
    listener = listen(address.host, address.port)
    if isinstance(listener, Diagnostic):
        terminal.complain(diagnostics_as_text([listener], paint=terminal.paint_talk))
        return ExitCode.USAGE if listener.code in _USAGE_CODES else ExitCode.FAILED
    connections = Counters()
    with listener:
        async with _recorded(tracing), open_engine(settings, connections=connections) as engine:
            engine.events.tracing = tracing
            if not tokens:
                tokens = _first_token(terminal, token_file)
            stop = asyncio.Event()
            _stop_on_signals(terminal, engine, stop, form=doors.log_format)
            reloading = Reloading(tokens, token_file, doors.certificate)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.read)
            room = Room(engine.store, doors.room, disk=partial(_disk, settings.data))
            await room.look()
            counts = await engine.store.counts()
            pending = counts[State.PENDING] + counts[State.WAITING]

            def started(url: str) -> None:
                revision = engine.revision.number
                if doors.log_format is LogFormat.JSON:
                    facts = {"url": url, "version": __version__, "revision": revision, "pending": pending}
                    log.info("engine.serves", extra=facts)
                    return
                terminal.say(
                    f"reconciler {__version__} serves {url}: data in {settings.data}, revision {revision}, "
                    f"{plural(pending, 'delivery', 'deliveries')} pending."
                )

            app = application(engine, tokens, stopping=stop, room=room, connections=connections, reloads=reloading)
            traced = app if tracing is None else tracing.doors(app)
            shortcut = app.shortcut if tracing is None else None  # it leads past what is traced
            tls = None if doors.certificate is None else doors.certificate.context
            # Whoever watches must not die unnoticed: revoking a token would have no effect any more.
            async with asyncio.TaskGroup() as watching:
                watchers = [watching.create_task(work) for work in (reloading.watch(), room.watch())]
                try:
                    await serve(
                        traced,
                        listener,
                        now=utc_now,
                        stop=stop,
                        started=started,
                        bounds=doors.bounds,
                        tls=tls,
                        shortcut=shortcut,
                    )
                finally:
                    for watcher in watchers:
                        watcher.cancel()
    if doors.log_format is LogFormat.JSON:
        log.info("engine.stopped")
    else:
        terminal.say("Stopped.")
    return ExitCode.FINE


@asynccontextmanager
async def _recorded(tracing: Tracing | None) -> AsyncIterator[None]:
    """At the end, when nothing more can happen, hand over what was recorded."""
    try:
        yield
    finally:
        if tracing is not None:
            await tracing.close(within=_HAND_OVER_WITHIN)


def _disk(path: Path) -> Disk:
    total, _, free = shutil.disk_usage(path)
    return Disk(total, free)


def _first_token(terminal: Terminal, path: Path) -> Tokens:
    try:
        made = add_token(path, name="first", scopes=list(Scope))
    except OSError as error:
        raise StoreError(f"the token file {path} can not be written: {error.strerror}") from error
    assert isinstance(made, Made), "an empty file refuses no name"
    terminal.complain(
        f"There was no token yet, so one was made; {path} holds its hash. It is shown this once:\n\n"
        f"    export RECONCILER_TOKEN={made.clear}\n"
    )
    return Tokens([made.token])


def _stop_on_signals(terminal: Terminal, engine: Engine, stop: asyncio.Event, *, form: LogFormat) -> None:
    loop = asyncio.get_running_loop()

    def stop_now() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one does what it does to any process
        in_flight = engine.worker.in_flight
        stop.set()
        if form is LogFormat.JSON:
            log.info("engine.stopping", extra={"attempts_in_flight": in_flight})
            return
        waits = f" {plural(in_flight, 'attempt')} in flight may take up to 10 s." if in_flight else ""
        terminal.say(f"Stopping.{waits}")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_now)


def _no_tokens(address: Address) -> Diagnostic:
    return Diagnostic(
        "listen-without-tokens",
        "An engine that others can reach needs tokens first",
        f"{address.host} is not loopback: whoever reaches it could come in. Beyond loopback an engine listens only "
        "with --token-file, and only when that file holds a token.",
        "Make a token, then name its file:\n\n"
        "    reconciler engine token --token-file FILE --name ci --scope read,apply\n"
        "    reconciler engine serve --token-file FILE --listen HOST:PORT",
    )


def _log_level(terminal: Terminal) -> int:
    if terminal.quiet:
        return logging.ERROR
    return logging.DEBUG if terminal.verbose else logging.INFO
