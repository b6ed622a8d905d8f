"""`diff`: what differs between two environments, and why."""

from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import CaFile, Directory, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["diff"]


def diff(
    one: Annotated[str, typer.Argument(metavar="ENV", help="An environment of the project file.")],
    other: Annotated[str, typer.Argument(metavar="ENV", help="Another one.")],
    check: Annotated[bool, typer.Option("--check", help="Exit with code 3 when they differ.")] = False,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what the files declare differently for two environments, and the variable or override that makes it so.

    Needs no engine: what an environment holds by now is shown by `plan`.
    """
    from reconciler.cli.contrast import contrast_of
    from reconciler.cli.render.contrast import contrast_as_json, contrast_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if one == other:
        terminal.fail("An environment does not differ from itself; name two of them.", ExitCode.USAGE)
    contrast = contrast_of(terminal, directory, one, other)
    if format is OutputFormat.JSON:
        terminal.result(contrast_as_json(contrast))
    else:
        terminal.result(contrast_as_text(contrast, paint=terminal.paint))
    if check and contrast.differences:
        raise typer.Exit(ExitCode.PENDING)
