"""`plan`: what an apply would change, and why.

1. The plan is saved and shown before anything ends the verb: a refusal, `--check`, a file that can not be written.
2. A refused plan is saved too: whoever means it applies exactly it, by its digest.
3. The saved file is what is applied, so it holds the definitions as they will be written. It is readable by its owner
   alone, since a password that stands in clear in a URL stands in it too; in everything that is shown it is masked.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import (
    CA_FILE_VARIABLE,
    CaFile,
    Directory,
    Environment,
    FormatOfPlan,
    PlanFormat,
    Quiet,
    Verbose,
    here,
)
from reconciler.cli.terminal import Terminal
from reconciler.cli.wiring import this_terminal, variable

if TYPE_CHECKING:
    from reconciler.cli.planning import Planned
    from reconciler.cli.render.plan_words import Commands

__all__ = ["plan"]


def plan(
    environment: Environment,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Save the plan, for `reconciler apply FILE`."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 3 when changes are pending.")] = False,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: FormatOfPlan = PlanFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what an apply would change. Nothing is written at the target.

    Callbacks that the project owns and its files no longer declare are deleted, below the device types that they
    declare. What was changed at the target behind the files is listed apart.
    """
    from reconciler.cli.planning import plan_for
    from reconciler.cli.project import refuse

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if output == Path("-"):
        terminal.fail("The plan is saved in a file; --format json writes it to standard output.", ExitCode.USAGE)
    planned = plan_for(terminal, directory, environment)
    commands = _commands(planned, directory, output, ca_file=ca_file)
    unsaved = None if output is None else _save(planned, output)
    terminal.result(_shown(planned, commands, format, terminal))
    _warn_of_passwords(terminal, planned)
    if output is not None and unsaved is not None:
        reason = unsaved.strerror or str(unsaved)
        terminal.fail(f"The plan can not be saved in {output}: {reason}.", ExitCode.FAILED)
    if output is not None and not planned.refused_by and not planned.plan.is_empty:
        terminal.say(f"The plan is saved in {output}. To apply exactly this:\n\n    {commands.apply}\n")
    if planned.refused_by:
        if output is not None and commands.override is not None:
            terminal.say(
                f"The plan is saved in {output}. If all of it is meant, this applies exactly it:\n\n"
                f"    {commands.override}\n"
            )
        refuse(terminal, *planned.refused_by)
    if check and not planned.plan.is_empty:
        raise typer.Exit(ExitCode.PENDING)


def _commands(planned: "Planned", directory: Path, output: Path | None, *, ca_file: Path | None) -> "Commands":
    """How to apply the plan from where the verb was called; passing limits is offered where nothing else refuses it."""
    from reconciler.cli.render.plan_words import Commands

    words = ["reconciler", "apply"]
    if directory != here:
        words += ["-C", str(directory)]
    if ca_file is not None and variable(CA_FILE_VARIABLE) != str(ca_file):
        words += ["--ca-file", str(ca_file)]
    words += ["-e", planned.plan.environment] if output is None else [str(output)]
    only_limits = planned.refused_by and all(each.code == "too-many-changes" for each in planned.refused_by)
    override = shlex.join([*words, "--over-limits", planned.plan.digest]) if only_limits else None
    return Commands(shlex.join(words), override)


def _save(planned: "Planned", output: Path) -> OSError | None:
    """Write the plan file; what went wrong, so that the plan is shown all the same."""
    from reconciler.cli.saved_file import save
    from reconciler.codec.plan import dump_plan

    try:
        save(output, dump_plan(planned.plan))
    except OSError as error:
        return error
    return None


def _shown(planned: "Planned", commands: "Commands", format: PlanFormat, terminal: Terminal) -> str:
    plan, refused_by = planned.plan, planned.refused_by
    match format:
        case PlanFormat.TEXT:
            from reconciler.cli.render.plan_text import plan_as_text

            return plan_as_text(plan, paint=terminal.paint, width=terminal.width)
        case PlanFormat.JSON:
            from reconciler.cli.render.plan_mask import masked
            from reconciler.codec.plan import dump_plan

            return dump_plan(masked(plan)).decode()
        case PlanFormat.MARKDOWN:
            from reconciler.cli.render.plan_markdown import plan_as_markdown

            return plan_as_markdown(plan, refused_by=refused_by, commands=commands)
        case PlanFormat.HTML:
            from reconciler.cli.render.plan_html import plan_as_html

            return plan_as_html(plan, refused_by=refused_by, commands=commands)
        case PlanFormat.GITHUB:
            from reconciler.cli.render.plan_github import plan_as_github

            return plan_as_github(plan, refused_by=refused_by)
        case _:
            assert_never(format)


def _warn_of_passwords(terminal: Terminal, planned: "Planned") -> None:
    from reconciler.cli.render.plan_mask import clear_passwords
    from reconciler.cli.render.plan_words import listed
    from reconciler.cli.render.text import visible

    keys = [str(key) for key in clear_passwords(planned.plan)]
    if keys:
        terminal.say(
            f"{terminal.paint_talk.changed('warning')}: A password stands in clear in {listed(keys, visible)}. It is "
            "shown as *** here, so what is shown can not be applied; a saved plan and the target hold it as it is.\n"
            "Make it a secret, which no plan holds:\n\n    https://login:${secret.PASSWORD}@example.com/\n"
        )
