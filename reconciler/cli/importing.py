"""Looking at what a target holds, to import it, and taking over what others own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from reconciler.apply import Report
from reconciler.cli.carrying_out import agree, carry_out, conclude, teller
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.project import observer_of
from reconciler.cli.render.plan_text import plan_as_text
from reconciler.cli.render.text import visible
from reconciler.cli.terminal import Terminal
from reconciler.config.load import Loaded
from reconciler.model.definition import Definition
from reconciler.model.plan import Plan
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Observed
from reconciler.plan.adoption import make_adoption

__all__ = ["Found", "look", "take_over"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a target holds for a project.

    Attributes:
        held: what the project owns there, and what it is to take over.
        adoption: how it takes that over; None when it takes over nothing.
    """

    location: str
    held: Mapping[Key, Definition]
    adoption: Plan | None


def look(terminal: Terminal, directory: Path, loaded: Loaded, *, adopt: str | None) -> Found:
    """What the project owns at the target of its environment, and what `adopt`, if anybody, owns there.

    Raises:
        TargetError: the target could not be read.
    """
    desired, environment = loaded.desired, loaded.environment
    assert desired is not None, "there are no errors, and an environment was chosen"
    assert environment is not None, "likewise"
    observer = observer_of(terminal, directory, environment=environment)

    async def observe() -> tuple[Observed, Observed | None]:
        known = {key: definition.digest for key, definition in desired.definitions.items()}
        try:
            ours = await observer.observe(desired.owner, known)
            return ours, None if adopt is None else await observer.observe(adopt, {})
        finally:
            await observer.close()

    ours, theirs = asyncio.run(observe())
    terminal.detail(f"{observer.location} is at revision {ours.fingerprint.revision}.")
    held = {key: ours.definitions.get(key) or desired.definitions[key] for key in ours.digests}
    if theirs is None or adopt is None:
        return Found(observer.location, held, None)
    if adopt == desired.owner or not theirs.digests:
        _nothing_to_adopt(terminal, observer.location, adopt, ours)
    goal = Desired(desired.owner, theirs.definitions, origins={})
    plan = make_adoption(goal, theirs, taken_from=adopt, environment=environment, target=observer.location)
    return Found(observer.location, {**held, **theirs.definitions}, plan)


def take_over(
    terminal: Terminal, directory: Path, loaded: Loaded, plan: Plan, *, note: str, yes: bool, as_text: bool
) -> Report:
    """Show an adoption, ask, and carry it out; ends the verb unless it is in force then."""
    assert loaded.project is not None, "a project without errors"
    shown = plan_as_text(plan, paint=terminal.paint, width=terminal.width)
    if as_text:
        terminal.result(shown)
    elif not yes:
        terminal.complain(shown)
    if not yes:
        protected = loaded.project.environments[plan.environment].protected
        agree(terminal, plan, protected=protected, question="Take this over in {}?")
    report = carry_out(terminal, directory, plan, note=note, tell=teller(terminal, as_text=as_text), via="import")
    if as_text or not report.succeeded:
        conclude(terminal, report, environment=plan.environment, as_text=as_text)
    return report


def _nothing_to_adopt(terminal: Terminal, location: str, adopt: str, ours: Observed) -> NoReturn:
    whose = f"The project {visible(adopt)}" if adopt else "Nobody"
    owners = sorted({owner or "nobody" for owner in ours.foreign.values()})
    others = f"These do: {', '.join(map(visible, owners))}." if owners else "No other project does, either."
    terminal.complain(f"{whose} owns nothing at {location} that could be taken over. {others}")
    raise typer.Exit(ExitCode.PROBLEMS)
