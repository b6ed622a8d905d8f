"""The URL of a batch and the pattern of its lines (callbacks.md section 4.2)."""

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.batch_url import BatchUrl, parse_batch_url, parse_line_pattern
from reconciler.grammar.escape import Context
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Secret, Variable
from reconciler.grammar.url import parse_url


def _refused(text: str) -> tuple[str, int, int]:
    with pytest.raises(GrammarError) as refused:
        parse_batch_url(text)
    return refused.value.code, refused.value.offset, refused.value.length


class TestTheUrl:
    @pytest.mark.parametrize(
        ("text", "path", "before", "after"),
        [
            ("http://a?b={batch}", "/", "b=", ""),
            ("http://a/x?b={batch}", "/x", "b=", ""),
            ("http://a/x?k=1&b={batch}&z=2", "/x", "k=1&b=", "&z=2"),
            ("http://a/?b={batch}&", "/", "b=", "&"),
            ("http://a/?&b={batch}&&", "/", "&b=", "&&"),
            ("http://a/?k&b={batch}&z", "/", "k&b=", "&z"),
            ("http://a/ü?ü=ü&b={batch}&z=%41|", "/%C3%BC", "%C3%BC=%C3%BC&b=", "&z=%41%7C"),
            ("http://a/?b?={batch}", "/", "b?=", ""),
            ('http://a/?q={"x":1}&b={batch}', "/", "q=%7B%22x%22:1%7D&b=", ""),
        ],
    )
    def test_is_cut_where_the_lines_go(self, text: str, path: str, before: str, after: str) -> None:
        url = parse_batch_url(text)
        assert (url.path.render({}), url.before.render({}), url.after.render({})) == (path, before, after)

    def test_keeps_what_a_url_has(self) -> None:
        text = "HTTPS://login:${secret.P}@Example.com:8443/x/${secret.K}?k=${secret.Q}&b={batch}&z=${secret.R}"
        url = parse_batch_url(text)
        assert (url.scheme, url.host, url.port) == ("https", "example.com", 8443)
        assert url.userinfo is not None
        assert url.userinfo.render({}) == ("login:", Secret("P", Context.TEXT))
        assert url.path.render({}) == ("/x/", Secret("K", Context.PATH))
        assert url.before.render({}) == ("k=", Secret("Q", Context.QUERY), "&b=")
        assert url.after.render({}) == ("&z=", Secret("R", Context.QUERY))
        assert (url.before.text, url.after.text) == ("k=${secret.Q}&b=", "&z=${secret.R}")
        assert url.secrets == {"P", "K", "Q", "R"}
        assert url.variables == (Variable("batch", (text.index("{batch}"),)),)

    def test_holds_the_target_of_the_url_that_it_is(self) -> None:
        text = "http://a/x?k=1&b={batch}&z=2"
        url = parse_batch_url(text)
        parts = (url.path.render({}), url.before.render({}), url.after.render({}))
        assert f"{parts[0]}?{parts[1]}LINES{parts[2]}" == parse_url(text).target.render({"batch": "LINES"})

    def test_is_equal_when_the_text_is(self) -> None:
        one, other = (parse_batch_url("http://a/?b={batch}") for _ in range(2))
        assert (one, hash(one)) == (other, hash(other))
        assert one != parse_batch_url("http://a/?c={batch}")
        assert isinstance(one, BatchUrl)

    @pytest.mark.parametrize("text", ["http://a", "http://a/", "http://a/?", "http://a/?b={batch"])
    def test_has_a_place_for_the_lines(self, text: str) -> None:
        assert _refused(text) == ("template-batch-missing", len(text), 1)

    @pytest.mark.parametrize(
        ("text", "offset"),
        [("http://a/?b={batch}&c={batch}", 22), ("http://a/?b={batch}{batch}", 19), ("http://a/{batch}?b={batch}", 19)],
    )
    def test_has_one_place_for_them(self, text: str, offset: int) -> None:
        assert _refused(text) == ("template-batch-twice", offset, 7)

    @pytest.mark.parametrize(
        ("text", "offset"),
        [
            ("http://a/{batch}", 9),
            ("http://a/{batch}?b=1", 9),
            ("http://a/?{batch}", 10),
            ("http://a/?={batch}", 11),
            ("http://a/?k=1&{batch}", 14),
            ("http://a/?b=x{batch}", 13),
            ("http://a/?b==&c=d={batch}", 18),
            ("http://a/?b={batch}x", 12),
            ("http://a/?b={batch};c=1", 12),
            ("http://a/?b={batch}${secret.X}", 12),
            ("http://a/?b=${secret.X}{batch}", 23),
            ("http://a/?${secret.X}={batch}", 22),
            ("http://a/?k=1&${secret.X}b={batch}", 27),
        ],
    )
    def test_has_them_as_the_whole_value_of_a_pair(self, text: str, offset: int) -> None:
        assert _refused(text) == ("template-batch-misplaced", offset, 7)

    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("http://a/{device}?b={batch}", 9, 8),
            ("http://a/?b={batch}&t={time}", 22, 6),
            ("http://a/?{customData#x}", 10, 14),
            ("http://a/?b={Batch}", 12, 7),
        ],
    )
    def test_has_no_variable_of_a_message(self, text: str, offset: int, length: int) -> None:
        assert _refused(text) == ("template-variable-in-batch-url", offset, length)

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("ftp://a/?b={batch}", "template-bad-url"),
            ("http://{batch}/", "template-variable-in-host"),
            ("http://a/?b={batch}#x", "template-url-fragment"),
            ("http://a/?b={batch}\n", "template-control-character"),
            ("http://a/?b=${batch}", "template-unknown-reference"),
        ],
    )
    def test_is_a_url_like_any_other(self, text: str, code: str) -> None:
        assert _refused(text)[0] == code


class TestTheLinePattern:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("{device};{time};{data};", "2DC7C1%3B1500452712%3Bdeadbeaf%3B"),  # section 4.2
            ("{data}", "deadbeaf"),
            ("a=1&b=2 +%41", "a%3D1%26b%3D2%20%2B%2541"),
            ("ü{device}|", "%C3%BC2DC7C1%7C"),
            ("{none}", "null"),
            ("{text}", "a%20b%26c%3D"),
            ("{{device}}", "%7B2DC7C1%7D"),
        ],
    )
    def test_is_encoded_as_a_whole(self, text: str, line: str) -> None:
        values: dict[str, Value] = {"device": "2DC7C1", "time": 1500452712, "data": "deadbeaf", "text": "a\nb&c="}
        assert parse_line_pattern(text).render(values) == line

    def test_secrets_hold_their_places(self) -> None:
        rendered = parse_line_pattern("a ${secret.X}{n}").render({"n": 1})
        assert rendered == ("a%20", Secret("X", Context.LINE), "1")

    @pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x7f", "\x85", "\u2028", "\u2029"])
    def test_is_one_line(self, character: str) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_line_pattern(f"{{device}}{character}")
        assert (refused.value.code, refused.value.offset) == ("template-control-character", 8)
