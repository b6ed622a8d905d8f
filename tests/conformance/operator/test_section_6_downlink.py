"""Section 6, downlink: who answers, what an answer means, what goes to the network side, and how the result is told."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.model.definition import Content, check_device_type
from reconciler.model.delivery import Accepted, Refused, Unreachable
from reconciler.model.resource import Key
from reconciler.model.together import check_together
from reconciler.runtime.api.application import application
from reconciler.store.sqlite import open_sqlite
from tests.conformance.operator.asking import ASKS, BIDIR, BYTES, CALLBACK, HEX, RESULT, answering, results, served, to
from tests.conformance.operator.rig import (
    Call,
    Reply,
    World,
    a_callback,
    an_event,
    at,
    findings_of,
    in_virtual_time,
    live,
    simulated,
)
from tests.fakes import Answer, Sink
from tests.integration.api.rig import ALL, TOKENS

# 6.1 Modes


@pytest.mark.parametrize(
    ("mode", "asked", "expected"),
    [
        ("direct", True, {"1C178": BYTES}),
        ("direct", False, {}),
        ("callback", True, {"1C178": bytes.fromhex("ffeeddccbbaa9988")}),
        ("callback", False, {}),
        ("none", True, {}),
        ("none", False, {}),
        ("managed", True, {}),
    ],
)
@in_virtual_time
async def test_6_1_modes(mode: str, asked: bool, expected: dict[str, bytes]) -> None:
    downlink = {"mode": mode, **({"data": HEX} if mode == "direct" else {})}
    answer = answering(Accepted(200, to("1C178", "ffeeddccbbaa9988")))
    async with simulated(answer, device_type={"downlink": downlink}, ask=BIDIR, result=RESULT) as world:
        await world.take(**{**ASKS, "ack": asked})
        await asyncio.sleep(1)
        assert await served(world) == expected
        await asyncio.sleep(60)
        assert await served(world) == {}
        # The BIDIR callback fires with every message, whoever answers; nobody's refusal is no result.
        assert world.far.targets == ["/ask/1C178"]


@in_virtual_time
async def test_6_1_the_default_mode_answers_nobody() -> None:
    async with simulated(answering(Accepted(200, to("1C178"))), ask=BIDIR, result=RESULT) as world:
        await world.take(**ASKS)
        await asyncio.sleep(60)
        assert await served(world) == {}
        assert results(world) == []


DIRECT = [
    ("6.1 fixed", "0011223344556677", {}, "0011223344556677"),
    ("6.1 capital digits", "AABBCCDDEEFF0011", {}, "aabbccddeeff0011"),
    ("6.1 {time} in 4 bytes", "{time}00000000", {"time": 0x0102_0304}, "0102030400000000"),
    ("6.1 {tapId} in 4 bytes", "{tapId}00000000", {"station": "37FF"}, "000037ff00000000"),
    ("6.1 {rssi} in 2 bytes", "{rssi}000000000000", {"rssi": -121}, "ff87000000000000"),
    ("6.1 {rssi} 0 if the station gives none", "{rssi}000000000000", {}, "0000000000000000"),
    ("6.1 PORTAL example", "{tapId}0000{rssi}", {"station": "0AF0", "rssi": -135.0}, "00000af00000ff79"),
    ("6.1 time-sync recipe", "{time}{rssi}0000", {"time": 1_471_594_359, "rssi": -1}, "57b6bf77ffff0000"),
]


@pytest.mark.parametrize(("template", "given", "expected"), [row[1:] for row in DIRECT], ids=[row[0] for row in DIRECT])
@in_virtual_time
async def test_6_1_direct_data_may_hold_variables(template: str, given: dict[str, Any], expected: str) -> None:
    async with simulated(device_type={"downlink": {"mode": "direct", "data": template}}) as world:
        await world.take(ack=True, **given)
        assert await served(world) == {"1C178": bytes.fromhex(expected)}


@pytest.mark.parametrize(
    ("downlink", "code"),
    [
        ({"mode": "direct", "data": "00112233445566"}, "bad-downlink-data"),
        ({"mode": "direct", "data": "001122334455667788"}, "bad-downlink-data"),
        ({"mode": "direct", "data": "{time}{time}{rssi}"}, "bad-downlink-data"),
        ({"mode": "direct", "data": "{device}0000000000000000"}, "bad-downlink-data"),
        ({"mode": "direct", "data": "00112233445566gg"}, "bad-downlink-data"),
        ({"mode": "direct"}, "missing-key"),
        ({"mode": "callback", "data": HEX}, "downlink-data-not-direct"),
        ({"mode": "sometimes"}, "unknown-downlink-mode"),
    ],
)
def test_6_1_data_that_is_not_8_bytes_is_refused_when_it_is_saved(downlink: dict[str, str], code: str) -> None:
    _, found = check_device_type(Key("tracker"), {"downlink": downlink})
    assert [each.code for each in found] == [code]


# 6.2 Selecting the callback


@in_virtual_time
async def test_6_2_only_the_selected_callback_answers() -> None:
    def answer(call: Call) -> Reply:
        return Accepted(200, to("1C178", {"/yes": "aa" * 8, "/no": "bb" * 8, "/up": "cc" * 8}[call.target]))

    async with simulated(
        answer,
        device_type=CALLBACK,
        a=a_callback("data/bidir", "http://far.example/no"),
        b=a_callback("data/bidir", "http://far.example/yes", downlinkHook=True),
        c=a_callback("data/uplink", "http://far.example/up"),
    ) as world:
        await world.take(**ASKS)
        await asyncio.sleep(1)
        assert sorted(world.far.targets) == ["/no", "/up", "/yes"]
        assert await served(world) == {"1C178": bytes.fromhex("aa" * 8)}


@pytest.mark.parametrize(
    "callbacks",
    [
        {},
        {"other": a_callback("data/uplink")},
        {"ask": a_callback("data/bidir")},
        {"ask": {**BIDIR, "enabled": False}},
    ],
    ids=["no callback", "no BIDIR callback", "a new BIDIR callback is not selected", "the selected one is disabled"],
)
@in_virtual_time
async def test_6_2_without_a_selected_callback_the_configuration_is_invalid(callbacks: dict[str, Any]) -> None:
    answer = answering(Accepted(200, to("1C178")))
    async with simulated(answer, device_type=CALLBACK, result=RESULT, **callbacks) as world:
        await world.take(**ASKS)
        await asyncio.sleep(60)
        assert await served(world) == {}
        assert results(world) == [("1C178", 8)]


@in_virtual_time
async def test_6_2_selecting_another_callback_deselects_the_former() -> None:
    def answer(call: Call) -> Reply:
        return Accepted(200, to("1C178", "aa" * 8 if call.target == "/old" else "bb" * 8))

    old, new = (a_callback("data/bidir", f"http://far.example/{name}") for name in ("old", "new"))
    async with simulated(answer, device_type=CALLBACK, old={**old, "downlinkHook": True}, new=new) as world:
        await world.publish(CALLBACK, old=old, new={**new, "downlinkHook": True})
        await world.take(**ASKS)
        await asyncio.sleep(1)
        assert await served(world) == {"1C178": bytes.fromhex("bb" * 8)}


def test_6_2_two_selected_callbacks_are_refused() -> None:
    contents = {Key("tracker"): CALLBACK, Key("tracker", "a"): BIDIR, Key("tracker", "b"): BIDIR}
    found = [joint.finding.code for joint in check_together(Key("tracker"), contents)]
    assert found == ["downlink-hook-twice"]


@pytest.mark.parametrize("type", ["data/uplink", "service/status", "service/acknowledge", "error"])
def test_6_2_only_a_bidir_callback_can_be_selected(type: str) -> None:
    assert [f.code for f in findings_of(a_callback(type, downlinkHook=True))] == ["downlink-hook-not-bidir"]


# 6.3 Answers: the outcome of the callback, what is served, the code that ACKNOWLEDGE tells (None: none from the engine)

ANSWERS: list[tuple[str, Reply, bytes | None, int | None]] = [
    ("6.3 BI 16 hex digits", Accepted(200, to("1C178")), BYTES, None),
    ("6.3 capital digits", Accepted(200, to("1C178", HEX.upper())), BYTES, None),
    ("6.3 blanks around", Accepted(200, b' {\n "1C178": { "downlinkData": "00112233445566ff" } }\r\n'), BYTES, None),
    ("6.3 noData false beside data", Accepted(200, b'{"1C178":{"noData":false,"downlinkData":"00112233445566ff"}}'),
     BYTES, None),
    ("6.3 204", Accepted(204), None, None),
    ("6.3 IOT noData", Accepted(200, b'{"1C178":{"noData":true}}'), None, None),
    ("6.3 other keys are ignored", Accepted(200, b'{"ok":1,"1C178":{"downlinkData":"00112233445566ff","x":[]}}'),
     BYTES, None),
    ("6.3 a device that did not ask is ignored", Accepted(200, b'{"2C178":{"downlinkData":"ffffffffffffffff"},'
                                                  b'"1C178":{"downlinkData":"00112233445566ff"}}'), BYTES, None),
    ("6.3 a device that did not ask alone", Accepted(200, to("2C178")), None, 1),
    ("6.3 too short", Accepted(200, to("1C178", "001122")), None, 2),
    ("6.3 15 digits", Accepted(200, to("1C178", HEX[:15])), None, 2),
    ("6.3 17 digits", Accepted(200, to("1C178", HEX + "0")), None, 2),
    ("6.3 too long", Accepted(200, to("1C178", HEX + "00")), None, 2),
    ("6.3 not hex", Accepted(200, to("1C178", "00112233445566gg")), None, 2),
    ("6.3 hex with blanks", Accepted(200, to("1C178", "00 11 22 33 44 5")), None, 2),
    ("6.3 0x in front", Accepted(200, to("1C178", "0x00112233445566")), None, 2),
    ("6.3 digits that are no ASCII", Accepted(200, to("1C178", "٠٠112233445566ff")), None, 2),
    ("6.3 empty data", Accepted(200, to("1C178", "")), None, 2),
    ("6.3 data that is a number", Accepted(200, b'{"1C178":{"downlinkData":1122334455667788}}'), None, 2),
    ("6.3 no answer: empty body", Accepted(200), None, 1),
    ("6.3 no answer: empty object", Accepted(200, b"{}"), None, 1),
    ("6.3 no answer: not JSON", Accepted(200, b"OK"), None, 1),
    ("6.3 no answer: JSON, no object", Accepted(200, b'["1C178"]'), None, 1),
    ("6.3 no answer: half an object", Accepted(200, b'{"1C178":{"downlinkData":"00112233445566ff"}'), None, 1),
    ("6.3 no answer: not UTF-8", Accepted(200, b'{"1C178":"\xff"}'), None, 1),
    ("6.3 error status 404, data or not", Refused(404, to("1C178")), None, 1),
    ("6.3 error status 500", Refused(500), None, 1),
    ("6.3 a redirect", Refused(302, to("1C178")), None, 1),
    ("6.3 unreachable", Unreachable("connection-refused", "Nobody listens there."), None, 1),
    ("6.3 just in time", (9.9, Accepted(200, to("1C178"))), BYTES, None),
    ("6.3 late", (10.0, Accepted(200, to("1C178"))), None, 1),
    ("6.3 far too late", (44.0, Accepted(200, to("1C178"))), None, 1),
]  # fmt: skip
ONE = pytest.mark.parametrize(("reply", "data", "code"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])


@ONE
@in_virtual_time
async def test_6_3_an_answer_is_served_once_or_has_its_code(reply: Reply, data: bytes | None, code: int | None) -> None:
    async with simulated(answering(reply), device_type=CALLBACK, ask=BIDIR, result=RESULT) as world:
        await world.take(**ASKS)
        await asyncio.sleep(11)
        assert await served(world) == ({} if data is None else {"1C178": data})
        assert await served(world) == {}
        # Also when it is retried, which an error status is for seven minutes more, and answered as before.
        for _ in range(60):
            await asyncio.sleep(10)
            assert await served(world) == {}
        assert results(world) == ([] if code is None else [("1C178", code)])


@ONE
@in_virtual_time
async def test_6_3_batch_one_answer_has_a_member_for_each_device(
    reply: Reply, data: bytes | None, code: int | None
) -> None:
    batch: Content = {
        "type": "data/bidir",
        "channel": "batch-url",
        "url": "http://far.example/?b={batch}",
        "linePattern": "{device}",
        "downlinkHook": True,
    }
    async with simulated(answering(reply), device_type=CALLBACK, ask=batch, result=RESULT) as world:
        await world.take_all(an_event(**ASKS), an_event(device="3F52A6", **ASKS), an_event(device="89C3"))
        await asyncio.sleep(12)
        # No answer above names the second device: it gets what "no answer" means, unless 204 spoke for all.
        other = 1 if reply != Accepted(204) else None
        assert await served(world) == ({} if data is None else {"1C178": data})
        for _ in range(60):
            await asyncio.sleep(10)
            assert await served(world) == {}
        expected = [("1C178", code), ("3F52A6", other)]
        assert sorted(results(world)) == [each for each in expected if each[1] is not None]


@in_virtual_time
async def test_6_3_batch_each_device_gets_its_own() -> None:
    members = {"1C178": "aa" * 8, "3F52A6": "bb" * 8, "FE": "too short", "89C3": "dd" * 8}
    answer = {device: {"downlinkData": data} for device, data in members.items()} | {"A0": {"noData": True}}
    batch: Content = {
        "type": "data/bidir",
        "channel": "batch-url",
        "url": "http://far.example/?b={batch}",
        "linePattern": "{device};{ack}",
        "downlinkHook": True,
    }
    reply = answering(Accepted(200, json.dumps(answer).encode()))
    async with simulated(reply, device_type=CALLBACK, ask=batch, result=RESULT) as world:
        asking = [an_event(device=device, **ASKS) for device in ("1C178", "3F52A6", "FE", "A0", "B0")]
        await world.take_all(*asking, an_event(device="89C3", ack=False))
        await asyncio.sleep(5)
        assert await served(world) == {"1C178": bytes.fromhex("aa" * 8), "3F52A6": bytes.fromhex("bb" * 8)}
        await asyncio.sleep(1)
        assert sorted(results(world)) == [("B0", 1), ("FE", 2)]


@in_virtual_time
async def test_6_3_the_id_in_the_answer_is_the_id_as_received() -> None:
    def answer(call: Call) -> Reply:
        return Accepted(200, to(call.target.rpartition("/")[2]))

    async with simulated(answer, device_type=CALLBACK, ask=BIDIR) as world:
        await world.take(device="00a0", **ASKS)
        await asyncio.sleep(1)
        assert world.far.targets == ["/ask/A0"]
        assert await served(world) == {"A0": BYTES}


async def test_6_3_the_documented_answer_of_a_receiver_over_http() -> None:
    answer = Answer(200, to("1C178"), headers=(("Content-Type", "application/json"),))
    async with Sink(answer) as sink, live() as world:
        body = {"method": "POST", "contentType": "application/json", "body": '{"id":"{device}","ack":{ack}}'}
        await world.publish(CALLBACK, ask=at(sink, {**BIDIR, **body}))
        await world.take(**ASKS)
        await world.settled(1)
        assert json.loads(sink.requests[0].body) == {"id": "1C178", "ack": True}
        assert await served(world) == {"1C178": BYTES}


# At the door of the network side, and on the embedded store


async def polled(world: World) -> list[dict[str, Any]]:
    """What `GET /v1/downlinks` answers now."""
    app = application(world.engine, TOKENS, stopping=asyncio.Event())
    headers = {"Authorization": f"Bearer {ALL}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine", headers=headers) as client:
        response = await client.get("/v1/downlinks")
    assert response.status_code == 200
    downlinks: list[dict[str, Any]] = response.json()["downlinks"]
    return downlinks


@in_virtual_time
async def test_6_3_the_network_side_gets_a_downlink_once_at_its_door() -> None:
    async with simulated(answering(Accepted(200, to("1C178", HEX.upper()))), device_type=CALLBACK, ask=BIDIR) as world:
        assert await polled(world) == []
        taken = await world.take(seqNumber=9, **ASKS)
        await asyncio.sleep(1)
        (downlink,) = await polled(world)
        assert {name: downlink[name] for name in ("message", "device", "data", "seqNumber", "station")} == {
            "message": taken.message.id,
            "device": "1C178",
            "data": HEX,
            "seqNumber": 9,
            "station": "0AF0",
        }
        assert await polled(world) == []


OVER_HTTP = [row for row in ANSWERS if isinstance(row[1], (Accepted, Refused))]


@pytest.mark.parametrize(("outcome", "data", "code"), [row[1:] for row in OVER_HTTP], ids=[row[0] for row in OVER_HTTP])
async def test_6_3_over_http_and_on_sqlite(
    tmp_path: Path, outcome: Accepted | Refused, data: bytes | None, code: int | None
) -> None:
    store = await open_sqlite(tmp_path)
    async with Sink(Answer(outcome.status, outcome.body)) as receiver, Sink() as teller, live(store=store) as world:
        result = {**RESULT, "url": f"http://result.example:{teller.port}/"}
        await world.publish(CALLBACK, ask=at(receiver, BIDIR), result=result)
        await world.take(**ASKS)
        await world.settled(1 if code is None else 2)
        assert [downlink["data"] for downlink in await polled(world)] == ([] if data is None else [data.hex()])
        assert await polled(world) == []
        assert [json.loads(each.body)["code"] for each in teller.requests] == ([] if code is None else [code])
    await store.close()
