"""`test`: the tests that stand beside the callbacks, run by the engine's own router and renderer."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, Quiet, Verbose, here
from reconciler.cli.wiring import this_terminal

if TYPE_CHECKING:
    from reconciler.cli.render.text import Paint
    from reconciler.cli.testing import Tested

__all__ = ["ResultsFormat", "run_tests"]


class ResultsFormat(StrEnum):
    """How the results of tests are written."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


def run_tests(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Run only the tests in these files or folders.")
    ] = None,
    environments: Annotated[
        list[str] | None,
        typer.Option("-e", "--environment", metavar="ENV", help="Test this environment only. May be repeated."),
    ] = None,
    format: Annotated[ResultsFormat, typer.Option("--format", help="How the results are written.")] = (
        ResultsFormat.TEXT
    ),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the results there, and show the text."),
    ] = None,
    directory: Directory = here,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the tests of the callbacks; needs no engine, and sends nothing.

    A test is a message and what it leads to: the request, its fields, or that nothing is sent. Tests run for every
    environment, unless -e names some.
    """
    from reconciler.cli.render.test_results import results_as_json, results_as_junit
    from reconciler.cli.render.text import Paint
    from reconciler.cli.testing import try_out

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    tested = try_out(terminal, directory, environments=environments or (), paths=paths or ())
    match format:
        case ResultsFormat.TEXT:
            result = _as_text(
                tested, paint=terminal.paint if output is None else Paint(coloured=False), verbose=verbose
            )
        case ResultsFormat.JSON:
            result = results_as_json(tested.trials, left_out=tested.left_out)
        case ResultsFormat.JUNIT:
            result = results_as_junit(tested.trials)
        case _:
            assert_never(format)
    unwritten = None if output is None else _write(output, result)
    terminal.result(result if output is None else _as_text(tested, paint=terminal.paint, verbose=verbose))
    if unwritten is not None:
        terminal.fail(f"The results can not be written to {output}: {unwritten}.", ExitCode.FAILED)
    if tested.failed or not tested.environments:
        raise typer.Exit(ExitCode.PROBLEMS)


def _as_text(tested: "Tested", *, paint: "Paint", verbose: bool) -> str:
    from reconciler.cli.render.test_results import results_as_text

    return results_as_text(
        tested.trials,
        environments=tested.environments,
        left_out=tested.left_out,
        paint=paint,
        with_passed=verbose,
    )


def _write(path: Path, text: str) -> str | None:
    """Write a file; why it could not be written, None when it was."""
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        return error.strerror or str(error)
    return None
