"""The rules of device types: `callbacks.md` sections 6.1 (downlinks) and 8.4 (the other fields)."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, cast

from reconciler.model.content import Content, text_of
from reconciler.model.downlink import DOWNLINK_BYTES
from reconciler.model.finding import Finding, finding, refused
from reconciler.model.resource import DeviceType, DownlinkMode, Key
from reconciler.model.template_rules import did_you_mean, parsed_payload

__all__ = ["check_device_type"]

# Section 8.4: 0 or at least 1800 s.
_SHORTEST_KEEP_ALIVE: Final = timedelta(minutes=30)
# Section 6.1.
_DOWNLINK_VARIABLES: Final[Mapping[str, int]] = {"{time}": 4, "{tapId}": 4, "{rssi}": 2}
_DOWNLINK_PART = re.compile(r"\{(?:time|tapId|rssi)\}|[0-9A-Fa-f]{2}")


def check_device_type(key: Key, content: Content) -> tuple[DeviceType | None, tuple[Finding, ...]]:
    """Build the device type; None when a finding is an error."""
    payload, findings = parsed_payload(content)
    found = [*findings, *_keep_alive_findings(content), *_downlink_findings(content)]
    if refused(found):
        return None, tuple(found)
    seconds = cast("int", content.get("keepAlive", 0))
    downlink = cast("Mapping[str, str]", content.get("downlink", {}))
    device_type = DeviceType(
        key=key,
        description=text_of(content, "description"),
        payload=payload,
        keep_alive=timedelta(seconds=seconds) if seconds else None,
        downlink_mode=DownlinkMode(downlink.get("mode", "none")),
        downlink_data=downlink.get("data"),
    )
    return device_type, tuple(found)


def _keep_alive_findings(content: Content) -> Iterator[Finding]:
    seconds = cast("int", content.get("keepAlive", 0))
    if 0 < seconds < _SHORTEST_KEEP_ALIVE.total_seconds():
        detail = f"It is {seconds} s; the shortest silence that can be supervised is 1800 s."
        help = "Write 30m or more, or 0 to switch the supervision off."
        yield finding("keep-alive-too-short", ("keepAlive",), detail, help=help)


def _downlink_findings(content: Content) -> Iterator[Finding]:
    downlink = cast("Mapping[str, str]", content.get("downlink", {}))
    mode = downlink.get("mode", "none")
    modes = [str(each) for each in DownlinkMode]
    if mode not in modes:
        detail = f"{mode} is none of {', '.join(modes)}."
        yield finding("unknown-downlink-mode", ("downlink", "mode"), detail, help=did_you_mean(mode, modes))
    elif mode == "direct":
        if "data" in downlink:
            yield from _downlink_data_findings(downlink["data"])
        else:
            detail = "In mode direct the network sends the same data to every device that asks, and none is given."
            yield finding("missing-key", ("downlink", "data"), detail, help='For example: data: "{time}0000{rssi}"')
    elif "data" in downlink:
        detail = f"Only mode direct sends data of its own; this is mode {mode}, and the data would never be sent."
        yield finding("downlink-data-not-direct", ("downlink", "data"), detail, at_key=True)


def _downlink_data_findings(data: str) -> Iterator[Finding]:
    path = ("downlink", "data")
    at = size = 0
    while part := _DOWNLINK_PART.match(data, at):
        size += _DOWNLINK_VARIABLES.get(part[0], 1)
        at = part.end()
    help = "It is made of hex digits, {time} and {tapId} (4 bytes each) and {rssi} (2 bytes)."
    if at < len(data):
        detail = "Here stands neither a pair of hex digits nor one of the variables that downlink data may have."
        yield finding("bad-downlink-data", path, detail, help=help, offset=at)
    elif size != DOWNLINK_BYTES:
        detail = f"A downlink carries exactly {DOWNLINK_BYTES} bytes; this makes {size}."
        yield finding("bad-downlink-data", path, detail, help=help)
