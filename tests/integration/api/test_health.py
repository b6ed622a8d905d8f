"""`/healthz`, `/readyz`, `/metrics`, and what is said when something is broken."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

import pytest
from starlette.requests import Request

from reconciler.errors import StoreError
from reconciler.model.delivery import Refused, State
from reconciler.model.message import Message
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.metrics import Metrics
from reconciler.runtime.api.room import Room
from reconciler.runtime.channels.pool import Counters
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import TOKENS, UPLINK, Rig, in_process, uplinks


class BrokenStore(MemoryStore):
    """Works until a test breaks it."""

    error: Exception | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    async def next_claim_at(self) -> datetime | None:
        self._check()
        return await super().next_claim_at()

    async def counts(self) -> Mapping[State, int]:
        self._check()
        return await super().counts()

    async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
        self._check()
        return await super().messages_of(device, limit=limit)


async def samples(rig: Rig) -> dict[str, float]:
    response = await rig.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = (line.rpartition(" ") for line in response.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_a_running_engine_is_ready(rig: Rig) -> None:
    response = await rig.client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"engine": "ok", "store": "ok", "room": "ok"}}


async def test_a_stopped_engine_lives_and_is_not_ready(rig: Rig) -> None:
    await rig.engine.stop()
    response = await rig.client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "not-ready", "checks": {"engine": "not running", "store": "ok", "room": "ok"}}
    assert (await rig.client.get("/healthz")).status_code == 200


async def test_a_store_that_fails_is_named_and_every_door_says_503() -> None:
    store = BrokenStore()
    async with in_process(store) as rig:
        store.error = StoreError("the disk is on fire")
        ready = await rig.client.get("/readyz")
        metrics = await rig.client.get("/metrics")
        messages = await rig.client.get("/v1/messages?device=1C178")
        alive = await rig.client.get("/healthz")

    assert (ready.status_code, ready.json()["checks"]["store"]) == (503, "failed: the disk is on fire")
    assert (metrics.status_code, metrics.json()["code"]) == (503, "store-failed")
    assert (messages.status_code, messages.json()["code"]) == (503, "store-failed")
    assert alive.status_code == 200


async def test_a_failure_that_only_a_request_met_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Unreadable(MemoryStore):
        async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
            raise StoreError(f"{device} is on a bad sector")

    async with in_process(Unreadable()) as rig:
        for device in ("1C178", "2A"):
            await rig.client.get(f"/v1/messages?device={device}")
        found = await samples(rig)

    assert found["reconciler_store_failures_total"] == 2
    assert [vars(record)["error"] for record in caplog.records if record.message == "store.failed"] == [
        "1C178 is on a bad sector",
        "2A is on a bad sector",
    ]


async def test_a_bug_is_answered_without_a_traceback_and_logged_with_one(caplog: pytest.LogCaptureFixture) -> None:
    store = BrokenStore()
    async with in_process(store) as rig:
        store.error = ZeroDivisionError("a secret of the engine")
        response = await rig.client.get("/v1/messages?device=1C178")

    assert (response.status_code, response.json()["code"]) == (500, "bug")
    assert "secret" not in response.text
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["api.bug"]
    assert "a secret of the engine" in caplog.text


async def test_metrics_count_messages_deliveries_and_attempts(rig: Rig) -> None:
    await rig.publish()
    await rig.deliver(*uplinks(3))
    await rig.client.post("/v1/messages", json=[uplinks(1)[0], 7, {**UPLINK, "deviceType": "lamp"}])
    rig.outcome = Refused(500)
    await rig.deliver({**UPLINK, "seqNumber": 9})
    found = await samples(rig)

    assert found['reconciler_messages_total{result="accepted"}'] == 5
    assert found['reconciler_messages_total{result="repeated"}'] == 1
    assert found['reconciler_messages_total{result="refused"}'] == 1
    assert found["reconciler_messages_unrouted_total"] == 1
    assert found['reconciler_attempts_total{outcome="accepted"}'] == 3
    assert found['reconciler_attempts_total{outcome="refused"}'] == 1
    assert found['reconciler_deliveries_finished_total{state="delivered"}'] == 3
    assert found['reconciler_deliveries{state="delivered"}'] == 3
    assert found['reconciler_deliveries{state="pending"}'] == 1
    assert found['reconciler_endpoint_pending{endpoint="https://ingest.example.com:443"}'] == 1
    assert found['reconciler_endpoint_oldest_due_seconds{endpoint="https://ingest.example.com:443"}'] == 0
    assert found["reconciler_revision"] == 1
    assert found["reconciler_attempt_duration_seconds_count"] == 4
    assert found['reconciler_attempt_duration_seconds_bucket{le="+Inf"}'] == 4
    assert found["reconciler_attempts_in_flight"] == 0


async def test_metrics_count_receptions_and_the_results_of_downlinks(rig: Rig) -> None:
    await rig.publish()
    await rig.ingest(*({**UPLINK, "station": station} for station in ("0AF0", "37FF", "1D44")))
    result = {"type": "acknowledge", "device": "1C178", "deviceType": "tracker", "time": 1_700_000_000}
    await rig.ingest(*({**result, "infoCode": code} for code in (0, 4, 0)))  # the third repeats the first
    found = await samples(rig)

    assert found['reconciler_messages_total{result="accepted"}'] == 5
    assert found["reconciler_receptions_total"] == 2
    assert found['reconciler_downlinks_total{result="acked"}'] == 1
    assert found['reconciler_downlinks_total{result="network-error"}'] == 1
    assert found['reconciler_downlinks_total{result="no-answer"}'] == 0
    assert found['reconciler_messages_made_total{type="data-advanced"}'] == 0
    assert 'reconciler_downlinks_total{result="pending"}' not in found


async def test_metrics_count_what_the_engine_reports_itself(rig: Rig) -> None:
    await rig.publish([{"kind": "create", "key": "tracker", "after": {"downlink": {"mode": "callback"}}}])
    await rig.ingest({**UPLINK, "ack": True})
    invalid = 'reconciler_downlinks_total{result="invalid-configuration"}'
    async with asyncio.timeout(10):
        while not (found := await samples(rig))[invalid]:
            await asyncio.sleep(0)

    assert found['reconciler_messages_made_total{type="acknowledge"}'] == 1


async def test_metrics_tell_of_connections_when_the_channel_counts_them(rig: Rig) -> None:
    scope = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
    metrics = Metrics(rig.engine, Access(TOKENS), Room(rig.store), Counters(opened=2, reused=40))
    told = await metrics.scrape(Request(scope))

    assert b'reconciler_attempt_connections_total{from="opened"} 2\n' in told.body
    assert b'reconciler_attempt_connections_total{from="reused"} 40\n' in told.body


async def test_buckets_of_the_histogram_only_grow(rig: Rig) -> None:
    await rig.publish()
    await rig.deliver(*uplinks(5))
    buckets = [value for name, value in (await samples(rig)).items() if "_bucket" in name]

    assert buckets == sorted(buckets)
