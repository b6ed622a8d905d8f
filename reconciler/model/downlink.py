"""What goes back to a device: 8 bytes at most, once, while it listens (`callbacks.md` section 6).

1. A device asks for a downlink with an uplink (`ack`). What becomes of that request is one `Downlink`, kept under the
   id of the message that asked, from the moment the message is durable.
2. Its life is a table (`DOWNLINK_LIFECYCLE`): asked → ready → served → ended. It is served to the network side once:
   neither a retry of the callback nor a second poll brings it back, because a late command may do harm.
3. A device has at most one request open. One that comes before the former has ended or its listening time is over is
   refused with TOO_MANY_REQUESTS.
4. The result is an info code; PENDING until it is known. What the engine finds out itself (no answer, bad answer,
   nobody there to transmit it) becomes an ACKNOWLEDGE event of its own; what the network finds out comes in as one.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, Literal

from reconciler.model.value import value

__all__ = [
    "DOWNLINK_BYTES",
    "DOWNLINK_LIFECYCLE",
    "INFO_MESSAGES",
    "LISTENING",
    "OPEN",
    "Downlink",
    "DownlinkState",
    "Failed",
    "InfoCode",
    "NoData",
    "Replies",
    "Reply",
    "Send",
]

DOWNLINK_BYTES: Final = 8

# Section 6.4: a pause of about 20 s, then a window of 25 s.
LISTENING: Final = timedelta(seconds=45)
"""How long after its uplink a device can be reached; what is not transmitted by then never will be."""


class InfoCode(IntEnum):
    """The result of a downlink request (`callbacks.md` section 2.4)."""

    ACKED = 0
    NO_ANSWER = 1
    INVALID_PAYLOAD = 2
    OVERRUN_ERROR = 3
    NETWORK_ERROR = 4
    PENDING = 5
    NO_DOWNLINK_CONTRACT = 6
    TOO_MANY_REQUESTS = 7
    INVALID_CONFIGURATION = 8


# The operator's wording is not public (section 2.4); these are ours.
INFO_MESSAGES: Final[Mapping[InfoCode, str]] = MappingProxyType(
    {
        InfoCode.ACKED: "Acked: the base station sent the downlink",
        InfoCode.NO_ANSWER: "No answer: the callback gave no answer for the device in time",
        InfoCode.INVALID_PAYLOAD: "Invalid payload: the data to send is not 8 bytes in hex",
        InfoCode.OVERRUN_ERROR: "Overrun: the daily quota of downlinks is used up",
        InfoCode.NETWORK_ERROR: "Network error: the downlink could not be transmitted",
        InfoCode.PENDING: "Pending: the result is not known yet",
        InfoCode.NO_DOWNLINK_CONTRACT: "No downlink contract: the subscription has no downlinks",
        InfoCode.TOO_MANY_REQUESTS: "Too many requests: the device asked again before its listening time ended",
        InfoCode.INVALID_CONFIGURATION: "Invalid configuration: no callback is selected to answer",
    }
)


class DownlinkState(StrEnum):
    """Where a request stands.

    ASKED waits for the callback's answer; READY has its data; SERVED was handed to the network side, whose result is
    awaited; DECLINED was answered with "no data"; ENDED has its result.
    """

    ASKED = "asked"
    READY = "ready"
    SERVED = "served"
    DECLINED = "declined"
    ENDED = "ended"


OPEN: Final = frozenset({DownlinkState.ASKED, DownlinkState.READY, DownlinkState.SERVED})
"""States in which the device may still listen, until `expires_at`."""


@value
class Downlink:
    """One request of a device.

    Attributes:
        message: id of the message that asked.
        expires_at: when the device stops listening.
        data: 8 bytes once they are known, else None.
        code: the result; PENDING until it is known, and for ever when the customer declined.
    """

    message: str
    device: str
    device_type: str
    asked_at: datetime
    expires_at: datetime
    state: DownlinkState
    data: bytes | None = None
    code: InfoCode = InfoCode.PENDING


@value
class Send:
    """The answer holds 8 bytes for the device."""

    data: bytes
    kind: Literal["send"] = field(default="send", init=False)


@value
class NoData:
    """The answer says that there is nothing to send."""

    kind: Literal["no-data"] = field(default="no-data", init=False)


@value
class Failed:
    """There was no answer, or none that can be sent."""

    code: InfoCode
    kind: Literal["failed"] = field(default="failed", init=False)


Reply = Send | NoData | Failed


@value
class Replies:
    """What one answer says to the devices whose requests wait for it.

    `by_device` has ids as messages have them: upper-case hex without padding; `otherwise` is for devices that the
    answer does not name.
    """

    by_device: Mapping[str, Reply]
    otherwise: Reply


DOWNLINK_LIFECYCLE: Final[Mapping[tuple[DownlinkState, str], DownlinkState]] = MappingProxyType(
    {
        (DownlinkState.ASKED, "send"): DownlinkState.READY,
        (DownlinkState.ASKED, "no-data"): DownlinkState.DECLINED,
        (DownlinkState.ASKED, "failed"): DownlinkState.ENDED,
        (DownlinkState.ASKED, "expired"): DownlinkState.ENDED,  # NO_ANSWER
        (DownlinkState.READY, "served"): DownlinkState.SERVED,
        (DownlinkState.READY, "expired"): DownlinkState.ENDED,  # NETWORK_ERROR
        (DownlinkState.READY, "reported"): DownlinkState.ENDED,
        (DownlinkState.SERVED, "reported"): DownlinkState.ENDED,
        (DownlinkState.ASKED, "reported"): DownlinkState.ENDED,
    }
)
"""What happens to a request. A served one that the network never reports stays served, its result PENDING."""
