"""Differences between what a file declares and what a target holds → changes of the file.

1. A value that is given by an override is changed in the override; everything else in the definition, for all
   environments.
2. A reference to a variable stays as long as the rest of its text can be changed around it. One that would be lost is
   a conflict where other environments share the text.
3. A field that has to go takes its default, so that its line and its comments stay; one that its channel does not have
   is taken away.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from reconciler.config.codes import diagnostic
from reconciler.config.content import callback_content, device_type_content, settled
from reconciler.config.declare import callback_value, field_value
from reconciler.config.layout import MappingNode, Node
from reconciler.config.order import SHAPES
from reconciler.config.overlay import Layered
from reconciler.config.place import Document, Plain, Steps, first_offset
from reconciler.config.rewrite import Draft, Edit
from reconciler.config.settle import Settled, references, settle
from reconciler.config.source import nodes
from reconciler.diagnostics import Diagnostic
from reconciler.model.definition import CALLBACK_DEFAULTS, CHANNEL_FIELDS, DEVICE_TYPE_DEFAULTS, Content, JsonValue
from reconciler.model.resource import Key

__all__ = ["Amender"]

_BETWEEN: Final = ", "


class Amender:
    """Gathers the changes of the files that declare device types, and of the project file.

    Attributes:
        found: what stands against them.
    """

    def __init__(self, project: Document, variables: Mapping[str, str], *, environment: str, shared: bool) -> None:
        """`shared` tells whether there are other environments that the definitions are for."""
        self.found: list[Diagnostic] = []
        self._project = project
        self._variables = variables
        self._environment = environment
        self._shared = shared
        self._roots: dict[str, tuple[Node, ...]] = {}
        self._drafts: dict[str, dict[int, Draft]] = {}
        self._keys: dict[str, dict[Key, None]] = {}

    def amend(self, layers: Layered, contents: Mapping[Key, Content]) -> None:
        """Let a device type and its callbacks be declared with these contents, where they are not."""
        name, value = layers.declared.name, layers.value
        inherited = value.get("payload", "")
        own = contents.get(Key(name))
        if own is not None:
            now = settled(device_type_content(value), self._variables)
            if now.content.get("payload", "") != own.get("payload", ""):
                inherited = own.get("payload", "")
            self._compare(Key(name), layers, own, now.content, now.texts)
        for key, content in contents.items():
            if key.callback and key.callback in value.get("callbacks", {}):
                said = value["callbacks"][key.callback]
                # What it inherits depends on the type that it is to have.
                typed = {**said, "type": content["type"]}
                done = settled(callback_content(typed, inherited=inherited), self._variables)
                self._compare(key, layers, content, {**done.content, "type": said["type"]}, done.texts)
            elif key.callback and key.callback in layers.declared.value.get("callbacks", {}):
                self.taken_away(key)
            elif key.callback:
                payload = settle(inherited, self._variables).text
                document = layers.declared.document
                self._set(key, document, ("callbacks", key.callback), callback_value(content, inherited=payload))

    def taken_away(self, key: Key) -> None:
        """Report that an override of the environment takes away what the target holds."""
        steps: Steps = ("environments", self._environment, "overrides", key.device_type)
        if key.callback:
            steps = (*steps, "callbacks", key.callback)
        detail = f"The target holds {key}, which an override takes away from {self._environment}."
        help = "Take the override away, and import again; or leave it, and let the next plan delete what is there."
        self.found.append(diagnostic("import-taken-away", detail, help=help, span=self._project.key_span(steps)))

    def changes(self) -> Iterator[tuple[str, str, list[Edit], tuple[Key, ...]]]:
        """For each file that changes: its name, its text as it was read, the changes, and what they are about."""
        for file, drafts in self._drafts.items():
            text = next(iter(drafts.values())).before
            yield file, text, [edit for draft in drafts.values() for edit in draft.edits()], tuple(self._keys[file])

    # Contents

    def _compare(
        self, key: Key, layers: Layered, goal: Content, now: Content, texts: Mapping[tuple[str, ...], Settled]
    ) -> None:
        """Change the fields in which two contents of a definition differ."""
        prefix: Steps = ("callbacks", key.callback) if key.callback else ()
        defaults = CALLBACK_DEFAULTS if key.callback else DEVICE_TYPE_DEFAULTS
        fields = CHANNEL_FIELDS[str(goal["channel"])] if key.callback else defaults.keys()
        for name in dict.fromkeys((*now, *goal)):
            before, after = (each.get(name, defaults.get(name)) for each in (now, goal))
            if before == after:
                continue
            steps = (*prefix, name)
            if name not in fields:
                self._remove(key, layers, steps)
            elif isinstance(before, Mapping) and isinstance(after, Mapping) and self._is_written(layers, steps):
                for inner in dict.fromkeys((*before, *after)):
                    if before.get(inner) != after.get(inner):
                        self._field(key, layers, (*steps, inner), after.get(inner), texts.get((name, inner)))
            else:
                self._field(key, layers, steps, after, texts.get((name,)))

    def _is_written(self, layers: Layered, steps: Steps) -> bool:
        """Whether a mapping is written anywhere, so that it can be changed key by key."""
        document, way = layers.place(steps)
        return any(
            isinstance(each, dict) for each in (document.value_at(way), layers.declared.document.value_at(steps))
        )

    def _field(self, key: Key, layers: Layered, steps: Steps, after: JsonValue, text: Settled | None) -> None:
        """Give a field the value that the target has; None for what a mapping no longer holds."""
        document, way = layers.place(steps)
        if after is None:
            if document is self._project:
                self._set(key, document, way, None)
            else:
                self._remove(key, layers, steps)
            return
        written = document.value_at(way)
        value = field_value(str(steps[-1]), after)
        if text is not None and isinstance(value, str):
            before = _BETWEEN.join(map(str, written)) if isinstance(written, list) else str(written)
            around = _around_references(text, before, value, self._variables)
            if around is None and self._shared and document is not self._project:
                self._loses_variable(key, document, way, before)
                return
            value = value if around is None else around
        if isinstance(written, list) and isinstance(value, str):
            value = [*value.split(_BETWEEN)]
        self._set(key, document, way, value)

    def _loses_variable(self, key: Key, document: Document, steps: Steps, written: str) -> None:
        names = dict.fromkeys(f"${{var.{each.name}}}" for each in references(written))
        detail = (
            f"At the target of {self._environment} {steps[-1]} of {key} differs where {' and '.join(names)} stands "
            "here. Written out, the value would be the same in every environment."
        )
        help = (
            f"Change the variable of {self._environment}, or override the field there, in the project file; "
            "then import again."
        )
        self.found.append(diagnostic("import-loses-variable", detail, help=help, span=document.span(steps)))

    # Files

    def _set(self, key: Key, document: Document, steps: Steps, value: Plain) -> None:
        self._draft(key, document).set(steps, value)

    def _remove(self, key: Key, layers: Layered, steps: Steps) -> None:
        """Take a key away wherever it stands: in the definition, and in the override."""
        self._draft(key, layers.declared.document).remove(steps)
        document, way = layers.place(steps)
        if document is self._project:
            self._draft(key, document).remove(way)

    def _draft(self, key: Key, document: Document) -> Draft:
        """The document as it is to become, for the sake of a definition."""
        file, text = document.source.name, document.source.text
        self._keys.setdefault(file, {})[key] = None
        if file not in self._roots:
            self._roots[file] = nodes(text)
        start = first_offset(document.marks())
        drafts = self._drafts.setdefault(file, {})
        if start not in drafts:
            root = next(each for each in self._roots[file] if each.start == start)
            value = cast("dict[str, Any]", document.value)
            assert isinstance(root, MappingNode), "the project has no errors: its documents are mappings"
            drafts[start] = Draft(text, root, value, SHAPES[value["kind"]])
        return drafts[start]


def _around_references(text: Settled, written: str, goal: str, variables: Mapping[str, str]) -> str | None:
    """The text that gives `goal` and keeps all references; None when one of them would have to go.

    What is kept has to be set apart from what changes: of `http://${var.host}/a`, a change to `http://h2/a` is one of
    the host, even where the variable's value begins alike.
    """
    now = text.text
    start = len(_common(now, goal))
    end = len(_common(now[start:][::-1], goal[start:][::-1]))
    if text.names_within(start - 1, len(now) - end - start + 2):
        return None
    begin = text.origin(start, 1)[0] if start < len(now) else len(written)
    behind = begin + len(now) - end - start
    changed = written[:begin] + goal[start : len(goal) - end] + written[behind:]
    kept = len(references(changed)) == len(references(written)) and settle(changed, variables).text == goal
    return changed if kept else None


def _common(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    """What two texts begin with."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return one[:at]
    return one[: min(len(one), len(other))]
