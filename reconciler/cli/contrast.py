"""What two environments of the same files hold differently, and why."""

from collections.abc import Mapping
from pathlib import Path

import typer

from reconciler.cli import wiring
from reconciler.cli.difference import Contrast, Difference
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.project import show_findings
from reconciler.cli.terminal import Terminal
from reconciler.config.cause import Causes
from reconciler.config.load import Loaded, load
from reconciler.config.project import load_project
from reconciler.diagnostics import Span, has_errors, in_reading_order
from reconciler.model.definition import Definition
from reconciler.model.resource import Key
from reconciler.plan.diff import field_changes

__all__ = ["contrast_of"]


def contrast_of(terminal: Terminal, directory: Path, one: str, other: str) -> Contrast:
    """Load the files for both environments, and compare what they declare."""
    loaded = {name: load(directory, environ=wiring.environment(), environment=name) for name in (one, other)}
    findings = in_reading_order(found for each in loaded.values() for found in each.diagnostics)
    if has_errors(findings):
        show_findings(terminal, findings, files=len(loaded[one].files))
        raise typer.Exit(ExitCode.PROBLEMS)
    project = load_project(directory).document
    assert project is not None, "the project has no errors"
    causes = Causes(project, loaded)
    left, right = (_definitions(loaded[name]) for name in (one, other))
    keys = sorted({**left, **right})
    differing = [key for key in keys if key not in left or key not in right or left[key].digest != right[key].digest]
    differences = []
    for key in differing:
        origin = next(_origin(each, key) for each in loaded.values() if key in _definitions(each))
        if key in left and key in right:
            fields = field_changes(left[key].content, right[key].content)
            reasoned = tuple((field, causes.of_field(key, field.path)) for field in fields)
            differences.append(Difference(key, origin, None, fields=reasoned))
        else:
            only, lacking = (one, other) if key in left else (other, one)
            differences.append(Difference(key, origin, only, causes=causes.of_absence(key, lacking)))
    return Contrast(one, other, tuple(differences), len(keys) - len(differing))


def _definitions(loaded: Loaded) -> Mapping[Key, Definition]:
    assert loaded.desired is not None, "there are no errors, and an environment was chosen"
    return loaded.desired.definitions


def _origin(loaded: Loaded, key: Key) -> Span | None:
    return None if loaded.desired is None else loaded.desired.origins.get(key)
