"""`init`: a new project with one callback that works."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Quiet, Verbose
from reconciler.cli.render.text import visible
from reconciler.cli.wiring import this_terminal

__all__ = ["init"]

_NEXT = """\
Next, an engine in a terminal of its own; it shows a token when it starts for the first time:

    reconciler engine serve --allow-egress private

Then, with that token:

    export RECONCILER_TOKEN=rk_…
    reconciler validate
    reconciler test
    reconciler plan -e dev
    reconciler apply -e dev
"""


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where the project begins.")] = Path(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Begin a project, with one callback that works.

    Nothing that exists is overwritten.
    """
    from reconciler.config.scaffold import project_name, scaffold

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    files = {directory / name: text for name, text in scaffold(project_name(directory.resolve().name)).items()}
    existing = [path for path in files if path.exists()]
    if existing:
        names = "\n".join(f"    {visible(path.as_posix())}" for path in existing)
        terminal.fail(f"A project is here already; nothing was written. These exist:\n\n{names}", ExitCode.PROBLEMS)
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            terminal.result(path.as_posix())
    except OSError as error:
        terminal.fail(f"{visible(str(error.filename))} can not be written: {error.strerror}.", ExitCode.FAILED)
    into = "" if directory == Path() else f"\n    cd {visible(directory.as_posix())}\n"
    terminal.say(f"{into}\n{_NEXT}" if into else f"\n{_NEXT}")
