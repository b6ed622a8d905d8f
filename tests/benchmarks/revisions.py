"""What an engine takes to publish, to tell what it holds, and to go back, with 10,000 callbacks of 200 device types.

    python -m tests.benchmarks.revisions [--callbacks 10000] [--repeats 5]

`reconciler engine serve` on its embedded store, over loopback; the client is this process, and what it does counts too:
an engine is as fast as whoever asks it. Every row is the median of the repeats, beside the limit that it is held to.

Beside it, from a process of its own that asks for `/healthz` all the time: the longest that the engine let anybody wait
while it did that, which is the longest stall of its loop (and of the machine).
"""

import argparse
import asyncio
import json
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.codec.canonical import define
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Change, Create, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.targets.engine import EngineTarget
from tests.benchmarks.plan import engine

OWNER = "benchmark"
DEVICE_TYPES = 200
CHANGED = 100
LIMITS = {"roll 100 of them back: publish": 0.3, "publish 100 of them": 0.5, "publish all of them": 2.0}


def content(number: int, *, version: int) -> Content:
    host = number % 50
    return {
        "type": "data/uplink",
        "channel": "url",
        "url": f"https://ingest-{host:02}.example.com/v{version}/devices/{{device}}/callback-{number:05}",
        "headers": {"Authorization": "Bearer ${secret.INGEST_TOKEN}", "X-Tenant": f"tenant-{host:02}"},
        "contentType": "application/json",
        "body": '{"device":"{device}","time":{time},"seq":{seqNumber},"t":{customData#temperature}}',
        "payload": "temperature::int:16:little-endian humidity::uint:8",
    }


def definitions(callbacks: int) -> dict[Key, Definition]:
    """One device type for each, and all callbacks."""
    keys = [Key(f"type-{number:04}") for number in range(DEVICE_TYPES)]
    found = {key: define(key, {}) for key in keys}
    for number in range(callbacks):
        key = Key(keys[number % DEVICE_TYPES].device_type, f"callback-{number:05}")
        found[key] = define(key, content(number, version=1))
    return found


def edited(held: Mapping[Key, Definition], *, version: int) -> dict[Key, Definition]:
    """What a hundred callbacks are to become."""
    step = max(len(held) // CHANGED, 1)
    keys = [key for key in held if key.callback][::step][:CHANGED]
    return {key: define(key, content(int(key.callback[-5:]), version=version)) for key in keys}


@dataclass(slots=True)
class Bench:
    """Times, row by row, of what a target is asked."""

    target: EngineTarget
    times: dict[str, list[float]] = field(default_factory=dict)
    spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    async def time(self, row: str, work: Callable[[], Awaitable[Observed | None]]) -> Observed | None:
        start = time.perf_counter()
        found = await work()
        end = time.perf_counter()
        self.times.setdefault(row, []).append(end - start)
        self.spans.setdefault(row, []).append((start, end))
        return found

    async def publish(self, row: str, changes: Iterable[Change], base: Fingerprint, *, via: str = "apply") -> None:
        plan = Plan("dev", self.target.location, OWNER, base, (tuple(changes),), "5b" * 16)

        async def write() -> None:
            async with self.target.writer(plan, Publication(None, "bench", via=via)) as writer:
                for change in plan.changes:
                    await writer.write(change)

        await self.time(row, write)


async def measure(bench: Bench, *, callbacks: int, repeats: int) -> None:
    target, held = bench.target, definitions(callbacks)
    nothing = (await target.observe(OWNER, {})).fingerprint
    creates = [Create(key, definition, None) for key, definition in held.items()]
    await bench.publish("publish all of them", creates, nothing)
    for version in range(2, repeats + 2):
        known = {key: definition.digest for key, definition in held.items()}
        now = await bench.time("observe, as applied and declared", lambda: target.observe(OWNER, known))  # noqa: B023
        assert now is not None
        after = edited(held, version=version)
        updates = [Update(key, held[key], definition, (), None) for key, definition in after.items()]
        await bench.publish("publish 100 of them", updates, now.fingerprint)
        # As `rollback` does it: what differs, its contents on both sides, and the old ones once more.
        now = await bench.time("roll back: observe", lambda: target.observe(OWNER, None))
        assert now is not None
        number = now.fingerprint.revision - 1
        digests = now.digests
        then = await bench.time("roll back: the earlier one", lambda: target.as_of(number, OWNER, digests))  # noqa: B023
        assert then is not None
        back = [Update(key, after[key], definition, (), None) for key, definition in then.definitions.items()]
        assert len(back) == len(after)
        await bench.publish("roll 100 of them back: publish", back, now.fingerprint, via="rollback")


def watch(address: str) -> None:
    """Ask whether the engine is there until somebody says enough; tell which answers took how long, and since when."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    slow: list[tuple[float, float]] = []
    with socket.create_connection((host, int(port))) as connection:
        while not select.select([sys.stdin], [], [], 0.001)[0]:
            start = time.perf_counter()
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: engine\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            slow.append((start, time.perf_counter() - start))
    print(json.dumps([each for each in slow if each[1] > 0.002]))


def longest(slow: Iterable[tuple[float, float]], spans: Iterable[tuple[float, float]]) -> float:
    """The longest wait that began or ended in any of the spans."""
    waits = [took for at, took in slow for start, end in spans if at < end and at + took > start]
    return max(waits, default=0.0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--callbacks", type=int, default=10_000)
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder)) as (address, token):
        bench = Bench(EngineTarget(address, token))
        watching = [sys.executable, "-m", "tests.benchmarks.revisions", "watch", address]
        with subprocess.Popen(watching, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
            asyncio.run(measure(bench, callbacks=given.callbacks, repeats=given.repeats))
            slow = json.loads(watcher.communicate("enough\n")[0])
    print(f"{given.callbacks} callbacks{'':<20}seconds  limit  longest stall (ms)")
    for row, times in bench.times.items():
        limit = LIMITS.get(row)
        stall = longest(slow, bench.spans[row]) * 1e3
        print(f"{row:<36}{statistics.median(times):>7.3f}  {'' if limit is None else limit:>5}  {stall:.0f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["watch", at]:
            watch(at)
        case _:
            main()
