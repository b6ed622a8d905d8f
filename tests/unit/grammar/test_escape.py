"""How each kind of value reads in each kind of place."""

import pytest

from reconciler.grammar.escape import (
    Context,
    Json,
    escape,
    escaper,
    literal_in_line,
    literal_in_path,
    literal_in_query,
    text_form,
)
from reconciler.grammar.payload import Value

_INFINITY = float("inf")
_LOCATION = Json('{"lat":52.0,"status":1}')


class TestTextForms:
    """callbacks.md section 2.1."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "null"),
            (True, "true"),
            (False, "false"),
            (0, "0"),
            (1_471_594_359, "1471594359"),
            (-2, "-2"),
            (18_446_744_073_709_551_615, "18446744073709551615"),
            (35.5, "35.5"),
            (35.0, "35.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e22, "1e+22"),
            (float("nan"), "NaN"),
            (_INFINITY, "Infinity"),
            (-_INFINITY, "-Infinity"),
            (Json("-135.00"), "-135.00"),
            ("1C178", "1C178"),
            ("", ""),
            ("null", "null"),
            ("\ud83d", "\ufffd"),
        ],
    )
    def test_each_value_has_one(self, value: Value, text: str) -> None:
        assert text_form(value) == text

    def test_integers_of_any_length_have_one(self) -> None:
        # The interpreter refuses to print integers past 4,300 digits.
        assert text_form(-(10**5_000)) == "-1" + "0" * 5_000


class TestUrlPlaces:
    """RFC 3986 section 2.3: what is not unreserved is encoded, so that it cannot delimit anything."""

    @pytest.mark.parametrize("context", [Context.PATH, Context.QUERY, Context.FORM])
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("AZaz09-._~", "AZaz09-._~"),
            (None, "null"),
            ("00A0;1381766225;", "00A0%3B1381766225%3B"),  # callbacks.md section 4.1
            ("/?#[]@:", "%2F%3F%23%5B%5D%40%3A"),
            ("a=1&b=2 3+4", "a%3D1%26b%3D2%203%2B4"),
            ("100%41", "100%2541"),
            ("\r\nHost: x\x00", "%0D%0AHost%3A%20x%00"),
            ("é€😀", "%C3%A9%E2%82%AC%F0%9F%98%80"),
            ("\udc80", "%EF%BF%BD"),
            (1e22, "1e%2B22"),
            (Json('{"a":1}'), "%7B%22a%22%3A1%7D"),
        ],
    )
    def test_only_unreserved_characters_stay(self, context: Context, value: Value, text: str) -> None:
        assert escape(value, context) == text

    @pytest.mark.parametrize(
        ("value", "text"), [(".", "%252E"), ("..", "%252E%252E"), ("...", "..."), (".a", ".a"), ("", "")]
    )
    def test_no_value_is_a_dot_segment(self, value: str, text: str) -> None:
        assert escape(value, Context.PATH) == text

    def test_dots_mean_nothing_in_a_query(self) -> None:
        assert escape("..", Context.QUERY) == ".."

    @pytest.mark.parametrize(
        ("literal", "in_path", "in_query"),
        [
            ("/a;v=1/b,c:d@e!$&'()*+", "/a;v=1/b,c:d@e!$&'()*+", "/a;v=1/b,c:d@e!$&'()*+"),
            ("%2F%zz%4", "%2F%25zz%254", "%2F%25zz%254"),
            ('{"ü"}|^`\\<>', "%7B%22%C3%BC%22%7D%7C%5E%60%5C%3C%3E", "%7B%22%C3%BC%22%7D%7C%5E%60%5C%3C%3E"),
            ("a?b", "a%3Fb", "a?b"),
        ],
    )
    def test_what_the_author_wrote_keeps_its_delimiters(self, literal: str, in_path: str, in_query: str) -> None:
        assert literal_in_path(literal) == in_path
        assert literal_in_query(literal) == in_query


class TestHeaders:
    """RFC 9110 section 5.5."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("Bearer x", "Bearer x"),
            ("a\r\nSet-Cookie: b", "a  Set-Cookie: b"),
            ("\x00\t\x1b\x7f", "    "),
            ("a\x85b\u2028c\u2029d", "a b c d"),
            ("é", "é"),
            ("a\ud800b", "a\ufffdb"),
            (True, "true"),
        ],
    )
    def test_control_characters_become_blanks(self, value: Value, text: str) -> None:
        assert escape(value, Context.HEADER) == text


class TestLines:
    """callbacks.md section 4.2: a line of a batch, inside a query value."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1C178", "1C178"),
            (None, "null"),
            (-7.5, "-7.5"),
            (1e22, "1e%2B22"),
            ("a;b&c=d", "a%3Bb%26c%3Dd"),
            ("a\nb\r\nc\td\0", "a%20b%20%20c%20d%20"),
            ("a\x85b\u2028c\u2029d", "a%20b%20c%20d"),
            ("%0A", "%250A"),
            ("é\udc80", "%C3%A9%EF%BF%BD"),
            (Json('{"a":1}'), "%7B%22a%22%3A1%7D"),
        ],
    )
    def test_no_value_begins_another_line(self, value: Value, text: str) -> None:
        assert escape(value, Context.LINE) == text

    def test_what_the_author_wrote_is_text_too(self) -> None:
        assert literal_in_line("a;b&c=%41 é") == "a%3Bb%26c%3D%2541%20%C3%A9"


class TestJson:
    @pytest.mark.parametrize(
        ("value", "in_string", "as_value"),
        [
            (None, "null", "null"),
            (True, "true", "true"),
            (-7, "-7", "-7"),
            (35.5, "35.5", "35.5"),
            (float("nan"), "NaN", "null"),
            (-_INFINITY, "-Infinity", "null"),
            (Json("-135.00"), "-135.00", "-135.00"),
            (_LOCATION, '{\\"lat\\":52.0,\\"status\\":1}', '{"lat":52.0,"status":1}'),
            ("1C178", "1C178", '"1C178"'),
            ('","admin":true,"', '\\",\\"admin\\":true,\\"', '"\\",\\"admin\\":true,\\""'),
            ("\\", "\\\\", '"\\\\"'),
            ("\n\x00\x1f", "\\n\\u0000\\u001f", '"\\n\\u0000\\u001f"'),
            ("é\x7f", "é\x7f", '"é\x7f"'),
            ("\ud800", "\ufffd", '"\ufffd"'),
            (Json('"\ud800"'), '\\"\ufffd\\"', '"\ufffd"'),
        ],
    )
    def test_inside_a_literal_and_as_a_value(self, value: Value, in_string: str, as_value: str) -> None:
        assert escape(value, Context.JSON_STRING) == in_string
        assert escape(value, Context.JSON_VALUE) == as_value


class TestText:
    def test_everything_stays(self) -> None:
        assert escape("a&b\r\n{device}\x00", Context.TEXT) == "a&b\r\n{device}\x00"


@pytest.mark.parametrize("context", Context)
def test_an_escaper_is_escape_for_one_context(context: Context) -> None:
    assert escaper(context)('a"&\n') == escape('a"&\n', context)
