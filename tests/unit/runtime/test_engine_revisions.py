"""Revisions that follow one another while messages come, in virtual time; and how large ones are compiled."""

import asyncio
from collections import Counter

from reconciler.codec.canonical import define
from reconciler.model.delivery import HttpRequest, State
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Owned, Publication, Revision
from reconciler.runtime.engine import Engine
from reconciler.runtime.routing import Router
from reconciler.store.protocol import DeliveryFilter
from tests.unit.runtime.engine_rig import Script, callback, running, until_idle, uplink
from tests.virtual_time import run

HOOK, TWIN = Key("tracker", "hook"), Key("tracker", "twin")


async def publish(engine: Engine, number: int) -> None:
    """Publish revision `number`, in which both callbacks name it in their URLs."""
    amendments = []
    for key in (HOOK, TWIN):
        held = engine.revision.owned[key].definition
        after = define(key, callback(f"http://a.example/{key.callback}/{number}/{{seqNumber}}"))
        amendments.append(Amendment("update", key, held.digest, after))
    published = await engine.publish(
        amendments, owner="test", expect=number - 1, publication=Publication(at=None, by="test")
    )
    assert isinstance(published, Revision)


def test_with_a_new_revision_every_100_ms_each_message_is_under_exactly_one_and_none_is_dropped() -> None:
    async def story() -> None:
        script, first = Script(), callback("http://a.example/x/1/{seqNumber}")
        async with running(script, hook=first, twin=first) as engine:

            async def change() -> None:
                for number in range(2, 42):
                    await asyncio.sleep(0.1)
                    await publish(engine, number)

            changing = asyncio.create_task(change())
            for number in range(0, 2000, 5):
                await engine.take([uplink(each) for each in range(number, number + 5)])
                await asyncio.sleep(0.01)
            await changing
            await until_idle(engine)
            records = await engine.store.deliveries(DeliveryFilter(state=State.DELIVERED), limit=10_000)

        assert len(records) == len(script.sent) == 4000
        revisions: dict[str, set[int]] = {}
        for record in records:
            request = record.delivery.request
            assert isinstance(request, HttpRequest)
            assert isinstance(request.target, str)
            assert int(request.target.split("/")[2]) == record.delivery.revision
            revisions.setdefault(record.delivery.id.message, set()).add(record.delivery.revision)
        assert len(revisions) == 2000
        assert all(len(each) == 1 for each in revisions.values())
        assert len(Counter(revision for each in revisions.values() for revision in each)) >= 40

    run(story())


def test_compiling_a_revision_pauses_at_each_definition_that_is_new() -> None:
    parent = Key("tracker")
    keys = [Key("tracker", f"callback-{number}") for number in range(100)]
    content = callback("http://a.example/{device}/{seqNumber}/{customData#t}", payload="t::int:16")
    definitions = [define(parent, {}), *(define(key, content) for key in keys)]
    revision = Revision(
        1, "d", {each.key: Owned(each, "test") for each in definitions}, Publication(at=None, by="test")
    )
    pauses = sum(1 for _ in Router.compiling(revision))

    assert pauses >= len(keys)
    assert sum(1 for _ in Router.compiling(revision, known=Router.compile(revision))) < 5
