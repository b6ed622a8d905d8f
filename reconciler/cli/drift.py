"""`drift`: what was changed at a target behind the files."""

from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import CaFile, Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["drift"]


def drift(
    environment: Environment,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 3 when there is any.")] = False,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what somebody changed at the target since the files were last applied: what, by whom, and when.

    What the files themselves changed since then is no drift; `plan` shows it.
    """
    from reconciler.cli.planning import plan_for
    from reconciler.cli.render.drift import drift_as_json, drift_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    plan = plan_for(terminal, directory, environment).plan
    if format is OutputFormat.JSON:
        terminal.result(drift_as_json(plan))
    else:
        terminal.result(drift_as_text(plan, paint=terminal.paint))
    if check and plan.drift:
        raise typer.Exit(ExitCode.PENDING)
