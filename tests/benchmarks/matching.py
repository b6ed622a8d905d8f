"""Finding what a message fires, with 10,000 definitions and 100,000 devices.

    python -m tests.benchmarks.matching [--definitions 10000] [--devices 100000] [--repeats 5]

Every fifth definition is a device type, with four callbacks of different types, of which one fires for an uplink. Every
device sends once, in no order that a cache would like. `matching` is all that the router does for a message whose type
of event has no callback; with one, its request is rendered as well.
"""

import argparse
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.codec.canonical import define
from reconciler.model.definition import Content, Definition
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import Key
from reconciler.runtime.routing import Router
from tests.benchmarks.figures import Figure, print_figures
from tests.builders import a_message, a_revision

__all__ = ["matching"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOST_MICROSECONDS = 20.0
STRIDE = 7_919  # a prime: neighbours in time are strangers in memory
URL = "https://ingest.example.com/devices/{device}"
CALLBACKS: dict[str, Content] = {
    "telemetry": {
        "type": "data/uplink",
        "channel": "url",
        "url": URL,
        "contentType": "application/json",
        "body": '{"device":"{device}","time":{time},"t":{customData#temperature},"seq":{seqNumber}}',
        "payload": "temperature::int:16:little-endian humidity::uint:8",
    },
    "receipts": {"type": "service/acknowledge", "channel": "url", "url": URL, "body": "code={infoCode}"},
    "status": {"type": "service/status", "channel": "url", "url": URL, "body": "battery={batt}"},
    "everything": {"type": "service/data-advanced", "channel": "url", "url": URL, "enabled": False},
}
EACH = 1 + len(CALLBACKS)


def compiled(definitions: int) -> Router:
    found: list[Definition] = []
    for number in range(definitions // EACH):
        device_type = f"type-{number:05}"
        found.append(define(Key(device_type), {}))
        found += [define(Key(device_type, name), content) for name, content in CALLBACKS.items()]
    return Router.compile(a_revision(found))


def messages(devices: int, *, types: int, kind: MessageType) -> list[Message]:
    """One of each device."""
    one = a_message(kind=kind)
    order = (number * STRIDE % devices for number in range(devices))
    return [replace(one, device=f"{0x100000 + n:X}", device_type=f"type-{n % types:05}") for n in order]


def microseconds(router: Router, sent: Sequence[Message], *, deliveries: int) -> float:
    start = time.perf_counter()
    found = 0
    for message in sent:
        found += len(router.route(message, now=NOW).deliveries)
    took = time.perf_counter() - start
    assert found == deliveries * len(sent)
    return took / len(sent) * 1e6


def matching(*, definitions: int = 10_000, devices: int = 100_000, repeats: int = 5) -> Iterator[Figure]:
    """For each message."""
    router = compiled(definitions)
    kinds = {
        "nothing fires": (MessageType.GEOLOC, 0),
        "one fires, rendered": (MessageType.DATA, 1),
    }
    for name, (kind, deliveries) in kinds.items():
        sent = messages(devices, types=definitions // EACH, kind=kind)
        gc.collect()
        gc.freeze()  # as the engine does
        times = [microseconds(router, sent, deliveries=deliveries) for _ in range(repeats)]
        gc.unfreeze()
        what = f"matching, {definitions:,} × {devices:,}: {name}"
        yield Figure(what, "us/message", times, most=MOST_MICROSECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--definitions", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print_figures(matching(definitions=given.definitions, devices=given.devices, repeats=given.repeats))
