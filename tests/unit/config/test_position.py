"""Characters of a scalar's value to characters of the file."""

import pytest

from reconciler.config.position import Extent, characters, extent, within


def written(text: str, start: int, value: str) -> list[str] | None:
    """What stands in the text for each character of the value."""
    found = characters(text, start, value)
    return None if found is None else [text[each.start : each.end] for each in found]


@pytest.mark.parametrize(
    ("text", "value", "characters"),
    [
        ("abc", "abc", ["a", "b", "c"]),
        ("'abc'", "abc", ["a", "b", "c"]),
        ("'it''s'", "it's", ["i", "t", "''", "s"]),
        ('"abc"', "abc", ["a", "b", "c"]),
        (r'"a\"b\\c"', 'a"b\\c', ["a", r"\"", "b", r"\\", "c"]),
        (r'"\x41\u00e9\U0001F600z"', "Aé😀z", [r"\x41", r"\u00e9", r"\U0001F600", "z"]),
        (r'"\t\n\0"', "\t\n\0", [r"\t", r"\n", r"\0"]),
        ("a\n  b", "a b", ["a", "\n  ", "b"]),
        ("a  \r\n \t b", "a b", ["a", "  \r\n \t ", "b"]),
        ("'a\n\n  b'", "a\nb", ["a", "\n\n  ", "b"]),
        ('"a\n\n\n b"', "a\n\nb", ["a", "\n\n\n ", "\n\n\n ", "b"]),
        ('"ab\\\n   cd"', "abcd", ["a", "b", "c", "d"]),
        ("&anchor abc", "abc", ["a", "b", "c"]),
        ("&a !t\n 'x'", "x", ["x"]),
        ("''", "", []),
    ],
)
def test_flow_scalars(text: str, value: str, characters: list[str]) -> None:
    assert written(text, 0, value) == characters


@pytest.mark.parametrize(
    ("text", "value", "lines"),
    [
        ("|\n  ab\n  cd\n", "ab\ncd\n", ["ab", "cd"]),
        ("|-\n  ab\n  cd\n", "ab\ncd", ["ab", "cd"]),
        ("|+ # comment\n  ab\n\n", "ab\n\n", ["ab"]),
        (">\n  ab\n  cd\n", "ab cd\n", ["ab", "cd"]),
        (">\n  ab\n\n  cd\n", "ab\ncd\n", ["ab", "cd"]),
        (">\n  ab\n    ef\n  cd\n", "ab\n  ef\ncd\n", ["ab", "ef", "cd"]),
        ("|2\n    ab\n  cd\n", "  ab\ncd\n", ["ab", "cd"]),
        ("|\n\n  ab\n", "\nab\n", ["ab"]),
        ("|\r\n  ab\r\n  cd\r\n", "ab\ncd\n", ["ab", "cd"]),
    ],
)
def test_block_scalars(text: str, value: str, lines: list[str]) -> None:
    found = characters(text, 0, value)
    assert found is not None
    assert len(found) == len(value)
    for line in lines:
        at = found[value.index(line)].start
        assert text[at : at + len(line)] == line


@pytest.mark.parametrize(
    ("text", "value"),
    [("abc", "abd"), ("'abc'", "abcd"), ("ab", "abc"), ("|\n  ab\n", "cd\n"), ("a\n b", "ab"), ('"a"', "ab")],
)
def test_what_does_not_fit_has_no_positions(text: str, value: str) -> None:
    assert characters(text, 0, value) is None
    assert within(text, 0, value, offset=0, length=1) is None


@pytest.mark.parametrize(
    ("text", "value", "whole"),
    [
        ("abc # x", "abc", "abc"),
        ("'it''s' ", "it's", "'it''s'"),
        ('"a\\"b", c', 'a"b', '"a\\"b"'),
        ("''", "", "''"),
        ("0x1F]", 31, "0x1F"),
        ("true,", True, "true"),
        ("null}", None, "null"),
        ("|- # x\n  ab\n", "ab", "|- # x"),
        ("&a 5", 5, "5"),
        ("\n", None, ""),
        ("}", None, ""),
        ("# comment", None, ""),
    ],
)
def test_the_extent_of_a_scalar(text: str, value: object, whole: str) -> None:
    found = extent(text, 0, value)
    assert text[found.start : found.end] == whole


@pytest.mark.parametrize(
    ("text", "value", "offset", "length", "part"),
    [
        ("'it''s'", "it's", 1, 2, "t''"),
        ("abc", "abc", 1, 9, "bc"),
        ("'abc'", "abc", 3, 1, "'"),
        ("abc, d", "abc", 3, 2, ","),
        ("''", "", 0, 1, "''"),
        ("|\n  ab\n", "ab\n", 1, 1, "b"),
    ],
)
def test_a_part_of_a_scalar(text: str, value: str, offset: int, length: int, part: str) -> None:
    found = within(text, 0, value, offset=offset, length=length)
    assert found is not None
    assert text[found.start : found.end] == part


def test_the_extent_of_what_does_not_fit_is_one_character() -> None:
    assert extent("abc", 1, "xyz") == Extent(1, 2)
