"""`GET /metrics`: the engine in the text format that Prometheus reads.

Written by hand (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4): counters, gauges and one histogram
take fewer lines than feeding a client library, whose own registry would be a second place that counts.

1. Counters start at 0 with the process. `reconciler_deliveries` counts what the store holds, whoever made it.
2. The age of the oldest due delivery is the number to alert on: it grows while an endpoint fails or is too slow.
3. Endpoints are the only label that users write. The 100 that have waited longest are told one by one, and the others
   together as `other`: a device can make endpoints where a host stands in a template.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final, Literal, NamedTuple, Protocol, get_args

from starlette.requests import Request
from starlette.responses import Response

from reconciler import __version__
from reconciler.model.alarm import AlarmKind
from reconciler.model.delivery import State
from reconciler.model.downlink import InfoCode
from reconciler.model.message import MessageType
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.room import Bound, Room
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import BUCKETS, Counters
from reconciler.store.protocol import MOST_COUNTED, EndpointBacklog

__all__ = ["ConnectionCounts", "Metrics", "Reloads", "Sample", "exposition"]

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MADE: Final[Mapping[AlarmKind, MessageType]] = {
    AlarmKind.GATHERED: MessageType.DATA_ADVANCED,
    AlarmKind.SILENCE: MessageType.ERROR,
    AlarmKind.RESULT: MessageType.ACKNOWLEDGE,
}
_MOST_ENDPOINTS: Final = 100
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Sample(NamedTuple):
    """One line: labels and a value. `suffix` is what a histogram puts behind the metric's name."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class _Metric(NamedTuple):
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample]


class ConnectionCounts(Protocol):
    """What a channel tells of its connections."""

    @property
    def opened(self) -> int:
        """Connections that were made."""
        ...

    @property
    def reused(self) -> int:
        """Requests that found a connection waiting."""
        ...


class Reloads(Protocol):
    """What whoever reads files again tells of them."""

    @property
    def failures(self) -> Mapping[str, int]:
        """Readings that left something as it was, by what was read."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate of the doors ends; None without one."""
        ...


class Metrics:
    """The door for Prometheus."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        room: Room,
        connections: ConnectionCounts | None,
        reloads: Reloads | None = None,
    ) -> None:
        self._engine = engine
        self._access = access
        self._room = room
        self._connections = connections
        self._reloads = reloads

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (Door("GET", "/metrics", Scope.READ, self.scrape),)

    async def scrape(self, request: Request) -> Response:
        """Everything that is counted."""
        engine = self._engine
        counts, backlog = await engine.store.counts(), await engine.store.backlog()
        metrics = [*_counted(engine.events.counters), *_standing(engine), *_kept(counts, backlog, now=engine.now())]
        metrics += _guarded(self._access, self._room)
        if self._connections is not None:
            metrics.append(_connected(self._connections))
        if self._reloads is not None:
            metrics += _reloaded(self._reloads)
        return Response(exposition(metrics), media_type=_CONTENT_TYPE)


def exposition(metrics: Iterable[tuple[str, str, str, Sequence[Sample]]]) -> str:
    """The text of metrics: name, kind, help and samples of each."""
    lines: list[str] = []
    for name, kind, explained, samples in metrics:
        lines += (f"# HELP {name} {explained}", f"# TYPE {name} {kind}")
        for labels, value, suffix in samples:
            pairs = ",".join(f'{label}="{text.translate(_ESCAPED)}"' for label, text in labels.items())
            lines.append(f"{name}{suffix}{{{pairs}}} {value}" if pairs else f"{name}{suffix} {value}")
    return "\n".join((*lines, ""))


def _counted(counters: Counters) -> Iterator[_Metric]:
    """What happened since the process started."""
    yield _Metric(
        "reconciler_messages_total",
        "counter",
        "Messages at the door, by what became of them.",
        [
            Sample({"result": "accepted"}, counters.accepted),
            Sample({"result": "repeated"}, counters.repeated),
            Sample({"result": "refused"}, counters.refused),
        ],
    )
    yield _Metric(
        "reconciler_receptions_total",
        "counter",
        "Accepted messages that another station had reported before.",
        [Sample({}, counters.receptions)],
    )
    yield _Metric(
        "reconciler_messages_made_total",
        "counter",
        "Messages that the engine made itself, by type.",
        [Sample({"type": _MADE[kind]}, count) for kind, count in counters.alarms.items()],
    )
    yield _Metric(
        "reconciler_downlinks_total",
        "counter",
        "Downlink requests whose result is known, by result.",
        [Sample({"result": _slug(code)}, count) for code, count in counters.downlinks.items()],
    )
    yield _Metric(
        "reconciler_messages_unrouted_total",
        "counter",
        "Accepted messages of device types that the revision does not have.",
        [Sample({}, counters.unrouted)],
    )
    yield _Metric(
        "reconciler_attempts_total",
        "counter",
        "Attempts to deliver, by outcome.",
        [Sample({"outcome": outcome}, count) for outcome, count in counters.attempts.items()],
    )
    yield _Metric(
        "reconciler_deliveries_finished_total",
        "counter",
        "Deliveries that ended, by how.",
        [Sample({"state": "delivered"}, counters.delivered), Sample({"state": "undelivered"}, counters.undelivered)],
    )
    yield _Metric(
        "reconciler_attempt_duration_seconds",
        "histogram",
        "How long attempts took, from name resolution to the end of the answer.",
        _histogram(counters),
    )
    yield _Metric(
        "reconciler_store_failures_total",
        "counter",
        "Times the store could not do what the engine asked.",
        [Sample({}, counters.store_failures)],
    )


def _slug(code: InfoCode) -> str:
    return code.name.lower().replace("_", "-")


def _histogram(counters: Counters) -> Sequence[Sample]:
    """Buckets are cumulative, the last one holds everything."""
    bounds = (*(str(bound) for bound in BUCKETS), "+Inf")
    below = list(accumulate(counters.attempt_buckets))
    buckets = [Sample({"le": bound}, count, "_bucket") for bound, count in zip(bounds, below, strict=True)]
    return [*buckets, Sample({}, counters.attempt_seconds, "_sum"), Sample({}, below[-1], "_count")]


def _standing(engine: Engine) -> Iterator[_Metric]:
    """How the engine stands now."""
    yield _Metric("reconciler_build_info", "gauge", "1; the version is a label.", [Sample({"version": __version__}, 1)])
    yield _Metric("reconciler_revision", "gauge", "The current revision.", [Sample({}, engine.revision.number)])
    yield _Metric("reconciler_deliveries_held", "gauge", "Deliveries in memory.", [Sample({}, engine.worker.held)])
    yield _Metric(
        "reconciler_attempts_in_flight", "gauge", "Attempts under way.", [Sample({}, engine.worker.in_flight)]
    )
    yield _Metric(
        "reconciler_endpoint_state",
        "gauge",
        "How an endpoint stands: 1 for open, parked, probing or recovering.",
        [
            Sample({"endpoint": endpoint, "state": standing}, 1)
            for endpoint, standing in sorted(engine.worker.endpoints.items())
        ],
    )


def _guarded(access: Access, room: Room) -> Iterator[_Metric]:
    """What the doors turn away."""
    yield _Metric(
        "reconciler_logins_refused_total",
        "counter",
        "Requests without a token that is known, or with one that lacks the scope.",
        [Sample({}, access.refused)],
    )
    yield _Metric(
        "reconciler_room_full",
        "gauge",
        "1 while messages are refused for lack of room, by the bound that is reached.",
        [Sample({"bound": bound}, int(room.full == bound)) for bound in get_args(Bound)],
    )


def _connected(connections: ConnectionCounts) -> _Metric:
    """How often attempts had to connect; a low share of reuse costs a TLS handshake each."""
    return _Metric(
        "reconciler_attempt_connections_total",
        "counter",
        "Connections that attempts used, by where they came from.",
        [Sample({"from": "opened"}, connections.opened), Sample({"from": "reused"}, connections.reused)],
    )


def _reloaded(reloads: Reloads) -> Iterator[_Metric]:
    """What keeps an engine from going on for ever without anybody."""
    yield _Metric(
        "reconciler_reload_failures_total",
        "counter",
        "Times a changed file could not be taken up as it is, by what is in it.",
        [Sample({"file": name}, count) for name, count in reloads.failures.items()],
    )
    if reloads.expires_at is not None:
        yield _Metric(
            "reconciler_certificate_expiry_timestamp_seconds",
            "gauge",
            "When the certificate of the doors ends, in seconds since the epoch.",
            [Sample({}, reloads.expires_at.timestamp())],
        )


def _kept(counts: Mapping[State, int], backlog: Sequence[EndpointBacklog], *, now: datetime) -> Iterator[_Metric]:
    """What the store holds."""
    told = _bounded(backlog)
    yield _Metric(
        "reconciler_deliveries",
        "gauge",
        "Deliveries in the store, by state.",
        [Sample({"state": state}, counts[state]) for state in State],
    )
    yield _Metric(
        "reconciler_endpoint_pending",
        "gauge",
        f"Deliveries that wait for an endpoint, retries included; {MOST_COUNTED} of them are as many or more.",
        [Sample({"endpoint": each.endpoint}, each.pending) for each in told],
    )
    yield _Metric(
        "reconciler_endpoint_oldest_due_seconds",
        "gauge",
        "For how long the oldest due delivery of an endpoint has been due; 0 when none is.",
        [Sample({"endpoint": each.endpoint}, max((now - each.oldest_due_at).total_seconds(), 0.0)) for each in told],
    )


def _bounded(backlog: Sequence[EndpointBacklog]) -> Sequence[EndpointBacklog]:
    """Those that have waited longest, and the others as one; by endpoint."""
    if len(backlog) <= _MOST_ENDPOINTS:
        return backlog
    by_age = sorted(backlog, key=lambda each: (each.oldest_due_at, each.endpoint))
    told, others = by_age[: _MOST_ENDPOINTS - 1], by_age[_MOST_ENDPOINTS - 1 :]
    other = EndpointBacklog("other", sum(each.pending for each in others), others[0].oldest_due_at)
    return [*sorted(told, key=lambda each: each.endpoint), other]
