"""Our engine as a target: bulk reads, and one atomic revision for each apply.

1. Observing takes two requests whatever the size: the digests of the current revision, then the contents of what
   differs, read from that same revision. One call for each object was measured: 24 s for 10,000.
2. Publishing is compare-and-set on the revision number (`If-Match`, RFC 9110 section 13.1.1). When only the number has
   moved on and nothing that the plan touches, the plan still holds: it is published on the newer revision. When
   something it touches has moved, it is stale, and the message says what, how and by whom.
3. An answer that got lost is looked for: our publication can only be the revision right after the one it names.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, assert_never

import httpx

from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, TargetError, TargetUnavailable
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.plan import Change, Create, Delete, Plan, Receipt, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.targets.client import Answer, AnswerLost, EngineClient
from reconciler.targets.protocol import Writer

__all__ = ["EngineTarget"]

# Each further try means that somebody published within the few milliseconds since the last.
_PUBLISH_TRIES = 8
_NAMED = 10
"""How many moved definitions a message lists; the next plan shows all."""
_SEARCHED = 200
"""How many revisions are searched for who moved something."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """What a revision holds, as far as one bulk read tells: key → digest and owner."""

    number: int
    digest: str
    publication: Publication
    definitions: Mapping[Key, tuple[str, str]]


class EngineTarget:
    """An engine behind its HTTP doors."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        token_variable: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As `EngineClient`, with the same errors."""
        self.client = EngineClient(url, token, token_variable=token_variable, transport=transport)

    @property
    def location(self) -> str:
        """The engine's address."""
        return self.client.location

    @property
    def atomic(self) -> bool:
        """One revision holds all changes of an apply."""
        return True

    async def close(self) -> None:
        """Let go of connections."""
        await self.client.close()

    async def observe(self, owner: str, known: Mapping[Key, str]) -> Observed:
        """What the current revision holds; contents come for owned digests that `known` lacks."""
        held = await self.current()
        digests = {key: digest for key, (digest, owned_by) in held.definitions.items() if owned_by == owner}
        return Observed(
            digests=digests,
            definitions=await self._contents(held, [key for key, d in digests.items() if known.get(key) != d]),
            foreign={key: owned_by for key, (_, owned_by) in held.definitions.items() if owned_by != owner},
            fingerprint=Fingerprint(held.number, held.digest),
        )

    @asynccontextmanager
    async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
        """Gather changes; a clean exit publishes them as one revision."""
        writer = _EngineWriter(self, plan, publication)
        yield writer
        if writer.changes:
            await _to_the_end(writer.publish())

    async def history(self, *, limit: int) -> tuple[HistoryEntry, ...]:
        """Newest first."""
        answer = await self.client.get("/v1/revisions", limit=limit)
        with self.understanding("the history"):
            return tuple(_entry(row) for row in answer.body["revisions"])

    async def current(self) -> Held:
        """What the current revision holds."""
        return self.held(await self.client.get("/v1/revisions/current"))

    def held(self, answer: Answer) -> Held:
        """Read what an engine says about a revision."""
        with self.understanding("a revision"):
            return Held(
                number=int(answer.body["number"]),
                digest=answer.body["digest"],
                publication=_publication(answer.body),
                definitions={
                    Key.parse(key): (held["digest"], held["owner"]) for key, held in answer.body["definitions"].items()
                },
            )

    @contextmanager
    def understanding(self, what: str) -> Iterator[None]:
        """Translate the surprises of reading an answer of another shape.

        Raises:
            TargetRejected: what answered is no engine of this version.
        """
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.client.not_an_engine(f"its answer about {what} has another form ({error!r})") from error

    async def _contents(self, held: Held, keys: Sequence[Key]) -> Mapping[Key, Definition]:
        if not keys:
            return {}
        answer = await self.client.post(
            f"/v1/revisions/{held.number}/definitions", {"keys": [str(key) for key in keys]}
        )
        with self.understanding("contents"):
            found = answer.body["definitions"]
            contents = {key: define(key, found[str(key)]["content"]) for key in keys}
        for key, definition in contents.items():
            if definition.digest != held.definitions[key][0]:
                raise self.client.not_an_engine(f"the content of {key} does not have the digest that it says")
        return contents


class _EngineWriter:
    """Gathers changes, and publishes them as one revision."""

    def __init__(self, engine: EngineTarget, plan: Plan, publication: Publication) -> None:
        self.changes: list[Change] = []
        self.revision: int | None = None
        self._engine = engine
        self._plan = plan
        self._publication = publication

    async def write(self, change: Change) -> Receipt:
        """Keep it until the exit."""
        self.changes.append(change)
        return Receipt(change.key, change.kind)

    async def publish(self) -> None:
        """Publish on the plan's base, or on what is current as long as nothing that the changes touch has moved."""
        base = self._plan.base.revision
        for _ in range(_PUBLISH_TRIES):
            if await self._published_on(base):
                self.revision = base + 1
                return
            current = await self._engine.current()
            await self._refuse_if_moved(current)
            base = current.number
        raise TargetUnavailable(
            f"Others publish at {self._engine.location} so often that {_PUBLISH_TRIES} attempts came too late each "
            "time. Nothing was applied; apply again."
        )

    async def _published_on(self, base: int) -> bool:
        """Whether the changes became the revision after `base`; False when something else did."""
        try:
            answer = await self._engine.client.post(
                "/v1/revisions", self._body(), expect=(201, 409, 412), headers={"If-Match": f'"{base}"'}
            )
        except AnswerLost as lost:
            return await self._found_after(base, lost)
        if answer.status == httpx.codes.CONFLICT:
            await self._refuse_if_moved(await self._engine.current())
            with self._engine.understanding("why the plan is refused"):
                reasons = [problem["message"] for problem in answer.body["problems"]]
            raise self._stale(reasons)
        return answer.status == httpx.codes.CREATED

    async def _found_after(self, base: int, lost: AnswerLost) -> bool:
        """Look for what may have been published though its answer got lost."""
        try:
            answer = await self._engine.client.get(f"/v1/revisions/{base + 1}", expect=(200, 404))
        except TargetError:
            answer = None
        if answer is None or answer.status == httpx.codes.NOT_FOUND:
            raise TargetUnavailable(
                f"{lost}\nWhether the plan was applied is not known. Look before you apply anything else:\n\n"
                f"    reconciler plan -e {self._plan.environment}"
            ) from lost
        found, ours = self._engine.held(answer), self._publication
        return (
            found.publication.by == ours.by
            and found.publication.commit == ours.commit
            and found.publication.note == ours.note
            and all(found.definitions.get(c.key) == _goal(c, self._plan.owner) for c in self.changes)
        )

    async def _refuse_if_moved(self, current: Held) -> None:
        """PlanStale when something that the changes touch is no longer as they expect it."""
        owner = self._plan.owner
        moved = [
            (change.key, _difference(change, found, owner))
            for change in self.changes
            if (found := current.definitions.get(change.key)) != _expected(change, owner)
        ]
        if moved:
            history = await self._engine.history(limit=_SEARCHED)
            since = [entry for entry in history if entry.number > self._plan.base.revision]
            raise self._stale([f"{key}: {how}; {_by_whom(key, since)}" for key, how in moved])

    def _stale(self, reasons: Sequence[str]) -> PlanStale:
        plan, place = self._plan, self._engine.location
        lines = [
            f"The plan is stale: what it touches at {place} has changed since revision {plan.base.revision}. "
            "Nothing was applied.",
            *(f"    {reason}" for reason in reasons[:_NAMED]),
        ]
        if len(reasons) > _NAMED:
            lines.append(f"    and {len(reasons) - _NAMED} more")
        lines += ["Plan again, and review what is different now:", "", f"    reconciler plan -e {plan.environment}"]
        return PlanStale("\n".join(lines))

    def _body(self) -> JsonValue:
        return {
            "owner": self._plan.owner,
            "by": self._publication.by,
            "commit": self._publication.commit,
            "note": self._publication.note,
            "changes": [_change_json(change) for change in self.changes],
        }


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even when this task is cancelled meanwhile; a second cancellation cancels it too."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        raise


def _expected(change: Change, owner: str) -> tuple[str, str] | None:
    """Digest and owner of what must be there for the change to be made."""
    match change:
        case Create():
            return None
        case Update() | Delete():
            return change.expects, owner
        case _:
            assert_never(change)


def _goal(change: Change, owner: str) -> tuple[str, str] | None:
    """Digest and owner of what is there once the change is made."""
    match change:
        case Create(after=after) | Update(after=after):
            return after.digest, owner
        case Delete():
            return None
        case _:
            assert_never(change)


def _difference(change: Change, found: tuple[str, str] | None, owner: str) -> str:
    expected = _expected(change, owner)
    expects = "nothing there" if expected is None else f"digest {expected[0]}"
    if found is None:
        return f"expected {expects}, found nothing"
    whose = "" if found[1] == owner else f" of the project {found[1]}"
    return f"expected {expects}, found digest {found[0]}{whose}"


def _by_whom(key: Key, since: Sequence[HistoryEntry]) -> str:
    for entry in since:
        for kind, changed in entry.changes:
            if changed == key:
                at = "" if entry.publication.at is None else f" at {entry.publication.at:%Y-%m-%d %H:%M:%S} UTC"
                return f"{kind}d by {entry.publication.by or 'unknown'} in revision {entry.number}{at}"
    return "by whom is not in the recent history"


def _change_json(change: Change) -> JsonValue:
    head: dict[str, JsonValue] = {"kind": change.kind, "key": str(change.key)}
    match change:
        case Create(after=after):
            return head | {"after": after.content}
        case Update(after=after):
            return head | {"expects": change.expects, "after": after.content}
        case Delete():
            return head | {"expects": change.expects}
        case _:
            assert_never(change)


def _entry(row: Mapping[str, Any]) -> HistoryEntry:
    changes = tuple((change["kind"], Key.parse(change["key"])) for change in row["changes"])
    return HistoryEntry(row["number"], row["digest"], _publication(row), changes)


def _publication(row: Mapping[str, Any]) -> Publication:
    at = row["publishedAt"]
    return Publication(
        at=None if at is None else datetime.fromisoformat(at),
        by=row["publishedBy"],
        commit=row["commit"],
        note=row["note"],
    )
