"""Where definitions break policies: violations as findings with places.

1. A violation is shown at the value that breaks the policy, in the definition or in the override that it comes from; of
   a URL, at its part. What is missing is shown at the name of the definition.
2. Beside it stand the policy, and the variables that have a part in the value.
3. The value is told as the environment will hold it, unless a variable takes a part of it from the environment of the
   process: that may be a secret, so then only the variable is named.
4. What several environments break is one finding; what only some of them break names them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler.config.codes import diagnostic
from reconciler.config.condition import LONGEST_TEXT
from reconciler.config.content import SettledContent, text_span
from reconciler.config.overlay import Declared, Layered
from reconciler.config.place import Document, Steps
from reconciler.config.policy import Clause, InForce, Violation, idle_findings, policies_of
from reconciler.config.settle import Settled
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import JsonValue
from reconciler.model.resource import Key, Resource

__all__ = ["Judge"]

_LONGEST_SHOWN: Final = 80

# The parts of a URL that has parsed (`grammar.url`), its references still in it.
_PARTS = re.compile(
    r"(?P<scheme>[^:/?#]*)://(?:[^/?#]*@)?\[?(?P<host>(?<=\[)[^\]/?#]*|[^:/?#]*)\]?(?::(?P<port>[0-9]+))?"
)


class Judge:
    """Holds definitions against the policies of their environments, one device type after the other."""

    def __init__(self, project: Document, value: Mapping[str, Any], environments: Sequence[str | None]) -> None:
        """`value` is what is sound of the project file, `environments` those that definitions are checked for."""
        self._project = project
        self._value = value
        self._policies, self._found = policies_of(project, value)
        self._in_force = {
            name: InForce(policy for policy in self._policies if policy.holds_in(name)) for name in environments
        }
        self._here: dict[Diagnostic, list[str | None]] = {}
        self._judged: dict[Key, tuple[SettledContent, Resource | None, Layered, frozenset[str]]] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to judge by."""
        return bool(self._policies)

    def judge(
        self,
        key: Key,
        done: SettledContent,
        resource: Resource | None,
        layers: Layered,
        *,
        environment: str | None,
        unknown: frozenset[str],
    ) -> None:
        """Judge a definition of the device type at hand; `unknown` are the keys of which something is at fault."""
        if not layers.overridden:
            self._judged[key] = done, resource, layers, unknown
        for violation in self._in_force[environment].violations(key, done.content, resource, unknown):
            found = self._diagnostic(violation, key, done, layers, environment)
            self._here.setdefault(found, []).append(environment)

    def judge_again(self, key: Key, *, environment: str | None) -> None:
        """Judge a definition that this environment holds as others do that override nothing of it."""
        done, resource, layers, unknown = self._judged[key]
        self.judge(key, done, resource, layers, environment=environment, unknown=unknown)

    def findings(self, holding: int) -> Iterator[Diagnostic]:
        """What was found at the device type at hand, which ends it; so many environments hold it."""
        for found, environments in self._here.items():
            names = [name for name in environments if name is not None]
            only = "" if len(environments) == holding else f" This is so in {' and '.join(names)}."
            yield replace(found, detail=f"{found.detail}{only}") if only else found
        self._here.clear()
        self._judged.clear()

    def own_findings(self, declared: Mapping[str, Declared], *, complete: bool) -> Iterator[Diagnostic]:
        """What is wrong with the policies themselves; `complete` tells whether all documents could be understood."""
        yield from self._found
        keys = (key for each in declared.values() for key in _keys(each)) if complete else None
        environments = self._value.get("environments", ())
        yield from idle_findings(self._project, self._policies, environments, keys)

    # Findings

    def _diagnostic(
        self, violation: Violation, key: Key, done: SettledContent, layers: Layered, environment: str | None
    ) -> Diagnostic:
        policy = violation.policy
        related = [(f"the policy {policy.name}", self._project.span((*policy.steps, "name")))]
        steps = _steps(key, violation.clause, done, layers)
        if steps is None:
            span = _name_of(key, layers)
        else:
            document, way = layers.place(steps)
            offset, length = _part(*violation.values[0], done)
            text = done.texts.get(violation.clause.field.path(done.content))
            if text is not None:
                names = _names(text, offset, length)
                related += (
                    (f"the value of {name} in {environment}", self._variable(environment, name)) for name in names
                )
                if offset is not None:
                    offset, length = text.origin(offset, length)
            span = text_span(document, way, offset, length)
        told = " and ".join(self._told(*each, done, environment) for each in violation.values)
        demand = f", and it has to {violation.clause.condition.words}" if violation.required else ""
        detail = f"{policy.message} In {key}, {told}{demand}."
        return diagnostic("policy-violated", detail, span=span, related=tuple(related), severity=policy.severity)

    def _told(self, clause: Clause, value: JsonValue, done: SettledContent, environment: str | None) -> str:
        field = clause.field
        if value is None or value in ("", (), {}):
            return f"there is no {field.name}"
        if isinstance(value, str) and clause.condition.fits(value) is None:
            return f"{field.name} has {len(value)} characters, and no more than {LONGEST_TEXT} are searched"
        text = done.texts.get(field.path(done.content))
        names = () if text is None else _names(text, *_part(clause, value, done))
        hidden = [f"${{var.{name}}}" for name in names if self._may_be_secret(environment, name)]
        if hidden:
            return f"{field.name} holds the value of {' and '.join(hidden)}"
        return f"{field.name} is {_shown(value)}{' s' if field.sort == 'duration' else ''}"

    def _may_be_secret(self, environment: str | None, name: str) -> bool:
        return isinstance(self._project.value_at(_variable_steps(environment, name)), dict)

    def _variable(self, environment: str | None, name: str) -> Span:
        return self._project.span(_variable_steps(environment, name))


# Places


def _steps(key: Key, clause: Clause, done: SettledContent, layers: Layered) -> Steps | None:
    """The way to what decides the value of a field; None when it is written nowhere."""
    path = clause.field.path(done.content)
    prefix: Steps = ("callbacks", key.callback) if key.callback else ()
    # A callback without a payload config has that of its device type.
    for steps in ((*prefix, *path), path if path == ("payload",) else ()):
        document, way = layers.place(steps)
        if path and steps and document.holds(way):
            return steps
    return None


def _name_of(key: Key, layers: Layered) -> Span:
    document = layers.declared.document
    return document.key_span(("callbacks", key.callback)) if key.callback else document.span(("name",))


def _part(clause: Clause, value: JsonValue, done: SettledContent) -> tuple[int | None, int]:
    """The characters of the text that hold a value; None for all of it."""
    field, text = clause.field, done.content.get(clause.field.source)
    if isinstance(text, str) and field.name != field.source and field.source == "url":
        parts = _PARTS.match(text)
        if parts is not None and parts[field.name]:
            start, end = parts.span(field.name)
            return start, end - start
    if isinstance(text, str) and field.sort == "texts" and isinstance(value, str) and value in text:
        return text.index(value), len(value)
    return None, 1


def _names(text: Settled, offset: int | None, length: int) -> tuple[str, ...]:
    """The variables that have a part in some characters of a text, or in all of it."""
    return text.names_within(0, len(text.text)) if offset is None else text.names_within(offset, length)


def _variable_steps(environment: str | None, name: str) -> Steps:
    return "environments", environment or "", "variables", name


def _keys(declared: Declared) -> Iterator[Key]:
    yield Key(declared.name)
    # Every callback that was written, also those that have faults.
    callbacks = declared.document.value_at(("callbacks",))
    if isinstance(callbacks, dict):
        yield from (Key(declared.name, name) for name in callbacks)


# Words


def _shown(value: JsonValue) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() if not value:
            return "empty"
        case str():
            text = "".join(each if each.isprintable() else "\ufffd" for each in value[:_LONGEST_SHOWN])
            return f"“{text}{'…' if len(value) > _LONGEST_SHOWN else ''}”"
        case Mapping():
            return ", ".join(map(str, value))
        case _:
            return str(value)
