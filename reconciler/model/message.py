"""What devices send, as values.

1. A message's id is derived from what identifies it (`codec.message_id`), so that a repeated message is recognised.
2. Metadata that the network did not give is absent, and renders as `null` (`callbacks.md` section 2.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.grammar.payload import Value
from reconciler.model.value import value

__all__ = ["Message", "MessageType", "Refusal"]


class MessageType(StrEnum):
    """What kind of event a message reports; each fires the callbacks of its type (`callbacks.md` section 1)."""

    DATA = "data"
    STATUS = "status"
    GEOLOC = "geoloc"
    ACKNOWLEDGE = "acknowledge"
    REPEATER = "repeater"
    DATA_ADVANCED = "data-advanced"


@value
class Message:
    """One event of one device.

    Attributes:
        id: 32 lower-case hex digits: event time, then a digest; ids sort by event time.
        device: upper-case hex without padding.
        device_type: name of its device type; it need not exist in the current revision.
        time: event time in seconds since the Unix epoch, as the network reported it.
        sequence_number: the device's own counter, None when the network gave none.
        data: the payload, empty for events without one.
        received_at: when this engine received it.
        metadata: further variables by their documented names (`rssi`, `station`, `ack`, …), as the network gave them;
            their text forms are the router's business.
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something in a message could not be accepted: a slug to branch on and a sentence to read."""

    code: str
    reason: str
