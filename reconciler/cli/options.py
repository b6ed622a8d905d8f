"""Options that several verbs share, spelled and explained once."""

from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = [
    "CA_FILE_VARIABLE",
    "CaFile",
    "Directory",
    "EngineUrl",
    "Environment",
    "FindingsFormat",
    "FormatOfFindings",
    "FormatOfPlan",
    "LogFormat",
    "OptionalEnvironment",
    "OutputFormat",
    "PlanFormat",
    "Quiet",
    "TextOrJson",
    "Verbose",
    "authorities",
    "here",
]


class OutputFormat(StrEnum):
    """How a result is written."""

    TEXT = "text"
    JSON = "json"


class PlanFormat(StrEnum):
    """How a plan is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    GITHUB = "github"


class LogFormat(StrEnum):
    """How the log of an engine is written."""

    TEXT = "text"
    JSON = "json"


class FindingsFormat(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


CA_FILE_VARIABLE: Final = "RECONCILER_CA_FILE"

_AUTHORITIES: ContextVar[Path | None] = ContextVar("authorities", default=None)


def _remember_authorities(file: Path | None) -> Path | None:
    _AUTHORITIES.set(file)
    return file


def authorities() -> Path | None:
    """What the verb that runs was given as `--ca-file`, for whoever asks an engine on its behalf."""
    return _AUTHORITIES.get()


Directory = Annotated[Path, typer.Option("-C", "--directory", metavar="DIR", help="Work in DIR.", show_default=False)]
Environment = Annotated[
    str, typer.Option("-e", "--environment", metavar="ENV", help="An environment of the project file.")
]
OptionalEnvironment = Annotated[
    str | None, typer.Option("-e", "--environment", metavar="ENV", help="An environment of the project file.")
]
EngineUrl = Annotated[
    str | None,
    typer.Option("--engine", metavar="URL", help="The engine to ask, in place of an environment's target."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar=CA_FILE_VARIABLE,
        callback=_remember_authorities,
        help="Certificates of further authorities that the engine may be vouched for by, in PEM.",
    ),
]
TextOrJson = Annotated[OutputFormat, typer.Option("--format", help="How the result is written.")]
FormatOfPlan = Annotated[PlanFormat, typer.Option("--format", help="How the plan is shown.")]
FormatOfFindings = Annotated[FindingsFormat, typer.Option("--format", help="How findings are written.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say less on stderr.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more on stderr.")]

here = Path()
"""The default of `Directory`."""
