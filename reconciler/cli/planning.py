"""Making plans and looking back: what `plan`, `apply`, `drift` and `history` have in common.

A plan is made over a connection of its own, which is closed before somebody reads and decides: no event loop runs then
that would swallow an interruption.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from reconciler.cli.project import limits_of, load_sound, observer_of
from reconciler.cli.terminal import Terminal
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Plan
from reconciler.model.revision import HistoryEntry
from reconciler.model.snapshot import Observed
from reconciler.plan.limits import refusals
from reconciler.plan.planner import make_plan

__all__ = ["Planned", "history_of", "plan_for"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what stands against applying it, and whether the environment wants to be asked for by name."""

    plan: Plan
    refused_by: tuple[Diagnostic, ...]
    protected: bool


def plan_for(terminal: Terminal, directory: Path, environment: str, *, over_limits: str | None = None) -> Planned:
    """Load the files, look at the target, and compare; `over_limits` as in `plan.limits.refusals`.

    Raises:
        TargetError: the target could not be read.
    """
    loaded = load_sound(terminal, directory, environment=environment)
    assert loaded.desired is not None, "there are no errors, and an environment was chosen"
    assert loaded.project is not None, "likewise"
    desired = loaded.desired
    target = observer_of(terminal, directory, environment=environment)

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
        refused_by=refusals(plan, observed, limits_of(loaded), over_limits=over_limits),
        protected=loaded.project.environments[environment].protected,
    )


def history_of(terminal: Terminal, directory: Path, environment: str, *, limit: int) -> tuple[HistoryEntry, ...]:
    """What was published at the target of an environment, newest first.

    Raises:
        TargetError: it could not be read.
    """
    target = observer_of(terminal, directory, environment=environment)

    async def read() -> tuple[HistoryEntry, ...]:
        try:
            return await target.history(limit=limit)
        finally:
            await target.close()

    return asyncio.run(read())
