"""Two JSON values compared: every place where they differ, the deepest that tells it. Pure.

1. Numbers are compared as numbers, so that 21, 21.0 and 2.1e1 are the same; true and 1 are not.
2. The order of an object's members means nothing, that of an array's items does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model.definition import JsonValue

__all__ = ["Difference", "as_json", "differences", "same"]

_Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a value is another than expected; texts are JSON, None where there is no value."""

    path: _Steps
    expected: str | None
    found: str | None


def differences(expected: JsonValue, found: JsonValue, path: _Steps = ()) -> Iterator[Difference]:
    """Every difference, in the order of what was expected, then of what was found beside it."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name in found:
                yield from differences(value, found[name], (*path, name))
            else:
                yield Difference((*path, name), as_json(value), None)
        for name in found:
            if name not in expected:
                yield Difference((*path, name), None, as_json(found[name]))
    elif isinstance(expected, list) and isinstance(found, list):
        for index, value in enumerate(expected):
            if index < len(found):
                yield from differences(value, found[index], (*path, index))
            else:
                yield Difference((*path, index), as_json(value), None)
        for index in range(len(expected), len(found)):
            yield Difference((*path, index), None, as_json(found[index]))
    elif not same(expected, found):
        yield Difference(path, as_json(expected), as_json(found))


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values that are no objects or arrays are the same."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def as_json(value: JsonValue) -> str:
    """A value on one line."""
    return json.dumps(value, ensure_ascii=False)
