"""The law of stores: whatever is asked of them, in whatever order, every store gives the answers of the reference."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.delivery import Accepted, Delivery, Done, GiveUp, Lease, Refused, RetryAt, State, Step
from reconciler.model.downlink import DownlinkState, Failed, InfoCode, NoData, Replies, Send
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, Publication
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Arrival, DeliveryFilter, Heard, Kept, Pruned, Store
from reconciler.store.sqlite import open_sqlite
from tests.builders import (
    NOW,
    a_batch,
    a_definition,
    a_delivery,
    a_downlink,
    a_line,
    a_message,
    a_revision,
    a_settlement,
    an_alarm,
    an_arrival,
)

T = TypeVar("T")

SECOND = timedelta(seconds=1)
LEASE = 10 * SECOND
HOSTS = ("a.example.com", "b.example.com", "c.example.com")
ENDPOINTS = tuple(f"https://{host}:443" for host in HOSTS)
CALLBACKS = (Key("tracker", "telemetry"), Key("tracker", "alarms"))
DEVICES = ("1", "1C178")

few = st.integers(0, 4)
numbers = st.integers(0, 12)
stations = st.sampled_from(["0AF0", "0AF1"])
replies = st.sampled_from(
    [
        None,
        Replies({"1": Send(bytes(8)), "1C178": Failed(InfoCode.NO_ANSWER)}, NoData()),
        Replies({"1": Failed(InfoCode.INVALID_PAYLOAD)}, Send(bytes(range(8)))),
        Replies({}, NoData()),
    ]
)
steps = st.sampled_from([Done(), GiveUp("refused"), RetryAt(NOW + 20 * SECOND)])


def message_number(number: int, station: str = "0AF0") -> Message:
    """A few events of two devices: uplinks with receptions, and some of other types."""
    kind = {9: MessageType.STATUS, 10: MessageType.ERROR, 11: MessageType.ACKNOWLEDGE, 12: MessageType.ERROR}.get(
        number, MessageType.DATA
    )
    return a_message(
        number,
        kind=kind,
        device=DEVICES[number % 2],
        time=1_700_000_000 + number * 5 % 3,
        station=station,
        received_at=NOW + (number % 4 + (station == "0AF1")) * SECOND,
    )


@st.composite
def alarms(draw: st.DrawFn) -> Alarm:
    return an_alarm(
        draw(st.sampled_from(DEVICES)),
        kind=draw(st.sampled_from(AlarmKind)),
        device_type=draw(st.sampled_from(["tracker", "other"])),
        due_at=NOW + draw(st.integers(-5, 40)) * SECOND,
    )


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """A message, often one that came before, with up to four deliveries due around NOW, and what it sets in motion."""
    message = message_number(draw(numbers), draw(stations))

    def delivery(ordinal: int, *, held: bool = False) -> Delivery:
        host, asks = draw(st.sampled_from(HOSTS)), draw(st.booleans())
        return a_delivery(
            message,
            ordinal,
            host=host,
            request=a_line(host=host) if asks else None,
            asks=asks,
            callback=draw(st.sampled_from(CALLBACKS)),
            due_at=NOW + draw(st.sampled_from([-5, 0, 10])) * SECOND,
            ordered=not (held or asks) and draw(st.booleans()),
        )

    held = [draw(st.booleans()) for _ in range(draw(few))]
    deliveries = [delivery(ordinal, held=now) for ordinal, now in enumerate(held)]
    arrival = an_arrival(
        message,
        held=[delivery for delivery, now in zip(deliveries, held, strict=True) if now],
        queued=[delivery for delivery, now in zip(deliveries, held, strict=True) if not now],
        again=[delivery(ordinal) for ordinal in range(draw(st.integers(0, 1)))],
    )
    if draw(st.booleans()):
        return arrival
    request = a_downlink(
        message, state=draw(st.sampled_from(DownlinkState)), asked_at=NOW + draw(st.integers(-60, 60)) * SECOND
    )
    return replace(
        arrival,
        alarms=tuple(draw(st.lists(alarms(), max_size=2))),
        downlink=draw(st.sampled_from([None, request])),
        reported=draw(st.sampled_from([None, InfoCode.ACKED])),
        ends=draw(st.one_of(st.none(), alarms())),
        unless_heard_after=draw(
            st.one_of(st.none(), st.builds(lambda n, s: message_number(n, s).id, numbers, stations))
        ),
    )


class SqliteKeepsTheReference(RuleBasedStateMachine):
    """Asks both stores the same, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.reference: Store = MemoryStore()
        self.store: Store = self.runner.run(open_sqlite(Path(self.folder.name)))
        self.now = NOW
        self.revision = EMPTY
        self.deliveries: list[Delivery] = []
        self.leases: list[Lease] = []

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, ask: Callable[[Store], Coroutine[object, object, T]]) -> T:
        async def answers() -> tuple[T, T]:
            return await ask(self.reference), await ask(self.store)

        expected, given = self.runner.run(answers())
        assert given == expected
        return expected

    @staticmethod
    async def last_heard(device: str, store: Store) -> Heard | None:
        return await store.last_heard(device)

    @rule(given=st.lists(arrivals(), max_size=4))
    def accept(self, given: Sequence[Arrival]) -> None:
        now = self.now
        answers = self.both(lambda store: store.accept(given, worker="w", lease=LEASE, now=now))
        for arrival, kept in zip(given, answers, strict=True):
            if kept is Kept.FRESH:
                self.deliveries += [*arrival.held, *arrival.queued]
                self.leases += [Lease(delivery, 1, now + LEASE) for delivery in arrival.held]
            elif kept is Kept.RECEPTION:
                self.deliveries += arrival.again

    @rule(
        seconds=st.integers(0, 12),
        room=st.dictionaries(st.sampled_from(ENDPOINTS), few),
        default_room=few,
        limit=st.integers(1, 6),
    )
    def wait_and_claim(self, seconds: int, room: dict[str, int], default_room: int, limit: int) -> None:
        self.now += seconds * SECOND
        now = self.now
        self.leases += self.both(
            lambda store: store.claim(
                worker="w", room=room, default_room=default_room, limit=limit, lease=LEASE, now=now
            )
        )

    @rule(picks=st.lists(st.tuples(st.integers(0), steps, replies, st.integers(0, 60)), max_size=4))
    def settle(self, picks: Sequence[tuple[int, Step, Replies | None, int]]) -> None:
        if not self.leases:
            return
        settlements = [
            a_settlement(
                self.leases[~(pick % len(self.leases))],
                step,
                Accepted(200) if step == Done() else Refused(503, b"busy"),
                replies=said,
                started_at=NOW + seconds * SECOND,
            )
            for pick, step, said, seconds in picks
        ]
        self.both(lambda store: store.settle(settlements))

    @rule(picks=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), max_size=3), asks=st.booleans())
    def join(self, picks: Sequence[Sequence[int]], asks: bool) -> None:
        if not self.leases:
            return
        batches = [a_batch([self.leases[~(pick % len(self.leases))] for pick in lines], asks=asks) for lines in picks]
        self.both(lambda store: store.join(batches))

    @rule(picks=st.lists(st.integers(0), max_size=3))
    def release(self, picks: Sequence[int]) -> None:
        leases = [self.leases[~(pick % len(self.leases))] for pick in picks if self.leases]
        self.both(lambda store: store.release(leases))

    @rule(picks=st.lists(st.integers(0), max_size=4))
    def replay(self, picks: Sequence[int]) -> None:
        now = self.now
        ids = [self.deliveries[~(pick % len(self.deliveries))].id for pick in picks if self.deliveries]
        self.both(lambda store: store.replay(ids, now=now))

    @rule(given=st.lists(alarms(), max_size=3))
    def move_alarms(self, given: Sequence[Alarm]) -> None:
        self.both(lambda store: store.move_alarms(given))

    @rule(given=st.lists(alarms(), max_size=3))
    def end_alarms(self, given: Sequence[Alarm]) -> None:
        self.both(lambda store: store.end_alarms(given))

    @rule(device_type=st.sampled_from(["tracker", "other"]), seconds=st.integers(-5, 40))
    def hasten_silences(self, device_type: str, seconds: int) -> None:
        self.both(lambda store: store.hasten_silences(device_type, by=NOW + seconds * SECOND))

    @rule(seconds=st.integers(-20, 20))
    def step_the_clock(self, seconds: int) -> None:
        self.both(lambda store: store.clock_stepped(seconds * SECOND))

    @rule(
        limit=few,
        seconds=st.integers(-60, 120),
        number=st.one_of(st.none(), numbers),
        device_type=st.sampled_from([None, "tracker", "stranger"]),
    )
    def serve(self, limit: int, seconds: int, number: int | None, device_type: str | None) -> None:
        message = None if number is None else message_number(number).id
        now = NOW + seconds * SECOND
        self.both(lambda s: s.serve_downlinks(limit=limit, now=now, message=message, device_type=device_type))

    @rule(seconds=st.sampled_from([2, 10]), limit=st.integers(1, 6), steps=st.integers(1, 3))
    def prune(self, seconds: int, limit: int, steps: int) -> None:
        after: int | None = 0
        for _ in range(steps):
            if after is not None:
                after = self.both(partial(self.pruned, seconds, after, limit)).after

    @staticmethod
    async def pruned(seconds: int, after: int, limit: int, store: Store) -> Pruned:
        return await store.prune(before=NOW + seconds * SECOND, after=after, limit=limit)

    @rule(seconds=st.integers(-60, 120))
    def expire(self, seconds: int) -> None:
        self.both(lambda store: store.expire_downlinks(now=NOW + seconds * SECOND))

    @rule(
        names=st.sets(st.sampled_from("abcd")),
        owner=st.sampled_from(["mine", "theirs"]),
        via=st.sampled_from(["", "apply"]),
        fingerprints=st.dictionaries(st.sampled_from("AB"), st.sampled_from([None, "00ff" * 4, "1234" * 4])),
    )
    def publish(self, names: set[str], owner: str, via: str, fingerprints: dict[str, str | None]) -> None:
        definitions = [a_definition(Key("tracker", name)) for name in sorted(names)]
        publication = Publication(at=self.now, by="ci", via=via)
        revision = a_revision(definitions, after=self.revision, owner=owner, publication=publication)
        self.revision = revision = replace(revision, owner=owner, fingerprints=fingerprints)
        self.both(lambda store: store.publish(revision))
        self.both(lambda store: store.applied(owner))

    @rule()
    def restart(self) -> None:
        """Leases of a process that ended are void; the reference is told that those were released."""

        async def reopen() -> Store:
            await self.store.close()
            await self.reference.claim(worker="w", room={}, default_room=0, limit=0, lease=LEASE, now=self.now)
            await self.reference.release([lease for lease in self.leases if lease.expires_at > self.now])
            return await open_sqlite(Path(self.folder.name))

        self.store = self.runner.run(reopen())
        self.leases = []

    @rule(
        state=st.sampled_from([None, *State]),
        callback=st.sampled_from([None, *CALLBACKS]),
        device=st.sampled_from([None, *DEVICES]),
        endpoint=st.sampled_from([None, *ENDPOINTS]),
        limit=st.integers(1, 6),
        pick=st.integers(0),
    )
    def list_deliveries(
        self,
        state: State | None,
        callback: Key | None,
        device: str | None,
        endpoint: str | None,
        limit: int,
        pick: int,
    ) -> None:
        where = DeliveryFilter(state=state, callback=callback, device=device, endpoint=endpoint)
        before = self.deliveries[pick % len(self.deliveries)].id if self.deliveries and pick % 2 else None
        self.both(lambda store: store.deliveries(where, limit=limit, before=before))

    @rule(number=numbers, station=stations, device=st.sampled_from(DEVICES), limit=st.integers(1, 6))
    def read(self, number: int, station: str, device: str, limit: int) -> None:
        message = message_number(number, station)
        self.both(lambda store: store.message(message.id))
        self.both(lambda store: store.receptions(message.event))
        self.both(lambda store: store.downlink(message.id))
        self.both(lambda store: store.messages_of(device, limit=limit))
        self.both(lambda store: store.alarms_due(now=NOW + number * SECOND, limit=limit))
        self.both(lambda store: store.revision(number))
        self.both(lambda store: store.history(limit=limit, before=number))

    @invariant()
    def what_is_known_agrees(self) -> None:
        self.both(lambda store: store.counts())
        self.both(lambda store: store.backlog())
        self.both(lambda store: store.next_claim_at())
        self.both(lambda store: store.current())
        self.both(lambda store: store.next_alarm_at())
        self.both(lambda store: store.alarms_due(now=NOW + timedelta(days=1), limit=100))
        for device in DEVICES:
            self.both(partial(self.last_heard, device))


SqliteKeepsTheReference.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestSqliteKeepsTheReference = SqliteKeepsTheReference.TestCase
