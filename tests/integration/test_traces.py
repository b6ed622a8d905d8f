"""Traces: which spans there are, what they hold, what they must not hold, and a collector that is not there."""

import asyncio
import logging
import queue
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from socketserver import TCPServer
from typing import Any, cast

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from reconciler.model.delivery import Refused, Unreachable
from reconciler.runtime.api.application import application
from reconciler.runtime.clock import utc_now
from reconciler.runtime.open_telemetry import OpenTelemetry, Watched, open_telemetry
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import ALL, CALLBACK, TOKENS, UPLINK, Rig, in_process, uplinks
from tests.journeys.processes import PATIENCE, engine_process, receiving, run

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET_QUERY = {**CALLBACK, "url": "https://ingest.example.com/uplink/{device}?key=${secret.INGEST_TOKEN}&t=hidden"}


class Traced:
    """A rig whose doors and engine are traced into memory."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.exporter = InMemorySpanExporter()
        self.tracing: OpenTelemetry = open_telemetry(now=utc_now, processor=SimpleSpanProcessor(self.exporter))
        rig.engine.events.tracing = self.tracing
        app = self.tracing.doors(application(rig.engine, TOKENS, stopping=rig.stopping))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://engine",
            headers={"Authorization": f"Bearer {ALL}"},
        )

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.kind is kind]

    async def post(self, *messages: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post("/v1/messages", json=messages, headers=headers)


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    async with tracing_rig() as traced:
        yield traced


@asynccontextmanager
async def tracing_rig() -> AsyncIterator[Traced]:
    async with in_process(MemoryStore()) as rig:
        await rig.publish([{"kind": "create", "key": "tracker", "after": {}}, created("telemetry", SECRET_QUERY)])
        traced = Traced(rig)
        async with traced.client:
            yield traced


def created(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "create", "key": f"tracker/{name}", "after": content}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


async def test_a_call_what_was_kept_and_each_attempt_are_spans_that_lead_to_each_other(traced: Traced) -> None:
    async with traced.rig.attempts(1):
        answer = await traced.post(UPLINK, traceparent=CALLER)
    (message,) = answer.json()["ids"]
    (call,), (kept,), (attempt,) = map(traced.spans, (SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT))

    assert call.parent is not None
    assert (f"{call.parent.trace_id:x}", f"{call.parent.span_id:x}") == (CALLER[4:35].lstrip("0"), CALLER[36:52])
    assert call.name == "POST /v1/messages"
    assert attributes(call) == {
        "http.request.method": "POST",
        "url.path": "/v1/messages",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "http.response.status_code": 202,
    }
    assert kept.parent == call.context
    assert attributes(kept) == {
        "reconciler.revision": 1,
        "reconciler.messages": 1,
        "reconciler.messages.fresh": 1,
        "reconciler.message.id": (message,),
        "reconciler.device_type": ("tracker",),
    }
    assert attempt.parent is None
    assert [link.context for link in attempt.links] == [call.context]
    assert attributes(attempt) == {
        "reconciler.message.id": message,
        "reconciler.delivery.id": f"{message}.0",
        "reconciler.device_type": "tracker",
        "reconciler.callback": "tracker/telemetry",
        "reconciler.revision": 1,
        "reconciler.try": 1,
        "reconciler.step": "done",
        "http.request.method": "POST",
        "url.scheme": "https",
        "server.address": "ingest.example.com",
        "server.port": 443,
        "http.response.status_code": 200,
    }
    for span in (call, kept, attempt):
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
        assert abs(span.start_time - time.time_ns()) < 60e9
    assert "traceparent" not in dict(traced.rig.sent[0].headers), "a receiver must not be able to tell"


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (Refused(503), "503", 503),
        (Refused(302), "302", 302),
        (Unreachable("connection-refused", "Nobody listens there."), "connection-refused", None),
    ],
)
async def test_an_attempt_that_fails_says_how(
    traced: Traced, outcome: Refused | Unreachable, error: str, status: int | None
) -> None:
    traced.rig.outcome = outcome
    async with traced.rig.attempts(1):
        await traced.post(UPLINK)
    (attempt,) = traced.spans(SpanKind.CLIENT)
    told = attributes(attempt)

    assert attempt.status.status_code is StatusCode.ERROR
    assert (told["error.type"], told.get("http.response.status_code")) == (error, status)
    assert told["reconciler.step"] == "retry-at"


async def test_a_call_of_many_messages_is_one_span_and_every_attempt_leads_to_it(traced: Traced) -> None:
    async with traced.rig.attempts(150):
        answer = await traced.post(*uplinks(150))
    (call,), (kept,) = map(traced.spans, (SpanKind.SERVER, SpanKind.INTERNAL))
    attempts = traced.spans(SpanKind.CLIENT)

    assert attributes(kept)["reconciler.messages"] == 150
    assert len(attributes(kept)["reconciler.message.id"]) == 100, "bounded, whatever a call brings"
    assert {attributes(each)["reconciler.message.id"] for each in attempts} == set(answer.json()["ids"])
    assert all(link.context == call.context for each in attempts for link in each.links)
    assert all(each.links for each in attempts)


async def test_nothing_that_devices_send_and_no_query_or_secret_is_in_a_span(traced: Traced) -> None:
    async with traced.rig.attempts(1):
        await traced.post(UPLINK)
    told = "".join(span.to_json() for span in traced.exporter.get_finished_spans())

    for hidden in (UPLINK["data"], "hidden", "INGEST_TOKEN", "/uplink/", "1C178", ALL, "thanks"):
        assert hidden not in told


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/messages", {"Authorization": "Bearer rk_wrong"}, 401),
        ("POST", "/v1/in/nowhere", {}, 404),
        ("GET", "/v1/in/chirpstack", {}, 405),
        ("GET", "/metrics", {}, 200),
        ("GET", "/v1/messages?device=1C178", {}, 200),
    ],
)
async def test_strangers_and_other_doors_leave_no_span(
    traced: Traced, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await traced.client.request(method, path, headers={**headers, "traceparent": CALLER})

    assert answer.status_code == status
    assert traced.exporter.get_finished_spans() == ()


async def test_a_call_that_is_refused_is_a_span_without_messages(traced: Traced) -> None:
    await traced.post({"device": 7})
    (call,) = traced.exporter.get_finished_spans()

    assert attributes(call)["http.response.status_code"] == 422
    assert call.status.status_code is StatusCode.UNSET, "the caller's mistake is no error of ours"


async def test_what_the_sampler_leaves_out_is_no_span_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with tracing_rig() as traced:
        async with traced.rig.attempts(1):
            await traced.post(UPLINK)
        assert traced.exporter.get_finished_spans() == ()
        async with traced.rig.attempts(1):
            await traced.post({**UPLINK, "seqNumber": 8}, traceparent=CALLER)
        assert [span.kind for span in traced.exporter.get_finished_spans()] == [SpanKind.INTERNAL, SpanKind.SERVER]


# The collector


class Failing(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.FAILURE


def test_a_collector_that_fails_is_one_event_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    times = iter((0.0, 1.0, 59.0, 61.0))
    watched = Watched(Failing(), clock=lambda: next(times))
    error = ConnectionError("http://collector.example/v1/traces?key=secret")
    assert not watched.heard(logging.makeLogRecord({"msg": "%s", "args": (error,)}))
    for _ in range(4):
        assert watched.export(cast("Any", ["span"] * 10)) is SpanExportResult.FAILURE
    told = [(record.message, vars(record)["spans"], vars(record)["cause"]) for record in caplog.records]

    assert told == [("traces.not-exported", 10, "ConnectionError"), ("traces.not-exported", 30, "ConnectionError")]


@contextmanager
def collecting() -> Iterator[tuple[str, "queue.Queue[ExportTraceServiceRequest]"]]:
    """A collector on a socket: OTLP over HTTP, in protobuf."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    exports: queue.Queue[ExportTraceServiceRequest] = queue.Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            exports.put(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", exports
        finally:
            server.shutdown()
            thread.join()


def publication(url: str) -> dict[str, Any]:
    callback = {"type": "data/uplink", "channel": "url", "url": f"{url}/{{device}}", "method": "GET"}
    device_type = {"kind": "create", "key": "tracker", "after": {}}
    return {"owner": "test", "by": "test", "changes": [device_type, created("telemetry", callback)]}


def test_an_engine_sends_its_traces_to_a_collector_and_the_last_ones_when_it_stops(tmp_path: Path) -> None:
    with collecting() as (url, exports), receiving() as receiver:
        # So long that nothing goes out before the end but by the flush.
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "fleet", "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with engine_process(tmp_path / "data", "--allow-egress", "private", env=env) as engine:
            engine.ask("POST", "/v1/revisions", json=publication(receiver.url), headers={"If-Match": '"0"'})
            with engine.following() as attempts:
                (message,) = engine.post(UPLINK)["ids"]
                next(attempts)
            assert engine.stop() == 0
        (delivered,) = receiver.take(1)
        spans, services = [], []
        while not exports.empty():
            for resource in exports.get().resource_spans:
                services += [
                    each.value.string_value for each in resource.resource.attributes if "service.name" in each.key
                ]
                spans += [span for scope in resource.scope_spans for span in scope.spans]

    assert set(services) == {"fleet"}
    by_name = {span.name: span for span in spans}
    assert sorted(by_name) == ["GET", "POST /v1/messages", "keep messages"]
    ids = [each.value.string_value for each in by_name["GET"].attributes if each.key == "reconciler.message.id"]
    assert ids == [message]
    assert by_name["GET"].links[0].span_id == by_name["POST /v1/messages"].span_id
    assert not any("trace" in name.lower() for name in delivered.headers)


def test_a_collector_that_is_not_there_neither_slows_deliveries_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The receiver is not what is measured: with a short queue it lets half of 64 connections wait for seconds.
    monkeypatch.setattr(TCPServer, "request_queue_size", 128)
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with receiving() as receiver, engine_process(tmp_path / "data", "--allow-egress", "private", env=env) as engine:
        engine.ask("POST", "/v1/revisions", json=publication(receiver.url), headers={"If-Match": '"0"'})
        with engine.following() as attempts:
            began = time.monotonic()
            messages = uplinks(600)
            for start in range(0, 600, 200):
                engine.post(*messages[start : start + 200])
            told = [next(attempts) for _ in range(600)]
            took = time.monotonic() - began
        engine_said_by = time.monotonic() + PATIENCE
        while not any("traces.not-exported" in line for line in engine.log):
            assert time.monotonic() < engine_said_by
            time.sleep(0.05)
        began = time.monotonic()
        assert engine.stop() == 0
        stopped = time.monotonic() - began
    said = [line for line in engine.log if "traces." in line or "opentelemetry" in line.lower() or "span" in line]

    assert len({each["id"] for each in told if each["state"] == "delivered"}) == 600
    assert took < 5, "600 deliveries take half a second"
    assert stopped < 15, "three seconds are the bound"
    assert sum("traces.not-exported" in line for line in said) == 1
    assert all("traces.not-exported" in line or "traces.cut-off" in line for line in said), said


async def test_closing_gives_up_on_a_collector_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    from threading import Event

    hanging = Event()

    class Hanging(SimpleSpanProcessor):
        def shutdown(self) -> None:
            hanging.wait(PATIENCE)

    tracing = open_telemetry(now=utc_now, processor=Hanging(InMemorySpanExporter()))
    async with asyncio.timeout(PATIENCE / 2):
        await tracing.close(within=timedelta(seconds=0.05))
    hanging.set()

    assert [record.message for record in caplog.records] == ["traces.cut-off"]


# Asked for, and not to be had


@pytest.mark.parametrize(
    ("options", "variables", "code", "said"),
    [
        (["--traces"], {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, 2, "traces-bad-settings"),
        (["--traces"], {"PYTHONPATH": "without"}, 2, 'pip install "reconciler[otel]"'),
    ],
)
def test_traces_that_can_not_be_made_are_one_sentence(
    tmp_path: Path, options: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    without(tmp_path)
    variables = {**variables, **({"PYTHONPATH": str(tmp_path)} if "PYTHONPATH" in variables else {})}
    ended = run("engine", "serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "data", *options, env=variables)

    assert (ended.code, said in ended.err) == (code, True), ended.err


def test_a_collector_in_the_environment_alone_does_not_keep_an_engine_from_starting(tmp_path: Path) -> None:
    without(tmp_path)
    env = {"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with engine_process(tmp_path / "data", env=env) as engine:
        assert sum("traces.not-installed" in line for line in engine.log) == 1
    with engine_process(tmp_path / "data", "--no-traces", env=env, token=engine.token) as engine:
        assert not any("traces." in line for line in engine.log)


def without(folder: Path) -> None:
    """Make a Python that starts with this folder on its path find no OpenTelemetry."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
