"""`apply`: bring an environment to what the files declare, exactly as the plan shows it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.terminal import Terminal
from reconciler.cli.wiring import this_terminal

if TYPE_CHECKING:
    from reconciler.cli.planning import Planned
    from reconciler.model.plan import Receipt

__all__ = ["apply"]


def apply(
    environment: Environment,
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A line for the history.")] = "",
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the plan, ask, and apply it.

    It becomes one revision, all of it or nothing. It is refused when something that it touches has changed since.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if not yes and not terminal.can_ask:
        terminal.fail(
            "There is no terminal to ask on. To apply without being asked:\n\n"
            f"    reconciler apply -e {environment} --yes",
            ExitCode.USAGE,
        )

    from reconciler.cli.planning import carry_out, plan_for
    from reconciler.cli.project import refuse
    from reconciler.cli.render.failures import exit_code_of, failure_as_text
    from reconciler.cli.render.plans import plan_as_text, receipt_line, report_as_json, report_as_text

    planned = plan_for(terminal, directory, environment)
    shown = plan_as_text(planned.plan, paint=terminal.paint)
    as_text = format is OutputFormat.TEXT
    if as_text:
        terminal.result(shown)
    elif not yes:
        terminal.complain(shown)
    if planned.refused_by:
        refuse(terminal, *planned.refused_by)
    if not planned.plan.is_empty and not yes and not _agreed(terminal, planned):
        terminal.complain("Nothing was applied.")
        raise typer.Exit(ExitCode.PROBLEMS)

    def tell(receipt: "Receipt") -> None:
        if as_text:
            terminal.result(receipt_line(receipt, paint=terminal.paint))

    report = carry_out(terminal, directory, planned.plan, note=note, tell=tell)
    terminal.result(report_as_text(report) if as_text else report_as_json(report))
    errors = [failure.error for failure in report.failed]
    if report.error is not None:
        errors.append(report.error)
    for error in errors:
        terminal.complain(failure_as_text(error, paint=terminal.paint_talk))
    if errors:
        raise typer.Exit(max(exit_code_of(error) for error in errors))


def _agreed(terminal: Terminal, planned: "Planned") -> bool:
    """Ask. A protected environment wants its name, so that a hand that always types yes stops."""
    environment = planned.plan.environment
    expected = environment if planned.protected else "yes"
    terminal.err.write(f"Apply this to {environment}? Type {terminal.paint_talk.strong(expected)} to do it: ")
    terminal.err.flush()
    return sys.stdin.readline().strip() == expected
