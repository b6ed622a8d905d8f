"""What every rendered text has in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.render.text import Paint, cells, columns, indent, paragraphs, plural, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("tab\there", "tab\\there"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("nul\0", "nul\\x00"),
        ("c1\x9b31m", "c1\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("line\u2028break", "line\\u2028break"),
        ("half \ud83d", "half \\ud83d"),
        ("grüße 日本", "grüße 日本"),
    ],
)
def test_control_characters_become_visible_and_nothing_else_changes(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_visible_text_is_one_line_that_can_not_steer_a_terminal(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0), (Paint(coloured=True).bad("abc"), 3)],
)
def test_cells_count_what_a_terminal_shows(text: str, width: int) -> None:
    assert cells(text) == width


def test_columns_stand_below_one_another_whatever_is_in_them() -> None:
    paint = Paint(coloured=True)
    lines = columns([("a", "x"), ("日本", "y"), (paint.good("abc"), "z")])
    assert [cells(line) - 1 for line in lines] == [6, 6, 6]


def test_the_last_column_is_not_padded() -> None:
    assert columns([("a", "b"), ("a", "bbb")]) == ["a  b", "a  bbb"]


def test_paragraphs_wrap_prose_and_leave_commands_alone() -> None:
    prose = "word " * 40
    command = "    reconciler apply " + "x" * 120
    lines = paragraphs(f"{prose}\n\n{command}")
    assert all(cells(line) <= 100 for line in lines[:-1])
    assert lines[-2:] == ["", command]


def test_indent_leaves_empty_lines_empty() -> None:
    assert indent(["a", "", "b"], by=2) == ["  a", "", "  b"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 errors"), (1, "1 error"), (2, "2 errors"), (12345, "12,345 errors")]
)
def test_plural(count: int, text: str) -> None:
    assert plural(count, "error") == text


def test_paint_without_colour_leaves_text_alone() -> None:
    paint = Paint(coloured=False)
    assert [f("x") for f in (paint.good, paint.bad, paint.changed, paint.strong, paint.faint)] == ["x"] * 5
