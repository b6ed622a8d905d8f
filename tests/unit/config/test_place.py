"""Ways through a document lead to places in its file."""

import pytest

from reconciler.config.place import Document, Steps
from reconciler.config.source import parse

TEXT = """\
name: tracker
headers: {X-Id: "1", 'X-Time': "{time}"}
list:
  - one
  - key: &shared {inner: deep}
  - [2, 3]
empty:
again: *shared
merged:
  <<: *shared
  own: 1.10
body: |
  first
  second {line}
"""


@pytest.fixture(scope="module")
def document() -> Document:
    source = parse(TEXT, name="file.yaml")
    assert source.diagnostics == ()
    return source.documents[0]


def shown(document: Document, steps: Steps, *, offset: int | None = None, length: int = 1) -> str:
    span = document.span(steps, offset=offset, length=length)
    assert span.source == TEXT.splitlines()[span.line - 1]
    return f"{span.line}: {span.source[span.column - 1 : span.end_column - 1]}"


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        (("name",), "1: tracker"),
        (("headers",), "2: headers"),
        (("headers", "X-Id"), '2: "1"'),
        (("headers", "X-Time"), '2: "{time}"'),
        (("list", 0), "4: one"),
        (("list", 1), "5: k"),
        (("list", 1, "key", "inner"), "5: deep"),
        (("list", 2, 1), "6: 3"),
        (("empty",), "7: empty"),
        (("again", "inner"), "5: deep"),
        (("merged", "inner"), "5: deep"),
        (("merged", "own"), "11: 1.10"),
        (("body",), "12: |"),
        ((), "1: n"),
    ],
)
def test_a_value_is_shown_itself_and_a_collection_by_its_key(document: Document, steps: Steps, place: str) -> None:
    assert shown(document, steps) == place
    assert document.holds(steps)


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        (("nothing",), "1: n"),
        (("headers", "X-None"), "2: headers"),
        (("name", "deeper"), "1: name"),
        (("list", 7), "3: list"),
        (("list", "key"), "3: list"),
    ],
)
def test_what_is_missing_is_shown_by_the_key_it_is_missing_from(document: Document, steps: Steps, place: str) -> None:
    assert shown(document, steps) == place
    assert not document.holds(steps)


def test_values_are_found_or_nothing_is(document: Document) -> None:
    assert document.value_at(("list", 2, 1)) == 3
    assert document.value_at(("merged", "inner")) == "deep"
    assert document.value_at(("list", 7)) is None
    assert document.value_at(("name", "deeper")) is None


@pytest.mark.parametrize(
    ("steps", "place"),
    [(("name",), "1: name"), (("headers", "X-Time"), "2: 'X-Time'"), (("merged", "inner"), "5: inner")],
)
def test_keys_have_places_too(document: Document, steps: Steps, place: str) -> None:
    span = document.key_span(steps)
    assert f"{span.line}: {span.source[span.column - 1 : span.end_column - 1]}" == place


def test_characters_of_a_text_have_places(document: Document) -> None:
    assert shown(document, ("headers", "X-Time"), offset=1, length=4) == "2: time"
    assert shown(document, ("body",), offset=13, length=6) == "14: {line}"
    assert shown(document, ("name",), offset=5, length=50) == "1: er"
    assert shown(document, ("headers", "X-Time"), offset=6) == '2: "'  # behind the last character


def test_a_place_never_leaves_its_line(document: Document) -> None:
    assert shown(document, ("body",), offset=3, length=9) == "13: st"


@pytest.mark.parametrize(
    ("steps", "text"), [(("name",), "tracker"), (("merged", "own"), "1.10"), (("headers", "X-Id"), "1")]
)
def test_a_scalar_is_known_as_it_was_written(document: Document, steps: Steps, text: str) -> None:
    assert document.written(steps) == text
