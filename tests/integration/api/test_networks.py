"""The ways in for networks: what they send, as they send it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest

from reconciler.errors import StoreError
from reconciler.model.message import Message, MessageType
from reconciler.runtime.api.networks.doors import MAX_BODY_BYTES
from reconciler.runtime.api.networks.operator import EVENTS
from reconciler.runtime.api.tokens import Scope
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Arrival, Kept
from tests.integration.api.rig import Rig, in_process

SAMPLES = Path(__file__).parents[2] / "samples" / "networks"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
UPLINK = {"device": "1C178", "time": "1471594359", "data": "1e2d", "seqNumber": "2516", "rssi": "-135.00"}
OPERATOR = "/v1/in/operator/uplink?deviceType=tracker"
THE_THINGS_STACK = "/v1/in/the-things-stack?deviceType=tracker"
CHIRPSTACK = "/v1/in/chirpstack?deviceType=tracker&event=up"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


async def kept(rig: Rig, device: str) -> Sequence[Message]:
    return await rig.store.messages_of(device, limit=100)


# The operator


async def test_a_get_of_2016_is_a_message(rig: Rig) -> None:
    await rig.publish()
    query = sample("operator-uplink-query.txt").decode().strip()
    async with rig.attempts(1):
        response = await rig.client.get(f"{OPERATOR}&{query}")
    (message,) = await kept(rig, "1C178")

    assert (response.status_code, response.content) == (204, b"")
    assert (message.type, message.time, message.metadata["station"]) == (MessageType.DATA, 1471594359, "0AF0")
    assert [request.target for request in rig.sent] == ["/uplink/1C178"]


async def test_a_form_of_2015_is_a_message(rig: Rig) -> None:
    response = await rig.client.post(OPERATOR, content=sample("operator-uplink-form.txt"), headers=FORM)
    (message,) = await kept(rig, "850C")

    assert response.status_code == 200, "nothing is published yet, which a person may want to know"
    assert message.metadata["avgSignal"] == 18.16


async def test_the_pairs_of_the_url_that_stand_in_the_form_too_count_once(rig: Rig) -> None:
    await rig.publish()
    form = urlencode({"deviceType": "tracker", **UPLINK})
    twice = await rig.client.post(f"{OPERATOR}&device=1C178&time=1471594359", content=form, headers=FORM)
    other = await rig.client.post(f"{OPERATOR}&time=1471594360", content=form, headers=FORM)

    assert twice.status_code == 204
    assert (other.status_code, other.json()["code"]) == (422, "contradictory-field")
    assert len(await kept(rig, "1C178")) == 1


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (orjson.dumps(UPLINK), JSON),
        (orjson.dumps({**UPLINK, "time": 1471594359, "rssi": -135.0}), {"Content-Type": "text/plain"}),
        (orjson.dumps(UPLINK, option=orjson.OPT_INDENT_2), {}),
        (urlencode(UPLINK).encode() + b"\n", FORM),
        (urlencode(UPLINK).encode(), {}),
    ],
)
async def test_json_and_forms_say_the_same(rig: Rig, method: str, body: bytes, headers: dict[str, str]) -> None:
    await rig.publish()
    response = await rig.client.request(method, OPERATOR, content=body, headers=headers)
    (message,) = await kept(rig, "1C178")

    assert response.status_code == 204
    assert (message.time, message.sequence_number, message.metadata) == (1471594359, 2516, {"rssi": -135.0})


async def test_ids_may_be_padded_and_the_device_type_may_stand_in_the_body(rig: Rig) -> None:
    await rig.publish()
    body = {**UPLINK, "device": "0001C178", "deviceType": "tracker"}
    response = await rig.client.post("/v1/in/operator/uplink", json=body)

    assert response.status_code == 204
    assert len(await kept(rig, "1C178")) == 1


async def test_a_data_advanced_of_2022_goes_by_the_operators_id_of_the_device_type(rig: Rig) -> None:
    response = await rig.client.post("/v1/in/operator/data-advanced", content=sample("operator-data-advanced.json"))
    (message,) = await kept(rig, "1FD48BE")

    assert response.status_code == 200
    assert response.json()["warnings"][0]["code"] == "unknown-device-type"
    assert (message.type, message.device_type) == (MessageType.DATA_ADVANCED, "628fd74fb3cabb6565ae81bb")


async def test_every_event_has_a_door(rig: Rig) -> None:
    await rig.publish()
    body = {**UPLINK, "ack": "false", "lat": "45.1", "lng": "6.2", "infoCode": "0", "severity": "ERROR"}
    for event in EVENTS:
        response = await rig.client.post(f"/v1/in/operator/{event}?deviceType=tracker", json=body)
        assert response.status_code == 204, response.text
    types = [message.type for message in await kept(rig, "1C178")]

    # `uplink` and `bidir` told of the same message.
    assert sorted(types) == sorted(MessageType)


async def test_another_station_makes_a_reception_and_the_same_one_a_repetition(rig: Rig) -> None:
    await rig.publish()
    for station in ("0AF0", "37FF", "0AF0"):
        body = {**UPLINK, "station": station, "duplicate": "false" if station == "0AF0" else "true"}
        assert (await rig.client.post(OPERATOR, json=body)).status_code == 204
    messages = await kept(rig, "1C178")

    assert sorted(str(message.metadata["station"]) for message in messages) == ["0AF0", "37FF"]
    assert len({message.event for message in messages}) == 1


async def test_the_engine_does_not_gather_for_a_network_that_does(rig: Rig) -> None:
    advanced = {
        "type": "service/data-advanced",
        "channel": "url",
        "url": "https://ingest.example.com/advanced/{device}",
        "contentType": "application/json",
        "body": '{"duplicates": {duplicates}}',
    }
    await rig.publish(
        [
            {"kind": "create", "key": "tracker", "after": {}},
            {"kind": "create", "key": "tracker/advanced", "after": advanced},
        ]
    )
    await rig.client.post(OPERATOR, json=UPLINK)
    without = await rig.store.next_alarm_at()
    await rig.client.post(CHIRPSTACK, content=sample("chirpstack-up.json"))

    assert without is None
    assert await rig.store.next_alarm_at() is not None


@pytest.mark.parametrize(
    ("event", "fields", "words"),
    [
        ("uplink", {}, "“device” is missing, and without it an uplink means nothing."),
        ("bidir", UPLINK, "“ack” is missing, and without it a bidir means nothing."),
        ("acknowledge", UPLINK, "“infoCode” is missing"),
        ("geoloc", UPLINK, "“lat” is missing"),
        ("uplink", {**UPLINK, "rssi": "{rssi}"}, "the operator does not offer this variable"),
        ("uplink", {**UPLINK, "device": "tracker 7"}, "“device” takes 1 to 16 hex digits"),
        ("uplink", {**UPLINK, "data": "00" * 13}, "an uplink carries at most 12"),
    ],
)
async def test_what_cannot_be_a_message_is_refused_with_the_reason(
    rig: Rig, event: str, fields: dict[str, str], words: str
) -> None:
    response = await rig.client.post(f"/v1/in/operator/{event}?deviceType=tracker", json=fields)

    assert response.status_code == 422
    assert words in response.json()["message"]
    assert rig.engine.events.counters.refused == 1
    assert await kept(rig, "1C178") == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"device": 1C178}', 400, "invalid-json"),
        (b"{} {}", 400, "invalid-json"),
        (b"device=%ff", 400, "invalid-form"),
        (b"\xff", 400, "invalid-form"),
        (b"&".join(b"a%d=1" % number for number in range(101)), 400, "invalid-form"),
        (b"x" * (MAX_BODY_BYTES + 1), 413, "body-too-large"),
    ],
)
async def test_a_body_that_is_none_is_refused(rig: Rig, content: bytes, status: int, code: str) -> None:
    response = await rig.client.post(OPERATOR, content=content)

    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_json_that_lacks_quotes_is_told_where_they_belong(rig: Rig) -> None:
    response = await rig.client.post(OPERATOR, content=b'{"device": 1C178}', headers=JSON)

    assert "line 1, column 13. In a template for JSON" in response.json()["message"]


async def test_a_list_is_no_callback(rig: Rig) -> None:
    response = await rig.client.post(OPERATOR, content=b"[]", headers=JSON)

    assert (response.status_code, response.json()["code"]) == (400, "invalid-json")


async def test_an_event_that_does_not_exist_is_told_with_those_that_do(rig: Rig) -> None:
    response = await rig.client.post("/v1/in/operator/downlink", json=UPLINK)

    assert (response.status_code, response.json()["code"]) == (404, "unknown-event")
    assert "uplink, bidir, data-advanced" in response.json()["message"]


@pytest.mark.parametrize(("method", "url"), [("HEAD", OPERATOR), ("DELETE", OPERATOR), ("GET", CHIRPSTACK)])
async def test_other_methods_are_refused_with_those_that_are_not(rig: Rig, method: str, url: str) -> None:
    response = await rig.client.request(method, f"{url}&{urlencode(UPLINK)}")

    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
    assert await kept(rig, "1C178") == []


# LoRaWAN


async def test_a_webhook_of_the_things_stack_is_a_message_with_its_receptions(rig: Rig) -> None:
    await rig.publish()
    async with rig.attempts(1):
        response = await rig.client.post(THE_THINGS_STACK, content=sample("the-things-stack-uplink.json"), headers=JSON)
    messages = await kept(rig, "70B3D57ED0051A2B")
    told = response.json()

    assert response.status_code == 202
    assert (told["accepted"], told["repeated"], told["receptions"], told["warnings"]) == (3, 0, 2, [])
    assert sorted(told["ids"]) == sorted(message.id for message in messages)
    assert [request.target for request in rig.sent] == ["/uplink/70B3D57ED0051A2B"]


async def test_an_event_of_chirpstack_is_a_message_with_its_receptions(rig: Rig) -> None:
    await rig.publish()
    async with rig.attempts(1):
        response = await rig.client.post(CHIRPSTACK, content=sample("chirpstack-up.json"), headers=JSON)

    assert response.status_code == 202
    assert (response.json()["accepted"], response.json()["receptions"]) == (2, 1)
    assert [message.sequence_number for message in await kept(rig, "24E124128C2B40F1")] == [79, 79]


@pytest.mark.parametrize(
    ("url", "name"), [(THE_THINGS_STACK, "the-things-stack-uplink.json"), (CHIRPSTACK, "chirpstack-up.json")]
)
async def test_a_webhook_that_is_sent_again_is_recognised(rig: Rig, url: str, name: str) -> None:
    await rig.publish()
    first = (await rig.client.post(url, content=sample(name))).json()
    again = (await rig.client.post(url, content=sample(name))).json()

    assert (again["accepted"], again["repeated"], again["ids"]) == (0, first["accepted"], first["ids"])


@pytest.mark.parametrize(
    ("url", "name", "kind"),
    [
        (THE_THINGS_STACK, "the-things-stack-join-accept.json", "join_accept"),
        ("/v1/in/chirpstack?deviceType=tracker&event=status", "chirpstack-status.json", "status"),
        (f"/v1/in/chirpstack?deviceType=tracker&event={'x' * 100}", "chirpstack-status.json", "x" * 64),
    ],
)
async def test_an_event_without_a_meaning_here_does_not_fail(rig: Rig, url: str, name: str, kind: str) -> None:
    response = await rig.client.post(url, content=sample(name))

    assert response.status_code == 202
    assert response.json()["ignored"] == kind
    assert response.json()["reason"].endswith(".")


@pytest.mark.parametrize(
    ("url", "name", "type_"),
    [
        (THE_THINGS_STACK, "the-things-stack-downlink-sent.json", MessageType.ACKNOWLEDGE),
        (THE_THINGS_STACK, "the-things-stack-downlink-failed.json", MessageType.ACKNOWLEDGE),
        (THE_THINGS_STACK, "the-things-stack-location-solved.json", MessageType.GEOLOC),
        ("/v1/in/chirpstack?deviceType=tracker&event=txack", "chirpstack-txack.json", MessageType.ACKNOWLEDGE),
        ("/v1/in/chirpstack?deviceType=tracker&event=log", "chirpstack-log-expired.json", MessageType.ACKNOWLEDGE),
        ("/v1/in/chirpstack?deviceType=tracker&event=location", "chirpstack-location.json", MessageType.GEOLOC),
    ],
)
async def test_an_event_with_a_meaning_here_is_a_message(rig: Rig, url: str, name: str, type_: MessageType) -> None:
    await rig.publish()
    response = await rig.client.post(url, content=sample(name))
    messages = [*await kept(rig, "70B3D57ED0051A2B"), *await kept(rig, "24E124128C2B40F1")]

    assert (response.status_code, response.json()["accepted"]) == (202, 1)
    assert [message.type for message in messages] == [type_]


@pytest.mark.parametrize(
    ("url", "content", "headers", "status", "words"),
    [
        ("/v1/in/the-things-stack", b"{}", JSON, 400, "add ?deviceType=NAME to the URL"),
        (THE_THINGS_STACK, b"{}", JSON, 422, "“end_device_ids” is missing"),
        (THE_THINGS_STACK, b"[]", JSON, 400, "a JSON object"),
        (THE_THINGS_STACK, b"{", JSON, 400, "not JSON"),
        (THE_THINGS_STACK, b"\n\x04dev1", {"Content-Type": "application/octet-stream"}, 415, "Choose JSON"),
        (THE_THINGS_STACK + "&devicetype=x", b"{}", JSON, 400, "deviceType"),
        (THE_THINGS_STACK, b" " * (MAX_BODY_BYTES + 1), JSON, 413, str(MAX_BODY_BYTES)),
        (THE_THINGS_STACK, b"{}", {"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        ("/v1/in/chirpstack?deviceType=tracker", b"{}", JSON, 400, "“event” is missing"),
        (CHIRPSTACK, b"{}", JSON, 422, "“deviceInfo.devEui” is missing"),
        ("/v1/in/chirpstack?deviceType=a/b&event=up", sample("chirpstack-up.json"), JSON, 422, "“deviceType” takes"),
    ],
)
async def test_what_is_no_webhook_is_refused_with_the_reason(
    rig: Rig, url: str, content: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    response = await rig.client.post(url, content=content, headers=headers)

    assert response.status_code == status
    assert words in response.json()["message"]


# Like every other door


@pytest.mark.parametrize("url", [OPERATOR, THE_THINGS_STACK, CHIRPSTACK])
async def test_a_token_for_taking_messages_opens_these_doors_and_no_other(rig: Rig, url: str) -> None:
    without = await rig.client.post(url, headers={"Authorization": ""})
    reader = await rig.client.post(url, headers=rig.as_(Scope.READ))
    sender = await rig.client.post(url, headers=rig.as_(Scope.INGEST), json={})

    assert [without.status_code, reader.status_code, sender.status_code] == [401, 403, 422]


@pytest.mark.parametrize("url", [OPERATOR, THE_THINGS_STACK, CHIRPSTACK])
async def test_an_unknown_device_type_reads_the_same_at_every_door(rig: Rig, url: str) -> None:
    body: dict[str, Any] = dict(UPLINK)
    if url is THE_THINGS_STACK:
        body = orjson.loads(sample("the-things-stack-uplink.json"))
    elif url is CHIRPSTACK:
        body = orjson.loads(sample("chirpstack-up.json"))
    (told,) = (await rig.client.post(url, json=body)).json()["warnings"]
    message = {"device": "1", "deviceType": "tracker", "time": 1}
    (expected,) = (await rig.client.post("/v1/messages", json=message)).json()["warnings"]

    assert told == {"code": expected["code"], "reason": expected["reason"]}


class FailingStore(MemoryStore):
    async def accept(self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: Any) -> Sequence[Kept]:
        raise StoreError("the disk is on fire")


@pytest.mark.parametrize(
    ("url", "content"),
    [
        (OPERATOR, orjson.dumps(UPLINK)),
        (THE_THINGS_STACK, sample("the-things-stack-uplink.json")),
        (CHIRPSTACK, sample("chirpstack-up.json")),
    ],
)
async def test_what_cannot_be_kept_is_not_acknowledged(url: str, content: bytes) -> None:
    async with in_process(FailingStore()) as failing:
        failed = await failing.client.post(url, content=content)
    async with in_process(MemoryStore()) as stopped:
        await stopped.engine.stop()
        refused = await stopped.client.post(url, content=content)

    assert (failed.status_code, failed.json()["code"]) == (503, "store-failed")
    assert (refused.status_code, refused.json()["code"]) == (503, "engine-stopping")


async def test_an_engine_that_stops_takes_no_message_out_of_a_query(rig: Rig) -> None:
    await rig.engine.stop()
    response = await rig.client.get(f"{OPERATOR}&{urlencode(UPLINK)}")

    assert (response.status_code, response.json()["code"]) == (503, "engine-stopping")


async def test_many_networks_at_once_are_all_answered(rig: Rig) -> None:
    await rig.publish()

    async def post(number: int) -> httpx.Response:
        return await rig.client.post(OPERATOR, json={**UPLINK, "seqNumber": str(number)})

    async with rig.attempts(100):
        responses = await asyncio.gather(*(post(number) for number in range(100)))

    assert {response.status_code for response in responses} == {204}
    assert len(await kept(rig, "1C178")) == 100
