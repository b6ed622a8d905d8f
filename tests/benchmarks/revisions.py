"""What an engine takes to publish, to tell what it holds, and to go back, with 10,000 callbacks of 200 device types.

    python -m tests.benchmarks.revisions [--callbacks 10000] [--repeats 5]

`reconciler engine serve` on its embedded store, over loopback; the client is this process, and what it does counts too:
an engine is as fast as whoever asks it. At the end somebody else posts at a steady pace while revisions are published.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.codec.canonical import define
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Change, Create, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.targets.engine import EngineTarget
from tests.benchmarks.engine_process import BenchEngine, bare_engine
from tests.benchmarks.figures import Figure, print_figures
from tests.benchmarks.sender import Paced, send_paced

__all__ = ["churn", "revisions"]

OWNER = "benchmark"
DEVICE_TYPES = 200
CHANGED = 100
LIMITS = {"roll 100 of them back: publish": 0.3, "publish 100 of them": 0.5, "publish all of them": 2.0}
MOST_STALL = 50.0  # milliseconds
POSTS_A_SECOND = 500
CHURN_POSTS = 1_000
EVERY = 0.1  # seconds
MOST_PAUSE = 20.0  # milliseconds
BETWEEN = 0.3  # seconds from one revision to the next, about as long as one takes


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

    async def time(self, row: str, work: Callable[[], Awaitable[Observed | None]]) -> Observed | None:
        start = time.perf_counter()
        found = await work()
        self.times.setdefault(row, []).append(time.perf_counter() - start)
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


@dataclass(frozen=True, slots=True)
class Waits:
    """The longest that a post waited for its answer, in ms: while a revision was published, and between two of them."""

    publishing: list[float]
    between: list[float]


async def stalls(bench: Bench, *, callbacks: int, seconds: float, port: int, token: str) -> Waits:
    """Publish again and again while somebody posts at a steady pace."""
    held = definitions(callbacks)
    sending = asyncio.create_task(asyncio.to_thread(send_paced, port, POSTS_A_SECOND, seconds, token=token))
    publishing: list[tuple[float, float]] = []
    between: list[tuple[float, float]] = []
    version = 1_000
    while not sending.done():
        version += 1
        now = await bench.target.observe(OWNER, None)
        after = edited(held, version=version)
        updates = [Update(key, held[key], definition, (), None) for key, definition in after.items()]
        held |= after
        start = time.perf_counter()
        await bench.publish("publish 100 of them, under load", updates, now.fingerprint)
        publishing.append((start, published := time.perf_counter()))
        await asyncio.sleep(BETWEEN)
        between.append((published, time.perf_counter()))
    sent = await sending
    assert None not in sent.answered, "a message was refused"
    answered = [(sent.due(number), wait) for number, wait in enumerate(sent.answered) if wait is not None]

    def longest(stretches: Iterable[tuple[float, float]]) -> list[float]:
        due = [[wait * 1000 for due, wait in answered if start <= due <= end] for start, end in stretches]
        return [max(waits) for waits in due if waits]

    return Waits(longest(publishing), longest(between))


def revisions(*, callbacks: int = 10_000, repeats: int = 5, seconds: float = 8) -> Iterator[Figure]:
    """What publishing and going back takes, and for so many seconds what it does to whoever posts meanwhile."""
    with tempfile.TemporaryDirectory() as folder, bare_engine(Path(folder)) as engine:
        bench = Bench(EngineTarget(engine.url, engine.token))
        asyncio.run(measure(bench, callbacks=callbacks, repeats=repeats))
        waits = asyncio.run(stalls(bench, callbacks=callbacks, seconds=seconds, port=engine.port, token=engine.token))
    for what, times in bench.times.items():
        yield Figure(f"of {callbacks:,}: {what}", "s", times, most=LIMITS.get(what))
    yield Figure(f"of {callbacks:,}: longest wait of a post during it", "ms", waits.publishing, most=MOST_STALL)
    yield Figure(f"of {callbacks:,}: longest wait of a post between two", "ms", waits.between)


def churn(*, definitions_held: int = 100, seconds: float = 10) -> Iterator[Figure]:
    """What a revision every 100 ms does to whoever posts meanwhile."""
    with tempfile.TemporaryDirectory() as folder, bare_engine(Path(folder)) as engine:
        bench = Bench(EngineTarget(engine.url, engine.token))
        published, sent = asyncio.run(
            publish_steadily(bench, held=definitions(definitions_held), seconds=seconds, engine=engine)
        )
    waits = [wait * 1000 for wait in sent.answered if wait is not None]
    refused = len(sent.answered) - len(waits)
    yield Figure("revisions while posts come at 1,000/s", "/s", [published / seconds], least=0.8 / EVERY)
    yield Figure("posts that were not acknowledged meanwhile", "posts", [refused], most=0)
    yield Figure("wait of a post for its answer, p50", "ms", [statistics.median(waits)])
    yield Figure("wait of a post for its answer, p99", "ms", [statistics.quantiles(waits, n=100)[98]], most=MOST_PAUSE)


async def publish_steadily(
    bench: Bench, *, held: dict[Key, Definition], seconds: float, engine: BenchEngine
) -> tuple[int, Paced]:
    """Publish a change of everything each 100 ms, as long as posts come; how many times, and what became of those."""
    nothing = (await bench.target.observe(OWNER, {})).fingerprint
    await bench.publish("publish", [Create(key, definition, None) for key, definition in held.items()], nothing)
    sending = asyncio.create_task(asyncio.to_thread(send_paced, engine.port, CHURN_POSTS, seconds, token=engine.token))
    loop = asyncio.get_running_loop()
    began, version = loop.time(), 1
    while not sending.done():
        await asyncio.sleep(max(began + version * EVERY - loop.time(), 0))
        version += 1
        now = await bench.target.observe(OWNER, None)
        after = edited(held, version=version)
        updates = [Update(key, held[key], definition, (), None) for key, definition in after.items()]
        await bench.publish("publish", updates, now.fingerprint)
        held |= after
    return version - 1, await sending


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callbacks", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print_figures(revisions(callbacks=given.callbacks, repeats=given.repeats))
