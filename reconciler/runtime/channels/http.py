"""The delivery client: one HTTP/1.1 request becomes one outcome (`callbacks.md` sections 4.1 and 5).

Own code, because no library resolves, checks and dials an address, leaves SNI out and still verifies, and holds one
deadline over all of it; and because aiohttp takes four times the CPU (`tests/benchmarks/http_client.py`). Its parts:

    http.py         fill in secrets, find a connection, send, read the outcome
    wire.py         a request as bytes, checked once more          signing.py   signed, if it has to be
    flight.py       the one deadline over everything
    pool.py         connections of one endpoint: keep-alive, slots, the line
    dial.py         resolve, check, connect, TLS                    egress.py   may this address be dialled?
    connection.py   one connection: answers and their limits        tls.py      contexts, names of certificates
    unreachable.py  the reasons why no answer came

1. `send` raises nothing for what the far end or the network does. Cancelling it closes its connection.
2. The answer is read up to 64 KiB (product, promise 5). A longer one is cut there and its connection closed; its status
   counts. A redirect is an answer like any other and is not followed. Content is not decoded: none is asked for.
3. A request is sent a second time only when an idle connection turned out to be dead before a byte of an answer came;
   once, on another connection, within the same deadline. Everything else is for the retry policy.
4. Secrets become text for the time of one request. No outcome holds one: neither a detail, nor the body of an answer
   that repeats it (`wire.Filling`).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from math import inf
from typing import Final

from reconciler import __version__
from reconciler.model.delivery import HttpRequest, Outcome, Unreachable
from reconciler.runtime.channels.dial import Dialer, Resolve, SystemResolver
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.flight import Alarm
from reconciler.runtime.channels.pool import Counters, Pool
from reconciler.runtime.channels.tls import Tls, public_tls
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.channels.waiting import composed_when_read
from reconciler.runtime.channels.wire import Endpoint, Filling, compose, fixed_lines
from reconciler.runtime.secrets.pending import SecretPending
from reconciler.runtime.turn import Turn

__all__ = ["MAX_ANSWER_BYTES", "HttpChannel"]

MAX_ANSWER_BYTES: Final = 65_536
_IDLE_FOR: Final = timedelta(seconds=4)  # pool.py, rule 4
_SWEEP_EVERY: Final = 1 / 8  # of that time


class HttpChannel:
    """Sends HTTP requests over pooled connections; lives in one event loop.

    Attributes:
        counters: what it did so far, for metrics.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[str], str | None],
        egress: EgressPolicy,
        connections_per_endpoint: int,
        resolve: Resolve | None = None,
        tls: Tls | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        idle_for: timedelta = _IDLE_FOR,
        user_agent: str = f"reconciler/{__version__}",
    ) -> None:
        """`secrets` gives a value by name, None when it is not set; `resolve` defaults to the machine's resolver.

        `connections_per_endpoint` is for scheme, host and port, and once more for requests that do not send SNI.
        """
        self.counters = Counters()
        self._secrets = secrets
        self._limit = connections_per_endpoint
        self._max_body = max_answer_bytes
        self._idle_for = idle_for.total_seconds()
        self._user_agent = user_agent
        self._resolver = SystemResolver()
        self._dialer = Dialer(egress=egress, resolve=resolve or self._resolver, tls=tls or public_tls())
        self._pools: dict[tuple[str, str, int, bool], Pool] = {}  # by Endpoint
        self._alarm = Alarm(self._end_overdue)
        self._turn = Turn()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> Outcome:
        """Send it once and say what came of it."""
        self.counters.requests += 1
        # A plain tuple equals the Endpoint that the pool was opened for, and is cheaper to make by 0.2 us.
        endpoint = (request.scheme, request.host, request.port, request.send_sni and request.scheme == "https")
        pool = self._pools.get(endpoint) or self._open_pool(Endpoint(*endpoint))
        if isinstance(pool, Unreachable):
            return pool
        filling = Filling(self._secrets)
        loop = pool.loop
        now = loop.time()
        deadline = now + timeout.total_seconds()
        message: bytes | Unreachable
        try:
            message = compose(request, fixed=pool.fixed, secret=filling)
        except SecretPending as pending:
            composing = partial(compose, request, fixed=pool.fixed, secret=filling)
            message = await composed_when_read(composing, pending, deadline=deadline)
            now = loop.time()
            pool = self._pools.get(endpoint) or self._open_pool(Endpoint(*endpoint))  # it may be forgotten meanwhile
            if isinstance(pool, Unreachable):
                return pool
        if isinstance(message, Unreachable):
            return message
        if deadline < self._alarm.rings_at:
            self._alarm.ring_at(loop, deadline)
        resent = False
        while True:
            connection = pool.borrow(now) or await pool.acquire(deadline)
            if isinstance(connection, Unreachable):
                return connection
            answered = connection.send(message, deadline=deadline)
            try:
                outcome = await answered
            except asyncio.CancelledError:
                connection.abandon(answered)
                raise
            if outcome is not None:
                return filling.without_echo(outcome)
            if resent:
                detail = "The server closed two connections, one after the other, without an answer."
                return unreachable(Reason.CONNECTION_RESET, detail)
            resent = True
            self.counters.resent += 1
            # The former may have been closed or forgotten meanwhile.
            pool = self._pools.get(endpoint) or self._open_pool(Endpoint(*endpoint))
            if isinstance(pool, Unreachable):
                return pool
            pool.drop_idle()

    @property
    def connections(self) -> int:
        """How many are open now, idle ones included."""
        return sum(pool.connections for pool in self._pools.values())

    async def close(self) -> None:
        """Let go of connections; requests in flight end as unreachable."""
        self._closing = True
        pools, self._pools = self._pools, {}
        await asyncio.gather(*(pool.close() for pool in pools.values()))
        self._resolver.close()
        self._alarm.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _open_pool(self, endpoint: Endpoint) -> Pool | Unreachable:
        if self._closing:
            return unreachable(Reason.CLOSING, "The engine was stopping: the request was not sent.")
        fixed = fixed_lines(endpoint, self._user_agent)
        if isinstance(fixed, Unreachable):
            return fixed
        pool = self._pools[endpoint] = Pool(
            dial=partial(self._dialer.dial, endpoint),
            fixed=fixed,
            limit=self._limit,
            idle_for=self._idle_for,
            max_body=self._max_body,
            counters=self.counters,
            turn=self._turn,
        )
        if self._sweeper is None:
            self._sweep_later()
        return pool

    def _end_overdue(self, now: float) -> float:
        return min((pool.end_overdue(now) for pool in self._pools.values()), default=inf)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self._idle_for * _SWEEP_EVERY, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has been idle for too long; forget endpoints that nobody uses."""
        now = loop.time()
        self._pools = {endpoint: pool for endpoint, pool in self._pools.items() if pool.sweep(now)}
        self._sweeper = None
        if self._pools:
            self._sweep_later()
