"""`GET /v1/messages`: lists, and explanations."""

from reconciler.model.delivery import Unreachable
from tests.integration.api.rig import CALLBACK, CHANGES, DIRECT, UPLINK, Rig, uplinks

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
    (delivery,) = telemetry["deliveries"]

    assert (explained["message"]["id"], explained["revision"], explained["unknownDeviceType"]) == (id_, 1, False)
    assert (debug["callback"], debug["matched"], debug["deliveries"]) == ("tracker/debug", False, [])
    assert debug["reason"] == "It was disabled in revision 1."
    assert (telemetry["callback"], telemetry["matched"]) == ("tracker/telemetry", True)
    assert (telemetry["decoded"], telemetry["missing"]) == ({"temperature": 1000}, [])
    assert (delivery["state"], delivery["batch"]) == ("delivered", None)
    assert delivery["request"]["body"] == "t=1000&seq=7"
    assert delivery["request"]["headers"]["Authorization"] == "Bearer ${secret.INGEST_TOKEN}"
    assert [(each["outcome"], each["body"]) for each in delivery["log"]] == [("accepted", "thanks")]
    assert (explained["receptions"], explained["downlink"]) == ([], None)


async def test_a_payload_that_is_too_short_is_explained(rig: Rig) -> None:
    await rig.publish()
    (id_,) = await rig.deliver({**UPLINK, "data": "e8"})
    (telemetry,) = (await rig.client.get(f"/v1/messages/{id_}")).json()["callbacks"]

    assert (telemetry["decoded"], telemetry["missing"]) == ({"temperature": None}, ["temperature"])
    (delivery,) = telemetry["deliveries"]
    assert delivery["request"]["body"] == "t=null&seq=7"
    assert "temperature does not fit" in delivery["warnings"][0]


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
    assert explained["callbacks"][0]["deliveries"][0]["log"][0]["reason"] == "connection-refused"


async def test_each_reception_of_a_message_knows_the_others(rig: Rig) -> None:
    await rig.publish()
    (first,) = await rig.deliver({**UPLINK, "station": "0AF0", "rssi": -121.5})
    (second,) = await rig.ingest({**UPLINK, "station": "37ff", "snr": 7.25})
    story = (await rig.client.get(f"/v1/messages/{first}")).json()
    again = (await rig.client.get(f"/v1/messages/{second}")).json()

    (other,) = story["receptions"]
    assert other.pop("receivedAt").endswith("Z")
    assert other == {"id": second, "station": "37FF", "rssi": None, "snr": 7.25}
    assert [each["id"] for each in again["receptions"]] == [first]
    assert [len(each["deliveries"]) for each in story["callbacks"]] == [1]
    assert [each["matched"] for each in again["callbacks"]] == [False]


async def test_with_send_duplicates_a_further_reception_has_deliveries_of_its_own(rig: Rig) -> None:
    body = "{duplicate} {station}"
    callback = {**CALLBACK, "sendDuplicates": True, "contentType": "text/plain", "body": body}
    await rig.publish([CHANGES[0], {"kind": "create", "key": "tracker/telemetry", "after": callback}])
    await rig.deliver({**UPLINK, "station": "0AF0"})
    (second,) = await rig.deliver({**UPLINK, "station": "37FF"})
    (telemetry,) = (await rig.client.get(f"/v1/messages/{second}")).json()["callbacks"]

    assert telemetry["matched"]
    assert [each["request"]["body"] for each in telemetry["deliveries"]] == ["true 37FF"]


async def test_a_downlink_is_told_beside_the_message_that_asked(rig: Rig) -> None:
    await rig.publish([{"kind": "create", "key": "tracker", "after": DIRECT}])
    (asking,) = await rig.ingest({**UPLINK, "ack": True})
    (silent,) = await rig.ingest({**UPLINK, "seqNumber": 8})
    downlink = (await rig.client.get(f"/v1/messages/{asking}")).json()["downlink"]

    assert downlink.pop("askedAt") < downlink.pop("expiresAt")
    assert downlink == {"state": "ready", "infoCode": None, "infoMessage": None, "data": "0011223344556677"}
    assert (await rig.client.get(f"/v1/messages/{silent}")).json()["downlink"] is None


async def test_every_type_is_listed_with_what_it_tells(rig: Rig) -> None:
    await rig.ingest(
        {"type": "status", "device": "1C178", "deviceType": "tracker", "time": 1, "batt": 3.04},
        {"type": "data-advanced", "device": "1C178", "deviceType": "tracker", "time": 2,
         "duplicates": [{"bsId": "0AF0", "nbRep": 3}]},
    )  # fmt: skip
    advanced, status = (await rig.client.get("/v1/messages?device=1C178")).json()["messages"]

    assert (status["type"], status["batt"]) == ("status", 3.04)
    assert (advanced["type"], advanced["duplicates"]) == ("data-advanced", [{"bsId": "0AF0", "nbRep": 3}])


async def test_a_message_of_an_unknown_device_type_is_explained(rig: Rig) -> None:
    (id_,) = await rig.ingest(*uplinks(1))
    explained = (await rig.client.get(f"/v1/messages/{id_}")).json()

    assert (explained["revision"], explained["unknownDeviceType"], explained["callbacks"]) == (0, True, [])


async def test_a_message_that_is_not_there_is_not_found(rig: Rig) -> None:
    for id_ in ("65" * 16, "x", "65" * 15 + "ZZ", f"{'65' * 16}.0"):
        response = await rig.client.get(f"/v1/messages/{id_}")

        assert (response.status_code, response.json()["code"]) == (404, "unknown-message")
