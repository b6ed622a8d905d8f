"""Revisions that follow one another while messages come in, with the real store and over sockets."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from reconciler.model.delivery import State
from reconciler.store.protocol import DeliveryFilter
from reconciler.store.sqlite import open_sqlite
from tests.integration.api.rig import CALLBACK, Served, serving, uplinks

SECONDS = 2.0
EVERY = 0.1


def changes(number: int) -> list[dict[str, Any]]:
    """A callback whose requests name the revision that made them."""
    hook = {**CALLBACK, "url": f"https://ingest.example.com/{number}/{{seqNumber}}"}
    return [
        {"kind": "create", "key": f"tracker/v{number}", "after": hook},
        *([{"kind": "create", "key": "tracker", "after": {}}] if number == 1 else []),
    ]


async def publish_steadily(served: Served) -> int:
    """A revision every 100 ms, each with a callback in the place of the one before; how many."""
    loop = asyncio.get_running_loop()
    ends_at, number = loop.time() + SECONDS, 1
    while loop.time() < ends_at:
        await asyncio.sleep(EVERY)
        held = served.rig.engine.revision.owned
        going = [(key, owned.definition.digest) for key, owned in held.items() if key.callback]
        deletes = [{"kind": "delete", "key": str(key), "expects": digest} for key, digest in going]
        number += 1
        answer = await served.rig.publish([*deletes, *changes(number)], expect=number - 1)
        assert answer.status_code == 201, answer.text
    return number


async def test_each_message_is_under_exactly_one_revision_and_none_is_lost(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    async with serving(store) as served:
        assert (await served.rig.publish(changes(1))).status_code == 201
        publishing = asyncio.create_task(publish_steadily(served))
        acknowledged: list[str] = []

        async def post(first: int) -> None:
            number = first
            while not publishing.done():
                acknowledged.extend(await served.rig.ingest({**uplinks(1)[0], "seqNumber": number}))
                number += 10

        await asyncio.gather(*(post(first) for first in range(10)))
        revisions = await publishing
        async with asyncio.timeout(10):
            while (await store.counts())[State.PENDING]:
                await asyncio.sleep(0.02)
        records = await store.deliveries(DeliveryFilter(), limit=100_000)
        sent = Counter(str(request.target) for request in served.rig.sent)

    await store.close()

    assert Counter(record.delivery.id.message for record in records) == Counter(acknowledged)
    for record in records:
        delivery = record.delivery
        assert delivery.state is State.DELIVERED
        assert str(delivery.callback) == f"tracker/v{delivery.revision}"
    assert set(sent.values()) == {1}
    assert sum(sent.values()) == len(acknowledged)
    assert len({record.delivery.revision for record in records}) >= min(10, revisions - 2)
