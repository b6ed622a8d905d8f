"""The payload config language: published vectors, every way to get it wrong, and where omitted indexes lead."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.payload import MAX_INDEX, Field, PayloadConfig, Value, format_fields, problems

_VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "payload-vectors.json").read_text("utf-8"))
_DECODED = [vector for vector in _VECTORS if "expected" in vector]
_TOO_SHORT = [vector for vector in _VECTORS if vector.get("error") == "PAYLOAD_TOO_SHORT"]
_REFUSED = [vector for vector in _VECTORS if "error" in vector and vector not in _TOO_SHORT]

# The names that the vectors give to what our codes say.
_CODES = {
    "BAD_LENGTH": "payload-bad-length",
    "BAD_BIT": "payload-bad-bit",
    "BAD_ENDIANNESS": "payload-bad-endianness",
    "BAD_TYPE": "payload-bad-type",
    "SYNTAX": "payload-syntax",
    "BAD_NAME": "payload-bad-name",
    "DUPLICATE_NAME": "payload-duplicate-name",
}


def _config(vector: dict[str, Any]) -> str:
    return str(vector["config"])


def _decode(config: str, payload: str) -> dict[str, Value]:
    return dict(PayloadConfig.parse(config).decode(bytes.fromhex(payload)).values)


def _found(text: str) -> list[tuple[str, int, int]]:
    return [(problem.code, problem.offset, problem.length) for problem in problems(text)]


class TestPublishedVectors:
    @pytest.mark.parametrize("vector", _DECODED, ids=_config)
    def test_values_and_their_types_are_those_witnessed(self, vector: dict[str, Any]) -> None:
        decoded = PayloadConfig.parse(vector["config"]).decode(bytes.fromhex(vector["payload_hex"]))
        assert decoded.values == vector["expected"]
        assert [type(value) for value in decoded.values.values()] == [type(v) for v in vector["expected"].values()]
        assert decoded.missing == ()

    @pytest.mark.parametrize("vector", _DECODED, ids=_config)
    def test_canonical_text_means_the_same(self, vector: dict[str, Any]) -> None:
        config = PayloadConfig.parse(vector["config"])
        assert PayloadConfig.parse(format_fields(config.fields)).fields == config.fields

    @pytest.mark.parametrize("vector", _REFUSED, ids=_config)
    def test_bad_configs_are_refused_for_the_stated_reason(self, vector: dict[str, Any]) -> None:
        with pytest.raises(GrammarError) as refused:
            PayloadConfig.parse(vector["config"])
        assert refused.value.code == _CODES[vector["error"]]

    @pytest.mark.parametrize("vector", _TOO_SHORT, ids=_config)
    def test_a_short_payload_is_no_error(self, vector: dict[str, Any]) -> None:
        decoded = PayloadConfig.parse(vector["config"]).decode(bytes.fromhex(vector["payload_hex"]))
        assert decoded.values == {"a": 0x12, "b": None}
        assert decoded.missing == ("b",)

    def test_every_vector_is_run(self) -> None:
        assert len(_DECODED) + len(_TOO_SHORT) + len(_REFUSED) == len(_VECTORS)
        assert {vector["error"] for vector in _REFUSED} == set(_CODES)


class TestMeaning:
    """callbacks.md section 3.2."""

    @pytest.mark.parametrize(
        ("config", "payload", "value"),
        [
            ("x:0:uint:4::3", "5a", 0xA),
            ("x:0:uint:4:3", "5a", 0xA),  # a lone number behind the length is the bit
            ("x:0:uint:4:big-endian:3", "5a", 0xA),
            ("x::uint:8:", "5a", 0x5A),
            ("x::uint:12::5", "3ffc", 0xFFF),
            ("x::int:12::5", "2004", -2047),
            ("x::int:16:little-endian", "feff", -2),
            ("x::int:16:little-endian:3", "0feff0", -2),
            ("x::uint:16:little-endian:3", "0cdab0", 0xABCD),
            ("x::float:32:little-endian", "00000e42", 35.5),
            ("x::float:32::3", "0420e00000", 35.5),
            ("x::float:64:little-endian", "000000000000c0bf", -0.125),
            ("x::float:32", "7f800000", float("inf")),
            ("x::char:2:3", "0414200", "AB"),
            ("x::char:3", "c3bcff", "ü\ufffd"),
            ("x::char:2", "0041", "\0A"),
            ("x:00001:uint:08", "00ff", 255),
        ],
    )
    def test_one_field(self, config: str, payload: str, value: Value) -> None:
        assert _decode(config, payload.ljust(-len(payload) % 2 + len(payload), "0")) == {"x": value}

    @pytest.mark.parametrize(
        ("config", "starts"),
        [
            ("a::uint:8 b::uint:8", [0, 1]),
            ("a::uint:12 b::uint:8", [0, 2]),  # a part-used byte counts as used
            ("a::bool:0 b::uint:8", [0, 0]),
            ("a::uint:8 b::bool:0 c::bool:1 d::uint:8", [0, 1, 1, 1]),
            ("a:3:bool:0 b::uint:8", [3, 3]),
            ("a:0:uint:8::3 b::uint:8", [0, 1]),  # the last byte that a written bit reaches into
            ("a:0:uint:4::7 b::uint:8", [0, 0]),  # a written 7 is still written
            ("a:0:char:2:7 b::uint:8", [0, 1]),
            ("a:4:uint:8 b:0:uint:16 c::uint:8", [4, 0, 2]),  # back, and on from there
        ],
    )
    def test_an_omitted_index_continues(self, config: str, starts: list[int]) -> None:
        parsed = PayloadConfig.parse(config)
        written = [
            Field(name=f.name, kind=f.kind, length=f.length, index=at, bit=f.bit)
            for f, at in zip(parsed.fields, starts, strict=True)
        ]
        data = bytes(range(100, 100 + parsed.size))
        assert PayloadConfig.parse(format_fields(written)).decode(data) == parsed.decode(data)

    def test_nan_stays_a_float(self) -> None:
        value = _decode("x::float:32", "7fc00000")["x"]
        assert isinstance(value, float)
        assert value != value

    def test_the_size_reaches_to_the_last_byte_of_any_field(self) -> None:
        assert PayloadConfig.parse("a:4:uint:9 b:0:bool:7").size == 6

    def test_names_stand_in_their_order(self) -> None:
        assert PayloadConfig.parse("b::bool:1 a-1::bool:2 #_::bool:3").names == ("b", "a-1", "#_")

    def test_blanks_of_any_ascii_kind_separate(self) -> None:
        assert PayloadConfig.parse("\ta::bool:1\r\n\v\fb::bool:2 ").names == ("a", "b")

    def test_configs_are_equal_when_their_texts_are(self) -> None:
        config = PayloadConfig.parse("a::bool:1")
        config.decode(b"\xff")
        assert config == PayloadConfig.parse("a::bool:1")
        assert hash(config) == hash(PayloadConfig.parse("a::bool:1"))
        assert config != PayloadConfig.parse(" a::bool:1")


class TestDecoding:
    def test_fields_that_do_not_fit_are_null_and_named_whatever_their_order(self) -> None:
        decoded = PayloadConfig.parse("late:2:uint:8 early:0:uint:8 across:1:uint:9").decode(b"\x07\x08")
        assert list(decoded.values.items()) == [("late", None), ("early", 7), ("across", None)]
        assert decoded.missing == ("late", "across")

    def test_an_empty_payload_has_no_field(self) -> None:
        assert PayloadConfig.parse("a::bool:1").decode(b"") == PayloadConfig.parse("a:0:bool:1").decode(b"")
        assert PayloadConfig.parse("a::bool:1").decode(b"").missing == ("a",)

    def test_more_lengths_than_tables_are_kept_decode_alike(self) -> None:
        config = PayloadConfig.parse("a:40:uint:8 b:0:uint:8")
        for length in [*range(41), *range(40, -1, -1)]:
            assert config.decode(b"\x09" * length).values == {"a": None, "b": 9 if length else None}
        for length in (41, 57, 58, 5_000):
            assert config.decode(b"\x09" * length).values == {"a": 9, "b": 9}


class TestProblems:
    @pytest.mark.parametrize(
        ("text", "code", "offset", "length"),
        [
            ("", "payload-empty", 0, 1),
            ("  \n", "payload-empty", 3, 1),
            ("a", "payload-syntax", 1, 1),
            ("a:", "payload-syntax", 2, 1),
            ("a:1", "payload-syntax", 3, 1),
            ("a:uint:8", "payload-syntax", 2, 4),
            ("a::bool:7:1", "payload-syntax", 10, 1),
            ("a::uint:8:3:little-endian", "payload-syntax", 12, 13),
            ("a::uint:8::3:4", "payload-syntax", 13, 1),
            ("::uint:8", "payload-bad-name", 0, 1),
            ("a.b::uint:8", "payload-bad-name", 0, 3),
            ("ü::uint:8", "payload-bad-name", 0, 1),
            ("a\xa0b::bool:1", "payload-bad-name", 0, 3),  # a no-break space separates nothing
            ("a::bool:1 a::bool:2", "payload-duplicate-name", 10, 1),
            ("a:x:uint:8", "payload-bad-index", 2, 1),
            ("a:-1:uint:8", "payload-bad-index", 2, 2),
            (f"a:{MAX_INDEX + 1}:uint:8", "payload-bad-index", 2, 5),
            ("a:٣:uint:8", "payload-bad-index", 2, 1),  # a digit, but not of ASCII
            ("a::", "payload-bad-type", 3, 1),
            ("a::word:8", "payload-bad-type", 3, 4),
            ("a::UINT:8", "payload-bad-type", 3, 4),
            ("a::uint", "payload-bad-length", 7, 1),
            ("a::uint:", "payload-bad-length", 8, 1),
            ("a::uint:0", "payload-bad-length", 8, 1),
            ("a::int:65", "payload-bad-length", 7, 2),
            ("a::float:16", "payload-bad-length", 9, 2),
            ("a::float:48", "payload-bad-length", 9, 2),
            ("a::char:0", "payload-bad-length", 8, 1),
            (f"a::char:{MAX_INDEX + 1}", "payload-bad-length", 8, 5),
            ("a::uint:+8", "payload-bad-length", 8, 2),
            ("a::bool", "payload-bad-bit", 7, 1),
            ("a::bool:8", "payload-bad-bit", 8, 1),
            ("a::bool:07", "payload-bad-bit", 8, 2),
            ("a::uint:8:9", "payload-bad-bit", 10, 1),
            ("a::uint:8::", "payload-bad-bit", 11, 1),
            ("a::uint:8::little-endian", "payload-bad-bit", 11, 13),
            ("a::uint:8:middle-endian", "payload-bad-endianness", 10, 13),
            ("a::uint:8:Big-Endian", "payload-bad-endianness", 10, 10),
            ("a::uint:12:little-endian", "payload-bad-endianness", 11, 13),
            ("a::char:2:little-endian", "payload-bad-endianness", 10, 13),
            ("a::char:2::3", "payload-bad-endianness", 10, 1),
        ],
    )
    def test_each_has_its_code_and_its_place(self, text: str, code: str, offset: int, length: int) -> None:
        assert _found(text) == [(code, offset, length)]
        with pytest.raises(GrammarError) as refused:
            PayloadConfig.parse(text)
        assert (refused.value.code, refused.value.offset) == (code, offset)

    def test_all_are_found_in_reading_order(self) -> None:
        assert _found("é:x:word:1 a::uint:70:12 a::bool:9 b::char:1") == [
            ("payload-bad-name", 0, 1),
            ("payload-bad-index", 2, 1),
            ("payload-bad-type", 4, 4),
            ("payload-bad-length", 19, 2),
            ("payload-bad-bit", 22, 2),
            ("payload-duplicate-name", 25, 1),
            ("payload-bad-bit", 33, 1),
        ]

    def test_a_fine_config_has_none(self) -> None:
        assert problems("temperature::int:16:little-endian humidity::uint:8 door::bool:7") == ()

    def test_a_reason_quotes_little_and_no_control_characters(self) -> None:
        (problem,) = problems("a::\x1b[2J" + "w" * 10_000)
        assert "\x1b" not in problem.reason
        assert len(problem.reason) < 150

    @pytest.mark.parametrize("digits", ["9" * 1_000_000, "0" * 1_000_000 + "8"])
    def test_endless_numbers_cost_nothing(self, digits: str) -> None:
        codes = {problem.code for problem in problems(f"a:{digits}:uint:{digits} b::bool:{digits}")}
        assert "payload-bad-bit" in codes
        assert codes <= {"payload-bad-index", "payload-bad-length", "payload-bad-bit"}


class TestFormatting:
    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("  a::bool:7   b::char:3 ", "a::bool:7 b::char:3"),
            ("a:007:uint:08", "a:7:uint:8"),
            ("a::uint:16:big-endian", "a::uint:16"),
            ("a::uint:4::3", "a::uint:4:big-endian:3"),
            ("a::uint:4:3", "a::uint:4:big-endian:3"),
            ("a::char:4:3", "a::char:4:3"),
            ("a::int:32:little-endian:0", "a::int:32:little-endian:0"),
        ],
    )
    def test_canonical_text(self, text: str, canonical: str) -> None:
        assert format_fields(PayloadConfig.parse(text).fields) == canonical

    @pytest.mark.parametrize(
        ("field", "code"),
        [
            (Field(name="a b", kind="uint", length=8), "payload-syntax"),
            (Field(name="a", kind="uint", length=65), "payload-bad-length"),
            (Field(name="a", kind="int", length=12, little_endian=True), "payload-bad-endianness"),
            (Field(name="a", kind="bool", length=1), "payload-bad-bit"),
            (Field(name="a", kind="uint", length=8, index=-1), "payload-bad-index"),
            # Written, these would read as other fields.
            (Field(name="a", kind="bool", length=2, bit=7), "payload-syntax"),
            (Field(name="a::bool:1 b", kind="bool", length=1, bit=7), "payload-syntax"),
        ],
    )
    def test_fields_that_no_text_says_are_refused(self, field: Field, code: str) -> None:
        with pytest.raises(GrammarError) as refused:
            format_fields([field])
        assert refused.value.code == code

    def test_no_fields_are_no_config(self) -> None:
        with pytest.raises(GrammarError, match="at least one field"):
            format_fields([])
