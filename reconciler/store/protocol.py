"""What a store promises, in seven roles; each consumer asks for the roles it needs.

1. When an awaited call returns, what it did is durable. When it raises, nothing of it happened.
2. Verbs of the hot path take and return sequences, and are merged into one transaction per group.
3. `accept` keeps a message and its deliveries together or not at all. Deliveries in `held` are leased to the accepting
   worker in the same transaction, under `FIRST_TOKEN`, so that the normal path never reads back what it just wrote;
   those in `queued` wait for `claim`.
4. A lease that expired may be claimed again under a higher token; settling under an old token changes nothing and
   answers False. A settlement is either whole (attempt and step) or absent.
5. A message may be kept together with what it sets in motion beside deliveries: alarms, and the downlink request that
   it is. What the engine makes of an alarm is kept in the transaction that ends the alarm.
6. Ordered deliveries of one callback for one device are a series (`model.delivery`), in the order in which they were
   accepted, within a message by ordinal. They are never `held` and are no lines of a batch. One that is kept while its
   series is empty is PENDING, else WAITING; the settlement that ends the first of a series makes the next PENDING, due
   by the end of that attempt, in the same transaction. A replay leaves the series: its delivery is not `ordered` any
   more.
7. Every implementation passes `tests/conformance/test_store*.py` untouched. Read `store.memory` first: it is the
   reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from reconciler.model.alarm import Alarm
from reconciler.model.delivery import Attempt, Batch, Delivery, DeliveryId, Lease, Settlement, State
from reconciler.model.downlink import Downlink, InfoCode
from reconciler.model.message import Message
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Revision
from reconciler.model.value import value

__all__ = [
    "FIRST_TOKEN",
    "MOST_COUNTED",
    "Alarms",
    "Arrival",
    "DeliveryFilter",
    "DeliveryRecord",
    "Downlinks",
    "EndpointBacklog",
    "Heard",
    "Inbox",
    "Journal",
    "Kept",
    "MessageRecord",
    "Outbox",
    "Pruned",
    "Retention",
    "Revisions",
    "Store",
]

FIRST_TOKEN = 1
MOST_COUNTED = 10_000


@value
class Arrival:
    """A message, the revision it was routed under, and the deliveries that it gave: pending, never attempted.

    Attributes:
        held: kept if the message is FRESH, leased to the accepting worker.
        queued: kept if the message is FRESH, waiting for `claim`.
        again: kept instead of those if the message is a RECEPTION, waiting for `claim`.
        alarms: set if the message is FRESH; one that stands already (kind and subject) stays as it is.
        downlink: the request that the message is, kept if it is FRESH. See `Downlinks`.
        reported: what the network says became of a downlink: ends the device's newest request that is ready or served
            (asked, when there is none) with this code, if the message is FRESH.
        ends: the alarm that this message is made of; it is taken away whatever becomes of the message, but for
            OVERTAKEN.
        unless_heard_after: id of the device's last message that the maker knew. When a later one of a type in
            `model.message.HEARD` was kept meanwhile, the answer is OVERTAKEN and nothing changes.
    """

    message: Message
    revision: int
    held: tuple[Delivery, ...] = ()
    queued: tuple[Delivery, ...] = ()
    again: tuple[Delivery, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    downlink: Downlink | None = None
    reported: InfoCode | None = None
    ends: Alarm | None = None
    unless_heard_after: str | None = None


class Kept(Enum):
    """What became of an arrival.

    FRESH: no message of that event was kept before. RECEPTION: one was, from another station; this one was kept beside
    it. REPEATED: this very message was kept before. OVERTAKEN: see `Arrival.unless_heard_after`.
    """

    FRESH = "fresh"
    RECEPTION = "reception"
    REPEATED = "repeated"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class Heard:
    """The last message that a device transmitted, and when: corrected for steps of the clock since then."""

    message: Message
    at: datetime


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message as kept, with the revision it was routed under and its deliveries, by ordinal.

    `receptions` are all messages of the same event in the order in which they were kept, this one among them;
    `downlink` the request that the message is.
    """

    message: Message
    revision: int
    deliveries: tuple["DeliveryRecord", ...]
    receptions: tuple[Message, ...]
    downlink: Downlink | None


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery as kept, with every attempt so far, oldest first.

    `waits_for` is the first of its series while it is WAITING, else None.
    """

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    waits_for: DeliveryId | None = None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; every given condition must hold."""

    state: State | None = None
    callback: Key | None = None
    device: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointBacklog:
    """How many deliveries wait for an endpoint, and since when the oldest of them is due.

    Attributes:
        pending: counted up to `MOST_COUNTED`, so that it takes no longer where a million wait; that many are as many
            or more.
    """

    endpoint: str
    pending: int
    oldest_due_at: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many messages a step removed, and where the next step goes on; None when nothing that old comes after it.

    `held`: there was something to remove, and it stays because of the `gap`.
    """

    removed: int
    after: int | None
    held: bool = False


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

    async def applied(self, owner: str) -> Revision | None:
        """The last revision that `owner` published with a `via`: what its files brought about, or None."""
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
    ) -> Sequence[Kept]:
        """Keep them, in order; one answer for each. Within one call, too, the first of an event is the FRESH one."""
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

        What carries a batch is settled for all its lines. With `replies`, the downlink requests in state ASKED of its
        messages are answered in the same transaction: see `Downlinks`.
        """
        ...

    async def join(self, batches: Sequence[Batch]) -> Sequence[bool]:
        """Make leased lines into batches; False, and nothing changes for it, when one of a batch's leases was lost.

        The first line's delivery gets the batch's request and `asks`, its lease goes on. The others become JOINED,
        their leases end. A delivery joins one batch in its life: the lease of one that is in a batch counts as lost.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back without an attempt; the deliveries may be claimed at once. Lost leases are ignored."""
        ...

    async def next_claim_at(self) -> datetime | None:
        """When `claim` may find something next: the earliest due time or lease expiry; None when nothing is pending."""
        ...

    async def replay(self, ids: Sequence[DeliveryId], *, now: datetime) -> int:
        """Make delivered or undelivered ones pending again, due at once, with `tries` from 0; how many changed.

        A line of a batch stands for the batch: the one that carries it becomes pending, the others JOINED.
        """
        ...


class Alarms(Protocol):
    """What the engine has promised to do at some time."""

    async def alarms_due(self, *, now: datetime, limit: int) -> Sequence[Alarm]:
        """Those that are due, the earliest first; they stay until an arrival ends them or they are moved."""
        ...

    async def next_alarm_at(self) -> datetime | None:
        """When the next alarm is due or a downlink request that is ASKED or READY expires, whichever is earlier."""
        ...

    async def move_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Give those that stand (kind and subject) a new due time."""
        ...

    async def end_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Take away those that stand."""
        ...

    async def hasten_silences(self, device_type: str, *, by: datetime) -> None:
        """Let the SILENCE alarms of this device type be due by then, those that are due later."""
        ...

    async def last_heard(self, device: str) -> Heard | None:
        """The last kept message of the device with a type in `model.message.HEARD`."""
        ...

    async def clock_stepped(self, by: timedelta) -> None:
        """Tell that the clock was set forward (back, when negative).

        Moves all alarms, pending deliveries with their leases, and expiries of open downlink requests along; from now
        on `last_heard` adds it to the times of what was kept before.
        """
        ...


class Downlinks(Protocol):
    """Requests of devices. A request is kept with its message (`Arrival.downlink`) and answered by a settlement.

    1. A request in a state of `model.downlink.OPEN` of a device that has another open one, not expired at its
       `asked_at`, is kept as ENDED with TOO_MANY_REQUESTS.
    2. A settlement with replies answers each of its messages' requests that is ASKED and not expired when the attempt
       ended: `Send` makes it READY, `NoData` DECLINED, `Failed` ENDED; a device that the replies do not name gets
       `otherwise`. An expired one ends with NO_ANSWER.
    3. Whenever a request becomes ENDED by anything but a report of the network, also when it is kept so, an alarm
       RESULT is set in the same transaction, due at that moment (`asked_at`, end of the attempt, `now`).
    """

    async def serve_downlinks(
        self, *, limit: int, now: datetime, message: str | None = None, device_type: str | None = None
    ) -> Sequence[Downlink]:
        """Hand out those that are READY and not expired, the oldest first, as SERVED: each only once, ever.

        With `message`, only that message's; with `device_type`, only those of its devices.
        """
        ...

    async def expire_downlinks(self, *, now: datetime) -> int:
        """End what expired: ASKED with NO_ANSWER, READY with NETWORK_ERROR; how many."""
        ...

    async def downlink(self, message_id: str) -> Downlink | None: ...

    async def receptions(self, event: str) -> Sequence[Message]:
        """All messages of an event, in the order in which they were kept."""
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
        """Pending deliveries by endpoint, leased ones included; those that wait in a series are not."""
        ...


class Retention(Protocol):
    """Letting go of what has ended.

    1. A message goes with its deliveries, their attempts and its downlink request. It stays while anything of its event
       is open: a delivery PENDING, WAITING or JOINED, a request ASKED or READY, an alarm GATHERED or RESULT; while a
       message of its event is not old enough; and while a SILENCE alarm stands for the device that was not heard after
       it.
    2. The message that was kept last stays always: the order of arrival goes on from it.
    3. What is left of a batch when its carrier goes are lines on their own.
    4. A message that is gone and comes once more is FRESH. Revisions stay.
    5. When a message was received is corrected for steps of the clock since then, as `Heard` is.
    """

    async def prune(self, *, before: datetime, after: int, limit: int, gap: timedelta | None = None) -> Pruned:
        """Look at messages in the order in which they were kept, and remove those that ended.

        Begins behind `after`, 0 at first, and ends after `limit` messages or before the first that was received
        `before` or later. With `gap`, nothing is removed while there is none, or that first one was received more than
        `gap` after the one before it.
        """
        ...

    async def size(self) -> int:
        """Bytes on disk that hold something; 0 when nothing is on disk."""
        ...

    async def give_back(self) -> bool:
        """Return some of the space that was freed to the file system; whether there is more to return."""
        ...


class Store(Revisions, Inbox, Outbox, Alarms, Downlinks, Journal, Retention, Protocol):
    """All roles, opened and closed together."""

    async def close(self) -> None:
        """Finish what was asked before, then let go of files and threads."""
        ...
