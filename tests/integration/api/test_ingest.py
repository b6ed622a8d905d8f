"""`POST /v1/messages`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from starlette.types import Message

from reconciler.errors import StoreError, StoreFull
from reconciler.model.message import MessageType
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.ingest import MAX_BODY_BYTES, MAX_MESSAGES, Ingest
from reconciler.runtime.api.room import Room
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Arrival, Kept
from tests.integration.api.rig import ALL, TOKENS, UPLINK, Rig, Served, in_process, read_answer, uplinks

NDJSON = {"Content-Type": "application/x-ndjson"}


async def kept(rig: Rig) -> int:
    return len(await rig.store.messages_of("1C178", limit=100_000))


class FailingStore(MemoryStore):
    """Keeps nothing, for the reason that a test gives."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error

    async def accept(
        self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: datetime
    ) -> Sequence[Kept]:
        raise self._error


async def test_one_message_is_kept_and_acknowledged(rig: Rig) -> None:
    await rig.publish()
    response = await rig.client.post("/v1/messages", json=UPLINK)
    (message,) = await rig.store.messages_of("1C178", limit=9)

    assert response.status_code == 202
    assert response.json() == {"accepted": 1, "repeated": 0, "ids": [message.id], "refused": [], "warnings": []}


async def test_a_repeated_message_is_recognised_and_has_its_id(rig: Rig) -> None:
    await rig.publish()
    first = await rig.ingest(UPLINK)
    response = await rig.client.post("/v1/messages", json=UPLINK)

    assert response.status_code == 202
    assert response.json() == {"accepted": 0, "repeated": 1, "ids": first, "refused": [], "warnings": []}
    assert await kept(rig) == 1


async def test_what_another_station_reported_before_is_accepted_and_counted(rig: Rig) -> None:
    await rig.publish()
    first = await rig.ingest({**UPLINK, "station": "0AF0"})
    one = (await rig.client.post("/v1/messages", json={**UPLINK, "station": "37FF"})).json()
    stations = [{**UPLINK, "station": station} for station in ("0AF0", "37FF", "1D44", "1D45")]
    many = (await rig.client.post("/v1/messages", json=stations)).json()

    assert one == {
        "accepted": 1, "repeated": 0, "receptions": 1, "ids": many["ids"][1:2], "refused": [], "warnings": [],
    }  # fmt: skip
    assert (many["accepted"], many["repeated"], many["receptions"]) == (2, 2, 2)
    assert many["ids"][0] == first[0]
    assert len(set(many["ids"])) == len({id_[:26] for id_ in many["ids"]}) + 3 == 4


@pytest.mark.parametrize("kind", [*MessageType])
async def test_messages_of_every_type_are_taken(rig: Rig, kind: MessageType) -> None:
    await rig.publish()
    given = {"type": kind, "device": "1C178", "deviceType": "tracker", "time": 1_700_000_000}
    needed: dict[MessageType, dict[str, Any]] = {
        MessageType.GEOLOC: {"lat": 52.0, "lng": 5.5},
        MessageType.ACKNOWLEDGE: {"infoCode": 0},
    }
    response = await rig.client.post("/v1/messages", json={**given, **needed.get(kind, {})})
    (message,) = await rig.store.messages_of("1C178", limit=9)

    assert (response.status_code, response.json()["accepted"]) == (202, 1)
    assert message.type is kind


async def test_a_message_for_an_unknown_device_type_is_kept_with_a_warning(rig: Rig) -> None:
    before = (await rig.client.post("/v1/messages", json=UPLINK)).json()
    await rig.publish()
    after = (await rig.client.post("/v1/messages", json=[*uplinks(1), {**UPLINK, "deviceType": "lamp"}])).json()

    assert [(w["index"], w["code"]) for w in before["warnings"]] == [(0, "unknown-device-type")]
    assert "Nothing is published yet" in before["warnings"][0]["reason"]
    # The same device, time and sequence number as before: repeated, so there is nothing to warn of any more.
    assert (after["accepted"], after["repeated"], after["warnings"]) == (1, 1, [])


async def test_warnings_name_the_message_by_its_place_in_the_request(rig: Rig) -> None:
    await rig.publish()
    messages = [{**UPLINK, "data": "xyz"}, UPLINK, {**UPLINK, "seqNumber": 8, "deviceType": "lamp"}]
    answer = (await rig.client.post("/v1/messages", json=messages)).json()

    assert [refused["index"] for refused in answer["refused"]] == [0]
    assert [warning["index"] for warning in answer["warnings"]] == [2]
    assert "Revision 1 has no device type “lamp”" in answer["warnings"][0]["reason"]


async def test_the_good_ones_of_an_array_are_taken_and_the_bad_ones_refused_by_index(rig: Rig) -> None:
    await rig.publish()
    good, other = uplinks(2)
    messages = [good, {**UPLINK, "seqnumber": 8}, other, 7, good]
    response = await rig.client.post("/v1/messages", json=messages)
    answer = response.json()

    assert response.status_code == 202
    assert (answer["accepted"], answer["repeated"]) == (2, 1)
    assert [id_ is None for id_ in answer["ids"]] == [False, True, False, True, False]
    assert answer["ids"][4] == answer["ids"][0]
    assert [(r["index"], r["code"]) for r in answer["refused"]] == [(1, "unknown-field"), (3, "message-not-an-object")]
    assert await kept(rig) == 2


async def test_lines_are_taken_but_for_the_one_that_is_not_json(rig: Rig) -> None:
    await rig.publish()
    lines = b"\n".join([orjson.dumps(uplinks(1)[0]), b"", b'{"device":', b"  ", orjson.dumps(uplinks(2)[1])])
    for headers in (NDJSON, {"Content-Type": "application/json"}):
        answer = (await rig.client.post("/v1/messages", content=lines, headers=headers)).json()

        assert answer["accepted"] + answer["repeated"] == 2
        assert [id_ is None for id_ in answer["ids"]] == [False, True, False]
        assert [(r["index"], r["code"]) for r in answer["refused"]] == [(1, "invalid-json")]


@pytest.mark.parametrize("body", [b"[7, null]", b'{"device":"1C178"}', b'"1C178"', b'{"a":1}\n{"a":2}'])
async def test_when_every_message_is_refused_the_request_is(rig: Rig, body: bytes) -> None:
    response = await rig.client.post("/v1/messages", content=body)
    answer = response.json()

    assert response.status_code == 422
    assert answer["code"] == "every-message-refused"
    assert answer["accepted"] == answer["repeated"] == 0
    assert len(answer["refused"]) == len(answer["ids"]) > 0


@pytest.mark.parametrize(("body", "headers"), [(b"[]", {}), (b"", NDJSON), (b"\n \n", NDJSON)])
async def test_no_messages_at_all_are_fine(rig: Rig, body: bytes, headers: dict[str, str]) -> None:
    response = await rig.client.post("/v1/messages", content=body, headers=headers)

    assert response.status_code == 202
    assert response.json() == {"accepted": 0, "repeated": 0, "ids": [], "refused": [], "warnings": []}


async def test_a_body_that_is_not_json_is_refused_as_a_whole(rig: Rig) -> None:
    response = await rig.client.post("/v1/messages", content=b"device=1C178&time=1")

    assert (response.status_code, response.json()["code"]) == (400, "invalid-json")


async def test_a_compressed_body_is_refused_by_name(rig: Rig) -> None:
    response = await rig.client.post("/v1/messages", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    assert (response.status_code, response.json()["code"]) == (415, "encoding-not-supported")


async def test_the_largest_request_is_taken(rig: Rig) -> None:
    await rig.publish()
    response = await rig.client.post("/v1/messages", json=uplinks(MAX_MESSAGES))

    assert response.status_code == 202
    assert response.json()["accepted"] == MAX_MESSAGES


async def test_one_message_more_is_refused_and_nothing_kept(rig: Rig) -> None:
    await rig.publish()
    response = await rig.client.post("/v1/messages", json=uplinks(MAX_MESSAGES + 1))

    assert (response.status_code, response.json()["code"]) == (413, "too-many-messages")
    assert await kept(rig) == 0


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_announced_or_not(served: Served, announced: bool) -> None:
    content: Any = b" " * (MAX_BODY_BYTES + 1) if announced else chunks(70, 65_536)
    response = await served.rig.client.post("/v1/messages", content=content)

    assert (response.status_code, response.json()["code"]) == (413, "body-too-large")


async def test_a_body_of_exactly_the_limit_is_taken(served: Served) -> None:
    message = orjson.dumps(UPLINK)
    response = await served.rig.client.post("/v1/messages", content=message.ljust(MAX_BODY_BYTES))

    assert response.status_code == 202


async def test_a_body_in_chunks_is_put_together(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in orjson.dumps(UPLINK):
            yield bytes([byte])

    response = await served.rig.client.post("/v1/messages", content=pieces())

    assert response.json()["accepted"] == 1


async def test_a_client_that_asks_first_does_not_send_what_would_be_refused(served: Served) -> None:
    reader, writer = await served.connect()
    head = f"POST /v1/messages HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {ALL}\r\nExpect: 100-continue\r\n"
    writer.write(f"{head}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
    refused = await reader.readline()
    writer.close()

    reader, writer = await served.connect()
    body = orjson.dumps(UPLINK)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    invited = await reader.readline()
    writer.write(body)
    await reader.readline()
    accepted = await reader.readline()
    writer.close()

    assert b"413" in refused
    assert b"100" in invited
    assert b"202" in accepted


async def test_who_leaves_while_sending_has_sent_nothing(served: Served) -> None:
    _, writer = await served.connect()
    head = f"POST /v1/messages HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + orjson.dumps(UPLINK) + b"\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    # A graceful stop waits for everything that was begun.
    await served.stop()

    assert await kept(served.rig) == 0


async def test_a_wrong_token_is_refused_before_the_body_is_read(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: e\r\nContent-Length: 1000000\r\n\r\n")
    status = await reader.readline()
    writer.close()

    assert b"401" in status


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreFull("no space left on device"), "store-full"), (StoreError("the disk is on fire"), "store-failed")],
)
async def test_a_store_that_fails_is_told_with_when_to_come_back(error: StoreError, code: str) -> None:
    async with in_process(FailingStore(error)) as rig:
        response = await rig.client.post("/v1/messages", json=UPLINK)

    assert (response.status_code, response.json()["code"]) == (503, code)
    assert int(response.headers["retry-after"]) > 0
    assert rig.engine.events.counters.store_failures == 1


async def test_an_engine_that_stops_takes_nothing(rig: Rig) -> None:
    await rig.engine.stop()
    response = await rig.client.post("/v1/messages", json=UPLINK)

    assert (response.status_code, response.json()["code"]) == (503, "engine-stopping")
    assert int(response.headers["retry-after"]) > 0
    assert await kept(rig) == 0


async def status_of(door: Ingest, *, receive: Callable[[], Awaitable[Message]]) -> int:
    """What the door answers to a request whose body comes like this."""
    sent: list[Message] = []

    async def send(event: Message) -> None:
        sent.append(event)

    headers = [(b"authorization", f"Bearer {ALL}".encode())]
    await door({"type": "http", "headers": headers, "query_string": b""}, receive, send)
    status: int = sent[0]["status"]
    return status


async def test_an_engine_that_stops_while_a_body_arrives_takes_nothing(rig: Rig) -> None:
    async def late() -> Message:
        await rig.engine.stop()
        return {"type": "http.request", "body": orjson.dumps(UPLINK)}

    assert await status_of(Ingest(rig.engine, Access(TOKENS), Room(rig.store)), receive=late) == 503
    assert await kept(rig) == 0


async def test_bodies_are_bounded_together_and_room_comes_back(rig: Rig) -> None:
    body = orjson.dumps(UPLINK)
    door = Ingest(rig.engine, Access(TOKENS), Room(rig.store), max_bytes_in_hand=2 * len(body) - 1)
    begun, others = asyncio.Event(), asyncio.Event()

    async def in_parts() -> Message:
        if not begun.is_set():
            begun.set()
            return {"type": "http.request", "body": body, "more_body": True}
        await others.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def whole() -> Message:
        return {"type": "http.request", "body": body}

    first = asyncio.create_task(status_of(door, receive=in_parts))
    await begun.wait()
    await asyncio.sleep(0)  # let the door count what it was given
    second = await status_of(door, receive=whole)
    others.set()

    assert (second, await first, await status_of(door, receive=whole)) == (503, 202, 202)


async def test_a_body_over_the_limit_is_refused_also_when_it_comes_at_once(rig: Rig) -> None:
    async def whole() -> Message:
        return {"type": "http.request", "body": b" " * (MAX_BODY_BYTES + 1)}

    assert await status_of(Ingest(rig.engine, Access(TOKENS), Room(rig.store)), receive=whole) == 413


async def test_refusals_are_counted(rig: Rig) -> None:
    await rig.client.post("/v1/messages", json=[UPLINK, 7, 8])

    assert rig.engine.events.counters.refused == 2


async def test_many_clients_at_once_are_all_answered(served: Served) -> None:
    await served.rig.publish()
    messages = uplinks(200)
    async with served.rig.attempts(200):
        responses = await asyncio.gather(*(served.rig.client.post("/v1/messages", json=each) for each in messages))

    assert {response.status_code for response in responses} == {202}
    assert len({json.loads(response.content)["ids"][0] for response in responses}) == 200
    assert len(served.rig.sent) == 200


async def test_requests_that_are_sent_ahead_are_answered_in_order(served: Served) -> None:
    reader, writer = await served.connect()
    for number in (1, 2, 3):
        body = orjson.dumps({**UPLINK, "seqNumber": number})
        head = f"POST /v1/messages HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {ALL}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answers = [await read_answer(reader) for _ in range(3)]
    writer.close()
    messages = await served.rig.store.messages_of("1C178", limit=9)
    ids = {message.sequence_number: message.id for message in messages}

    assert [status for status, _ in answers] == [202, 202, 202]
    assert [answer["ids"] for _, answer in answers] == [[ids[1]], [ids[2]], [ids[3]]]
