"""The tables of variables against `callbacks.md` section 2."""

import pytest

from reconciler.model.resource import CallbackType
from reconciler.model.variables import ALL_NAMES, Form, describe, offered, offering, takes_payload

UPLINK = {
    *("time", "device", "deviceTypeId", "data", "seqNumber", "snr", "rssi", "station", "avgSnr", "avgSignal"),
    *("signal", "lat", "lng", "duplicate"),
}
RADIO = {"station", "snr", "rssi", "avgSnr"}


@pytest.mark.parametrize(
    ("callback_type", "names"),
    [
        (CallbackType.DATA_UPLINK, UPLINK),
        (CallbackType.DATA_BIDIR, UPLINK | {"ack", "longPolling"}),
        (
            CallbackType.SERVICE_STATUS,
            {"time", "device", "deviceTypeId", "seqNumber", "batt", "temp", "lat", "lng", "duplicate"} | RADIO,
        ),
        (
            CallbackType.SERVICE_GEOLOC,
            {"time", "device", "seqNumber", "lat", "lng", "radius", "geolocSource", "duplicate"} | RADIO,
        ),
        (
            CallbackType.SERVICE_ACKNOWLEDGE,
            {"time", "device", "infoCode", "infoMessage", "downlinkAck", "downlinkOverusage"},
        ),
        (
            CallbackType.SERVICE_REPEATER,
            {
                *("time", "device", "batt", "whitelistDevices", "repeatedMsg", "unwantedDevices"),
                *("unwantedMsg", "wrongMsg", "overRegulMsg"),
            },
        ),
        (
            CallbackType.SERVICE_DATA_ADVANCED,
            {
                *("time", "device", "deviceTypeId", "data", "seqNumber", "lqi", "linkQuality", "fixedLat", "fixedLng"),
                *("operatorName", "countryCode", "duplicates", "computedLocation"),
            },
        ),
        (CallbackType.ERROR, {"time", "device", "info", "severity"}),
    ],
)
def test_each_type_offers_what_the_specification_lists(callback_type: CallbackType, names: set[str]) -> None:
    assert set(offered(callback_type)) == names
    assert [name for name, variable in offered(callback_type).items() if variable.name != name] == []


@pytest.mark.parametrize(
    ("callback_type", "name", "form"),
    [
        (CallbackType.DATA_UPLINK, "time", Form.INTEGER),
        (CallbackType.DATA_UPLINK, "rssi", Form.TWO_DECIMALS),
        (CallbackType.DATA_UPLINK, "lat", Form.WHOLE_DEGREES),
        (CallbackType.SERVICE_GEOLOC, "lat", Form.DECIMAL),
        (CallbackType.DATA_BIDIR, "ack", Form.FLAG),
        (CallbackType.SERVICE_STATUS, "batt", Form.AT_MOST_TWO_DECIMALS),
        (CallbackType.SERVICE_REPEATER, "batt", Form.TWO_DECIMALS),
        (CallbackType.SERVICE_DATA_ADVANCED, "computedLocation", Form.JSON),
        (CallbackType.ERROR, "info", Form.TEXT),
    ],
)
def test_forms(callback_type: CallbackType, name: str, form: Form) -> None:
    assert offered(callback_type)[name].form is form


def test_time_and_device_exist_for_every_type() -> None:
    assert [each for each in CallbackType if not {"time", "device"} <= offered(each).keys()] == []


def test_names_lead_to_the_types_that_offer_them() -> None:
    assert offering("ack") == (CallbackType.DATA_BIDIR,)
    assert offering("severity") == (CallbackType.ERROR,)
    assert offering("nothing") == ()
    assert all(offering(name) for name in ALL_NAMES)


def test_payloads_are_carried_by_three_types() -> None:
    assert [each for each in CallbackType if takes_payload(each)] == [
        CallbackType.DATA_UPLINK,
        CallbackType.DATA_BIDIR,
        CallbackType.SERVICE_DATA_ADVANCED,
    ]


def test_a_description_names_all() -> None:
    assert describe(CallbackType.ERROR) == "{time}, {device}, {info}, {severity}"
