"""ERROR: a device was silent for longer than its device type allows (`callbacks.md` sections 2.7 and 7). Pure."""

from datetime import UTC, datetime
from typing import Final

from reconciler.codec.message import message_id
from reconciler.model.message import Message, MessageType
from reconciler.store.protocol import Heard

__all__ = ["silence"]

# Section 7: the newer page knows no other severity; WARN was for stations that are down.
_SEVERITY: Final = "ERROR"


def silence(heard: Heard, *, at: datetime) -> Message:
    """The event of a breach that is noticed at `at`; its text is the operator's, with the last message's event time."""
    last, time = heard.message, int(at.timestamp())
    since = datetime.fromtimestamp(last.time, UTC)
    return Message(
        id=message_id(
            MessageType.ERROR, last.device, time, sequence_number=None, station=None, data=b"", detail=_SEVERITY
        ),
        type=MessageType.ERROR,
        device=last.device,
        device_type=last.device_type,
        time=time,
        sequence_number=None,
        data=b"",
        received_at=at,
        metadata={"info": f"No message received since {since:%Y-%m-%d %H:%M:%S}", "severity": _SEVERITY},
    )
