"""Section 4.2, channel BATCH_URL: the messages of a second in one request, a line for each."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, Refused, State
from tests.conformance.operator.rig import (
    Call,
    Reply,
    an_event,
    at,
    findings_of,
    in_virtual_time,
    live,
    plain,
    simulated,
)
from tests.fakes import Sink

FORM = "application/x-www-form-urlencoded"
LINES: Content = {
    "type": "data/uplink",
    "channel": "batch-url",
    "url": "http://far.example/path?batch={batch}",
    "linePattern": "{seqNumber}",
}


def lines_of(call: Call) -> list[str]:
    """The lines of a batch, decoded."""
    ((_, batch),) = parse_qsl(urlsplit(call.target).query, keep_blank_values=True)
    return batch.split("\n")


# As received


@pytest.mark.parametrize("method", [None, "GET"], ids=["POST by default", "GET"])
async def test_4_2_one_request_a_second_as_a_receiver_gets_it(method: str | None) -> None:
    written = {} if method is None else {"method": method}
    async with Sink() as sink, live() as world:
        await world.publish(hook={**at(sink, {**LINES, "linePattern": "{device};{data};"}), **written})
        await world.take_all(an_event(seqNumber=1, data="aa"), an_event(seqNumber=2, data="bb"))
        await world.take(device="3F52A6", data="cc")
        await world.settled(1)
        (request,) = sink.requests
        pair = "batch=1C178%3Baa%3B%0A1C178%3Bbb%3B%0A3F52A6%3Bcc%3B"
        assert (request.method, request.target) == (method or "POST", f"/path?{pair}")
        with_body = method != "GET"
        assert request.body.decode() == (pair if with_body else "")
        assert request.header("Content-Type") == (FORM if with_body else None)
        assert {record.delivery.state for record in await world.deliveries()} == {State.DELIVERED}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@in_virtual_time
async def test_4_2_methods(method: str) -> None:
    async with simulated(hook={**LINES, "method": method}) as world:
        await world.take()
        await asyncio.sleep(3)
        (call,) = world.far.calls
        assert (call.http.method, call.target) == (method, "/path?batch=7")
        assert (call.http.body is None) == (method == "GET")


@pytest.mark.parametrize("send_sni", [None, False, True])
@in_virtual_time
async def test_4_1_basic_port_and_sni_of_a_batch(send_sni: bool | None) -> None:
    url = "https://login:${secret.TOKEN}@far.example:8443/?b={batch}"
    async with simulated(hook={**LINES, "url": url, **({} if send_sni is None else {"sendSni": send_sni})}) as world:
        await world.take()
        await asyncio.sleep(3)
        request = world.far.calls[0].http
        assert request.credentials is not None
        assert plain(request.credentials) == "login:value of TOKEN"
        assert (request.endpoint, request.send_sni) == ("https://far.example:8443", bool(send_sni))


SAMPLES: list[tuple[str, str, str, dict[str, Any], str]] = [
    (
        "4.2 cbDef sample",
        "http://far.example/?var={batch}",
        "{device};{time};{data};",
        {"device": "2DC7C1", "time": 1_500_452_712, "data": "deadbeaf"},
        "/?var=2DC7C1%3B1500452712%3Bdeadbeaf%3B",
    ),
    (
        "4.2 D sample, but for the padding",
        "http://far.example/batch?data={batch}",
        "{device};{time};{data};",
        {"device": "00A0", "time": 1_381_766_225, "data": "3b3616201e100000"},
        "/batch?data=A0%3B1381766225%3B3b3616201e100000%3B",
    ),
    (
        "4.2 D pattern",
        "http://far.example/path?batch={batch}",
        "{device};{data};{signal};",
        {"snr": 14.02},
        "/path?batch=1C178%3Be80332c0%3B14.02%3B",
    ),
    ("4.2 absent values", "http://far.example/?b={batch}", "{rssi};{station}", {}, "/?b=null%3Bnull"),
    ("4.2 other pairs", "http://far.example/?a=1&b={batch}&c=2", "{device}", {}, "/?a=1&b=1C178&c=2"),
    ("4.2 fixed text is encoded", "http://far.example/?b={batch}", "a&b=c {device}", {}, "/?b=a%26b%3Dc%201C178"),
]


@pytest.mark.parametrize(
    ("url", "pattern", "given", "target"), [row[1:] for row in SAMPLES], ids=[row[0] for row in SAMPLES]
)
@in_virtual_time
async def test_4_2_the_recorded_form(url: str, pattern: str, given: dict[str, Any], target: str) -> None:
    async with simulated(hook={**LINES, "url": url, "linePattern": pattern}) as world:
        await world.take(**given)
        await asyncio.sleep(3)
        (call,) = world.far.calls
        assert call.target == target
        assert call.body == urlsplit(target).query
        assert [value for name, value in call.http.headers if name == "Content-Type"] == [FORM]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a&b=c", "a;b", "%0A", "a+b", "ü"])
@in_virtual_time
async def test_4_2_a_device_cannot_add_a_line_or_a_pair(text: str) -> None:
    payload = f"x::char:{len(text.encode())}"
    async with simulated(hook={**LINES, "linePattern": "<{customData#x}>", "payload": payload}) as world:
        await world.take_all(an_event(seqNumber=1, data=text.encode().hex()), an_event(seqNumber=2, data=b"-".hex()))
        await asyncio.sleep(3)
        (call,) = world.far.calls
        first, second = lines_of(call)
        assert first.startswith("<")
        assert first.endswith(">")
        if text.isprintable():
            assert first == f"<{text}>"
        assert second == "<null>" if len(text.encode()) > 1 else second == "<->"


# Gathering


@in_virtual_time
async def test_4_2_nothing_is_sent_before_the_second_is_over_and_nothing_when_nothing_came() -> None:
    async with simulated(hook=LINES) as world:
        await asyncio.sleep(100)
        await world.take(seqNumber=1)
        await asyncio.sleep(0.5)
        await world.take(seqNumber=2)
        await asyncio.sleep(0.4)
        assert world.far.calls == []
        await asyncio.sleep(100)
        assert [lines_of(call) for call in world.far.calls] == [["1", "2"]]
        assert world.far.calls[0].at == pytest.approx(101)


@in_virtual_time
async def test_4_2_once_per_second_while_messages_keep_coming() -> None:
    async with simulated(hook=LINES) as world:
        for number in range(95):
            await world.take(seqNumber=number)
            await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        times = [call.at for call in world.far.calls]
        assert times == pytest.approx([float(second) for second in range(1, 11)], abs=0.05)
        assert [line for call in world.far.calls for line in lines_of(call)] == [str(number) for number in range(95)]


@in_virtual_time
async def test_4_2_gathered_per_callback() -> None:
    url = "http://far.example/other?batch={batch}"
    async with simulated(one=LINES, two={**LINES, "url": url}, three={**LINES, "linePattern": "x{seqNumber}"}) as world:
        await world.take_all(an_event(seqNumber=1), an_event(seqNumber=2))
        await asyncio.sleep(3)
        assert sorted(world.far.targets) == [
            "/other?batch=1%0A2",
            "/path?batch=1%0A2",
            "/path?batch=x1%0Ax2",
        ]


@in_virtual_time
async def test_4_2_duplicates_of_one_message_may_land_in_different_batches() -> None:
    pattern = "{seqNumber} {station} {duplicate}"
    async with simulated(hook={**LINES, "linePattern": pattern, "sendDuplicates": True}) as world:
        await world.take(station="0AF0")
        await asyncio.sleep(1.5)
        await world.take(station="37FF")
        await asyncio.sleep(3)
        assert [lines_of(call) for call in world.far.calls] == [["7 0AF0 false"], ["7 37FF true"]]


@in_virtual_time
async def test_4_2_what_is_too_much_for_one_request_makes_several_and_nothing_is_lost() -> None:
    async with simulated(hook={**LINES, "linePattern": "{device};{time};{data};{seqNumber}"}) as world:
        await world.take_all(*(an_event(seqNumber=number) for number in range(1000)))
        await asyncio.sleep(3)
        lines = [line for call in world.far.calls for line in lines_of(call)]
        assert sorted(int(line.rpartition(";")[2]) for line in lines) == list(range(1000))
        assert all(len(call.target) <= 8_000 for call in world.far.calls)


# Execution of a batch


@in_virtual_time
async def test_5_a_batch_that_failed_is_repeated_to_the_letter_at_1_2_and_4_minutes() -> None:
    async with simulated(lambda call: Refused(500), hook=LINES) as world:
        await world.take_all(an_event(seqNumber=1), an_event(seqNumber=2))
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx([1, 61, 181, 421])
        assert len({(call.target, call.body) for call in world.far.calls}) == 1
        records = await world.deliveries(state=State.UNDELIVERED)
        assert len(records) == 2


@in_virtual_time
async def test_5_later_messages_do_not_wait_for_a_batch_that_failed() -> None:
    def answer(call: Call) -> Reply:
        return Refused(500) if call.at < 2 else Accepted(200)

    async with simulated(answer, hook=LINES) as world:
        await world.take(seqNumber=1)
        await asyncio.sleep(5)
        await world.take(seqNumber=2)
        await asyncio.sleep(100)
        assert [lines_of(call) for call in world.far.calls] == [["1"], ["2"], ["1"]]
        assert {record.delivery.state for record in await world.deliveries()} == {State.DELIVERED}


@in_virtual_time
async def test_5_a_batch_that_was_not_delivered_can_be_replayed() -> None:
    async with simulated(lambda call: Refused(500) if call.at < 1000 else Accepted(200), hook=LINES) as world:
        await world.take_all(an_event(seqNumber=1), an_event(seqNumber=2))
        await asyncio.sleep(1000)
        records = await world.deliveries(state=State.UNDELIVERED)
        await world.engine.replay([record.delivery.id for record in records])
        await asyncio.sleep(10)
        assert [lines_of(call) for call in world.far.calls] == [["1", "2"]] * 5
        assert {record.delivery.state for record in await world.deliveries()} == {State.DELIVERED}


@in_virtual_time
async def test_4_2_lines_that_wait_when_the_engine_stops_are_sent_by_the_next() -> None:
    async with simulated(hook=LINES) as world:
        await world.take_all(an_event(seqNumber=1), an_event(seqNumber=2))
        store = world.engine.store
    sent = [line for call in world.far.calls for line in lines_of(call)]
    async with simulated(store=store) as world:
        await asyncio.sleep(10)
        sent += [line for call in world.far.calls for line in lines_of(call)]
        assert sorted(sent) == ["1", "2"]


# What is accepted when it is saved

SAVED = [
    ("4.2 D", {}, None),
    ("4.2 another pair before and behind", {"url": "http://far.example/?a=1&b={batch}&c=2"}, None),
    ("4.2 https, login, port", {"url": "https://a:b@far.example:8443/?b={batch}"}, None),
    ("4.2 SNI", {"sendSni": True}, None),
    ("4.2 no place for the lines", {"url": "http://far.example/"}, "template-batch-missing"),
    ("4.2 two places", {"url": "http://far.example/?a={batch}&b={batch}"}, "template-batch-twice"),
    ("4.2 in the path", {"url": "http://far.example/{batch}"}, "template-batch-misplaced"),
    (
        "4.2 a variable of one message",
        {"url": "http://far.example/{device}?b={batch}"},
        "template-variable-in-batch-url",
    ),
    ("4.2 the lines within a line", {"linePattern": "{batch}"}, "unknown-variable"),
    ("4.2 a variable that the type does not offer", {"linePattern": "{infoCode}"}, "variable-not-offered"),
    ("4.2 a line break", {"linePattern": "{device}\n"}, "template-control-character"),
    ("4.2 an unknown method", {"method": "DELETE"}, "unknown-method"),
]


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in SAVED], ids=[row[0] for row in SAVED])
def test_4_2_the_rule_when_it_is_saved(change: dict[str, Any], code: str | None) -> None:
    assert [found.code for found in findings_of({**LINES, **change})] == ([] if code is None else [code])


@pytest.mark.parametrize("field", ["url", "linePattern"])
def test_4_2_url_and_line_pattern_are_mandatory(field: str) -> None:
    content = {name: value for name, value in LINES.items() if name != field}
    assert [(found.code, found.path) for found in findings_of(content)] == [("missing-key", (field,))]


@in_virtual_time
async def test_4_2_the_encoding_can_be_undone() -> None:
    async with simulated(hook={**LINES, "linePattern": "{device};{time}|{data}&x=%41"}) as world:
        await world.take()
        await asyncio.sleep(3)
        (call,) = world.far.calls
        assert unquote(call.target.partition("batch=")[2]) == "1C178;1700000000|e80332c0&x=%41"
