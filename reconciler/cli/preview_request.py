"""`render`: exactly what a callback would send for a message, made by the engine's own router."""

import json
from typing import Annotated

import typer

from reconciler.cli.options import Directory, OptionalEnvironment, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["render"]


def render(
    callback: Annotated[
        str, typer.Argument(metavar="CALLBACK", help="A callback by device type and name, such as tracker/telemetry.")
    ],
    message: Annotated[
        str,
        typer.Option(
            "--message", metavar="FILE|JSON", help="The message: JSON, a file that holds it, or - for standard input."
        ),
    ],
    environment: OptionalEnvironment = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what a callback would send for a message.

    It is exactly what the engine would send; nothing is sent.

    The fields of a message are those of POST /v1/messages; deviceType and type may be left out, then they are the
    callback's. Secrets stay ${secret.NAME}. Without -e the first environment of the project file is taken.

    For a batch URL it is the line, and the request of a batch that holds this line alone.
    """
    from reconciler.cli.previewing import preview
    from reconciler.cli.render.engine_answers import preview_as_text, warnings_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    previewed = preview(terminal, directory, callback=callback, message=message, environment=environment)
    if format is OutputFormat.JSON:
        result = {"callback": callback, **previewed.request, "warnings": list(previewed.warnings)}
        terminal.result(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        terminal.result(preview_as_text(previewed.request, paint=terminal.paint))
    if not previewed.enabled:
        terminal.say(f"{callback} is disabled: the engine would not send this.")
    terminal.say(warnings_as_text(previewed.warnings, paint=terminal.paint_talk))
