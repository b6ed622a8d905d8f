"""What endpoints share, and how much of it each may take. Pure.

1. Everything that is shared is bounded: attempts in flight (`flights`, for each one holds a file descriptor) and
   deliveries in memory (`room`).
2. No endpoint, and no twenty of them, can eat up either. What a lane may take is measured by what is left for the
   others: as many deliveries as there is room left, and an eighth of the flights that are left. With n lanes that take
   all they can get, 1 / (n + 1) of the room and 8 / (n + 8) of the flights stay free.
3. First attempts never wait behind retries: each has slots of its own in every lane, an eighth of all flights is closed
   to retries, and what is claimed from the store leaves a quarter of a lane's room to new messages.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from reconciler.model.delivery import Lease
from reconciler.runtime.breaker import Health, Standing

__all__ = ["Capacity", "Lane", "Queue", "claimable", "room_of", "slots_of"]

_SHARE: Final = 8  # rule 2
_LEAST_PACED: Final = 8  # deliveries in memory of a lane that is paced
_PACED_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much may happen at once.

    Attributes:
        slots: attempts in flight for one endpoint; one in four is kept for retries.
        flights: attempts in flight in all. 1,024 descriptors are what a process usually gets; the rest is for doors,
            the store, and connections that are kept for the next request.
        room_per_endpoint: deliveries of one endpoint in memory, waiting, in flight or being settled.
        room: deliveries in memory in all.
        lease: how long a delivery may stay in memory before another engine may claim it.
    """

    slots: int = 64
    flights: int = 640
    room_per_endpoint: int = 32_768
    room: int = 65_536  # 42 MB when it is full of requests with 60-byte bodies
    lease: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        if (
            self.slots < 2
            or self.flights < self.slots
            or self.room_per_endpoint < 1
            or self.room < self.room_per_endpoint
        ):
            raise ValueError(f"not a capacity to work with: {self}")

    @property
    def retry_slots(self) -> int:
        """Slots that only retries use."""
        return max(1, self.slots // 4)

    @property
    def first_slots(self) -> int:
        """Slots that only first attempts use."""
        return self.slots - self.retry_slots


@dataclass(slots=True, eq=False)
class Queue:
    """Leases that wait for a slot, and how many slots are busy with them; `kept_free` flights are not for it."""

    slots: int
    kept_free: int
    waiting: deque[Lease] = field(default_factory=deque)
    running: int = 0


@dataclass(slots=True, eq=False)
class Lane:
    """What is in memory for one endpoint. There are as many as definitions have named endpoints.

    Attributes:
        first: first attempts of messages that have just come.
        retries: everything else: retries, replays, and what waited while the endpoint was parked.
        turned_away: whether something in the store waits for room here.
    """

    endpoint: str
    health: Health
    first: Queue
    retries: Queue
    held: int = 0
    turned_away: bool = False


def room_of(lane: Lane, capacity: Capacity, *, left: int, now: float) -> int:
    """How many deliveries a lane may hold when there is room left for so many in all."""
    room = left if left < capacity.room_per_endpoint else capacity.room_per_endpoint
    match lane.health.standing:
        case Standing.OPEN:
            return room
        case Standing.PARKED:
            return 0
        case Standing.PROBING:
            return min(room, 1)
        case Standing.RECOVERING:
            return min(room, max(_LEAST_PACED, int(_PACED_SECONDS * lane.health.pace(now))))


def claimable(room: int) -> int:
    """How many of so many places may be taken by what comes from the store (rule 3)."""
    return room - room // 4


def slots_of(queue: Queue, capacity: Capacity, *, in_flight: int) -> int:
    """How many slots a queue may use now."""
    free = capacity.flights - in_flight - queue.kept_free
    plenty = capacity.slots * _SHARE
    if free >= plenty:
        return queue.slots
    return max(1, queue.slots * free // plenty) if free > 0 else 0
