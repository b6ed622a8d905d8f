"""One DATA_ADVANCED message of all receptions (`callbacks.md` section 2.6)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from reconciler.codec.message import dump_message, load_message, message_id
from reconciler.grammar.escape import Json
from reconciler.grammar.payload import Value
from reconciler.model.message import Message, MessageType
from reconciler.runtime.gathering import advanced
from tests.unit.runtime.routing_rig import NOW, message

AT = NOW + timedelta(seconds=25)


def gathered(*receptions: Message) -> Message:
    return advanced(receptions or (message(),), at=AT)


def test_it_is_the_message_of_the_first_reception() -> None:
    first, second = message(), message(station="37FF", deviceType="other")
    made = gathered(first, second)

    assert (made.type, made.device, made.device_type) == (MessageType.DATA_ADVANCED, "1C178", "tracker")
    assert (made.time, made.sequence_number, made.data) == (first.time, first.sequence_number, first.data)
    assert made.received_at == AT
    assert made.id == message_id(
        MessageType.DATA_ADVANCED, "1C178", first.time, sequence_number=2516, station=None, data=first.data
    )
    assert made.event != first.event


def test_it_is_the_same_whichever_station_was_first() -> None:
    one, other = message(station="0AF0"), message(station="37FF")

    assert gathered(one, other).id == gathered(other, one).id


def test_every_reception_is_told_in_order() -> None:
    receptions = (
        message(station="37FF", rssi=-121.5, snr=10.5, nbRep=3),
        message(station="0AF0", rssi=-135, snr=-0.004, nbRep=1),
        message(station="1D44", rssi=None, snr=None, signal=9, nbRep=None),
        message(station="066D", rssi=None, snr=None),
    )

    assert gathered(*receptions).metadata["duplicates"] == (
        '[{"bsId":"37FF","rssi":-121.50,"snr":10.50,"nbRep":3},'
        '{"bsId":"0AF0","rssi":-135.00,"snr":-0.00,"nbRep":1},'
        '{"bsId":"1D44","snr":9.00},'
        '{"bsId":"066D"}]'
    )


def test_what_is_told_is_json() -> None:
    duplicates = gathered(message(nbRep=2)).metadata["duplicates"]

    assert isinstance(duplicates, Json)
    assert json.loads(duplicates) == [{"bsId": "0AF0", "rssi": -135.0, "snr": 12.13, "nbRep": 2}]


def test_without_stations_nothing_is_told_of_receptions() -> None:
    bare = message(station=None, rssi=None, snr=None)

    assert gathered(bare).metadata["duplicates"] == "[]"
    assert gathered(bare, message(station="0AF0", rssi=None, snr=None)).metadata["duplicates"] == '[{"bsId":"0AF0"}]'


def test_what_the_network_told_of_the_first_is_kept_if_data_advanced_offers_it() -> None:
    told: dict[str, Any] = {
        "fixedLat": 52.0, "fixedLng": 5.25, "operatorName": "SIGFOX_Netherlands", "countryCode": 528,
        "deviceTypeId": "628fd74f", "lqi": "GOOD", "linkQuality": 2, "computedLocation": {"lat": 52.5, "radius": 7800},
    }  # fmt: skip
    made = gathered(message(**told), message(station="37FF", operatorName="another"))

    expected: dict[str, Value] = told | {
        "computedLocation": '{"lat":52.5,"radius":7800}',
        "duplicates": made.metadata["duplicates"],
    }
    assert dict(made.metadata) == expected


@pytest.mark.parametrize(
    ("given", "lqi", "link_quality"),
    [
        ({}, None, None),
        ({"linkQuality": 0}, "LIMIT", 0),
        ({"linkQuality": 1}, "AVERAGE", 1),
        ({"linkQuality": 2}, "GOOD", 2),
        ({"linkQuality": 3}, "EXCELLENT", 3),
        ({"linkQuality": 4}, "NA", 4),
        ({"lqi": "LIMIT"}, "LIMIT", 0),
        ({"lqi": "Excellent"}, "Excellent", 3),
        ({"lqi": "NA"}, "NA", 4),
        ({"lqi": "GOOD", "linkQuality": 1}, "GOOD", 1),
    ],
)
def test_link_quality_is_told_in_a_word_and_in_a_number(
    given: dict[str, Any], lqi: str | None, link_quality: int | None
) -> None:
    metadata = gathered(message(**given)).metadata

    assert (metadata.get("lqi"), metadata.get("linkQuality")) == (lqi, link_quality)


def test_it_is_kept_like_any_message() -> None:
    made = gathered(message(computedLocation={"lat": 52.5}, linkQuality=3), message(station="37FF", nbRep=2))

    assert load_message(dump_message(made), received_at=AT) == made
