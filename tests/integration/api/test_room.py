"""Back-pressure: when there is no room, messages are refused; nothing acknowledged is lost, and nobody restarts it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive

from reconciler.errors import StoreError, StoreFull
from reconciler.model.delivery import Refused, State
from reconciler.runtime.api.application import application
from reconciler.runtime.api.room import Disk, Room, RoomBounds
from reconciler.store.memory import MemoryStore
from tests.builders import NOW, a_delivery, a_message, an_arrival
from tests.integration.api.rig import ALL, TOKENS, UPLINK, Rig, in_process, uplinks
from tests.virtual_time import run

GIB = 1024**3


class Tally(MemoryStore):
    """Says what a test wants of what is pending."""

    pending = 0
    error: StoreError | None = None

    async def counts(self) -> Mapping[State, int]:
        if self.error is not None:
            raise self.error
        return {**await super().counts(), State.PENDING: self.pending}


@asynccontextmanager
async def with_room(rig: Rig, room: Room) -> AsyncIterator[httpx.AsyncClient]:
    app: Any = application(rig.engine, TOKENS, stopping=rig.stopping, room=room)
    headers = {"Authorization": f"Bearer {ALL}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://e", headers=headers) as client:
        yield client


WAYS_IN = [
    ("POST", "/v1/messages", {"json": UPLINK}),
    ("POST", "/v1/messages", {"json": [UPLINK] * 3}),
    ("GET", "/v1/in/operator/uplink?deviceType=tracker&device=1C178&time=1&data=00", {}),
    ("POST", "/v1/deliveries/replay", {"json": {"state": "undelivered"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WAYS_IN)
@pytest.mark.parametrize(("bound", "code"), [("pending", "too-many-pending"), ("disk", "disk-almost-full")])
async def test_while_it_is_full_nothing_comes_in_and_what_is_in_stays(
    bound: str, code: str, method: str, path: str, body: dict[str, Any]
) -> None:
    store, disk = Tally(), Disk(100 * GIB, 50 * GIB)
    async with in_process(store) as rig:
        room = Room(store, RoomBounds(pending=1_000, free_bytes=GIB), disk=lambda: disk)
        async with with_room(rig, room) as client:
            await client.post("/v1/messages", json={**UPLINK, "seqNumber": 1})
            await room.look()
            assert room.full is None
            store.pending, disk = (1_001, disk) if bound == "pending" else (0, Disk(100 * GIB, GIB - 1))
            await room.look()
            refused = await client.request(method, path, **body)
            ready = await client.get("/readyz")
            metrics = (await client.get("/metrics")).text
            published = await client.post(
                "/v1/revisions", json={"owner": "o", "changes": []}, headers={"If-Match": '"0"'}
            )
            store.pending, disk = 0, Disk(100 * GIB, 50 * GIB)
            await room.look()
            again = await client.request(method, path, **body)
            kept = await store.messages_of("1C178", limit=9)

    assert (refused.status_code, refused.json()["code"]) == (503, code)
    assert int(refused.headers["retry-after"]) >= 5
    assert (ready.status_code, ready.json()["checks"]["room"]) == (503, f"full: {bound}")
    assert f'reconciler_room_full{{bound="{bound}"}} 1\n' in metrics
    assert published.status_code == 422, "publishing goes on"
    assert again.status_code in (200, 202)
    assert 1 in {message.sequence_number for message in kept}


async def test_who_is_full_stays_so_until_there_is_some_room() -> None:
    store = Tally()
    room = Room(store, RoomBounds(pending=1_000))
    told = []
    for store.pending in (1_000, 1_001, 1_000, 951, 950, 1_000):
        await room.look()
        told.append(room.full)

    assert told == [None, "pending", "pending", "pending", None, None]


async def test_what_waits_for_its_turn_fills_it_too() -> None:
    store = MemoryStore()
    room = Room(store, RoomBounds(pending=2))
    for number, full in ((1, None), (2, None), (3, "pending")):
        message = a_message(number)
        arrival = an_arrival(message, queued=[a_delivery(message, ordered=True)])
        await store.accept([arrival], worker="w", lease=timedelta(minutes=2), now=NOW)
        await room.look()
        assert room.full == full


@pytest.mark.parametrize(
    ("total", "least"), [(100 * GIB, 256 * 1024**2), (GIB, GIB // 20), (5 * 1024**3, 256 * 1024**2)]
)
def test_a_small_disk_keeps_a_share_free(total: int, least: int) -> None:
    assert RoomBounds().least_free(Disk(total, total)) == least
    assert RoomBounds(free_bytes=7).least_free(Disk(total, total)) == 7


@pytest.mark.parametrize("error", [StoreError("away"), StoreFull("full")])
async def test_what_can_not_be_found_out_changes_nothing(error: StoreError) -> None:
    store = Tally()
    room = Room(store, RoomBounds(pending=1))
    store.pending = 2
    await room.look()
    store.error = error
    await room.look()
    while_away = room.full
    store.error, store.pending = None, 0
    await room.look()
    assert (while_away, room.full) == ("pending", None)


def test_it_looks_again_each_second() -> None:
    run(_looks_each_second())


async def _looks_each_second() -> None:
    store = Tally()
    room = Room(store, RoomBounds(pending=1))
    watching = asyncio.create_task(room.watch())
    await asyncio.sleep(0.5)
    store.pending = 2
    await asyncio.sleep(1.1)
    while_full = room.full
    store.pending = 0
    await asyncio.sleep(1.1)
    watching.cancel()
    assert (while_full, room.full) == ("pending", None)


async def test_a_receiver_that_is_down_fills_it_and_nothing_acknowledged_is_lost() -> None:
    store = MemoryStore()
    async with in_process(store) as rig:
        room = Room(store, RoomBounds(pending=20))
        await rig.publish()
        rig.outcome = Refused(500)
        acknowledged, refused = list[str](), 0
        async with with_room(rig, room) as client:
            for message in uplinks(50):
                await room.look()
                answer = await client.post("/v1/messages", json=message)
                if answer.status_code == 202:
                    acknowledged += answer.json()["ids"]
                else:
                    refused += 1
        counts = await store.counts()

    assert (len(acknowledged), refused) == (21, 29)
    assert sum(counts.values()) == len(acknowledged)


# Memory


async def test_bodies_of_all_other_doors_are_bounded_together_and_room_comes_back() -> None:
    async with in_process(MemoryStore()) as rig:
        app = application(rig.engine, TOKENS, stopping=rig.stopping)
        part, begun, go_on = b" " * (40 * 1024 * 1024), asyncio.Event(), asyncio.Event()

        async def answer_to(receive: Receive) -> tuple[int, dict[bytes, bytes]]:
            sent: list[Message] = []

            async def send(event: Message) -> None:
                sent.append(event)

            headers = [(b"authorization", f"Bearer {ALL}".encode()), (b"if-match", b'"0"')]
            path = "/v1/revisions"
            scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
            await app(scope, receive, send)
            return sent[0]["status"], dict(sent[0]["headers"])

        async def in_parts() -> Message:
            if not begun.is_set():
                begun.set()
                return {"type": "http.request", "body": part, "more_body": True}
            await go_on.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def whole() -> Message:
            return {"type": "http.request", "body": part}

        first = asyncio.create_task(answer_to(in_parts))
        await begun.wait()
        await asyncio.sleep(0)  # let the door count what it was given
        second, headers = await answer_to(whole)
        go_on.set()

        assert (second, headers[b"retry-after"]) == (503, b"1")
        assert ((await first)[0], (await answer_to(whole))[0]) == (400, 400), "blanks are no JSON"
