"""`fmt`: files in canonical form."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.terminal import Terminal
from reconciler.cli.wiring import this_terminal

if TYPE_CHECKING:
    from reconciler.cli.render.formatting import Outcome
    from reconciler.diagnostics import Diagnostic

__all__ = ["fmt"]

_STDIN = Path("-")


def fmt(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="These files, and those of the project in these folders; - is standard input."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with code 1 when a file is not in canonical form.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")] = False,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Bring the project's files into canonical form: order of keys, indentation, quotes, blank lines.

    What they mean stays, and so do comments and long lines. Files that can not be read are reported and left alone; the
    others are written all together. Prints the names of the files that change.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if paths and _STDIN in paths:
        if len(paths) > 1:
            terminal.fail("- stands for standard input, and comes alone.", ExitCode.USAGE)
        _standard_input(terminal, check=check, diff=diff)
        return

    from reconciler.cli.render.diagnostics import diagnostics_as_text
    from reconciler.cli.render.formatting import diff_as_text, names_as_text, outcomes_as_json, summary_of_formatting
    from reconciler.config.file import collector_paused
    from reconciler.config.write import Rewrite, not_writable, write_all

    with collector_paused():
        outcomes, found = _outcomes(terminal, directory, paths or [])
    changed = [each for each in outcomes if each.changed]
    writes = not (check or diff)
    if writes:
        rewrites = [Rewrite(Path(each.name), each.before.encode(), each.after.encode()) for each in changed]
        obstacles = not_writable(rewrites) or write_all(rewrites)
        found += obstacles
        changed = [] if obstacles else changed
    if format is OutputFormat.JSON:
        terminal.result(outcomes_as_json(outcomes, found, written=writes and bool(changed)))
    elif changed:
        terminal.result(diff_as_text(changed, paint=terminal.paint) if diff else names_as_text(changed))
    if found:
        terminal.complain(diagnostics_as_text(found, paint=terminal.paint_talk))
    terminal.say(summary_of_formatting(outcomes, changed=len(changed), written=writes))
    if found or (check and changed):
        raise typer.Exit(ExitCode.PROBLEMS)


def _outcomes(terminal: Terminal, directory: Path, paths: list[Path]) -> "tuple[list[Outcome], tuple[Diagnostic, ...]]":
    """Each file that was chosen, as it is and as it would be, and what is wrong with any of them."""
    from reconciler.cli.render.formatting import Outcome
    from reconciler.config.file import text_of
    from reconciler.config.format import formatted
    from reconciler.diagnostics import has_errors

    outcomes: list[Outcome] = []
    found: list[Diagnostic] = []
    for path in dict.fromkeys(_chosen(terminal, directory, paths)):
        name = path.as_posix()
        text = text_of(path, name=name)
        if not isinstance(text, str):
            found += text.diagnostics
            continue
        result = formatted(text, name=name)
        found += result.diagnostics
        if not has_errors(result.diagnostics):
            outcomes.append(Outcome(name, text, result.text))
    return outcomes, tuple(found)


def _chosen(terminal: Terminal, directory: Path, paths: list[Path]) -> Iterator[Path]:
    """Files that are named, and the project's files, all of them or those in the folders that are named."""
    from reconciler.cli.project import refuse
    from reconciler.config.project import load_project, source_files

    folders = [path.resolve() for path in paths if path.is_dir()]
    yield from (path for path in paths if not path.is_dir())
    if paths and not folders:
        return
    project = load_project(directory)
    if project.document is None:
        refuse(terminal, *project.diagnostics)
    sources, findings = source_files(project.root, project.document, project.value.get("sources", ()))
    if not paths and findings:
        from reconciler.cli.render.diagnostics import diagnostics_as_text

        terminal.say(diagnostics_as_text(findings, paint=terminal.paint_talk))
    for path in (Path(project.file), *sources):
        if not paths or any(folder in path.resolve().parents for folder in folders):
            yield path


def _standard_input(terminal: Terminal, *, check: bool, diff: bool) -> None:
    """From standard input to standard output; nothing comes out when something is wrong with what came in."""
    from reconciler.cli.project import refuse
    from reconciler.cli.render.formatting import Outcome, diff_as_text
    from reconciler.config.format import formatted
    from reconciler.diagnostics import has_errors

    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        terminal.fail("What came from standard input is not UTF-8 text.", ExitCode.PROBLEMS)
    result = formatted(text, name="-")
    if has_errors(result.diagnostics):
        refuse(terminal, *result.diagnostics)
    outcome = Outcome("-", text, result.text)
    if diff and outcome.changed:
        terminal.result(diff_as_text([outcome], paint=terminal.paint))
    elif not check and not diff:
        terminal.result(result.text)
    if check and outcome.changed:
        terminal.say("Standard input is not in canonical form.")
        raise typer.Exit(ExitCode.PROBLEMS)
