"""Model values ⇄ the columns of the SQLite store (`migrations/0001_initial.sql`).

1. What is written comes back equal, to the microsecond.
2. Rows are read as JSON: a statement that finds many rows makes one text of them. A thread gives the interpreter lock
   away with each row that it steps to, and beside a busy event loop gets it back late: stepping through inserts fell
   from 355,000 to 2,800 a second.
3. A key is where a thing stands in the order of arrival: 1, 2, 3, … for messages, `message << 16 | ordinal` for
   deliveries.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from reconciler.codec.delivery import dump_outcome, dump_request, load_outcome, load_request
from reconciler.codec.message import dump_message, load_message
from reconciler.model.delivery import LIFECYCLE, Attempt, Delivery, DeliveryId, RetryAt, Settlement, State
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.store.protocol import Arrival

__all__ = [
    "DELIVERY",
    "MESSAGE",
    "ORDINAL_BITS",
    "PENDING",
    "STATES",
    "UNDELIVERED",
    "ArrivalRow",
    "AttemptRow",
    "DeliveryRow",
    "JsonRow",
    "LeaseRow",
    "Names",
    "SettlementRow",
    "arrival_row",
    "attempt_from",
    "delivery_from",
    "device_number",
    "id_bytes",
    "lease_row",
    "message_from",
    "micros",
    "moment",
    "place_of",
    "settlement_row",
]

JsonRow: TypeAlias = Sequence[Any]
"""A row as it comes back: the values of a `json_array`."""

ORDINAL_BITS: Final = 16
STATES: Final = (State.PENDING, State.DELIVERED, State.UNDELIVERED)
"""A state's place here is its number in the database."""
PENDING: Final = STATES.index(State.PENDING)
UNDELIVERED: Final = STATES.index(State.UNDELIVERED)

_MOST_DELIVERIES: Final = 1 << ORDINAL_BITS
_NO_MESSAGE: Final = bytes(16)  # the digest part of an id would have to be zero
_NUMBER_OF = {state: number for number, state in enumerate(STATES)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

MESSAGE: Final = "json_array(hex(messages.id), messages.received_at, messages.content)"
DELIVERY: Final = """json_array(
    hex(messages.id), deliveries.key & 65535, callbacks.text, deliveries.revision, endpoints.text, deliveries.request,
    deliveries.warnings, deliveries.due_at, deliveries.state, deliveries.attempts, deliveries.tries)"""
"""Needs `messages` and `deliveries`, and `names` as `callbacks` and as `endpoints`."""


class DeliveryRow(NamedTuple):
    """The columns of a new delivery but for its key, in the order of the table."""

    callback: int
    endpoint: int
    revision: int
    request: str
    warnings: str | None
    due_at: int
    state: int
    attempts: int
    tries: int
    token: int
    leased_until: int | None


class ArrivalRow(NamedTuple):
    """A message and its deliveries, by ordinal; keys are given when they are written."""

    id: bytes
    device: int
    received_at: int
    revision: int
    content: str
    deliveries: tuple[tuple[int, DeliveryRow], ...]


class LeaseRow(NamedTuple):
    """Which delivery is held, and under which token."""

    message: bytes
    ordinal: int
    token: int


class AttemptRow(NamedTuple):
    """The columns of an attempt but for its delivery, in the order of the table."""

    number: int
    started_at: int
    duration: int
    outcome: str


class SettlementRow(NamedTuple):
    """What becomes of a held delivery; `due_at` is None where it stays what it was."""

    lease: LeaseRow
    state: int
    due_at: int | None
    attempt: AttemptRow


class Names:
    """The texts of table `names` and their numbers. A number is given at once, and is written with its first use."""

    def __init__(self, saved: dict[str, int]) -> None:
        self._ids = saved
        self._unsaved: dict[str, int] = {}

    def id_of(self, text: str) -> int:
        """The number of a text."""
        number = self._ids.get(text)
        if number is None:
            number = self._ids[text] = self._unsaved[text] = len(self._ids) + 1
        return number

    @property
    def unsaved(self) -> tuple[tuple[int, str], ...]:
        """What has to be written with the next group."""
        return tuple((number, text) for text, number in self._unsaved.items())

    def saved(self, names: Sequence[tuple[int, str]]) -> None:
        """Learn that these are durable."""
        for _, text in names:
            self._unsaved.pop(text, None)


def micros(when: datetime) -> int:
    """Microseconds since the epoch; exact, where `timestamp()` would round."""
    return (when - _EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The time that `micros` was given."""
    return _EPOCH + since_epoch * _MICROSECOND


def arrival_row(arrival: Arrival, names: Names, *, leased_until: int, held_token: int) -> ArrivalRow:
    """What is written of an arrival whose held deliveries are leased until then, under that token."""
    message = arrival.message
    deliveries: list[tuple[Delivery, int, int | None]] = [(held, held_token, leased_until) for held in arrival.held]
    deliveries += [(queued, held_token - 1, None) for queued in arrival.queued]
    if len(deliveries) > 1:
        deliveries.sort(key=lambda each: each[0].id)
    if deliveries and deliveries[-1][0].id.ordinal >= _MOST_DELIVERIES:
        raise ValueError(f"a message can have {_MOST_DELIVERIES} deliveries, not more")
    return ArrivalRow(
        bytes.fromhex(message.id),
        int(message.device, 16),
        micros(message.received_at),
        arrival.revision,
        dump_message(message).decode(),
        tuple(
            (
                delivery.id.ordinal,
                DeliveryRow(
                    names.id_of(str(delivery.callback)),
                    names.id_of(delivery.endpoint),
                    delivery.revision,
                    dump_request(delivery.request).decode(),
                    orjson.dumps(delivery.warnings).decode() if delivery.warnings else None,
                    micros(delivery.due_at),
                    _NUMBER_OF[delivery.state],
                    delivery.attempts,
                    delivery.tries,
                    token,
                    until,
                ),
            )
            for delivery, token, until in deliveries
        ),
    )


def id_bytes(message_id: str) -> bytes:
    """The 16 bytes of a message's id; those of no message when it is not one."""
    try:
        given = bytes.fromhex(message_id)
    except ValueError:
        return _NO_MESSAGE
    return given if given.hex() == message_id and len(given) == len(_NO_MESSAGE) else _NO_MESSAGE


def device_number(device: str) -> int:
    """A device's hex id as a number; that of no device when it is not spelled as messages spell it."""
    try:
        number = int(device, 16)
    except ValueError:
        return -1
    return number if f"{number:X}" == device and number < 2**32 else -1


def place_of(delivery_id: DeliveryId) -> tuple[bytes, int]:
    """The message and the ordinal; those of no delivery when the ordinal is beyond what a message may have."""
    if 0 <= delivery_id.ordinal < _MOST_DELIVERIES:
        return id_bytes(delivery_id.message), delivery_id.ordinal
    return _NO_MESSAGE, 0


def lease_row(delivery_id: DeliveryId, token: int) -> LeaseRow:
    """What tells a lease."""
    return LeaseRow(*place_of(delivery_id), token)


def settlement_row(settlement: Settlement) -> SettlementRow:
    """What is written of a settlement."""
    step, attempt = settlement.step, settlement.attempt
    return SettlementRow(
        lease_row(settlement.lease.delivery.id, settlement.lease.token),
        _NUMBER_OF[LIFECYCLE[State.PENDING, step.kind]],
        micros(step.when) if isinstance(step, RetryAt) else None,
        AttemptRow(
            attempt.number,
            micros(attempt.started_at),
            attempt.duration // _MICROSECOND,
            dump_outcome(attempt.outcome).decode(),
        ),
    )


def message_from(row: JsonRow) -> Message:
    """Read what `MESSAGE` selects."""
    message_id, received_at, content = row
    return replace(load_message(content, received_at=moment(received_at)), id=message_id.lower())


def delivery_from(row: JsonRow) -> Delivery:
    """Read what `DELIVERY` selects."""
    message_id, ordinal, callback, revision, endpoint, request, warnings, due_at, state, attempts, tries = row
    return Delivery(
        id=DeliveryId(message_id.lower(), ordinal),
        callback=Key.parse(callback),
        revision=revision,
        endpoint=endpoint,
        request=load_request(request),
        warnings=() if warnings is None else tuple(orjson.loads(warnings)),
        due_at=moment(due_at),
        state=STATES[state],
        attempts=attempts,
        tries=tries,
    )


def attempt_from(row: JsonRow) -> Attempt:
    """Read what an `AttemptRow` wrote."""
    number, started_at, duration, outcome = row
    return Attempt(number, moment(started_at), duration * _MICROSECOND, load_outcome(outcome))
