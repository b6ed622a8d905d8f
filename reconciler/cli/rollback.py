"""`rollback`: publish what an earlier revision held, under a new number."""

from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import CaFile, Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["rollback"]


def rollback(
    environment: Environment,
    revision: Annotated[
        int | None,
        typer.Argument(
            metavar="[N]", min=1, help="The revision whose content comes back.", show_default="the one before the last"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go back without asking.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A line for the history.")] = "",
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Bring back what the project had at an earlier revision.

    Without a number, what it had before its files were last applied; once more takes that back. The files are not
    looked at and stay as they are: the next plan shows what they want again. Limits are not held against a rollback,
    protection is.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    as_text = format is OutputFormat.TEXT
    number = "" if revision is None else f" {revision}"
    if not yes and not terminal.can_ask:
        terminal.fail(
            "There is no terminal to ask on. To go back without being asked:\n\n"
            f"    reconciler rollback -e {environment}{number} --yes",
            ExitCode.USAGE,
        )

    from reconciler.cli.carrying_out import agree, before_anything_is_done, carry_out, conclude, teller
    from reconciler.cli.looking_back import way_back
    from reconciler.cli.project import refuse
    from reconciler.cli.render.reports import way_back_as_text

    with before_anything_is_done(terminal):
        back = way_back(terminal, directory, environment, revision)
        plan, goal = back.rollback.plan, back.rollback.revision
        shown = way_back_as_text(back.rollback, back.entry, paint=terminal.paint, width=terminal.width)
        if as_text:
            terminal.result(shown)
        elif not yes:
            terminal.complain(shown)
        if back.rollback.refused_by:
            refuse(terminal, *back.rollback.refused_by)
        if not plan.is_empty and not yes:
            agree(terminal, plan, protected=back.protected, question=f"Take {{}} back to revision {goal}?")
    report = carry_out(terminal, directory, plan, note=note, tell=teller(terminal, as_text=as_text), via="rollback")
    conclude(terminal, report, environment=environment, as_text=as_text)
    if report.done:
        terminal.say(
            "The files still say what they said. What they want again is shown by the next plan, and done by the next "
            f"apply:\n\n    reconciler plan -e {environment}\n"
        )
