"""What `engine serve` makes of `--secrets`: where the values of `${secret.NAME}` come from.

1. A source is `env`, `dir:PATH`, `file:PATH` or `command:[…]`, the arguments of a program as JSON. The first that has a
   value wins; without any source it is `env`.
2. In RECONCILER_SECRETS stands one source a line: arguments may hold blanks and commas.
3. A source that can not work is told before the engine starts. That a single secret is missing is not: it may come
   later, and until then its deliveries say so.
4. No finding repeats anything out of a file.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.secrets import Command, DirectoryOfSecrets, FileOfSecrets, Source, first_of
from reconciler.runtime.secrets.command import PLACE
from reconciler.runtime.secrets.files import LONGEST, Unreadable, read_secrets

__all__ = ["SECRETS_VARIABLE", "secret_sources"]

SECRETS_VARIABLE: Final = "RECONCILER_SECRETS"

_FORMS: Final = """Write one of these:

    --secrets env
    --secrets dir:/run/secrets
    --secrets file:/etc/reconciler/secrets.env
    --secrets 'command:["pass", "show", "iot/{name}"]'"""


def secret_sources(
    given: Sequence[str], *, environment: Source, variable: Callable[[str], str | None], directory: Path
) -> tuple[Source, Sequence[Diagnostic]]:
    """What was asked for, as one source, and what is wrong with it.

    `environment` is the source `env`, `variable` looks into the environment, relative paths begin at `directory`.
    """
    written = [*given] or (variable(SECRETS_VARIABLE) or "").splitlines()
    texts = [text.strip() for text in written if text.strip()] or ["env"]
    sources: list[Source] = []
    found: list[Diagnostic] = []
    for text in texts:
        kind, colon, rest = text.partition(":")
        source: Source | Diagnostic
        match kind, bool(colon and rest):
            case "env", _ if text == "env":
                source = environment
            case "dir", True:
                source = _directory(directory / rest)
            case "file", True:
                source = _file(directory / rest)
            case "command", True:
                source = _command(rest)
            case _:
                # What stands there may be a value that was meant for something else.
                source = _bad("A source is env, dir:PATH, file:PATH or command:[…]; this one begins with none of them.")
        if isinstance(source, Diagnostic):
            found.append(source)
        else:
            sources.append(source)
    return first_of(sources), found


def _directory(path: Path) -> Source | Diagnostic:
    try:
        os.listdir(path)
    except OSError as error:
        return _unreadable(path, f"The directory can not be listed: {error.strerror}.")
    return DirectoryOfSecrets(path)


def _file(path: Path) -> Source | Diagnostic:
    try:
        if not path.is_file():
            return _unreadable(path, "There is no such file." if not path.exists() else "It is not a file.")
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        return _unreadable(path, f"The file can not be read: {error.strerror}.")
    if len(data) > LONGEST:
        return _unreadable(path, f"The file holds more than {LONGEST} bytes.")
    try:
        read_secrets(data.decode(), as_json=path.suffix == ".json")
    except UnicodeDecodeError:
        return _bad_file(path, "It is not UTF-8 text.")
    except Unreadable as error:
        return _bad_file(path, f"{f'Line {error.line}: ' if error.line else ''}{error.reason}")
    return FileOfSecrets(path)


def _command(text: str) -> Source | Diagnostic:
    try:
        arguments = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return _bad("Behind command: stand the program and its arguments as a JSON array of texts.")
    if not isinstance(arguments, list) or not arguments or not all(isinstance(each, str) for each in arguments):
        return _bad("Behind command: stand the program and its arguments as a JSON array of texts.")
    if not all(each and "\0" not in each for each in arguments[:1]) or any("\0" in each for each in arguments):
        return _bad("The first of the arguments names a program, and none of them holds a NUL.")
    if not any(PLACE in each for each in arguments[1:]):
        return _bad(f"None of the arguments holds {PLACE}: every secret would have the same value.")
    if shutil.which(arguments[0]) is None:
        return Diagnostic(
            "secrets-unreadable",
            "A source of secrets can not be used",
            f"The program {arguments[0]} is not found, or can not be run.",
            "Install it, or name it by its whole path. It is run without a shell.",
        )
    return Command(arguments)


def _bad(detail: str) -> Diagnostic:
    return Diagnostic("secrets-bad-source", "A source of secrets can not be read", detail, _FORMS)


def _unreadable(path: Path, detail: str) -> Diagnostic:
    return Diagnostic(
        "secrets-unreadable",
        "A source of secrets can not be used",
        detail,
        "Make it readable for whom the engine runs as, or name another one.",
        file=str(path),
    )


def _bad_file(path: Path, detail: str) -> Diagnostic:
    return Diagnostic(
        "secrets-bad-file",
        "A file of secrets is not of its form",
        detail,
        "Write a line for each secret, or, in a file whose name ends in .json, an object of texts:\n\n"
        "    NAME=VALUE\n"
        '    {"NAME": "VALUE"}',
        file=str(path),
    )
