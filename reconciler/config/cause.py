"""Why a definition is not the same in two environments of the same files.

There are three reasons, and each has its places in the project file: a variable with another value, an override of the
field, an override that takes the whole definition away. A callback without a payload config of its own has that of its
device type, and its reasons.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.config.content import text_span
from reconciler.config.load import Loaded
from reconciler.config.overlay import Declared
from reconciler.config.place import Document, Plain, Steps
from reconciler.config.settle import references
from reconciler.diagnostics import Span
from reconciler.model.resource import Key

__all__ = ["Cause", "Causes", "OverrideCause", "VariableCause"]


@dataclass(frozen=True, slots=True)
class VariableCause:
    """A variable that the text refers to at `span`; per environment its value, and where that is written."""

    name: str
    span: Span
    values: Mapping[str, str]
    places: Mapping[str, Span]
    kind: Literal["variable"] = field(default="variable", init=False)


@dataclass(frozen=True, slots=True)
class OverrideCause:
    """An override of an environment; `takes_away` when it is null."""

    environment: str
    span: Span
    takes_away: bool
    kind: Literal["override"] = field(default="override", init=False)


Cause = VariableCause | OverrideCause


class Causes:
    """Finds the reasons for what differs between environments of one project."""

    def __init__(self, project: Document, environments: Mapping[str, Loaded]) -> None:
        """`environments` are those that are compared, each as it was loaded, without errors."""
        self._project = project
        self._environments = environments
        self._declared = next(iter(environments.values())).declared

    def of_field(self, key: Key, path: tuple[str, ...]) -> tuple[Cause, ...]:
        """Why a field differs; `path` leads to it in the content."""
        steps: Steps = ("callbacks", key.callback, *path) if key.callback else path
        declared = self._declared[key.device_type]
        if path == ("payload",) and key.callback and not self._is_written(declared, steps):
            steps = ("payload",)
        overrides = tuple(self._overrides(key.device_type, steps))
        return overrides or tuple(self._variables(declared, steps))

    def of_absence(self, key: Key, environment: str) -> tuple[Cause, ...]:
        """Why an environment has no such definition."""
        steps: Steps = ("callbacks", key.callback) if key.callback else ()
        for way in (steps[:length] for length in range(len(steps) + 1)):
            place = ("environments", environment, "overrides", key.device_type, *way)
            if self._project.holds(place) and self._project.value_at(place) is None:
                return (OverrideCause(environment, self._project.key_span(place), takes_away=True),)
        return ()

    def _is_written(self, declared: Declared, steps: Steps) -> bool:
        """Whether the definition or an override says anything there."""
        return declared.document.holds(steps) or any(self._overrides(declared.name, steps))

    def _overrides(self, name: str, steps: Steps) -> Iterator[OverrideCause]:
        for environment in self._environments:
            prefix: Steps = ("environments", environment, "overrides", name)
            for length in range(1, len(steps) + 1):
                place = (*prefix, *steps[:length])
                value = self._project.value_at(place)
                if self._project.holds(place) and (length == len(steps) or value is None):
                    yield OverrideCause(environment, self._project.key_span(place), takes_away=value is None)
                    break

    def _variables(self, declared: Declared, steps: Steps) -> Iterator[VariableCause]:
        written = declared.document.value_at(steps)
        text = _text(written)
        seen: set[str] = set()
        for reference in references(text):
            name = reference.name or ""
            values = {each: loaded.variables.get(name, "") for each, loaded in self._environments.items()}
            if name in seen or len(set(values.values())) == 1:
                continue
            seen.add(name)
            places = {each: self._project.key_span(("environments", each, "variables", name)) for each in values}
            span = text_span(declared.document, steps, reference.start, reference.end - reference.start)
            yield VariableCause(name, span, values, places)


def _text(written: Plain) -> str:
    return ", ".join(map(str, written)) if isinstance(written, list) else written if isinstance(written, str) else ""
