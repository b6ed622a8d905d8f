"""Times, ids and devices ⇄ how the SQLite store has them, in columns and in what statements are given."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from reconciler.model.delivery import DeliveryId
from reconciler.model.message import EVENT_DIGITS

__all__ = [
    "EVENT_BYTES",
    "LAST_STATION",
    "MOST_DELIVERIES",
    "ORDINAL_BITS",
    "JsonRow",
    "device_number",
    "duration",
    "event_bytes",
    "id_bytes",
    "last_of_event",
    "micros",
    "micros_of",
    "moment",
    "place_of",
    "signed",
]

JsonRow: TypeAlias = Sequence[Any]
"""A row as it comes back: the values of a `json_array`."""

ORDINAL_BITS: Final = 16
MOST_DELIVERIES: Final = 1 << ORDINAL_BITS
EVENT_BYTES: Final = EVENT_DIGITS // 2

_NO_MESSAGE: Final = bytes(16)  # the digest part of an id would have to be zero
LAST_STATION: Final = b"\xff" * (len(_NO_MESSAGE) - EVENT_BYTES)
_NO_STATION: Final = "00" * len(LAST_STATION)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SIGN: Final = 1 << 63


def micros(when: datetime) -> int:
    """Microseconds since the epoch; exact, where `timestamp()` would round."""
    return (when - _EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The time that `micros` was given."""
    return _EPOCH + since_epoch * _MICROSECOND


def micros_of(length: timedelta) -> int:
    """A length of time in microseconds."""
    return length // _MICROSECOND


def duration(length: int) -> timedelta:
    """The length that `micros_of` was given."""
    return length * _MICROSECOND


def id_bytes(message_id: str) -> bytes:
    """The 16 bytes of a message's id; those of no message when it is not one."""
    try:
        given = bytes.fromhex(message_id)
    except ValueError:
        return _NO_MESSAGE
    return given if given.hex() == message_id and len(given) == len(_NO_MESSAGE) else _NO_MESSAGE


def event_bytes(event: str) -> bytes:
    """The first bytes of the ids of an event's messages; those of none when it is not one."""
    return id_bytes(event + _NO_STATION)[:EVENT_BYTES]


def last_of_event(event: bytes) -> bytes:
    """The greatest id that a message of an event can have; the event itself comes before all of them."""
    return event + LAST_STATION


def device_number(device: str) -> int | None:
    """A device's hex id as columns hold it; None when it is not spelled as messages spell it."""
    try:
        number = int(device, 16)
    except ValueError:
        return None
    return signed(number) if 0 <= number < 2 * _SIGN and f"{number:X}" == device else None


def signed(number: int) -> int:
    """A number of 64 bits in two's complement, as columns hold it."""
    return number if number < _SIGN else number - 2 * _SIGN


def place_of(delivery_id: DeliveryId) -> tuple[bytes, int]:
    """The message and the ordinal; those of no delivery when the ordinal is beyond what a message may have."""
    if 0 <= delivery_id.ordinal < MOST_DELIVERIES:
        return id_bytes(delivery_id.message), delivery_id.ordinal
    return _NO_MESSAGE, 0
