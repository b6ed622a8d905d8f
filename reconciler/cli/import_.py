"""`import`: what a target holds, as files.

1. Everything that can stand in the way is looked for first: conflicts with files, files that can not be written. Only
   then somebody is asked.
2. Ownership is taken over before the files are written. Should the second fail, importing again does it: the project
   owns by then what the files lack.
"""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import CaFile, Directory, Environment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["import_"]

_NOBODY = "nobody"


def import_(
    environment: Environment,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Where new files go; by default where the first of sources looks."
        ),
    ] = None,
    adopt: Annotated[
        str | None,
        typer.Option(
            "--adopt",
            metavar="OWNER",
            help=f"Take over what another project owns there, “{_NOBODY}” for what has no owner.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take over without asking.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A line for the history of an adoption.")] = "",
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write what the project owns at a target into its files; the plan right after has nothing to change there.

    New device types get files of their own. In files that are there, only what is new or differs is written; every
    other line stays as it is. All files are written, or none.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if adopt is not None and not yes and not terminal.can_ask:
        terminal.fail(
            "There is no terminal to ask on. To take over without being asked:\n\n"
            f"    reconciler import -e {environment} --adopt {adopt or _NOBODY} --yes",
            ExitCode.USAGE,
        )

    from reconciler.cli.importing import look, take_over
    from reconciler.cli.project import load_sound, refuse
    from reconciler.cli.render.importing import import_as_json, import_as_text, remarks
    from reconciler.config.export import export, folder_of
    from reconciler.config.project import load_project
    from reconciler.config.write import Rewrite, not_writable, write_all

    as_text = format is OutputFormat.TEXT
    loaded = load_sound(terminal, directory, environment=environment)
    project = load_project(directory)
    found = look(terminal, directory, loaded, adopt="" if adopt == _NOBODY else adopt)
    exported = export(project, loaded, found.held, folder=output or folder_of(project))
    if exported.diagnostics:
        refuse(terminal, *exported.diagnostics)
    rewrites = [
        Rewrite(file.path, None if file.before is None else file.before.encode(), file.text.encode())
        for file in exported.files
    ]
    if obstacles := not_writable(rewrites):
        refuse(terminal, *obstacles)
    revision = None
    if found.adoption is not None:
        report = take_over(terminal, directory, loaded, found.adoption, note=note, yes=yes, as_text=as_text)
        revision = report.revision
    if moved := write_all(rewrites):
        refuse(terminal, *moved)
    if as_text:
        terminal.result(import_as_text(exported, location=found.location, paint=terminal.paint))
    else:
        terminal.result(import_as_json(exported, revision=revision))
    terminal.say(remarks(exported, environment=environment))
