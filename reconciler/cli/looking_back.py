"""What was: the way back to an earlier revision, and what a revision did."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.cli.project import observer_of, refuse, unknown_environment
from reconciler.cli.terminal import Terminal
from reconciler.config.document import Project
from reconciler.config.project import load_project
from reconciler.diagnostics import Diagnostic
from reconciler.model.definition import Definition
from reconciler.model.plan import Change
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry
from reconciler.model.snapshot import Fingerprint, Observed
from reconciler.plan.past import changes_of
from reconciler.plan.rollback import Rollback, make_rollback

if TYPE_CHECKING:
    from reconciler.targets.protocol import Archive

__all__ = ["Told", "WayBack", "revision_told", "way_back"]

T = TypeVar("T")

# Mostly the last revision is the project's own; then up to the most that an engine tells at once.
_SEARCHED: Final = (2, 50, 1_000)
_NOTHING: Final = Observed({}, {}, {}, Fingerprint(0, ""))
"""What is there before the first revision."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """A rollback, what the history says of the revision that it leads to, and whether to ask for the name."""

    rollback: Rollback
    entry: HistoryEntry
    protected: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A revision's entry in the history, and what it did."""

    entry: HistoryEntry
    changes: tuple[Change, ...]


def way_back(terminal: Terminal, directory: Path, environment: str, number: int | None) -> WayBack:
    """What it takes to go back to a revision; by default to before what the project's files last brought about.

    Raises:
        TargetError: the target could not be read.
    """
    project = _project(terminal, directory, environment)

    async def look(archive: "Archive") -> tuple[Rollback, HistoryEntry] | Diagnostic:
        if number is None:
            entry = await _before_the_last(archive, project.name)
            if entry is None:
                return _nothing_before(archive.location, project.name, environment)
        else:
            entry = await _entry(archive, number)
            if entry is None:
                return _no_revision(number, archive.location, environment)
        earlier, observed = await _pictures(archive, project.name, entry.number)
        return make_rollback(
            earlier, observed, owner=project.name, environment=environment, target=archive.location
        ), entry

    found = _asked(terminal, directory, environment, look)
    if isinstance(found, Diagnostic):
        refuse(terminal, found)
    return WayBack(*found, protected=project.environments[environment].protected)


def revision_told(terminal: Terminal, directory: Path, environment: str, number: int) -> Told:
    """What a revision did, change by change.

    Raises:
        TargetError: the target could not be read.
    """

    async def look(archive: "Archive") -> Told | Diagnostic:
        entry = await _entry(archive, number)
        if entry is None:
            return _no_revision(number, archive.location, environment)
        return Told(entry, await _changes(archive, entry))

    found = _asked(terminal, directory, environment, look)
    if isinstance(found, Diagnostic):
        refuse(terminal, found)
    return found


async def _before_the_last(archive: "Archive", owner: str) -> HistoryEntry | None:
    """The revision before the last one that the project's files, or a rollback of theirs, brought about."""
    for limit in _SEARCHED:
        history = await archive.history(limit=limit)
        for entry, earlier in pairwise(history):
            if entry.owner == owner and entry.publication.via:
                return earlier
        if len(history) < limit:
            break
    return None


async def _pictures(archive: "Archive", owner: str, goal: int) -> tuple[Observed, Observed]:
    """What was there at `goal` and what is there now, each with the contents that the other has not like it."""
    now = await archive.observe(owner, None)
    then = await archive.as_of(goal, owner, now.digests)
    assert then is not None, "it is in the history"
    others = {key: digest for key, digest in now.digests.items() if then.digests.get(key) != digest}
    return then, replace(now, definitions=await archive.contents(now.fingerprint.revision, others))


async def _entry(archive: "Archive", number: int) -> HistoryEntry | None:
    history = await archive.history(limit=1, before=number + 1)
    return next((entry for entry in history if entry.number == number), None)


async def _changes(archive: "Archive", entry: HistoryEntry) -> tuple[Change, ...]:
    number, owner = entry.number, entry.owner
    after = await archive.as_of(number, owner, None)
    before = _NOTHING if number == 1 or after is None else await archive.as_of(number - 1, owner, after.digests)
    if after is None or before is None:
        return ()
    new = {key: digest for key, digest in after.digests.items() if before.digests.get(key) != digest}
    old: dict[Key, Definition] = dict(before.definitions)
    former = {key: before.foreign[key] for kind, key in entry.changes if kind == "adopt" and key in before.foreign}
    for name in set(former.values()):
        theirs = await archive.as_of(number - 1, name, None)
        taken = [key for key, holder in former.items() if holder == name]
        old |= {} if theirs is None else await archive.contents(number - 1, {key: theirs.digests[key] for key in taken})
    return changes_of(entry, old, await archive.contents(number, new), former)


def _asked(terminal: Terminal, directory: Path, environment: str, look: "Callable[[Archive], Awaitable[T]]") -> T:
    archive = observer_of(terminal, directory, environment=environment)

    async def read() -> T:
        try:
            return await look(archive)
        finally:
            await archive.close()

    return asyncio.run(read())


def _project(terminal: Terminal, directory: Path, environment: str) -> Project:
    loaded = load_project(directory)
    if loaded.project is None:
        refuse(terminal, *loaded.diagnostics)
    if environment not in loaded.project.environments:
        refuse(terminal, unknown_environment(loaded, environment))
    return loaded.project


def _nothing_before(location: str, owner: str, environment: str) -> Diagnostic:
    return Diagnostic(
        code="nothing-to-go-back-to",
        summary="There is nothing to go back to",
        detail=f"The history of {location} knows no revision before the first that {owner} applied there.",
        help="See what there was, and name a revision:\n\n"
        f"    reconciler history -e {environment}\n"
        f"    reconciler rollback -e {environment} NUMBER",
    )


def _no_revision(number: int, location: str, environment: str) -> Diagnostic:
    return Diagnostic(
        code="unknown-revision",
        summary="There is no revision of that number",
        detail=f"{location} has no revision {number}.",
        help=f"See which there are:\n\n    reconciler history -e {environment}",
    )
