"""Our engine as a target: bulk reads, and one atomic revision for each apply.

1. Observing takes one request when nobody but the files has changed anything: the digests of the current revision. When
   somebody has, a second one brings the digests as they were applied. Contents are asked for only where digests differ,
   in one request for each of the two; who changed them is looked for in pages of the history, four at most. So it is
   one to eight requests, whatever the size; one call for each object was measured: 24 s for 10,000.
2. Publishing is compare-and-set on the revision number (`If-Match`, RFC 9110 section 13.1.1). When only the number has
   moved on and nothing that the plan touches, the plan still holds: it is published on the newer revision. When
   something it touches has moved, it is stale, and the message says what, how and by whom.
3. An answer that got lost is looked for: our publication can only be the revision right after the one it names.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, TargetError, TargetUnavailable
from reconciler.model.definition import Definition
from reconciler.model.plan import Change, Plan, Receipt, Resecret
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Owned, Publication
from reconciler.model.snapshot import Applied, Blame, Fingerprint, Observed
from reconciler.targets.answers import Held, held_in, history_in, proposal_json, secret_states
from reconciler.targets.client import AnswerLost, EngineClient, WritingClient
from reconciler.targets.movement import Deed, deeds_in, goal, moved_keys, moved_secret
from reconciler.targets.protocol import Writer

__all__ = ["EngineObserver", "EngineTarget"]

# Each further try means that somebody published within the few milliseconds since the last.
_PUBLISH_TRIES: Final = 8
_NAMED: Final = 10
"""How many moved definitions a message lists; the next plan shows all."""
_PAGE: Final = 50
_PAGES: Final = 4
"""How far back it is searched who changed something."""

T = TypeVar("T")


class EngineObserver:
    """An engine behind those of its HTTP doors that only read."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        token_variable: str | None = None,
        authorities: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As `EngineClient`, with the same errors."""
        self.client = EngineClient(
            url, token, token_variable=token_variable, authorities=authorities, transport=transport
        )

    @property
    def location(self) -> str:
        """The engine's address."""
        return self.client.location

    async def close(self) -> None:
        """Let go of connections."""
        await self.client.close()

    async def observe(self, owner: str, known: Mapping[Key, str] | None) -> Observed:
        """What the current revision holds; contents come for owned digests that `known` lacks, none without it."""
        held = await self.current()
        digests = held.digests_of(owner)
        applied = await self.applied(held, owner)
        before = {} if applied is None else applied.digests_of(owner)
        drifted = [] if applied is None else [k for k in {**before, **digests} if before.get(k) != digests.get(k)]
        if known is None:
            known, drifted = digests, []
        remembered: Applied | None = None
        blame: Mapping[Key, Blame] = {}
        if applied is not None:
            contents = await self._contents(applied, [key for key in drifted if key in before])
            remembered = Applied(applied.number, before, contents)
            blame = await self._blame(drifted, since=applied.number)
        return Observed(
            digests=digests,
            definitions=await self._contents(held, [key for key, d in digests.items() if known.get(key) != d]),
            foreign=held.foreign_to(owner),
            fingerprint=Fingerprint(held.number, held.digest),
            applied=remembered,
            secrets=secret_states(held, applied, owner=owner),
            blame=blame,
        )

    async def as_of(self, revision: int, owner: str, known: Mapping[Key, str] | None) -> Observed | None:
        """What a revision held; contents come as for `observe`."""
        held = await self._revision(revision)
        if held is None:
            return None
        digests = held.digests_of(owner)
        known = digests if known is None else known
        contents = await self._contents(held, [key for key, digest in digests.items() if known.get(key) != digest])
        return Observed(digests, contents, held.foreign_to(owner), Fingerprint(held.number, held.digest))

    async def contents(self, revision: int, digests: Mapping[Key, str]) -> Mapping[Key, Definition]:
        """The contents that a revision has under these keys; they have these digests."""
        if not digests:
            return {}
        answer = await self.client.definitions(revision, map(str, digests))
        with self.understanding("contents"):
            found = answer.body["definitions"]
            contents = {key: define(key, found[str(key)]["content"]) for key in digests}
        for key, definition in contents.items():
            if definition.digest != digests[key]:
                raise self.client.not_an_engine(f"the content of {key} does not have the digest that it says")
        return contents

    async def everything(self, revision: int) -> Mapping[Key, Owned] | None:
        """What there was as of a revision; None when there is no such revision."""
        held = await self._revision(revision)
        if held is None:
            return None
        contents = await self._contents(held, [*held.definitions])
        return {key: Owned(definition, held.definitions[key][1]) for key, definition in contents.items()}

    async def history(self, *, limit: int, before: int | None = None) -> tuple[HistoryEntry, ...]:
        """Newest first; `before` leaves out that revision and all after it."""
        page = {} if before is None else {"before": before}
        answer = await self.client.get("/v1/revisions", expect=(200,), limit=limit, **page)
        with self.understanding("the history"):
            return history_in(answer.body)

    async def refuse_if_moved(self, plan: Plan) -> None:
        """Hold a plan against what the current revision holds, as the writer does before it publishes."""
        writer = _EngineWriter(self, plan, Publication(at=None, by=""))
        for change in plan.changes:
            await writer.write(change)
        await writer.current_if_nothing_moved()

    # What the writer reads too

    async def current(self) -> Held:
        """What the current revision holds."""
        answer = await self.client.get("/v1/revisions/current")
        with self.understanding("a revision"):
            return held_in(answer.body)

    async def applied(self, current: Held, owner: str) -> Held | None:
        """What the owner's files last brought about; None when they never did."""
        if current.owner == owner and current.publication.via:
            return current
        answer = await self.client.get("/v1/revisions/applied", expect=(200, 404), owner=owner)
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        with self.understanding("a revision"):
            return held_in(answer.body)

    async def deeds(self, keys: Collection[Key], *, since: int) -> Mapping[Key, Deed]:
        """What was last done to each key after revision `since`, as far as the last few hundred revisions tell."""
        wanted = set(keys)
        found: dict[Key, Deed] = {}
        before: int | None = None
        for _ in range(_PAGES if wanted else 0):
            entries = await self.history(limit=_PAGE, before=before)
            for entry in entries:
                if entry.number > since:
                    found |= {key: deed for key, deed in deeds_in(entry) if key in wanted and key not in found}
            if len(entries) < _PAGE or entries[-1].number <= since + 1 or wanted == found.keys():
                break
            before = entries[-1].number
        return found

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

    async def _revision(self, number: int) -> Held | None:
        answer = await self.client.get(f"/v1/revisions/{number}", expect=(200, 404))
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        with self.understanding("a revision"):
            return held_in(answer.body)

    async def _blame(self, keys: Collection[Key], *, since: int) -> Mapping[Key, Blame]:
        deeds = await self.deeds(keys, since=since)
        entries = {key: deed.entry for key, deed in deeds.items()}
        return {key: Blame(e.publication.by, e.number, e.publication.at) for key, e in entries.items()}

    async def _contents(self, held: Held, keys: Sequence[Key]) -> Mapping[Key, Definition]:
        return await self.contents(held.number, {key: held.definitions[key][0] for key in keys})


class EngineTarget(EngineObserver):
    """An engine behind its HTTP doors."""

    @property
    def atomic(self) -> bool:
        """One revision holds all changes of an apply."""
        return True

    @asynccontextmanager
    async def writer(self, plan: Plan, publication: Publication) -> AsyncIterator[Writer]:
        """Gather changes; a clean exit publishes them as one revision."""
        writer = _EngineWriter(self, plan, publication)
        yield writer
        if writer.changes:
            await _to_the_end(writer.publish())


class _EngineWriter:
    """Gathers changes, and publishes them as one revision."""

    def __init__(self, engine: EngineObserver, plan: Plan, publication: Publication) -> None:
        self.changes: list[Change] = []
        self.revision: int | None = None
        self._engine = engine
        self._writing = WritingClient(engine.client)
        self._plan = plan
        self._publication = replace(publication, via=publication.via or "apply", plan=publication.plan or plan.digest)

    async def write(self, change: Change) -> Receipt:
        """Keep it until the exit."""
        self.changes.append(change)
        return Receipt(change.key, change.kind)

    async def publish(self) -> None:
        """Publish on the plan's base, or on what is current as long as nothing that the changes touch has moved."""
        base = self._plan.base.revision
        if all(isinstance(change, Resecret) for change in self.changes):
            # Nothing else in it would be refused, if the fingerprints were recorded meanwhile.
            base = await self.current_if_nothing_moved()
        for _ in range(_PUBLISH_TRIES):
            if await self._published_on(base):
                self.revision = base + 1
                return
            base = await self.current_if_nothing_moved()
        raise TargetUnavailable(
            f"Others publish at {self._engine.location} so often that {_PUBLISH_TRIES} attempts came too late each "
            "time. Nothing was applied; apply again."
        )

    async def _published_on(self, base: int) -> bool:
        """Whether the changes became the revision after `base`; False when something else did."""
        proposal = proposal_json(self._plan, self._publication, self.changes)
        try:
            answer = await self._writing.publish(proposal, base=base)
        except AnswerLost as lost:
            return await self._found_after(base, lost)
        if answer.status == httpx.codes.CONFLICT:
            await self.current_if_nothing_moved()
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
        with self._engine.understanding("a revision"):
            found = held_in(answer.body)
        goals = {key: standing for c in self.changes for key, standing in goal(c, self._plan.owner).items()}
        return (
            found.owner == self._plan.owner
            and replace(found.publication, at=None) == replace(self._publication, at=None)
            and all(found.definitions.get(key) == standing for key, standing in goals.items())
        )

    async def current_if_nothing_moved(self) -> int:
        """The current revision's number.

        Raises:
            PlanStale: something that the changes touch is no longer as they expect it.
        """
        current = await self._engine.current()
        moved = dict(moved_keys(self.changes, current.definitions, self._plan.owner))
        deeds = await self._engine.deeds(moved.keys(), since=self._plan.base.revision)
        reasons = [
            f"{key}: {how}; {deeds.get(key, 'by whom is not in the recent history')}" for key, how in moved.items()
        ]
        reasons += await self._moved_secrets(current)
        if reasons:
            raise self._stale(reasons)
        return current.number

    async def _moved_secrets(self, current: Held) -> Sequence[str]:
        resecrets = [change for change in self.changes if isinstance(change, Resecret)]
        if not resecrets:
            return ()
        owner = self._plan.owner
        states = secret_states(current, await self._engine.applied(current, owner), owner=owner)
        moved = ((change.name, moved_secret(change, states.get(change.name))) for change in resecrets)
        return [f"secret {name}: {how}" for name, how in moved if how is not None]

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
