"""Section 3, custom payload configuration: from the bytes of a device to the text at a receiver."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.grammar.payload import PayloadConfig
from reconciler.model.delivery import State
from tests.conformance.operator.rig import (
    TYPES,
    a_callback,
    an_event,
    findings_of,
    in_virtual_time,
    received,
    simulated,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "payload-vectors.json").read_text("utf-8"))
UPLINK_BYTES = 12
TOO_LONG = [vector for vector in VECTORS if len(vector["payload_hex"]) // 2 > UPLINK_BYTES]
GOOD = [vector for vector in VECTORS if "expected" in vector and vector not in TOO_LONG]
REFUSED = [vector for vector in VECTORS if "error" in vector and vector["error"] != "PAYLOAD_TOO_SHORT"]


def json_callback(payload: str, *names: str, **more: Any) -> dict[str, Any]:
    """Every field of a payload as a value of its own, and again inside a string."""
    members = [f'"{name}":{{customData#{name}}},"{name} in words":"{{customData#{name}}}"' for name in names]
    return {
        **a_callback(method="POST", contentType="application/json", body=f"{{{','.join(members)}}}"),
        "payload": payload,
        **more,
    }


def in_words(value: object) -> str:
    """The text of a value where it stands inside a string."""
    return value if isinstance(value, str) else json.dumps(value)


def vector_id(vector: dict[str, Any]) -> str:
    return f"{vector['confidence']} {' '.join(vector['config'].split())[:60]} {vector['payload_hex'][:12]}"


@pytest.mark.parametrize("vector", GOOD, ids=vector_id)
async def test_a_published_vector_arrives_decoded(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    callback = json_callback(vector["config"], *expected)
    request = await received(callback, an_event(data=vector["payload_hex"]))
    got = json.loads(request.body)
    assert {name: got[name] for name in expected} == expected
    assert {name: type(got[name]) for name in expected} == {name: type(value) for name, value in expected.items()}
    assert {name: got[f"{name} in words"] for name in expected} == {name: in_words(v) for name, v in expected.items()}


@pytest.mark.parametrize("vector", TOO_LONG, ids=vector_id)
def test_a_vector_longer_than_an_uplink_decodes(vector: dict[str, Any]) -> None:
    decoded = PayloadConfig.parse(vector["config"]).decode(bytes.fromhex(vector["payload_hex"]))
    assert decoded.values == vector["expected"]


@pytest.mark.parametrize("vector", REFUSED, ids=vector_id)
def test_a_config_that_a_vector_calls_wrong_is_refused_when_it_is_saved(vector: dict[str, Any]) -> None:
    codes = [found.code for found in findings_of(a_callback(payload=vector["config"]))]
    assert codes == [f"payload-{vector['error'].lower().replace('_', '-')}"]


# 3.1 Grammar, 3.2 meaning: config, bytes, what comes of the last field.
MEANING = [
    ("3.1 names: letter, digit, _ - #", "a_1-#::uint:8", "2a", 42),
    ("3.1 index may be empty", "a::uint:8", "2a", 42),
    ("3.1 index: byte offset from 0", "a:2:uint:8", "00002a", 42),
    ("3.1 white space of any length", "a::uint:8 \t\n  b::uint:8", "002a", 42),
    ("3.1 endian slot left empty", "a:0:uint:4::3", "5a", 10),
    ("3.1 big-endian named", "a::uint:16:big-endian", "1234", 0x1234),
    ("3.1 little-endian named", "a::uint:16:little-endian", "1234", 0x3412),
    ("3.1 bits 1", "a::uint:1", "80", 1),
    ("3.1 bits 64", "a::uint:64", "0102030405060708", 0x0102030405060708),
    ("3.1 a lone number is the offset", "a::uint:4:3", "5a", 10),
    ("3.1 float 32", "a::float:32", "420e0000", 35.5),
    ("3.1 float 64 with endian and bit", "a::float:64:little-endian", "000000000000c0bf", -0.125),
    ("3.1 char with bit", "a::char:2:3", "041420", "AB"),
    ("3.1 int with endian and bit", "a::int:16:little-endian:3", "0feff0", -2),
    ("3.2 bool: 7 is the most significant bit", "a::bool:7", "80", True),
    ("3.2 bool: 0 is the least", "a::bool:0", "fe", False),
    ("3.2 default offset is 7", "a::uint:4", "a5", 0xA),
    ("3.2 on with bit 7 of the next byte", "a::uint:8::3", "0abc", 0xAB),
    ("3.2 int: two's complement on its own width", "a::int:4", "f0", -1),
    ("3.2 int: lowest", "a::int:8", "80", -128),
    ("3.2 float: big-endian by default", "a::float:32", "bfc00000", -1.5),
    ("3.2 little-endian reverses whole bytes", "a::uint:24:little-endian", "010203", 0x030201),
    ("3.2 char: number of bytes", "a::char:6", "414243444546", "ABCDEF"),
    ("3.2 omitted index, first field: byte 0", "a::uint:8", "2aff", 42),
    ("3.2 omitted after a bool: the byte it touched", "b:1:bool:0 a::uint:8", "002a", 42),
    ("3.2 omitted after an explicit offset: the last byte touched", "b:0:uint:8::3 a::uint:8", "ff2a", 42),
    ("3.2 omitted after none: the byte after", "b::uint:16 a::uint:8", "ffff2a", 42),
    ("3.2 omitted after none: a part-used byte counts as used", "b::uint:12 a::uint:8", "ffff2a", 42),
    ("3.2 a bool does not move the position", "a::bool:7 b::bool:6 c::uint:8", "2a", 42),
    ("3.2 a bool with omitted index after a field", "b::uint:8 a::bool:7", "ff80", True),
    ("3.2 explicit indexes may jump back", "b:2:uint:8 a:0:uint:8", "2a00ff", 42),
    ("3.2 explicit indexes may re-read", "b:0:uint:8 a:0:uint:4", "2a", 2),
    # The offset rule leaves 27 bits for 32: the field does not fit, whatever the sample says (section 11).
    ("3.4 sixth line", "str::char:6 i1::uint:16 i2::uint:32:2", "41424344454601234567890a", None),
]


@pytest.mark.parametrize(("config", "payload", "value"), [row[1:] for row in MEANING], ids=[row[0] for row in MEANING])
async def test_the_last_field_has_this_value(config: str, payload: str, value: object) -> None:
    name = config.split()[-1].partition(":")[0]
    request = await received(json_callback(config, name), an_event(data=payload))
    assert json.loads(request.body)[name] == value


# 3.1: what the grammar does not derive, with the code it is refused by.
NOT_DERIVED = [
    ("3.1 bit above 7", "a::uint:8:9", "payload-bad-bit"),
    ("3.1 bits 0", "a::uint:0", "payload-bad-length"),
    ("3.1 float of 16", "a::float:16", "payload-bad-length"),
    ("3.1 bool without a bit", "a::bool", "payload-bad-bit"),
    ("3.1 a name with a dot", "a.b::uint:8", "payload-bad-name"),
    ("3.1 type in capitals", "a::UINT:8", "payload-bad-type"),
    ("3.1 index not a number", "a:x:uint:8", "payload-bad-index"),
    ("3.2 little-endian, not a multiple of 8", "a::uint:12:little-endian", "payload-bad-endianness"),
]


@pytest.mark.parametrize(("config", "code"), [row[1:] for row in NOT_DERIVED], ids=[row[0] for row in NOT_DERIVED])
def test_what_the_grammar_does_not_derive_is_refused(config: str, code: str) -> None:
    assert [found.code for found in findings_of(a_callback(payload=config))] == [code]


# 3: for DATA and DATA_ADVANCED callbacks.
@pytest.mark.parametrize("type", TYPES)
def test_a_payload_config_belongs_to_data_and_data_advanced(type: str) -> None:
    codes = {found.code for found in findings_of(a_callback(type, payload="a::uint:8"))}
    assert codes == (
        set() if type in {"data/uplink", "data/bidir", "service/data-advanced"} else {"payload-not-of-type"}
    )


@pytest.mark.parametrize("type", ["data/uplink", "data/bidir", "service/data-advanced"])
async def test_custom_data_is_decoded_for_every_type_that_has_it(type: str) -> None:
    kind = "data-advanced" if type == "service/data-advanced" else "data"
    request = await received(json_callback("t::uint:8", "t", type=type), an_event(kind, data="2a"))
    assert json.loads(request.body)["t"] == 42


# 3.3 Errors


@in_virtual_time
async def test_3_3_a_field_that_does_not_fit_is_null_delivery_goes_on_and_a_warning_is_recorded() -> None:
    async with simulated(hook=json_callback("a::uint:8 b::uint:16", "a", "b")) as world:
        await world.take(data="12")
        await world.settled(1)
        (record,) = await world.deliveries()
        assert world.far.calls[0].json == {"a": 0x12, "a in words": "18", "b": None, "b in words": "null"}
        assert record.delivery.state is State.DELIVERED
        (warning,) = record.delivery.warnings
        assert "b" in warning.split()


@in_virtual_time
async def test_3_3_an_empty_payload_gives_null_for_every_field() -> None:
    async with simulated(hook=a_callback(url="http://far.example/?a={customData#a}", payload="a::uint:8")) as world:
        await world.take(data="")
        await world.settled(1)
        assert world.far.targets == ["/?a=null"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (a_callback(payload="a::uint:8", url="http://far.example/{customData#b}"), "undeclared-custom-data"),
        (a_callback(url="http://far.example/{customData#b}"), "custom-data-without-payload"),
        (a_callback(payload=""), "payload-empty"),
    ],
    ids=["a field that is not declared", "a field without config", "an empty config"],
)
def test_3_3_a_bad_use_is_refused_when_it_is_saved(content: dict[str, Any], code: str) -> None:
    assert [found.code for found in findings_of(content)] == [code]
