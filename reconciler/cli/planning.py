"""Making plans, carrying them out, and looking back: what `plan`, `apply`, `history` and `demo` have in common.

A plan is made and carried out over connections of their own: between the two somebody reads and decides, and no event
loop runs that would swallow an interruption.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.apply import Report, apply
from reconciler.cli.project import limits_of, load_sound, target_of
from reconciler.cli.provenance import commit_of, who
from reconciler.cli.terminal import Terminal
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Plan, Receipt
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import Observed
from reconciler.plan.limits import refusals
from reconciler.plan.planner import make_plan

__all__ = ["Planned", "carry_out", "history_of", "plan_for"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what stands against applying it, and whether the environment wants to be asked for by name."""

    plan: Plan
    refused_by: tuple[Diagnostic, ...]
    protected: bool


def plan_for(terminal: Terminal, directory: Path, environment: str) -> Planned:
    """Load the files, look at the target, and compare.

    Raises:
        TargetError: the target could not be read.
    """
    loaded = load_sound(terminal, directory, environment=environment)
    assert loaded.desired is not None, "there are no errors, and an environment was chosen"
    assert loaded.project is not None, "likewise"
    desired = loaded.desired
    target = target_of(terminal, directory, environment=environment)

    async def observe() -> Observed:
        known = {key: definition.digest for key, definition in desired.definitions.items()}
        try:
            return await target.observe(desired.owner, known)
        finally:
            await target.close()

    observed = asyncio.run(observe())
    terminal.detail(f"{target.location} is at revision {observed.fingerprint.revision}.")
    plan = make_plan(desired, observed, environment=environment, target=target.location)
    return Planned(
        plan,
        refused_by=refusals(plan, observed, limits_of(loaded)),
        protected=loaded.project.environments[environment].protected,
    )


def carry_out(terminal: Terminal, directory: Path, plan: Plan, *, note: str, tell: Callable[[Receipt], None]) -> Report:
    """Apply the plan, under the name of whoever works here and the commit of the project; `tell` as in `apply`."""
    target = target_of(terminal, directory, environment=plan.environment)
    publication = Publication(at=None, by=who(directory), commit=commit_of(directory), note=note)

    async def write() -> Report:
        try:
            return await apply(plan, target, publication, tell=tell)
        finally:
            await target.close()

    return asyncio.run(write())


def history_of(terminal: Terminal, directory: Path, environment: str, *, limit: int) -> tuple[HistoryEntry, ...]:
    """What was published at the target of an environment, newest first.

    Raises:
        TargetError: it could not be read.
    """
    target = target_of(terminal, directory, environment=environment)

    async def read() -> tuple[HistoryEntry, ...]:
        try:
            return await target.history(limit=limit)
        finally:
            await target.close()

    return asyncio.run(read())
