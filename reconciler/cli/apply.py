"""`apply`: bring an environment to what the files declare, or to where a saved plan leads.

1. Without a file the plan is made, shown and asked about. With one, the file is the approval: nothing is asked.
2. What has begun can be carried on with (`--resume`) or given up (`--abandon`); both were approved when it began.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import (
    CaFile,
    Directory,
    OptionalEnvironment,
    OutputFormat,
    Quiet,
    TextOrJson,
    Verbose,
    here,
)
from reconciler.cli.terminal import Terminal
from reconciler.cli.wiring import this_terminal

if TYPE_CHECKING:
    from reconciler.model.plan import Plan

__all__ = ["apply"]


def apply(
    plan_file: Annotated[
        str | None, typer.Argument(metavar="[PLANFILE]", help="A plan saved by `plan -o`, or - for standard input.")
    ] = None,
    environment: OptionalEnvironment = None,
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Do what is left of an apply that was interrupted.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up what is left of it.")] = False,
    over_limits: Annotated[
        str | None, typer.Option("--over-limits", metavar="DIGEST", help="Let the plan of this digest pass the limits.")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A line for the history.")] = "",
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the plan, ask, and apply it; or apply exactly a saved one.

    At an engine it becomes one revision, all of it or nothing. It is refused when something that it touches has changed
    since.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    as_text = format is OutputFormat.TEXT
    if resume or abandon:
        if environment is None or plan_file is not None or over_limits is not None or note or (resume and abandon):
            _wrong_use_of_journal(terminal, "resume" if resume else "abandon")
        if abandon:
            _abandon(terminal, directory, environment)
        else:
            _resume(terminal, directory, environment, as_text=as_text)
        return
    if plan_file is None and environment is None:
        terminal.fail(
            "Apply what, and where? Name an environment, or a saved plan:\n\n"
            "    reconciler apply -e ENV\n"
            "    reconciler apply PLANFILE",
            ExitCode.USAGE,
        )
    if plan_file is None and not yes and not terminal.can_ask:
        terminal.fail(
            "There is no terminal to ask on. To apply without being asked:\n\n"
            f"    reconciler apply -e {environment} --yes",
            ExitCode.USAGE,
        )

    from reconciler.cli.carrying_out import before_anything_is_done, carry_out, conclude, teller

    with before_anything_is_done(terminal):
        plan = _approved(terminal, directory, plan_file, environment, over_limits=over_limits, yes=yes, as_text=as_text)
    report = carry_out(terminal, directory, plan, note=note, tell=teller(terminal, as_text=as_text))
    conclude(terminal, report, environment=plan.environment, as_text=as_text)


def _approved(
    terminal: Terminal,
    directory: Path,
    plan_file: str | None,
    environment: str | None,
    *,
    over_limits: str | None,
    yes: bool,
    as_text: bool,
) -> "Plan":
    """The plan that may be carried out; ends the verb when there is none."""
    from reconciler.cli.carrying_out import agree, refuse_unfinished
    from reconciler.cli.plan_file import plan_in
    from reconciler.cli.planning import plan_for
    from reconciler.cli.project import refuse
    from reconciler.cli.render.plan_text import plan_as_text
    from reconciler.cli.render.reports import plan_line

    if plan_file is not None:
        planned = plan_in(terminal, directory, plan_file, environment=environment, over_limits=over_limits)
        refuse_unfinished(terminal, directory, planned.plan.environment)
        shown = plan_line(planned.plan, paint=terminal.paint)
    else:
        assert environment is not None, "one of the two is given"
        refuse_unfinished(terminal, directory, environment)
        planned = plan_for(terminal, directory, environment, over_limits=over_limits)
        shown = plan_as_text(planned.plan, paint=terminal.paint, width=terminal.width)
    asks = plan_file is None and not yes
    if as_text:
        terminal.result(shown)
    elif asks:
        terminal.complain(shown)
    if planned.refused_by:
        refuse(terminal, *planned.refused_by)
    if asks and not planned.plan.is_empty:
        agree(terminal, planned.plan, protected=planned.protected)
    return planned.plan


def _resume(terminal: Terminal, directory: Path, environment: str, *, as_text: bool) -> None:
    from reconciler.cli.carrying_out import carry_on, conclude, teller

    report = carry_on(terminal, directory, environment, tell=teller(terminal, as_text=as_text))
    if report is None:
        terminal.say(f"Nothing to resume: the last apply of {environment} came to its end, or there was none.")
    else:
        conclude(terminal, report, environment=environment, as_text=as_text)


def _abandon(terminal: Terminal, directory: Path, environment: str) -> None:
    from reconciler.cli.carrying_out import abandon
    from reconciler.cli.render.reports import course_as_text

    course = abandon(terminal, directory, environment)
    if course is None:
        terminal.say(f"Nothing to give up: the last apply of {environment} came to its end, or there was none.")
        return
    terminal.say(
        f"{course_as_text(course)}\nThe rest of it is given up. To see what is there now, and what is missing:\n\n"
        f"    reconciler plan -e {environment}\n"
    )


def _wrong_use_of_journal(terminal: Terminal, option: str) -> NoReturn:
    terminal.fail(
        f"--{option} is about the last apply of an environment; it takes that and nothing else:\n\n"
        f"    reconciler apply --{option} -e ENV",
        ExitCode.USAGE,
    )
