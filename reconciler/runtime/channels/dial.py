"""From an endpoint to a connection: resolve, check every address, dial one of those that were checked, TLS.

1. What the resolver found is judged as a whole: one forbidden address among public ones is how a name is rebound, so
   that it refuses all of them (promise 8: the address checked is the address dialled).
2. An address in a URL is dialled as it is. Whatever else looks like one (`0x7f.1`, `017700000001`) goes through the
   resolver like any name, and what comes out is judged.
3. Addresses are tried in the resolver's order (RFC 6724). All but the last may take an equal share of the time that is
   left, so that a black hole at the first does not hide a second that works. The last failure is told.
4. Who a connection came about with is asked of the system once more, and has to be the address that was dialled: some
   addresses lead elsewhere by themselves, as 0.0.0.0 does. A pooled connection stays with that address until it ends.
5. The name stays in the Host header, in the TLS handshake (when it is named there) and in the check of the certificate.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeVar

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.tls import Tls, explain_handshake
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.channels.wire import Endpoint

__all__ = ["Dialer", "Resolve", "SystemResolver", "explain_connect"]

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A host name to numeric addresses, the best first; `OSError` when there are none."""

P = TypeVar("P", bound=asyncio.Protocol)

_LOOKUPS: Final = 32
# What the system holds of an answer that nobody has read yet, and so what comes at once: no answer is read further than
# 64 KiB, and left to itself Linux would keep 6 MB for each connection.
_RECEIVE_BUFFER: Final = 32_768
_TLS_AT_ONCE: Final = frozenset({"https", "smtps"})
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_RESET: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


class SystemResolver:
    """The machine's resolver. Lookups for the same host at the same time are one lookup.

    It blocks a thread and cannot be interrupted: who stops waiting leaves it to the others. The threads are our own,
    because a loop has only a few (uvloop four), and a few hosts with silent name servers would stop all the others.
    """

    __slots__ = ("_lookups", "_threads")

    def __init__(self) -> None:
        self._lookups: dict[str, asyncio.Task[Sequence[str] | OSError]] = {}
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> Sequence[str]:
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(host))
            self._lookups[host] = lookup
        found = await asyncio.shield(lookup)
        if isinstance(found, OSError):
            raise found
        return found

    def close(self) -> None:
        """Start no more lookups; those in threads end when they end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> Sequence[str] | OSError:
        loop = asyncio.get_running_loop()
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        try:
            found = await loop.run_in_executor(self._threads, ask)
        except OSError as error:
            return error  # as a value: the last who waited may be gone
        except UnicodeError:
            return OSError(f"{host!r} is no host name")  # labels that are empty or too long
        finally:
            del self._lookups[host]
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Dialer:
    """Opens connections to endpoints, within what the policy allows."""

    __slots__ = ("_egress", "_resolve", "_tls")

    def __init__(self, *, egress: EgressPolicy, resolve: Resolve, tls: Tls) -> None:
        self._egress = egress
        self._resolve = resolve
        self._tls = tls

    async def dial(self, endpoint: Endpoint, protocol: Callable[[], P], *, flight: Flight) -> P | Unreachable:
        """A connected protocol, TLS done; or why there is none."""
        addresses = await self._addresses(endpoint.host, flight)
        if isinstance(addresses, Unreachable):
            return addresses
        refusal = self._refusal(endpoint.host, addresses)
        if refusal is not None:
            return refusal
        failure = unreachable(Reason.UNRESOLVED, f"The name {endpoint.host} leads to no address.")
        for tried, address in enumerate(addresses):
            try:
                async with asyncio.timeout_at(_share(flight, len(addresses) - tried)):
                    sock = await _connect(address, endpoint.port, flight)
            except OSError as error:  # TimeoutError is one
                failure = explain_connect(error, address, endpoint.port)
                continue
            stranger = _stranger(sock, address)
            if stranger is not None:
                sock.close()
                return stranger
            dialled = await self._adopt(sock, endpoint, protocol, flight)
            if not isinstance(dialled, Unreachable):
                return dialled
            failure = dialled
        return failure

    async def _addresses(self, host: str, flight: Flight) -> Sequence[str] | Unreachable:
        try:
            return (str(ip_address(host)),)
        except ValueError:
            flight.doing = f"the name {host} was not resolved yet"
        try:
            return await self._resolve(host)
        except OSError as error:
            words = error.strerror or str(error)
            return unreachable(Reason.UNRESOLVED, f"The name {host} could not be resolved: {words}.")

    def _refusal(self, host: str, addresses: Sequence[str]) -> Unreachable | None:
        for address in addresses:
            verdict = self._egress.verdict(address, host=host)
            if verdict is not None:
                where = address if address == host else f"{host} leads to {address}"
                detail = f"{where}: {verdict}. Deliveries go to public addresses, unless the engine is told otherwise."
                return unreachable(Reason.FORBIDDEN_ADDRESS, detail)
        return None

    async def _adopt(
        self, sock: socket.socket, endpoint: Endpoint, protocol: Callable[[], P], flight: Flight
    ) -> P | Unreachable:
        """Put a transport, with TLS if need be, on a connected socket."""
        loop = asyncio.get_running_loop()
        secure = endpoint.scheme in _TLS_AT_ONCE
        context = self._tls.context(send_sni=endpoint.send_sni) if secure else None
        if secure:
            flight.doing = f"the TLS handshake with {endpoint.host} was not finished"
        made = False
        try:
            _, connected = await loop.create_connection(
                protocol, sock=sock, ssl=context, server_hostname=endpoint.host if secure else None
            )
            made = True
        except OSError as error:
            return explain_handshake(error, endpoint.host, scheme=endpoint.scheme)
        finally:
            if not made:
                sock.close()
        return connected


def _share(flight: Flight, left: int) -> float | None:
    """When to give up on an address; the last one has until the deadline, which needs no timer of its own."""
    if left == 1:
        return None
    now = asyncio.get_running_loop().time()
    return now + (flight.deadline - now) / left


async def _connect(address: str, port: int, flight: Flight) -> socket.socket:
    flight.doing = f"the connection to {address} port {port} did not come about"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol spelled out asyncio sets TCP_NODELAY; else a body in a second segment waits for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    connected = False
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
        connected = True
    finally:
        if not connected:
            sock.close()
    return sock


def _stranger(sock: socket.socket, address: str) -> Unreachable | None:
    """The outcome of a connection with somebody else than the address that was dialled (rule 4)."""
    try:
        peer = str(sock.getpeername()[0])
    except OSError:
        return None  # it ended at once, and whoever reads from it will be told
    if ip_address(peer.partition("%")[0]) == ip_address(address.partition("%")[0]):
        return None
    return unreachable(Reason.FORBIDDEN_ADDRESS, f"{address} was dialled, and {peer} answered; nothing was sent to it.")


def explain_connect(error: OSError, address: str, port: int) -> Unreachable:
    """The outcome of a connection that did not come about."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return unreachable(Reason.NETWORK_UNREACHABLE, f"Nothing answers at {address} port {port}.")
    if error.errno == errno.ECONNREFUSED:
        return unreachable(Reason.CONNECTION_REFUSED, f"{address} port {port} refused the connection: nothing listens.")
    if error.errno in _NO_WAY:
        return unreachable(Reason.NETWORK_UNREACHABLE, f"No way leads to {address} from this machine.")
    words = os.strerror(error.errno) if error.errno is not None else str(error)
    reason = Reason.CONNECTION_RESET if error.errno in _RESET else Reason.NETWORK_UNREACHABLE
    return unreachable(reason, f"The connection to {address} port {port} failed: {words}.")
