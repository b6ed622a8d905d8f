"""The delivery client against a receiver on a real socket that answers as told, well or badly."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, cast

import pytest

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.dial import Dialer, Resolve, SystemResolver
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.flight import Flight
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.tls import public_tls
from reconciler.runtime.channels.wire import Endpoint
from tests.fakes import Answer, Drip, Raw, Received, Silence, Sink, on_every_loop

LONG = timedelta(seconds=10)
SHORT = timedelta(seconds=0.1)
TOKEN = Secret("TOKEN", Context.HEADER)
CANARY = "canary/0123456789 abc"


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[HttpChannel]:
    defaults: dict[str, Any] = {
        "secrets": {"TOKEN": CANARY, "LOGIN": "ana", "PASSWORD": "päss:word"}.get,
        "egress": EgressPolicy(allow_private=True),
        "connections_per_endpoint": 4,
    }
    channel = HttpChannel(**defaults | options)
    try:
        yield channel
    finally:
        await channel.close()


async def outcome_of(*script: Any, **options: Any) -> Outcome:
    """What comes of one request to a receiver with this script."""
    timeout = options.pop("timeout", LONG)
    async with Sink(*script) as sink, opened(**options) as channel:
        return await channel.send(sink.request(), timeout=timeout)


# What goes out


@on_every_loop
async def test_a_request_arrives_as_declared() -> None:
    async with Sink() as sink, opened(user_agent="reconciler/1.2") as channel:
        request = sink.request(
            "/uplink/1C178?t=1", headers=(("X-Device", "Zähler 7"), ("Content-Type", "text/plain")), body="21 °C"
        )
        assert await channel.send(request, timeout=LONG) == Accepted(200)
        assert sink.requests == [
            Received(
                1,
                "POST",
                "/uplink/1C178?t=1",
                (
                    ("Host", f"127.0.0.1:{sink.port}"),
                    ("User-Agent", "reconciler/1.2"),
                    ("Accept", "*/*"),
                    ("X-Device", "Zähler 7"),
                    ("Content-Type", "text/plain"),
                    ("Content-Length", "6"),
                ),
                "21 °C".encode(),
            )
        ]


@on_every_loop
@pytest.mark.parametrize(
    ("method", "body", "length"),
    [(Method.GET, None, None), (Method.POST, None, "0"), (Method.PUT, "", "0"), (Method.PUT, "ab", "2")],
)
async def test_the_length_of_the_body_is_told_whenever_one_may_be_expected(
    method: Method, body: str | None, length: str | None
) -> None:
    async with Sink() as sink, opened() as channel:
        await channel.send(sink.request(method=method, body=body), timeout=LONG)
        assert (sink.requests[0].method, sink.requests[0].header("Content-Length")) == (method, length)


@on_every_loop
async def test_secrets_become_text_on_the_way_out() -> None:
    async with Sink() as sink, opened() as channel:
        request = sink.request(
            ("/in?key=", Secret("TOKEN", Context.QUERY)),
            headers=(("X-Key", ("Bearer ", TOKEN)),),
            credentials=(Secret("LOGIN", Context.TEXT), ":", Secret("PASSWORD", Context.TEXT)),
            body=('{"key":"', Secret("TOKEN", Context.JSON_STRING), '"}'),
        )
        await channel.send(request, timeout=LONG)
        received = sink.requests[0]
        assert received.target == "/in?key=canary%2F0123456789%20abc"
        assert received.header("X-Key") == f"Bearer {CANARY}"
        assert received.header("Authorization") == "Basic YW5hOnDDpHNzOndvcmQ="
        assert received.body == f'{{"key":"{CANARY}"}}'.encode()


@on_every_loop
async def test_what_cannot_be_sent_never_leaves() -> None:
    async with Sink() as sink, opened() as channel:
        smuggling = sink.request(headers=(("X-Device", "7\r\nX-Admin: yes"),))
        missing = sink.request(headers=(("Authorization", ("Bearer ", Secret("NOWHERE", Context.HEADER))),))
        reasons = [await channel.send(request, timeout=LONG) for request in (smuggling, missing)]
        assert [outcome.reason for outcome in reasons if isinstance(outcome, Unreachable)] == [
            "bad-request-text",
            "secret-missing",
        ]
        assert sink.connections == 0


# What comes back


@on_every_loop
@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_accepted(status: int) -> None:
    body = b"" if status == 204 else b'{"ok":true}'
    assert await outcome_of(Answer(status, body)) == Accepted(status, body)


@on_every_loop
@pytest.mark.parametrize("status", [300, 304, 400, 404, 429, 500, 599, 700])
async def test_every_other_status_is_refused(status: int) -> None:
    assert await outcome_of(Answer(status)) == Refused(status)


@on_every_loop
async def test_a_redirect_is_not_followed() -> None:
    async with Sink(Answer(302, b"moved", (("Location", "/elsewhere"),))) as sink, opened() as channel:
        assert await channel.send(sink.request(), timeout=LONG) == Refused(302, b"moved")
        assert len(sink.requests) == 1


@on_every_loop
@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n4;x=y\r\n you\r\n0\r\nT: r\r\n\r\n",
            b"hi you",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nContent-Length: 3\r\n\r\nto the end", None),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: gzip\r\n\r\nas it is", b"as it is"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    ],
    ids=[
        "chunked",
        "until close",
        "until close, framing in the body",
        "unchunked",
        "bare LF",
        "folded",
        "1xx",
        "upgrade",
    ],
)
async def test_an_answer_ends_where_its_framing_says(wire: bytes, outcome: bytes | None) -> None:
    body = wire.partition(b"\r\n\r\n")[2] if outcome is None else outcome
    assert await outcome_of(Raw(wire)) == Accepted(200, body)


@on_every_loop
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fa0\r\n" + b"x" * 4_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000,
    ],
    ids=["length", "chunked", "until close"],
)
async def test_an_answer_is_read_up_to_the_limit_and_its_status_counts(answer: bytes) -> None:
    async with Sink(Raw(answer, "stay")) as sink, opened(max_answer_bytes=3_000) as channel:
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200, b"x" * 3_000)
        await sink.until(lambda sink: sink.open == 0)


@on_every_loop
async def test_chunks_that_carry_nothing_end_the_reading_too() -> None:
    padding = b"1;" + b"p" * 4_000 + b"\r\nx\r\n"
    answer = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n" + padding * 30
    outcome = await outcome_of(Raw(answer, "stay"), max_answer_bytes=1_000)
    assert isinstance(outcome, Refused)
    assert outcome.status == 503


@on_every_loop
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Raw(b"SSH-2.0-OpenSSH_9.2\r\n", "stay"), "not-http"),
        (Raw(b"\x15\x03\x01\x00\x02\x02\x50", "stay"), "not-http"),
        (Raw(b"HTTP/1.1 OK\r\n\r\n", "stay"), "not-http"),
        (Raw(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "stay"), "not-http"),
        (Raw(b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "stay"), "not-http"),
        (Raw(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", "stay"), "not-http"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "stay"), "not-http"),
        (Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nlong\r\n", "stay"), "not-http"),
        (Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 101, "stay"), "not-http"),
        (Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "stay"), "answer-headers-too-large"),
        (Raw(b"HTTP/1.1 103 Hints\r\nX: " + b"x" * 7_000 + b"\r\n\r\n", "close"), "connection-reset"),
        (Raw((b"HTTP/1.1 103 Hints\r\nX: " + b"x" * 7_000 + b"\r\n\r\n") * 10, "stay"), "answer-headers-too-large"),
        (Raw(b"", "close"), "connection-reset"),
        (Raw(b"", "reset"), "connection-reset"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Le", "close"), "connection-reset"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close"), "connection-reset"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf", "close"), "connection-reset"),
        (Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "close"), "connection-reset"),
    ],
)
async def test_what_is_no_whole_answer_is_unreachable(reply: Raw, reason: str) -> None:
    async with Sink(reply) as sink, opened() as channel:
        outcome = await channel.send(sink.request(), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == reason
        await sink.until(lambda sink: sink.open == 0)


@on_every_loop
async def test_a_reset_in_the_middle_of_an_answer_is_unreachable() -> None:
    outcome = await outcome_of(Raw(b"HTTP/1.1 200 OK\r\n\r\nhalf", "reset"))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "connection-reset"


@on_every_loop
async def test_an_answer_counts_although_the_body_was_not_taken() -> None:
    async with Sink(Answer(413, b"too large", before_body=True)) as sink, opened() as channel:
        assert await channel.send(sink.request(body="x" * 8_000_000), timeout=LONG) == Refused(413, b"too large")
        await sink.until(lambda sink: sink.open == 0)


@on_every_loop
async def test_a_receiver_that_echoes_a_request_does_not_carry_its_secrets_back() -> None:
    def echo(received: Received) -> Answer:
        return Answer(200, f"{received.target} {received.header('X-Key')} {received.header('Authorization')}".encode())

    async with Sink(otherwise=echo) as sink, opened() as channel:
        request = sink.request(
            ("/?key=", Secret("TOKEN", Context.QUERY)),
            headers=(("X-Key", (TOKEN,)),),
            credentials=("ana:", Secret("PASSWORD", Context.TEXT)),
        )
        assert await channel.send(request, timeout=LONG) == Accepted(
            200, b"/?key=${secret.TOKEN} ${secret.TOKEN} Basic ana:${secret.PASSWORD}"
        )


# Connections


@on_every_loop
async def test_connections_are_kept_and_used_again() -> None:
    async with Sink() as sink, opened() as channel:
        for _ in range(5):
            assert await channel.send(sink.request(), timeout=LONG) == Accepted(200)
        assert sink.connections == 1
        assert (channel.counters.requests, channel.counters.opened, channel.counters.reused) == (5, 1, 4)


@on_every_loop
@pytest.mark.parametrize(
    "first",
    [
        Answer(200, b"", (("Connection", "close"),)),
        Raw(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "stay"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", "stay"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 2", "stay"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\njunk", "stay"),
        Raw(b"HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\nbad", "stay"),
        Raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbinary", "stay"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5_000, "stay"),
        Raw(b"HTTP/1.1 OK", "close"),
    ],
    ids=["close", "HTTP/1.0", "second answer", "half an answer", "junk", "body of 204", "101", "too long", "not HTTP"],
)
async def test_a_connection_is_not_used_again_after_anything_doubtful(first: Answer | Raw) -> None:
    async with Sink(first, Answer(200, b"good")) as sink, opened(max_answer_bytes=4_000) as channel:
        await channel.send(sink.request(), timeout=LONG)
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200, b"good")
        assert [received.connection for received in sink.requests] == [1, 2]


@on_every_loop
async def test_http_1_0_may_ask_for_the_connection_to_stay() -> None:
    stays = Raw(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "stay")
    async with Sink(stays) as sink, opened() as channel:
        for _ in range(2):
            assert await channel.send(sink.request(), timeout=LONG) == Accepted(200)
        assert sink.connections == 1


@on_every_loop
async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    unasked = Raw(Answer(200).wire, "stay", later=Answer(200, b"not yours").wire)
    async with Sink(unasked, Answer(200, b"mine")) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        await sink.until(lambda sink: sink.open == 0)
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200, b"mine")


@on_every_loop
async def test_a_connection_that_the_server_closed_is_noticed_while_idle() -> None:
    async with Sink(Raw(Answer(200).wire, "close")) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        while channel.connections:
            await asyncio.sleep(0)
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200)
        assert (channel.counters.opened, channel.counters.resent) == (2, 0)


@on_every_loop
@pytest.mark.parametrize("death", ["close", "reset"])
async def test_a_request_that_met_a_dying_connection_is_sent_once_more(death: Any) -> None:
    async with Sink(Answer(200), Raw(b"", death), Answer(200, b"again")) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        assert await channel.send(sink.request("/second"), timeout=LONG) == Accepted(200, b"again")
        assert [(received.connection, received.target) for received in sink.requests] == [
            (1, "/"),
            (1, "/second"),
            (2, "/second"),
        ]
        assert channel.counters.resent == 1


@on_every_loop
async def test_a_request_is_sent_once_more_and_not_twice() -> None:
    async with Sink(Answer(200), Raw(), Raw()) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        outcome = await channel.send(sink.request(), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "connection-reset"
        assert len(sink.requests) == 3


@on_every_loop
async def test_a_second_dead_connection_is_the_end_even_if_it_was_used_before() -> None:
    async with Sink(Answer(200), Raw(), Answer(201), Raw()) as sink, opened(connections_per_endpoint=1) as channel:
        await channel.send(sink.request(), timeout=LONG)
        # The first finds the connection dying; the second has the slot then, and its connection is the first's next.
        outcomes = await asyncio.gather(*(channel.send(sink.request(path), timeout=LONG) for path in ("/1", "/2")))
        assert [received.target for received in sink.requests] == ["/", "/1", "/2", "/1"]
        assert outcomes == [
            Unreachable(
                "connection-reset", "The server closed two connections, one after the other, without an answer."
            ),
            Accepted(201),
        ]


@on_every_loop
async def test_a_request_is_not_sent_again_when_an_answer_had_begun() -> None:
    async with Sink(Answer(200), Raw(b"HTTP/1.1 2")) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        outcome = await channel.send(sink.request(), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert len(sink.requests) == 2


@on_every_loop
async def test_when_one_idle_connection_is_dead_the_older_ones_are_not_tried() -> None:
    slow = Answer(200, delay=0.02)
    async with Sink(slow, slow, Raw(), Answer(200, b"new")) as sink, opened() as channel:
        await asyncio.gather(*(channel.send(sink.request(), timeout=LONG) for _ in range(2)))
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200, b"new")
        assert sink.requests[-1].connection == 3
        await sink.until(lambda sink: sink.open == 1)


@on_every_loop
async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with Sink() as sink, opened(idle_for=timedelta(seconds=0.05)) as channel:
        await channel.send(sink.request(), timeout=LONG)
        await sink.until(lambda sink: sink.open == 0)
        await channel.send(sink.request(), timeout=LONG)
        assert (sink.connections, channel.counters.resent) == (2, 0)


@on_every_loop
async def test_no_more_connections_than_allowed_and_everyone_gets_a_turn() -> None:
    async with Sink(otherwise=Answer(200, delay=0.005)) as sink, opened(connections_per_endpoint=3) as channel:
        outcomes = await asyncio.gather(*(channel.send(sink.request(), timeout=LONG) for _ in range(20)))
        assert outcomes == [Accepted(200)] * 20
        assert sink.connections == 3


@on_every_loop
async def test_who_waits_for_a_connection_gets_the_place_of_one_that_died() -> None:
    async with Sink(Raw(b"HTTP/1.1 20"), Raw(b"HTTP/1.1 20")) as sink, opened(connections_per_endpoint=1) as channel:
        outcomes = await asyncio.gather(*(channel.send(sink.request(), timeout=LONG) for _ in range(4)))
        assert [type(outcome) for outcome in outcomes] == [Unreachable, Unreachable, Accepted, Accepted]


# Time


def listening_to_nobody() -> socket.socket:
    """A door whose queue is full: connecting to it neither succeeds nor fails."""
    return socket.create_server(("127.0.0.1", 0), backlog=0)


async def never(host: str) -> Sequence[str]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@on_every_loop
@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Silence(), "Time is up: the request was sent, nothing came back."),
        (
            Raw(b"HTTP/1.1 100 Continue\r\n\r\n", "stay"),
            "Time is up: the answer's headers had begun, 25 bytes had come.",
        ),
        (
            Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "stay"),
            "Time is up: status 200 had come and 4 bytes of the body, but not its end.",
        ),
    ],
)
async def test_the_deadline_tells_how_far_it_got(reply: Any, detail: str) -> None:
    async with Sink(reply) as sink, opened() as channel:
        assert await channel.send(sink.request(), timeout=SHORT) == Unreachable("deadline", detail)
        await sink.until(lambda sink: sink.open == 0)


@on_every_loop
async def test_an_answer_that_drips_does_not_outlast_the_deadline() -> None:
    async with Sink(Drip(200, b"x" * 100, pause=0.01)) as sink, opened() as channel:
        outcome = await channel.send(sink.request(), timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "deadline"


@on_every_loop
async def test_an_answer_that_drips_is_whole_when_it_ends_in_time() -> None:
    assert await outcome_of(Drip(200, b"slowly", pause=0.0)) == Accepted(200, b"slowly")


@on_every_loop
async def test_the_deadline_holds_over_a_receiver_that_does_not_read() -> None:
    async with Sink(Answer(200, delay=5, before_body=True)) as sink, opened() as channel:
        outcome = await channel.send(sink.request(body="x" * 16_000_000), timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "deadline"
        assert "did not take the whole request" in outcome.detail


@on_every_loop
async def test_the_deadline_holds_over_resolution() -> None:
    async with Sink() as sink, opened(resolve=never) as channel:
        outcome = await channel.send(sink.request(host="sink.test"), timeout=SHORT)
        assert outcome == Unreachable("deadline", "Time is up: the name sink.test was not resolved yet.")


@on_every_loop
async def test_the_deadline_holds_over_connecting_and_waiting_in_line() -> None:
    with listening_to_nobody() as door, socket.create_connection(door.getsockname()):
        port = door.getsockname()[1]
        async with opened(connections_per_endpoint=1) as channel:
            request = replace(Sink().request(), port=port)
            outcomes = await asyncio.gather(*(channel.send(request, timeout=timeout) for timeout in (2 * SHORT, SHORT)))
    assert outcomes == [
        Unreachable("deadline", f"Time is up: the connection to 127.0.0.1 port {port} did not come about."),
        Unreachable("deadline", "Time is up: all 1 connections to the endpoint were busy."),
    ]


@on_every_loop
async def test_the_deadline_holds_over_both_tries() -> None:
    async with Sink(Answer(200), Raw(), Silence()) as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        outcome = await channel.send(sink.request(), timeout=SHORT)
        assert isinstance(outcome, Unreachable)
        assert (outcome.reason, channel.counters.resent) == ("deadline", 1)


@on_every_loop
async def test_each_request_has_its_own_deadline() -> None:
    async with Sink(otherwise=Answer(200, delay=0.1)) as sink, opened() as channel:
        slow, quick = await asyncio.gather(
            channel.send(sink.request(), timeout=LONG), channel.send(sink.request(), timeout=timedelta(seconds=0.03))
        )
        assert slow == Accepted(200)
        assert isinstance(quick, Unreachable)


# Letting go


@on_every_loop
async def test_cancelling_closes_the_connection_and_frees_its_place() -> None:
    async with Sink(Silence()) as sink, opened(connections_per_endpoint=1) as channel:
        sending = asyncio.create_task(channel.send(sink.request(), timeout=LONG))
        await sink.until(lambda sink: len(sink.requests) == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await sink.until(lambda sink: sink.open == 0)
        assert await channel.send(sink.request(), timeout=LONG) == Accepted(200)


@on_every_loop
async def test_cancelling_leaves_the_line_and_the_others_in_it() -> None:
    async with Sink(otherwise=Answer(200, delay=0.02)) as sink, opened(connections_per_endpoint=1) as channel:
        sending = [asyncio.create_task(channel.send(sink.request(), timeout=LONG)) for _ in range(3)]
        await sink.until(lambda sink: len(sink.requests) == 1)
        sending[1].cancel()
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Accepted, asyncio.CancelledError, Accepted]


@on_every_loop
async def test_cancelling_ends_a_dial() -> None:
    async with opened(resolve=never, connections_per_endpoint=1) as channel:
        sending = asyncio.create_task(channel.send(Sink().request(host="sink.test"), timeout=LONG))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


@on_every_loop
async def test_closing_ends_what_is_in_flight_wherever_it_is() -> None:
    async with Sink(Silence()) as sink, opened(connections_per_endpoint=1, resolve=never) as channel:
        requests = [sink.request(), sink.request(), sink.request(host="sink.test")]
        sending = [asyncio.create_task(channel.send(request, timeout=LONG)) for request in requests]
        await sink.until(lambda sink: len(sink.requests) == 1)
        await channel.close()
        outcomes = await asyncio.gather(*sending)
        assert [outcome.detail for outcome in outcomes if isinstance(outcome, Unreachable)] == [
            "The engine was stopping: the request was sent, nothing came back.",
            "The engine was stopping: all 1 connections to the endpoint were busy.",
            "The engine was stopping: the name sink.test was not resolved yet.",
        ]
        assert {outcome.reason for outcome in outcomes if isinstance(outcome, Unreachable)} == {"closing"}
        await sink.until(lambda sink: sink.open == 0)


@on_every_loop
async def test_nothing_is_sent_after_closing() -> None:
    async with Sink() as sink, opened() as channel:
        await channel.send(sink.request(), timeout=LONG)
        await channel.close()
        outcome = await channel.send(sink.request(), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "closing"
        assert len(sink.requests) == 1


# Where it goes


class Kept(asyncio.Protocol):
    """Keeps its transport, and notes when it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def leads_to(*addresses: str) -> Resolve:
    async def resolve(host: str) -> Sequence[str]:
        return addresses

    return resolve


@on_every_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "2130706433", "017700000001", "127.1", "localhost"])
async def test_by_default_no_spelling_of_loopback_is_dialled(host: str) -> None:
    async with Sink() as sink, opened(egress=EgressPolicy()) as channel:
        outcome = await channel.send(sink.request(host=host), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "forbidden-address"
        assert sink.connections == 0


@on_every_loop
async def test_one_forbidden_address_among_allowed_ones_refuses_the_name() -> None:
    policy = EgressPolicy(allow=(ip_network("127.0.0.0/8"),))
    async with Sink() as sink, opened(egress=policy, resolve=leads_to("127.0.0.1", "10.0.0.1")) as channel:
        assert await channel.send(sink.request(host="sink.test"), timeout=LONG) == Unreachable(
            "forbidden-address",
            "sink.test leads to 10.0.0.1: it is a private address. Deliveries go to public addresses, unless the "
            "engine is told otherwise.",
        )
        assert sink.connections == 0


@on_every_loop
async def test_the_next_address_is_tried_and_the_name_stays() -> None:
    async with Sink() as sink, opened(resolve=leads_to("127.0.0.2", "127.0.0.1")) as channel:
        assert await channel.send(sink.request(host="sink.test"), timeout=LONG) == Accepted(200)
        assert sink.requests[0].header("Host") == f"sink.test:{sink.port}"


@on_every_loop
async def test_an_address_that_swallows_everything_does_not_hide_the_next() -> None:
    both = leads_to("127.0.0.1", "127.0.0.2")
    with listening_to_nobody() as door, socket.create_connection(door.getsockname()):
        async with Sink(port=door.getsockname()[1], address="127.0.0.2") as sink, opened(resolve=both) as channel:
            outcome = await channel.send(sink.request(host="sink.test"), timeout=timedelta(seconds=0.3))
            assert outcome == Accepted(200)


@on_every_loop
async def test_a_port_where_nothing_listens_refuses() -> None:
    async with Sink() as sink, opened() as channel:
        request = sink.request()
        await sink.stop()
        assert await channel.send(request, timeout=LONG) == Unreachable(
            "connection-refused", f"127.0.0.1 port {sink.port} refused the connection: nothing listens."
        )


@on_every_loop
async def test_a_name_without_an_address_is_unresolved() -> None:
    async def resolve(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with opened(resolve=resolve) as channel:
        assert await channel.send(Sink().request(host="sink.test"), timeout=LONG) == Unreachable(
            "unresolved", "The name sink.test could not be resolved: Name or service not known."
        )


@on_every_loop
async def test_a_name_that_no_resolver_takes_is_unresolved() -> None:
    async with opened() as channel:
        outcome = await channel.send(Sink().request(host="x" * 70 + ".test"), timeout=LONG)
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "unresolved"


@on_every_loop
async def test_a_request_in_two_segments_does_not_wait_between_them() -> None:
    dialer = Dialer(egress=EgressPolicy(allow_private=True), resolve=never, tls=public_tls())
    async with Sink() as sink:
        endpoint = Endpoint("http", "127.0.0.1", sink.port, send_sni=False)
        dialled = await dialer.dial(endpoint, Kept, flight=Flight(asyncio.get_running_loop().time() + 10))
        assert isinstance(dialled, Kept)
        assert dialled.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        dialled.transport.abort()
        await dialled.lost.wait()


@on_every_loop
async def test_lookups_for_one_host_at_the_same_time_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def counted(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    resolver = SystemResolver()
    found = await asyncio.gather(*(resolver("localhost") for _ in range(10)))
    resolver.close()
    assert (asked, {"127.0.0.1" in addresses for addresses in found}) == (["localhost"], {True})
