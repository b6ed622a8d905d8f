"""`/v1/deliveries`: search, one, replay."""

from typing import Any

import pytest

from reconciler.model.delivery import Refused
from tests.integration.api.rig import CALLBACK, CHANGES, UPLINK, Rig, uplinks

LAMP = [
    {"kind": "create", "key": "lamp", "after": {}},
    {"kind": "create", "key": "lamp/state", "after": {**CALLBACK, "url": "http://lamps.example.com/{device}"}},
]


async def search(rig: Rig, **params: Any) -> list[str]:
    response = await rig.client.get("/v1/deliveries", params=params)
    assert response.status_code == 200, response.text
    return [delivery["id"] for delivery in response.json()["deliveries"]]


async def test_deliveries_are_found_by_what_they_have_in_common(rig: Rig) -> None:
    await rig.publish([*CHANGES, *LAMP])
    (tracked,) = await rig.deliver(UPLINK)
    (lit,) = await rig.deliver({**UPLINK, "device": "ABC", "deviceType": "lamp"})
    rig.outcome = Refused(500, b"no")
    (failing,) = await rig.deliver({**UPLINK, "seqNumber": 8})

    assert set(await search(rig)) == {f"{tracked}.0", f"{lit}.0", f"{failing}.0"}
    assert set(await search(rig, device="1c178")) == {f"{tracked}.0", f"{failing}.0"}
    assert await search(rig, callback="lamp/state") == [f"{lit}.0"]
    assert await search(rig, endpoint="http://lamps.example.com") == [f"{lit}.0"]
    assert await search(rig, state="pending") == [f"{failing}.0"]
    assert await search(rig, state="delivered", device="1C178") == [f"{tracked}.0"]
    assert await search(rig, state="undelivered") == []
    assert await search(rig, state="joined") == []
    assert await search(rig, endpoint="smtp") == []


async def test_what_waits_in_order_is_found_with_what_it_waits_for(rig: Rig) -> None:
    await rig.publish([CHANGES[0], {**CHANGES[1], "after": {**CALLBACK, "ordered": True}}])
    rig.outcome = Refused(503, b"no")
    async with rig.attempts(1):
        first, second = await rig.ingest(UPLINK, {**UPLINK, "seqNumber": 8})

    assert await search(rig, state="pending") == [f"{first}.0"]
    assert await search(rig, state="waiting") == [f"{second}.0"]
    message = (await rig.client.get(f"/v1/messages/{second}")).json()
    (delivery,) = message["callbacks"][0]["deliveries"]
    assert (delivery["state"], delivery["ordered"], delivery["waitsFor"]) == ("waiting", True, f"{first}.0")
    assert (delivery["dueAt"], delivery["log"]) == (None, [])
    assert 'reconciler_deliveries{state="waiting"} 1\n' in (await rig.client.get("/metrics")).text


async def test_pages_follow_each_other_until_the_last(rig: Rig) -> None:
    await rig.publish()
    ids = await rig.deliver(*uplinks(5))
    found: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while params.get("before", "") is not None:
        page = (await rig.client.get("/v1/deliveries", params=params)).json()
        found += [delivery["id"] for delivery in page["deliveries"]]
        params["before"] = page["next"]

    assert found == sorted((f"{id_}.0" for id_ in ids), reverse=True)


async def test_one_delivery_shows_the_answer_of_the_receiver(rig: Rig) -> None:
    await rig.publish()
    rig.outcome = Refused(503, b"come back later")
    (id_,) = await rig.deliver(UPLINK)
    shown = (await rig.client.get(f"/v1/deliveries/{id_}.0")).json()

    assert (shown["messageId"], shown["state"], shown["attempts"]) == (id_, "pending", 1)
    assert shown["dueAt"].endswith("Z")
    assert [(each["status"], each["body"]) for each in shown["log"]] == [(503, "come back later")]


@pytest.mark.parametrize("id_", ["x", "65" * 16, f"{'65' * 16}.", f"{'65' * 16}.0", f"{'65' * 16}.-1"])
async def test_a_delivery_that_is_not_there_is_not_found(rig: Rig, id_: str) -> None:
    response = await rig.client.get(f"/v1/deliveries/{id_}")

    assert (response.status_code, response.json()["code"]) == (404, "unknown-delivery")


@pytest.mark.parametrize(
    "params", [{"state": "failed"}, {"limit": "0"}, {"limit": "1001"}, {"before": "x"}, {"device": "zz"}]
)
async def test_a_search_that_makes_no_sense_is_refused(rig: Rig, params: dict[str, str]) -> None:
    response = await rig.client.get("/v1/deliveries", params=params)

    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


async def test_a_replay_by_id_sends_the_same_bytes_again(rig: Rig) -> None:
    await rig.publish()
    (id_,) = await rig.deliver(UPLINK)
    async with rig.attempts(1):
        response = await rig.client.post("/v1/deliveries/replay", json={"ids": [f"{id_}.0", f"{'00' * 16}.0"]})
    first, again = rig.sent

    assert response.json() == {"replayed": 1, "unknown": [f"{'00' * 16}.0"]}
    assert first == again
    assert (await rig.client.get(f"/v1/deliveries/{id_}.0")).json()["attempts"] == 2


async def test_a_replay_by_condition_sends_what_matches(rig: Rig) -> None:
    await rig.publish([*CHANGES, *LAMP])
    await rig.deliver(*uplinks(3))
    await rig.deliver({**UPLINK, "device": "ABC", "deviceType": "lamp"})
    where = {"state": "delivered", "callback": "tracker/telemetry", "limit": 2}
    async with rig.attempts(2):
        response = await rig.client.post("/v1/deliveries/replay", json=where)

    assert response.json() == {"replayed": 2}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": "pending"},
        {"state": "joined"},
        {"state": "waiting"},
        {"state": None},
        {"callback": "tracker/telemetry"},
        {"ids": "x"},
        {"ids": [7]},
        {"ids": ["x"]},
        {"ids": [], "state": "undelivered"},
        {"state": "undelivered", "limit": 0},
        {"state": "undelivered", "limit": True},
        {"state": "undelivered", "device": 7},
        {"state": "undelivered", "since": "yesterday"},
    ],
)
async def test_a_replay_that_makes_no_sense_is_refused(rig: Rig, body: dict[str, Any]) -> None:
    response = await rig.client.post("/v1/deliveries/replay", json=body)

    assert (response.status_code, response.json()["code"]) == (422, "invalid-replay")


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 400), (b"{", 400), (b"[]", 400), (b" " * (1024 * 1024 + 1), 413)]
)
async def test_a_replay_is_a_json_object_of_reasonable_size(rig: Rig, content: bytes, status: int) -> None:
    assert (await rig.client.post("/v1/deliveries/replay", content=content)).status_code == status
