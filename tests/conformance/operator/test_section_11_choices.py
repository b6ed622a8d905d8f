"""Section 11, conflicts and open points: which side the engine takes, a row for each line that concerns it.

Lines about the operator's API (sendDuplicate and downlinkHook in its schemas, its list field, payloadType) and about
addresses of the operator's machines have no row here.
"""

import asyncio
import json
from typing import Any

import pytest

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, Done, Outcome, Refused, Unreachable
from tests.conformance.operator.rig import (
    Call,
    Reply,
    a_callback,
    an_event,
    findings_of,
    in_virtual_time,
    received,
    simulated,
)

BATCH: Content = {
    "type": "data/uplink",
    "channel": "batch-url",
    "url": "http://far.example/?b={batch}",
    "linePattern": "{seqNumber}",
}


@in_virtual_time
async def test_11_retries_three_after_1_2_and_4_minutes_counted_from_the_previous_failure() -> None:
    async with simulated(lambda call: (2.0, Refused(500)), hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx([0, 62, 184, 426])


@in_virtual_time
async def test_11_data_advanced_delay_25_s() -> None:
    async with simulated(hook=a_callback("service/data-advanced")) as world:
        await world.take()
        await asyncio.sleep(100)
        assert [call.at for call in world.far.calls] == pytest.approx([25], abs=0.1)


# Line, callback, event, what arrives as the value of the one pair of the query.
TEXTS: list[tuple[str, Content, dict[str, Any], str]] = [
    (
        "11 lqi letters: as documented",
        a_callback("service/data-advanced", "http://far.example/?v={lqi}"),
        an_event("data-advanced", lqi="Limit"),
        "LIMIT",
    ),
    ("11 lat/lng: integer text", a_callback(url="http://far.example/?v={lat}"), an_event(lat=35.0), "35"),
    ("11 lat/lng: integer text", a_callback(url="http://far.example/?v={lng}"), an_event(lng=-38.0), "-38"),
    ("11 device id: no padding", a_callback(url="http://far.example/?v={device}"), an_event(device="00A0"), "A0"),
    ("11 device id: upper case", a_callback(url="http://far.example/?v={device}"), an_event(device="1c178"), "1C178"),
    (
        "11 name alphabet: the union",
        a_callback(url="http://far.example/?v={customData#a_b-c#d}", payload="a_b-c#d::uint:8"),
        an_event(data="2a"),
        "42",
    ),
    (
        "11 WARN events: optional",
        a_callback("error", "http://far.example/?v={severity}"),
        an_event("error", severity="WARN"),
        "WARN",
    ),
    (
        "11 bit offset sample 6: the rule",
        a_callback(url="http://far.example/?v={customData#i2}", payload="str::char:6 i1::uint:16 i2::uint:32:2"),
        an_event(data="41424344454601234567890A"),
        "null",
    ),
    (
        "11 open: a field that does not fit",
        a_callback(url="http://far.example/?v={customData#x}", payload="x::uint:16"),
        an_event(data="2a"),
        "null",
    ),
    (
        "11 open: float formatting of custom values",
        a_callback(url="http://far.example/?v={customData#x}", payload="x::float:32"),
        an_event(data="3dcccccd"),
        "0.10000000149011612",
    ),
    (
        "11 open: text of infoMessage",
        a_callback("service/acknowledge", "http://far.example/?v={infoMessage}"),
        an_event("acknowledge", infoMessage="whatever%20the%20network%20says"),
        "whatever%2520the%2520network%2520says",
    ),
]


@pytest.mark.parametrize(("callback", "event", "text"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
async def test_this_text_arrives(callback: Content, event: dict[str, Any], text: str) -> None:
    assert (await received(callback, event)).target == f"/?v={text}"


# Line, definition, the findings when it is saved.
SAVED: list[tuple[str, Content, list[str]]] = [
    ("11 headers: an object", a_callback(headers={"X-A": "1", "X-B": "2"}), []),
    ("11 ERROR subtype: there is none", a_callback("error"), []),
    ("11 ERROR subtype: there is none", a_callback("error/error"), ["unknown-callback-type"]),
    ("11 BATCH method: POST", {**BATCH, "method": "POST"}, []),
    ("11 BATCH method: GET", {**BATCH, "method": "GET"}, []),
    ("11 BATCH method: PUT", {**BATCH, "method": "PUT"}, []),
    ("11 sendDuplicate: accepted", a_callback(sendDuplicates=True), []),
    ("11 bit offset sample 6: saved with a warning", a_callback(payload="a::char:8 i2:8:uint:32:2"), []),
    ("11 open: unknown placeholders", a_callback(url="http://far.example/{unknown}"), ["unknown-variable"]),
    (
        "11 open: unknown placeholders in a body",
        a_callback(method="POST", contentType="text/plain", body="{nothing}"),
        ["unknown-variable"],
    ),
    ("11 open: forbidden header list", a_callback(headers={"Cookie": "a=b"}), ["forbidden-header"]),
]


@pytest.mark.parametrize(("content", "codes"), [row[1:] for row in SAVED], ids=[row[0] for row in SAVED])
def test_this_is_said_when_it_is_saved(content: Content, codes: list[str]) -> None:
    assert [found.code for found in findings_of(content)] == codes


@in_virtual_time
async def test_11_batch_method_post_by_default() -> None:
    async with simulated(hook=BATCH) as world:
        await world.take()
        await asyncio.sleep(3)
        assert [call.http.method for call in world.far.calls] == ["POST"]


@in_virtual_time
async def test_11_open_batch_lines_are_separated_by_a_line_feed() -> None:
    async with simulated(hook=BATCH) as world:
        await world.take_all(an_event(seqNumber=1), an_event(seqNumber=2))
        await asyncio.sleep(3)
        assert world.far.targets == ["/?b=1%0A2"]


@pytest.mark.parametrize(
    "outcome",
    [
        Refused(301),
        Refused(304),
        Refused(400),
        Refused(404),
        Refused(410),
        Refused(500),
        Unreachable("unresolved", "?"),
    ],
    ids=lambda outcome: getattr(outcome, "reason", None) or f"11 open: {outcome.status} is retried",
)
@in_virtual_time
async def test_11_open_every_failure_is_retried_alike(outcome: Outcome) -> None:
    def answer(call: Call) -> Reply:
        return outcome if call.at < 1 else Accepted(200)

    async with simulated(answer, hook=a_callback()) as world:
        await world.take()
        await asyncio.sleep(100)
        assert [call.at for call in world.far.calls] == pytest.approx([0, 60])
        assert isinstance(world.settlements[-1].step, Done)


async def test_11_open_values_are_escaped_inside_json() -> None:
    body = '{"text":"say \\"{customData#x}\\""}'
    callback = a_callback(method="POST", contentType="application/json", body=body, payload="x::char:3")
    request = await received(callback, an_event(data=b'"\\\n'.hex()))
    assert json.loads(request.body) == {"text": 'say ""\\\n"'}


@pytest.mark.parametrize("key", ["1C178", "1c178", "0001C178"])
@in_virtual_time
async def test_11_open_the_key_of_a_downlink_answer_is_read_in_any_case(key: str) -> None:
    answer = Accepted(200, json.dumps({key: {"downlinkData": "00112233445566ff"}}).encode())
    ask = a_callback("data/bidir", downlinkHook=True)
    async with simulated(lambda call: answer, device_type={"downlink": {"mode": "callback"}}, ask=ask) as world:
        taken = await world.take(ack=True)
        await asyncio.sleep(1)
        downlink = await world.engine.store.downlink(taken.message.id)
        assert downlink is not None
        assert downlink.data == bytes.fromhex("00112233445566ff")


@in_virtual_time
async def test_11_open_managed_mode_answers_nobody() -> None:
    callbacks: dict[str, Any] = {
        "ask": a_callback("data/bidir", "http://far.example/ask", downlinkHook=True),
        "result": a_callback("service/acknowledge", "http://far.example/result"),
    }
    async with simulated(device_type={"downlink": {"mode": "managed"}}, **callbacks) as world:
        await world.take(ack=True)
        await asyncio.sleep(100)
        assert world.far.targets == ["/ask"]


@in_virtual_time
async def test_11_open_a_callback_that_is_dead_is_tried_all_the_same() -> None:
    async with simulated(lambda call: Refused(500), hook=a_callback(url="http://far.example/{seqNumber}")) as world:
        for number in range(3):
            await world.take(seqNumber=number)
            await asyncio.sleep(3600)
        assert world.far.targets == [f"/{number}" for number in range(3) for _ in range(4)]
