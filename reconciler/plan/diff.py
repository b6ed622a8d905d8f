"""The fields in which two contents differ, for the reader of a plan.

1. Digests come first: this is asked only about two contents that differ (10,000 pairs cost deepdiff seconds, the 100
   that differ hundredths).
2. deepdiff finds the places; the values are read from the contents themselves, whole and unshortened.
3. Maps are entered, down to the field that differs. A list that differs is one field: its items have no names, so a
   position says little.
4. Fields stand in the order in which people write them, nested ones by name.
"""

from collections.abc import Mapping

from reconciler.model.definition import Content, JsonValue
from reconciler.model.plan import FieldChange
from reconciler.model.writing_order import CALLBACK_FIELDS, DEVICE_TYPE_FIELDS

__all__ = ["FIELD_ORDER", "field_changes"]

FIELD_ORDER = (*(name for name in DEVICE_TYPE_FIELDS if name not in CALLBACK_FIELDS), *CALLBACK_FIELDS)
"""As in the project's own YAML examples; what is missing here comes last, by name."""

_RANK = {name: rank for rank, name in enumerate(FIELD_ORDER)}


def field_changes(before: Content, after: Content) -> tuple[FieldChange, ...]:
    """Every field that differs, each once, in writing order."""
    return tuple(_change(path, before, after) for path in sorted(_paths(before, after), key=_place))


def _paths(before: Content, after: Content) -> set[tuple[str, ...]]:
    # Imported here: it costs 50 ms on top of pydantic, and a plan without updates never needs it.
    from deepdiff import DeepDiff

    differences = DeepDiff(
        before,
        after,
        view="tree",
        threshold_to_diff_deeper=0,  # else maps that share few names count as one replaced value
        ignore_private_variables=False,  # else a header named __x would be passed over
        ignore_type_in_groups=[(list, tuple)],  # both are JSON arrays
    )
    return {_named_part(level.path(output_format="list")) for levels in differences.values() for level in levels}


def _named_part(path: list[str | int]) -> tuple[str, ...]:
    names: list[str] = []
    for step in path:
        if not isinstance(step, str):
            break
        names.append(step)
    return tuple(names)


def _change(path: tuple[str, ...], before: Content, after: Content) -> FieldChange:
    (old, had), (new, has) = _at(path, before), _at(path, after)
    return FieldChange(path, old, new, added=not had, removed=not has)


def _at(path: tuple[str, ...], content: Content) -> tuple[JsonValue, bool]:
    """What stands there, and whether anything does: null and nothing are different."""
    found: JsonValue = content
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return None, False
        found = found[name]
    return found, True


def _place(path: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    return _RANK.get(path[0], len(_RANK)), path
