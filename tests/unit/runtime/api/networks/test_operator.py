from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.message import read_message
from reconciler.model.message import Message, MessageType, Refusal
from reconciler.model.variables import Form, offered
from reconciler.runtime.api.networks.operator import EVENTS, read_callback

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES = Path(__file__).parents[4] / "samples" / "networks"
UPLINK: dict[str, object] = {"device": "1C178", "time": "1471594359", "data": "1e2d", "deviceType": "tracker"}
# A text that a variable may have, by its form; by its name where a form says too little.
TEXTS = {
    Form.INTEGER: "3",
    Form.TWO_DECIMALS: "-2.50",
    Form.AT_MOST_TWO_DECIMALS: "3.2",
    Form.DECIMAL: "5.569001982230841",
    Form.WHOLE_DEGREES: "-1",
    Form.TEXT: "1E2D",
    Form.FLAG: "true",
    "lqi": "Limit",
    "batt": "3.25",
    "severity": "WARN",
    "duplicates": '[{"bsId":"37FF","rssi":-123.0,"nbRep":3}]',
    "computedLocation": '{"lat":52.0,"lng":5.6,"radius":7800,"source":2,"status":1}',
}


def read(name: str, fields: Mapping[str, object], **more: object) -> Mapping[str, object] | Refusal:
    return read_callback(name, {**fields, **more}.items())


def message_of(name: str, pairs: Any) -> Message:
    fields = read_callback(name, pairs)
    assert not isinstance(fields, Refusal), fields
    message = read_message(fields, received_at=NOW)
    assert isinstance(message, Message), message
    return message


def refusal_of(name: str, fields: Mapping[str, object], **more: object) -> Refusal:
    refusal = read(name, fields, **more)
    assert isinstance(refusal, Refusal)
    return refusal


def sample(name: str) -> list[tuple[str, object]]:
    text = (SAMPLES / f"operator-{name}").read_text()
    pairs = parse_qsl(text, keep_blank_values=True) if name.endswith(".txt") else orjson.loads(text).items()
    return [("deviceType", "tracker"), *pairs]


def variable_texts(name: str) -> dict[str, str]:
    """Every variable that the operator offers to callbacks of an event, as it writes them."""
    table = offered(EVENTS[name].callback_type)
    return {variable: TEXTS.get(variable) or TEXTS[table[variable].form] for variable in table}


# Captures, callbacks.md section 12.4


def test_a_query_captured_in_2016_is_a_message() -> None:
    message = message_of("uplink", sample("uplink-query.txt"))

    assert (message.device, message.device_type, message.time) == ("1C178", "tracker", 1471594359)
    assert (message.sequence_number, message.data) == (2516, b"\x1e\x2d")
    assert message.metadata == {
        "station": "0AF0", "rssi": -135.0, "snr": 12.13, "avgSnr": 19.75, "lat": 45.0, "lng": 6.0, "duplicate": False,
    }  # fmt: skip


def test_a_form_captured_in_2015_has_an_older_name() -> None:
    message = message_of("uplink", sample("uplink-form.txt"))

    assert (message.device, message.sequence_number) == ("850C", None)
    assert message.metadata["avgSignal"] == 18.16
    assert (message.metadata["lat"], message.metadata["lng"]) == (51.0, -1.0)


def test_captured_json_with_everything_in_quotes_reads_like_the_values_themselves() -> None:
    message = message_of("bidir", sample("bidir-quoted.json"))

    assert (message.time, message.sequence_number, message.data.hex()) == (1476980426, 1492, "81543795")
    assert message.metadata == {
        "station": "1D44", "rssi": -123.0, "snr": 18.86, "avgSnr": 15.54, "lat": 1.0, "lng": 104.0,
        "duplicate": False, "ack": False, "longPolling": False,
    }  # fmt: skip


def test_captured_nulls_in_quotes_are_no_values_and_a_receivers_own_fields_are_passed_over() -> None:
    message = message_of("uplink", sample("uplink-null.json"))

    assert message.metadata == {"station": "37FF", "rssi": -123.0, "snr": 12.53}


def test_a_captured_data_advanced_keeps_its_object() -> None:
    message = message_of("data-advanced", sample("data-advanced.json"))

    assert message.type is MessageType.DATA_ADVANCED
    assert message.metadata["linkQuality"] == 0
    assert message.metadata["countryCode"] == 528
    assert message.metadata["deviceTypeId"] == "628fd74fb3cabb6565ae81bb"
    assert orjson.loads(str(message.metadata["computedLocation"])) == {
        "lat": 52.003292529645705, "lng": 5.569001982230841, "radius": 7800, "source": 2, "status": 1,
    }  # fmt: skip


# Every event, every variable


@pytest.mark.parametrize("name", EVENTS)
def test_every_variable_of_every_event_is_understood(name: str) -> None:
    texts = {**variable_texts(name), "time": "1471594359", "infoCode": "0"}
    message = message_of(
        name, [("deviceType", "tracker"), *((n, t) for n, t in texts.items() if n in offered_by(name))]
    )

    kept = {*message.metadata, "time", "device", "data", "seqNumber"}
    assert set(offered_by(name)) <= kept
    assert message.type is EVENTS[name].type


def offered_by(name: str) -> Mapping[str, object]:
    return offered(EVENTS[name].callback_type)


@pytest.mark.parametrize("name", EVENTS)
def test_a_template_that_leaves_out_what_an_event_needs_is_refused_by_field_and_event(name: str) -> None:
    event = EVENTS[name]
    whole = {**variable_texts(name), "time": "1471594359", "infoCode": "0", "deviceType": "tracker"}
    for field in (*event.given, *event.present):
        refusal = refusal_of(name, {n: t for n, t in whole.items() if n != field})

        assert refusal.code == "missing-field"
        assert f"“{field}” is missing" in refusal.reason
        assert name in refusal.reason
        assert f"{field}={{{field}}}" in refusal.reason


@pytest.mark.parametrize(("field", "name"), [("time", "uplink"), ("infoCode", "acknowledge"), ("lat", "geoloc")])
@pytest.mark.parametrize("nothing", [None, "", "null", "N/A", " NaN "])
def test_what_an_event_needs_has_a_value(field: str, name: str, nothing: object) -> None:
    whole = {**variable_texts(name), "time": "1", "infoCode": "0", "deviceType": "tracker", field: nothing}

    assert "is missing" in refusal_of(name, whole).reason


@pytest.mark.parametrize("nothing", [None, "", "null"])
def test_an_uplink_may_be_empty_but_its_template_says_so(nothing: object) -> None:
    assert message_of("uplink", {**UPLINK, "data": nothing}.items()).data == b""
    assert message_of("bidir", {**UPLINK, "ack": nothing}.items()).metadata == {}


# Values


@pytest.mark.parametrize(
    ("field", "texts", "value"),
    [
        ("rssi", ["-123.00", " -123.00\n", -123, -123.0, "-1.23e2"], -123.0),
        ("lat", ["45", "45.0", 45], 45.0),
        ("seqNumber", ["16", 16, 16.0], 16),
        ("ack", ["true", "True", True], True),
        ("duplicate", ["false", "FALSE", False], False),
        ("station", ["0644", " 0644"], "0644"),
        ("snr", [None, "", "null", "NULL", "N/A", "NaN"], None),
    ],
)
def test_a_value_reads_alike_in_quotes_and_without(field: str, texts: list[object], value: object) -> None:
    whole: dict[str, object] = {**UPLINK, "ack": "false"}
    fields = [read("bidir", {**whole, field: text}) for text in texts]

    assert [each.get(field) if isinstance(each, Mapping) else each for each in fields] == [value] * len(texts)


def test_an_id_of_nothing_but_digits_needs_no_quotes_in_json() -> None:
    message = message_of("uplink", {**UPLINK, "device": 850123, "data": 1234}.items())

    assert (message.device, message.data) == ("850123", b"\x12\x34")


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("rssi", "strong", "“rssi” of this bidir takes a number, not “strong”."),
        ("rssi", True, "takes a number, not true"),
        ("rssi", [1], "takes a number, not an array"),
        ("rssi", "1e400", "takes a number"),
        ("time", "yesterday", "takes a whole number"),
        ("time", 1.5, "takes a whole number"),
        ("time", "٣", "takes a whole number"),
        ("ack", "yes", "takes true or false"),
        ("ack", 1, "takes true or false"),
        ("data", 12e4, "Put it in quotes in the template."),
        ("device", {"id": 1}, "takes a text, not an object"),
    ],
)
def test_a_variable_that_does_not_read_is_refused_by_name(field: str, given: object, words: str) -> None:
    refusal = refusal_of("bidir", UPLINK, **{"ack": "true", field: given})

    assert refusal.code == "wrong-field"
    assert words in refusal.reason


def test_a_variable_that_the_operator_did_not_fill_in_is_told_as_such() -> None:
    refusal = refusal_of("uplink", UPLINK, snr="{snr}")

    assert refusal.code == "variable-not-filled"
    assert "“snr” of this uplink came as “{snr}”" in refusal.reason


@pytest.mark.parametrize("given", ["{", "7", '"text"', 7, True])
def test_an_object_variable_is_an_object_or_an_array(given: object) -> None:
    assert "an object or array of JSON" in refusal_of("data-advanced", UPLINK, duplicates=given).reason


def test_objects_come_as_json_or_as_text_of_json() -> None:
    where = {"lat": 52.0, "lng": 5.6}
    fields = [
        read("data-advanced", UPLINK, computedLocation=given) for given in (where, '{"lat": 52.0, "lng": 5.6}', "null")
    ]

    assert [each.get("computedLocation") if isinstance(each, Mapping) else each for each in fields] == [
        where, where, None,
    ]  # fmt: skip


# Pairs


def test_what_stands_in_the_query_and_in_the_form_counts_once() -> None:
    once = read_callback("uplink", UPLINK.items())

    assert read_callback("uplink", [*UPLINK.items(), *UPLINK.items()]) == once
    assert read_callback("uplink", [("time", 1471594359), *UPLINK.items()]) == once


@pytest.mark.parametrize(
    ("field", "given"), [("time", "1471594360"), ("device", "1C179"), ("deviceType", "lamp"), ("data", "")]
)
def test_what_is_given_twice_with_two_values_is_refused(field: str, given: str) -> None:
    refusal = read_callback("uplink", [*UPLINK.items(), (field, given)])

    assert isinstance(refusal, Refusal)
    assert refusal.code == "contradictory-field"
    assert f"“{field}” is given twice" in refusal.reason


def test_fields_that_are_no_variables_of_the_event_are_passed_over_whatever_they_hold() -> None:
    extra = [("source", "sigfox"), ("source", "cloud"), ("customData#t", "x"), ("batt", "none"), ("ack", "perhaps")]

    assert read_callback("uplink", [*UPLINK.items(), *extra]) == read_callback("uplink", UPLINK.items())


# The device type


@pytest.mark.parametrize(
    ("given", "device_type"),
    [
        ({"deviceType": "tracker", "deviceTypeId": "5e74c318aa8aec41f9cc6b8d"}, "tracker"),
        ({"deviceType": "", "deviceTypeId": "5e74c318aa8aec41f9cc6b8d"}, "5e74c318aa8aec41f9cc6b8d"),
        ({"deviceTypeId": "5e74c318aa8aec41f9cc6b8d"}, "5e74c318aa8aec41f9cc6b8d"),
    ],
)
def test_the_device_type_is_the_name_given_else_the_operators_id(given: dict[str, str], device_type: str) -> None:
    for name in EVENTS:
        whole = {**variable_texts(name), "time": "1", "infoCode": "0"}
        whole.pop("deviceTypeId", None)

        assert message_of(name, {**whole, **given}.items()).device_type == device_type


def test_without_a_device_type_the_refusal_says_where_to_put_it() -> None:
    fields = {name: given for name, given in UPLINK.items() if name != "deviceType"}

    assert "?deviceType=NAME" in refusal_of("uplink", fields).reason


# Whatever comes

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(list(EVENTS)), st.data())
def test_whatever_comes_is_read_or_refused(name: str, data: st.DataObject) -> None:
    fields = st.sampled_from(["deviceType", "deviceTypeId", *offered_by(name)])
    pairs = [*UPLINK.items()] if data.draw(st.booleans()) else []
    pairs += data.draw(st.lists(st.tuples(fields, _json), max_size=6))
    read = read_callback(name, pairs)

    assert isinstance(read, Refusal) or isinstance(read_message(read, received_at=NOW), Message | Refusal)
