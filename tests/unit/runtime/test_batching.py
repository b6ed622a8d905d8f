"""Which lines share a request, and what that request is (`callbacks.md` section 4.2)."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Rendered, Secret, fill, redact
from reconciler.model.delivery import BatchLine, HttpRequest, Lease
from reconciler.model.resource import Key, Method
from reconciler.runtime.batching import LONGEST_TARGET, batches
from tests.builders import a_delivery, a_lease, a_message

LOG, OTHER = Key("tracker", "fleet-log"), Key("tracker", "other-log")
TOKEN = Secret("TOKEN", Context.QUERY)


def a_line(line: Rendered = "1C178%3B7", **fields: Any) -> BatchLine:
    given: dict[str, Any] = {
        "method": Method.POST,
        "scheme": "https",
        "host": "a.example",
        "port": 8443,
        "path": "/in",
        "before": "key=1&lines=",
        "after": "&end=2",
        "credentials": "login:pass",
        "send_sni": True,
    }
    return BatchLine(**(given | fields), line=line)


def leased(
    number: int, line: BatchLine | None = None, *, callback: Key = LOG, revision: int = 3, asks: bool = False
) -> Lease:
    delivery = a_delivery(a_message(number), callback=callback, revision=revision)
    request = line or a_line(f"line{number}")
    return a_lease(replace(delivery, endpoint=request.endpoint, request=request, asks=asks))


def test_lines_share_a_request() -> None:
    lines = [leased(1), leased(2), leased(3)]
    (batch,) = batches(lines)

    assert batch.lines == tuple(lines)
    assert batch.request == HttpRequest(
        method=Method.POST,
        scheme="https",
        host="a.example",
        port=8443,
        target="/in?key=1&lines=line1%0Aline2%0Aline3&end=2",
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
        credentials="login:pass",
        body="key=1&lines=line1%0Aline2%0Aline3&end=2",
        send_sni=True,
    )
    assert batch.request.endpoint == lines[0].delivery.request.endpoint


@pytest.mark.parametrize(("method", "body"), [(Method.GET, None), (Method.POST, "l=x"), (Method.PUT, "l=x")])
def test_a_form_body_equals_the_query(method: Method, body: str | None) -> None:
    (batch,) = batches([leased(1, a_line("x", method=method, before="l=", after=""))])

    assert (batch.request.method, batch.request.target, batch.request.body) == (method, "/in?l=x", body)
    assert [name for name, _ in batch.request.headers] == ([] if body is None else ["Content-Type"])


def test_nothing_makes_nothing() -> None:
    assert batches([]) == ()


def test_callbacks_and_revisions_have_batches_of_their_own_in_the_order_of_their_first_lines() -> None:
    lines = [leased(1), leased(2, callback=OTHER), leased(3, revision=4), leased(4, callback=OTHER), leased(5)]

    assert [batch.lines for batch in batches(lines)] == [
        (lines[0], lines[4]),
        (lines[1], lines[3]),
        (lines[2],),
    ]


def size_of(rendered: Rendered) -> int:
    assert isinstance(rendered, str)
    return len(rendered.encode())


def test_a_target_is_filled_up_to_the_limit_and_no_further() -> None:
    around = len("/in?key=1&lines=&end=2")
    exactly = "x" * (LONGEST_TARGET - around - len("line1%0A"))

    (together,) = batches([leased(1), leased(2, a_line(exactly))])
    assert size_of(together.request.target) == LONGEST_TARGET

    apart = batches([leased(1), leased(2, a_line(exactly + "x"))])
    assert [len(each.lines) for each in apart] == [1, 1]


def test_a_line_that_is_too_long_is_sent_alone() -> None:
    lines = [leased(1), leased(2, a_line("x" * 9_000)), leased(3), leased(4)]

    assert [batch.lines for batch in batches(lines)] == [(lines[0],), (lines[1],), (lines[2], lines[3])]


def test_many_lines_make_several_batches_in_order() -> None:
    lines = [leased(number, a_line("x" * 97)) for number in range(200)]
    made = batches(lines)

    assert [len(batch.lines) for batch in made] == [79, 79, 42]
    assert [lease for batch in made for lease in batch.lines] == lines
    assert all(size_of(batch.request.target) <= LONGEST_TARGET for batch in made)


def test_secrets_stay_references_and_count_for_what_they_may_be() -> None:
    line = a_line("x" * 100, path=("/in/", TOKEN), before=("key=", TOKEN, "&lines="))
    made = batches([leased(number, line) for number in range(100)])
    first = made[0].request

    assert [len(batch.lines) for batch in made] == [72, 28]  # 2 secrets of 256 bytes and 23 bytes around them
    assert redact(first.target).startswith("/in/${secret.TOKEN}?key=${secret.TOKEN}&lines=xxx")
    assert first.body is not None
    assert redact(first.body).startswith("key=${secret.TOKEN}&lines=xxx")
    longest_token = "t" * 256
    assert len(fill(first.target, lambda name: longest_token)) <= LONGEST_TARGET


def test_secrets_of_lines_count_each() -> None:
    made = batches([leased(number, a_line((TOKEN, "%3B1"))) for number in range(60)])

    assert [len(batch.lines) for batch in made] == [30, 30]


@pytest.mark.parametrize("asking", [set(), {2}, {1, 3}])
def test_a_batch_asks_if_one_of_its_lines_does(asking: set[int]) -> None:
    (batch,) = batches([leased(number, asks=number in asking) for number in (1, 2, 3)])

    assert batch.asks is bool(asking)


def test_only_lines_make_batches() -> None:
    with pytest.raises(ValueError, match="is no line of a batch"):
        batches([a_lease(a_delivery())])
