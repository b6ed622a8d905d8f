"""A device type as one environment sees it: its document, with the environment's override laid over it.

1. Mappings merge by key, everything else is replaced; null takes away what the definition says.
2. An override changes what is declared and declares nothing: a name that no definition has is reported.
3. Every value can still be found where it was written, in the definition or in the project file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from reconciler.config.codes import diagnostic
from reconciler.config.place import Document, Steps
from reconciler.diagnostics import Diagnostic

__all__ = ["Declared", "Layered", "layered", "override_findings"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A device type that a document declares: `value` is what is sound of it, `document` all that was written.

    `set_aside` names the keys that each faulty callback has lost; it is still checked, and never used.
    """

    name: str
    document: Document
    value: Mapping[str, Any]
    set_aside: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layered:
    """A device type under an environment.

    Attributes:
        overridden: whether anything of it differs from the definition.
        override: the project file, and the way to the override in it.
    """

    declared: Declared
    value: Mapping[str, Any]
    overridden: bool
    override: tuple[Document, Steps] | None

    def place(self, steps: Steps) -> tuple[Document, Steps]:
        """The document that a value comes from, and the way to it there."""
        if self.override is not None:
            document, prefix = self.override
            if document.holds((*prefix, *steps)):
                return document, (*prefix, *steps)
        return self.declared.document, steps


def layered(
    declared: Declared, project: Document, environment: str | None, overrides: Mapping[str, Any]
) -> Layered | None:
    """The device type under the overrides of an environment; None when they take it away."""
    if environment is None or declared.name not in overrides:
        return Layered(declared, declared.value, overridden=False, override=None)
    override = overrides[declared.name]
    if override is None:
        return None
    known = declared.value.get("callbacks", {})
    callbacks = {name: each for name, each in override.get("callbacks", {}).items() if name in known}
    value = _merged(declared.value, {**override, "callbacks": callbacks})
    steps: Steps = ("environments", environment, "overrides", declared.name)
    return Layered(declared, value, overridden=True, override=(project, steps))


def _merged(value: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(value)
    for key, over in override.items():
        if over is None:
            result.pop(key, None)
        elif isinstance(over, dict):
            below = result.get(key)
            result[key] = _merged(below if isinstance(below, dict) else {}, over)
        else:
            result[key] = over
    return result


def override_findings(
    project: Document, environment: str, overrides: Mapping[str, Any], declared: Mapping[str, Declared]
) -> Iterator[Diagnostic]:
    """Overrides of what no document declares."""
    for name, override in overrides.items():
        steps: Steps = ("environments", environment, "overrides", name)
        if name not in declared:
            detail = f"{environment} overrides the device type {name}, and no file declares one of that name."
            yield _unknown(project, steps, detail, list(declared))
            continue
        # Every callback that was written, also those whose faults are reported at their own place.
        value = declared[name].document.value
        written = value.get("callbacks") if isinstance(value, dict) else None
        known = list(written) if isinstance(written, dict) else []
        for callback in (override or {}).get("callbacks", {}):
            if callback not in known:
                detail = f"{environment} overrides the callback {callback} of {name}, which has none of that name."
                yield _unknown(project, (*steps, "callbacks", callback), detail, known)


def _unknown(project: Document, steps: Steps, detail: str, known: list[str]) -> Diagnostic:
    near = get_close_matches(str(steps[-1]), known, n=1)
    help = f"Did you mean {near[0]}?" if near else "An override changes what is declared; declare it first."
    return diagnostic("unknown-override-target", detail, help=help, span=project.key_span(steps))
