"""`schema`: the JSON Schemas of the files that people write, and of saved plans."""

import json
from typing import Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, Quiet, Verbose, here
from reconciler.cli.wiring import this_terminal

__all__ = ["schema"]


def schema(
    write: Annotated[bool, typer.Option("--write", help="Write the schemas and their reference to schemas/.")] = False,
    directory: Directory = here,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Print the JSON Schemas of the files and of saved plans, or write them.

    The first line of a YAML file names its schema:

        # yaml-language-server: $schema=../schemas/device-type.v1.schema.json
    """
    from reconciler.config.published import PUBLISHED, published, schema_of

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    if not write:
        terminal.result(json.dumps({kind: schema_of(kind) for kind in PUBLISHED}, indent=2))
        return
    folder = directory / "schemas"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in published().items():
            path = folder / name
            unchanged = path.is_file() and path.read_text(encoding="utf-8") == text
            if not unchanged:
                path.write_text(text, encoding="utf-8")
            terminal.say(f"{path}: {'unchanged' if unchanged else 'written'}")
    except OSError as error:
        terminal.fail(f"{error.filename} can not be written: {error.strerror}.", ExitCode.FAILED)
