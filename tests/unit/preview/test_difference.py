"""Two JSON values compared."""

import pytest

from reconciler.model.definition import JsonValue
from reconciler.preview.difference import Difference, differences


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (21, 21.0),
        (1e3, 1000),
        ("a", "a"),
        (None, None),
        (True, True),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        ([1, [2, {}]], [1.0, [2, {}]]),
    ],
)
def test_numbers_are_numbers_and_members_have_no_order(one: JsonValue, other: JsonValue) -> None:
    assert [*differences(one, other)] == []
    assert [*differences(other, one)] == []


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        (1, True, [((), "1", "true")]),
        (0, False, [((), "0", "false")]),
        ("1", 1, [((), '"1"', "1")]),
        (None, 0, [((), "null", "0")]),
        ([], {}, [((), "[]", "{}")]),
        ({"a": None}, {}, [(("a",), "null", None)]),
        ({}, {"a": "č"}, [(("a",), None, '"č"')]),
        ([1, 2], [2], [((0,), "1", "2"), ((1,), "2", None)]),
        ([], [1], [((0,), None, "1")]),
        ({"a": [{"b": 1}], "c": 1}, {"a": [{"b": 2}], "d": 1}, [
            (("a", 0, "b"), "1", "2"),
            (("c",), "1", None),
            (("d",), None, "1"),
        ]),
    ],
)  # fmt: skip
def test_every_difference_is_told_at_its_place(
    expected: JsonValue, found: JsonValue, told: list[tuple[tuple[str | int, ...], str | None, str | None]]
) -> None:
    assert [*differences(expected, found)] == [Difference(*each) for each in told]
