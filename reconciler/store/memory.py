"""The reference store: everything in dictionaries, nothing durable. Read it first; tests and demonstrations run on it.

It keeps every rule of `store.protocol` but durability, and says how the open choices are made everywhere:

1. Deliveries have a place: the order of acceptance, within a message by ordinal. Of those that are due at the same
   moment the earlier place goes first.
2. `claim` hands out rounds: the first of every endpoint, then the second of every endpoint, each round by due time.
3. The token is the right to settle: claiming, settling and releasing raise it. The expiry only keeps others from
   claiming: the first `claim` after it clears it, and until somebody gets the delivery a late settlement is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from reconciler.errors import RevisionConflict
from reconciler.model.delivery import (
    LIFECYCLE,
    Attempt,
    Delivery,
    DeliveryId,
    Done,
    GiveUp,
    Lease,
    RetryAt,
    Settlement,
    State,
)
from reconciler.model.message import Message
from reconciler.model.revision import EMPTY, HistoryEntry, Revision
from reconciler.store.protocol import (
    FIRST_TOKEN,
    Arrival,
    DeliveryFilter,
    DeliveryRecord,
    EndpointBacklog,
    MessageRecord,
)

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Kept:
    """A delivery and what the outbox knows about it; `leased_until` is None when nobody holds it."""

    delivery: Delivery
    place: int
    token: int
    leased_until: datetime | None
    attempts: tuple[Attempt, ...] = ()

    @property
    def claimable_at(self) -> datetime:
        due_at = self.delivery.due_at
        return due_at if self.leased_until is None else max(due_at, self.leased_until)

    @property
    def turn(self) -> tuple[datetime, int]:
        return self.delivery.due_at, self.place

    def is_held_under(self, token: int) -> bool:
        return self.delivery.state is State.PENDING and self.token == token

    def end_lease(self) -> None:
        self.token += 1
        self.leased_until = None


class MemoryStore:
    """A `Store` that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._revisions: list[Revision] = [EMPTY]
        self._messages: dict[str, tuple[Message, int]] = {}
        self._deliveries: dict[DeliveryId, _Kept] = {}

    # Revisions

    async def current(self) -> Revision:
        return self._revisions[-1]

    async def revision(self, number: int) -> Revision | None:
        return self._revisions[number] if 0 <= number < len(self._revisions) else None

    async def history(self, *, limit: int, before: int | None = None) -> Sequence[HistoryEntry]:
        published = [r for r in self._revisions[1:] if before is None or r.number < before]
        return [HistoryEntry(r.number, r.digest, r.publication, r.changes) for r in published[::-1][:limit]]

    async def publish(self, revision: Revision) -> None:
        current = self._revisions[-1].number
        if revision.number != current + 1:
            raise RevisionConflict(expected=revision.number - 1, current=current)
        self._revisions.append(revision)

    # Inbox

    async def accept(
        self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: datetime
    ) -> Sequence[bool]:
        fresh = []
        for arrival in arrivals:
            fresh.append(arrival.message.id not in self._messages)
            if not fresh[-1]:
                continue
            self._messages[arrival.message.id] = arrival.message, arrival.revision
            given: list[tuple[Delivery, int, datetime | None]] = [
                *((delivery, FIRST_TOKEN, now + lease) for delivery in arrival.held),
                *((delivery, FIRST_TOKEN - 1, None) for delivery in arrival.queued),
            ]
            for delivery, token, leased_until in sorted(given, key=lambda each: each[0].id):
                self._deliveries[delivery.id] = _Kept(delivery, len(self._deliveries), token, leased_until)
        return fresh

    # Outbox

    async def claim(
        self, *, worker: str, room: Mapping[str, int], default_room: int, limit: int, lease: timedelta, now: datetime
    ) -> Sequence[Lease]:
        queues: dict[str, list[_Kept]] = {}
        for kept in sorted(self._pending(), key=lambda kept: kept.turn):
            if kept.leased_until is not None and kept.leased_until <= now:
                kept.leased_until = None
            if kept.claimable_at <= now:
                queues.setdefault(kept.delivery.endpoint, []).append(kept)
        rounds = [
            (number, kept)
            for endpoint, queue in queues.items()
            for number, kept in enumerate(queue[: max(room.get(endpoint, default_room), 0)])
        ]
        rounds.sort(key=lambda entry: (entry[0], entry[1].turn))
        leases = []
        for _, kept in rounds[:limit]:
            kept.token += 1
            kept.leased_until = now + lease
            leases.append(Lease(kept.delivery, kept.token, kept.leased_until))
        return leases

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        return [self._settle(settlement) for settlement in settlements]

    def _settle(self, settlement: Settlement) -> bool:
        kept = self._deliveries.get(settlement.lease.delivery.id)
        if kept is None or not kept.is_held_under(settlement.lease.token):
            return False
        step = settlement.step
        match step:
            case RetryAt(when):
                due_at = when
            case Done() | GiveUp():
                due_at = kept.delivery.due_at
            case _:
                assert_never(step)
        kept.delivery = replace(
            kept.delivery,
            state=LIFECYCLE[kept.delivery.state, step.kind],
            due_at=due_at,
            attempts=kept.delivery.attempts + 1,
            tries=kept.delivery.tries + 1,
        )
        kept.attempts += (settlement.attempt,)
        kept.end_lease()
        return True

    async def release(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            kept = self._deliveries.get(lease.delivery.id)
            if kept is not None and kept.is_held_under(lease.token):
                kept.end_lease()

    async def next_claim_at(self) -> datetime | None:
        return min((kept.claimable_at for kept in self._pending()), default=None)

    async def replay(self, ids: Sequence[DeliveryId], *, now: datetime) -> int:
        changed = 0
        for delivery_id in ids:
            kept = self._deliveries.get(delivery_id)
            if kept is not None and kept.delivery.state is not State.PENDING:
                pending = LIFECYCLE[kept.delivery.state, "replay"]
                kept.delivery = replace(kept.delivery, state=pending, due_at=now, tries=0)
                changed += 1
        return changed

    # Journal

    async def message(self, message_id: str) -> MessageRecord | None:
        if message_id not in self._messages:
            return None
        message, revision = self._messages[message_id]
        records = [_record(kept) for kept in self._deliveries.values() if kept.delivery.id.message == message_id]
        return MessageRecord(message, revision, tuple(sorted(records, key=_by_id)))

    async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
        of_device = [message for message, _ in self._messages.values() if message.device == device]
        return sorted(of_device, key=lambda message: message.id, reverse=True)[:limit]

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        kept = self._deliveries.get(delivery_id)
        return None if kept is None else _record(kept)

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, before: DeliveryId | None = None
    ) -> Sequence[DeliveryRecord]:
        matching = [
            _record(kept)
            for kept in self._deliveries.values()
            if self._matches(kept.delivery, where) and (before is None or kept.delivery.id < before)
        ]
        return sorted(matching, key=_by_id, reverse=True)[:limit]

    async def counts(self) -> Mapping[State, int]:
        counts = dict.fromkeys(State, 0)
        for kept in self._deliveries.values():
            counts[kept.delivery.state] += 1
        return counts

    async def backlog(self) -> Sequence[EndpointBacklog]:
        due: dict[str, list[datetime]] = {}
        for kept in self._pending():
            due.setdefault(kept.delivery.endpoint, []).append(kept.delivery.due_at)
        return [EndpointBacklog(endpoint, len(times), min(times)) for endpoint, times in sorted(due.items())]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _pending(self) -> Iterable[_Kept]:
        return (kept for kept in self._deliveries.values() if kept.delivery.state is State.PENDING)

    def _matches(self, delivery: Delivery, where: DeliveryFilter) -> bool:
        message, _ = self._messages[delivery.id.message]
        return (
            where.state in (None, delivery.state)
            and where.callback in (None, delivery.callback)
            and where.device in (None, message.device)
            and where.endpoint in (None, delivery.endpoint)
        )


def _record(kept: _Kept) -> DeliveryRecord:
    return DeliveryRecord(kept.delivery, kept.attempts)


def _by_id(record: DeliveryRecord) -> DeliveryId:
    return record.delivery.id
