"""Webhooks of The Things Stack, version 3, in JSON → messages.

Its documentation, «Data Formats» and «Webhooks», and its `messages.proto` say what is in them. Rules:

1. `uplink_message` is an uplink; each entry of `rx_metadata` one reception. Of a gateway of another network, which came
   through Packet Broker, the entry names Packet Broker as its gateway, and the gateway in `packet_broker`.
2. `downlink_sent` is an ACKNOWLEDGE of a downlink that was transmitted, which is what ACKED says (`callbacks.md`
   section 2.4), and `downlink_failed` one of a downlink that never will be. `downlink_ack` and `downlink_nack` are the
   device's own words about a downlink that was sent and told before; the info codes have none for that.
3. `location_solved` is a GEOLOC.
4. Everything else is ignored, so that a webhook may have all its boxes ticked.
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
    position,
    reception,
    seconds,
    station,
    uplink,
    wrong,
)

__all__ = ["read_webhook"]

_IGNORED: Final[Mapping[str, str]] = {
    "join_accept": "A device that joins says nothing that a callback could carry.",
    "uplink_normalized": "It repeats what uplink_message says.",
    "downlink_ack": "That it was sent is told by downlink_sent; no info code says that the device received it.",
    "downlink_nack": "That it was sent is told by downlink_sent; no info code says that the device did not receive it.",
    "downlink_queued": "It is not known yet what becomes of this downlink.",
    "downlink_queue_invalidated": "It is not known yet what becomes of these downlinks.",
    "service_data": "It is data of a service of the network, not of the device.",
}
_ABOUT: Final = frozenset({"end_device_ids", "correlation_ids", "received_at", "simulated"})
_DEV_EUI: Final = "end_device_ids.dev_eui"


def read_webhook(body: Fields, *, device_type: str) -> Read:
    """The receptions of an uplink, or one message for another event; or why there is none."""
    if not inner(body, "end_device_ids"):
        return missing("end_device_ids", "request")
    kind = next((name for name in (*_READERS, *_IGNORED) if name in body), None)
    if kind is None:
        kind = next((name for name in body if name not in _ABOUT), None)
        if kind is None:
            return missing("uplink_message", "request")
        return Ignored(kind, "This engine does not know such events.")
    if kind in _IGNORED:
        return Ignored(kind, _IGNORED[kind])
    return _read(kind, body, device_type)


def _read(kind: str, body: Fields, device_type: str) -> Read:
    given = inner(body, "end_device_ids").get("dev_eui")
    device = eui(given)
    content = inner(body, kind)
    if device is None:
        # The documented sample of this event has none: then it speaks of a device that we cannot tell.
        if given is None and kind == "downlink_failed":
            return Ignored(kind, "It does not say the EUI of its device.")
        return missing(_DEV_EUI, kind) if given is None else wrong(_DEV_EUI, given, "16 hex digits")
    # The network server's time, when there is one, is nearer to the event than the application server's.
    written = content.get("received_at") or body.get("received_at")
    time = seconds(written)
    if time is None:
        return missing("received_at", kind) if written is None else wrong("received_at", written, "an ISO 8601 time")
    return _READERS[kind]({"device": device, "deviceType": device_type, "time": time}, content)


def _uplink(common: Fields, content: Fields) -> Read:
    data = payload(content.get("frm_payload"))
    if data is None:
        return wrong("uplink_message.frm_payload", content.get("frm_payload"), "base64")
    lora = bool(inner(inner(content, "settings"), "data_rate").get("lora"))
    heard = content.get("rx_metadata")
    registered = position(inner(inner(content, "locations"), "user"))
    return uplink(
        {
            **common,
            "seqNumber": content.get("f_cnt", 0),
            "data": data,
            "ack": content.get("confirmed") is True,
            "fixedLat": registered.get("lat"),
            "fixedLng": registered.get("lng"),
        },
        [
            reception(_station(each), each, lora=lora)
            for each in (heard if isinstance(heard, list) else ())
            if isinstance(each, Mapping)
        ],
    )


def _station(metadata: Fields) -> str | None:
    broker = inner(metadata, "packet_broker")
    if broker:
        # A name is unique within its network only. Networks that keep their gateways to themselves give no name.
        network = "/".join(str(broker.get(name, "")) for name in ("forwarder_net_id", "forwarder_tenant_id"))
        return station(broker.get("forwarder_gateway_eui"), f"{network}/{broker.get('forwarder_gateway_id', '')}")
    gateway = inner(metadata, "gateway_ids")
    return station(gateway.get("eui"), gateway.get("gateway_id"))


def _sent(common: Fields, _: Fields) -> Read:
    return [acknowledge(common, InfoCode.ACKED)]


def _failed(common: Fields, content: Fields) -> Read:
    return [acknowledge(common, InfoCode.NETWORK_ERROR, reason=inner(content, "error").get("message_format"))]


def _solved(common: Fields, content: Fields) -> Read:
    location = inner(content, "location")
    message = geoloc(common, location, source=location.get("source") or content.get("service"))
    return missing("location_solved.location", "location_solved") if message is None else [message]


_READERS: Final = {
    "uplink_message": _uplink,
    "downlink_sent": _sent,
    "downlink_failed": _failed,
    "location_solved": _solved,
}
