"""`plan`: what an apply would change, and why."""

from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["plan"]


def plan(
    environment: Environment,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 3 when changes are pending.")] = False,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what an apply would change. Nothing is written anywhere.

    The files are the whole truth of a project: what it owns at the target and no longer declares is deleted.
    """
    from reconciler.cli.planning import plan_for
    from reconciler.cli.project import refuse
    from reconciler.cli.render.plans import plan_as_text
    from reconciler.codec.plan import dump_plan

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    planned = plan_for(terminal, directory, environment)
    if format is OutputFormat.JSON:
        terminal.result(dump_plan(planned.plan).decode())
    else:
        terminal.result(plan_as_text(planned.plan, paint=terminal.paint))
    if planned.refused_by:
        refuse(terminal, *planned.refused_by)
    if check and not planned.plan.is_empty:
        raise typer.Exit(ExitCode.PENDING)
