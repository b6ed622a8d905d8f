"""Laws of the short way: what is read line by line is what the composer reads, and stands where the composer says."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.config.file import read
from reconciler.config.ordinary import read_ordinary
from reconciler.config.place import Document, Plain, Steps
from reconciler.config.source import parse

# Lines of which most files are made, and what makes them unusual or wrong.
_SCALARS = st.sampled_from(
    [
        *("a", "b c", "a:b", "x::int:16 y::bool:7", "a#b", "- 5", "-5", "-a", "1.10", "0x1F", "1e3", ".inf", "true"),
        *("null", "~", "Yes", "010", "https://h/{a}?b={c}", "{a: b}", "[a, b c, -1]", "{}", "[]", "{a: {b: [1]}}"),
        *("{a: 1, a: 2}", "{a}", "[a, ]", "[a,,b]", "{a: b", "{'x': \"y\", z: }", "[a: b]", '"a b"', '"a\\n"', '""'),
        *("'it''s'", "'a' b", "'", '"', "|", "|-", ">", ">-", "|+", "|2", "&x a", "*x", "!t a", "a # c", "a #", "a: b"),
        *("a:", "# c", "@a", "`a", "%a", "? a", ": a", "é😀", "a\u2028b", "a\x85", "a\tb", "\ufeff", "a\u00a0b", "'é'"),
        *("1" * 101, "a" * 300, "(a)", "a ", " a", "  ", "", "---", "...", "=", "<<", "\\", "a, b", "a]", "x}", "'#'"),
    ]
)
_KEYS = st.sampled_from(
    [
        *("a", "b", "c-d", "e.f", '"a"', "'b'", '"x y"', "'it''s'", "1", "true", "<<", "a b", "é", "a/b", "?", "-"),
        *("[a]", ""),
    ]
)
_INDENTS = st.sampled_from(["", "", "  ", "  ", "    ", "      ", " ", "   ", "\t"])


@st.composite
def _lines(draw: st.DrawFn) -> str:
    indent, kind = draw(_INDENTS), draw(st.integers(0, 11))
    match kind:
        case 0:
            return f"{indent}{draw(_SCALARS)}"
        case 1:
            return f"{indent}- {draw(_SCALARS)}"
        case 2:
            return f"{indent}- {draw(_KEYS)}: {draw(_SCALARS)}"
        case 3:
            return f"{indent}-"
        case 4:
            return draw(st.sampled_from(["", "  ", "# c", "   # c", "---", "...", "%YAML 1.2"]))
        case 5 | 6:
            return f"{indent}{draw(_KEYS)}:"
        case _:
            return f"{indent}{draw(_KEYS)}:{draw(st.sampled_from([' ', ' ', ' ', '  ', '']))}{draw(_SCALARS)}"


_ENDS = st.sampled_from(["\n", "\n", "\n", "", "\n\n", "\r\n"])
_TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(_lines(), min_size=1, max_size=9), _ENDS)

# Files as people write them, and one thing done to them.
_BASE = """\
---
# cold chain
apiVersion: reconciler/v1
name: tracker
downlink: {mode: callback, data: "{time}"}
callbacks:
  telemetry:   # the first
    type: data/uplink
    recipient:
    - a@example.com
    - "b@example.com"
    headers: {Authorization: 'Bearer ${secret.A}', X-B: c d}

    body: |-
      {"t": {time},

       "u": 1}
    tests:
      - given: {device: "1C178", seqNumber: 7, data: [1, -2, .5]}
        expect:
          url: https://h/
      -
        given: {}
  other:
    message: >-
      one
      two
    subject: ~
"""
_PIECES = st.sampled_from(
    [
        *("\n", " ", "  ", ": ", ":", "- ", "-", "#", " #", "'", '"', "{", "}", "[", "]", ",", "|", ">", "&a ", "*a"),
        *("\n  ", "a", "\n# c\n", "''", "\t", "\\", "~", "\n\n", "\n    a: b\n", "\n      - x\n", "!", "?", "|\n"),
        *("\u2028", "\n  # c", "\n- ", "\n---\n", "null", "1"),
    ]
)


@st.composite
def _edited(draw: st.DrawFn) -> str:
    text = _BASE
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(_PIECES | st.just("")) + text[at + draw(st.integers(0, 4)) :]
    return text


def ways(value: Plain, steps: Steps = ()) -> Iterator[Steps]:
    """The way to everything in a value, and to something that is not there."""
    yield steps
    yield (*steps, "missing")
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, each in inner:
        yield from ways(each, (*steps, step))


def composed(text: str) -> Document:
    (document,) = parse(text, name="file").documents
    return document


def test_files_as_people_write_them_are_ordinary() -> None:
    assert read_ordinary(_BASE) == composed(_BASE).value


@settings(max_examples=300, deadline=None)
@given(_edited() | _edited() | _TEXTS)
@example("a: |\n  x\n   y\n # less\n")
@example("a:\n- b\n- c: 1\n  d:\n  - e\nf: 1\n")
@example("a: b\n  c\n")
@example("a: 'b'\n  'c'\n")
def test_what_is_read_line_by_line_is_what_the_composer_reads(text: str) -> None:
    value = read_ordinary(text)
    if value is not None:
        for accelerated in (True, False):
            source = parse(text, name="file", accelerated=accelerated)
            assert source.diagnostics == ()
            assert [repr(document.value) for document in source.documents] == [repr(value)]


@settings(max_examples=300, deadline=None)
@given(_edited() | _edited() | _TEXTS)
def test_everything_stands_where_the_composer_says(text: str) -> None:
    if read_ordinary(text) is None:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(text.encode())
        (document,) = read(path, name="file").documents
    expected = composed(text)
    for way in ways(document.value):
        assert document.span(way) == expected.span(way)
        assert document.key_span(way) == expected.key_span(way)
        assert document.span(way, offset=1, length=2) == expected.span(way, offset=1, length=2)
        assert document.holds(way) == expected.holds(way)
        if not isinstance(document.value_at(way), (dict, list)) and document.holds(way):
            assert document.written(way) == expected.written(way)
