"""A place that takes changes one by one and keeps no history, as the APIs of network operators do.

It stands in a file, so that it outlives whoever writes to it. A create never fails: it makes one more object, also when
there is one of that key; nothing but the writer's care keeps a second one away. `effects` tells all that happened.
"""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.codec.canonical import define, set_digest
from reconciler.codec.plan import plan_digest
from reconciler.errors import PlanStale
from reconciler.model.definition import Content, Definition, JsonValue
from reconciler.model.plan import (
    Adopt,
    Change,
    Create,
    Delete,
    FieldChange,
    Move,
    Plan,
    Receipt,
    Resecret,
    Update,
    UpdateKind,
)
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Fingerprint, Observed, SecretState
from reconciler.plan.diff import field_changes
from reconciler.plan.stages import staged
from reconciler.targets.protocol import Writer

__all__ = ["AFTER", "BEFORE", "OTHERS", "SECRETS", "OneByOne", "callback", "twelve_changes"]


@dataclass(slots=True)
class OneByOne:
    """A target over `file`; `step` is called before each change takes effect and after, and may end the process."""

    file: Path
    step: Callable[[], None] = lambda: None
    location: str = "one by one"
    atomic: bool = False

    def begin(
        self,
        contents: Mapping[str, Content],
        *,
        owner: str = "cold-chain",
        others: Mapping[str, tuple[str, Content]] | None = None,
        secrets: Mapping[str, tuple[str | None, str | None]] | None = None,
        effects: Sequence[str] = (),
    ) -> None:
        """Hold exactly this. `others` are key → owner and content, `secrets` fingerprints published and current."""
        objects = [[key, owner, content] for key, content in contents.items()]
        objects += [[key, theirs, content] for key, (theirs, content) in (others or {}).items()]
        pairs = {name: [*pair] for name, pair in (secrets or {}).items()}
        self._save({"objects": objects, "secrets": pairs, "effects": [*effects]})

    @property
    def objects(self) -> dict[str, tuple[str, Content]]:
        """Key → owner and content; no key stands there twice."""
        objects = self._load()["objects"]
        assert not [key for key, times in Counter(key for key, *_ in objects).items() if times > 1], objects
        return {key: (owner, content) for key, owner, content in objects}

    @property
    def effects(self) -> list[str]:
        """Everything that took effect, in order: “create tracker/a”."""
        return [*self._load()["effects"]]

    async def observe(self, owner: str, known: Mapping[Key, str] | None) -> Observed:
        state = self._load()
        defined = [(define(Key.parse(key), content), theirs) for key, theirs, content in state["objects"]]
        digests = {definition.key: definition.digest for definition, theirs in defined if theirs == owner}
        return Observed(
            digests=digests,
            definitions={d.key: d for d, theirs in defined if theirs == owner and (known or {}).get(d.key) != d.digest},
            foreign={definition.key: theirs for definition, theirs in defined if theirs != owner},
            fingerprint=Fingerprint(0, set_digest({definition.key: definition.digest for definition, _ in defined})),
            secrets={name: SecretState(before, now, ()) for name, (before, now) in state["secrets"].items()},
        )

    @asynccontextmanager
    async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
        yield _Writer(self, plan.owner)

    async def history(self, *, limit: int, before: int | None = None) -> tuple[HistoryEntry, ...]:
        return ()

    async def close(self) -> None:
        pass

    def make(self, change: Change, owner: str) -> None:
        """Let a change take effect, wholly or not at all."""
        state = self._load()
        objects = state["objects"]
        match change:
            case Create(key=key, after=after):
                objects.append([str(key), owner, after.content])
            case Delete(key=key):
                objects.remove(_held(objects, key, owner, change.expects))
            case Update(key=key, after=after):
                _held(objects, key, owner, change.expects)[2] = after.content
            case Move(key=key, before=before, after=after):
                moved = _held(objects, before.key, owner, change.expects)
                moved[0], moved[2] = str(key), after.content
            case Adopt(key=key, after=after, taken_from=theirs):
                adopted = _held(objects, key, theirs, change.expects)
                adopted[1], adopted[2] = owner, after.content
            case Resecret(name=name, after=fingerprint):
                state["secrets"][name][0] = fingerprint
        state["effects"].append(f"{change.kind} {change.name if isinstance(change, Resecret) else change.key}")
        self._save(state)

    def _load(self) -> Any:
        return json.loads(self.file.read_text())

    def _save(self, state: Any) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(state))
        os.replace(new, self.file)


@dataclass(slots=True)
class _Writer:
    target: OneByOne
    owner: str
    revision: None = None

    async def write(self, change: Change) -> Receipt:
        self.target.step()
        self.target.make(change, self.owner)
        self.target.step()
        return Receipt(change.key, change.kind)


def _held(objects: list[list[Any]], key: Key, owner: str, digest: str) -> list[Any]:
    """The one object that a change is about; PlanStale when it is not as expected."""
    for held in objects:
        if held[0] == str(key) and held[1] == owner and define(key, held[2]).digest == digest:
            return held
    raise PlanStale(f"{key} is not as expected.")


# A plan of twelve changes, of every kind


def callback(url: str, **more: JsonValue) -> Content:
    return {"type": "data/uplink", "channel": "url", "url": url, **more}


BEFORE: Mapping[str, Content] = {
    "tracker": {},
    "tracker/a": callback("https://a.example.com/"),
    "tracker/off": callback("https://off.example.com/", enabled=False),
    "tracker/on": callback("https://on.example.com/"),
    "tracker/mail": callback("https://mail.example.com/"),
    "tracker/old": callback("https://moved.example.com/"),
    "gone": {},
    "gone/a": callback("https://gone.example.com/"),
}
OTHERS: Mapping[str, tuple[str, Content]] = {
    "door": ("access", {}),
    "door/a": ("access", callback("https://door.example.com/")),
}
SECRETS: Mapping[str, tuple[str | None, str | None]] = {"TOKEN": ("0" * 16, "1" * 16)}
AFTER: Mapping[str, tuple[str, Content]] = {
    "tracker": ("cold-chain", {"description": "A tracker"}),
    "tracker/a": ("cold-chain", callback("https://a.example.com/new")),
    "tracker/off": ("cold-chain", callback("https://off.example.com/")),
    "tracker/on": ("cold-chain", callback("https://on.example.com/", enabled=False)),
    "tracker/mail": ("cold-chain", {"type": "data/uplink", "channel": "email", "recipient": "ops@example.com"}),
    "tracker/new": ("cold-chain", callback("https://moved.example.com/")),
    "fridge": ("cold-chain", {}),
    "fridge/a": ("cold-chain", callback("https://fridge.example.com/")),
    "door": ("access", {}),
    "door/a": ("cold-chain", callback("https://door.example.com/ours")),
}


def twelve_changes(location: str) -> Plan:
    """The plan that leads from BEFORE and OTHERS to AFTER."""

    def before(name: str) -> Definition:
        content = BEFORE[name] if name in BEFORE else OTHERS[name][1]
        return define(Key.parse(name), content)

    def after(name: str) -> Definition:
        return define(Key.parse(name), AFTER[name][1])

    def update(name: str, kind: UpdateKind = "update") -> Update:
        return Update(Key.parse(name), before(name), after(name), fields(before(name), after(name)), None, kind=kind)

    def fields(old: Definition, new: Definition) -> tuple[FieldChange, ...]:
        return field_changes(old.content, new.content)

    door, moved = before("door/a"), before("tracker/old")
    changes: list[Change] = [
        Create(Key("fridge"), after("fridge"), None),
        Create(Key("fridge", "a"), after("fridge/a"), None),
        update("tracker"),
        update("tracker/a"),
        update("tracker/mail", "replace"),
        update("tracker/off", "enable"),
        update("tracker/on", "disable"),
        Move(Key("tracker", "new"), moved, after("tracker/new"), (), None),
        Adopt(Key("door", "a"), door, after("door/a"), "access", fields(door, after("door/a")), None),
        Resecret(Key("tracker", "a"), "TOKEN", "0" * 16, "1" * 16, (Key("tracker", "a"),)),
        Delete(Key("gone", "a"), before("gone/a")),
        Delete(Key("gone"), before("gone")),
    ]
    digest = plan_digest(changes, environment="dev", target=location, owner="cold-chain")
    return Plan("dev", location, "cold-chain", Fingerprint(0, ""), staged(changes), digest)
