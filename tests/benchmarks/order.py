"""What keeping order costs the SQLite store: a claim while many wait, and messages a second.

    python -m tests.benchmarks.order [--waiting 100000] [--devices 1000] [--plain 1000000]

`claim` is the time in which the store finds and leases the first of each series, `next` that of the look for the next
due time, `settle` that of ending them, which gives the next their turn. All of it beside `--plain` deliveries that are
not ordered, of another endpoint.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from reconciler.model.delivery import Done, Lease, RetryAt
from reconciler.store.protocol import Arrival, Store
from reconciler.store.sqlite import open_sqlite
from tests.benchmarks.backlog import multiply
from tests.builders import NOW, a_delivery, a_message, a_settlement, an_arrival

T = TypeVar("T")
LEASE = timedelta(minutes=2)
GROUP = 1_000
MOST = 1_000_000
ORDERED, PLAIN = "ordered.example.com", "plain.example.com"


async def timed(what: str, work: Awaitable[T]) -> T:
    started = time.perf_counter()
    result = await work
    print(f"{what:<28} {(time.perf_counter() - started) * 1e3:>10.1f} ms")
    return result


def arrival(number: int, *, devices: int, ordered: bool) -> Arrival:
    message = a_message(number, device=f"{number % devices + 1:X}")
    delivery = a_delivery(message, revision=0, host=ORDERED if ordered else PLAIN, ordered=ordered)
    return an_arrival(message, revision=0, queued=[delivery])


async def accept(store: Store, numbers: range, *, devices: int, ordered: bool) -> None:
    arrivals = [arrival(number, devices=devices, ordered=ordered) for number in numbers]
    started = time.perf_counter()
    for start in range(0, len(arrivals), GROUP):
        await store.accept(arrivals[start : start + GROUP], worker="w", lease=LEASE, now=NOW)
    rate = len(numbers) / (time.perf_counter() - started)
    print(f"{'accept, ordered' if ordered else 'accept, not ordered':<28} {rate:>10,.0f} /s")


async def claim(store: Store, *, minutes: int = 0) -> Sequence[Lease]:
    room, now = {f"https://{PLAIN}:443": 0}, NOW + timedelta(minutes=minutes)
    return await store.claim(worker="w", room=room, default_room=MOST, limit=MOST, lease=LEASE, now=now)


async def measure(directory: Path, *, waiting: int, devices: int, plain: int) -> None:
    store = await open_sqlite(directory)
    first = a_delivery(revision=0, host=PLAIN)
    await store.accept([an_arrival(revision=0, queued=[first])], worker="w", lease=LEASE, now=NOW)
    await store.close()
    multiply(directory / "store.sqlite3", plain)
    store = await open_sqlite(directory)
    half = waiting // 2
    for turn, ordered in enumerate((False, True, False, True)):
        await accept(store, range(turn * half + 1, (turn + 1) * half + 1), devices=devices, ordered=ordered)
    leases = await timed("claim, the first of each", claim(store))
    assert len(leases) == devices
    await timed("claim, none is free", claim(store))
    await timed("next", store.next_claim_at())
    later = RetryAt(NOW + timedelta(minutes=1))
    await timed("settle, to be tried again", store.settle([a_settlement(lease, later) for lease in leases]))
    await timed("claim, none is due", claim(store))
    leases = await timed("claim, to be tried again", claim(store, minutes=1))
    await timed("settle, ended", store.settle([a_settlement(lease, Done()) for lease in leases]))
    leases = await timed("claim, those behind them", claim(store, minutes=1))
    assert len(leases) == devices
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--plain", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory), waiting=asked.waiting, devices=asked.devices, plain=asked.plain))


if __name__ == "__main__":
    main()
