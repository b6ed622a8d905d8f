"""Sends what is due: a lane for each endpoint, so that a slow or dead one never slows the others.

1. Each endpoint has its own bounded queue and its own slots. What all of them share is bounded too, and no endpoint can
   eat it up (`lanes`).
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
7. An endpoint where nobody is there is parked: what it has here goes back to the store and stays there, until a probe
   is answered; then it is caught up with at a pace (`breaker`).
8. Times in the store are those of the clock as it was followed last, so that a step of the clock moves all of them once
   (`clock_stepped`).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from reconciler.errors import StoreError
from reconciler.model.delivery import (
    Accepted,
    Attempt,
    Batch,
    BatchLine,
    Lease,
    Sendable,
    Settlement,
)
from reconciler.runtime.batching import batches
from reconciler.runtime.breaker import BreakerPolicy, Health, Standing
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.downlink import read_replies
from reconciler.runtime.lanes import Capacity, Lane, Queue, claimable, room_of, slots_of
from reconciler.runtime.retry import RetryPolicy, next_step
from reconciler.runtime.windows import Windows
from reconciler.store.protocol import Outbox

__all__ = ["Worker"]

# Seconds between two looks at queues that could not use their slots: at once would cost each attempt a look at all.
_LOOK_AGAIN: Final = 0.01


class Worker:
    """Attempts deliveries and settles them.

    `told` is called with every settlement once it is durable; `room_freed` when an endpoint that had turned deliveries
    away has room again, `store_failed` each time a settlement could not be recorded, `stands` when an endpoint stands
    otherwise than before. None may block or raise. `follow_clock` moves what waits in the store along when the clock
    was set, and tells the time; it may raise StoreError.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        channel: Channel[Sendable],
        policy: RetryPolicy,
        breaker: BreakerPolicy,
        capacity: Capacity,
        now: Callable[[], datetime],
        dice: Callable[[], float],
        told: Callable[[Settlement], None],
        room_freed: Callable[[], None],
        store_failed: Callable[[StoreError], None],
        stands: Callable[[str, Health], None],
        follow_clock: Callable[[], Awaitable[datetime]],
    ) -> None:
        self._outbox = outbox
        self._channel = channel
        self._policy = policy
        self._breaker = breaker
        self._capacity = capacity
        self._now = now
        self._dice = dice
        self._told = told
        self._room_freed = room_freed
        self._store_failed = store_failed
        self._stands = stands
        self._follow_clock = follow_clock
        self._lanes: dict[str, Lane] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}  # what ends a park, or starts the next request at a pace
        self._short: dict[Queue, Lane] = {}  # those that wait for flights, not for slots of their own
        self._looking: asyncio.TimerHandle | None = None
        self._held = 0
        self._runners: set[asyncio.Task[None]] = set()
        self._unsettled: list[Settlement] = []
        self._settling: asyncio.Task[None] | None = None
        self._windows = Windows(closed=self._window_closed)
        self._joining: set[asyncio.Task[None]] = set()
        self._returning: set[asyncio.Task[None]] = set()
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def held(self) -> int:
        """Deliveries in memory: waiting, in flight, or being settled."""
        return self._held

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._runners)

    @property
    def endpoints(self) -> Mapping[str, Standing]:
        """How those endpoints stand that had deliveries since the start."""
        return {endpoint: lane.health.standing for endpoint, lane in self._lanes.items()}

    def why_waiting(self, endpoint: str) -> str | None:
        """Why what is due for an endpoint is not attempted, in a sentence; None when nothing holds it up."""
        lane = self._lanes.get(endpoint)
        if lane is None or lane.health.standing is Standing.OPEN:
            return None
        seconds = max(lane.health.until - asyncio.get_running_loop().time(), 0.0)
        return _WHY[lane.health.standing].format(endpoint=endpoint, seconds=round(seconds))

    def suspect(self, endpoint: str, *, load: float) -> None:
        """Begin with a probe: so much has waited for so long that the endpoint may be gone. `load` as in `probe`."""
        lane = self._lane(endpoint)
        lane.health.probe(load=load)
        self._stands(endpoint, lane.health)

    def reserve(self, endpoint: str) -> bool:
        """Take room for one delivery, if there is any; every reservation ends in `offer` or in `unreserve`."""
        lane = self._lane(endpoint)
        lane.health.arrivals += 1
        if self._draining or lane.held >= self._room_of(lane):
            lane.turned_away = True
            lane.health.caught_up = False
            return False
        lane.held += 1
        self._held += 1
        return True

    def note(self, endpoint: str) -> None:
        """Count a new delivery that goes to the store first, as `reserve` counts the others: load is load."""
        self._lane(endpoint).health.arrivals += 1

    def has_room(self, endpoint: str) -> bool:
        """Whether a delivery that was turned away could be claimed now; when not, `room_freed` will tell."""
        lane = self._lane(endpoint)
        lane.turned_away = lane.held >= self._room_of(lane)
        return not lane.turned_away

    def unreserve(self, endpoint: str) -> None:
        """Give back room that was reserved and not used."""
        lane = self._lanes[endpoint]
        lane.held -= 1
        self._held -= 1
        if lane.turned_away:
            self._tell_room(lane)

    def room(self) -> tuple[Mapping[str, int], int, int]:
        """Room for what is in the store: by endpoint for those that are known, for each other one, and in all."""
        left = max(self._capacity.room - self._held, 0)
        known = {}
        for endpoint, lane in self._lanes.items():
            places = known[endpoint] = max(claimable(self._room_of(lane)) - lane.held, 0)
            if not places:
                lane.turned_away = True
        return known, claimable(min(self._capacity.room_per_endpoint, left)), left

    def take_up(self, leases: Sequence[Lease], *, room: Mapping[str, int], complete: bool) -> None:
        """Queue what was claimed for `room`; `complete` says that nothing else limited it.

        Messages may have used the room since it was told: bounds may be passed by what came meanwhile.
        """
        taken = Counter(lease.delivery.endpoint for lease in leases)
        for lease in leases:
            self._lane(lease.delivery.endpoint).held += 1
            self._held += 1
            self.offer(lease, claimed=True)
        for endpoint, places in room.items():
            lane = self._lanes[endpoint]
            if lane.health.standing is Standing.RECOVERING:
                lane.health.caught_up = complete and taken[endpoint] < places
                lane.turned_away = not lane.health.caught_up

    def offer(self, lease: Lease, *, claimed: bool = False) -> None:
        """Queue a leased delivery whose room was reserved; starts it when a slot is free.

        A line of a batch waits for the end of its window instead. `claimed` says that it waited in the store.
        """
        delivery = lease.delivery
        if isinstance(delivery.request, BatchLine):
            self._windows.add(lease)
            return
        lane = self._lanes[delivery.endpoint]
        standing = lane.health.standing
        if standing is Standing.PARKED and not self._draining:
            self._give_back([lease])
            return
        late = delivery.attempts or (claimed and standing is Standing.RECOVERING)
        queue = lane.retries if late else lane.first
        queue.waiting.append(lease)
        self._start(lane, queue)

    def clock_stepped(self, by: timedelta) -> None:
        """The clock was set, and the store has moved what it holds: so do the leases that are held here."""
        for lane in self._lanes.values():
            for queue in (lane.first, lane.retries):
                queue.waiting = deque(replace(lease, expires_at=lease.expires_at + by) for lease in queue.waiting)
        self._windows.move(by)

    async def drain(self) -> None:
        """Stop starting attempts, let those in flight end, settle them, give the other leases back.

        Takes at most a little longer than one attempt may.
        """
        self._draining = True
        for timer in self._timers.values():
            timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        waiting = self._windows.empty()
        while self._joining:
            await asyncio.wait(self._joining)
        waiting += self._windows.empty()  # those whose batch could not be kept
        waiting += [
            lease for lane in self._lanes.values() for q in (lane.first, lane.retries) for lease in _emptied(q.waiting)
        ]
        while self._runners or self._returning:
            await asyncio.wait(self._runners | self._returning)
        if self._settling is not None:
            await self._settling
        await self._release(waiting)

    def _lane(self, endpoint: str) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            capacity = self._capacity
            lane = self._lanes[endpoint] = Lane(
                endpoint,
                Health(self._breaker, dice=self._dice, now=asyncio.get_running_loop().time()),
                first=Queue(capacity.first_slots, kept_free=0),
                retries=Queue(capacity.retry_slots, kept_free=capacity.flights // 8),
            )
        return lane

    def _room_of(self, lane: Lane) -> int:
        left = self._capacity.room - self._held
        if lane.health.standing is Standing.OPEN:
            return left if left < self._capacity.room_per_endpoint else self._capacity.room_per_endpoint
        now = asyncio.get_running_loop().time()
        if not lane.first.waiting and not lane.retries.waiting and lane.health.recovered(now):
            self._stands_otherwise(lane)
        return room_of(lane, self._capacity, left=left, now=now)

    def _tell_room(self, lane: Lane) -> None:
        """Say that there is room again where half of it is free."""
        if lane.health.standing is not Standing.PARKED and lane.held <= self._room_of(lane) // 2:
            lane.turned_away = False
            self._room_freed()

    # Starting

    def _start(self, lane: Lane, queue: Queue) -> None:
        """Start one that waits, if a slot and the flights allow it, or let the pace do it."""
        if self._draining:
            return
        if lane.health.standing is Standing.RECOVERING:
            if lane.endpoint not in self._timers:
                self._start_at_pace(lane)
        elif queue.running < queue.slots:
            if queue.running < slots_of(queue, self._capacity, in_flight=len(self._runners)):
                self._run(lane, queue)
            else:
                self._wait_for_flights(lane, queue)

    def _start_at_pace(self, lane: Lane) -> None:
        """Start what may start by now, first attempts first, and come back for the next."""
        self._timers.pop(lane.endpoint, None)
        health = lane.health
        if self._draining or health.standing is not Standing.RECOVERING:
            return
        loop = asyncio.get_running_loop()
        in_flight = len(self._runners)
        for queue in (lane.first, lane.retries):
            while queue.waiting and queue.running < slots_of(queue, self._capacity, in_flight=in_flight):
                if health.next_at > (now := loop.time()):
                    self._timers[lane.endpoint] = loop.call_at(health.next_at, self._start_at_pace, lane)
                    return
                health.spend(now)
                self._run(lane, queue)
                in_flight += 1
            if queue.waiting:
                self._wait_for_flights(lane, queue)

    def _wait_for_flights(self, lane: Lane, queue: Queue) -> None:
        self._short[queue] = lane
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        """Start what waits for flights that others had; who waits longest goes first."""
        self._looking = None
        short, self._short = self._short, {}
        for queue, lane in short.items():
            while queue.waiting and not self._draining:
                before = queue.running
                self._start(lane, queue)
                if queue.running == before:
                    break

    def _run(self, lane: Lane, queue: Queue) -> None:
        queue.running += 1
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once: to look it up asks the system which process this is
        runner = self._loop.create_task(self._attempts(lane, queue, self._loop.time))
        self._runners.add(runner)
        runner.add_done_callback(self._finished)

    def _finished(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        _complain(runner, "an attempt broke down")

    async def _attempts(self, lane: Lane, queue: Queue, clock: Callable[[], float]) -> None:
        """Occupy one slot until nothing waits, or the slot is somebody else's."""
        stale: list[Lease] = []
        try:
            while queue.waiting:
                if queue.waiting[0].expires_at - self._now() <= self._policy.deadline:
                    # Unless the clock was set: then leases go with it.
                    now = await self._followed_now()
                    if queue.waiting and queue.waiting[0].expires_at - now <= self._policy.deadline:
                        stale.append(queue.waiting.popleft())
                    continue
                lease = queue.waiting.popleft()
                await self._attempt(lease, lane.health, clock)
                if not self._may_go_on(lane, queue):
                    break
        finally:
            queue.running -= 1
            if queue.waiting:
                self._wait_for_flights(lane, queue)
            if stale:
                await self._release(stale)
                self._room_freed()

    def _may_go_on(self, lane: Lane, queue: Queue) -> bool:
        """Whether a slot may be used once more."""
        if lane.health.standing is not Standing.OPEN:
            return False
        return queue.running <= slots_of(queue, self._capacity, in_flight=len(self._runners))

    # How an endpoint stands

    def _stands_otherwise(self, lane: Lane) -> None:
        """Do what follows from how an endpoint stands now."""
        endpoint, health = lane.endpoint, lane.health
        if (timer := self._timers.pop(endpoint, None)) is not None:
            timer.cancel()
        self._stands(endpoint, health)
        match health.standing:
            case Standing.PARKED:
                lane.turned_away = True
                self._give_back([*_emptied(lane.first.waiting), *_emptied(lane.retries.waiting)])
                if not self._draining:
                    loop = asyncio.get_running_loop()
                    self._timers[endpoint] = loop.call_at(health.until, self._probe, lane)
            case Standing.RECOVERING | Standing.OPEN:
                lane.turned_away = False
                self._room_freed()
                for queue in (lane.first, lane.retries):
                    if queue.waiting:
                        self._wait_for_flights(lane, queue)
            case Standing.PROBING:
                self._room_freed()
            case _:
                assert_never(health.standing)

    def _probe(self, lane: Lane) -> None:
        self._timers.pop(lane.endpoint, None)
        lane.health.probe()
        self._stands_otherwise(lane)

    def _give_back(self, leases: Sequence[Lease]) -> None:
        if leases:
            returning = asyncio.create_task(self._release(leases))
            self._returning.add(returning)
            returning.add_done_callback(self._returned)

    def _returned(self, returning: asyncio.Task[None]) -> None:
        self._returning.discard(returning)
        _complain(returning, "leases could not be given back")

    # Attempting and settling

    async def _attempt(self, lease: Lease, health: Health, clock: Callable[[], float]) -> None:
        delivery = lease.delivery
        start = clock()
        request = delivery.request
        assert not isinstance(request, BatchLine), "a line is carried by its batch"
        outcome = await self._channel.send(request, timeout=self._policy.deadline)
        end = clock()
        duration = timedelta(seconds=end - start)
        if health.ended(outcome, now=end):
            self._stands_otherwise(self._lanes[delivery.endpoint])
        # The clock may have been set meanwhile; of what is done and answers nobody, nothing falls due or can be late.
        late = delivery.asks or not isinstance(outcome, Accepted)
        ended_at = await self._followed_now() if late else self._now()
        tries = delivery.tries + 1
        step = next_step(self._policy, tries=tries, outcome=outcome, now=ended_at, jitter=self._dice())
        attempt = Attempt(delivery.attempts + 1, ended_at - duration, duration, outcome)
        replies = read_replies(outcome) if delivery.asks else None
        self._unsettled.append(Settlement(lease, attempt, step, replies))
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    async def _followed_now(self) -> datetime:
        """The time by the clock that times in the store go by."""
        try:
            return await self._follow_clock()
        except StoreError as error:
            self._store_failed(error)
            return self._now()

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
        while True:
            try:
                await self._follow_clock()  # whether an answer is late is told by the clock
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


_WHY: Final[Mapping[Standing, str]] = {
    Standing.OPEN: "",
    Standing.PARKED: (
        "Nobody answers at {endpoint}: what is for it is kept and uses no tries. In {seconds} seconds the oldest"
        " delivery is sent as a probe; when it is answered, the others follow."
    ),
    Standing.PROBING: (
        "Nobody answered at {endpoint}: one delivery is sent as a probe; when it is answered, the others follow."
    ),
    Standing.RECOVERING: (
        "{endpoint} answers again: what has waited is sent little by little, so that it gets hardly more than usual."
    ),
}


def _complain(task: asyncio.Task[None], words: str) -> None:
    """Say at once, not when the task is collected, that it failed: it has no way to fail but a bug of ours."""
    if not task.cancelled() and (bug := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": words, "exception": bug})


def _emptied(waiting: deque[Lease]) -> list[Lease]:
    leases = list(waiting)
    waiting.clear()
    return leases
