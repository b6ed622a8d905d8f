"""JSON → a plan, believed only as far as it agrees with itself.

1. The shape is that of `codec.plan_form`, with nothing left out and nothing added.
2. Every content has the digest that stands beside it.
3. The rows of a change lead from the one content to the other, and back: a reader who trusts them sees what is done.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from pydantic import ValidationError

from reconciler.codec import plan_form as form
from reconciler.codec.canonical import canonical_json, content_digest
from reconciler.diagnostics import Span
from reconciler.model.definition import Content, Definition, JsonValue
from reconciler.model.plan import (
    Adopt,
    Change,
    Collision,
    Create,
    Delete,
    Drift,
    FieldChange,
    Move,
    Plan,
    Rename,
    Resecret,
    Update,
)
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame, Fingerprint

__all__ = ["read_plan"]


def read_plan(tree: Mapping[str, Any]) -> Plan:
    """The plan that a tree of JSON describes; its digest is not yet held against its changes.

    Raises:
        ValueError: why it is none, as a part of a sentence.
    """
    try:
        document = form.PLAN.validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ValueError(f"at {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return Plan(
        environment=document.environment,
        target=document.target,
        owner=document.owner,
        base=Fingerprint(document.base.revision, document.base.digest),
        stages=tuple(tuple(_change(change) for change in stage) for stage in document.stages),
        digest=document.digest,
        collisions=tuple(_collision(each) for each in document.collisions),
        drift=tuple(_drift(each) for each in document.drift),
        left=tuple(Key.parse(key) for key in document.left),
        renames=tuple(
            Rename(Key.parse(each.before), Key.parse(each.after), each.lines, each.file) for each in document.renames
        ),
    )


def _change(change: form.Change) -> Change:
    key = Key.parse(change.key)
    match change:
        case form.Create():
            return Create(key, _definition(key, change.after), _span(change.origin), change.reason)
        case form.Update():
            before, after, fields = _difference(key, key, change)
            return Update(key, before, after, fields, _span(change.origin), change.reason, change.kind)
        case form.Delete():
            return Delete(key, _definition(key, change.before), change.reason)
        case form.Move():
            before, after, fields = _difference(Key.parse(change.from_), key, change)
            return Move(key, before, after, fields, _span(change.origin), change.reason)
        case form.Adopt():
            before, after, fields = _difference(key, key, change)
            return Adopt(key, before, after, change.taken_from, fields, _span(change.origin), change.reason)
        case form.Resecret():
            callbacks = tuple(Key.parse(each) for each in change.callbacks)
            return Resecret(key, change.name, change.before, change.after, callbacks, change.reason)
        case _:
            assert_never(change)


def _difference(
    old: Key, new: Key, change: form.Update | form.Move | form.Adopt
) -> tuple[Definition, Definition, tuple[FieldChange, ...]]:
    before, after = _definition(old, change.before), _definition(new, change.after)
    return before, after, _fields(before, after, change.fields)


def _definition(key: Key, told: form.Definition) -> Definition:
    if content_digest(told.content) != told.digest:
        raise ValueError(f"the content of {key} does not have the digest that stands beside it")
    return Definition(key, told.content, told.digest)


def _span(origin: form.Origin | None) -> Span | None:
    if origin is None:
        return None
    return Span(origin.file, origin.line, origin.column, origin.end_column, origin.source)


def _drift(told: form.Drift) -> Drift:
    key = Key.parse(told.key)
    before = None if told.before is None else _definition(key, told.before)
    after = None if told.after is None else _definition(key, told.after)
    kind = "appeared" if before is None else "vanished" if after is None else "changed"
    if told.kind != kind or (before is None and after is None):
        raise ValueError(f"the drift of {key} is not what its contents say")
    fields = () if before is None or after is None else _fields(before, after, told.fields)
    blame = None if told.blame is None else _blame(told.blame)
    return Drift(key, before, after, fields, told.undone, blame, told.kind)


def _blame(told: form.Blame) -> Blame:
    return Blame(told.by, told.revision, None if told.at is None else datetime.fromisoformat(told.at))


def _collision(told: form.Collision) -> Collision:
    moved_to = None if told.moved_to is None else Key.parse(told.moved_to)
    return Collision(Key.parse(told.key), told.owner, _span(told.origin), moved_to)


# Rows


def _fields(before: Definition, after: Definition, told: Iterable[form.FieldChange]) -> tuple[FieldChange, ...]:
    """The rows, if they say how one content becomes the other."""
    rows = tuple(_field(row) for row in told)
    forth = {row.path: (row.after, row.removed) for row in rows}
    back = {row.path: (row.before, row.added) for row in rows}
    if not _leads(before.content, after.content, forth) or not _leads(after.content, before.content, back):
        raise ValueError(f"the fields of {after.key} do not say how its content changes")
    return rows


def _field(told: form.FieldChange) -> FieldChange:
    """A side that is left out is absent; a side that is null is null."""
    given = told.model_fields_set
    return FieldChange(tuple(told.path), told.before, told.after, "before" not in given, "after" not in given)


def _leads(start: Content, end: Content, steps: Mapping[tuple[str, ...], tuple[JsonValue, bool]]) -> bool:
    """Whether replacing what stands at each path, or taking it away, makes one content of the other."""
    result = dict(start)
    for path, (value, absent) in steps.items():
        if not _put(result, path, value, absent=absent):
            return False
    return canonical_json(result) == canonical_json(end)


def _put(content: dict[str, JsonValue], path: Sequence[str], value: JsonValue, *, absent: bool) -> bool:
    if not path:
        return False
    *parents, name = path
    for parent in parents:
        inner = content.get(parent)
        if not isinstance(inner, Mapping):
            return False
        content[parent] = copy = dict(inner)
        content = copy
    if absent:
        return content.pop(name, content) is not content
    content[name] = value
    return True
