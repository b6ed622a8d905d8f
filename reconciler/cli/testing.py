"""The tests of a project, run for each environment that was chosen.

1. Without a choice all environments are tested. One that takes a variable from the environment of the process, where it
   is not set, cannot be: that is told, and is an error only where the environment was asked for, as in `validate`.
2. Only sound files are tested: what is wrong with them is shown instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from reconciler.cli import wiring
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.project import show_findings
from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.terminal import Terminal
from reconciler.config.callback_tests import callback_tests
from reconciler.config.load import Loaded, load
from reconciler.config.project import load_project
from reconciler.diagnostics import Diagnostic, has_errors
from reconciler.preview.testing import Trial, router_of, run_test

__all__ = ["Tested", "try_out"]

_NOT_SET = "environment-variable-not-set"


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of the tests.

    Attributes:
        environments: those that were tested; None stands for a project that has none.
        left_out: those that could not be.
    """

    trials: tuple[Trial, ...]
    environments: tuple[str | None, ...]
    left_out: tuple[str, ...]

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return sum(not each.passed for each in self.trials)


def try_out(terminal: Terminal, directory: Path, *, environments: Sequence[str], paths: Sequence[Path]) -> Tested:
    """Run the tests in some files and folders, or all; what is wrong with the files is shown and ends the verb."""
    chosen: Sequence[str | None] = [*dict.fromkeys(environments)] or load_project(directory).environments or (None,)
    trials: list[Trial] = []
    tested: list[str | None] = []
    left_out: list[str] = []
    for environment in chosen:
        loaded = load(directory, environ=wiring.environment(), environment=environment, paths=paths)
        if loaded.desired is None and environment is not None and not environments and _lacks_variables(loaded):
            terminal.complain(diagnostics_as_text(loaded.diagnostics, paint=terminal.paint_talk))
            left_out.append(environment)
            continue
        if loaded.desired is None or has_errors(loaded.diagnostics):
            found = _what_is_wrong(directory, loaded, environment=environment, asked=bool(environments or paths))
            show_findings(terminal, found, files=len(loaded.files))
            raise typer.Exit(ExitCode.PROBLEMS)
        tested.append(environment)
        tests = [*callback_tests(loaded, within=paths)]
        router = router_of(loaded.desired.definitions, device_types=(each.callback.key.device_type for each in tests))
        trials += (run_test(router, each, environment=environment) for each in tests)
    return Tested(tuple(trials), tuple(tested), tuple(left_out))


def _lacks_variables(loaded: Loaded) -> bool:
    """Whether nothing else is wrong than that variables have no value here."""
    return has_errors(loaded.diagnostics) and not has_errors(
        each for each in loaded.diagnostics if each.code != _NOT_SET
    )


def _what_is_wrong(directory: Path, loaded: Loaded, *, environment: str | None, asked: bool) -> tuple[Diagnostic, ...]:
    """What was found where somebody asked; else everywhere, in the words that hold for all environments."""
    if asked and has_errors(loaded.diagnostics):
        return loaded.diagnostics
    return load(directory, environ=wiring.environment(), environment=environment if asked else None).diagnostics
