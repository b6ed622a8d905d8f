"""One connection, without a socket: whatever the pieces in which an answer comes, the outcome is the same."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.runtime.channels.connection import MAX_HEAD_BYTES, MAX_INTERIM_ANSWERS, Connection
from reconciler.runtime.channels.unreachable import Reason
from reconciler.runtime.turn import Turn
from tests.fakes import AtOnce

MAX_BODY = 100


class Wire(asyncio.Transport):
    """A transport that keeps what is written; `unsent` of it was not taken by the other side."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Home:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def made(self, connection: Connection) -> None:
        self.told.append("made")

    def returned(self, connection: Connection) -> None:
        self.told.append("returned")

    def gone(self, connection: Connection) -> None:
        self.told.append("gone")

    def lost(self, connection: Connection) -> None:
        self.told.append("lost")


class Line:
    """A connection with both ends in hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Turn | None = None) -> None:
        self.home = Home()
        self.wire = Wire()
        self.connection = Connection(loop, home=self.home, max_body=MAX_BODY, turn=turn or AtOnce())
        self.connection.connection_made(self.wire)

    def exchange(self, *pieces: bytes, end: bool = False) -> Outcome | None:
        """What comes of a request that is answered in these pieces, and perhaps by the end of the connection."""
        answered = self.connection.send(b"GET / HTTP/1.1\r\n\r\n", deadline=inf)
        for piece in pieces:
            self.connection.data_received(piece)
        if end:
            self.connection.eof_received()
            self.connection.connection_lost(None)
        return answered.result()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def line(loop: asyncio.AbstractEventLoop) -> Line:
    return Line(loop)


class Held(Turn):
    """A turn that ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Callable[[], None]] = []

    def at_end(self, loop: asyncio.AbstractEventLoop, write: Callable[[], None]) -> None:
        self.writes.append(write)

    def end(self) -> None:
        for write in self.writes:
            write()
        self.writes.clear()


@pytest.fixture
def turn() -> Held:
    return Held()


@pytest.fixture
def held(loop: asyncio.AbstractEventLoop, turn: Held) -> Line:
    """A line that was used before, and writes at the end of the turn."""
    line = Line(loop, turn)
    first = line.connection.send(b"first", deadline=inf)
    turn.end()
    line.connection.data_received(b"HTTP/1.1 204 None\r\n\r\n")
    assert first.result() == Accepted(204)
    return line


ANSWERS: dict[bytes, tuple[Outcome, str]] = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": (Accepted(200, b"hi"), "returned"),
    b"HTTP/1.1 204 None\r\n\r\n": (Accepted(204), "returned"),
    b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n": (Refused(404), "returned"),
    b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n": (Refused(304), "returned"),
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;e=1\r\nbc\r\n0\r\nT: x\r\n\r\n": (
        Accepted(200, b"abc"),
        "returned",
    ),
    b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx": (
        Accepted(201, b"x"),
        "returned",
    ),
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi": (Accepted(200, b"hi"), "returned"),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi": (Accepted(200, b"hi"), "gone"),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi": (Accepted(200, b"hi"), "gone"),
    b"HTTP/1.1 500 Oh\r\nContent-Length: 101\r\n\r\n" + b"x" * 101: (Refused(500, b"x" * 100), "gone"),
    b"\r\nHTTP/1.1 200 OK\nContent-Length: 2\n\nhi": (Accepted(200, b"hi"), "returned"),
    b"HTTP/3 200\r\n\r\n": (Unreachable("not-http", "What came back is not an HTTP/1.1 answer."), "gone"),
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n": (
        Unreachable("not-http", "What came back is not an HTTP/1.1 answer."),
        "gone",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[:40].decode())
def test_an_answer_may_come_at_once_or_byte_by_byte(loop: asyncio.AbstractEventLoop, answer: bytes) -> None:
    for pieces in ([answer], [answer[i : i + 1] for i in range(len(answer))]):
        line = Line(loop)
        outcome = line.exchange(*pieces)
        assert (outcome, line.home.told[:2]) == (ANSWERS[answer][0], ["made", ANSWERS[answer][1]])


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 200)))
def test_an_answer_may_come_in_any_pieces(answer: bytes, cuts: Sequence[int]) -> None:
    loop = asyncio.new_event_loop()
    bounds = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    pieces = [answer[start:end] for start, end in pairwise(bounds)]
    assert Line(loop).exchange(*pieces) == ANSWERS[answer][0]
    loop.close()


@given(st.binary(max_size=300), st.booleans())
def test_no_answer_makes_it_raise(noise: bytes, proper: bool) -> None:
    loop = asyncio.new_event_loop()
    line = Line(loop)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" if proper else b""
    assert line.exchange(head + noise, end=True) is not None
    assert line.home.told[-1] == "lost"
    loop.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nall of it", Accepted(200, b"all of it")),
        (b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n", Refused(500)),
        (b"HTTP/1.1 200 OK\r\n\r\nContent-Length: 99\r\n", Accepted(200, b"Content-Length: 99\r\n")),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi", Accepted(200, b"hi")),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            Unreachable(
                "connection-reset",
                "The connection ended too early: status 200 had come and 4 bytes of the body, but not its end.",
            ),
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            Unreachable(
                "connection-reset",
                "The connection ended too early: status 200 had come and 4 bytes of the body, but not its end.",
            ),
        ),
        (
            b"HTTP/1.1 2",
            Unreachable(
                "connection-reset",
                "The connection ended too early: the answer's headers had begun, 10 bytes had come.",
            ),
        ),
        (b"", Unreachable("connection-reset", "The server closed the connection without an answer.")),
    ],
)
def test_the_end_of_the_connection_ends_only_what_has_no_other_end(line: Line, answer: bytes, outcome: Outcome) -> None:
    pieces = [answer] if answer else []
    assert line.exchange(*pieces, end=True) == outcome
    assert line.home.told == ["made", "gone", "lost"]


def test_a_used_connection_that_ends_without_an_answer_says_that_the_request_may_be_sent_again(line: Line) -> None:
    line.exchange(b"HTTP/1.1 204 None\r\n\r\n")
    assert line.exchange(end=True) is None


def test_a_used_connection_that_ends_after_a_byte_does_not(line: Line) -> None:
    line.exchange(b"HTTP/1.1 204 None\r\n\r\n")
    assert line.exchange(b"H", end=True) is not None


@pytest.mark.parametrize(
    "surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"HTTP/1.1 200 OK\r\nX:", b"H", b"junk", b"\x00"]
)
def test_bytes_behind_an_answer_cost_the_connection_and_not_the_answer(line: Line, surplus: bytes) -> None:
    assert line.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + surplus) == Accepted(200, b"hi")
    assert line.home.told == ["made", "gone"]


def test_the_head_may_take_its_limit_and_not_a_byte_more(loop: asyncio.AbstractEventLoop) -> None:
    start, end = b"HTTP/1.1 204 None\r\nX: ", b"\r\n\r\n"
    fits = start + b"x" * (MAX_HEAD_BYTES - len(start + end)) + end
    assert Line(loop).exchange(fits) == Accepted(204)
    too_large = Line(loop).exchange(start + b"x" + fits[len(start) :])
    assert isinstance(too_large, Unreachable)
    assert too_large.reason == "answer-headers-too-large"


def test_garbage_beyond_the_limit_is_still_garbage(line: Line) -> None:
    outcome = line.exchange(b"x" * (MAX_HEAD_BYTES + 1))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "not-http"


def test_a_small_head_in_front_of_a_large_body_is_within_the_limit(line: Line) -> None:
    body = b"x" * MAX_HEAD_BYTES
    assert line.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + body) == Accepted(200, body[:MAX_BODY])


def test_interim_answers_are_counted_for_each_request(loop: asyncio.AbstractEventLoop) -> None:
    interim, final = b"HTTP/1.1 102 Working\r\n\r\n", b"HTTP/1.1 204 None\r\n\r\n"
    line = Line(loop)
    for _ in range(3):
        assert line.exchange(interim * MAX_INTERIM_ANSWERS + final) == Accepted(204)
    outcome = line.exchange(interim * (MAX_INTERIM_ANSWERS + 1) + final)
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "not-http"


def test_an_answer_to_half_a_request_costs_the_connection(line: Line) -> None:
    line.wire.unsent = 10
    assert line.exchange(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n") == Refused(413)
    assert line.home.told == ["made", "gone"]


def test_bytes_while_idle_close_it(line: Line) -> None:
    line.exchange(b"HTTP/1.1 204 None\r\n\r\n")
    line.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert (line.wire.aborted, line.home.told) == (True, ["made", "returned", "gone"])


def test_a_connection_lost_before_it_was_used_is_an_outcome(line: Line) -> None:
    line.connection.connection_lost(ConnectionResetError())
    outcome = line.connection.send(b"x", deadline=inf).result()
    assert isinstance(outcome, Unreachable)
    assert line.wire.written == []


def test_abandoning_closes_it_unless_the_answer_has_come(loop: asyncio.AbstractEventLoop) -> None:
    busy, done = Line(loop), Line(loop)
    busy.connection.abandon(busy.connection.send(b"x", deadline=inf))
    answered = done.connection.send(b"x", deadline=inf)
    done.connection.data_received(b"HTTP/1.1 204 None\r\n\r\n")
    done.connection.abandon(answered)
    assert (busy.wire.aborted, done.wire.aborted) == (True, False)


def test_an_interruption_says_how_far_it_got_and_closes_it(line: Line) -> None:
    line.wire.unsent = 7
    answered = line.connection.send(b"x" * 10, deadline=1.0)
    line.connection.interrupt(Reason.DEADLINE)
    assert answered.result() == Unreachable(
        "deadline", "Time is up: the receiver did not take the whole request, 7 bytes were left."
    )
    assert line.wire.aborted
    assert line.connection.deadline == inf


def test_an_idle_connection_is_not_interrupted(line: Line) -> None:
    line.connection.interrupt(Reason.DEADLINE)
    assert line.home.told == ["made"]


@pytest.mark.parametrize("junk", [b"junk", b"\x00", b"</html>\r\n", b"HTTP/9.9 200\r\n\r\n"])
@pytest.mark.parametrize("behind", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_what_followed_the_answer_before_is_not_the_answer_to_the_next_request(
    line: Line, junk: bytes, behind: bytes
) -> None:
    """It was on its way when the connection was lent out again: the request goes out on another one."""
    assert line.exchange(b"HTTP/1.1 204 None\r\n\r\n") == Accepted(204)
    assert line.exchange(junk + behind) is None
    assert line.wire.aborted
    assert line.home.told == ["made", "returned", "gone"]


def test_what_is_no_http_behind_an_interim_answer_is_this_receivers_answer(line: Line) -> None:
    line.exchange(b"HTTP/1.1 204 None\r\n\r\n")
    outcome = line.exchange(b"HTTP/1.1 103 Hints\r\n\r\n", b"junk")
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == Reason.NOT_HTTP


def test_a_request_goes_out_at_the_end_of_the_turn(held: Line, turn: Held) -> None:
    answered = held.connection.send(b"second", deadline=inf)
    assert held.wire.written == [b"first"]
    turn.end()
    assert held.wire.written == [b"first", b"second"]
    held.connection.data_received(b"HTTP/1.1 204 None\r\n\r\n")
    assert answered.result() == Accepted(204)


def test_what_comes_before_the_request_went_out_is_not_its_answer(held: Line, turn: Held) -> None:
    """It is the answer to something else: the request goes out on another connection, and never on this one."""
    answered = held.connection.send(b"second", deadline=inf)
    held.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    turn.end()
    assert answered.result() is None
    assert (held.wire.written, held.wire.aborted) == ([b"first"], True)
    assert held.home.told == ["made", "returned", "gone"]


def test_a_server_that_refuses_a_connection_before_it_is_asked_has_answered(
    loop: asyncio.AbstractEventLoop, turn: Held
) -> None:
    line = Line(loop, turn)
    answered = line.connection.send(b"first", deadline=inf)
    line.connection.data_received(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    turn.end()
    assert answered.result() == Refused(503)
    assert (line.wire.written, line.home.told) == ([], ["made", "gone"])


def test_a_request_that_did_not_go_out_on_a_lost_connection_may_be_sent_again(held: Line, turn: Held) -> None:
    answered = held.connection.send(b"second", deadline=inf)
    held.connection.eof_received()
    held.connection.connection_lost(None)
    turn.end()
    assert answered.result() is None
    assert held.wire.written == [b"first"]


def test_an_interruption_before_the_request_went_out_says_so(held: Line, turn: Held) -> None:
    answered = held.connection.send(b"second", deadline=1.0)
    held.connection.interrupt(Reason.DEADLINE)
    turn.end()
    assert answered.result() == Unreachable(
        "deadline", "Time is up: the receiver did not take the whole request, 6 bytes were left."
    )
    assert held.wire.written == [b"first"]
