"""Documents of the wrong shape → diagnostics. The only user of jsonschema.

pydantic decides whether a document has the right shape: 10,000 in 0.13 s. Only one that it refuses is read again by
jsonschema, which takes 2 s for as many but tells paths, against the very schema that editors use; one fault gives one
message, and never one of each kind. A test holds the two to the same verdict.

1. Each fault says what was expected and what was found, and the sentence that mends it where one can be known.
2. A fault names the place in the document, so that the sound rest of it can still be checked.
3. A word that the model checks too has the model's code: one problem reads the same whichever door it comes through.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ValidationError

from reconciler.config.codes import diagnostic
from reconciler.config.document import DOCUMENTS
from reconciler.config.field import FIELDS
from reconciler.config.place import Document, Steps
from reconciler.config.published import schema_of
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import CHANNEL_FIELDS, no_such_field

__all__ = ["Fault", "validate"]

# jsonschema's errors: their stubs allow for errors that no validator has raised.
_Error: TypeAlias = Any
_Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the shape of a document, and where."""

    steps: Steps
    diagnostic: Diagnostic


def validate(kind: str, document: Document) -> tuple[BaseModel | None, tuple[Fault, ...]]:
    """The document as its class, or everything that is wrong with its shape."""
    try:
        model: BaseModel = DOCUMENTS[kind].validate_python(document.value)
    except ValidationError as error:
        return None, _faults(kind, document) or tuple(_as_pydantic_sees_it(error, document))
    return model, ()


# Faults


def _faults(kind: str, document: Document) -> tuple[Fault, ...]:
    # Costs 65 ms, and only a faulty document needs it.
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(schema_of(kind)).iter_errors(document.value)
    return tuple(dict.fromkeys(fault for error in errors for fault in _explained(error, document)))


def _explained(error: _Error, document: Document) -> Iterator[Fault]:
    steps: Steps = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            for key in error.instance.keys() - known.keys():
                yield _unknown_key((*steps, key), list(known), document)
        case "pattern" if error.schema.get("title") == "field of a policy":
            yield _unknown_key((*steps, error.instance), list(FIELDS), document)
        case "pattern" if error.absolute_schema_path[-2] == "propertyNames":
            yield _bad_name((*steps, error.instance), document, document.key_span((*steps, error.instance)))
        case "pattern" if error.schema.get("title") == "name":
            yield _bad_name(steps, document)
        case "required":
            yield from (_missing_key(steps, name, document) for name in _missing(error))
        case "anyOf" if meant := _meant(error):
            for inner in meant:
                yield from _explained(inner, document)
        case _:
            yield _wrong_value(steps, error, document)


def _missing(error: _Error) -> Iterator[str]:
    """The key of an error about a missing one: jsonschema names it only in its message."""
    return (name for name in error.validator_value if error.message.startswith(repr(name)))


def _meant(error: _Error) -> Sequence[_Error]:
    """Of several alternatives that all failed, the faults of the one whose type fits; none when no type does.

    Scalars that have a noun of their own (a duration, a percentage) are one thing, whatever they are made of.
    """
    if "title" in error.schema and not isinstance(error.instance, dict):
        return ()
    by_alternative: dict[Any, list[_Error]] = {}
    for inner in error.context:
        by_alternative.setdefault(inner.schema_path[0], []).append(inner)
    for faults in by_alternative.values():
        if all(inner.validator != "type" or inner.path for inner in faults):
            return faults
    return ()


def _name_of(steps: Steps) -> str:
    """How a message speaks of the value at the end of the way."""
    match steps:
        case ():
            return "The document"
        case (*_, str(name)):
            return name
        case (*_, str(name), int(index)):
            return f"Item {index + 1} of {name}"
        case _:
            return "This value"


def _unknown_key(steps: Steps, known: Sequence[str], document: Document) -> Fault:
    key = str(steps[-1])
    span = document.key_span(steps)
    if len(steps) == 3 and steps[0] == "callbacks":
        channel = document.value_at((*steps[:-1], "channel"))
        fields = frozenset[str]().union(*CHANNEL_FIELDS.values())
        if isinstance(channel, str) and key in fields:
            detail = no_such_field(channel, key)
            return Fault(steps, diagnostic("field-not-of-channel", detail, span=span))
    where = f"{_name_of(steps[:-1])} has" if len(steps) > 1 else "A document of this kind has"
    detail = f"{where} no key {key}; its keys are {', '.join(known)}." if known else f"{where} no keys."
    near = get_close_matches(key, known, n=1)
    help = f"Did you mean {near[0]}?" if near else ""
    return Fault(steps, diagnostic("unknown-key", detail, help=help, span=span))


def _missing_key(steps: Steps, name: str, document: Document) -> Fault:
    detail = f"{_name_of(steps)} needs the key {name}."
    return Fault(steps, diagnostic("missing-key", detail, span=document.span(steps)))


def _bad_name(steps: Steps, document: Document, key: Span | None = None) -> Fault:
    if steps[-2:-1] == ("variables",):
        form = "The name of a variable is made of letters, digits, “_” and “-”, and begins with a letter or “_”."
    else:
        form = "A name is made of at most 64 letters, digits, “_”, “.” and “-”, and begins with a letter or digit."
    return Fault(steps, diagnostic("wrong-format", form, span=key or document.span(steps)))


_VOCABULARIES: Final[Mapping[str, str]] = {
    "type": "unknown-callback-type",
    "channel": "unknown-channel",
    "method": "unknown-method",
    "mode": "unknown-downlink-mode",
}
"""Keys whose words the model checks too: the same code, whichever door a word comes through."""


def _wrong_value(steps: Steps, error: _Error, document: Document) -> Fault:
    value, schema = error.instance, error.schema
    expected = _expected(schema)
    code = {"enum": "wrong-value", "const": "wrong-value", "type": "wrong-type"}.get(error.validator, "wrong-format")
    if error.validator == "anyOf" and all(inner.validator == "type" for inner in error.context if not inner.path):
        code = "wrong-type"
    help = ""
    if isinstance(value, str) and code == "wrong-value":
        code = _VOCABULARIES.get(str(steps[-1]), code)
        words = [word for word in schema.get("enum", [schema.get("const")]) if isinstance(word, str)]
        near = get_close_matches(value, words, n=1, cutoff=0.5)
        help = f"Did you mean {near[0]}?" if near else ""
    elif code == "wrong-value":
        code = "wrong-type"
    if not help:
        help = _advice(value, schema)
    if error.validator == "minItems":
        expected = "a list that is not empty"
    detail = f"{_name_of(steps)} takes {expected}, and {_found(value)} stands here."
    return Fault(steps, diagnostic(code, detail, help=help, span=document.span(steps)))


_TYPES: Final[Mapping[str, str]] = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}


def _expected(schema: _Schema) -> str:
    examples = schema.get("examples", ())
    if "title" in schema or ("anyOf" in schema and examples):
        such_as = f" such as {' or '.join(map(_as_yaml, examples[:2]))}" if examples else ""
        return f"a {schema.get('title', 'value')}{such_as}"
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(word) for word in schema["enum"] if word is not None)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_expected(each) for each in schema["anyOf"]))
    return " or ".join(_TYPES[kind] for kind in _kinds(schema))


def _as_yaml(example: object) -> str:
    if isinstance(example, dict):
        return f"{{{', '.join(f'{key}: {value}' for key, value in example.items())}}}"
    return str(example)


def _kinds(schema: _Schema) -> Sequence[str]:
    """The types that a schema takes; what only refers to another is a mapping here."""
    kinds = schema.get("type", "object")
    return [kinds] if isinstance(kinds, str) else kinds


def _found(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str() if not value:
            return "an empty text"
        case str():
            return f"“{value}”" if len(value) <= 60 and value.isprintable() else "another text"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "a mapping"


def _advice(value: object, schema: _Schema) -> str:
    kinds = [kind for each in schema.get("anyOf", [schema]) for kind in _kinds(each)]
    if schema.get("title") == "duration" and value is not None:
        return f"Write it with its unit: {', '.join(schema['examples'])}."
    wants_text = "string" in kinds
    match value:
        case None:
            return "Give it a value, or take the key away."
        case bool() | int() | float() if wants_text:
            return "Put it in quotes to make it a text."
        case dict() if wants_text and value and all(each is None for each in value.values()):
            return "To YAML, braces begin a mapping. Put the text in quotes."
        case list() if wants_text:
            return "To YAML, brackets begin a list. Put the text in quotes if it is meant as one."
        case str() if "boolean" in kinds:
            return "In YAML 1.2 these are written true and false, without quotes."
        case _:
            return ""


def _as_pydantic_sees_it(error: ValidationError, document: Document) -> Iterator[Fault]:
    """What jsonschema would accept and pydantic does not: nothing that is known, and still not a traceback."""
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        steps: Steps = ()
        for step in each["loc"]:
            if document.holds((*steps, step)):
                steps = (*steps, step)
        detail = f"{_name_of(steps)} is not as expected: {each['msg']}."
        yield Fault(steps, diagnostic("wrong-value", detail, span=document.span(steps)))
