"""The project that a verb works on: its definitions, its environments, and the engine behind one of them.

What is wrong with the files is shown on stderr, all of it, and ends the verb with exit code 1: stdout is for results.
"""

import gc
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from reconciler.cli import wiring
from reconciler.cli.engine_access import EngineAccess
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import authorities
from reconciler.cli.render.diagnostics import diagnostics_as_text, summary_line
from reconciler.cli.terminal import Terminal
from reconciler.config.codes import diagnostic
from reconciler.config.document import EngineTarget, OperatorTarget, Project
from reconciler.config.project import LoadedProject, load_project
from reconciler.diagnostics import Diagnostic, Span, has_errors
from reconciler.model.plan import Limits, parse_limit

if TYPE_CHECKING:
    from reconciler.config.load import Loaded
    from reconciler.targets.protocol import Archive, Target

__all__ = [
    "engine_of",
    "limits_in",
    "limits_of",
    "load_sound",
    "observer_of",
    "refuse",
    "show_findings",
    "target_of",
    "unknown_environment",
]

_TOKEN = "RECONCILER_TOKEN"
_ENGINE = "RECONCILER_ENGINE"


def load_sound(terminal: Terminal, directory: Path, *, environment: str | None) -> "Loaded":
    """The project without errors; its warnings are told."""
    from reconciler.config.load import load  # a saved plan is applied without it, in a tenth less time

    loaded = load(directory, environ=wiring.environment(), environment=environment)
    # What was loaded stays until the process ends: looking through it again and again cost a plan of 10,000 12 %.
    gc.freeze()
    if has_errors(loaded.diagnostics):
        show_findings(terminal, loaded.diagnostics, files=len(loaded.files))
        raise typer.Exit(ExitCode.PROBLEMS)
    if loaded.diagnostics:
        terminal.say(diagnostics_as_text(loaded.diagnostics, paint=terminal.paint_talk))
    terminal.detail(f"Read {len(loaded.files)} files.")
    return loaded


def show_findings(terminal: Terminal, findings: tuple[Diagnostic, ...], *, files: int) -> None:
    """All findings and how many there are, on stderr."""
    paint = terminal.paint_talk
    terminal.complain(diagnostics_as_text(findings, paint=paint))
    terminal.complain(summary_line(findings, files=files, paint=paint))


def refuse(terminal: Terminal, *findings: Diagnostic) -> NoReturn:
    """Show findings and end with exit code 1."""
    terminal.complain(diagnostics_as_text(findings, paint=terminal.paint_talk))
    raise typer.Exit(ExitCode.PROBLEMS)


def target_of(terminal: Terminal, directory: Path, *, environment: str) -> "Target":
    """The target of an environment.

    Raises:
        TargetError: its address or token can not be one.
    """
    return wiring.target_at(_access(terminal, directory, environment))


def observer_of(terminal: Terminal, directory: Path, *, environment: str) -> "Archive":
    """The target of an environment, to be looked at only.

    Raises:
        TargetError: its address or token can not be one.
    """
    return wiring.observer_at(_access(terminal, directory, environment))


def engine_of(terminal: Terminal, directory: Path, *, environment: str | None, engine: str | None) -> EngineAccess:
    """The engine that the options name (`engine_access`, rule 1)."""
    if environment is not None and engine is not None:
        terminal.fail("Choose the engine by -e ENV or by --engine URL, not by both.", ExitCode.USAGE)
    if environment is not None:
        return _access(terminal, directory, environment)
    url = engine or wiring.variable(_ENGINE)
    if url is None:
        terminal.fail(
            "Which engine? Name an environment of the project, or an engine's address:\n\n"
            "    reconciler … -e ENV\n"
            "    reconciler … --engine http://127.0.0.1:8460",
            ExitCode.USAGE,
        )
    token = wiring.variable(_TOKEN)
    if token is None:
        terminal.fail(
            f"The token for {url} is not set. `engine serve` shows one when it starts for the first time:\n\n"
            f"    export {_TOKEN}=rk_…",
            ExitCode.USAGE,
        )
    return EngineAccess(url, token, _TOKEN, authorities())


def limits_of(loaded: "Loaded") -> Limits:
    """The limits of the chosen environment; where it sets none, those of the project."""
    assert loaded.project is not None, "a project without errors"
    return limits_in(loaded.project, loaded.environment)


def limits_in(project: Project, environment: str | None) -> Limits:
    """The limits that a project file sets for one of its environments."""
    chosen = project.environments[environment].limits if environment else None

    def limit(name: str) -> int | str | None:
        own: int | str | None = getattr(chosen, name, None)
        general: int | str | None = getattr(project.limits, name, None)
        return general if own is None else own

    names = ("creates", "updates", "deletes", "total")
    return Limits(**{name: parse_limit(given) for name in names if (given := limit(name)) is not None})


def _access(terminal: Terminal, directory: Path, environment: str) -> EngineAccess:
    loaded = load_project(directory)
    if loaded.project is None:
        refuse(terminal, *loaded.diagnostics)
    chosen = loaded.project.environments.get(environment)
    if chosen is None:
        refuse(terminal, unknown_environment(loaded, environment))
    match chosen.target:
        case EngineTarget():
            return _engine_access(terminal, loaded, environment, chosen.target)
        case OperatorTarget():
            detail = f"The target of {environment} is the operator's API; this version applies to engines only."
            span = _span(loaded, "environments", environment, "target")
            refuse(terminal, diagnostic("not-supported-yet", detail, span=span))


def _engine_access(terminal: Terminal, loaded: LoadedProject, environment: str, target: EngineTarget) -> EngineAccess:
    name = _TOKEN if target.token is None else target.token.env
    token = wiring.variable(name)
    if token is None:
        detail = f"The engine of {environment} opens with a token that stands in {name}, which is not set or empty."
        help = f"Set it to a token of that engine:\n    export {name}=rk_…"
        span = _span(loaded, "environments", environment, "target")
        refuse(terminal, diagnostic("environment-variable-not-set", detail, help=help, span=span))
    return EngineAccess(target.engine, token, name, authorities())


def unknown_environment(loaded: LoadedProject, environment: str) -> Diagnostic:
    """That a project has no such environment, and which ones it has."""
    known = loaded.environments
    near = get_close_matches(environment, known, n=1)
    detail = f"The project has no environment {environment}; it has {', '.join(known) or 'none'}."
    help = f"Did you mean {near[0]}?" if near else ""
    return diagnostic("unknown-environment", detail, help=help, span=_span(loaded, "environments"))


def _span(loaded: LoadedProject, *steps: str) -> Span | None:
    document = loaded.document
    return document.span(steps) if document is not None and document.holds(steps) else None
