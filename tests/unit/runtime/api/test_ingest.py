from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.message import Refusal
from reconciler.runtime.api.answers import DoorError
from reconciler.runtime.api.ingest import MAX_MESSAGES, split_body

JSON, NDJSON = b"application/json", b"application/x-ndjson"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refusal_of(body: bytes, content_type: bytes = JSON) -> DoorError:
    with pytest.raises(DoorError) as caught:
        split_body(body, content_type)
    return caught.value


@given(st.lists(json_values, max_size=8))
def test_an_array_and_its_lines_are_the_same_messages(values: list[Any]) -> None:
    lines = b"\n".join(orjson.dumps(value) for value in values)

    assert list(split_body(orjson.dumps(values), JSON)) == values
    assert list(split_body(lines, NDJSON)) == values


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), min_size=2, max_size=8))
def test_lines_of_objects_are_recognised_whatever_the_content_type(values: list[dict[str, Any]]) -> None:
    assert list(split_body(b"\n".join(orjson.dumps(value) for value in values), b"text/plain")) == values


@given(st.binary(max_size=64), st.sampled_from([JSON, NDJSON, b""]))
def test_any_body_is_split_or_refused(body: bytes, content_type: bytes) -> None:
    try:
        split_body(body, content_type)
        status = 202
    except DoorError as refused:
        status = refused.status
    assert status in (202, 400)


@pytest.mark.parametrize(
    ("body", "content_type", "values"),
    [
        (b'{"a":1}', JSON, [{"a": 1}]),
        (b' \n{"a":1}\n ', b"", [{"a": 1}]),
        (b'{\n  "a": 1\n}', b"", [{"a": 1}]),
        (b"[]", JSON, []),
        (b"7", JSON, [7]),
        (b"", NDJSON, []),
        (b'\n{"a":1}\r\n \t\n{"a":2}\n\n', NDJSON, [{"a": 1}, {"a": 2}]),
        (b'[1]\n"x"', NDJSON, [[1], "x"]),
        (b'{"a":1}', b"Application/X-NDJSON; charset=utf-8", [{"a": 1}]),
        (b'\n{"a":1}\n{"a":2}', JSON, [{"a": 1}, {"a": 2}]),
    ],
)
def test_bodies_of_every_form(body: bytes, content_type: bytes, values: list[Any]) -> None:
    assert list(split_body(body, content_type)) == values


def test_a_line_that_is_not_json_stands_as_a_refusal_among_the_others() -> None:
    first, second, third = split_body(b'{"a":1}\n{"a":\n{"a":3}', NDJSON)

    assert (first, third) == ({"a": 1}, {"a": 3})
    assert second == Refusal("invalid-json", "This line is not JSON: unexpected end of data at column 6.")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty."),
        (b" \n", "The body is empty."),
        (b'{"a":1', "The body is not JSON: unexpected end of data at line 1, column 7."),
        (b'{\n  "a" 1\n}', "at line 2, column 7."),
        (b'{"a":1},\n{"a":2}', "The body is not JSON:"),
        (b'{"a":1}{"a":2}', "The body is not JSON:"),
        (b"\xff\xfe", "The body is not JSON:"),
        (b"device=1C178&time=1", "The body is not JSON:"),
    ],
)
def test_what_is_not_json_is_refused_with_the_place_and_without_the_text(body: bytes, message: str) -> None:
    refused = refusal_of(body)

    assert (refused.status, refused.body["code"]) == (400, "invalid-json")
    assert message in refused.body["message"]
    assert "1C178" not in refused.body["message"]


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"[" + b"1," * MAX_MESSAGES + b"1]", JSON), (b"1\n" * (MAX_MESSAGES + 1), NDJSON)]
)
def test_more_messages_than_the_door_takes_are_refused_before_they_are_read(body: bytes, content_type: bytes) -> None:
    refused = refusal_of(body, content_type)

    assert (refused.status, refused.body["code"]) == (413, "too-many-messages")
    assert "10001 messages" in refused.body["message"]


def test_as_many_messages_as_the_door_takes_are_taken() -> None:
    assert len(split_body(b"1\n" * MAX_MESSAGES, NDJSON)) == MAX_MESSAGES
