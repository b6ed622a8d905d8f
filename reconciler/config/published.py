"""The published JSON Schemas, generated from `config.document` and `codec.plan_form`, and the reference of all fields.

1. Schemas are Draft 2020-12, committed in `schemas/`, and never edited there: a test compares.
2. What a class says is said once: descriptions, examples and defaults are its own.
3. A callback is described by its channel (`if` and `then`, not `oneOf`), so that editors and messages speak of the
   one that was meant.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from reconciler.codec.plan import FORMAT
from reconciler.config.document import API_VERSION, DOCUMENTS

__all__ = ["FILE_NAMES", "PUBLISHED", "published", "schema_of"]

FILE_NAMES: Final[Mapping[str, str]] = {
    "Project": "project.v1.schema.json",
    "DeviceType": "device-type.v1.schema.json",
}
"""The name of the schema in `schemas/`, of each kind of document that people write."""

PUBLISHED: Final[Mapping[str, str]] = {**FILE_NAMES, "Plan": "plan.schema.json"}
"""Of everything that has one: what `plan -o` saves, too."""

_Schema: TypeAlias = dict[str, Any]


@lru_cache(maxsize=len(PUBLISHED))
def schema_of(kind: str) -> _Schema:
    """The JSON Schema of a kind of document."""
    if kind == "Plan":
        from reconciler.codec.plan_form import PLAN  # of no use to the verbs that read what people write

        form, version = PLAN.json_schema(by_alias=True), FORMAT
    else:
        form, version = DOCUMENTS[kind].json_schema(by_alias=True), API_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{kind} ({version})",
        **_tidied(form),
    }


def published() -> Mapping[str, str]:
    """The files of `schemas/`, name → text."""
    files = {name: json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n" for kind, name in PUBLISHED.items()}
    return {**files, "README.md": _reference()}


def _tidied(node: Any) -> Any:
    """The schema without pydantic's noise, and with the constructs that give the best messages."""
    if isinstance(node, list):
        return [_tidied(each) for each in node]
    if not isinstance(node, dict):
        return node
    # pydantic makes titles of field names; ours are nouns in lower case. Empty defaults say nothing.
    tidy = {
        key: _tidied(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str) and value[:1].isupper())
        and not (key == "default" and value in (None, "", {}, []))
    }
    if "discriminator" in tidy:
        return _by_word(tidy)
    if "patternProperties" in tidy:
        ((pattern, values),) = tidy.pop("patternProperties").items()
        tidy["propertyNames"] = {"pattern": pattern, **tidy.get("propertyNames", {})}
        tidy["additionalProperties"] = values
    if {"$ref": "#/$defs/OperatorTarget"} in tidy.get("oneOf", ()):
        del tidy["oneOf"]
        tidy["type"] = "object"
        tidy["if"] = {"required": ["sigfox"]}
        tidy["then"] = {"$ref": "#/$defs/OperatorTarget"}
        tidy["else"] = {"$ref": "#/$defs/EngineTarget"}
    return _nullable(tidy)


_DISCRIMINATORS: Final[Mapping[str, str]] = {"channel": "How a message is sent.", "kind": "What is done."}


def _by_word(tidy: _Schema) -> _Schema:
    name: str = tidy["discriminator"]["propertyName"]
    mapping: Mapping[str, str] = tidy["discriminator"]["mapping"]
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"enum": list(mapping), "description": _DISCRIMINATORS[name]}},
        "allOf": [
            {
                "if": {"properties": {name: {"const": word}}, "required": [name]},
                "then": {"$ref": reference},
            }
            for word, reference in mapping.items()
        ],
    }


def _nullable(tidy: _Schema) -> _Schema:
    """One schema where pydantic writes two, one of them only for null."""
    match tidy.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}]:
            merged = {**one, **{key: value for key, value in tidy.items() if key != "anyOf"}, "type": [kind, "null"]}
            if "enum" in merged:
                merged["enum"] = [*merged["enum"], None]
            return merged
        case _:
            return tidy


# The field reference

_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "mapping",
    "array": "list",
    "null": "null",
}


def _reference() -> str:
    lines = [
        "# File format",
        "",
        "Generated from `reconciler/config/document.py` and, for saved plans, `reconciler/codec/plan_form.py`; do not",
        "edit. The JSON Schemas beside this page are the same, for editors: the first line of a file names its schema.",
    ]
    for kind, file_name in PUBLISHED.items():
        schema = schema_of(kind)
        lines += ["", f"## {kind}", "", f"[{file_name}]({file_name})", "", *_fields(schema, schema["$defs"])]
        for name, definition in schema["$defs"].items():
            if "properties" not in definition:
                if "description" in definition and "anyOf" in definition:
                    value = _value_in_words({"anyOf": definition["anyOf"]})
                    lines += [
                        "",
                        f"### {name} in {kind}",
                        "",
                        definition["description"],
                        "",
                        f"It is written as {value}.",
                    ]
                continue
            lines += [
                "",
                f"### {name} in {kind}",
                "",
                definition.get("description", ""),
                "",
                *_fields(definition, schema["$defs"]),
            ]
    return "\n".join(lines) + "\n"


def _fields(schema: _Schema, definitions: _Schema) -> Iterator[str]:
    required = schema.get("required", ())
    yield "| key | value | meaning |"
    yield "|---|---|---|"
    for name, field in schema.get("properties", {}).items():
        value = _value_in_words(field)
        if name in required:
            value += ", required"
        if not isinstance(field.get("default", {}), dict):
            value += f", default `{json.dumps(field['default'])}`"
        examples = ", ".join(f"`{_in_code(example)}`" for example in field.get("examples", ()))
        described = field if "description" in field else definitions.get(_value_in_words(field), {})
        meaning = described.get("description", "any JSON value") + (f" For example: {examples}" if examples else "")
        yield f"| `{name}` | {value} | {meaning} |".replace("\n", " ")


def _in_code(example: object) -> str:
    return (example if isinstance(example, str) else json.dumps(example)).replace("|", "\\|")


def _value_in_words(field: _Schema) -> str:
    match field:
        case {"$ref": str(reference)}:
            return reference.rpartition("/")[2]
        case {"title": str(noun)}:
            return noun
        case {"then": {"$ref": str(one)}, "else": {"$ref": str(other)}}:
            return f"{other.rpartition('/')[2]} or {one.rpartition('/')[2]}"
        case {"allOf": list(branches)}:
            return " or ".join(dict.fromkeys(branch["then"]["$ref"].rpartition("/")[2] for branch in branches))
        case {"anyOf": list(alternatives)}:
            return " or ".join(dict.fromkeys(_value_in_words(each) for each in alternatives))
        case {"const": constant}:
            return f"`{constant}`"
        case {"enum": list(words)}:
            return " or ".join(f"`{word}`" for word in words if word is not None)
        case {"type": "array", "items": dict(items)}:
            return f"list of {_value_in_words(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"mapping to {_value_in_words(values)}"
        case {"type": list(kinds)}:
            return " or ".join(_WORDS[kind] for kind in kinds)
        case {"type": str(kind)}:
            return _WORDS[kind]
        case _:
            return "any value"
