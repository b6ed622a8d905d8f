"""What LoRaWAN network servers have in common, as this engine's messages say it.

1. A device is its DevEUI. A gateway is a station; its id is its EUI, or 16 digits made of its name when it has none.
2. Every gateway's reception is a `Message` of its own, all of one event. The strongest comes first: it is the one that
   callbacks without duplicates show. A gateway with several antennas is one station: its strongest reception counts.
3. Both servers leave out fields that are 0, false or empty (protobuf's JSON mapping), so a counter that is absent is 0,
   and so is the signal to noise of a LoRa reception. A position with neither coordinate is none.
4. A confirmed uplink is one whose device waits for what comes back: `ack`.
5. A payload may have 242 bytes (LoRaWAN Regional Parameters, RP002, maximum payload size).
"""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

from reconciler.codec.quoting import shown
from reconciler.model.downlink import InfoCode
from reconciler.model.message import MessageType, Refusal

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "Fields",
    "Ignored",
    "Read",
    "acknowledge",
    "eui",
    "geoloc",
    "inner",
    "missing",
    "number",
    "payload",
    "position",
    "reception",
    "seconds",
    "station",
    "uplink",
    "wrong",
]

MAX_PAYLOAD_BYTES: Final = 242

# A balloon is heard by hundreds of gateways; what the weakest of them heard adds nothing.
_MAX_RECEPTIONS = 100
_EUI = re.compile(r"[0-9A-Fa-f]{16}\Z")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,500}\Z")

Fields = Mapping[str, object]
"""What `codec.message.read_message` reads."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that has no meaning here: its name and why, in a sentence."""

    kind: str
    reason: str


Read = Sequence[Fields] | Ignored | Refusal


def inner(value: object, name: str) -> Fields:
    """An object within an object; empty when there is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def eui(given: object) -> str | None:
    """An EUI in upper-case hex, None when it is none."""
    return given.upper() if isinstance(given, str) and _EUI.match(given) else None


def seconds(given: object) -> int | None:
    """ISO 8601 with a time zone, to the nanosecond or less → whole seconds since the Unix epoch."""
    if not isinstance(given, str):
        return None
    try:
        when = datetime.fromisoformat(given)
    except ValueError:
        return None
    return None if when.tzinfo is None else int(when.replace(microsecond=0).timestamp())


def payload(given: object) -> str | None:
    """Base64 → hex; an uplink may carry nothing. None when it is no base64."""
    if given is None:
        return ""
    try:
        return b64decode(given, validate=True).hex() if isinstance(given, str) else None
    except ValueError:
        return None


def number(given: object) -> float | None:
    """A number, and no other value that JSON has."""
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def position(location: Fields) -> dict[str, object]:
    """`lat` and `lng` of a location, empty when it says neither."""
    latitude, longitude = number(location.get("latitude")), number(location.get("longitude"))
    return {} if latitude is None and longitude is None else {"lat": latitude or 0.0, "lng": longitude or 0.0}


def station(gateway_eui: object, name: object) -> str | None:
    """The id of a gateway: its EUI, else 16 digits that are always the same for its name; None without both."""
    known = eui(gateway_eui)
    if known is not None or not isinstance(name, str) or not name:
        return known
    return blake2b(name.encode(), digest_size=8, person=b"gateway/1").hexdigest().upper()


def reception(by: str | None, metadata: Fields, *, lora: bool) -> Fields:
    """What a gateway tells of an uplink; `lora` says whether the modulation has a signal to noise ratio."""
    rssi, snr = number(metadata.get("rssi")), number(metadata.get("snr"))
    if snr is None and rssi is not None and lora:
        snr = 0.0
    return {"station": by, "rssi": rssi, "snr": snr, **position(inner(metadata, "location"))}


def uplink(common: Fields, receptions: Sequence[Fields]) -> Sequence[Fields]:
    """One message for each station, the strongest first; a single one without a station when none is known."""
    strongest = sorted(receptions, key=_strength, reverse=True)
    by_station = {each["station"]: each for each in reversed(strongest) if each["station"] is not None}
    heard = [each for each in strongest if by_station.get(each["station"]) is each][:_MAX_RECEPTIONS]
    return [{**common, **each} for each in heard or strongest[:1] or ({},)]


def _strength(metadata: Fields) -> float:
    rssi = metadata["rssi"]
    return rssi if isinstance(rssi, float) else float("-inf")


def geoloc(common: Fields, location: Fields, *, source: object) -> Fields | None:
    """A position that was computed; None when there is none."""
    where = position(location)
    accuracy = number(location.get("accuracy"))
    radius = accuracy if accuracy is not None and accuracy > 0 else None
    if not where:
        return None
    word = source if isinstance(source, str) and _PRINTABLE.match(source) else None
    return {**common, **where, "type": MessageType.GEOLOC, "radius": radius, "geolocSource": word}


def acknowledge(common: Fields, code: InfoCode, *, reason: object = None) -> Fields:
    """What became of a downlink; `reason` are the network's own words."""
    words = reason if isinstance(reason, str) and _PRINTABLE.match(reason) else None
    return {**common, "type": MessageType.ACKNOWLEDGE, "infoCode": int(code), "infoMessage": words}


def missing(field: str, kind: str) -> Refusal:
    """The refusal of an event that lacks something."""
    return Refusal("missing-field", f"“{field}” is missing, and without it this {kind} means nothing.")


def wrong(field: str, given: object, expected: str) -> Refusal:
    """The refusal of a value."""
    return Refusal("wrong-field", f"“{field}” takes {expected}, not {shown(given)}.")
