"""`${var.name}` becomes its value, and every character of the result knows where it comes from."""

import pytest

from reconciler.config.settle import Reference, references, settle

VALUES = {"host": "example.com", "empty": "", "path-1": "a/b"}


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("https://${var.host}/x", "https://example.com/x"),
        ("${var.host}${var.host}", "example.comexample.com"),
        ("a${var.empty}b", "ab"),
        ("${var.path-1}", "a/b"),
        ("${var.unknown}/${var.host}", "${var.unknown}/example.com"),
        ("${secret.host} {host} $var.host ${variable}", "${secret.host} {host} $var.host ${variable}"),
        ("", ""),
    ],
)
def test_references_are_replaced_where_their_value_is_known(text: str, settled: str) -> None:
    assert settle(text, VALUES).text == settled


def test_values_are_not_searched_again() -> None:
    assert settle("${var.a}", {"a": "${var.b}", "b": "x"}).text == "${var.b}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a${var.b}c", [Reference("b", 1, 9)]),
        ("${var}", [Reference(None, 0, 5)]),
        ("${var.}", [Reference(None, 0, 5)]),
        ("${var.a b}", [Reference(None, 0, 5)]),
        ("${var.1}", [Reference(None, 0, 5)]),
        ("${variable} ${secret.var}", []),
    ],
)
def test_references_that_are_not_complete_have_no_name(text: str, found: list[Reference]) -> None:
    assert list(references(text)) == found


@pytest.mark.parametrize(
    ("offset", "length", "origin", "names"),
    [
        # https://${var.host}/${var.empty}{x} → https://example.com/{x}
        (0, 5, "https", ()),
        (8, 11, "${var.host}", ("host",)),
        (10, 1, "${var.host}", ("host",)),
        (6, 4, "//${var.host}", ("host",)),
        (18, 2, "${var.host}/", ("host",)),
        (19, 1, "/", ()),
        (20, 3, "{x}", ()),
        (23, 1, "", ()),
    ],
)
def test_characters_lead_back_to_what_was_written(
    offset: int, length: int, origin: str, names: tuple[str, ...]
) -> None:
    text = "https://${var.host}/${var.empty}{x}"
    settled = settle(text, VALUES)
    start, size = settled.origin(offset, length)
    assert text[start : start + size] == origin
    assert settled.names_within(offset, length) == names
