"""Differences as marked lines."""

import pytest

from reconciler.cli.render.plan_lines import content_lines, copied, field_lines, hunks, text_diff
from reconciler.model.definition import Content, JsonValue
from reconciler.model.plan import FieldChange


def diff(before: JsonValue, after: JsonValue) -> list[str]:
    return [f"{mark}{text}" for mark, text in text_diff(FieldChange(("body",), before, after))]


def told(*fields: FieldChange) -> list[str]:
    return [f"{mark}{text}" for mark, text in field_lines(fields)]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a\nb\nc\n", "a\nx\nc\n", [" a", "-b", "+x", " c"]),
        ("a\nb", "a\nb\nc", [" a", " b", "+c"]),
        ("a\na\na", "a\na", [" a", " a", "-a"]),
        ("one", "one\ntwo", [" one", "+two"]),
        ("a\nb\n", "a\nc", [" a", "-b", "+c", "\\no line break at its end now"]),
        ("a\nb", "a\nc\n", [" a", "-b", "+c", "\\no line break at its end before"]),
        # Only a line feed ends a line: what else looks like an end is part of the text.
        ("a\u2028b\nold", "a\nb\nnew", ["-a\\u2028b", "-old", "+a", "+b", "+new"]),
        ("a\r\nb", "a\nb", ["-a\\r", "+a", " b"]),
    ],
)
def test_lines_stay_go_and_come(before: str, after: str, lines: list[str]) -> None:
    assert diff(before, after) == lines


@pytest.mark.parametrize(("before", "after"), [("a", "b"), (1, 2), ("a\n", 1), (None, "a\nb"), ("a\nb", "a\nb\n")])
def test_what_has_no_lines_in_common_terms_is_no_line_diff(before: JsonValue, after: JsonValue) -> None:
    assert diff(before, after) == []


def test_very_long_texts_are_replaced_as_a_whole_but_for_what_both_ends_share() -> None:
    old, new = (["head"] + [f"{word}{index % 7}" for index in range(2_000)] + ["tail"] for word in ("a", "b"))
    lines = diff("\n".join(old), "\n".join(new))
    assert (lines[0], lines[-1]) == (" head", " tail")
    assert len(lines) == 4_002


def test_hunks_say_how_many_lines_they_leave_out() -> None:
    lines = text_diff(FieldChange(("body",), "1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\nsix\n"))
    assert [*hunks(lines, around=1)] == [("\\", "4 lines unchanged"), (" ", "5"), ("-", "6"), ("+", "six")]
    assert [*hunks(lines, around=9)] == lines
    assert [*hunks([("+", "x"), (" ", "y")], around=0)] == [("+", "x"), ("\\", "1 line unchanged")]


def test_a_content_is_a_line_for_each_field_and_each_line_of_a_long_one() -> None:
    content: Content = {"url": "http://h/", "headers": {"A": "1"}, "enabled": False, "body": "x\ny\n"}
    assert [f"{mark}{text}" for mark, text in content_lines(content, "+")] == [
        "+url: http://h/",
        '+headers.A: "1"',
        "+enabled: false",
        "+body:",
        "+  x",
        "+  y",
    ]


def test_a_field_is_told_by_both_of_its_sides_or_the_one_that_is_there() -> None:
    assert told(
        FieldChange(("method",), "POST", "PUT"),
        FieldChange(("sendSni",), None, True, added=True),
        FieldChange(("body",), "x\ny", None, removed=True),
        FieldChange(("subject",), "s", "s\n"),
    ) == [
        "-method: POST",
        "+method: PUT",
        "+sendSni: true",
        "-body:",
        "-  x",
        "-  y",
        "-subject: s",
        '+subject: "s\\n"',
    ]


def test_what_differs_in_a_hidden_password_alone_is_said_to() -> None:
    same = "http://u:***@h/"
    assert told(FieldChange(("url",), same, same)) == [
        f" url: {same}",
        "\\(the same, but for a password that is hidden)",
    ]


def test_lines_to_copy_hold_no_control_characters() -> None:
    assert copied("moved:\n  - {from: a\x1b, to: b}\n") == ["moved:", "  - {from: a\\x1b, to: b}"]
