"""Callbacks that keep the order of each device's messages, in virtual time."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.cli.pages import page
from reconciler.config.document import UrlCallback
from reconciler.model.delivery import HttpRequest, Outcome, State
from reconciler.runtime.retry import OPERATOR_POLICY, RetryPolicy
from reconciler.store.memory import MemoryStore
from reconciler.store.protocol import DeliveryFilter
from tests.unit.runtime.engine_rig import DOWN, OK, Answer, Script, callback, running, states, until_idle, uplink
from tests.virtual_time import run

ORDERED = callback("http://a.example/{device}/{seqNumber}", ordered=True)
PLAIN = callback("http://b.example/{device}/{seqNumber}")
OTHER = "89C3"


def failing(*targets: str, times: int = 1_000, seconds: float = 0.001) -> Answer:
    """These targets of a.example fail so many times each, everything else is taken."""
    left = dict.fromkeys(targets, times)

    def answer(request: HttpRequest) -> tuple[float, Outcome]:
        target = str(request.target)
        if request.host == "a.example" and left.get(target, 0):
            left[target] -= 1
            return seconds, DOWN
        return 0.001, OK

    return answer


def sent(script: Script, host: str = "a.example") -> list[tuple[int, str]]:
    """When, in whole seconds, and where to."""
    return [(round(at), path.removeprefix(host)) for at, path in script.sent if path.startswith(host)]


def test_messages_go_one_after_the_other_and_a_retry_is_not_overtaken() -> None:
    async def story() -> None:
        script = Script(failing("/1C178/1", times=2))
        async with running(script, row=ORDERED, any=PLAIN) as engine:
            await engine.take([uplink(1), uplink(2), uplink(1, device=OTHER)])
            await asyncio.sleep(30)
            await engine.take([uplink(3)])
            await until_idle(engine)

        assert sent(script) == [
            (0, "/1C178/1"),
            (0, f"/{OTHER}/1"),
            (60, "/1C178/1"),
            (180, "/1C178/1"),
            (180, "/1C178/2"),
            (180, "/1C178/3"),
        ]
        assert script.busiest["http://a.example:80"] == 2  # one of each device
        assert sent(script, "b.example") == [(0, "/1C178/1"), (0, "/1C178/2"), (0, f"/{OTHER}/1"), (30, "/1C178/3")]

    run(story())


def test_one_that_fails_for_good_holds_up_the_others_for_the_stated_bound_and_is_left_behind() -> None:
    async def story() -> None:
        script = Script(failing("/1C178/1", seconds=11))  # every attempt takes all of its deadline
        async with running(script, row=ORDERED) as engine:
            await engine.take([uplink(1)])
            await engine.take([uplink(2)])
            await until_idle(engine)
            assert sorted(await states(engine)) == [State.DELIVERED, State.UNDELIVERED]

        bound = OPERATOR_POLICY.longest.total_seconds()
        assert sent(script) == [(at, "/1C178/1") for at in (0, 70, 200, 450)] + [(round(bound), "/1C178/2")]

    run(story())


def test_a_message_waits_for_each_that_fails_before_it() -> None:
    async def story() -> None:
        script = Script(failing("/1C178/1", "/1C178/2"))
        async with running(script, row=ORDERED) as engine:
            await engine.take([uplink(number) for number in (1, 2, 3)])
            await until_idle(engine)

        assert sent(script)[-2:] == [(14 * 60, "/1C178/2"), (14 * 60, "/1C178/3")]

    run(story())


def test_a_replay_is_outside_the_order() -> None:
    async def story() -> None:
        script = Script(failing("/1C178/1", "/1C178/2", times=4))
        async with running(script, row=ORDERED) as engine:
            await engine.take([uplink(1)])
            await until_idle(engine)
            script.sent.clear()
            await engine.take([uplink(2), uplink(3)])
            await asyncio.sleep(1)
            where = DeliveryFilter(state=State.UNDELIVERED)
            assert await engine.replay_where(where, limit=10) == 1
            await asyncio.sleep(1)
            assert [path for _, path in sent(script)] == ["/1C178/2", "/1C178/1"]
            await until_idle(engine)
            assert sorted(await states(engine)) == [State.DELIVERED, State.DELIVERED, State.UNDELIVERED]

    run(story())


def test_the_order_outlives_a_restart() -> None:
    async def story() -> None:
        script, store = Script(failing("/1C178/1", times=2)), MemoryStore()
        async with running(script, store=store, row=ORDERED) as engine:
            await engine.take([uplink(number) for number in (1, 2)])
            await asyncio.sleep(1)
        async with running(script, store=store) as engine:
            await engine.take([uplink(3)])
            await until_idle(engine)

        assert [path for _, path in sent(script)] == ["/1C178/1"] * 3 + ["/1C178/2", "/1C178/3"]

    run(story())


def test_with_send_duplicates_the_receptions_are_in_the_order_too() -> None:
    async def story() -> None:
        script = Script(failing("/0AF0", times=1))
        hook = callback("http://a.example/{station}", ordered=True, sendDuplicates=True)
        async with running(script, row=hook) as engine:
            await engine.take([uplink(1, station=station) for station in ("0AF0", "37FF")])
            await until_idle(engine)

        assert sent(script) == [(0, "/0AF0"), (60, "/0AF0"), (60, "/37FF")]

    run(story())


def test_what_has_no_order_to_keep_is_handed_over_without_a_claim() -> None:
    async def story() -> None:
        claims = 0

        class Counting(MemoryStore):
            async def claim(self, **given: object) -> list:  # type: ignore[type-arg]
                nonlocal claims
                claims += 1
                return list(await super().claim(**given))  # type: ignore[arg-type]

        script = Script()
        async with running(script, store=Counting(), any=PLAIN) as engine:
            claims = 0
            await engine.take([uplink(1)])
            await asyncio.sleep(1)
            assert (claims, len(script.sent)) == (0, 1)

    run(story())


@pytest.mark.parametrize(
    ("policy", "longest"),
    [
        (OPERATOR_POLICY, timedelta(minutes=7, seconds=40)),
        (RetryPolicy(timedelta(seconds=2), ()), timedelta(seconds=2)),
        (RetryPolicy(timedelta(seconds=1), (timedelta(seconds=10),), jitter=0.5), timedelta(seconds=17)),
    ],
)
def test_the_bound_is_that_of_the_schedule(policy: RetryPolicy, longest: timedelta) -> None:
    assert policy.longest == longest


def test_the_bound_that_is_told_is_the_bound() -> None:
    minutes, seconds = divmod(OPERATOR_POLICY.longest.total_seconds(), 60)
    told = f"{minutes:.0f} minutes {seconds:.0f} seconds"
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    for text in (UrlCallback.model_fields["ordered"].description, page("ordered-bidir"), readme):
        assert told in " ".join((text or "").split())
