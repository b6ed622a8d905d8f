"""The law of stores: whatever is asked of them, in whatever order, every store gives the answers of the reference."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.model.delivery import Accepted, Delivery, Done, GiveUp, Lease, Refused, RetryAt, State, Step
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Arrival, DeliveryFilter, Store
from reconciler.store.sqlite import open_sqlite
from tests.builders import NOW, a_definition, a_delivery, a_message, a_revision, a_settlement, an_arrival

T = TypeVar("T")

SECOND = timedelta(seconds=1)
LEASE = 10 * SECOND
HOSTS = ("a.example.com", "b.example.com", "c.example.com")
ENDPOINTS = tuple(f"https://{host}:443" for host in HOSTS)
CALLBACKS = (Key("tracker", "telemetry"), Key("tracker", "alarms"))
DEVICES = ("1", "1C178")

few = st.integers(0, 4)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """A message, often one that came before, with up to four deliveries due around NOW."""
    number = draw(st.integers(0, 12))
    message = a_message(number, device=DEVICES[number % 2], time=1_700_000_000 + number * 5 % 3)
    deliveries = [
        a_delivery(
            message,
            ordinal,
            host=draw(st.sampled_from(HOSTS)),
            callback=draw(st.sampled_from(CALLBACKS)),
            due_at=NOW + draw(st.sampled_from([-5, 0, 10])) * SECOND,
        )
        for ordinal in range(draw(few))
    ]
    held = [draw(st.booleans()) for _ in deliveries]
    return an_arrival(
        message,
        held=[delivery for delivery, now in zip(deliveries, held, strict=True) if now],
        queued=[delivery for delivery, now in zip(deliveries, held, strict=True) if not now],
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

    @rule(given=st.lists(arrivals(), max_size=4))
    def accept(self, given: Sequence[Arrival]) -> None:
        now = self.now
        fresh = self.both(lambda store: store.accept(given, worker="w", lease=LEASE, now=now))
        for arrival, new in zip(given, fresh, strict=True):
            if new:
                self.deliveries += [*arrival.held, *arrival.queued]
                self.leases += [Lease(delivery, 1, now + LEASE) for delivery in arrival.held]

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

    @rule(
        picks=st.lists(
            st.tuples(st.integers(0), st.sampled_from([Done(), GiveUp("refused"), RetryAt(NOW + 20 * SECOND)])),
            max_size=4,
        )
    )
    def settle(self, picks: Sequence[tuple[int, Step]]) -> None:
        if not self.leases:
            return
        settlements = [
            a_settlement(
                self.leases[~(pick % len(self.leases))],
                step,
                Accepted(200) if step == Done() else Refused(503, b"busy"),
            )
            for pick, step in picks
        ]
        self.both(lambda store: store.settle(settlements))

    @rule(picks=st.lists(st.integers(0), max_size=3))
    def release(self, picks: Sequence[int]) -> None:
        leases = [self.leases[~(pick % len(self.leases))] for pick in picks if self.leases]
        self.both(lambda store: store.release(leases))

    @rule(picks=st.lists(st.integers(0), max_size=4))
    def replay(self, picks: Sequence[int]) -> None:
        now = self.now
        ids = [self.deliveries[~(pick % len(self.deliveries))].id for pick in picks if self.deliveries]
        self.both(lambda store: store.replay(ids, now=now))

    @rule(names=st.sets(st.sampled_from("abcd")), owner=st.sampled_from(["mine", "theirs"]))
    def publish(self, names: set[str], owner: str) -> None:
        definitions = [a_definition(Key("tracker", name)) for name in sorted(names)]
        self.revision = revision = a_revision(definitions, after=self.revision, owner=owner)
        self.both(lambda store: store.publish(revision))

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

    @rule(number=st.integers(0, 12), device=st.sampled_from(DEVICES), limit=st.integers(1, 6))
    def read(self, number: int, device: str, limit: int) -> None:
        message = a_message(number, device=DEVICES[number % 2], time=1_700_000_000 + number * 5 % 3)
        self.both(lambda store: store.message(message.id))
        self.both(lambda store: store.messages_of(device, limit=limit))
        self.both(lambda store: store.revision(number))
        self.both(lambda store: store.history(limit=limit, before=number))

    @invariant()
    def what_is_known_agrees(self) -> None:
        self.both(lambda store: store.counts())
        self.both(lambda store: store.backlog())
        self.both(lambda store: store.next_claim_at())
        self.both(lambda store: store.current())


SqliteKeepsTheReference.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestSqliteKeepsTheReference = SqliteKeepsTheReference.TestCase
