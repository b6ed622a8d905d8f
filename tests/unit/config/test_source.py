"""Text to YAML documents: what scalars mean, what is refused, and where mistakes are."""

import gc
import math

import pytest

from reconciler.config.file import collector_paused
from reconciler.config.place import Plain
from reconciler.config.source import HAVE_LIBYAML, MAX_DEPTH, MAX_REPEATED, parse
from reconciler.diagnostics import Diagnostic

READERS = [pytest.param(True, id="libyaml"), pytest.param(False, id="pure")]


def value_of(text: str, *, accelerated: bool = HAVE_LIBYAML) -> Plain:
    source = parse(text, name="file", accelerated=accelerated)
    assert source.diagnostics == ()
    (document,) = source.documents
    return document.value


def problem_of(text: str, *, accelerated: bool = HAVE_LIBYAML) -> Diagnostic:
    (problem,) = parse(text, name="file", accelerated=accelerated).diagnostics
    return problem


def test_libyaml_is_what_reads_here() -> None:
    assert HAVE_LIBYAML


@pytest.mark.parametrize("accelerated", READERS)
class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            # YAML 1.2.2, the examples of section 10.3.2
            ("null", None),
            ("Null", None),
            ("~", None),
            ("true", True),
            ("True", True),
            ("FALSE", False),
            ("0", 0),
            ("0o7", 7),
            ("0x3A", 58),
            ("-19", -19),
            ("0.", 0.0),
            ("-0.0", -0.0),
            (".5", 0.5),
            ("+12e03", 12000.0),
            ("-2E+05", -200000.0),
            (".inf", math.inf),
            ("-.Inf", -math.inf),
            ("+.INF", math.inf),
            # what YAML 1.1 took for something else
            ("yes", "yes"),
            ("no", "no"),
            ("on", "on"),
            ("Off", "Off"),
            ("y", "y"),
            ("010", 10),
            ("12:30", "12:30"),
            ("1_000", "1_000"),
            ("0b1", "0b1"),
            ("2023-11-14", "2023-11-14"),
            ("=", "="),
            # what only looks like a number
            ("0o8", "0o8"),
            ("-0x3A", "-0x3A"),
            ("nUll", "nUll"),
            ("tRUE", "tRUE"),
            ("1.2.3", "1.2.3"),
            ("+", "+"),
            (".", "."),
            ("1e", "1e"),
            (".iNf", ".iNf"),
            # quotes make texts of everything
            ("'true'", "true"),
            ('"5"', "5"),
            ('""', ""),
            ("|\n  5\n", "5\n"),
            ("{device}", {"device": None}),
        ],
    )
    def test_are_those_of_the_core_schema(self, text: str, value: Plain, *, accelerated: bool) -> None:
        read = value_of(f"- {text}", accelerated=accelerated)
        assert read == [value]
        assert repr(read) == repr([value])  # True is not 1, and -0.0 is not 0.0

    def test_nan_is_a_number(self, *, accelerated: bool) -> None:
        value = value_of(".nan", accelerated=accelerated)
        assert isinstance(value, float)
        assert math.isnan(value)

    def test_a_number_has_a_hundred_digits_at_most(self, *, accelerated: bool) -> None:
        assert value_of(f"- {'1' * 100}", accelerated=accelerated) == [int("1" * 100)]
        assert problem_of(f"- {'1' * 101}", accelerated=accelerated).code == "yaml-number-too-long"
        assert problem_of(f"- {'1' * 9000}.5", accelerated=accelerated).code == "yaml-number-too-long"


@pytest.mark.parametrize("accelerated", READERS)
class TestCollections:
    def test_keep_the_order_of_the_file(self, *, accelerated: bool) -> None:
        value = value_of("b: [1, {c: 2}]\na: {}\n", accelerated=accelerated)
        assert isinstance(value, dict)
        assert list(value.items()) == [("b", [1, {"c": 2}]), ("a", {})]

    def test_aliases_stand_for_their_anchors(self, *, accelerated: bool) -> None:
        assert value_of("a: &x [1, 2]\nb: *x\nc: &y 5\nd: *y\n", accelerated=accelerated) == {
            "a": [1, 2],
            "b": [1, 2],
            "c": 5,
            "d": 5,
        }

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a: &x {k: 1, l: 2}\nb: {<<: *x}\n", {"k": 1, "l": 2}),
            ("a: &x {k: 1, l: 2}\nb: {l: 3, <<: *x}\n", {"l": 3, "k": 1}),
            ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", {"l": 3, "k": 1}),
            ("a: &x {k: 1}\nc: &y {k: 2, l: 2}\nb: {<<: [*x, *y]}\n", {"k": 1, "l": 2}),
            ("b: {<<: {k: 1}}\n", {"k": 1}),
            ('b: {"<<": 1}\n', {"<<": 1}),
        ],
    )
    def test_a_merge_gives_way_to_what_is_written_out(self, text: str, value: Plain, *, accelerated: bool) -> None:
        read = value_of(text, accelerated=accelerated)
        assert isinstance(read, dict)
        assert read["b"] == value

    def test_several_documents_are_read_and_empty_ones_passed_over(self, *, accelerated: bool) -> None:
        source = parse("---\na: 1\n---\n---\nb: 2\n...\n", name="file", accelerated=accelerated)
        assert [document.value for document in source.documents] == [{"a": 1}, {"b": 2}]
        assert source.diagnostics == ()


@pytest.mark.parametrize("accelerated", READERS)
class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "code", "line", "column"),
        [
            ("a: 1\nb: 2\na: 3\n", "yaml-duplicate-key", 3, 1),
            ("'a': 1\n\"a\": 2\n", "yaml-duplicate-key", 2, 1),
            ("1: 2\n", "yaml-key-not-text", 1, 1),
            ("~: 2\n", "yaml-key-not-text", 1, 1),
            ("[a]: 2\n", "yaml-key-not-text", 1, 1),
            ("? {a: 1}\n: 2\n", "yaml-key-not-text", 1, 3),
            ("a: !!str 2\n", "yaml-tag", 1, 4),
            ("a: &x !y [2]\n", "yaml-tag", 1, 7),
            ("!x a: 2\n", "yaml-tag", 1, 1),
            ("a:\n\tb: 2\n", "yaml-tab", 2, 1),
            ("a:\n  b: 2\n \tc: 3\n", "yaml-tab", 3, 2),
            ("a: {b: 2\n", "yaml-syntax", 1, 8),
            ("a: b: c\n", "yaml-syntax", 1, 5),
            ("a: @x\n", "yaml-syntax", 1, 4),
            ("a: *nowhere\n", "yaml-syntax", 1, 4),
            ("a: 1\n b: 2\n", "yaml-syntax", 2, 3),
            ("a: &x 1\nb: &x 2\n", "yaml-syntax", 2, 4),
            ("a: 'x\n", "yaml-syntax", 1, 5),
            ("%YAML 3.0\n---\na: 1\n", "yaml-syntax", 1, 1),
            ("a: b\x00c\n", "yaml-control-character", 1, 5),
            ("a: b\n\x07", "yaml-control-character", 2, 1),
            ("a: &x [*x]\n", "yaml-alias-loop", 1, 4),
            ("a: &x {b: {c: *x}}\n", "yaml-alias-loop", 1, 4),
            ("a: {<<: 5}\n", "yaml-bad-merge", 1, 9),
            ("a: {<<: [{}, 5]}\n", "yaml-bad-merge", 1, 14),
        ],
    )
    def test_are_found_where_they_are(self, text: str, code: str, line: int, column: int, *, accelerated: bool) -> None:
        problem = problem_of(text, accelerated=accelerated)
        assert problem.span is not None
        assert (problem.code, problem.span.line, problem.span.column) == (code, line, column)

    def test_of_one_file_are_all_reported(self, *, accelerated: bool) -> None:
        source = parse("a: 1\na: 2\nb: !x 3\n4: 5\n", name="file", accelerated=accelerated)
        assert [each.code for each in source.diagnostics] == ["yaml-duplicate-key", "yaml-tag", "yaml-key-not-text"]
        assert [document.value for document in source.documents] == [{"a": 1, "b": "3"}]

    def test_a_duplicate_shows_both_places(self, *, accelerated: bool) -> None:
        problem = problem_of("a: 1\nb: 2\na: 3\n", accelerated=accelerated)
        assert [(label, span.line) for label, span in problem.related] == [("it stands here first", 1)]

    @pytest.mark.parametrize("text", ["", "\n \n", "# comment\n", "---\n", "\ufeff", "--- ~\n---\n"])
    def test_a_file_without_any_value_is_empty(self, text: str, *, accelerated: bool) -> None:
        problem = problem_of(text, accelerated=accelerated)
        assert (problem.code, problem.span, problem.file) == ("empty-file", None, "file")

    @pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? "])
    def test_levels_have_a_limit(self, opening: str, *, accelerated: bool) -> None:
        assert problem_of(opening * (MAX_DEPTH + 1), accelerated=accelerated).code == "yaml-too-deep"

    @pytest.mark.parametrize("before", ["", "a: 1\n---\n", "a: !x 1\n---\n"])
    @pytest.mark.parametrize("levels", [1_000, 1_001, 1_000_000])  # libyaml 0.2.6 ends at 1,000, 0.2.5 by a crash
    def test_a_million_levels_are_no_crash(self, before: str, levels: int, *, accelerated: bool) -> None:
        source = parse(before + "[" * levels, name="file", accelerated=accelerated)
        problem = source.diagnostics[-1]
        assert problem.code == "yaml-too-deep", problem
        assert problem.place == ("file", 1 + before.count("\n"), MAX_DEPTH)
        assert [each.code for each in source.diagnostics[:-1]] == ["yaml-tag"] * before.count("!")

    def test_the_deepest_level_is_still_read(self, *, accelerated: bool) -> None:
        depth = MAX_DEPTH - 1
        assert value_of("[" * depth + "1" + "]" * depth, accelerated=accelerated) is not None

    def test_aliases_repeat_no_more_than_allowed(self, *, accelerated: bool) -> None:
        # Each alias repeats the list and its item: two values.
        fits = MAX_REPEATED // 2
        text = "a: &x [1]\nb: [{}]\n"
        assert value_of(text.format(", ".join(["*x"] * fits)), accelerated=accelerated) is not None
        bomb = text.format(", ".join(["*x"] * (fits + 1)))
        assert problem_of(bomb, accelerated=accelerated).code == "yaml-alias-bomb"


def test_what_another_document_holds_is_no_repetition() -> None:
    documents = MAX_REPEATED
    source = parse("---\n[1]\n" * documents, name="file")
    assert source.diagnostics == ()
    assert len(source.documents) == documents


def test_half_a_character_is_refused_by_both_readers() -> None:
    for accelerated, code in ((True, "yaml-syntax"), (False, "yaml-control-character")):
        assert problem_of('a: "\\ud800"\n', accelerated=accelerated).code == code


def test_a_byte_order_mark_is_passed_over() -> None:
    source = parse("\ufeffa: 1\na: 2\n", name="file")
    assert source.documents[0].value == {"a": 1}
    assert [each.place for each in source.diagnostics] == [("file", 2, 1)]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_are_counted_by_any_line_break(line_break: str) -> None:
    problem = problem_of(line_break.join(["a: 1", "", "a: 2", ""]))
    assert problem.span is not None
    assert (problem.span.line, problem.span.column, problem.span.source) == (3, 1, "a: 2")


class TestCollectorPaused:
    def test_comes_back_as_it_was(self) -> None:
        assert gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
            with collector_paused():
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled()

    def test_comes_back_after_an_exception(self) -> None:
        def fail() -> None:
            with collector_paused():
                raise KeyError("inside")

        with pytest.raises(KeyError, match="inside"):
            fail()
        assert gc.isenabled()
