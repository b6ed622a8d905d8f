"""`validate`: everything that is wrong with the files, for people, programs and pull requests."""

from pathlib import Path
from typing import Annotated, assert_never

import typer

from reconciler.cli import pages, wiring
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import (
    Directory,
    FindingsFormat,
    FormatOfFindings,
    OptionalEnvironment,
    Quiet,
    Verbose,
    here,
)
from reconciler.cli.render.diagnostics import (
    diagnostics_as_github,
    diagnostics_as_json,
    diagnostics_as_text,
    summary_line,
)
from reconciler.diagnostics import has_errors

__all__ = ["validate"]


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Report only what concerns these files or folders.")
    ] = None,
    environment: OptionalEnvironment = None,
    directory: Directory = here,
    format: FormatOfFindings = FindingsFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check the files of a project; needs no engine.

    They are checked for every environment, unless -e names one.

    Every finding has a code; `reconciler explain CODE` says what it means and what to do.
    """
    from reconciler.config.load import load

    terminal = wiring.this_terminal(quiet=quiet, verbose=verbose)
    loaded = load(directory, environ=wiring.environment(), environment=environment, paths=paths or ())
    found = loaded.diagnostics
    match format:
        case FindingsFormat.TEXT:
            if found:
                terminal.result(diagnostics_as_text(found, paint=terminal.paint))
            terminal.result(summary_line(found, files=len(loaded.files), paint=terminal.paint))
        case FindingsFormat.JSON:
            terminal.result(diagnostics_as_json(found))
        case FindingsFormat.SARIF:
            from reconciler.cli.render.sarif import diagnostics_as_sarif

            terminal.result(diagnostics_as_sarif(found, page=pages.page))
        case FindingsFormat.GITHUB:
            if found:
                terminal.result(diagnostics_as_github(found))
            terminal.say(summary_line(found, files=len(loaded.files), paint=terminal.paint_talk))
        case _:
            assert_never(format)
    if has_errors(found):
        raise typer.Exit(ExitCode.PROBLEMS)
