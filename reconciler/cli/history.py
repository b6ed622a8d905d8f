"""`history`: what was published at a target, by whom, when, from which commit, and what it did."""

from typing import Annotated

import typer

from reconciler.cli.options import CaFile, Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["history"]


def history(
    environment: Environment,
    revision: Annotated[
        int | None, typer.Argument(metavar="[N]", min=1, help="Tell of this revision all that it did.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many revisions at most.")] = 20,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the revisions of an environment, newest first; or tell of one what it did, change by change."""
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    as_json = format is OutputFormat.JSON
    if revision is not None:
        from reconciler.cli.looking_back import revision_told
        from reconciler.cli.render.history import revision_as_json, revision_as_text

        told = revision_told(terminal, directory, environment, revision)
        if as_json:
            terminal.result(revision_as_json(told.entry, told.changes))
        else:
            terminal.result(revision_as_text(told.entry, told.changes, paint=terminal.paint, width=terminal.width))
        return

    from reconciler.cli.planning import history_of
    from reconciler.cli.render.history import history_as_json, history_as_text

    entries = history_of(terminal, directory, environment, limit=limit)
    terminal.result(history_as_json(entries) if as_json else history_as_text(entries, paint=terminal.paint))
