"""Model values ⇄ the columns of the SQLite store (`migrations`).

1. What is written comes back equal, to the microsecond.
2. Rows are read as JSON: a statement that finds many rows makes one text of them. A thread gives the interpreter lock
   away with each row that it steps to, and beside a busy event loop gets it back late: stepping through inserts fell
   from 355,000 to 2,800 a second.
3. Rows that are made for each message are plain tuples, flat as far as one statement takes them: to make one with names
   takes 0.3 us. Whoever reads them takes them apart in one place.
4. A key is where a thing stands in the order of arrival: 1, 2, 3, … for messages, `message << 16 | ordinal` for
   deliveries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

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
    "DELIVERED",
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
    "MessageRow",
    "Names",
    "PlainRow",
    "SettlementRow",
    "arrival_rows",
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
DELIVERED: Final = STATES.index(State.DELIVERED)
UNDELIVERED: Final = STATES.index(State.UNDELIVERED)
JOINED: Final = STATES.index(State.JOINED)
WAITING: Final = STATES.index(State.WAITING)
HEARD_TYPES: Final = frozenset(map(_TYPES.index, HEARD))

_NUMBER_OF_STATE = {state: number for number, state in enumerate(STATES)}
_STATE_AFTER = {step: _NUMBER_OF_STATE[after] for (before, step), after in LIFECYCLE.items() if before is State.PENDING}
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


LeaseRow: TypeAlias = tuple[bytes, int, int]
"""Which delivery is held, and under which token: message, ordinal, token."""

MessageRow: TypeAlias = tuple[int, int, int, str, int]
"""The columns of a message but for its key and id, in the order of the table.

Device, received_at, revision, content, type.
"""

PlainRow: TypeAlias = tuple[int, int, int, int, str, int, int, int | None]
"""What tells a plain new delivery: pending, never attempted, and nothing that only some have.

Ordinal, callback, endpoint, revision, request, due_at, token, leased_until. Nearly all are plain. The module takes 0.26
us to bind None, which is what most other columns would be; numbers and texts take 0.02 to 0.07.
"""


class DeliveryRow(NamedTuple):
    """The columns of any other new delivery but for its key; it is in no batch.

    `device` is None unless it is ordered.
    """

    ordinal: int
    callback: int
    endpoint: int
    revision: int
    request: str
    due_at: int
    token: int
    leased_until: int | None
    warnings: str | None
    state: int
    attempts: int
    tries: int
    asks: int
    device: int | None


Entering: TypeAlias = tuple[Sequence[PlainRow], Sequence[DeliveryRow]]
"""The deliveries that enter with a message."""

ArrivalRow: TypeAlias = tuple[bytes, MessageRow, Entering, Entering, InMotion | None]
"""A message's id and columns, its deliveries if it is the first of its event, and those if it is another reception.

Keys are given when they are written.
"""

AttemptRow: TypeAlias = tuple[int, int, int, str]
"""The columns of an attempt but for its delivery, in the order of the table: number, started_at, duration, outcome."""

SettlementRow: TypeAlias = tuple[LeaseRow, int, int | None, AttemptRow, tuple[Replies, datetime] | None, int | None]
"""What becomes of a held delivery.

Lease, state, due_at (None where it stays what it was), attempt, answer (what devices are told, and when), and for an
ordered delivery when the attempt ended.
"""


class BatchRow(NamedTuple):
    """Held deliveries, and what the first of them becomes."""

    leases: tuple[LeaseRow, ...]
    request: str
    asks: bool


class Names:
    """The numbers of what table `names` holds; one is given at once, and is written with its first use.

    `endpoints` and `callbacks` are looked up like dictionaries, and give a number to what has none. Of a callback the
    text is made once.
    """

    def __init__(self, saved: Mapping[str, int]) -> None:
        self.endpoints: Final = _Texts(saved)
        self.callbacks: Final = _Callbacks(self.endpoints)

    @property
    def unsaved(self) -> tuple[tuple[int, str], ...]:
        """What has to be written with the next group."""
        unsaved = self.endpoints.unsaved
        return tuple((number, text) for text, number in unsaved.items()) if unsaved else ()

    def saved(self, names: Sequence[tuple[int, str]]) -> None:
        """Learn that these are durable."""
        for _, text in names:
            self.endpoints.unsaved.pop(text, None)


class _Texts(dict[str, int]):
    def __init__(self, saved: Mapping[str, int]) -> None:
        super().__init__(saved)
        self.unsaved: dict[str, int] = {}

    def __missing__(self, text: str) -> int:
        number = self[text] = self.unsaved[text] = len(self) + 1
        return number


class _Callbacks(dict[Key, int]):
    def __init__(self, texts: _Texts) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, callback: Key) -> int:
        number = self[callback] = self._texts[str(callback)]
        return number


def arrival_rows(arrivals: Iterable[Arrival], names: Names, *, leased_until: int, held_token: int) -> list[ArrivalRow]:
    """What is written of arrivals whose held deliveries are leased until then, under that token."""
    rows: list[ArrivalRow] = []
    now: _Moment = (None, 0)
    for arrival in arrivals:
        message = arrival.message
        if message.received_at is not now[0]:
            now = message.received_at, micros(message.received_at)
        device = signed(int(message.device, 16))
        first = _entering(arrival.held, names, now, device, held_token, leased_until)
        if arrival.queued:
            plain, others = _entering(arrival.queued, names, now, device, held_token - 1, None)
            first = [*first[0], *plain], [*first[1], *others]
        rows.append(
            (
                bytes.fromhex(message.id),
                (device, now[1], arrival.revision, dump_message(message).decode(), _NUMBER_OF_TYPE[message.type]),
                first,
                _entering(arrival.again, names, now, device, held_token - 1, None) if arrival.again else _NONE,
                in_motion(arrival),
            )
        )
    return rows


# A time and its microseconds. The messages of a post and their deliveries share one, and working it out takes 0.2 us.
_Moment: TypeAlias = tuple[datetime | None, int]

_NONE: Final[Entering] = ((), ())


def _entering(
    deliveries: Sequence[Delivery], names: Names, now: _Moment, device: int, token: int, leased_until: int | None
) -> Entering:
    plain: list[PlainRow] = []
    others: list[DeliveryRow] = []
    for delivery in deliveries:
        ordinal, due_at = delivery.id.ordinal, delivery.due_at
        if ordinal >= MOST_DELIVERIES:
            raise ValueError(f"a message can have {MOST_DELIVERIES} deliveries, not more")
        row = (
            ordinal,
            names.callbacks[delivery.callback],
            names.endpoints[delivery.endpoint],
            delivery.revision,
            dump_request(delivery.request).decode(),
            now[1] if due_at is now[0] else micros(due_at),
            token,
            leased_until,
        )
        if (
            delivery.warnings
            or delivery.asks
            or delivery.ordered
            or delivery.attempts
            or delivery.tries
            or delivery.state is not State.PENDING
        ):
            others.append(_delivery_row(delivery, row, device))
        else:
            plain.append(row)
    return plain, others


def _delivery_row(delivery: Delivery, row: PlainRow, device: int) -> DeliveryRow:
    if delivery.ordered and row[-1] is not None:
        raise ValueError(f"{delivery.id} is ordered and can not be held")
    return DeliveryRow(
        *row,
        orjson.dumps(delivery.warnings).decode() if delivery.warnings else None,
        _NUMBER_OF_STATE[delivery.state],
        delivery.attempts,
        delivery.tries,
        int(delivery.asks),  # a bool takes the module's slow way to a column
        device if delivery.ordered else None,
    )


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
    message, ordinal = place_of(delivery_id)
    return message, ordinal, token


def settlement_row(settlement: Settlement) -> SettlementRow:
    """What is written of a settlement."""
    lease, step, attempt, replies = settlement.lease, settlement.step, settlement.attempt, settlement.replies
    return (
        lease_row(lease.delivery.id, lease.token),
        _STATE_AFTER[step.kind],
        micros(step.when) if isinstance(step, RetryAt) else None,
        (
            attempt.number,
            micros(attempt.started_at),
            micros_of(attempt.duration),
            dump_outcome(attempt.outcome).decode(),
        ),
        None if replies is None else (replies, attempt.started_at + attempt.duration),
        micros(attempt.started_at + attempt.duration) if lease.delivery.ordered else None,
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
