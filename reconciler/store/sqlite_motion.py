"""Alarms and downlink requests ⇄ the columns of the SQLite store: what messages set in motion beside deliveries."""

from typing import Final, NamedTuple

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.downlink import Downlink, DownlinkState, InfoCode
from reconciler.store.protocol import Arrival
from reconciler.store.sqlite_values import JsonRow, id_bytes, micros, moment

__all__ = [
    "DOWNLINK",
    "GATHERED",
    "RESULT",
    "SILENCE",
    "AlarmRow",
    "DownlinkRow",
    "InMotion",
    "alarm_from",
    "alarm_row",
    "downlink_from",
    "downlink_row",
    "in_motion",
]

# A kind's or state's place is its number in the database; `downlinks_open` and `downlinks_waiting` go by these numbers.
_KINDS: Final = (AlarmKind.GATHERED, AlarmKind.RESULT, AlarmKind.SILENCE)  # by name, as the reference sorts them
_STATES: Final = (
    DownlinkState.ASKED,
    DownlinkState.READY,
    DownlinkState.SERVED,
    DownlinkState.DECLINED,
    DownlinkState.ENDED,
)
GATHERED: Final = _KINDS.index(AlarmKind.GATHERED)
RESULT: Final = _KINDS.index(AlarmKind.RESULT)
SILENCE: Final = _KINDS.index(AlarmKind.SILENCE)

DOWNLINK: Final = """json_array(
    hex(messages.id), downlinks.device, downlinks.device_type, downlinks.asked_at, downlinks.expires_at,
    downlinks.state, downlinks.data, downlinks.code)"""
"""Needs `messages` and `downlinks`."""


class AlarmRow(NamedTuple):
    """The columns of an alarm, in the order of the table; the first two tell it."""

    kind: int
    subject: str
    device: str
    device_type: str
    due_at: int


class DownlinkRow(NamedTuple):
    """The columns of a request but for its message, in the order of the table."""

    device: str
    device_type: str
    asked_at: int
    expires_at: int
    state: int
    data: str | None
    code: int


class InMotion(NamedTuple):
    """What a message sets in motion.

    `reported` is the device and the result of its request; `known` the message after which none may have been heard.
    """

    alarms: tuple[AlarmRow, ...]
    downlink: Downlink | None
    reported: tuple[str, InfoCode] | None
    ends: AlarmRow | None
    known: bytes | None


def in_motion(arrival: Arrival) -> InMotion | None:
    """What an arrival sets in motion; None when it is its deliveries alone, as it nearly always is."""
    if not (
        arrival.alarms
        or arrival.ends is not None
        or arrival.downlink is not None
        or arrival.reported is not None
        or arrival.unless_heard_after is not None
    ):
        return None
    return InMotion(
        tuple(map(alarm_row, arrival.alarms)),
        arrival.downlink,
        None if arrival.reported is None else (arrival.message.device, arrival.reported),
        None if arrival.ends is None else alarm_row(arrival.ends),
        None if arrival.unless_heard_after is None else id_bytes(arrival.unless_heard_after),
    )


def alarm_row(alarm: Alarm) -> AlarmRow:
    """What is written of an alarm."""
    return AlarmRow(_KINDS.index(alarm.kind), alarm.subject, alarm.device, alarm.device_type, micros(alarm.due_at))


def downlink_row(request: Downlink) -> DownlinkRow:
    """What is written of a request."""
    return DownlinkRow(
        request.device,
        request.device_type,
        micros(request.asked_at),
        micros(request.expires_at),
        _STATES.index(request.state),
        None if request.data is None else request.data.hex(),
        int(request.code),
    )


def alarm_from(row: JsonRow) -> Alarm:
    """Read what an `AlarmRow` wrote."""
    kind, subject, device, device_type, due_at = row
    return Alarm(_KINDS[kind], subject, device, device_type, moment(due_at))


def downlink_from(row: JsonRow) -> Downlink:
    """Read what `DOWNLINK` selects."""
    message, device, device_type, asked_at, expires_at, state, data, code = row
    return Downlink(
        message=message.lower(),
        device=device,
        device_type=device_type,
        asked_at=moment(asked_at),
        expires_at=moment(expires_at),
        state=_STATES[state],
        data=None if data is None else bytes.fromhex(data),
        code=InfoCode(code),
    )
