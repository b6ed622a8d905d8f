"""What the log tells of failures: one event each, in virtual time, because giving up takes minutes."""

import logging
import weakref
from collections.abc import Sequence

import pytest

from reconciler.errors import StoreError
from reconciler.model.delivery import Settlement
from reconciler.runtime.events import Events
from reconciler.store.memory import MemoryStore
from tests.unit.runtime.engine_rig import DOWN, Script, callback, running, until_idle, uplink
from tests.virtual_time import run


class Stumbling(MemoryStore):
    """Can not settle the first time that it is asked."""

    stumbled = False

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        if not self.stumbled:
            self.stumbled = True
            raise StoreError("the disk is full")
        return await super().settle(settlements)


def test_a_delivery_that_is_given_up_is_one_event_for_each_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with running(Script(lambda _: (0.001, DOWN)), hook=callback("http://a.example/{device}")) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)

    with caplog.at_level(logging.INFO, "reconciler"):
        run(story())
    told = [(record.message, vars(record).get("step"), vars(record).get("attempt")) for record in caplog.records]

    assert told == [
        ("revision.published", None, None),
        *(("delivery.attempted", "retry-at", number) for number in (1, 2, 3)),
        ("delivery.attempted", "give-up", 4),
    ]


def test_posts_that_were_to_be_written_together_fail_as_one(caplog: pytest.LogCaptureFixture) -> None:
    events, first, second = Events(), StoreError("the disk is full"), StoreError("the disk is full")
    for error in (first, first, second):
        events.store_failed(error)

    assert events.counters.store_failures == 2
    assert [record.message for record in caplog.records] == ["store.failed"] * 2


def test_what_failed_is_not_kept_by_having_been_counted() -> None:
    events, error = Events(), StoreError("the disk is full")
    events.store_failed(error)
    watched = weakref.ref(error)
    del error

    assert watched() is None


def test_a_store_that_fails_is_one_event_and_so_is_the_attempt_it_could_not_keep_at_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with running(Script(), store=Stumbling(), hook=callback("http://a.example/{device}")) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)

    with caplog.at_level(logging.DEBUG, "reconciler"):
        run(story())

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "revision.published"),
        ("DEBUG", "message.taken"),
        ("ERROR", "store.failed"),
        ("DEBUG", "delivery.attempted"),
    ]


def test_at_the_level_an_engine_runs_with_what_goes_well_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with running(Script(), hook=callback("http://a.example/{device}")) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)

    with caplog.at_level(logging.INFO, "reconciler"):
        run(story())

    assert [record.message for record in caplog.records] == ["revision.published"]
