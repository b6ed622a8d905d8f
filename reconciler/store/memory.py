"""The reference store: everything in dictionaries, nothing durable. Read it first; tests and demonstrations run on it.

It keeps every rule of `store.protocol` but durability, and says how the open choices are made everywhere:

1. Deliveries have a place: the order of acceptance, within a message by ordinal. Of those that are due at the same
   moment the earlier place goes first.
2. `claim` hands out rounds: the first of every endpoint, then the second of every endpoint, each round by due time.
3. The token is the right to settle: claiming, settling, releasing and joining another's batch raise it. The expiry only
   keeps others from claiming: the first `claim` after it clears it, and until somebody gets the delivery a late
   settlement is recorded.
4. A delivery joins one batch in its life: a lease of one that is in a batch counts as lost for `join`, and so does one
   that a batch names twice.
5. What was heard after a message that nobody kept, was heard later.

Alarms and downlink requests are in `memory_downlinks`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from reconciler.errors import RevisionConflict
from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.delivery import (
    LIFECYCLE,
    Attempt,
    Batch,
    Delivery,
    DeliveryId,
    Done,
    GiveUp,
    Lease,
    RetryAt,
    Settlement,
    State,
)
from reconciler.model.downlink import Downlink
from reconciler.model.message import HEARD, Message
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, HistoryEntry, Revision
from reconciler.store.memory_downlinks import Promises
from reconciler.store.protocol import (
    FIRST_TOKEN,
    MOST_COUNTED,
    Arrival,
    DeliveryFilter,
    DeliveryRecord,
    EndpointBacklog,
    Heard,
    Kept,
    MessageRecord,
    Pruned,
)

__all__ = ["MemoryStore"]


@dataclass(frozen=True, slots=True)
class _Message:
    """A message and its place in the order in which messages were kept."""

    message: Message
    revision: int
    place: int


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
        self._messages: dict[str, _Message] = {}
        self._events: dict[str, list[Message]] = {}
        self._deliveries: dict[DeliveryId, _Kept] = {}
        self._series: dict[tuple[Key, str], deque[_Kept]] = {}  # of ordered deliveries, by callback and device
        self._promises = Promises()
        self._steps: list[tuple[int, timedelta]] = []  # how many messages had been kept, and by how much
        self._messages_kept = 0
        self._deliveries_kept = 0

    # Revisions

    async def current(self) -> Revision:
        return self._revisions[-1]

    async def revision(self, number: int) -> Revision | None:
        return self._revisions[number] if 0 <= number < len(self._revisions) else None

    async def history(self, *, limit: int, before: int | None = None) -> Sequence[HistoryEntry]:
        published = [r for r in self._revisions[1:] if before is None or r.number < before]
        return [revision.entry for revision in published[::-1][:limit]]

    async def applied(self, owner: str) -> Revision | None:
        return next((r for r in reversed(self._revisions) if r.owner == owner and r.publication.via), None)

    async def publish(self, revision: Revision) -> None:
        current = self._revisions[-1].number
        if revision.number != current + 1:
            raise RevisionConflict(expected=revision.number - 1, current=current)
        self._revisions.append(revision)

    # Inbox

    async def accept(
        self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: datetime
    ) -> Sequence[Kept]:
        return [self._accept(arrival, leased_until=now + lease) for arrival in arrivals]

    def _accept(self, arrival: Arrival, *, leased_until: datetime) -> Kept:
        message = arrival.message
        if arrival.unless_heard_after is not None and self._heard_after(arrival.unless_heard_after, message.device):
            return Kept.OVERTAKEN
        if arrival.ends is not None:
            self._promises.end_alarms([arrival.ends])
        if message.id in self._messages:
            return Kept.REPEATED
        receptions = self._events.setdefault(message.event, [])
        fresh = not receptions
        receptions.append(message)
        self._messages_kept += 1
        self._messages[message.id] = _Message(message, arrival.revision, self._messages_kept)
        if not fresh:
            self._keep((delivery, FIRST_TOKEN - 1, None) for delivery in arrival.again)
            return Kept.RECEPTION
        self._keep(
            (
                *((delivery, FIRST_TOKEN, leased_until) for delivery in arrival.held),
                *((delivery, FIRST_TOKEN - 1, None) for delivery in arrival.queued),
            )
        )
        self._promises.set_alarms(arrival.alarms)
        if arrival.reported is not None:
            self._promises.report(message.device, arrival.reported)
        if arrival.downlink is not None:
            self._promises.ask(arrival.downlink)
        return Kept.FRESH

    def _keep(self, given: Iterable[tuple[Delivery, int, datetime | None]]) -> None:
        for delivery, token, leased_until in sorted(given, key=lambda each: each[0].id):
            self._deliveries_kept += 1
            kept = self._deliveries[delivery.id] = _Kept(delivery, self._deliveries_kept, token, leased_until)
            if delivery.ordered:
                if leased_until is not None:
                    raise ValueError(f"{delivery.id} is ordered and can not be held")
                series = self._series_of(delivery)
                kept.delivery = replace(delivery, state=State.WAITING if series else delivery.state)
                series.append(kept)

    def _series_of(self, delivery: Delivery) -> deque[_Kept]:
        """The ordered deliveries of the same callback and device that have not ended, the first of them pending."""
        device = self._messages[delivery.id.message].message.device
        return self._series.setdefault((delivery.callback, device), deque())

    def _heard_after(self, message_id: str, device: str) -> bool:
        known, last = self._messages.get(message_id), self._last_heard(device)
        return last is not None and (known is None or known.place < last.place)

    def _last_heard(self, device: str) -> _Message | None:
        heard = (k for k in self._messages.values() if k.message.device == device and k.message.type in HEARD)
        return max(heard, key=lambda kept: kept.place, default=None)

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
        lines = self._lines_of(kept)
        kept.delivery = replace(
            kept.delivery,
            state=LIFECYCLE[kept.delivery.state, step.kind],
            due_at=due_at,
            attempts=kept.delivery.attempts + 1,
            tries=kept.delivery.tries + 1,
        )
        kept.attempts += (settlement.attempt,)
        kept.end_lease()
        if not isinstance(step, RetryAt):
            for line in lines[1:]:
                line.delivery = replace(line.delivery, state=LIFECYCLE[line.delivery.state, step.kind])
            if kept.delivery.ordered:
                self._advance(kept, ended_at=settlement.attempt.started_at + settlement.attempt.duration)
        if settlement.replies is not None:
            ended_at = settlement.attempt.started_at + settlement.attempt.duration
            messages = [line.delivery.id.message for line in lines]
            self._promises.answer(messages, settlement.replies, at=ended_at)
        return True

    def _advance(self, ended: _Kept, *, ended_at: datetime) -> None:
        series = self._series_of(ended.delivery)
        series.popleft()
        if series:
            waited = series[0].delivery
            state, due_at = LIFECYCLE[waited.state, "advance"], min(waited.due_at, ended_at)
            series[0].delivery = replace(waited, state=state, due_at=due_at)

    def _lines_of(self, kept: _Kept) -> Sequence[_Kept]:
        """Those of the batch that a delivery is in, the one that carries it first; itself when it is in none."""
        carrier = kept.delivery.batch
        if carrier is None:
            return [kept]
        others = [k for k in self._deliveries.values() if k.delivery.batch == carrier != k.delivery.id]
        return [self._deliveries[carrier], *others]

    async def join(self, batches: Sequence[Batch]) -> Sequence[bool]:
        return [self._join(batch) for batch in batches]

    def _join(self, batch: Batch) -> bool:
        lines = []
        for lease in batch.lines:
            kept = self._deliveries.get(lease.delivery.id)
            if kept is None or not kept.is_held_under(lease.token) or kept.delivery.batch is not None or kept in lines:
                return False
            lines.append(kept)
        carrier, *others = lines
        carrier.delivery = replace(carrier.delivery, request=batch.request, asks=batch.asks, batch=carrier.delivery.id)
        for line in others:
            joined = LIFECYCLE[line.delivery.state, "join"]
            line.delivery = replace(line.delivery, state=joined, batch=carrier.delivery.id)
            line.end_lease()
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
            if kept is None or kept.delivery.state not in (State.DELIVERED, State.UNDELIVERED):
                continue
            for number, line in enumerate(self._lines_of(kept)):
                again = LIFECYCLE[line.delivery.state, "rejoin" if number else "replay"]
                line.delivery = replace(line.delivery, state=again, due_at=now, tries=0, ordered=False)
                changed += 1
        return changed

    # Alarms

    async def alarms_due(self, *, now: datetime, limit: int) -> Sequence[Alarm]:
        return self._promises.alarms_due(now=now, limit=limit)

    async def next_alarm_at(self) -> datetime | None:
        return self._promises.next_at()

    async def move_alarms(self, alarms: Sequence[Alarm]) -> None:
        self._promises.move_alarms(alarms)

    async def end_alarms(self, alarms: Sequence[Alarm]) -> None:
        self._promises.end_alarms(alarms)

    async def hasten_silences(self, device_type: str, *, by: datetime) -> None:
        self._promises.hasten(AlarmKind.SILENCE, device_type, by=by)

    async def last_heard(self, device: str) -> Heard | None:
        last = self._last_heard(device)
        if last is None:
            return None
        return Heard(last.message, self._received_at(last))

    def _received_at(self, kept: _Message) -> datetime:
        """When it was received, by today's clock."""
        since = (by for kept_before, by in self._steps if kept.place <= kept_before)
        return kept.message.received_at + sum(since, timedelta(0))

    async def clock_stepped(self, by: timedelta) -> None:
        self._steps.append((self._messages_kept, by))
        self._promises.step(by)
        for kept in self._pending():
            kept.delivery = replace(kept.delivery, due_at=kept.delivery.due_at + by)
            if kept.leased_until is not None:
                kept.leased_until += by

    # Downlinks

    async def serve_downlinks(
        self, *, limit: int, now: datetime, message: str | None = None, device_type: str | None = None
    ) -> Sequence[Downlink]:
        return self._promises.serve(limit=limit, now=now, message=message, device_type=device_type)

    async def expire_downlinks(self, *, now: datetime) -> int:
        return self._promises.expire(now=now)

    async def downlink(self, message_id: str) -> Downlink | None:
        return self._promises.request(message_id)

    async def receptions(self, event: str) -> Sequence[Message]:
        return list(self._events.get(event, ()))

    # Journal

    async def message(self, message_id: str) -> MessageRecord | None:
        if message_id not in self._messages:
            return None
        kept = self._messages[message_id]
        records = [self._record(k) for k in self._deliveries.values() if k.delivery.id.message == message_id]
        return MessageRecord(
            kept.message,
            kept.revision,
            tuple(sorted(records, key=_by_id)),
            tuple(self._events[kept.message.event]),
            self._promises.request(message_id),
        )

    async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
        of_device = [kept.message for kept in self._messages.values() if kept.message.device == device]
        return sorted(of_device, key=lambda message: message.id, reverse=True)[:limit]

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        kept = self._deliveries.get(delivery_id)
        return None if kept is None else self._record(kept)

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, before: DeliveryId | None = None
    ) -> Sequence[DeliveryRecord]:
        matching = [
            self._record(kept)
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
        return [
            EndpointBacklog(endpoint, min(len(times), MOST_COUNTED), min(times))
            for endpoint, times in sorted(due.items())
        ]

    # Retention

    async def prune(self, *, before: datetime, after: int, limit: int, gap: timedelta | None = None) -> Pruned:
        looked = [kept for kept in self._messages.values() if kept.place > after][:limit]
        young = (k.place for k in looked if self._received_at(k) >= before)
        end = min(next(young, self._messages_kept), self._messages_kept)
        old = [kept for kept in looked if kept.place < end]
        gone = [kept for kept in old if self._is_over(kept, before=before)]
        if gone and gap is not None and self._is_behind_a_gap(before, gap):
            return Pruned(0, None, held=True)
        for kept in gone:
            self._remove(kept.message)
        return Pruned(len(gone), old[-1].place if len(old) == limit else None)

    def _is_over(self, kept: _Message, *, before: datetime) -> bool:
        message, promises = kept.message, self._promises
        event = self._events[message.event]
        ids = {each.id for each in event}
        pending = (k for k in self._deliveries.values() if k.delivery.id.message in ids)
        return not (
            any(k.delivery.state not in (State.DELIVERED, State.UNDELIVERED) for k in pending)
            or any(
                self._received_at(self._messages[each.id]) >= before or promises.is_waiting(each.id) for each in event
            )
            or any(promises.stands(AlarmKind.RESULT, each.id) for each in event)
            or promises.stands(AlarmKind.GATHERED, message.event)
            or (promises.stands(AlarmKind.SILENCE, message.device) and self._last_heard(message.device) == kept)
        )

    def _is_behind_a_gap(self, before: datetime, gap: timedelta) -> bool:
        times = [self._received_at(kept) for kept in self._messages.values()]
        first = next((place for place, at in enumerate(times) if at >= before), None)
        return first is None or times[first] - times[first - 1] > gap

    def _remove(self, message: Message) -> None:
        del self._messages[message.id]
        self._events[message.event].remove(message)
        if not self._events[message.event]:
            del self._events[message.event]
        self._promises.forget(message.id)
        gone = {i for i in self._deliveries if i.message == message.id}
        for delivery_id in gone:
            del self._deliveries[delivery_id]
        for kept in self._deliveries.values():
            if kept.delivery.batch in gone:
                kept.delivery = replace(kept.delivery, batch=None)

    async def size(self) -> int:
        return 0

    async def give_back(self) -> bool:
        return False

    async def close(self) -> None:
        """Nothing to let go of."""

    def _pending(self) -> Iterable[_Kept]:
        return (kept for kept in self._deliveries.values() if kept.delivery.state is State.PENDING)

    def _record(self, kept: _Kept) -> DeliveryRecord:
        waits = kept.delivery.state is State.WAITING
        return DeliveryRecord(
            kept.delivery, kept.attempts, self._series_of(kept.delivery)[0].delivery.id if waits else None
        )

    def _matches(self, delivery: Delivery, where: DeliveryFilter) -> bool:
        message = self._messages[delivery.id.message].message
        return (
            where.state in (None, delivery.state)
            and where.callback in (None, delivery.callback)
            and where.device in (None, message.device)
            and where.endpoint in (None, delivery.endpoint)
        )


def _by_id(record: DeliveryRecord) -> DeliveryId:
    return record.delivery.id
