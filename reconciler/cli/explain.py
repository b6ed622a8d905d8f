"""`explain`: what happened to a message, or what a code means."""

import json
import re
from difflib import get_close_matches
from typing import Annotated

import typer

from reconciler.cli import pages
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import (
    CaFile,
    Directory,
    EngineUrl,
    OptionalEnvironment,
    OutputFormat,
    Quiet,
    TextOrJson,
    Verbose,
    here,
)
from reconciler.cli.render.text import visible
from reconciler.cli.wiring import this_terminal

__all__ = ["explain"]

# A message's id, or a delivery's, which begins with that of its message.
_MESSAGE = re.compile(r"([0-9a-f]{32})(?:\.[0-9]+)?", re.IGNORECASE)


def explain(
    word: Annotated[
        str | None,
        typer.Argument(metavar="MESSAGE|CODE", help="A message's id, or a code such as “unknown-variable”."),
    ] = None,
    environment: OptionalEnvironment = None,
    engine: EngineUrl = None,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Explain what happened to a message, or a code.

    Without either, list the codes.

    For a message: the other stations that reported it, what became of the downlink that it asked for, the revision that
    handled it, the decoded fields, each callback and why it fired or did not, what was sent with secrets hidden, every
    attempt, and the next try.
    """
    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if word is None:
        terminal.result("\n".join(pages.codes()))
        return
    message = _MESSAGE.fullmatch(word)
    if message is None:
        page = pages.page(word.lower())
        if page is None:
            terminal.fail(_unknown(word), ExitCode.USAGE)
        terminal.result(json.dumps({"code": word.lower(), "page": page}) if format is OutputFormat.JSON else page)
        return

    from reconciler.cli.engine_access import get
    from reconciler.cli.project import engine_of
    from reconciler.cli.render.engine_answers import explanation_as_text

    access = engine_of(terminal, directory, environment=environment, engine=engine)
    explanation = get(access, "messages", message[1].lower())
    if format is OutputFormat.JSON:
        terminal.result(json.dumps(explanation, indent=2, ensure_ascii=False))
    else:
        terminal.result(explanation_as_text(explanation, paint=terminal.paint))


def _unknown(word: str) -> str:
    near = get_close_matches(word.lower(), pages.codes(), n=1)
    hint = (
        f"The nearest code:\n\n    reconciler explain {near[0]}"
        if near
        else "This lists the codes:\n\n    reconciler explain"
    )
    return f"“{visible(word)}” is neither a message's id nor a code. {hint}"
