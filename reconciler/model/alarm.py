"""What the engine has promised to do at some time, kept in the store so that a restart keeps the promise.

Deliveries have due times of their own; alarms are for events that the engine makes itself (`callbacks.md` sections 1,
2.4 and 7): each becomes a message when it is due, and ends in the transaction that keeps this message.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from reconciler.model.value import value

__all__ = ["GATHERING", "Alarm", "AlarmKind"]

# Section 1: about 25 s after the first frame (GS); section 11 chooses it over the 30 s of the other page.
GATHERING: Final = timedelta(seconds=25)
"""How long receptions of a message are gathered before DATA_ADVANCED fires."""


class AlarmKind(StrEnum):
    """What is due.

    GATHERED: all receptions of a message are in; `subject` is its `Message.event`.
    SILENCE: a device may have been silent for longer than its keep-alive; `subject` is the device. It is set with the
        first message and only looked at when it is due: whoever looks moves it on if the device was heard since.
    RESULT: a downlink request ended with a code that the engine found; `subject` is the id of the message that asked.
    """

    GATHERED = "gathered"
    SILENCE = "silence"
    RESULT = "result"


@value
class Alarm:
    """One promise; there is at most one of a kind and subject."""

    kind: AlarmKind
    subject: str
    device: str
    device_type: str
    due_at: datetime
