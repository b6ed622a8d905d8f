"""`history`: what was published at a target, by whom, when and from which commit."""

from typing import Annotated

import typer

from reconciler.cli.options import Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["history"]


def history(
    environment: Environment,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many revisions at most.")] = 20,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the revisions of an environment, newest first."""
    from reconciler.cli.planning import history_of
    from reconciler.cli.render.plans import history_as_json, history_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    entries = history_of(terminal, directory, environment, limit=limit)
    if format is OutputFormat.JSON:
        terminal.result(history_as_json(entries))
    else:
        terminal.result(history_as_text(entries, paint=terminal.paint))
