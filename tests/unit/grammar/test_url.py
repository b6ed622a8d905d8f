"""URLs: what may stand where, and what is made of it (callbacks.md section 4.1, RFC 3986)."""

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.escape import Context
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Secret
from reconciler.grammar.url import UrlTemplate, parse_url


def _refused(text: str) -> tuple[str, int, int]:
    with pytest.raises(GrammarError) as refused:
        parse_url(text)
    return refused.value.code, refused.value.offset, refused.value.length


class TestWhereItGoes:
    @pytest.mark.parametrize(
        ("text", "scheme", "host", "port", "authority"),
        [
            ("http://example.com", "http", "example.com", 80, "example.com"),
            ("HTTPS://Example.COM/", "https", "example.com", 443, "example.com"),
            ("http://example.com:5051/x", "http", "example.com", 5051, "example.com:5051"),
            ("https://example.com:0443/", "https", "example.com", 443, "example.com"),
            ("https://example.com:80/", "https", "example.com", 80, "example.com:80"),
            ("http://127.0.0.1:65535?x", "http", "127.0.0.1", 65_535, "127.0.0.1:65535"),
            ("http://[2001:DB8:0::1]:8080/", "http", "2001:db8::1", 8080, "[2001:db8::1]:8080"),
            ("http://[::1]", "http", "::1", 80, "[::1]"),
            ("https://bücher.example/", "https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
            ("http://my_service:1/", "http", "my_service", 1, "my_service:1"),
            (f"http://{'a' * 63}.b/", "http", "a" * 63 + ".b", 80, "a" * 63 + ".b"),
        ],
    )
    def test_is_fixed(self, text: str, scheme: str, host: str, port: int, authority: str) -> None:
        url = parse_url(text)
        assert (url.scheme, url.host, url.port, url.authority) == (scheme, host, port, authority)

    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("", 0, 1),
            ("example.com/x", 0, 13),
            ("http:/example.com", 0, 17),
            ("x{device}", 0, 9),
            ("ftp://example.com", 0, 3),
            ("://example.com", 0, 1),
            ("http://", 7, 1),
            ("http:///x", 7, 1),
            ("http://:80/", 7, 1),
            ("http://login@/", 13, 1),
            ("http://a..b/", 7, 4),
            ("http://a.b./", 7, 4),
            ("http://-a/", 7, 2),
            ("http://a%2eb/", 7, 5),
            ("http://a\\b/", 7, 3),
            ("http://{1}/", 7, 3),
            ("http://℀.example/", 7, 9),  # its compatibility form holds a slash
            (f"http://{'a' * 64}/", 7, 64),
            (f"http://{'ü.' * 100_000}/", 7, 200_000),
            (f"http://{'ü.' * 100}a/", 7, 201),
            ("http://[::1/", 7, 1),
            ("http://[::g]/", 7, 5),
            ("http://[fe80::1%25eth0]/", 7, 16),
            ("http://a:/", 8, 1),
            ("http://a:0/", 8, 2),
            ("http://a:65536/", 8, 6),
            ("http://a:123456/", 8, 7),
            ("http://a:8x/", 8, 3),
            ("http://a:٨/", 8, 2),
            ("http://[::1]x/", 12, 1),
            ("http://a/b c", 10, 1),
            ("http://a/?b c", 11, 1),
        ],
    )
    def test_has_to_be_http_with_a_host_and_a_port(self, text: str, offset: int, length: int) -> None:
        assert _refused(text) == ("template-bad-url", offset, length)

    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("{url}", 0, 5),
            ("${secret.URL}", 0, 13),
            ("{scheme}://a/", 0, 8),
            ("http://{host}/", 7, 6),
            ("http://a{b}.c:1/", 8, 3),
            ("http://${secret.HOST}/", 7, 14),
            ("http://a:{port}/", 9, 6),
            ("http://a:8${secret.P}?x", 10, 11),
            ("http://{login}:x@a/", 7, 7),
            ("http://${secret.L}:{password}@a/", 19, 10),
        ],
    )
    def test_is_never_said_by_a_message(self, text: str, offset: int, length: int) -> None:
        assert _refused(text) == ("template-variable-in-host", offset, length)

    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("http://a#b", 8, 2),
            ("http://a/#", 9, 1),
            ("http://a/{customData#x}?y={customData#y}#z", 40, 2),
            ("http://a/{1#x}", 11, 3),  # no variable, so its number sign is one
        ],
    )
    def test_has_no_fragment(self, text: str, offset: int, length: int) -> None:
        assert _refused(text) == ("template-url-fragment", offset, length)

    @pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x00", "\x7f"])
    def test_has_no_control_characters(self, character: str) -> None:
        assert _refused(f"http://a/{character}{{b}}") == ("template-control-character", 9, 1)

    def test_references_are_checked_as_everywhere(self) -> None:
        assert _refused("https://${var.host}/") == ("template-unknown-reference", 8, 11)


class TestCredentials:
    @pytest.mark.parametrize(
        ("text", "credentials"),
        [
            ("http://login:password@a/", "login:password"),
            ("http://log%40in:p%3Aw%C3%BC@a/", "log@in:p:wü"),
            ("http://login@a/", "login:"),
            ("http://login:@a/", "login:"),
            ("http://l;o=g!:$@a/", "l;o=g!:$"),
        ],
    )
    def test_are_decoded(self, text: str, credentials: str) -> None:
        userinfo = parse_url(text).userinfo
        assert userinfo is not None
        assert userinfo.render({}) == credentials

    @pytest.mark.parametrize("text", ["http://a/", "http://@a/", "http://a/x@y"])
    def test_may_be_left_out(self, text: str) -> None:
        assert parse_url(text).userinfo is None

    def test_may_be_secrets_which_are_taken_as_they_are(self) -> None:
        url = parse_url("https://x%20${secret.LOGIN}:${secret.PASSWORD}@a/${secret.PATH}")
        login, password = Secret("LOGIN", Context.TEXT), Secret("PASSWORD", Context.TEXT)
        assert url.userinfo is not None
        assert url.userinfo.render({}) == ("x ", login, ":", password)
        assert url.secrets == {"LOGIN", "PASSWORD", "PATH"}

    def test_one_secret_alone_brings_its_own_colon(self) -> None:
        userinfo = parse_url("https://${secret.BOTH}@a/").userinfo
        assert userinfo is not None
        assert userinfo.render({}) == (Secret("BOTH", Context.TEXT),)

    @pytest.mark.parametrize(
        ("text", "offset"), [("http://a@b@c/", 8), ("http://a:ü@b/", 9), ("http://a:%4@b/", 9), ("http://a:[@b/", 9)]
    )
    def test_are_percent_encoded_where_needed(self, text: str, offset: int) -> None:
        assert _refused(text) == ("template-bad-url", offset, 1)

    def test_are_no_part_of_the_rendered_url(self) -> None:
        assert parse_url("http://login:password@a:81/x?y").render({}) == "http://a:81/x?y"


class TestPathAndQuery:
    @pytest.mark.parametrize(
        ("text", "path", "query", "target"),
        [
            ("http://a", "/", None, "/"),
            ("http://a?", "/", "", "/?"),
            ("http://a?x={n}", "/", "x=7", "/?x=7"),
            ("http://a/{d}/b?c={d}", "/a%2Fb%3Fc/b", "c=a%2Fb%3Fc", "/a%2Fb%3Fc/b?c=a%2Fb%3Fc"),
            ("http://a/b?c=1?d={n}", "/b", "c=1?d=7", "/b?c=1?d=7"),
            ("http://a/ü/%2f/%?ü|%zz", "/%C3%BC/%2f/%25", "%C3%BC%7C%25zz", "/%C3%BC/%2f/%25?%C3%BC%7C%25zz"),
            ('http://a/?q={"x":{n}}', "/", "q=%7B%22x%22:7%7D", "/?q=%7B%22x%22:7%7D"),
            ("http://a/%2{h}?%{h}", "/%252F", "%25F", "/%252F?%25F"),  # no value completes an escape
            ("http://a/{dots}/b?{dots}", "/%252E%252E/b", "..", "/%252E%252E/b?.."),
            ("http://a/{dot}{dot}/{dot}.{dot}", "/%252E%252E/%252E.%252E", None, "/%252E%252E/%252E.%252E"),
            ("http://a/{none}?{none}", "/null", "null", "/null?null"),
            ("http://a//b/../c", "//b/../c", None, "//b/../c"),
        ],
    )
    def test_values_stay_in_their_places(self, text: str, path: str, query: str | None, target: str) -> None:
        url = parse_url(text)
        values: dict[str, Value] = {"d": "a/b?c", "n": 7, "h": "F", "dots": "..", "dot": "."}
        assert url.path.render(values) == path
        assert (url.query.render(values) if url.query else None) == query
        assert url.target.render(values) == target
        assert url.render(values) == f"http://a{target}"

    @pytest.mark.parametrize("text", ["http://a/b/..{x}/c", "http://a/b/%2E{x}.", "http://a/b/{x}${secret.Y}.."])
    def test_empty_values_cannot_make_it_climb(self, text: str) -> None:
        code, offset, length = _refused(text)
        assert (code, offset) == ("template-bad-url", 11)
        assert text[offset : offset + length] == text[11:].removesuffix("/c")

    def test_offsets_are_those_of_the_whole_text(self) -> None:
        text = "https://login@example.com/{device}/{customData#x}?a={device}&b=${secret.T}{seq}"
        found = {each.name: each.offsets for each in parse_url(text).variables}
        assert found == {"device": (26, 52), "customData#x": (35,), "seq": (74,)}
        assert all(text.startswith(f"{{{name}}}", at) for name, offsets in found.items() for at in offsets)

    def test_secrets_hold_their_places(self) -> None:
        url = parse_url("http://a/${secret.P}/x?k=${secret.Q}&d={d}")
        path, query = Secret("P", Context.PATH), Secret("Q", Context.QUERY)
        assert url.render({"d": 1}) == ("http://a/", path, "/x?k=", query, "&d=1")

    def test_urls_are_equal_when_their_texts_are(self) -> None:
        assert parse_url("http://a/{x}?y") == parse_url("http://a/{x}?y")
        assert isinstance(hash(parse_url("http://a/{x}?y")), int)
        assert parse_url("http://a/{x}") != parse_url("http://a/{y}")

    def test_without_a_query_the_target_is_the_path(self) -> None:
        url: UrlTemplate = parse_url("http://a/{x}")
        assert url.query is None
        assert url.target is url.path
