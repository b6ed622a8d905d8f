"""How the conformance tests of stores speak to one: every store in `STORES` passes all of `test_store*.py`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from reconciler.model.delivery import Delivery, DeliveryId, HttpRequest, Lease, Outcome, Step
from reconciler.model.downlink import Replies
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import Arrival, DeliveryRecord, Kept, Store
from reconciler.store.sqlite import open_sqlite
from tests.builders import NOW, a_delivery, a_lease, a_message, a_settlement, an_arrival

LEASE: Final = timedelta(minutes=2)
SECOND: Final = timedelta(seconds=1)
A, B, C = "a.example.com", "b.example.com", "c.example.com"


async def memory(_: Path) -> Store:
    return MemoryStore()


STORES: Final[Mapping[str, Callable[[Path], Awaitable[Store]]]] = {"memory": memory, "sqlite": open_sqlite}


async def accept(store: Store, *arrivals: Arrival) -> Sequence[Kept]:
    return await store.accept(arrivals, worker="w", lease=LEASE, now=NOW)


async def claim(
    store: Store,
    *,
    room: Mapping[str, int] | None = None,
    default_room: int = 100,
    limit: int = 100,
    now: timedelta = timedelta(0),
) -> Sequence[Lease]:
    """Claim `now` after NOW."""
    return await store.claim(
        worker="w", room=room or {}, default_room=default_room, limit=limit, lease=LEASE, now=NOW + now
    )


async def settle(
    store: Store, lease: Lease, step: Step, outcome: Outcome | None = None, *, replies: Replies | None = None
) -> bool:
    (recorded,) = await store.settle([a_settlement(lease, step, outcome, replies=replies)])
    return recorded


async def queue(store: Store, *waiting: tuple[str, int]) -> Sequence[DeliveryId]:
    """Accept a message with one queued delivery for each host, due so many seconds before NOW."""
    deliveries = [
        a_delivery(a_message(number), host=host, due_at=NOW - seconds * SECOND)
        for number, (host, seconds) in enumerate(waiting)
    ]
    await accept(
        store, *(an_arrival(a_message(number), queued=[delivery]) for number, delivery in enumerate(deliveries))
    )
    return [delivery.id for delivery in deliveries]


async def hold(store: Store, delivery: Delivery | None = None) -> Lease:
    """Accept a message whose one delivery is held, and take the lease that this gives."""
    delivery = delivery or a_delivery()
    await accept(store, an_arrival(held=[delivery]))
    return a_lease(delivery, expires_at=NOW + LEASE)


async def record(store: Store, delivery_id: DeliveryId) -> DeliveryRecord:
    found = await store.delivery(delivery_id)
    assert found is not None
    return found


async def stand(store: Store, delivery_id: DeliveryId) -> Delivery:
    return (await record(store, delivery_id)).delivery


def ids(leases: Sequence[Lease]) -> Sequence[DeliveryId]:
    return [lease.delivery.id for lease in leases]


def hosts(leases: Sequence[Lease]) -> Sequence[str]:
    return [_host(lease.delivery) for lease in leases]


def _host(delivery: Delivery) -> str:
    assert isinstance(delivery.request, HttpRequest)
    return delivery.request.host
