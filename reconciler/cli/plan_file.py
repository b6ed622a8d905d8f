"""A saved plan, as `apply PLANFILE` takes it: read, held against the project, and judged again.

1. The definitions of the project are not looked at: the plan holds what will be written. The project file is, since the
   plan must be of this project, of an environment that it has, and for the target that this one has now.
2. What refuses a plan refuses it also now: limits as the project file sets them today, of what the target holds today.
   A plan that is stale besides is told that first: how much it would change says nothing any more.
"""

import asyncio
import sys
from pathlib import Path

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.planning import Planned
from reconciler.cli.project import limits_in, observer_of, refuse, unknown_environment
from reconciler.cli.render.text import visible
from reconciler.cli.terminal import Terminal
from reconciler.codec.plan import load_plan
from reconciler.config.project import load_project
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Limits, Plan
from reconciler.model.snapshot import Observed
from reconciler.plan.limits import refusals

__all__ = ["plan_in"]

_STDIN = "-"


def plan_in(
    terminal: Terminal, directory: Path, file: str, *, environment: str | None, over_limits: str | None
) -> Planned:
    """The plan that a file holds, `-` being standard input; a plan for elsewhere ends the verb.

    Raises:
        PlanStale: it would be refused for what it changes, and something that it touches has moved.
        TargetError: the target could not be read.
    """
    plan = _read(terminal, file)
    loaded = load_project(directory)
    if loaded.project is None:
        refuse(terminal, *loaded.diagnostics)
    chosen = loaded.project.environments.get(plan.environment)
    wrong = []
    if environment is not None and environment != plan.environment:
        wrong.append(_for_elsewhere(plan, f"It is for {plan.environment}, and -e names {visible(environment)}."))
    if loaded.project.name != plan.owner:
        wrong.append(_for_elsewhere(plan, f"It is for the project {plan.owner}, and this is {loaded.project.name}."))
    if chosen is None:
        wrong.append(unknown_environment(loaded, plan.environment))
    if wrong or chosen is None:
        refuse(terminal, *wrong)
    target = observer_of(terminal, directory, environment=plan.environment)
    if target.location != plan.target:
        detail = (
            f"It is for {plan.environment} at {plan.target}, and by now {plan.environment} is at {target.location}."
        )
        refuse(terminal, _for_elsewhere(plan, detail))

    limits = limits_in(loaded.project, plan.environment)

    async def judge() -> tuple[Diagnostic, ...]:
        try:
            # What the target holds matters to limits alone, and telling it is half of a small apply's time.
            nothing = Observed({}, {}, {}, plan.base)
            observed = nothing if limits == Limits() else await target.observe(plan.owner, None)
            refused_by = refusals(plan, observed, limits, over_limits=over_limits)
            if refused_by:
                await target.refuse_if_moved(plan)
            return refused_by
        finally:
            await target.close()

    return Planned(plan, asyncio.run(judge()), protected=chosen.protected)


def _read(terminal: Terminal, file: str) -> Plan:
    try:
        text = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        terminal.fail(f"The plan can not be read from {visible(file)}: {error.strerror}.", ExitCode.USAGE)
    try:
        return load_plan(text)
    except ValueError as error:
        refuse(
            terminal,
            Diagnostic(
                code="bad-plan-file",
                summary="The file holds no plan that can be applied",
                detail=str(error),
                help="Make it again, and review it again:\n\n    reconciler plan -e ENV -o FILE",
                file="standard input" if file == _STDIN else file,
            ),
        )


def _for_elsewhere(plan: Plan, detail: str) -> Diagnostic:
    return Diagnostic(
        code="plan-for-elsewhere",
        summary="The plan was not made for this project, environment and target",
        detail=f"{detail} What was approved for one place says nothing about another.",
        help=f"Make a plan for the place that is meant, and review that:\n\n    reconciler plan -e {plan.environment}",
    )
