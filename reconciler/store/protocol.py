"""What a store promises, in four roles; each consumer asks for the roles it needs.

1. When an awaited call returns, what it did is durable. When it raises, nothing of it happened.
2. Verbs of the hot path take and return sequences, and are merged into one transaction per group.
3. `accept` keeps a message and its deliveries together or not at all. Deliveries in `held` are leased to the accepting
   worker in the same transaction, under `FIRST_TOKEN`, so that the normal path never reads back what it just wrote;
   those in `queued` wait for `claim`.
4. A lease that expired may be claimed again under a higher token; settling under an old token changes nothing and
   answers False. A settlement is either whole (attempt and step) or absent.
5. Every implementation passes `tests/conformance/test_store.py` untouched. Read `store.memory` first: it is the
   reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.model.delivery import Attempt, Delivery, DeliveryId, Lease, Settlement, State
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Revision
from reconciler.model.value import value

__all__ = [
    "FIRST_TOKEN",
    "Arrival",
    "DeliveryFilter",
    "DeliveryRecord",
    "EndpointBacklog",
    "Inbox",
    "Journal",
    "MessageRecord",
    "Outbox",
    "Revisions",
    "Store",
]

FIRST_TOKEN = 1


@value
class Arrival:
    """A message, the revision it was routed under, and the deliveries that it gave: pending, never attempted."""

    message: Message
    revision: int
    held: tuple[Delivery, ...] = ()
    queued: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message as kept, with the revision it was routed under and its deliveries, by ordinal."""

    message: Message
    revision: int
    deliveries: tuple["DeliveryRecord", ...]


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery as kept, with every attempt so far, oldest first."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; every given condition must hold."""

    state: State | None = None
    callback: Key | None = None
    device: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointBacklog:
    """How many deliveries wait for an endpoint, and since when the oldest of them is due."""

    endpoint: str
    pending: int
    oldest_due_at: datetime


class Revisions(Protocol):
    """Numbered revisions, published one after the other."""

    async def current(self) -> Revision:
        """The newest revision; `model.revision.EMPTY` before the first."""
        ...

    async def revision(self, number: int) -> Revision | None:
        """A revision by its number; None when there is none, EMPTY for 0."""
        ...

    async def history(self, *, limit: int, before: int | None = None) -> Sequence[HistoryEntry]:
        """Newest first; `before` excludes that number and all above it."""
        ...

    async def publish(self, revision: Revision) -> None:
        """Make `revision` current; its number must be the current one plus 1.

        Raises:
            RevisionConflict: it is not.
        """
        ...


class Inbox(Protocol):
    """Where messages become durable."""

    async def accept(
        self, arrivals: Sequence[Arrival], *, worker: str, lease: timedelta, now: datetime
    ) -> Sequence[bool]:
        """Keep them; one answer for each: False when a message of that id was kept before (nothing changes then).

        The same id twice in one call is kept once: the first wins.
        """
        ...


class Outbox(Protocol):
    """What has to be sent, and what came of it."""

    async def claim(
        self, *, worker: str, room: Mapping[str, int], default_room: int, limit: int, lease: timedelta, now: datetime
    ) -> Sequence[Lease]:
        """Lease pending deliveries that are due and not leased, oldest due first within each endpoint.

        At most `room[endpoint]` of an endpoint, `default_room` of one that is not named; at most `limit` in all,
        shared fairly: no endpoint gets a second round before each had its first. A round goes by due time; what is due
        at the same moment, in the order in which it was accepted.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Record attempts and steps; False for a lease that was lost (its settlement is not recorded).

        A lease is lost when the delivery is claimed again, settled or released; by expiry alone it is not.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back without an attempt; the deliveries may be claimed at once. Lost leases are ignored."""
        ...

    async def next_claim_at(self) -> datetime | None:
        """When `claim` may find something next: the earliest due time or lease expiry; None when nothing is pending."""
        ...

    async def replay(self, ids: Sequence[DeliveryId], *, now: datetime) -> int:
        """Make delivered or undelivered ones pending again, due at once, with `tries` from 0; how many changed."""
        ...


class Journal(Protocol):
    """What happened, for people."""

    async def message(self, message_id: str) -> MessageRecord | None: ...

    async def messages_of(self, device: str, *, limit: int) -> Sequence[Message]:
        """Newest event time first."""
        ...

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None: ...

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, before: DeliveryId | None = None
    ) -> Sequence[DeliveryRecord]:
        """By descending id; `before` excludes that id and all above it."""
        ...

    async def counts(self) -> Mapping[State, int]:
        """How many deliveries stand in each state; every state is present."""
        ...

    async def backlog(self) -> Sequence[EndpointBacklog]:
        """Pending deliveries by endpoint, leased ones included."""
        ...


class Store(Revisions, Inbox, Outbox, Journal, Protocol):
    """All roles, opened and closed together."""

    async def close(self) -> None:
        """Finish what was asked before, then let go of files and threads."""
        ...
