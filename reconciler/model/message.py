"""What devices send, as values.

1. A message's id is derived from what identifies it (`codec.message_id`), so that a repeated message is recognised.
2. Several base stations may report one message: those are its receptions, each a `Message` of its own with an id of its
   own, and all with the same `event`. The first that is kept is the message; with `sendDuplicates` the others make
   further calls (`callbacks.md` section 5).
3. Metadata that the network did not give is absent, and renders as `null` (`callbacks.md` section 2.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from reconciler.grammar.payload import Value
from reconciler.model.value import value

__all__ = ["EVENT_DIGITS", "HEARD", "Message", "MessageType", "Refusal"]

EVENT_DIGITS: Final = 26


class MessageType(StrEnum):
    """What kind of event a message reports; each fires the callbacks of its type (`callbacks.md` section 1)."""

    DATA = "data"
    STATUS = "status"
    GEOLOC = "geoloc"
    ACKNOWLEDGE = "acknowledge"
    REPEATER = "repeater"
    DATA_ADVANCED = "data-advanced"
    ERROR = "error"


HEARD: Final = frozenset({MessageType.DATA, MessageType.STATUS, MessageType.REPEATER})
"""Events that a device transmitted itself: each ends its silence (`callbacks.md` section 7)."""


@value
class Message:
    """One event of one device.

    Attributes:
        id: 32 lower-case hex digits: event time (8), a digest of what identifies the event (18), a digest of the
            station that reported it (6, zeros without one); ids sort by event time.
        device: upper-case hex without padding.
        device_type: name of its device type; it need not exist in the current revision.
        time: event time in seconds since the Unix epoch, as the network reported it.
        sequence_number: the device's own counter, None when the network gave none.
        data: the payload, empty for events without one.
        received_at: when this engine received it.
        metadata: further variables by their documented names (`rssi`, `station`, `ack`, `batt`, …), as the network gave
            them; their text forms are the router's business. Objects and arrays (`duplicates`, `computedLocation`) are
            compact JSON, as `grammar.escape.Json`.
    """

    id: str
    type: MessageType
    device: str
    device_type: str
    time: int
    sequence_number: int | None
    data: bytes
    received_at: datetime
    metadata: Mapping[str, Value]

    @property
    def event(self) -> str:
        """What all receptions of one message share: their id without the station."""
        return self.id[:EVENT_DIGITS]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something in a message could not be accepted: a slug to branch on and a sentence to read."""

    code: str
    reason: str
