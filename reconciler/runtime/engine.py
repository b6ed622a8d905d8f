"""The engine: takes messages in, keeps them, sends what they promise, and executes exactly one revision at a time.

1. `take` routes all messages of one call by the router it finds at its start, stores messages and deliveries together,
   and only then returns: what it returned is durable and bound to one revision.
2. A new revision is compiled before it is published, and becomes the engine's router in one assignment after it is
   durable. Deliveries that were made keep the bytes they promised.
3. What the worker has no room for is stored all the same, and claimed when there is room: memory is bounded, the disk
   is the queue. So it is for an endpoint that is parked (`breaker`), and for what has to keep its order: only the store
   knows whose turn it is.
4. Nothing is asked of the store while nothing is due: the engine knows when the next delivery falls due. When the wall
   clock is set, deliveries keep their waits like everything else that is due at some time (`alarms`).
5. What the network never sends, the engine makes itself when it is due: DATA_ADVANCED, ERROR, and the ACKNOWLEDGE of
   what became of a downlink (`alarms`).
6. `stop` takes nothing new, lets attempts in flight end, gives leases back. What was taken stays for the next start.
"""

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from reconciler.codec.canonical import revision_digest
from reconciler.errors import RevisionConflict, StoreError
from reconciler.model.delivery import Delivery, DeliveryId, Lease, RetryAt, Sendable, Settlement, State
from reconciler.model.downlink import Downlink, DownlinkState, Failed
from reconciler.model.message import Message
from reconciler.model.resource import DeviceType, Key, Resource
from reconciler.model.revision import EMPTY, Amendment, Problem, Publication, Revision, next_revision
from reconciler.model.value import value
from reconciler.runtime.alarms import AlarmClock, Made
from reconciler.runtime.breaker import BreakerPolicy, is_behind
from reconciler.runtime.channels.protocol import Channel
from reconciler.runtime.events import Events
from reconciler.runtime.fingerprints import KEY_BYTES, Fingerprints
from reconciler.runtime.handover import Handover
from reconciler.runtime.lanes import Capacity
from reconciler.runtime.retry import OPERATOR_POLICY, RetryPolicy
from reconciler.runtime.routing import Explanation, Router
from reconciler.runtime.worker import Worker
from reconciler.store.protocol import FIRST_TOKEN, MOST_COUNTED, Arrival, DeliveryFilter, Kept, MessageRecord, Store

__all__ = ["Engine", "Explained", "Taken"]

# How far clocks may jump before we notice: a timer never sleeps longer than this without looking at the wall clock.
_LONGEST_NAP = timedelta(seconds=30)
_T = TypeVar("_T")
_CLAIM_LIMIT = 1_024
_ROUTERS_KEPT = 8
# Seconds that compiling holds up the loop at a time, and definitions that are looked at in less than that.
_SLICE = 0.004
_MANY = 500
# The store may find that a request fails, for the device has another one open or the answer is for others.
_REFUSALS_TOLD_WITHIN = timedelta(seconds=1)


@value
class Taken:
    """What became of a message; `routed` says whether its device type was known."""

    message: Message
    kept: Kept
    routed: bool

    @property
    def repeated(self) -> bool:
        """Whether it was kept before."""
        return self.kept is Kept.REPEATED


@dataclass(frozen=True, slots=True)
class Explained:
    """A message, what the revision it was routed under makes of it, and its deliveries as they stand."""

    record: MessageRecord
    explanation: Explanation


class Engine:
    """One engine over one store. Create it, `start` it, use it, `stop` it; the store and channel stay the caller's."""

    def __init__(
        self,
        *,
        store: Store,
        channel: Channel[Sendable],
        now: Callable[[], datetime],
        dice: Callable[[], float],
        name: str = "engine",
        policy: RetryPolicy = OPERATOR_POLICY,
        breaker: BreakerPolicy | None = None,
        capacity: Capacity | None = None,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        """`fingerprints` are those of the secrets that the channel fills in; without them no secret has a value."""
        self.store = store
        self.policy = policy
        self._breaker = breaker or BreakerPolicy()
        self.events = Events()
        self.fingerprints = fingerprints or Fingerprints(os.urandom(KEY_BYTES), None)
        self._name = name
        self._now = now
        self._capacity = capacity or Capacity()
        if self._capacity.lease <= policy.deadline:
            raise ValueError("a lease has to outlast an attempt, or no delivery is ever attempted")
        self._revision = EMPTY
        self._router = Router.compile(EMPTY)
        self._routers: OrderedDict[int, Router] = OrderedDict()
        self._publishing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._due_at: datetime | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._alarms = AlarmClock(
            store=store,
            keep=self._keep_made,
            device_type=self._device_type,
            stepped=self._clock_stepped,
            now=now,
            events=self.events,
        )
        self._handover = Handover(store=store, now=self._followed_now, told=self.events.served)
        self._running = False
        self.worker = Worker(
            outbox=store,
            channel=channel,
            policy=policy,
            breaker=self._breaker,
            capacity=self._capacity,
            now=now,
            dice=dice,
            told=self._settled,
            room_freed=self._look_now,
            store_failed=self.events.store_failed,
            stands=self.events.endpoint,
            follow_clock=self._followed_now,
        )

    @property
    def revision(self) -> Revision:
        """The revision that messages are routed by now."""
        return self._revision

    @property
    def is_running(self) -> bool:
        """Whether messages are taken."""
        return self._running

    def now(self) -> datetime:
        """The engine's time."""
        return self._now()

    async def follow_clock(self) -> None:
        """Move what waits in the store along now, if the clock was set.

        Raises:
            StoreError: it could not be moved.
        """
        await self._followed_now()

    async def start(self) -> None:
        """Load the current revision and take up what an earlier run left behind."""
        self._adopt(await self.store.current())
        self._due_at = await self.store.next_claim_at()
        await self._alarms.start()
        now = self._now()
        backlog = await self.store.backlog()
        counted = [each for each in backlog if each.pending == MOST_COUNTED]
        # What was not counted, shared out evenly among the endpoints that it is for.
        beyond = (await self.store.counts())[State.PENDING] - sum(each.pending for each in backlog) if counted else 0
        for each in backlog:
            pending = each.pending + (beyond / len(counted) if each in counted else 0)
            overdue = now - each.oldest_due_at
            if is_behind(self._breaker, pending=each.pending, overdue=overdue):
                self.worker.suspect(each.endpoint, load=pending / overdue.total_seconds())
        self._running = True
        self._tasks = (
            asyncio.create_task(self._claim_what_falls_due()),
            asyncio.create_task(self._alarms.run()),
        )

    async def stop(self) -> None:
        """Take nothing new, finish attempts in flight, give everything else back; safe to call twice."""
        self._running = False
        self._handover.end()
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if tasks:
            await self.worker.drain()
        self.events.close()

    async def take(self, messages: Sequence[Message], *, gather: bool = True) -> Sequence[Taken]:
        """Make messages and their deliveries durable; an answer for each, in order.

        Without `gather` their receptions are not gathered for DATA_ADVANCED: who sends them does that.

        Raises:
            StoreError: nothing of this call was kept; `StoreFull` when the disk holds no more.
        """
        return await self._keep(messages, (), gather=gather)

    async def _keep_made(self, made: Sequence[Made]) -> None:
        await self._keep([each.message for each in made], made)

    async def _keep(self, messages: Sequence[Message], made: Sequence[Made], *, gather: bool = True) -> Sequence[Taken]:
        """Route and keep messages; `made` says what those that the engine made are made of, or is empty."""
        now = await self._followed_now()
        router = self._router
        arrivals: list[Arrival] = []
        routed: list[bool] = []
        for message in messages:
            route = router.route(message, now=now, gather=gather)
            held, queued = self._admit(route.deliveries)
            arrivals.append(
                Arrival(
                    message,
                    router.revision,
                    held,
                    queued,
                    route.again,
                    route.alarms,
                    route.downlink,
                    route.reported,
                )
            )
            routed.append(route.device_type_known)
        if made:
            arrivals = [
                # What the engine reports is the result of a request that has ended: it must not end another one.
                replace(arrival, ends=each.ends, unless_heard_after=each.unless_heard_after, reported=None)
                for arrival, each in zip(arrivals, made, strict=True)
            ]
        try:
            kept = await self.store.accept(arrivals, worker=self._name, lease=self._capacity.lease, now=now)
        except BaseException:
            # The deliveries never came to be, or (when cancelled) wait for their lease to expire: no room is theirs.
            self._unreserve(arrivals)
            raise
        return self._taken(arrivals, kept, routed, now=now)

    async def publish(
        self,
        amendments: Sequence[Amendment],
        *,
        owner: str,
        expect: int,
        publication: Publication,
        secrets: Mapping[str, str | None] | None = None,
    ) -> Revision | tuple[Problem, ...]:
        """Publish the next revision; problems instead when an amendment cannot be made.

        `secrets` are fingerprints of the values that the publisher knows of; another value now is a problem.

        Raises:
            RevisionConflict: `expect` is not the current revision's number.
            StoreError: it could not be kept; the current revision stays.
        """
        async with self._publishing:
            if expect != self._revision.number:
                raise RevisionConflict(expected=expect, current=self._revision.number)
            revision = await _beside(
                len(amendments) + len(self._revision.owned),
                partial(
                    next_revision,
                    self._revision,
                    amendments,
                    owner=owner,
                    publication=publication,
                    digest=revision_digest,
                ),
            )
            if not isinstance(revision, Revision):
                return revision
            revision = await self.fingerprints.taken(revision)
            problems = tuple(_changed_secrets(revision, secrets or {}))
            if problems:
                return problems
            built = {each.key: each.resource for each in amendments if each.resource is not None}
            router = await _compiled(revision, known=self._router, built=built)
            await self.store.publish(revision)
            before = self._router
            self._adopt(revision, router)
            self.events.published(revision)
            await self._hasten_silences(before)
            return revision

    async def explain(self, message_id: str) -> Explained | None:
        """What happened to a message and why; None when there is none of that id."""
        record = await self.store.message(message_id)
        if record is None:
            return None
        router = await self._router_of(record.revision)
        again = record.receptions[0].id != record.message.id
        return Explained(record, router.explain(record.message, again=again))

    async def serve_downlinks(
        self, *, limit: int, wait: timedelta, device_type: str | None = None, leave: asyncio.Event | None = None
    ) -> Sequence[Downlink]:
        """Downlinks that are ready for the network side, each served once, ever; waits until there is one.

        With `device_type`, only those of its devices: several networks may feed one engine. `leave` ends the waiting:
        from then on none is given away.

        Raises:
            StoreError: none could be served; they stay ready.
        """
        return await self._handover.serve(limit=limit, wait=wait, device_type=device_type, leave=leave)

    async def answer_to(self, message_id: str, *, wait: timedelta) -> Downlink | None:
        """The downlink request that a message is, as soon as it is answered; served here if it is ready.

        None when the message asked for nothing; in state ASKED when no answer came within `wait`.

        Raises:
            StoreError: the store could not say.
        """
        return await self._handover.answer_to(message_id, wait=wait)

    async def replay(self, ids: Sequence[DeliveryId]) -> int:
        """Send finished deliveries again, the same bytes, at once; how many there were to send."""
        now = self._now()
        replayed = await self.store.replay(ids, now=now)
        if replayed:
            self._due_by(now)
        return replayed

    async def replay_where(self, where: DeliveryFilter, *, limit: int) -> int:
        """Replay the newest `limit` undelivered deliveries that match."""
        records = await self.store.deliveries(where, limit=limit)
        return await self.replay([r.delivery.id for r in records if r.delivery.state is not State.PENDING])

    def _taken(
        self, arrivals: Sequence[Arrival], answers: Sequence[Kept], routed: Sequence[bool], *, now: datetime
    ) -> Sequence[Taken]:
        """Hand what became durable to the worker, count it, and say what became of each message."""
        expires_at = now + self._capacity.lease
        taken = []
        accepted = repeated = receptions = unrouted = 0
        for arrival, kept, known in zip(arrivals, answers, routed, strict=True):
            taken.append(Taken(arrival.message, kept, known))
            if kept is Kept.FRESH:
                accepted += 1
                unrouted += not known
                for delivery in arrival.held:
                    self.worker.offer(Lease(delivery, FIRST_TOKEN, expires_at))
                if arrival.queued and any(self.worker.has_room(queued.endpoint) for queued in arrival.queued):
                    self._due_by(now)
                if arrival.alarms or arrival.downlink is not None or arrival.reported is not None:
                    self._set_in_motion(arrival, now=now)
                continue
            self._unreserve((arrival,))
            if kept is Kept.RECEPTION:
                accepted += 1
                receptions += 1
                if arrival.again:
                    self._due_by(now)
            else:
                repeated += kept is Kept.REPEATED
        self.events.taken(accepted=accepted, repeated=repeated, unrouted=unrouted, receptions=receptions)
        self.events.kept(arrivals, answers, since=now)
        return taken

    def _set_in_motion(self, arrival: Arrival, *, now: datetime) -> None:
        for alarm in arrival.alarms:
            self._alarms.due_by(alarm.due_at)
        if arrival.reported is not None:
            self.events.downlink(arrival.reported, arrival.message)
        downlink = arrival.downlink
        if downlink is not None:
            ended = downlink.state is DownlinkState.ENDED
            self._alarms.due_by(now if ended else now + _REFUSALS_TOLD_WITHIN)
            if downlink.state is DownlinkState.READY:
                self._handover.answered(arrival.message.id)

    def _unreserve(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            for delivery in arrival.held:
                self.worker.unreserve(delivery.endpoint)

    def _admit(self, deliveries: tuple[Delivery, ...]) -> tuple[tuple[Delivery, ...], tuple[Delivery, ...]]:
        """Those the worker has room for, now reserved, and the others, the ordered ones among them."""
        for delivery in deliveries:
            if delivery.ordered:
                self.worker.note(delivery.endpoint)
        if len(deliveries) == 1:  # by far the most frequent case
            (only,) = deliveries
            return (deliveries, ()) if not only.ordered and self.worker.reserve(only.endpoint) else ((), deliveries)
        held = tuple(d for d in deliveries if not d.ordered and self.worker.reserve(d.endpoint))
        kept = {d.id for d in held}
        return held, tuple(d for d in deliveries if d.id not in kept)

    def _adopt(self, revision: Revision, router: Router | None = None) -> None:
        self._router = router or Router.compile(revision, known=self._router)
        self._revision = revision
        self._remember(self._router)

    async def _router_of(self, number: int) -> Router:
        router = self._routers.get(number)
        if router is None:
            revision = await self.store.revision(number)
            if revision is None:
                raise StoreError(f"revision {number} is missing from the store, though a message was routed by it")
            router = await _compiled(revision, known=self._router)
            self._remember(router)
        return router

    def _remember(self, router: Router) -> None:
        self._routers[router.revision] = router
        self._routers.move_to_end(router.revision)
        while len(self._routers) > _ROUTERS_KEPT:
            self._routers.popitem(last=False)

    def _settled(self, settlement: Settlement) -> None:
        if isinstance(settlement.step, RetryAt):
            self._due_by(settlement.step.when)
        elif settlement.lease.delivery.ordered:  # the next of its series is due
            self._look_now()
        if settlement.replies is not None:
            self._answered(settlement)
        self.events.settled(settlement)

    def _answered(self, settlement: Settlement) -> None:
        """Tell who waits for downlinks, and look after results that have to be reported."""
        delivery, replies = settlement.lease.delivery, settlement.replies
        assert replies is not None
        self._handover.answered(delivery.id.message if delivery.batch is None else None)
        said = replies.by_device.values() if replies.by_device else (replies.otherwise,)
        failed = any(isinstance(each, Failed) for each in said)
        # An answer may also leave out the device that asked: only the store knows who that is.
        self._alarms.due_by(self._now() if failed else self._now() + _REFUSALS_TOLD_WITHIN)

    async def _hasten_silences(self, before: Router) -> None:
        """Let a keep-alive that became shorter hold for devices that are silent already."""
        for kind, key in self._revision.changes:
            if kind not in ("update", "adopt") or key.callback:
                continue
            new, old = self._router.device_type(key.device_type), before.device_type(key.device_type)
            if new is None or new.keep_alive is None or old is None or old.keep_alive is None:
                continue
            if new.keep_alive < old.keep_alive:
                now = self._now()
                try:
                    await self.store.hasten_silences(key.device_type, by=now)
                except StoreError as error:
                    # The revision is published. Silences of now are reported as late as they would have been before.
                    self.events.store_failed(error)
                self._alarms.due_by(now)

    async def _followed_now(self) -> datetime:
        """The time, after what waits in the store was moved along if the clock was set.

        Raises:
            StoreError: it could not be moved.
        """
        now = self._now()
        if (step := self._alarms.step_at(now)) is None:
            return now
        await self._alarms.follow(step)
        return self._now()

    def _clock_stepped(self, by: timedelta) -> None:
        self.worker.clock_stepped(by)
        if self._due_at is not None:
            self._due_at += by
        self._wake.set()

    def _device_type(self, name: str) -> DeviceType | None:
        return self._router.device_type(name)

    def _due_by(self, when: datetime) -> None:
        if self._due_at is None or when < self._due_at:
            self._due_at = when
            self._wake.set()

    def _look_now(self) -> None:
        self._due_by(self._now())

    async def _claim_what_falls_due(self) -> None:
        while True:
            self._wake.clear()
            try:
                now = await self._followed_now()
            except StoreError as error:
                self.events.store_failed(error)
                await asyncio.sleep(1)
                continue
            if self._due_at is None:
                await self._wake.wait()
            elif self._due_at > now:
                nap = min(self._due_at - now, _LONGEST_NAP).total_seconds()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(nap):
                        await self._wake.wait()
            else:
                await self._claim(now)

    async def _claim(self, now: datetime) -> None:
        """Claim once, and find out when to look again."""
        self._due_at = None  # whatever falls due from here on sets it anew
        room, default_room, left = self.worker.room()
        limit = min(_CLAIM_LIMIT, left)
        try:
            leases = await self.store.claim(
                worker=self._name,
                room=room,
                default_room=default_room,
                limit=limit,
                lease=self._capacity.lease,
                now=now,
            )
            self.worker.take_up(leases, room=room, complete=len(leases) < limit)
            due_at = await self.store.next_claim_at()
        except StoreError as error:
            self.events.store_failed(error)
            due_at = now + timedelta(seconds=1)
        if due_at is None:
            return
        if due_at <= now and not leases:
            # All that is due belongs to endpoints without room: `room_freed` will wake us, this is the net below.
            due_at = now + timedelta(seconds=1)
        self._due_by(due_at)


async def _compiled(revision: Revision, *, known: Router, built: Mapping[Key, Resource] | None = None) -> Router:
    """Compile in slices: 10,000 definitions take most of a second."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + _SLICE
    steps = Router.compiling(revision, known=known, built=built)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            router: Router = done.value
            return router
        if clock() >= ends_at:
            await asyncio.sleep(0)
            ends_at = clock() + _SLICE


async def _beside(size: int, decide: Callable[[], _T]) -> _T:
    """Decide at once, or in a thread where so much is looked at that the loop would stand still."""
    return decide() if size < _MANY else await asyncio.to_thread(decide)


def _changed_secrets(revision: Revision, expected: Mapping[str, str | None]) -> Iterator[Problem]:
    for name, fingerprint in expected.items():
        found = revision.fingerprints.get(name)
        if found != fingerprint:
            message = f"The secret {name} has changed: expected {_told(fingerprint)}, found {_told(found)}."
            yield Problem(Key(""), "secret-changed", message)


def _told(fingerprint: str | None) -> str:
    return "no value" if fingerprint is None else f"fingerprint {fingerprint}"
