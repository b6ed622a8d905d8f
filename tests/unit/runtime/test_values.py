"""The text forms of variables, for each type of callback (`callbacks.md` section 2)."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.resource import CallbackType
from reconciler.model.variables import offered
from reconciler.runtime.values import readings, values_of
from tests.unit.runtime.routing_rig import CAPTURED, message, request

ALL_VARIABLES = (
    "time={time}&device={device}&duplicate={duplicate}&snr={snr}&station={station}&data={data}"
    "&avgSnr={avgSnr}&lat={lat}&lng={lng}&rssi={rssi}&seqNumber={seqNumber}"
)
FIRED_BY = {
    "data": "data/bidir",
    "status": "service/status",
    "geoloc": "service/geoloc",
    "acknowledge": "service/acknowledge",
    "repeater": "service/repeater",
    "data-advanced": "service/data-advanced",
    "error": "error",
}


def text(kind: str, name: str, /, **changes: Any) -> str:
    """A variable as it stands in a URL, for a message of that kind."""
    made = request(
        message(kind, **changes), type=FIRED_BY[kind], method="GET", url=f"http://a.example/?v={{{name}}}"
    ).target
    assert isinstance(made, str)
    return made.removeprefix("/?v=")


def as_json(kind: str, name: str, /, **changes: Any) -> str:
    """A variable as it stands unquoted in a JSON body."""
    made = request(
        message(kind, **changes),
        type=FIRED_BY[kind],
        method="POST",
        contentType="application/json",
        body=f'{{"v":{{{name}}}}}',
    ).body
    assert isinstance(made, str)
    return made.removeprefix('{"v":').removesuffix("}")


def test_a_captured_request_is_reproduced_to_the_byte() -> None:
    made = request(method="GET", url=f"http://a.example/?{ALL_VARIABLES}")

    assert made.target == (
        "/?time=1471594359&device=1C178&duplicate=false&snr=12.13&station=0AF0&data=1e2d"
        "&avgSnr=19.75&lat=45&lng=6&rssi=-135.00&seqNumber=2516"
    )


def test_what_the_network_did_not_give_is_null() -> None:
    bare = message(snr=None, station=None, avgSnr=None, lat=None, lng=None, rssi=None, seqNumber=None)

    assert request(bare, method="GET", url=f"http://a.example/?{ALL_VARIABLES}").target == (
        "/?time=1471594359&device=1C178&duplicate=false&snr=null&station=null&data=1e2d"
        "&avgSnr=null&lat=null&lng=null&rssi=null&seqNumber=null"
    )


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        # 2.1, column "text form on the wire"
        ("data", "snr", 10.5, "10.50"),
        ("data", "rssi", -135, "-135.00"),
        ("data", "rssi", -0.004, "-0.00"),
        ("data", "avgSnr", 19.754, "19.75"),
        ("data", "lat", 44.6, "45"),
        ("data", "lng", -1.2, "-1"),
        ("data", "station", "37ff", "37FF"),
        ("data", "ack", True, "true"),
        ("data", "longPolling", False, "false"),
        ("data", "deviceTypeId", "628fd74fb3cabb6565ae81bb", "628fd74fb3cabb6565ae81bb"),
        ("data", "seqNumber", 4095, "4095"),
        # 2.2: described like snr and rssi, so they have two decimals as those have in every capture
        ("status", "batt", 3.25, "3.25"),
        ("status", "batt", 3.2, "3.20"),
        ("status", "batt", 3, "3.00"),
        ("status", "temp", -7.456, "-7.46"),
        ("status", "lat", 44.6, "45"),
        ("status", "rssi", -121.5, "-121.50"),
        # 2.3: not rounded
        ("geoloc", "lat", 23.5948976, "23.5948976"),
        ("geoloc", "lat", 45, "45.0"),
        ("geoloc", "lng", 1e-07, "0.0000001"),
        ("geoloc", "radius", 10742, "10742"),
        ("geoloc", "radius", 12.5, "12.5"),
        ("geoloc", "geolocSource", "2", "2"),
        ("geoloc", "geolocSource", 2, "2"),
        ("geoloc", "rssi", -127, "-127.00"),
        # 2.4
        ("acknowledge", "infoCode", 8, "8"),
        ("acknowledge", "infoMessage", "Acked", "Acked"),
        ("acknowledge", "downlinkAck", False, "false"),
        ("acknowledge", "downlinkOverusage", True, "true"),
        # 2.5
        ("repeater", "batt", 3, "3.00"),
        ("repeater", "whitelistDevices", 0, "0"),
        ("repeater", "overRegulMsg", 15, "15"),
        # 2.6
        ("data-advanced", "lqi", "Limit", "LIMIT"),
        ("data-advanced", "linkQuality", 4, "4"),
        ("data-advanced", "fixedLat", 0, "0.0"),
        ("data-advanced", "fixedLng", 5.569001982230841, "5.569001982230841"),
        ("data-advanced", "countryCode", 528, "528"),
        # 2.7
        ("error", "severity", "WARN", "WARN"),
    ],
)
def test_variables_have_their_documented_text_forms(kind: str, name: str, value: object, expected: str) -> None:
    assert text(kind, name, **{name: value}) == expected


@pytest.mark.parametrize(("name", "expected"), [("radius", "10742"), ("lat", "23.5948976"), ("rssi", "-127.00")])
def test_numbers_are_json_numbers(name: str, expected: str) -> None:
    assert as_json("geoloc", name) == expected


def test_objects_and_arrays_are_inserted_as_they_are() -> None:
    assert as_json("data-advanced", "duplicates") == '[{"bsId":"0AF0","rssi":-135.0,"nbRep":3}]'
    # As captured (2022)
    assert as_json("data-advanced", "computedLocation") == (
        '{"lat":52.003292529645705,"lng":5.569001982230841,"radius":7800,"source":2,"status":1}'
    )


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("signal", {"snr": 12.13}, "12.13"),
        ("signal", {"snr": 12.13, "signal": 14.02}, "14.02"),
        ("snr", {"snr": None, "signal": 14.02}, "14.02"),
        ("snr", {"snr": 12.13, "signal": 14.02}, "12.13"),
        ("avgSignal", {"avgSnr": 19.75}, "19.75"),
        ("avgSnr", {"avgSnr": None, "avgSignal": 18.16}, "18.16"),
        ("signal", {"snr": None}, "null"),
    ],
)
def test_levels_go_by_their_older_names_too(name: str, given: dict[str, Any], expected: str) -> None:
    assert text("data", name, **given) == expected


@pytest.mark.parametrize(
    ("callback_type", "name"),
    [
        (CallbackType.DATA_UPLINK, "avgSnr"),  # `N/A` below 15 messages, by the page of 2017
        (CallbackType.DATA_UPLINK, "lat"),
        (CallbackType.SERVICE_GEOLOC, "lat"),
        (CallbackType.SERVICE_GEOLOC, "radius"),
        (CallbackType.SERVICE_DATA_ADVANCED, "linkQuality"),
    ],
)
def test_a_word_in_the_place_of_a_number_stays_as_it_is(callback_type: CallbackType, name: str) -> None:
    told = replace(message(), metadata={name: "N/A"})

    assert values_of(told, readings(callback_type, [name]), duplicate=False)[name] == "N/A"


@pytest.mark.parametrize("told", [None, True, False])
def test_a_first_reception_is_no_duplicate_whatever_the_network_says(told: bool | None) -> None:
    assert text("data", "duplicate", duplicate=told) == "false"


def test_the_device_type_goes_by_its_name_unless_the_network_gives_an_id() -> None:
    assert "deviceTypeId" not in CAPTURED
    assert text("data", "deviceTypeId") == "tracker"
    assert text("data", "deviceTypeId", deviceTypeId="628fd74f") == "628fd74f"


@pytest.mark.parametrize("kind", FIRED_BY)
def test_every_variable_that_a_type_offers_is_taken_from_its_message(kind: str) -> None:
    given = message(kind)
    names = offered(CallbackType(FIRED_BY[kind])).keys() & {*given.metadata, "time", "device"}
    assert len(names) > 2

    assert [name for name in sorted(names) if text(kind, name) == "null"] == []
