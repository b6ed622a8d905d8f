"""The token file on disk: read when an engine starts, appended to when a token is made.

1. The file holds hashes only (`runtime.api.tokens`); the token itself is shown once, by whoever made it.
2. It is readable by its owner alone (mode 0600), though hashes are no secret: names and scopes are nobody's business.
3. Nothing in it is rewritten: a new token is a new line at its end.
"""

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.api.tokens import Scope, Token, Tokens, hash_token, new_token, read_tokens

__all__ = ["Made", "add_token", "default_token_file", "load_tokens"]

_OWNER_ONLY = 0o600
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Made:
    """A new token in clear; it exists nowhere else."""

    clear: str
    token: Token


def default_token_file(data: Path) -> Path:
    """Where the tokens of an engine are unless it is told otherwise."""
    return data / "tokens"


def load_tokens(path: Path) -> tuple[Tokens, tuple[Diagnostic, ...]]:
    """The tokens of a file, none when there is no file, and what is wrong with it.

    Raises:
        OSError: the file is there and can not be read.
    """
    text = _text(path)
    tokens, problems = read_tokens(text)
    return tokens, tuple(
        Diagnostic(
            "token-file-line",
            "A line of the token file is not a token",
            f"Line {problem.line}: {problem.reason}",
            "Correct the line or take it out; this makes a new one:\n\n    reconciler engine token --name NAME",
            file=str(path),
        )
        for problem in problems
    )


def add_token(path: Path, *, name: str, scopes: Collection[Scope]) -> Made | Diagnostic:
    """Make a token and append its hash to the file, which is made when it is missing; its directory is not.

    Raises:
        OSError: the file can not be written.
    """
    clear = new_token(secrets.token_bytes(_RANDOM_BYTES))
    token = Token(name, hash_token(clear), frozenset(scopes))
    text = _text(path)
    line = f"{token}\n" if not text or text.endswith("\n") else f"\n{token}\n"
    before, after = read_tokens(text)[1], read_tokens(text + line)[1]
    if len(after) > len(before):
        return Diagnostic(
            "token-name-refused",
            "A token can not have this name",
            after[-1].reason,
            "Choose another name; letters, digits, dots, hyphens and underscores may be in it.",
            file=str(path),
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, _OWNER_ONLY)
        file.write(line)
        file.flush()
        os.fsync(descriptor)
    return Made(clear, token)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
