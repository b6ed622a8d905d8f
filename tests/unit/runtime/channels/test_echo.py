"""What a receiver repeats of a secret is replaced, in whatever form it writes it."""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.grammar.escape import Context, escape
from reconciler.runtime.channels.echo import SHORTEST, without

SPECIAL = "a\"<&'>%\\/+ =?é€#b"
SHOWN = "${secret.KEY}"

REPEATS: list[Callable[[str], str]] = [
    str,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    lambda text: html.escape(text).replace("&#x27;", "&#039;"),
]


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("context", [each for each in Context if each is not Context.JSON_VALUE])
@pytest.mark.parametrize("value", [SPECIAL, "plain-token-0123"])
def test_what_was_sent_is_recognised_in_every_form(value: str, context: Context, repeat: Callable[[str], str]) -> None:
    body = f"before {repeat(escape(value, context))} after {repeat(value)}".encode()
    assert without(body, value, shown=SHOWN) == f"before {SHOWN} after {SHOWN}".encode()


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_base64_is_recognised_with_and_without_its_padding(encode: Callable[[bytes], bytes]) -> None:
    encoded = encode(SPECIAL.encode())
    assert without(b"x " + encoded.rstrip(b"="), SPECIAL, shown=SHOWN) == f"x {SHOWN}".encode()
    assert SPECIAL.encode() not in without(b"x " + encoded, SPECIAL, shown=SHOWN)


def test_quotes_around_a_value_stay() -> None:
    assert without(b'{"token": "plain-token"}', "plain-token", shown=SHOWN) == b'{"token": "${secret.KEY}"}'


def test_short_values_are_left_alone_because_they_occur_by_accident() -> None:
    assert without(b"1234567", "1234567", shown=SHOWN) == b"1234567"
    assert without(b"12345678", "12345678", shown=SHOWN) == SHOWN.encode()


@pytest.mark.parametrize("size", [SHORTEST, 20, 31])
def test_the_beginning_of_a_value_at_the_end_of_a_long_answer_was_cut_there(size: int) -> None:
    value = "0123456789abcdefghijklmnopqrstuv"
    body = b"." * 65_000 + value[:size].encode()
    assert without(body, value, shown=SHOWN) == b"." * 65_000 + SHOWN.encode()
    assert without(body[-100:], value, shown=SHOWN) == body[-100:], "a short answer ends where its author meant it"


@given(st.binary(max_size=300), st.text(min_size=SHORTEST, max_size=40))
def test_nothing_fails_and_what_holds_no_value_stays(body: bytes, value: str) -> None:
    left = without(body, value, shown=SHOWN)
    raw = value.encode("utf-8", "replace")
    if raw not in body and b64encode(raw).rstrip(b"=") not in body:
        assert left == body or SHOWN.encode() in left
