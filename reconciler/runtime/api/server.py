"""The HTTP server around the doors: uvicorn's connections in the running loop, started and stopped by us.

1. `uvicorn.Server` itself is not used. It takes over the process's signals, ends the process when an address is in
   use, and looks every 100 ms whether to stop; an engine needs its loop, its exit codes and its signals for itself.
2. Stopping closes the listening socket first, so that a successor can bind at once, then finishes the requests that
   are in flight. What has not ended within the grace period is cut off.
3. An address that cannot be listened on is a mistake in what the user asked for: `listen` returns a diagnostic.
4. With TLS connections are accepted by us, because asyncio tells nobody of those that are still shaking hands: they
   count against the largest number of connections, and have a time like the head of a request.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.api.connection import Bounds, Connection, Connections
from reconciler.runtime.api.shortcut import Shortcut

__all__ = ["listen", "serve", "url_of"]

log = logging.getLogger("reconciler.api")

# The largest value that Linux takes without a changed net.core.somaxconn.
_BACKLOG: Final = 4_096
_DATE_SECONDS: Final = 1.0
_ACCEPT_AGAIN_SECONDS: Final = 0.1
_MAX_PORT: Final = 65_535


def listen(host: str, port: int) -> socket.socket | Diagnostic:
    """A listening socket; port 0 takes any free one. `host` is a name or an address, IPv6 without brackets."""
    if not 0 <= port <= _MAX_PORT:
        # Asked here, because getaddrinfo takes 70000 for 4464.
        return Diagnostic(
            "listen-bad-port",
            "The port to listen on does not exist.",
            f"{port} is not a port.",
            f"Choose a port from 1 to {_MAX_PORT}; 0 takes any free one.",
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        return _cannot_listen(host, port, error)


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    now: Callable[[], datetime],
    stop: asyncio.Event,
    started: Callable[[str], None] = lambda url: None,
    bounds: Bounds | None = None,
    tls: ssl.SSLContext | None = None,
    shortcut: Shortcut[Any] | None = None,
) -> None:
    """Serve until `stop` is set, then end in good order; the listener is closed by then.

    `started` is told the URL as soon as requests are taken; `tls` makes it https; `shortcut` answers requests that need
    not go through `app`.
    """
    config = uvicorn.Config(
        app=app,
        http=Connection,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        # Below that uvicorn logs what strangers send: bad requests, upgrades that it does not know.
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    connections = Connections(bounds or Bounds(), shortcut)
    connections.date(now())
    url = url_of(listener, tls=tls is not None)

    def connection() -> Connection:
        return Connection(config, connections, {})

    server: asyncio.Server | _TlsServer
    if tls is None:
        server = await asyncio.get_running_loop().create_server(connection, sock=listener, backlog=_BACKLOG)
    else:
        server = _TlsServer(listener, tls, connections, connection)
    try:
        started(url)
        while not stop.is_set():
            try:
                async with asyncio.timeout(_DATE_SECONDS):
                    await stop.wait()
            except TimeoutError:
                connections.date(now())
    finally:
        server.close()
        if isinstance(server, _TlsServer):
            await server.wait_closed()
        await _finish(connections)


class _TlsServer:
    """Accepts connections, and shakes hands with a bounded number of clients at once."""

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext,
        connections: Connections,
        connection: Callable[[], Connection],
    ) -> None:
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._listener = listener
        self._tls = tls
        self._connections = connections
        self._connection = connection
        self._shaking: dict[asyncio.Task[bool], None] = {}  # the oldest first
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Stop listening, and hang up on those that are still shaking hands."""
        self._loop.remove_reader(self._listener)
        if self._again is not None:
            self._again.cancel()
        for task in self._shaking:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait until nobody shakes hands any more."""
        await asyncio.gather(*self._shaking, return_exceptions=True)

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # Not `sock_accept`: what it has accepted when it is cancelled is lost, and stays open.
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # The client went away at once, or files are short: then waiting is all that helps.
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                log.error("api.no-files", extra={"error": str(error)})
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._listen)
            return
        client.setblocking(False)
        if len(self._shaking) >= self._connections.bounds.handshakes:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._shake_hands(client))
        self._shaking[task] = None
        task.add_done_callback(partial(self._shaken, client))

    async def _shake_hands(self, client: socket.socket) -> bool:
        seconds = self._connections.bounds.head.total_seconds()
        try:
            await self._loop.connect_accepted_socket(
                self._connection, client, ssl=self._tls, ssl_handshake_timeout=seconds
            )
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError; nothing of it is our business
            log.debug("api.handshake-failed", extra={"error": type(error).__name__})
            return False
        return True

    def _shaken(self, client: socket.socket, task: asyncio.Task[bool]) -> None:
        self._shaking.pop(task, None)
        if task.cancelled() or not task.result():  # also one that was cancelled before it began
            client.close()


async def _finish(connections: Connections) -> None:
    """Let requests in flight end; cut off those that do not, and in the end their tasks."""
    grace = connections.bounds.grace.total_seconds()
    connections.shut_down()
    try:
        async with asyncio.timeout(grace):
            await connections.until_quiet()
    except TimeoutError:
        log.warning(
            "api.cut-off", extra={"connections": len(connections.connections), "requests": len(connections.tasks)}
        )
        connections.abort()
        # Who waits for the client notices now; cancelling is for what waits for something else.
        if connections.tasks:
            await asyncio.wait(connections.tasks, timeout=grace)
        for task in connections.tasks:
            task.cancel()
        await connections.until_quiet()


def _cannot_listen(host: str, port: int, error: Exception) -> Diagnostic:
    """Why an address cannot be listened on, and what to do."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror | UnicodeError):
        return Diagnostic(
            "listen-unknown-host",
            "The host to listen on has no address.",
            f"{host} is neither an address nor a name that this machine can resolve.",
            "Listen on an address of this machine, such as 127.0.0.1.",
        )
    if number == errno.EADDRINUSE:
        return Diagnostic(
            "listen-port-in-use",
            "The port to listen on is in use.",
            f"Another program, perhaps another engine, listens on {where}.",
            "Stop it, or choose another port; 0 takes any free one.",
        )
    if number == errno.EADDRNOTAVAIL:
        return Diagnostic(
            "listen-address-not-available",
            "The address to listen on does not belong to this machine.",
            f"No network interface of this machine has the address of {where}.",
            "Listen on 127.0.0.1 for this machine alone, or on 0.0.0.0 for all its addresses.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return Diagnostic(
            "listen-port-not-allowed",
            "The port to listen on is reserved.",
            f"This user may not listen on {where}; ports below 1024 are commonly the system's.",
            "Choose a port from 1024 on.",
        )
    return Diagnostic("listen-failed", "The address cannot be listened on.", f"{where}: {error}.")
