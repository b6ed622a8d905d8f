"""The rows that a reader of a plan sees."""

import pytest

from reconciler.model.definition import Content
from reconciler.model.plan import FieldChange
from reconciler.plan.diff import FIELD_ORDER, field_changes


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        ({"url": "a"}, {"url": "b"}, [FieldChange(("url",), "a", "b")]),
        ({}, {"enabled": False}, [FieldChange(("enabled",), None, False, added=True)]),
        ({"enabled": False}, {}, [FieldChange(("enabled",), False, None, removed=True)]),
        ({"downlink": None}, {}, [FieldChange(("downlink",), None, None, removed=True)]),
        ({"headers": {"A": "1", "B": "2"}}, {"headers": {"A": "1", "B": "3"}},
         [FieldChange(("headers", "B"), "2", "3")]),
        ({"headers": {"A": "1"}}, {"headers": {"B": "1"}},
         [FieldChange(("headers", "A"), "1", None, removed=True),
          FieldChange(("headers", "B"), None, "1", added=True)]),
        ({"headers": {"X.y": "1", "it's": "2"}}, {"headers": {"X.y": "3", "it's": "4"}},
         [FieldChange(("headers", "X.y"), "1", "3"), FieldChange(("headers", "it's"), "2", "4")]),
        ({"headers": {"__private": "1"}}, {"headers": {"__private": "2"}},
         [FieldChange(("headers", "__private"), "1", "2")]),
        ({"headers": {"A": "1"}}, {}, [FieldChange(("headers",), {"A": "1"}, None, removed=True)]),
        ({"payload": {"a": 1}}, {"payload": "a::bool:1"}, [FieldChange(("payload",), {"a": 1}, "a::bool:1")]),
        ({"given": [1, {"a": 2}, 3]}, {"given": [{"a": 4}, 3]},
         [FieldChange(("given",), [1, {"a": 2}, 3], [{"a": 4}, 3])]),
        ({"given": [1, 2]}, {"given": (1, 2)}, []),
        ({"keepAlive": 1}, {"keepAlive": True}, [FieldChange(("keepAlive",), 1, True)]),
        ({"keepAlive": 1}, {"keepAlive": 1.0}, [FieldChange(("keepAlive",), 1, 1.0)]),
    ],
)  # fmt: skip
def test_each_field_that_differs_is_one_row(before: Content, after: Content, rows: list[FieldChange]) -> None:
    assert [repr(row) for row in field_changes(before, after)] == [repr(row) for row in rows]


def test_contents_that_share_no_name_differ_field_by_field() -> None:
    rows = field_changes({"url": "a", "method": "GET"}, {"recipient": "a", "subject": "b", "message": "c"})
    assert [row.path[0] for row in rows] == ["method", "url", "recipient", "subject", "message"]


def test_rows_stand_in_writing_order_and_nested_ones_by_name() -> None:
    names = [*reversed(FIELD_ORDER), "zebra", "aardvark"]
    rows = field_changes({"headers": {"B": "1", "A": "1"}}, dict.fromkeys(names, "x") | {"headers": {}})
    paths = [row.path for row in rows]
    assert [path[0] for path in paths if path[0] != "headers"] == [
        *(name for name in FIELD_ORDER if name != "headers"),
        "aardvark",
        "zebra",
    ]
    assert [path for path in paths if path[0] == "headers"] == [("headers", "A"), ("headers", "B")]


def test_a_long_text_is_kept_whole() -> None:
    before, after = "line\n" * 5_000, "line\n" * 4_999 + "end\n"
    (row,) = field_changes({"body": before}, {"body": after})
    assert (row.before, row.after) == (before, after)


def test_equal_contents_have_no_rows() -> None:
    assert field_changes({"url": "a", "headers": {"A": "1"}}, {"headers": {"A": "1"}, "url": "a"}) == ()
