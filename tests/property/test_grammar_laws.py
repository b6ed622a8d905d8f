"""Laws of the two small languages, for any config, payload, template and value."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from unicodedata import category
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import GrammarError
from reconciler.grammar.batch_url import BatchUrl, parse_batch_url, parse_line_pattern
from reconciler.grammar.body import parse_form_body, parse_json_body
from reconciler.grammar.escape import Context, Json, escape, text_form
from reconciler.grammar.payload import Field, Kind, PayloadConfig, Value, format_fields, problems
from reconciler.grammar.template import (
    Rendered,
    Secret,
    Template,
    fill,
    from_parts,
    join,
    parse_header_value,
    parse_subject,
    parse_text_body,
    redact,
    to_parts,
)
from reconciler.grammar.url import UrlTemplate, parse_url

# Payload configs

_NAMES = st.sampled_from(["a", "B2", "x-1", "_", "#", "0", "a#b", "temperature"])
_INDEXES = st.none() | st.integers(0, 14)
_BITS = st.none() | st.integers(0, 7)
_WHOLE_BYTES = st.sampled_from(range(8, 65, 8))


def _fields_of(kinds: list[Kind], **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Field]:
    return st.builds(
        Field, **{"name": _NAMES, "kind": st.sampled_from(kinds), "index": _INDEXES, "bit": _BITS} | others
    )


_FIELD = st.one_of(
    _fields_of(["bool"], length=st.just(1), bit=st.integers(0, 7)),
    _fields_of(["char"], length=st.integers(1, 12)),
    _fields_of(["uint", "int"], length=st.integers(1, 64)),
    _fields_of(["uint", "int"], length=_WHOLE_BYTES, little_endian=st.just(True)),
    _fields_of(["float"], length=st.sampled_from([32, 64]), little_endian=st.booleans()),
)
_FIELDS: st.SearchStrategy[tuple[Field, ...]] = st.lists(
    _FIELD, min_size=1, max_size=6, unique_by=lambda field: field.name
).map(tuple)
_PAYLOADS = st.binary(max_size=32)
# Text that is nearly a config, so that every check of the parser is reached.
_NEARLY = st.lists(
    st.sampled_from(["a", "b", ":", "::", " ", "uint", "int", "float", "char", "bool", "8", "32", "7", "little-endian"])
).map("".join)


def _decoded_slowly(fields: tuple[Field, ...], data: bytes) -> dict[str, Value]:
    """The rules of callbacks.md section 3.2, one bit at a time."""
    stream = "".join(f"{byte:08b}" for byte in data)
    values: dict[str, Value] = {}
    current = 0
    for field in fields:
        start = current if field.index is None else field.index
        if field.kind == "bool":
            assert field.bit is not None
            position = 8 * start + 7 - field.bit
            values[field.name] = stream[position] == "1" if position < len(stream) else None
            current = start
            continue
        count = 8 * field.length if field.kind == "char" else field.length
        position = 8 * start + 7 - (7 if field.bit is None else field.bit)
        bits = stream[position : position + count]
        last = (position + count - 1) // 8
        current = last + 1 if field.bit is None else last
        values[field.name] = _value(field, bits) if len(bits) == count else None
    return values


def _value(field: Field, bits: str) -> Value:
    if field.little_endian:
        bits = "".join(reversed([bits[at : at + 8] for at in range(0, len(bits), 8)]))
    number = sum(1 << place for place, bit in enumerate(reversed(bits)) if bit == "1")
    match field.kind:
        case "char":
            return number.to_bytes(field.length, "big").decode("utf-8", "replace")
        case "float":
            layout = ">f" if field.length == 32 else ">d"
            return float(struct.unpack(layout, number.to_bytes(field.length // 8, "big"))[0])
        case "int" if bits[0] == "1":
            return number - (1 << len(bits))
        case _:
            return number


def _alike(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Equality in which NaN equals itself and True is not 1."""
    return [(name, repr(value)) for name, value in one.items()] == [
        (name, repr(value)) for name, value in other.items()
    ]


@given(_FIELDS)
def test_fields_survive_being_written_and_read(fields: tuple[Field, ...]) -> None:
    assert PayloadConfig.parse(format_fields(fields)).fields == fields


@given(_FIELDS)
def test_the_canonical_text_is_a_fixed_point(fields: tuple[Field, ...]) -> None:
    text = format_fields(fields)
    assert format_fields(PayloadConfig.parse(text).fields) == text


@given(_FIELDS, _PAYLOADS)
def test_decoding_equals_reading_bit_by_bit(fields: tuple[Field, ...], data: bytes) -> None:
    decoded = PayloadConfig.parse(format_fields(fields)).decode(data)
    assert _alike(decoded.values, _decoded_slowly(fields, data))
    assert decoded.missing == tuple(name for name, value in decoded.values.items() if value is None)


@given(_FIELDS, _PAYLOADS, st.binary(max_size=40))
def test_appended_bytes_change_no_field_that_fitted(fields: tuple[Field, ...], data: bytes, more: bytes) -> None:
    config = PayloadConfig.parse(format_fields(fields))
    before, after = config.decode(data).values, config.decode(data + more).values
    fitted = {name: value for name, value in before.items() if value is not None}
    assert _alike(fitted, {name: after[name] for name in fitted})


@given(_FIELDS)
def test_the_size_is_the_least_that_fits_all(fields: tuple[Field, ...]) -> None:
    config = PayloadConfig.parse(format_fields(fields))
    assert config.decode(bytes(config.size)).missing == ()
    assert config.decode(bytes(config.size - 1)).missing != ()


@given(_NEARLY | st.text())
def test_a_text_is_a_config_or_has_problems_within_it(text: str) -> None:
    found = problems(text)
    assert all(0 <= problem.offset <= len(text) and problem.length >= 1 for problem in found)
    assert [problem.offset for problem in found] == sorted(problem.offset for problem in found)
    if found:
        with pytest.raises(GrammarError) as refused:
            PayloadConfig.parse(text)
        assert refused.value.args == found[0].args
    else:
        PayloadConfig.parse(text).decode(text.encode("utf-8", "replace"))


# Templates

# Any text, also half surrogate pairs and what looks like our own syntax or that of the places values go to.
_TEXTS = st.text(st.characters()) | st.lists(
    st.sampled_from(
        ["{x}", "{y}", "${secret.S}", "${", "{", "}", '"', "\\", "\r\n", "\0", "&", "=", "/", ".", "..", "%2e", "#"]
    )
).map("".join)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).map(lambda value: Json(json.dumps(value)))
_VALUES: st.SearchStrategy[Value] = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS, _JSON)


def _text(rendered: Rendered) -> str:
    assert isinstance(rendered, str)
    rendered.encode()  # whatever was rendered can be sent
    return rendered


@given(_VALUES, _VALUES)
def test_a_rendered_json_body_is_json_with_the_values_in_place(x: Value, y: Value) -> None:
    template = parse_json_body('{"string":"<{x}>","value":{x},"key {y}":[{y},"{x}{y}"]}')
    read = json.loads(_text(template.render({"x": x, "y": y})))
    assert read == {
        "string": f"<{text_form(x)}>",
        "value": _as_read(x),
        f"key {text_form(y)}": [_as_read(y), text_form(x) + text_form(y)],
    }


def _as_read(value: Value) -> object:
    match value:
        case Json():
            return json.loads(value)
        case str():
            return text_form(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


@given(_VALUES, _VALUES)
def test_a_rendered_query_or_form_has_exactly_the_pairs_of_the_template(x: Value, y: Value) -> None:
    values = {"x": x, "y": y}
    pairs = [("a", text_form(x)), ("b", f"1{text_form(y)}2"), ("c", "")]
    query = parse_url("http://a/?a={x}&b=1{y}2&c=").query
    assert query is not None
    for rendered in (query.render(values), parse_form_body("a={x}&b=1{y}2&c=").render(values)):
        assert parse_qsl(_text(rendered), keep_blank_values=True, strict_parsing=True) == pairs


@given(_VALUES, _VALUES)
def test_a_rendered_path_has_exactly_the_segments_of_the_template(x: Value, y: Value) -> None:
    path = _text(parse_url("http://a/u/{x}/{y}.json/{x}{y}").path.render({"x": x, "y": y}))
    assert path.isascii()
    assert not set(path) & set("?# \r\n\0")
    segments = path.split("/")
    assert len(segments) == 5
    assert not any(unquote(segment) in {".", ".."} for segment in segments)
    if text_form(x) not in {".", ".."}:
        assert unquote(segments[2]) == text_form(x)


@pytest.mark.parametrize("parse", [parse_header_value, parse_subject])
@given(x=_VALUES)
def test_a_rendered_header_stays_on_its_line(parse: Callable[[str], Template], x: Value) -> None:
    rendered = _text(parse("a {x} b").render({"x": x}))
    assert all(character >= " " and character != "\x7f" for character in rendered)
    assert len(rendered.splitlines()) == 1


@given(st.lists(st.tuples(_VALUES, _VALUES), min_size=1, max_size=4))
def test_a_batch_has_the_pairs_of_its_url_and_a_line_for_each_message(messages: list[tuple[Value, Value]]) -> None:
    url, pattern = parse_batch_url("http://a/in?k=1&lines={batch}&z="), parse_line_pattern("{x};&k=2 {y}")
    lines = "%0A".join(_text(pattern.render({"x": x, "y": y})) for x, y in messages)
    query = f"{url.before.render({})}{lines}{url.after.render({})}"
    names, values = zip(*parse_qsl(query, keep_blank_values=True, strict_parsing=True), strict=True)
    assert names == ("k", "lines", "z")
    assert (values[0], values[2]) == ("1", "")
    received = values[1].splitlines()
    assert len(received) == len(messages)
    for line, (x, y) in zip(received, messages, strict=True):
        assert line == f"{_on_one_line(x)};&k=2 {_on_one_line(y)}"


def _on_one_line(value: Value) -> str:
    return "".join(" " if _is_separator(character) else character for character in text_form(value))


def _is_separator(character: str) -> bool:
    return category(character) == "Cc" or character in "\u2028\u2029"


@given(_VALUES, _VALUES)
def test_values_are_put_in_once_and_never_read_again(x: Value, y: Value) -> None:
    template = parse_text_body("{x}|{y}|{x}")
    assert template.render({"x": x, "y": y}) == f"{text_form(x)}|{text_form(y)}|{text_form(x)}"


_PARSERS = [
    *(parse_url, parse_batch_url, parse_json_body, parse_form_body, parse_header_value, parse_subject),
    *(parse_text_body, parse_line_pattern),
]


@pytest.mark.parametrize("frame", ["{}", '"{}"', "a={}", "http://a/{}", "http://a/?b={batch}{}"])
@pytest.mark.parametrize("parse", _PARSERS)
@given(text=_TEXTS, x=_VALUES)
def test_a_text_is_a_template_or_refused_at_a_place_within(
    parse: Callable[[str], Template | UrlTemplate | BatchUrl], frame: str, text: str, x: Value
) -> None:
    whole = frame.replace("{}", text)
    match _parsed(parse, whole):
        case GrammarError() as error:
            assert error.text == whole
            assert 0 <= error.offset <= len(whole)
        case BatchUrl() as url:
            redact(join(url.path.render({}), url.before.render({}), url.after.render({}))).encode()
        case template:
            redact(template.render({"x": x})).encode()


def _parsed(
    parse: Callable[[str], Template | UrlTemplate | BatchUrl], text: str
) -> Template | UrlTemplate | BatchUrl | GrammarError:
    try:
        return parse(text)
    except GrammarError as error:
        return error


@given(_VALUES, st.sampled_from(Context))
def test_anything_can_be_escaped_for_anywhere(value: Value, context: Context) -> None:
    escape(value, context).encode()


_RENDERED = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.builds(Secret, st.sampled_from(["A", "B"]), st.sampled_from(Context))
).map(lambda parts: join(*((part,) if isinstance(part, Secret) else part for part in parts)))


@given(_RENDERED)
def test_rendered_text_survives_being_stored(rendered: Rendered) -> None:
    assert from_parts(json.loads(json.dumps(to_parts(rendered)))) == rendered


@given(_RENDERED, _TEXTS)
def test_secrets_are_escaped_like_values(rendered: Rendered, secret: str) -> None:
    parts = (rendered,) if isinstance(rendered, str) else rendered
    expected = "".join(part if isinstance(part, str) else escape(secret, part.context) for part in parts)
    assert fill(rendered, lambda _: secret) == expected


@given(_RENDERED, _RENDERED)
def test_joining_keeps_the_parts_in_their_least_form(one: Rendered, other: Rendered) -> None:
    joined = join(one, other)
    assert redact(joined) == redact(one) + redact(other)
    if not isinstance(joined, str):
        kinds = [isinstance(part, str) for part in joined]
        assert not all(kinds)
        assert "" not in joined
        assert (True, True) not in pairwise(kinds)
