"""A plan without the passwords that somebody wrote in clear: what every form of it is made from.

Secrets proper are references (`${secret.NAME}`) and stand in no plan. What an author wrote into a definition in clear
does, and it has no business in a terminal's scrollback, a build log or a comment:

1. In `scheme://login:password@` the password becomes `***`, and a login alone too, since that is how API keys are sent.
   So do the credentials of a header named Authorization. References stay, they tell nothing.
2. The plan file is the exception: it is applied, so it holds what will be written, and is made readable by its owner
   alone. A masked plan keeps every digest, but can not be applied.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from reconciler.cli.render.line_mask import CREDENTIALS, USERINFO, is_clear, masked_in_place
from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.plan import Adopt, Change, Create, Delete, Drift, FieldChange, Move, Plan, Resecret, Update
from reconciler.model.resource import Key

__all__ = ["MASK", "clear_passwords", "masked", "masked_fields", "masked_text"]

T = TypeVar("T", bound=Update | Move | Adopt)

MASK: Final = "***"


def masked(plan: Plan) -> Plan:
    """The same plan with `***` in place of every password; the plan itself where there is none."""
    return replace(
        plan,
        target=masked_text(plan.target),
        stages=tuple(tuple(_change(change) for change in stage) for stage in plan.stages),
        drift=tuple(_drift(each) for each in plan.drift),
        collisions=tuple(replace(each, origin=_span(each.origin)) for each in plan.collisions),
    )


def clear_passwords(plan: Plan) -> tuple[Key, ...]:
    """The definitions that a plan would write with a password in clear, by key."""
    written = (change.after for change in plan.changes if not isinstance(change, Delete | Resecret))
    return tuple(sorted({after.key for after in written if _definition(after) is not after}))


def masked_fields(fields: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """The same fields with `***` in place of every password."""
    return _fields(fields)


def masked_text(text: str) -> str:
    """The text, and in each URL of it no password."""
    return USERINFO.sub(_masked_userinfo, text) if "://" in text and "@" in text else text


def _masked_userinfo(found: re.Match[str]) -> str:
    login, colon, password = found["userinfo"].partition(":")
    if is_clear(password):
        return f"{found['scheme']}{login}:{MASK}@"
    if not password and is_clear(login):
        return f"{found['scheme']}{MASK}{colon}@"
    return found[0]


def _masked_credentials(text: str) -> str:
    found = CREDENTIALS.fullmatch(text)
    assert found is not None, "both parts may be empty"
    return f"{found['scheme']}{MASK}" if is_clear(found["rest"]) else text


def _value(value: JsonValue, name: str = "") -> JsonValue:
    """The value itself where nothing is to be hidden, so that `is` tells."""
    if isinstance(value, str):
        hidden = _masked_credentials(value) if name.lower() == "authorization" else masked_text(value)
        return value if hidden == value else hidden
    if isinstance(value, Mapping):
        entries = {key: _value(each, key) for key, each in value.items()}
        return value if all(entries[key] is each for key, each in value.items()) else entries
    if isinstance(value, Sequence):
        items = [_value(each) for each in value]
        return value if all(item is each for item, each in zip(items, value, strict=True)) else items
    return value


def _definition(definition: Definition) -> Definition:
    content = _value(definition.content)
    if content is definition.content:
        return definition
    assert isinstance(content, Mapping), "a content is one, and stays one"
    return replace(definition, content=content)


def _fields(fields: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    hidden = tuple(_field(field) for field in fields)
    return fields if all(one is other for one, other in zip(hidden, fields, strict=True)) else hidden


def _field(field: FieldChange) -> FieldChange:
    name = field.path[-1] if field.path else ""
    before, after = _value(field.before, name), _value(field.after, name)
    return field if before is field.before and after is field.after else replace(field, before=before, after=after)


def _span(span: Span | None) -> Span | None:
    """A mapping in flow style has the whole definition on its line."""
    if span is None or (hidden := masked_in_place(masked_text(span.source))) == span.source:
        return span
    return replace(span, source=hidden)


def _change(change: Change) -> Change:
    match change:
        case Create():
            after, origin = _definition(change.after), _span(change.origin)
            same = after is change.after and origin is change.origin
            return change if same else replace(change, after=after, origin=origin)
        case Delete():
            before = _definition(change.before)
            return change if before is change.before else replace(change, before=before)
        case Resecret():
            return change
        case _:
            return _changed(change)


def _changed(change: T) -> T:
    before, after, origin = _definition(change.before), _definition(change.after), _span(change.origin)
    fields = _fields(change.fields)
    if before is change.before and after is change.after and fields is change.fields and origin is change.origin:
        return change
    return replace(change, before=before, after=after, fields=fields, origin=origin)


def _drift(drift: Drift) -> Drift:
    before = None if drift.before is None else _definition(drift.before)
    after = None if drift.after is None else _definition(drift.after)
    fields = _fields(drift.fields)
    if before is drift.before and after is drift.after and fields is drift.fields:
        return drift
    return replace(drift, before=before, after=after, fields=fields)
