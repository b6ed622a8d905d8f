"""Traces by OpenTelemetry; the only module that imports it, and imported only when traces are asked for.

The variables OTEL_… are the SDK's to read: where the collector is, what the service is called, how much is sampled.

1. Three kinds of spans, by the semantic conventions where there are some: a call that brings messages (SERVER, a child
   of what its `traceparent` names), the messages of that call routed and kept (INTERNAL), one for each attempt to
   deliver (CLIENT).
2. An attempt is a root with a link to the call that brought its message, because it may come days later and belong to
   many calls' worth of retries. Which call that was is remembered for the last `_REMEMBERED` messages only; the id of
   the message is on both sides for ever.
3. What devices and receivers sent, paths and queries of callbacks, and what could be a secret are in no span.
4. A caller who was not let in leaves none: strangers must not be able to fill a collector.
5. Nothing is sent to receivers: with a `traceparent` they could tell this engine from the operator's cloud.
6. Spans wait in a bounded queue for a thread of the SDK's. When the collector does not take them they are lost, which
   is told once a minute; deliveries know nothing of it.
"""

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler import __version__
from reconciler.model.delivery import Accepted, HttpRequest, Refused, Settlement, Unreachable
from reconciler.runtime.api.ingest import INGEST_PATH
from reconciler.runtime.api.logins import Pace
from reconciler.store.protocol import Arrival, Kept

__all__ = ["OpenTelemetry", "Watched", "open_telemetry"]

log = logging.getLogger("reconciler.traces")

_SDK_LOGGER: Final = "opentelemetry"
_EXPORTER_LOGGER: Final = OTLPSpanExporter.__module__
_NETWORKS: Final = "/v1/in/"
# Who was not let in, and who came to no door (rule 4).
_UNRECORDED: Final = frozenset({401, 403, 404, 405, 429})
# As many as the worker holds deliveries; some 10 MB when they are that many.
_REMEMBERED: Final = 32_768
_MOST_IDS: Final = 100
_TOLD_EVERY: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class OpenTelemetry:
    """Records spans with a provider's tracer; lives in one event loop."""

    def __init__(self, provider: TracerProvider, *, now: Callable[[], datetime]) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("reconciler", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._now = now
        self._calls: OrderedDict[str, SpanContext] = OrderedDict()

    def doors(self, app: ASGIApp) -> ASGIApp:
        """The same doors; calls that bring messages are recorded."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if path.startswith(_NETWORKS) or (path == INGEST_PATH and scope["method"] == "POST"):
                await self._call(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return traced

    async def _call(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        span = self._tracer.start_span(
            f"{scope['method']} {scope['path']}",
            self._caller(scope),
            SpanKind.SERVER,
            {
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "url.scheme": scope["scheme"],
                "network.protocol.version": scope["http_version"],
            },
            start_time=_nanoseconds(self._now()),
        )
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = attach(set_span_in_context(span))
        try:
            await app(scope, receive, noting)
        finally:
            detach(token)
            if status not in _UNRECORDED:  # a span that does not end is never handed on
                self._end_call(span, status)

    def _end_call(self, span: Span, status: int) -> None:
        if status:
            span.set_attribute("http.response.status_code", status)
        if not status or status >= 500:  # the caller's mistakes are no errors of a server
            span.set_attribute("error.type", str(status) if status else "no-answer")
            span.set_status(StatusCode.ERROR)
        span.end(_nanoseconds(self._now()))

    def _caller(self, scope: Scope) -> Context:
        named = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        return self._propagator.extract(named, Context())

    def kept(self, arrivals: Sequence[Arrival], answers: Sequence[Kept], *, since: datetime) -> None:
        """Messages were routed and are durable; the span of their call, if any, is the current one."""
        call = get_current_span()
        if not arrivals or (call.get_span_context().is_valid and not call.is_recording()):
            return
        span = self._tracer.start_span(
            "keep messages",
            attributes={
                "reconciler.revision": arrivals[0].revision,
                "reconciler.messages": len(arrivals),
                "reconciler.messages.fresh": sum(kept is Kept.FRESH for kept in answers),
                "reconciler.message.id": [each.message.id for each in arrivals[:_MOST_IDS]],
                "reconciler.device_type": sorted({each.message.device_type for each in arrivals[:_MOST_IDS]}),
            },
            start_time=_nanoseconds(since),
        )
        if span.is_recording():
            span.end(_nanoseconds(self._now()))
            context = (call if call.is_recording() else span).get_span_context()
            for arrival, kept in zip(arrivals, answers, strict=True):
                if kept is not Kept.REPEATED and (arrival.held or arrival.queued or arrival.again):
                    self._calls[arrival.message.id] = context
            while len(self._calls) > _REMEMBERED:
                self._calls.popitem(last=False)

    def attempted(self, settlement: Settlement) -> None:
        """An attempt ended, and its settlement is durable."""
        delivery, attempt = settlement.lease.delivery, settlement.attempt
        call = self._calls.get(delivery.id.message)
        attributes: dict[str, AttributeValue] = {
            "reconciler.message.id": delivery.id.message,
            "reconciler.delivery.id": str(delivery.id),
            "reconciler.device_type": delivery.callback.device_type,
            "reconciler.callback": str(delivery.callback),
            "reconciler.revision": delivery.revision,
            "reconciler.try": delivery.tries + 1,
            "reconciler.step": settlement.step.kind,
        }
        request, outcome = delivery.request, attempt.outcome
        over_http = isinstance(request, HttpRequest)
        if isinstance(request, HttpRequest):
            attributes |= {
                "http.request.method": request.method,
                "url.scheme": request.scheme,
                "server.address": request.host,
                "server.port": request.port,
            }
            if delivery.tries:
                attributes["http.request.resend_count"] = delivery.tries
        match outcome:
            case Accepted() | Refused():
                attributes["http.response.status_code" if over_http else "reconciler.smtp.reply_code"] = outcome.status
                if isinstance(outcome, Refused):
                    attributes["error.type"] = str(outcome.status)
            case Unreachable():
                attributes["error.type"] = outcome.reason
        began = _nanoseconds(attempt.started_at)
        span = self._tracer.start_span(
            request.method if isinstance(request, HttpRequest) else "send mail",
            Context(),  # a root: the task that settles was begun by anybody's call
            SpanKind.CLIENT,
            attributes,
            links=() if call is None else (Link(call),),
            start_time=began,
        )
        if not isinstance(outcome, Accepted):
            span.set_status(StatusCode.ERROR)
        span.end(began + attempt.duration // _MICROSECOND * 1_000)

    async def close(self, *, within: timedelta) -> None:
        """Hand over what was recorded; what is not handed over in time is given up."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        # A thread that nobody waits for at the end of the process: the SDK's own wait is 30 seconds.
        threading.Thread(target=shut_down, name="traces-close", daemon=True).start()
        try:
            async with asyncio.timeout(within.total_seconds()):
                await done.wait()
        except TimeoutError:
            log.warning("traces.cut-off", extra={"seconds": within.total_seconds()})


class Watched(SpanExporter):
    """An exporter whose failures are one event a minute; runs in the thread of the SDK that exports."""

    def __init__(self, exporter: SpanExporter, *, clock: Callable[[], float] = monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._pace = Pace(burst=1, interval=_TOLD_EVERY)
        self._lost = 0
        self._cause = "unknown"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export them, and tell if that was not possible."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if not self._pace.wait(self._clock()):
                log.warning("traces.not-exported", extra={"spans": self._lost, "cause": self._cause})
                self._lost = 0
        return result

    def heard(self, record: logging.LogRecord) -> bool:
        """A filter for the exporter's own log: remembers why it failed, and lets nothing pass.

        What it says holds the collector's whole address, in which some have their key: of an exception only the name
        of its class is kept.
        """
        for argument in record.args if isinstance(record.args, tuple) else ():
            match argument:
                case BaseException():
                    self._cause = type(argument).__name__
                case int():
                    self._cause = f"status {argument}"
                case _:
                    pass
        return False

    def shutdown(self) -> None:
        """Let go of connections, and stop trying again."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


def open_telemetry(*, now: Callable[[], datetime], processor: SpanProcessor | None = None) -> OpenTelemetry:
    """Tracing as the variables OTEL_… say, to their collector over OTLP/HTTP.

    `processor` gets the spans instead, in tests.

    Raises:
        ValueError, OSError: a variable has a value that the SDK can not work with.
    """
    # The SDK lets OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what is given here as a default.
    detected = Resource.create({SERVICE_VERSION: __version__})
    if str(detected.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        detected = detected.merge(Resource({SERVICE_NAME: "reconciler"}))
    provider = TracerProvider(resource=detected, shutdown_on_exit=False)
    provider.add_span_processor(processor or _exporting())
    return OpenTelemetry(provider, now=now)


def _exporting() -> SpanProcessor:
    watched = Watched(OTLPSpanExporter())
    exporting = BatchSpanProcessor(watched)
    # From here on trouble is told by `Watched` alone; mistakes in variables were told while they were read.
    logging.getLogger(_SDK_LOGGER).setLevel(logging.CRITICAL)
    exporter_log = logging.getLogger(_EXPORTER_LOGGER)
    exporter_log.setLevel(logging.WARNING)
    exporter_log.addFilter(watched.heard)
    return exporting


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1_000
