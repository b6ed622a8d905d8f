"""How the conformance tests of targets speak to one: every place in `PLACES` passes all of `test_target*.py`.

A place is somewhere definitions are held. Opening it twice gives two targets of the same place: two people, two
projects, two machines. The contents used here are definitions that a real engine accepts.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from reconciler.apply import Report, apply
from reconciler.codec.canonical import define
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Adopt, Change, Delete, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.planner import make_plan
from reconciler.store.sqlite import open_sqlite
from reconciler.targets.engine import EngineTarget
from reconciler.targets.protocol import Archive, Target
from tests.conformance.fake_engine import TOKEN, FakeEngine
from tests.integration.api.rig import ALL, serving

__all__ = [
    "FRIDGE",
    "ONE",
    "PLACES",
    "SECRET",
    "WITH_SECRET",
    "A",
    "B",
    "C",
    "Place",
    "adopt",
    "callback",
    "carry_out",
    "definition",
    "delete",
    "files",
    "held",
    "move",
    "observe",
    "plan",
    "plan_of",
    "publish",
    "resecret",
    "row",
    "told",
    "update",
]


class Numbered(Target, Archive, Protocol):
    """A target that also numbers what it held."""


class Place(Protocol):
    """`secrets` are what `${secret.NAME}` stands for there."""

    secrets: dict[str, str]

    def __call__(self) -> Numbered:
        """The place as a target; each time another one."""
        ...

    async def edit(self, *changes: Mapping[str, Any], owner: str, by: str) -> None:
        """Change it without a plan, behind the files."""
        ...


@dataclass(slots=True)
class EnginePlace:
    url: str
    token: str
    transport: httpx.AsyncBaseTransport | None
    secrets: dict[str, str]
    opened: list[EngineTarget] = field(default_factory=list)

    def __call__(self) -> Numbered:
        self.opened.append(EngineTarget(self.url, self.token, transport=self.transport))
        return self.opened[-1]

    async def edit(self, *changes: Mapping[str, Any], owner: str, by: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, transport=self.transport) as client:
            number = (await client.get("/v1/revisions/current")).json()["number"]
            body = {"owner": owner, "by": by, "commit": "", "note": "", "changes": [*changes]}
            answer = await client.post("/v1/revisions", json=body, headers={"If-Match": f'"{number}"'})
            assert answer.status_code == 201, answer.text

    async def close(self) -> None:
        for target in self.opened:
            await target.close()


@asynccontextmanager
async def engine_in_memory(_: Path) -> AsyncIterator[Place]:
    engine = FakeEngine()
    place = EnginePlace("http://engine.test", TOKEN, httpx.ASGITransport(engine.app), engine.secrets)
    yield place
    await place.close()


@asynccontextmanager
async def engine_over_sockets(directory: Path) -> AsyncIterator[Place]:
    store = await open_sqlite(directory)
    async with serving(store) as served:
        place = EnginePlace(f"http://127.0.0.1:{served.port}", ALL, None, served.rig.secrets)
        yield place
        await place.close()
    await store.close()


PLACES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Place]]] = {
    "engine, doors in memory": engine_in_memory,
    "engine, over sockets": engine_over_sockets,
}


def callback(url: str) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": url}


A, B, C = callback("https://a.example.com/"), callback("https://b.example.com/"), callback("https://c.example.com/")


def files(contents: Mapping[str, Content], *, owner: str = "cold-chain") -> Desired:
    """Files that declare this, and want the device types gone that these tests once declared."""
    definitions = {Key.parse(key): define(Key.parse(key), content) for key, content in contents.items()}
    return Desired(owner, definitions, {}, removed=frozenset({"tracker", "old"} - contents.keys()))


async def observe(target: Target, desired: Desired) -> Observed:
    return await target.observe(desired.owner, {key: d.digest for key, d in desired.definitions.items()})


async def plan(target: Target, desired: Desired) -> Plan:
    return make_plan(desired, await observe(target, desired), environment="dev", target=target.location)


async def carry_out(target: Target, made: Plan, *, by: str = "ana", commit: str = "", note: str = "") -> Report:
    return await apply(made, target, Publication(None, by, commit, note), tell=lambda receipt: None)


async def publish(
    target: Target, contents: Mapping[str, Content], *, owner: str = "cold-chain", by: str = "ana"
) -> None:
    report = await carry_out(target, await plan(target, files(contents, owner=owner)), by=by)
    assert report.succeeded


async def held(target: Target, *, owner: str = "cold-chain") -> dict[str, Content]:
    observed = await target.observe(owner, {})
    return {str(key): definition.content for key, definition in observed.definitions.items()}


def told(changes: tuple[Change, ...]) -> list[str]:
    return [f"{change.kind} {change.key}" for change in changes]


ONE: Mapping[str, Content] = {"tracker": {}, "tracker/a": A}
SECRET = "INGEST_TOKEN"
WITH_SECRET: Content = {**A, "headers": {"Authorization": "Bearer ${secret.INGEST_TOKEN}"}}
FRIDGE: Mapping[str, Content] = {"fridge": {}, "fridge/a": B}


def definition(name: str, content: Content) -> Definition:
    return define(Key.parse(name), content)


def update(name: str, before: Content, after: Content) -> Update:
    return Update(Key.parse(name), definition(name, before), definition(name, after), (), None)


def delete(name: str, before: Content) -> Delete:
    return Delete(Key.parse(name), definition(name, before))


def move(source: str, name: str, before: Content, after: Content | None = None) -> Move:
    there = definition(name, before if after is None else after)
    return Move(Key.parse(name), definition(source, before), there, (), None)


def adopt(name: str, before: Content, after: Content | None = None, *, taken_from: str = "cold-store") -> Adopt:
    here = definition(name, before if after is None else after)
    return Adopt(Key.parse(name), definition(name, before), here, taken_from, (), None)


async def plan_of(target: Target, *changes: Change, owner: str = "cold-chain") -> Plan:
    observed = await target.observe(owner, {})
    return Plan("dev", target.location, owner, observed.fingerprint, (changes,), "5b" * 16)


async def resecret(target: Target, *, owner: str = "cold-chain") -> Resecret:
    """What a plan says of a secret as it is now."""
    state = (await target.observe(owner, {})).secrets[SECRET]
    return Resecret(state.callbacks[0], SECRET, state.published, state.current, state.callbacks)


def row(
    kind: str, name: str, expects: Content | None = None, after: Content | None = None, **more: str
) -> dict[str, Any]:
    """A change as somebody at the door makes it."""
    digests = {} if expects is None else {"expects": definition(name, expects).digest}
    return {"kind": kind, "key": name, **digests, **({} if after is None else {"after": after}), **more}
