"""Events of ChirpStack's HTTP integration, version 4, in JSON → messages.

Its documentation, «Event types», and its `integration.proto` say what is in them. Rules:

1. `up` is an uplink; each entry of `rxInfo` one reception.
2. `txack` is an ACKNOWLEDGE of a downlink that a gateway took for transmission: no other event is nearer to what ACKED
   says (`callbacks.md` section 2.4). `ack` is the device's own word about it; the info codes have none for that.
3. `log` tells of a downlink that never will be sent by the codes DOWNLINK_PAYLOAD_SIZE and EXPIRED. DOWNLINK_GATEWAY
   tells of one attempt, perhaps of a frame that is none of ours; ChirpStack tries again.
4. `location` is a GEOLOC.
5. `status` has a battery in percent, and STATUS one in volt: it is ignored, as everything else is, so that an
   integration, which cannot choose its events, never fails.
"""

from collections.abc import Mapping
from typing import Final

from reconciler.model.downlink import InfoCode
from reconciler.runtime.api.networks.lorawan import (
    Fields,
    Ignored,
    Read,
    acknowledge,
    eui,
    geoloc,
    inner,
    missing,
    payload,
    reception,
    seconds,
    station,
    uplink,
    wrong,
)

__all__ = ["read_event"]

_IGNORED: Final[Mapping[str, str]] = {
    "join": "A device that joins says nothing that a callback could carry.",
    "ack": "That it was sent is told by txack; no info code says whether the device received it.",
    "status": "Its battery is in percent, and no variable says that.",
    "integration": "It is data of another integration, not of the device.",
}
_LOST: Final = {
    "DOWNLINK_PAYLOAD_SIZE": InfoCode.INVALID_PAYLOAD,
    "EXPIRED": InfoCode.NETWORK_ERROR,
}
_DEV_EUI: Final = "deviceInfo.devEui"


def read_event(event: str, body: Fields, *, device_type: str) -> Read:
    """The receptions of an uplink, or one message for another event; or why there is none."""
    reader = _READERS.get(event)
    if reader is None:
        return Ignored(event, _IGNORED.get(event, "This engine does not know such events."))
    if event == "log" and str(body.get("code")) not in _LOST:
        return Ignored(event, "It does not tell of a downlink that is lost.")
    given = inner(body, "deviceInfo").get("devEui")
    device = eui(given)
    if device is None:
        if given is None and "devEUI" in body:
            return wrong(
                "devEUI", body["devEUI"], "nothing: this is an event of version 3, and this door reads version 4"
            )
        return missing(_DEV_EUI, event) if given is None else wrong(_DEV_EUI, given, "16 hex digits")
    time = seconds(body.get("time"))
    if time is None:
        written = body.get("time")
        return missing("time", event) if written is None else wrong("time", written, "an ISO 8601 time")
    return reader({"device": device, "deviceType": device_type, "time": time}, body)


def _up(common: Fields, body: Fields) -> Read:
    data = payload(body.get("data"))
    if data is None:
        return wrong("data", body.get("data"), "base64")
    lora = "lora" in inner(inner(body, "txInfo"), "modulation")
    heard = body.get("rxInfo")
    return uplink(
        {**common, "seqNumber": body.get("fCnt", 0), "data": data, "ack": body.get("confirmed") is True},
        [
            reception(station(each.get("gatewayId"), each.get("gatewayId")), each, lora=lora)
            for each in (heard if isinstance(heard, list) else ())
            if isinstance(each, Mapping)
        ],
    )


def _sent(common: Fields, _: Fields) -> Read:
    return [acknowledge(common, InfoCode.ACKED)]


def _lost(common: Fields, body: Fields) -> Read:
    return [acknowledge(common, _LOST[str(body["code"])], reason=body.get("description"))]


def _location(common: Fields, body: Fields) -> Read:
    location = inner(body, "location")
    message = geoloc(common, location, source=location.get("source"))
    return missing("location", "location") if message is None else [message]


_READERS: Final = {"up": _up, "txack": _sent, "log": _lost, "location": _location}
