"""What happens in the engine, for those who watch: counters for metrics, a stream for tailing, events for the log.

1. Watching never slows the engine: counting is an addition, a subscriber that does not read loses the oldest events
   and is told how many.
2. One log event for each thing that happened, with fields instead of prose. Payloads, bodies and secrets never.
   Messages and deliveries that go well are logged at DEBUG, because there are thousands a second. README lists all.
"""

import asyncio
import logging
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.errors import StoreError
from reconciler.model.alarm import AlarmKind
from reconciler.model.delivery import Done, GiveUp, Settlement, Unreachable
from reconciler.model.downlink import Downlink, InfoCode
from reconciler.model.message import Message
from reconciler.model.revision import Revision
from reconciler.runtime.breaker import Health, Standing
from reconciler.runtime.tracing import Tracing
from reconciler.store.protocol import Arrival, Kept

__all__ = ["BUCKETS", "Counters", "Events", "Lost"]

log = logging.getLogger("reconciler.engine")

# Upper bounds in seconds; the last finite one is the deadline of an attempt.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SUBSCRIBER_BACKLOG = 1_000
_RESULTS = tuple(code for code in InfoCode if code is not InfoCode.PENDING)


@dataclass(slots=True)
class Counters:
    """What happened since the engine started."""

    accepted: int = 0
    receptions: int = 0
    repeated: int = 0
    unrouted: int = 0
    refused: int = 0
    attempts: dict[str, int] = field(default_factory=lambda: {"accepted": 0, "refused": 0, "unreachable": 0})
    alarms: dict[AlarmKind, int] = field(default_factory=lambda: dict.fromkeys(AlarmKind, 0))
    downlinks: dict[InfoCode, int] = field(default_factory=lambda: dict.fromkeys(_RESULTS, 0))
    delivered: int = 0
    undelivered: int = 0
    store_failures: int = 0
    attempt_buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    attempt_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A subscriber was too slow: this many events are missing here."""

    count: int


class _Subscriber:
    def __init__(self) -> None:
        self.waiting: deque[Settlement] = deque()
        self.lost = 0
        self.wake = asyncio.Event()


class Events:
    """Counts, logs and streams.

    Attributes:
        tracing: who records traces; None when nobody does.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.tracing: Tracing | None = None
        self._subscribers: set[_Subscriber] = set()
        self._closed = False
        self._last_failure: Callable[[], StoreError | None] = lambda: None

    def taken(self, *, accepted: int, repeated: int, unrouted: int, receptions: int = 0) -> None:
        """Messages became durable, `unrouted` of them without a device type that is known; others were recognised.

        `receptions` of the accepted ones tell of a message that another station reported before.
        """
        counters = self.counters
        counters.accepted += accepted
        counters.receptions += receptions
        counters.repeated += repeated
        counters.unrouted += unrouted

    def kept(self, arrivals: Sequence[Arrival], answers: Sequence[Kept], *, since: datetime) -> None:
        """Messages were routed, from `since` on, and the store has answered for each of them."""
        if self.tracing is not None:
            self.tracing.kept(arrivals, answers, since=since)
        if log.isEnabledFor(logging.DEBUG):
            for arrival, kept in zip(arrivals, answers, strict=True):
                if kept is not Kept.OVERTAKEN:  # nothing of it was kept
                    _log_taken(arrival, kept)

    def refused(self, count: int, *, code: str) -> None:
        """Messages of a call were refused at the door; `code` says why the first of them was."""
        self.counters.refused += count
        log.warning("message.refused", extra={"messages": count, "code": code})

    def settled(self, settlement: Settlement) -> None:
        """An attempt ended, and its settlement is durable."""
        counters, attempt, outcome = self.counters, settlement.attempt, settlement.attempt.outcome
        counters.attempts[outcome.kind] += 1
        seconds = attempt.duration.total_seconds()
        counters.attempt_buckets[bisect_left(BUCKETS, seconds)] += 1
        counters.attempt_seconds += seconds
        if isinstance(settlement.step, Done):
            counters.delivered += 1
            level = logging.DEBUG
        else:
            counters.undelivered += isinstance(settlement.step, GiveUp)
            level = logging.WARNING
        if log.isEnabledFor(level):
            delivery = settlement.lease.delivery
            log.log(
                level,
                "delivery.attempted",
                extra={
                    "delivery": str(delivery.id),
                    "callback": str(delivery.callback),
                    "revision": delivery.revision,
                    "endpoint": delivery.endpoint,
                    "attempt": attempt.number,
                    "duration_ms": round(seconds * 1000, 3),
                    "outcome": outcome.kind,
                    "cause": outcome.reason if isinstance(outcome, Unreachable) else outcome.status,
                    "step": settlement.step.kind,
                },
            )
        if self.tracing is not None:
            self.tracing.attempted(settlement)
        for subscriber in self._subscribers:
            if len(subscriber.waiting) >= _SUBSCRIBER_BACKLOG:
                subscriber.waiting.popleft()
                subscriber.lost += 1
            subscriber.waiting.append(settlement)
            subscriber.wake.set()

    def alarm(self, kind: AlarmKind) -> None:
        """The engine made an event of its own: it is durable."""
        self.counters.alarms[kind] += 1

    def downlink(self, result: InfoCode, acknowledge: Message) -> None:
        """The result of a downlink request is known, and durable with the message that tells of it."""
        self.counters.downlinks[result] += 1
        log.log(
            logging.DEBUG if result is InfoCode.ACKED else logging.INFO,
            "downlink.ended",
            extra={
                "message_id": acknowledge.id,
                "device_type": acknowledge.device_type,
                "result": result.name.lower().replace("_", "-"),
            },
        )

    def served(self, downlinks: Sequence[Downlink]) -> None:
        """Downlinks were handed to the network side."""
        if log.isEnabledFor(logging.DEBUG):
            for each in downlinks:
                log.debug("downlink.served", extra={"message_id": each.message, "device_type": each.device_type})

    def clock_stepped(self, by: timedelta) -> None:
        """The wall clock was set; what waits was moved along."""
        log.warning("clock.stepped", extra={"seconds": round(by.total_seconds(), 3)})

    def endpoint(self, endpoint: str, health: Health) -> None:
        """An endpoint stands otherwise than before."""
        standing = health.standing
        level = logging.WARNING if standing is Standing.PARKED else logging.INFO
        log.log(level, f"endpoint.{standing}", extra={"endpoint": endpoint, "failures": health.failures})

    def published(self, revision: Revision) -> None:
        """A revision became current."""
        extra = {"revision": revision.number, "changes": len(revision.changes), "by": revision.publication.by}
        log.info("revision.published", extra=extra)

    def pruned(self, messages: int) -> None:
        """What had ended and need not be kept any more was removed."""
        log.info("store.pruned", extra={"messages": messages})

    def pruning_paused(self, paused: bool, *, gap: timedelta) -> None:
        """Whether what is old stays, because nothing came after it for longer than `gap`; see `runtime.retention`."""
        if paused:
            log.warning("store.pruning-paused", extra={"no_message_for_days": gap.days})
        else:
            log.info("store.pruning-resumed")

    def store_failed(self, error: StoreError) -> None:
        """The store could not do what it was asked, by the engine or by a request that is answered with 503.

        What was written together fails with one error, which each of those who waited for it reports: that is one
        failure.
        """
        if error is self._last_failure():
            return
        self._last_failure = weakref.ref(error)  # it holds a traceback, and by it the messages that were to be written
        self.counters.store_failures += 1
        log.error("store.failed", extra={"error": str(error)})

    async def subscribe(self) -> AsyncGenerator[Settlement | Lost, None]:
        """Every settlement from now on, until the engine stops."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            while True:
                while subscriber.waiting:
                    if subscriber.lost:
                        lost, subscriber.lost = subscriber.lost, 0
                        yield Lost(lost)
                    yield subscriber.waiting.popleft()
                if self._closed:
                    return
                subscriber.wake.clear()
                await subscriber.wake.wait()
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End all streams after what was already said."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.wake.set()


def _log_taken(arrival: Arrival, kept: Kept) -> None:
    message = arrival.message
    log.debug(
        "message.taken",
        extra={
            "message_id": message.id,
            "type": message.type,
            "device_type": message.device_type,
            "revision": arrival.revision,
            "kept": kept.value,
            "deliveries": len(arrival.held) + len(arrival.queued) if kept is Kept.FRESH else 0,
        },
    )
