"""`GET /v1/deliveries/stream`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from reconciler.model.delivery import Refused
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import UPLINK, Served, serving, uplinks


@asynccontextmanager
async def tail(served: Served) -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines of a stream that is open."""
    async with asyncio.timeout(10), served.rig.client.stream("GET", "/v1/deliveries/stream") as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = _lines(response.aiter_bytes())
        assert await anext(lines) == b""  # it is open
        yield lines


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


async def next_attempt(lines: AsyncIterator[bytes]) -> dict[str, Any]:
    async for line in lines:
        if line:
            attempt: dict[str, Any] = orjson.loads(line)
            return attempt
    raise AssertionError("the stream ended")


async def test_every_attempt_is_a_line(served: Served) -> None:
    await served.rig.publish()
    async with tail(served) as lines:
        (first,) = await served.rig.ingest(UPLINK)
        delivered = await next_attempt(lines)
        served.rig.outcome = Refused(500, b"no")
        (second,) = await served.rig.ingest({**UPLINK, "seqNumber": 8})
        failed = await next_attempt(lines)

    assert (delivered["id"], delivered["state"], delivered["log"][0]["status"]) == (f"{first}.0", "delivered", 200)
    assert (failed["id"], failed["state"], failed["log"][0]["body"]) == (f"{second}.0", "pending", "no")
    assert failed["dueAt"] > failed["log"][0]["startedAt"]


async def test_a_reader_that_is_too_slow_is_told_how_much_it_missed(served: Served) -> None:
    await served.rig.publish()
    told = 0
    async with tail(served) as lines:
        await served.rig.deliver(*uplinks(3_000))  # in few groups: more than a subscriber may lag behind
        while told < 3_000:
            line = await next_attempt(lines)
            told += line.get("lost", 1)

    assert told == 3_000


async def test_a_silent_stream_shows_that_it_is_alive() -> None:
    async with serving(MemoryStore(), heartbeat_seconds=0.01) as served, tail(served) as lines:
        assert [await anext(lines) for _ in range(3)] == [b"", b"", b""]


async def test_a_stream_ends_when_the_server_stops(served: Served) -> None:
    async with tail(served) as lines:
        served.rig.stopping.set()

        assert [line async for line in lines if line] == []


async def test_a_stream_ends_when_the_engine_stops(served: Served) -> None:
    async with tail(served) as lines:
        await served.rig.engine.stop()

        assert [line async for line in lines if line] == []


async def test_a_reader_that_hangs_up_is_forgotten(served: Served) -> None:
    async with tail(served):
        pass
    # Stopping waits for what is open: it would not come back within the grace period.
    async with asyncio.timeout(5):
        await served.stop()


async def test_head_tells_the_form_and_ends(served: Served) -> None:
    response = await served.rig.client.head("/v1/deliveries/stream")

    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
