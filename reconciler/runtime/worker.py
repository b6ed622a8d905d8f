"""Sends what is due: a lane for each endpoint, so that a slow or dead one never slows the others.

1. Each endpoint has its own bounded queue and its own slots. Nothing is shared between endpoints but the store.
2. Each lane has two queues with slots of their own: first attempts never wait behind retries, and retries are not
   starved by first attempts.
3. Room is reserved before a delivery is leased and freed when its settlement is durable, so that memory is bounded by
   `room_per_endpoint` and `room`, however fast messages come and however slow the store is.
4. Settlements go to the store in groups, while further attempts run. A settlement that the store could not take is
   kept and offered again: the attempt was made, forgetting it would repeat it.
5. A lease that could expire before an attempt ends is not used; it is given back and claimed anew.
6. A line of a batch waits for the end of its window (`windows`), then joins its batch durably, and only then the one
   that carries the batch is attempted, like any delivery. Before that a crash leaves the line pending, to be gathered
   again; after it the batch is repeated as it was. So no message is in two batches that succeed, and none in no batch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.errors import StoreError
from reconciler.model.delivery import Attempt, Batch, BatchLine, Lease, Sendable, Settlement
from reconciler.runtime.batching import batches
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.downlink import read_replies
from reconciler.runtime.retry import RetryPolicy, next_step
from reconciler.runtime.windows import Windows
from reconciler.store.protocol import Outbox

__all__ = ["Capacity", "Worker"]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much may happen at once.

    Attributes:
        slots: attempts in flight for one endpoint; one in four is kept for retries.
        room_per_endpoint: deliveries of one endpoint in memory, waiting, in flight or being settled.
        room: deliveries in memory in all.
        lease: how long a delivery may stay in memory before another engine may claim it.
    """

    slots: int = 64
    room_per_endpoint: int = 16_384
    room: int = 32_768  # 21 MB when it is full of requests with 60-byte bodies
    lease: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        if self.slots < 2 or self.room_per_endpoint < 1 or self.room < self.room_per_endpoint:
            raise ValueError(f"not a capacity to work with: {self}")

    @property
    def retry_slots(self) -> int:
        """Slots that only retries use."""
        return max(1, self.slots // 4)

    @property
    def first_slots(self) -> int:
        """Slots that only first attempts use."""
        return self.slots - self.retry_slots


@dataclass(slots=True)
class _Queue:
    """Leases that wait for a slot, and how many slots are busy with them."""

    slots: int
    waiting: deque[Lease] = field(default_factory=deque)
    running: int = 0


@dataclass(slots=True)
class _Lane:
    """What is in memory for one endpoint."""

    first: _Queue
    retries: _Queue
    held: int = 0
    turned_away: bool = False


class Worker:
    """Attempts deliveries and settles them.

    `told` is called with every settlement once it is durable; `room_freed` when an endpoint that had turned deliveries
    away has room again, `store_failed` each time a settlement could not be recorded. None may block or raise.
    `follow_clock` moves what waits in the store along when the clock was set; it may raise StoreError.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        channel: Channel[Sendable],
        policy: RetryPolicy,
        capacity: Capacity,
        now: Callable[[], datetime],
        dice: Callable[[], float],
        told: Callable[[Settlement], None],
        room_freed: Callable[[], None],
        store_failed: Callable[[StoreError], None],
        follow_clock: Callable[[], Awaitable[object]],
    ) -> None:
        self._outbox = outbox
        self._channel = channel
        self._policy = policy
        self._capacity = capacity
        self._now = now
        self._dice = dice
        self._told = told
        self._room_freed = room_freed
        self._store_failed = store_failed
        self._follow_clock = follow_clock
        self._lanes: dict[str, _Lane] = {}
        self._held = 0
        self._runners: set[asyncio.Task[None]] = set()
        self._unsettled: list[Settlement] = []
        self._settling: asyncio.Task[None] | None = None
        self._windows = Windows(closed=self._window_closed)
        self._joining: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def held(self) -> int:
        """Deliveries in memory: waiting, in flight, or being settled."""
        return self._held

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._runners)

    def reserve(self, endpoint: str) -> bool:
        """Take room for one delivery, if there is any; every reservation ends in `offer` or in `unreserve`."""
        lane = self._lane(endpoint)
        if self._draining or lane.held >= self._capacity.room_per_endpoint or self._held >= self._capacity.room:
            lane.turned_away = True
            return False
        lane.held += 1
        self._held += 1
        return True

    def reserve_claimed(self, endpoint: str) -> None:
        """Take room for a delivery that is leased already: the store was told how much there was."""
        self._lane(endpoint).held += 1
        self._held += 1

    def unreserve(self, endpoint: str) -> None:
        """Give back room that was reserved and not used."""
        lane = self._lanes[endpoint]
        lane.held -= 1
        self._held -= 1
        if lane.turned_away and lane.held <= self._capacity.room_per_endpoint // 2:
            lane.turned_away = False
            self._room_freed()
        if not lane.held and not lane.turned_away:
            del self._lanes[endpoint]

    def room(self) -> tuple[Mapping[str, int], int]:
        """Room left by endpoint, for those in memory, and for any other."""
        left = max(self._capacity.room - self._held, 0)
        each = min(self._capacity.room_per_endpoint, left)
        known = {e: min(self._capacity.room_per_endpoint - lane.held, left) for e, lane in self._lanes.items()}
        return known, each

    def offer(self, lease: Lease) -> None:
        """Queue a leased delivery whose room was reserved; starts it when a slot is free.

        A line of a batch waits for the end of its window instead.
        """
        delivery = lease.delivery
        if isinstance(delivery.request, BatchLine):
            self._windows.add(lease)
            return
        lane = self._lanes[delivery.endpoint]
        queue = lane.first if delivery.tries == 0 else lane.retries
        queue.waiting.append(lease)
        if queue.running < queue.slots and not self._draining:
            queue.running += 1
            runner = asyncio.create_task(self._run(queue))
            self._runners.add(runner)
            runner.add_done_callback(self._finished)

    async def drain(self) -> None:
        """Stop starting attempts, let those in flight end, settle them, give the other leases back.

        Takes at most a little longer than one attempt may.
        """
        self._draining = True
        waiting = self._windows.empty()
        while self._joining:
            await asyncio.wait(self._joining)
        waiting += self._windows.empty()  # those whose batch could not be kept
        waiting += [
            lease for lane in self._lanes.values() for q in (lane.first, lane.retries) for lease in _emptied(q.waiting)
        ]
        while self._runners:
            await asyncio.wait(self._runners)
        if self._settling is not None:
            await self._settling
        await self._release(waiting)

    def _lane(self, endpoint: str) -> _Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            capacity = self._capacity
            lane = self._lanes[endpoint] = _Lane(_Queue(capacity.first_slots), _Queue(capacity.retry_slots))
        return lane

    def _finished(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        _complain(runner, "an attempt broke down")

    async def _run(self, queue: _Queue) -> None:
        """Occupy one slot until nothing waits."""
        stale: list[Lease] = []
        try:
            while queue.waiting:
                lease = queue.waiting.popleft()
                now = self._now()
                if lease.expires_at - now <= self._policy.deadline:
                    stale.append(lease)
                else:
                    await self._attempt(lease)
        finally:
            queue.running -= 1
            if stale:
                await self._release(stale)
                self._room_freed()

    async def _attempt(self, lease: Lease) -> None:
        delivery = lease.delivery
        clock = asyncio.get_running_loop().time
        start = clock()
        request = delivery.request
        assert not isinstance(request, BatchLine), "a line is carried by its batch"
        outcome = await self._channel.send(request, timeout=self._policy.deadline)
        duration = timedelta(seconds=clock() - start)
        ended_at = self._now()  # read anew: the clock may have been set meanwhile
        tries = delivery.tries + 1
        step = next_step(self._policy, tries=tries, outcome=outcome, now=ended_at, jitter=self._dice())
        attempt = Attempt(delivery.attempts + 1, ended_at - duration, duration, outcome)
        replies = read_replies(outcome) if delivery.asks else None
        self._unsettled.append(Settlement(lease, attempt, step, replies))
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    def _window_closed(self, lines: Sequence[Lease]) -> None:
        joining = asyncio.create_task(self._join(batches(lines)))
        self._joining.add(joining)
        joining.add_done_callback(self._joined)

    def _joined(self, joining: asyncio.Task[None]) -> None:
        self._joining.discard(joining)
        _complain(joining, "a batch broke down")

    async def _join(self, joining: Sequence[Batch]) -> None:
        """Make batches durable, and queue what carries them."""
        try:
            joined = await self._outbox.join(joining)
        except StoreError as error:
            self._store_failed(error)
            # Rule 6: they are still lines, and wait for the next window, or for the next start.
            for batch in joining:
                for line in batch.lines:
                    self._windows.add(line)
            return
        for batch, held in zip(joining, joined, strict=True):
            if not held:  # one of its leases was lost: the others are claimed and gathered anew
                await self._release(batch.lines)
                continue
            carrier, *others = batch.lines
            for line in others:
                self.unreserve(line.delivery.endpoint)
            delivery = carrier.delivery
            delivery = replace(delivery, request=batch.request, asks=batch.asks, batch=delivery.id)
            self.offer(replace(carrier, delivery=delivery))

    async def _settle(self) -> None:
        try:
            while self._unsettled:
                group, self._unsettled = self._unsettled, []
                kept = await self._settle_group(group)
                for settlement, recorded in zip(group, kept, strict=True):
                    if recorded:
                        self._told(settlement)
                    self.unreserve(settlement.lease.delivery.endpoint)
        finally:
            self._settling = None

    async def _settle_group(self, group: Sequence[Settlement]) -> Sequence[bool]:
        asked = any(settlement.replies is not None for settlement in group)
        while True:
            try:
                if asked:  # whether an answer is late is told by the clock
                    await self._follow_clock()
                return await self._outbox.settle(group)
            except StoreError as error:
                self._store_failed(error)
                if self._draining:
                    # The engine is going down: these attempts will be repeated, which at-least-once allows.
                    return [False] * len(group)
                # Rule 4. Half a second: long enough not to spin on a full disk, short enough to recover at once.
                await asyncio.sleep(0.5)

    async def _release(self, leases: Sequence[Lease]) -> None:
        try:
            if leases:
                await self._outbox.release(leases)
        except StoreError as error:
            self._store_failed(error)  # they stay leased until they expire, and are claimed then
        for lease in leases:
            self.unreserve(lease.delivery.endpoint)


def _complain(task: asyncio.Task[None], words: str) -> None:
    """Say at once, not when the task is collected, that it failed: it has no way to fail but a bug of ours."""
    if not task.cancelled() and (bug := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": words, "exception": bug})


def _emptied(waiting: deque[Lease]) -> list[Lease]:
    leases = list(waiting)
    waiting.clear()
    return leases
