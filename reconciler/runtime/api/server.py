"""The HTTP server around the doors: uvicorn's connections in the running loop, started and stopped by us.

1. `uvicorn.Server` itself is not used. It takes over the process's signals, ends the process when an address is in
   use, and looks every 100 ms whether to stop; an engine needs its loop, its exit codes and its signals for itself.
2. Stopping closes the listening socket first, so that a successor can bind at once, then finishes the requests that
   are in flight. What has not ended within the grace period is cut off.
3. An address that cannot be listened on is a mistake in what the user asked for: `listen` returns a diagnostic.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.api.connection import Bounds, Connection, Connections

__all__ = ["listen", "serve", "url_of"]

log = logging.getLogger("reconciler.api")

# The largest value that Linux takes without a changed net.core.somaxconn.
_BACKLOG: Final = 4_096
_DATE_SECONDS: Final = 1.0
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


def url_of(listener: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    now: Callable[[], datetime],
    stop: asyncio.Event,
    started: Callable[[str], None] = lambda url: None,
    bounds: Bounds | None = None,
) -> None:
    """Serve until `stop` is set, then end in good order; the listener is closed by then.

    `started` is told the URL as soon as requests are taken.
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
    connections = Connections(bounds or Bounds())
    connections.date(now())
    url = url_of(listener)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(config, connections, {}), sock=listener, backlog=_BACKLOG
    )
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
        await _finish(connections)


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
