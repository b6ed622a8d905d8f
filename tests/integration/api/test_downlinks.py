"""`GET /v1/downlinks`."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from reconciler.errors import StoreError
from reconciler.model.delivery import Accepted
from reconciler.model.downlink import Downlink
from reconciler.model.message import Message
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import ALL, CALLBACK, CHANGES, DIRECT, UPLINK, Rig, in_process, serving

ASKING = {**UPLINK, "ack": True, "station": "0AF0"}
ANSWERED = Accepted(200, b'{"1C178":{"downlinkData":"0011223344556677"}}')


async def ready(rig: Rig, count: int = 1) -> list[str]:
    """Downlinks for that many devices, oldest first; the ids of the messages that asked."""
    if rig.engine.revision.number == 0:
        await rig.publish([{"kind": "create", "key": "tracker", "after": DIRECT}])
    return await rig.ingest(*({**ASKING, "device": f"A{number}"} for number in range(count)))


async def poll(rig: Rig, **params: Any) -> list[dict[str, Any]]:
    response = await rig.client.get("/v1/downlinks", params=params)
    assert response.status_code == 200, response.text
    downlinks: list[dict[str, Any]] = response.json()["downlinks"]
    return downlinks


class WatchedStore(MemoryStore):
    """Tells when it was asked for downlinks."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def serve_downlinks(
        self, *, limit: int, now: datetime, message: str | None = None, device_type: str | None = None
    ) -> Sequence[Downlink]:
        served = await super().serve_downlinks(limit=limit, now=now, message=message, device_type=device_type)
        self.asked.set()
        return served


async def test_a_downlink_is_answered_with_once_and_says_which_message_asked(rig: Rig) -> None:
    await rig.publish(
        [
            {"kind": "create", "key": "tracker", "after": {"downlink": {"mode": "callback"}}},
            {**CHANGES[1], "after": {**CALLBACK, "type": "data/bidir", "downlinkHook": True}},
        ]
    )
    rig.outcome = ANSWERED
    (asked,) = await rig.deliver(ASKING)
    (downlink,) = await poll(rig)

    assert downlink.pop("askedAt") < downlink.pop("notAfter")
    assert downlink == {
        "message": asked,
        "device": "1C178",
        "deviceType": "tracker",
        "data": "0011223344556677",
        "time": UPLINK["time"],
        "seqNumber": UPLINK["seqNumber"],
        "station": "0AF0",
    }
    assert await poll(rig) == []


async def test_the_oldest_come_first_and_no_more_than_asked_for(rig: Rig) -> None:
    asked = await ready(rig, 5)
    polls = [await poll(rig, limit=2) for _ in range(3)]

    assert [[each["message"] for each in served] for served in polls] == [asked[:2], asked[2:4], asked[4:]]


async def test_a_network_fetches_those_of_its_own_device_type(rig: Rig) -> None:
    (asked,) = await ready(rig)

    assert await poll(rig, deviceType="valve") == []
    assert [each["message"] for each in await poll(rig, deviceType="tracker")] == [asked]


async def test_head_takes_nothing(rig: Rig) -> None:
    (asked,) = await ready(rig)
    response = await rig.client.head("/v1/downlinks")

    assert response.status_code == 200
    assert [each["message"] for each in await poll(rig)] == [asked]


async def test_who_waits_is_answered_as_soon_as_there_is_one() -> None:
    store = WatchedStore()
    async with asyncio.timeout(10), in_process(store) as rig:
        waiting = asyncio.create_task(poll(rig, wait="60s"))
        await store.asked.wait()
        (asked,) = await ready(rig)
        served = await waiting

    assert [each["message"] for each in served] == [asked]


async def test_one_downlink_goes_to_one_of_those_who_wait() -> None:
    store = WatchedStore()
    async with asyncio.timeout(10), in_process(store) as rig:
        waiting = [asyncio.create_task(poll(rig, wait="60s")) for _ in range(3)]
        await store.asked.wait()
        asked = [*await ready(rig), *await rig.ingest({**ASKING, "device": "B"}, {**ASKING, "device": "C", "time": 7})]
        served: list[str] = []
        while len(served) < 3:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            served += [each["message"] for task in done for each in task.result()]
            waiting = [task for task in waiting if task not in done]
        rig.stopping.set()
        rest = [each for task in waiting for each in await task]

    assert sorted(served) == sorted(asked)
    assert rest == []


@pytest.mark.parametrize("who", ["server", "engine"])
async def test_waiting_ends_with_an_answer_when_the_server_or_the_engine_stops(who: str) -> None:
    store = WatchedStore()
    async with asyncio.timeout(10), serving(store) as served:
        waiting = asyncio.create_task(poll(served.rig, wait="60s"))
        await store.asked.wait()
        if who == "server":
            served.rig.stopping.set()
        else:
            await served.rig.engine.stop()

        assert await waiting == []


async def test_a_client_that_hung_up_takes_nothing() -> None:
    store = WatchedStore()
    async with asyncio.timeout(10), serving(store) as served:
        _, writer = await served.connect()
        head = f"GET /v1/downlinks?wait=60s HTTP/1.1\r\nHost: engine\r\nAuthorization: Bearer {ALL}\r\n\r\n"
        writer.write(head.encode())
        await store.asked.wait()
        writer.close()
        await writer.wait_closed()
        for _ in range(3):  # by then the server has read that it is gone
            await served.rig.client.get("/healthz")
        (asked,) = await ready(served.rig)

        assert [each["message"] for each in await poll(served.rig)] == [asked]


class ForgetfulStore(MemoryStore):
    """Cannot say which messages there are."""

    async def receptions(self, event: str) -> Sequence[Message]:
        raise StoreError("the disk is on fire")


async def test_what_was_given_away_goes_out_though_its_message_cannot_be_read() -> None:
    async with in_process(ForgetfulStore()) as rig:
        (asked,) = await ready(rig)
        (downlink,) = await poll(rig)

    assert (downlink["message"], downlink["data"]) == (asked, "0011223344556677")
    assert (downlink["time"], downlink["seqNumber"], downlink["station"]) == (None, None, None)


class FailingStore(MemoryStore):
    """Gives nothing away."""

    async def serve_downlinks(
        self, *, limit: int, now: datetime, message: str | None = None, device_type: str | None = None
    ) -> Sequence[Downlink]:
        raise StoreError("the disk is on fire")


async def test_a_store_that_fails_is_told_and_nothing_is_lost() -> None:
    async with in_process(FailingStore()) as rig:
        response = await rig.client.get("/v1/downlinks")

    assert (response.status_code, response.json()["code"]) == (503, "store-failed")


async def test_an_engine_that_is_stopped_says_so(rig: Rig) -> None:
    await rig.engine.stop()
    response = await rig.client.get("/v1/downlinks")

    assert (response.status_code, response.json()["code"]) == (503, "engine-stopping")


@pytest.mark.parametrize(
    "params", [{"wait": "61s"}, {"wait": "-1s"}, {"wait": "1m"}, {"wait": "1.5s"}, {"limit": "0"}, {"limit": "1001"}]
)
async def test_a_poll_that_makes_no_sense_is_refused(rig: Rig, params: dict[str, str]) -> None:
    response = await rig.client.get("/v1/downlinks", params=params)

    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


async def test_an_answer_is_not_to_be_kept_by_anybody(rig: Rig) -> None:
    assert (await rig.client.get("/v1/downlinks")).headers["cache-control"] == "no-store"
