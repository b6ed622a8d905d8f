"""Model values ⇄ the columns of the SQLite store (`migrations`).

1. What is written comes back equal, to the microsecond.
2. Rows are read as JSON: a statement that finds many rows makes one text of them. A thread gives the interpreter lock
   away with each row that it steps to, and beside a busy event loop gets it back late: stepping through inserts fell
   from 355,000 to 2,800 a second.
3. A key is where a thing stands in the order of arrival: 1, 2, 3, … for messages, `message << 16 | ordinal` for
   deliveries.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from reconciler.codec.delivery import dump_outcome, dump_request, load_outcome, load_request
from reconciler.codec.message import dump_message, load_message
from reconciler.model.delivery import LIFECYCLE, Attempt, Batch, Delivery, DeliveryId, RetryAt, Settlement, State
from reconciler.model.downlink import Replies
from reconciler.model.message import HEARD, Message, MessageType
from reconciler.model.resource import Key
from reconciler.store.protocol import Arrival
from reconciler.store.sqlite_motion import InMotion, in_motion
from reconciler.store.sqlite_values import (
    MOST_DELIVERIES,
    JsonRow,
    duration,
    micros,
    micros_of,
    moment,
    place_of,
    signed,
)

__all__ = [
    "DELIVERY",
    "HEARD_TYPES",
    "JOINED",
    "MESSAGE",
    "PENDING",
    "STATES",
    "UNDELIVERED",
    "WAITING",
    "ArrivalRow",
    "AttemptRow",
    "BatchRow",
    "DeliveryRow",
    "LeaseRow",
    "Names",
    "SettlementRow",
    "arrival_row",
    "attempt_from",
    "batch_row",
    "delivery_from",
    "lease_row",
    "message_from",
    "settlement_row",
]

# A state's or type's place is its number in the database.
STATES: Final = (State.PENDING, State.DELIVERED, State.UNDELIVERED, State.JOINED, State.WAITING)
_TYPES: Final = (
    MessageType.DATA,
    MessageType.STATUS,
    MessageType.GEOLOC,
    MessageType.ACKNOWLEDGE,
    MessageType.REPEATER,
    MessageType.DATA_ADVANCED,
    MessageType.ERROR,
)

PENDING: Final = STATES.index(State.PENDING)
UNDELIVERED: Final = STATES.index(State.UNDELIVERED)
JOINED: Final = STATES.index(State.JOINED)
WAITING: Final = STATES.index(State.WAITING)
HEARD_TYPES: Final = frozenset(map(_TYPES.index, HEARD))

_NUMBER_OF_STATE = {state: number for number, state in enumerate(STATES)}
_NUMBER_OF_TYPE = {kind: number for number, kind in enumerate(_TYPES)}

MESSAGE: Final = "json_array(hex(messages.id), messages.received_at, messages.content)"
DELIVERY: Final = """json_array(
    hex(messages.id), deliveries.key & 65535, callbacks.text, deliveries.revision, endpoints.text, deliveries.request,
    deliveries.warnings, deliveries.due_at, deliveries.state, deliveries.attempts, deliveries.tries, deliveries.asks,
    json((
        SELECT json_array(hex(carrier.id), deliveries.batch & 65535) FROM messages AS carrier
        WHERE carrier.key = deliveries.batch >> 16
    )), deliveries.device IS NOT NULL)"""
"""Needs `messages` and `deliveries`, and `names` as `callbacks` and as `endpoints`."""


class DeliveryRow(NamedTuple):
    """The columns of a new delivery but for its key, in the order of the table; it is in no batch.

    `device` is None unless it is ordered.
    """

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
    asks: int
    device: int | None


class ArrivalRow(NamedTuple):
    """A message, its deliveries by ordinal if it is the first of its event, and those if it is another reception.

    Keys are given when they are written.
    """

    id: bytes
    device: int
    received_at: int
    revision: int
    content: str
    type: int
    deliveries: tuple[tuple[int, DeliveryRow], ...]
    again: tuple[tuple[int, DeliveryRow], ...]
    in_motion: InMotion | None


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
    """What becomes of a held delivery; `due_at` is None where it stays what it was.

    `answer` is what devices are told, and when.
    """

    lease: LeaseRow
    state: int
    due_at: int | None
    attempt: AttemptRow
    answer: tuple[Replies, datetime] | None
    ordered: bool


class BatchRow(NamedTuple):
    """Held deliveries, and what the first of them becomes."""

    leases: tuple[LeaseRow, ...]
    request: str
    asks: bool


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


def arrival_row(arrival: Arrival, names: Names, *, leased_until: int, held_token: int) -> ArrivalRow:
    """What is written of an arrival whose held deliveries are leased until then, under that token."""
    message = arrival.message
    device = signed(int(message.device, 16))
    given: list[tuple[Delivery, int, int | None]] = [(held, held_token, leased_until) for held in arrival.held]
    if arrival.queued:
        given += [(queued, held_token - 1, None) for queued in arrival.queued]
    again = [(queued, held_token - 1, None) for queued in arrival.again] if arrival.again else ()
    return ArrivalRow(
        bytes.fromhex(message.id),
        device,
        micros(message.received_at),
        arrival.revision,
        dump_message(message).decode(),
        _NUMBER_OF_TYPE[message.type],
        _delivery_rows(given, device, names),
        _delivery_rows(again, device, names) if again else (),
        in_motion(arrival),
    )


def _delivery_rows(
    given: Sequence[tuple[Delivery, int, int | None]], device: int, names: Names
) -> tuple[tuple[int, DeliveryRow], ...]:
    if len(given) > 1:
        given = sorted(given, key=lambda each: each[0].id)
    if given and given[-1][0].id.ordinal >= MOST_DELIVERIES:
        raise ValueError(f"a message can have {MOST_DELIVERIES} deliveries, not more")
    return tuple(
        (
            delivery.id.ordinal,
            DeliveryRow(
                names.id_of(str(delivery.callback)),
                names.id_of(delivery.endpoint),
                delivery.revision,
                dump_request(delivery.request).decode(),
                orjson.dumps(delivery.warnings).decode() if delivery.warnings else None,
                micros(delivery.due_at),
                _NUMBER_OF_STATE[delivery.state],
                delivery.attempts,
                delivery.tries,
                token,
                until,
                int(delivery.asks),  # a bool takes the module's slow way to a column
                _in_series(delivery, device, until) if delivery.ordered else None,
            ),
        )
        for delivery, token, until in given
    )


def _in_series(delivery: Delivery, device: int, leased_until: int | None) -> int:
    if leased_until is not None:
        raise ValueError(f"{delivery.id} is ordered and can not be held")
    return device


def batch_row(batch: Batch) -> BatchRow:
    """What is written of a batch; ValueError when it has no lines."""
    if not batch.lines:
        raise ValueError("a batch has one line at least")
    return BatchRow(
        tuple(lease_row(lease.delivery.id, lease.token) for lease in batch.lines),
        dump_request(batch.request).decode(),
        batch.asks,
    )


def lease_row(delivery_id: DeliveryId, token: int) -> LeaseRow:
    """What tells a lease."""
    return LeaseRow(*place_of(delivery_id), token)


def settlement_row(settlement: Settlement) -> SettlementRow:
    """What is written of a settlement."""
    step, attempt, replies = settlement.step, settlement.attempt, settlement.replies
    return SettlementRow(
        lease_row(settlement.lease.delivery.id, settlement.lease.token),
        _NUMBER_OF_STATE[LIFECYCLE[State.PENDING, step.kind]],
        micros(step.when) if isinstance(step, RetryAt) else None,
        AttemptRow(
            attempt.number,
            micros(attempt.started_at),
            micros_of(attempt.duration),
            dump_outcome(attempt.outcome).decode(),
        ),
        None if replies is None else (replies, attempt.started_at + attempt.duration),
        settlement.lease.delivery.ordered,
    )


def message_from(row: JsonRow) -> Message:
    """Read what `MESSAGE` selects."""
    message_id, received_at, content = row
    return replace(load_message(content, received_at=moment(received_at)), id=message_id.lower())


def delivery_from(row: JsonRow) -> Delivery:
    """Read what `DELIVERY` selects."""
    message_id, ordinal, callback, revision, endpoint, request, warnings, due_at, state, attempts, tries = row[:11]
    asks, carrier, ordered = row[11:]
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
        asks=bool(asks),
        batch=None if carrier is None else DeliveryId(carrier[0].lower(), carrier[1]),
        ordered=bool(ordered),
    )


def attempt_from(row: JsonRow) -> Attempt:
    """Read what an `AttemptRow` wrote."""
    number, started_at, length, outcome = row
    return Attempt(number, moment(started_at), duration(length), load_outcome(outcome))
