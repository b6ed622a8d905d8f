"""Section 2, variables: every row of every table, from the JSON of an event to the text at a receiver.

Each value is received three times in one request: in the query, as a bare value of a JSON body, and inside a string of
it. `PAGE` repeats the page's lists of names, whatever the code has.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from tests.conformance.operator.rig import EVENTS, TYPES, a_callback, an_event, findings_of, received

RADIO = {"station", "snr", "rssi", "avgSnr"}
UPLINK = {
    "time",
    "device",
    "deviceTypeId",
    "data",
    "seqNumber",
    "avgSignal",
    "signal",
    "lat",
    "lng",
    "duplicate",
} | RADIO
PAGE: Mapping[str, set[str]] = {
    "data/uplink": UPLINK,
    "data/bidir": UPLINK | {"ack", "longPolling"},
    "service/status": RADIO
    | {"time", "device", "seqNumber", "deviceTypeId", "batt", "temp", "lat", "lng", "duplicate"},
    "service/geoloc": RADIO | {"time", "device", "seqNumber", "lat", "lng", "radius", "geolocSource", "duplicate"},
    "service/acknowledge": {"time", "device", "infoCode", "infoMessage", "downlinkAck", "downlinkOverusage"},
    "service/repeater": {"time", "device", "batt", "whitelistDevices", "repeatedMsg", "unwantedDevices"}
    | {"unwantedMsg", "wrongMsg", "overRegulMsg"},
    "service/data-advanced": {"time", "device", "data", "seqNumber", "deviceTypeId", "lqi", "linkQuality"}
    | {"fixedLat", "fixedLng", "operatorName", "countryCode", "duplicates", "computedLocation"},
    "error": {"time", "device", "info", "severity"},
}
EVENT_OF: Mapping[str, str] = {
    "data/uplink": "data",
    "data/bidir": "data",
    "service/status": "status",
    "service/geoloc": "geoloc",
    "service/acknowledge": "acknowledge",
    "service/repeater": "repeater",
    "service/data-advanced": "data-advanced",
    "error": "error",
}
DUPLICATES = [
    {"bsId": "0AF0", "rssi": -121.0, "nbRep": 3, "snr": 12.5},
    {"bsId": "37FF", "rssi": -135.5, "nbRep": 1},
]
LOCATION = {"lat": 52.003292529645705, "lng": 5.569001982230841, "radius": 7800, "source": 2, "status": 1}

# Source, variable, what the event says, the bare JSON value; alternatives where the page leaves a choice.
Row = tuple[str, str, dict[str, Any], str]

DATA: list[Row] = [
    ("2.1 UP", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.1 UP", "device", {"device": "1C178"}, '"1C178"'),
    ("2.1 upper case", "device", {"device": "1c178"}, '"1C178"'),
    ("2.1 no padding", "device", {"device": "00A0"}, '"A0"'),
    ("2.1 8 digits", "device", {"device": "FE3F52A6"}, '"FE3F52A6"'),
    ("2.1 BI", "deviceTypeId", {"deviceTypeId": "628fd74fb3cabb6565ae81bb"}, '"628fd74fb3cabb6565ae81bb"'),
    ("2.1 WIRE", "data", {"data": "1e2d"}, '"1e2d"'),
    ("2.1 lower case", "data", {"data": "0000FA000000000000000026"}, '"0000fa000000000000000026"'),
    ("2.1 empty", "data", {"data": ""}, '""'),
    ("2.1 WIRE", "seqNumber", {"seqNumber": 2516}, "2516"),
    ("2.1 zero", "seqNumber", {"seqNumber": 0}, "0"),
    ("2.1 if available", "seqNumber", {"seqNumber": None}, "null"),
    ("2.1 WIRE", "snr", {"snr": 12.13}, "12.13"),
    ("2.1 two decimals", "snr", {"snr": 10.5}, "10.50"),
    ("2.1 a whole number", "snr", {"snr": 7}, "7.00"),
    ("2.1 WIRE", "rssi", {"rssi": -135}, "-135.00"),
    ("2.1 rounded", "rssi", {"rssi": -121.456}, "-121.46"),
    ("2.1 UP null if none", "rssi", {}, "null"),
    ("2.1 WIRE", "station", {"station": "0AF0"}, '"0AF0"'),
    ("2.1 upper case", "station", {"station": "37ff"}, '"37FF"'),
    ("2.1 not granted", "station", {}, "null"),
    ("2.1 WIRE", "avgSnr", {"avgSnr": 19.75}, "19.75"),
    ("2.1 OS2iot", "avgSnr", {}, "null"),
    ("2.1 older name", "signal", {"snr": 14.02}, "14.02"),
    ("2.1 older name", "avgSignal", {"avgSnr": 18.16}, "18.16"),
    ("2.1 older name, none", "signal", {}, "null"),
    ("2.1 WIRE", "lat", {"lat": 45}, "45"),
    ("2.1 whole degrees", "lat", {"lat": 44.6}, "45"),
    ("2.1 WIRE", "lat", {"lat": -38.0}, "-38"),
    ("2.1 next to zero", "lat", {"lat": -0.4}, "0"),
    ("2.1 WIRE", "lng", {"lng": 104.2}, "104"),
    ("2.1 WIRE", "lng", {"lng": -1}, "-1"),
    ("2.1 not granted", "lng", {}, "null"),
    ("2.1 first delivery", "duplicate", {}, "false"),
    ("2.1 not asked for", "duplicate", {"station": "0AF0"}, "false"),
]
BIDIR: list[Row] = [
    ("2.1 BI", "ack", {"ack": True}, "true"),
    ("2.1 BI", "ack", {"ack": False}, "false"),
    ("2.1 BI", "longPolling", {"longPolling": True}, "true"),
    ("2.1 BI", "longPolling", {"longPolling": False}, "false"),
    ("2.1 absent", "longPolling", {}, "null"),
]
STATUS: list[Row] = [
    ("2.2 OOB", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.2 OOB", "device", {"device": "3F52A6"}, '"3F52A6"'),
    ("2.2 OOB", "seqNumber", {"seqNumber": 12}, "12"),
    ("2.2 OOB", "deviceTypeId", {"deviceTypeId": "628fd74fb3cabb6565ae81bb"}, '"628fd74fb3cabb6565ae81bb"'),
    ("2.2 at most two decimals", "batt", {"batt": 3.61}, "3.61"),
    ("2.2 at most two decimals", "batt", {"batt": 3.5}, "3.5|3.50"),
    ("2.2 at most two decimals", "batt", {"batt": 3.456}, "3.46"),
    ("2.2 at most two decimals", "temp", {"temp": 21.5}, "21.5|21.50"),
    ("2.2 at most two decimals", "temp", {"temp": -7}, "-7|-7.0|-7.00"),
    ("2.2 absent", "temp", {"temp": None}, "null"),
    ("2.2 as in DATA", "station", {"station": "0af0"}, '"0AF0"'),
    ("2.2 as in DATA", "snr", {"snr": 12.1}, "12.10"),
    ("2.2 as in DATA", "rssi", {"rssi": -90}, "-90.00"),
    ("2.2 as in DATA", "avgSnr", {"avgSnr": 15}, "15.00"),
    ("2.2 as in DATA", "lat", {"lat": 45.2}, "45"),
    ("2.2 as in DATA", "lng", {"lng": 6.9}, "7"),
    ("2.2 as in DATA", "duplicate", {}, "false"),
]
GEOLOC: list[Row] = [
    ("2.3 Omnyvore", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.3 Omnyvore", "device", {"device": "3F52A6"}, '"3F52A6"'),
    ("2.3 Omnyvore", "seqNumber", {"seqNumber": 12}, "12"),
    ("2.3 not rounded", "lat", {"lat": 48.85837}, "48.85837"),
    ("2.3 not rounded", "lng", {"lng": -2.294481}, "-2.294481"),
    ("2.3 in metres", "radius", {"radius": 7800}, "7800"),
    ("2.3 in metres", "radius", {"radius": 12.5}, "12.5"),
    ("2.3 Omnyvore", "geolocSource", {"geolocSource": 2}, "2"),
    ("2.3 Omnyvore", "geolocSource", {"geolocSource": "NETWORK"}, '"NETWORK"'),
    ("2.3 as in DATA", "duplicate", {}, "false"),
    ("2.3 as in DATA", "snr", {"snr": 12.1}, "12.10"),
    ("2.3 as in DATA", "rssi", {"rssi": -90}, "-90.00"),
    ("2.3 as in DATA", "station", {"station": "37ff"}, '"37FF"'),
    ("2.3 as in DATA", "avgSnr", {"avgSnr": 15}, "15.00"),
]
ACKNOWLEDGE: list[Row] = [
    ("2.4 AK", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.4 AK", "device", {"device": "3f52a6"}, '"3F52A6"'),
    *((f"2.4 AK code {code}", "infoCode", {"infoCode": code}, str(code)) for code in (0, 1, 2, 3, 4, 6, 7, 8)),
    ("2.4 AK", "infoMessage", {"infoMessage": "Acked"}, '"Acked"'),
    ("2.4 AK", "downlinkAck", {"downlinkAck": True}, "true"),
    ("2.4 AK", "downlinkAck", {"infoCode": 4, "downlinkAck": False}, "false"),
    ("2.4 AK", "downlinkOverusage", {"downlinkOverusage": False}, "false"),
    ("2.4 AK", "downlinkOverusage", {"infoCode": 3, "downlinkOverusage": True}, "true"),
]
REPEATER: list[Row] = [
    ("2.5 RE", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.5 RE", "device", {"device": "3F52A6"}, '"3F52A6"'),
    ("2.5 two decimals", "batt", {"batt": 3.1}, "3.10"),
    ("2.5 two decimals", "batt", {"batt": 3}, "3.00"),
    ("2.5 0 repeats everything", "whitelistDevices", {"whitelistDevices": 0}, "0"),
    ("2.5 RE", "repeatedMsg", {"repeatedMsg": 1234}, "1234"),
    ("2.5 15 = more than 14", "unwantedDevices", {"unwantedDevices": 15}, "15"),
    *(
        (f"2.5 range code {code}", name, {name: code}, str(code))
        for name in ("unwantedMsg", "wrongMsg", "overRegulMsg")
        for code in (0, 1, 15)
    ),
    ("2.5 absent", "unwantedMsg", {}, "null"),
]
ADVANCED: list[Row] = [
    ("2.6 as DATA", "device", {"device": "1c178"}, '"1C178"'),
    ("2.6 as DATA", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.6 as DATA", "data", {"data": "1E2D"}, '"1e2d"'),
    ("2.6 as DATA", "seqNumber", {"seqNumber": 2516}, "2516"),
    ("2.6 as DATA", "deviceTypeId", {"deviceTypeId": "628fd74fb3cabb6565ae81bb"}, '"628fd74fb3cabb6565ae81bb"'),
    *((f"2.6 {lqi}", "lqi", {"lqi": lqi}, f'"{lqi}"') for lqi in ("LIMIT", "AVERAGE", "GOOD", "EXCELLENT", "NA")),
    *((f"2.6 {quality}", "linkQuality", {"linkQuality": quality}, str(quality)) for quality in range(5)),
    ("2.6 0.0 when unset", "fixedLat", {"fixedLat": 0.0}, "0.0"),
    ("2.6 DA", "fixedLat", {"fixedLat": 52.25}, "52.25"),
    ("2.6 0.0 when unset", "fixedLng", {"fixedLng": 0.0}, "0.0"),
    ("2.6 DA", "fixedLng", {"fixedLng": -5.569001}, "-5.569001"),
    (
        "2.6 capture",
        "operatorName",
        {"operatorName": "SIGFOX_Netherlands_Hyrde_Networks_BV"},
        '"SIGFOX_Netherlands_Hyrde_Networks_BV"',
    ),
    ("2.6 capture", "countryCode", {"countryCode": 528}, "528"),
    ("2.6 array variable", "duplicates", {"duplicates": DUPLICATES}, json.dumps(DUPLICATES, separators=(",", ":"))),
    ("2.6 no receptions", "duplicates", {"duplicates": []}, "[]"),
    ("2.6 not granted", "duplicates", {}, "null"),
    (
        "2.6 capture, compact",
        "computedLocation",
        {"computedLocation": LOCATION},
        '{"lat":52.003292529645705,"lng":5.569001982230841,"radius":7800,"source":2,"status":1}',
    ),
    ("2.6 not granted", "computedLocation", {}, "null"),
]
ERROR: list[Row] = [
    ("2.7 EC", "time", {"time": 1_471_594_359}, "1471594359"),
    ("2.7 EC", "device", {"device": "00a0"}, '"A0"'),
    (
        "2.7 V1 sample",
        "info",
        {"info": "No message received since 2013-10-08 15:36:21"},
        '"No message received since 2013-10-08 15:36:21"',
    ),
    ("2.7 EC", "severity", {"severity": "ERROR"}, '"ERROR"'),
    ("2.7 ECS", "severity", {"severity": "WARN"}, '"WARN"'),
]
TABLES: Mapping[str, list[Row]] = {
    "data/uplink": DATA,
    "data/bidir": [*DATA, *BIDIR],
    "service/status": STATUS,
    "service/geoloc": GEOLOC,
    "service/acknowledge": ACKNOWLEDGE,
    "service/repeater": REPEATER,
    "service/data-advanced": ADVANCED,
    "error": ERROR,
}
ROWS = [(type, *row) for type, rows in TABLES.items() for row in rows]


def json_callback(type: str, *names: str, **more: Any) -> dict[str, Any]:
    """Every variable in the query, bare, and inside a string."""
    query = "&".join(f"{name.partition('#')[2] or name}={{{name}}}" for name in names)
    members = ",".join(f'"{name}":{{{name}}},"{name} in words":"{{{name}}}"' for name in names)
    url = f"http://far.example/?{query}"
    return {**a_callback(type, url, method="POST", contentType="application/json", body=f"{{{members}}}"), **more}


def words(value: str) -> str:
    """The text of a bare JSON value."""
    text = json.loads(value) if value.startswith('"') else value
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("type", "variable", "given", "value"),
    [(type, *row[1:]) for type, *row in ROWS],
    ids=[f"{source} {type} {variable}={value[:30]}" for type, source, variable, _, value in ROWS],
)
async def test_a_variable_has_this_text_on_the_wire(
    type: str, variable: str, given: dict[str, Any], value: str
) -> None:
    request = await received(json_callback(type, variable), an_event(EVENT_OF[type], **given))
    body = request.body.decode()
    (found,) = [one for one in value.split("|") if body.startswith(f'{{"{variable}":{one},')]
    assert body == f'{{"{variable}":{found},"{variable} in words":{json.dumps(words(found))}}}'
    assert request.target == f"/?{variable}={quote(words(found), safe='')}"


def test_every_row_of_the_page_is_here() -> None:
    assert {type: {variable for _, variable, _, _ in rows} for type, rows in TABLES.items()} == PAGE


# Custom data of each kind (2.1, last row)

CUSTOM = [
    ("2.1 bool", "x::bool:7", "80", "true"),
    ("2.1 bool", "x::bool:7", "00", "false"),
    ("2.1 uint, decimal", "x::uint:16", "ffff", "65535"),
    ("2.1 int, decimal", "x::int:16", "fffe", "-2"),
    ("2.1 float", "x::float:32", "420e0000", "35.5"),
    ("2.1 char", "x::char:5", "68656c6c6f", '"hello"'),
    ("2.1 char that looks like a number", "x::char:2", "3435", '"45"'),
    ("2.1 does not fit", "x::uint:32", "ffff", "null"),
]


@pytest.mark.parametrize("type", ["data/uplink", "data/bidir", "service/data-advanced"])
@pytest.mark.parametrize(
    ("payload", "data", "value"), [row[1:] for row in CUSTOM], ids=[f"{row[0]} {row[3]}" for row in CUSTOM]
)
async def test_custom_data_has_this_text_on_the_wire(type: str, payload: str, data: str, value: str) -> None:
    callback = json_callback(type, "customData#x", payload=payload)
    request = await received(callback, an_event(EVENT_OF[type], data=data))
    expected = f'{{"customData#x":{value},"customData#x in words":{json.dumps(words(value))}}}'
    assert request.body.decode() == expected
    assert request.target == f"/?x={quote(words(value), safe='')}"


# Absent values are the four letters null

ALWAYS = {"time", "device", "deviceTypeId", "data", "duplicate", "infoCode", "infoMessage", "downlinkAck"}
ALWAYS |= {"downlinkOverusage", "severity", "info"}
REQUIRED: Mapping[str, Mapping[str, object]] = {
    "geoloc": {"lat": 1.5, "lng": 2.5},
    "acknowledge": {"infoCode": 0},
    "error": {"info": "?"},
}


@pytest.mark.parametrize("type", TYPES)
async def test_what_the_network_does_not_give_is_null(type: str) -> None:
    kind = EVENT_OF[type]
    bare = {**dict.fromkeys(EVENTS[kind]), **REQUIRED.get(kind, {})}
    request = await received(json_callback(type, *sorted(PAGE[type])), an_event(kind, **bare))
    got, query = json.loads(request.body), dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))
    expected = PAGE[type] - ALWAYS - set(REQUIRED.get(kind, {}))
    assert {name for name in PAGE[type] if got[name] is None} == expected
    assert {name for name in PAGE[type] if got[f"{name} in words"] == "null"} == expected
    assert {name for name in PAGE[type] if query[name] == "null"} == expected


# What a type does not offer is refused

FOREIGN = [(type, name) for type in TYPES for name in sorted(set().union(*PAGE.values()) - PAGE[type])]


@pytest.mark.parametrize(("type", "name"), FOREIGN, ids=[f"2 {type} {name}" for type, name in FOREIGN])
def test_a_variable_that_only_others_offer_is_refused_and_they_are_named(type: str, name: str) -> None:
    (found,) = findings_of(a_callback(type, f"http://far.example/?v={{{name}}}"))
    assert found.code == "variable-not-offered"
    assert [each for each in TYPES if each in found.detail.split(";")[0]] == [t for t in TYPES if name in PAGE[t]]


@pytest.mark.parametrize(("type", "name"), [(type, name) for type in TYPES for name in sorted(PAGE[type])])
def test_every_variable_of_the_page_is_accepted(type: str, name: str) -> None:
    assert findings_of(a_callback(type, f"http://far.example/?v={{{name}}}")) == ()


@pytest.mark.parametrize(
    ("type", "wrong", "nearest"),
    [
        ("data/uplink", "devise", "device"),
        ("data/uplink", "seqnumber", "seqNumber"),
        ("data/uplink", "sequenceNumber", "seqNumber"),
        ("data/uplink", "avgSNR", "avgSnr"),
        ("data/bidir", "longpolling", "longPolling"),
        ("service/status", "bat", "batt"),
        ("service/geoloc", "geolocsource", "geolocSource"),
        ("service/acknowledge", "infocode", "infoCode"),
        ("service/repeater", "whitelistDevice", "whitelistDevices"),
        ("service/data-advanced", "computedlocation", "computedLocation"),
        ("error", "severty", "severity"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(type: str, wrong: str, nearest: str) -> None:
    (found,) = findings_of(a_callback(type, f"http://far.example/?v={{{wrong}}}"))
    assert found.code == "unknown-variable"
    assert f"{{{nearest}}}" in found.help


@pytest.mark.parametrize("place", ["url", "headers", "body"])
def test_a_foreign_variable_is_refused_wherever_it_stands(place: str) -> None:
    text = "x={infoCode}"
    content = a_callback(
        url=f"http://far.example/{'?' + text if place == 'url' else ''}",
        headers={"X-Code": text if place == "headers" else "fixed"},
        body=text if place == "body" else "a=1",
        method="POST",
    )
    (found,) = findings_of(content)
    assert (found.code, found.path[0]) == ("variable-not-offered", place)
