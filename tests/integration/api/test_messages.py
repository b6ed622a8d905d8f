"""`GET /v1/messages`: lists, and explanations."""

from reconciler.model.delivery import Unreachable
from tests.integration.api.rig import CALLBACK, CHANGES, UPLINK, Rig, uplinks

OTHERS = [
    {"kind": "create", "key": "tracker/debug", "after": {**CALLBACK, "enabled": False}},
    *CHANGES,
]


async def test_messages_of_a_device_are_listed_newest_first(rig: Rig) -> None:
    await rig.ingest(*({**UPLINK, "time": 1_700_000_000 + number} for number in range(5)))
    await rig.ingest({**UPLINK, "device": "ABC"})
    response = await rig.client.get("/v1/messages", params={"device": "01c178", "limit": 3})
    messages = response.json()["messages"]

    assert [message["time"] for message in messages] == [1_700_000_004, 1_700_000_003, 1_700_000_002]
    assert {message["device"] for message in messages} == {"1C178"}


async def test_a_device_that_never_sent_has_no_messages(rig: Rig) -> None:
    assert (await rig.client.get("/v1/messages?device=FF")).json() == {"messages": []}


async def test_whose_messages_to_list_cannot_be_left_out(rig: Rig) -> None:
    response = await rig.client.get("/v1/messages")

    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


async def test_an_explanation_goes_from_the_message_to_each_callbacks_attempts(rig: Rig) -> None:
    await rig.publish(OTHERS)
    (id_,) = await rig.deliver(UPLINK)
    explained = (await rig.client.get(f"/v1/messages/{id_}")).json()
    debug, telemetry = explained["callbacks"]

    assert (explained["message"]["id"], explained["revision"], explained["unknownDeviceType"]) == (id_, 1, False)
    assert (debug["callback"], debug["matched"], debug["delivery"]) == ("tracker/debug", False, None)
    assert debug["reason"] == "It was disabled in revision 1."
    assert (telemetry["callback"], telemetry["matched"]) == ("tracker/telemetry", True)
    assert (telemetry["decoded"], telemetry["missing"]) == ({"temperature": 1000}, [])
    assert telemetry["delivery"]["state"] == "delivered"
    assert telemetry["delivery"]["request"]["body"] == "t=1000&seq=7"
    assert telemetry["delivery"]["request"]["headers"]["Authorization"] == "Bearer ${secret.INGEST_TOKEN}"
    assert [(each["outcome"], each["body"]) for each in telemetry["delivery"]["log"]] == [("accepted", "thanks")]


async def test_a_payload_that_is_too_short_is_explained(rig: Rig) -> None:
    await rig.publish()
    (id_,) = await rig.deliver({**UPLINK, "data": "e8"})
    (telemetry,) = (await rig.client.get(f"/v1/messages/{id_}")).json()["callbacks"]

    assert (telemetry["decoded"], telemetry["missing"]) == ({"temperature": None}, ["temperature"])
    assert telemetry["delivery"]["request"]["body"] == "t=null&seq=7"
    assert "temperature does not fit" in telemetry["delivery"]["warnings"][0]


async def test_a_message_is_explained_by_the_revision_that_routed_it(rig: Rig) -> None:
    rig.outcome = Unreachable("connection-refused", "Nobody listens there.")
    await rig.publish()
    (id_,) = await rig.deliver(UPLINK)
    current = (await rig.client.get("/v1/revisions/current")).json()["definitions"]
    expects = current["tracker/telemetry"]["digest"]
    await rig.publish([{"kind": "delete", "key": "tracker/telemetry", "expects": expects}], expect=1)
    explained = (await rig.client.get(f"/v1/messages/{id_}")).json()

    assert explained["revision"] == 1
    assert [each["matched"] for each in explained["callbacks"]] == [True]
    assert explained["callbacks"][0]["delivery"]["log"][0]["reason"] == "connection-refused"


async def test_a_message_of_an_unknown_device_type_is_explained(rig: Rig) -> None:
    (id_,) = await rig.ingest(*uplinks(1))
    explained = (await rig.client.get(f"/v1/messages/{id_}")).json()

    assert (explained["revision"], explained["unknownDeviceType"], explained["callbacks"]) == (0, True, [])


async def test_a_message_that_is_not_there_is_not_found(rig: Rig) -> None:
    for id_ in ("65" * 16, "x", "65" * 15 + "ZZ", f"{'65' * 16}.0"):
        response = await rig.client.get(f"/v1/messages/{id_}")

        assert (response.status_code, response.json()["code"]) == (404, "unknown-message")
