"""The embedded store: one SQLite file in a directory, for one engine process, nothing to install.

It keeps the rules of `store.protocol` and makes the choices of `store.memory`, durably and fast:

1. What the hot path writes is gathered into groups, each one transaction and one fsync (`group_commit`).
2. Values become rows on the event loop, where a mistake is its caller's alone; statements run in the writing thread,
   few and large (`sqlite_writes`). Reads have their own thread and wait for no write (`sqlite_file`).
3. Leases belong to the process that owns the file: opening it voids those of the process before.
4. A revision never changes, so that the newest is read once and then is at hand.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import orjson

from reconciler.model.alarm import Alarm
from reconciler.model.delivery import Batch, DeliveryId, Lease, Settlement, State
from reconciler.model.downlink import Downlink
from reconciler.model.message import Message
from reconciler.model.revision import EMPTY, HistoryEntry, Revision
from reconciler.store import (
    sqlite_alarms,
    sqlite_arrivals,
    sqlite_claims,
    sqlite_downlinks,
    sqlite_journal,
    sqlite_retention,
    sqlite_revisions,
    sqlite_writes,
)
from reconciler.store.group_commit import GroupCommit
from reconciler.store.protocol import (
    FIRST_TOKEN,
    Arrival,
    DeliveryFilter,
    DeliveryRecord,
    EndpointBacklog,
    Heard,
    Kept,
    MessageRecord,
    Pruned,
)
from reconciler.store.sqlite_file import SqliteFile
from reconciler.store.sqlite_motion import alarm_row
from reconciler.store.sqlite_rows import Names, arrival_rows, batch_row, delivery_from, lease_row, settlement_row
from reconciler.store.sqlite_values import micros, micros_of, moment

__all__ = ["SqliteStore", "open_sqlite"]


async def open_sqlite(directory: Path) -> "SqliteStore":
    """Open the store in `directory`, which is made if missing.

    Raises:
        StoreBusy: another process has it open.
        StoreError: it cannot be opened, or was written by a later version.
    """
    return await SqliteStore.on(await SqliteFile.open(directory))


class SqliteStore:
    """A `Store` in one SQLite file."""

    def __init__(self, file: SqliteFile, names: Names) -> None:
        self._file = file
        self._names = names
        self._newest = EMPTY
        self._group = GroupCommit[sqlite_writes.Operation](self._perform)

    @classmethod
    async def on(cls, file: SqliteFile) -> "SqliteStore":
        """The store in a file that this process owns; `close` closes the file too."""
        try:
            await file.write(sqlite_claims.void_leases)
            names = Names(await file.read(sqlite_journal.names))
        except BaseException:
            await file.close()
            raise
        return cls(file, names)

    # Revisions

    async def current(self) -> Revision:
        self._newest = await self._file.read(partial(sqlite_revisions.newest, known=self._newest))
        return self._newest

    async def revision(self, number: int) -> Revision | None:
        return await self._file.read(partial(sqlite_revisions.revision, number=number, known=self._newest))

    async def history(self, *, limit: int, before: int | None = None) -> Sequence[HistoryEntry]:
        return await self._file.read(partial(sqlite_revisions.history, limit=limit, before=before))

    async def applied(self, owner: str) -> Revision | None:
        return await self._file.read(partial(sqlite_revisions.applied, owner=owner, known=self._newest))

    async def publish(self, revision: Revision) -> None:
        before = await self.current()
        # Not in the reader's thread: others wait for that.
        difference = await asyncio.to_thread(sqlite_revisions.difference, before, revision)
        # Of another revision than the one before it the difference would be wrong, but then its number is, too.
        await self._file.write(partial(sqlite_revisions.publish, revision=revision, difference=difference))
        self._newest = revision

    # Inbox

    async def accept(
        self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: datetime
    ) -> Sequence[Kept]:
        leased_until = micros(now + lease)
        rows = arrival_rows(arrivals, self._names, leased_until=leased_until, held_token=FIRST_TOKEN)
        names = self._names.unsaved
        operation = sqlite_arrivals.Accept(rows, names)
        await self._group.run(operation, rows=len(rows))
        self._names.saved(names)
        return operation.kept

    # Outbox

    async def claim(
        self, *, worker: str, room: Mapping[str, int], default_room: int, limit: int, lease: timedelta, now: datetime
    ) -> Sequence[Lease]:
        expires_at = now + lease
        operation = sqlite_claims.Claim(
            room=orjson.dumps(dict(room)).decode(),
            default_room=default_room,
            limit=limit,
            now=micros(now),
            leased_until=micros(expires_at),
        )
        await self._group.run(operation, rows=1)
        return [Lease(delivery_from(row), token, expires_at) for row, token in orjson.loads(operation.leased)]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        operation = sqlite_writes.Settle([settlement_row(settlement) for settlement in settlements])
        await self._group.run(operation, rows=len(settlements))
        return operation.recorded

    async def join(self, batches: Sequence[Batch]) -> Sequence[bool]:
        operation = sqlite_writes.Join(list(map(batch_row, batches)))
        await self._group.run(operation, rows=sum(len(batch.lines) for batch in batches))
        return operation.joined

    async def release(self, leases: Sequence[Lease]) -> None:
        rows = [lease_row(lease.delivery.id, lease.token) for lease in leases]
        await self._group.run(sqlite_writes.Release(rows), rows=len(rows))

    async def next_claim_at(self) -> datetime | None:
        claimable_at = await self._file.read(sqlite_journal.next_claim_at)
        return None if claimable_at is None else moment(claimable_at)

    async def replay(self, ids: Sequence[DeliveryId], *, now: datetime) -> int:
        operation = sqlite_writes.Replay([lease_row(delivery_id, 0) for delivery_id in ids], micros(now))
        await self._group.run(operation, rows=len(ids))
        return operation.changed

    # Alarms

    async def alarms_due(self, *, now: datetime, limit: int) -> Sequence[Alarm]:
        return await self._file.read(partial(sqlite_alarms.alarms_due, now=micros(now), limit=limit))

    async def next_alarm_at(self) -> datetime | None:
        due_at = await self._file.read(sqlite_alarms.next_alarm_at)
        return None if due_at is None else moment(due_at)

    async def move_alarms(self, alarms: Sequence[Alarm]) -> None:
        await self._group.run(sqlite_alarms.MoveAlarms(list(map(alarm_row, alarms))), rows=len(alarms))

    async def end_alarms(self, alarms: Sequence[Alarm]) -> None:
        await self._group.run(sqlite_alarms.EndAlarms(list(map(alarm_row, alarms))), rows=len(alarms))

    async def hasten_silences(self, device_type: str, *, by: datetime) -> None:
        await self._file.write(partial(sqlite_alarms.hasten_silences, device_type=device_type, by=micros(by)))

    async def last_heard(self, device: str) -> Heard | None:
        return await self._file.read(partial(sqlite_alarms.last_heard, device=device))

    async def clock_stepped(self, by: timedelta) -> None:
        await self._file.write(partial(sqlite_alarms.clock_stepped, by=micros_of(by)))

    # Downlinks

    async def serve_downlinks(
        self, *, limit: int, now: datetime, message: str | None = None, device_type: str | None = None
    ) -> Sequence[Downlink]:
        operation = sqlite_downlinks.Serve(now, limit, message, device_type)
        await self._group.run(operation, rows=1)
        return operation.served

    async def expire_downlinks(self, *, now: datetime) -> int:
        operation = sqlite_downlinks.Expire(now)
        await self._group.run(operation, rows=1)
        return operation.ended

    async def downlink(self, message_id: str) -> Downlink | None:
        return await self._file.read(partial(sqlite_downlinks.downlink, message_id=message_id))

    async def receptions(self, event: str) -> Sequence[Message]:
        return await self._file.read(partial(sqlite_journal.receptions, event=event))

    # Journal

    async def message(self, message_id: str) -> MessageRecord | None:
        return await self._file.read(partial(sqlite_journal.message, message_id=message_id))

    async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
        return await self._file.read(partial(sqlite_journal.messages_of, device=device, limit=limit))

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        return await self._file.read(partial(sqlite_journal.delivery, delivery_id=delivery_id))

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, before: DeliveryId | None = None
    ) -> Sequence[DeliveryRecord]:
        return await self._file.read(partial(sqlite_journal.deliveries, where=where, limit=limit, before=before))

    async def counts(self) -> Mapping[State, int]:
        return await self._file.read(sqlite_journal.counts)

    async def backlog(self) -> Sequence[EndpointBacklog]:
        return await self._file.read(sqlite_journal.backlog)

    # Retention

    async def prune(self, *, before: datetime, after: int, limit: int, gap: timedelta | None = None) -> Pruned:
        moment = micros(before)
        keys, goes_on = await self._file.read(partial(sqlite_retention.ended, before=moment, after=after, limit=limit))
        if keys and gap is not None:
            behind = partial(sqlite_retention.is_behind_a_gap, before=moment, gap=micros_of(gap))
            if await self._file.read(behind):
                return Pruned(0, None, held=True)
        removed = await self._file.write(partial(sqlite_retention.remove, keys=keys, before=moment)) if keys else 0
        return Pruned(removed, goes_on)

    async def size(self) -> int:
        return await self._file.read(sqlite_retention.size)

    async def give_back(self) -> bool:
        return await self._file.write(sqlite_retention.give_back)

    async def close(self) -> None:
        """Finish what was asked before, then let go of files and threads."""
        await self._group.close()
        await self._file.close()

    def _perform(self, group: Sequence[sqlite_writes.Operation]) -> asyncio.Future[None]:
        return self._file.write(partial(sqlite_writes.perform, group=group))
