"""Variables and secrets in plain text and headers, and what becomes of rendered text."""

import json

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.escape import Context, Json
from reconciler.grammar.payload import Value
from reconciler.grammar.template import (
    Rendered,
    Secret,
    StoredParts,
    Template,
    Variable,
    fill,
    from_parts,
    join,
    parse_header_value,
    parse_subject,
    parse_text_body,
    redact,
    to_parts,
)

_TOKEN = Secret("TOKEN", Context.HEADER)


def _secrets(name: str) -> str:
    return {"TOKEN": "s3cret", "EVIL": 'x"\r\ny'}[name]


class TestVariables:
    @pytest.mark.parametrize(
        ("text", "variables"),
        [
            ("{device}", {"device": (0,)}),
            ("a{b}c{d}e{b}", {"b": (1, 9), "d": (5,)}),
            ("{customData#temp-1#x}", {"customData#temp-1#x": (0,)}),
            ("{customData}", {"customData": (0,)}),
            ("{{device}}", {"device": (1,)}),
            ("{a_1B}", {"a_1B": (0,)}),
        ],
    )
    def test_each_is_found_with_all_its_places(self, text: str, variables: dict[str, tuple[int, ...]]) -> None:
        assert {each.name: each.offsets for each in parse_text_body(text).variables} == variables

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "}",
            "{}",
            "{ device }",
            "{1a}",
            "{_a}",
            "{a-b}",
            "{é}",
            "{a",
            "{a{",
            "{data #x}",
            "{customData#}",
            "$",
            "$5",
        ],
    )
    def test_any_other_brace_is_text(self, text: str) -> None:
        template = parse_text_body(text)
        assert template.variables == ()
        assert template.render({}) == text

    def test_its_length_counts_the_braces(self) -> None:
        assert Variable("device", (3,)).length == len("{device}")


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("${var.host}", 0, 11),
            ("a ${device} b", 2, 9),
            ("${secret.}", 0, 10),
            ("${secret.1A}", 0, 12),
            ("${secret.A-B}", 0, 13),
            ("${SECRET.A}", 0, 11),
            ("${", 0, 2),
            ("{a}${ x}", 3, 2),
            ("$${x}", 1, 4),
        ],
    )
    def test_a_dollar_brace_is_a_secret_or_a_mistake(self, text: str, offset: int, length: int) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_text_body(text)
        error = refused.value
        assert (error.code, error.offset, error.length) == ("template-unknown-reference", offset, length)

    def test_secrets_are_told_once_each(self) -> None:
        template = parse_header_value("${secret.A}${secret._b2}${secret.A}")
        assert template.secrets == {"A", "_b2"}
        assert template.variables == ()

    @pytest.mark.parametrize(("text", "offset"), [("a\ud800b", 1), ("\udfff", 0)])
    def test_what_cannot_be_sent_is_refused(self, text: str, offset: int) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_text_body(text)
        assert (refused.value.code, refused.value.offset) == ("template-control-character", offset)


class TestRendering:
    def test_values_take_the_places_of_their_variables(self) -> None:
        template = parse_text_body("{device};{time};{rssi};{missing};{ack}")
        values: dict[str, Value] = {"device": "1C178", "time": 1_700_000_000, "rssi": Json("-135.00"), "ack": True}
        assert template.render(values) == "1C178;1700000000;-135.00;null;true"

    def test_values_are_not_searched_for_braces(self) -> None:
        template = parse_text_body("{a}{b}")
        assert template.render({"a": "{b}", "b": "${secret.TOKEN}"}) == "{b}${secret.TOKEN}"

    def test_a_text_without_variables_is_rendered_once_for_all(self) -> None:
        template = parse_text_body("constant {")
        assert template.render({}) is template.render({"a": 1})

    def test_an_empty_text_renders_empty(self) -> None:
        assert parse_text_body("").render({}) == ""

    def test_secrets_hold_their_places(self) -> None:
        template = parse_header_value("a{x}b${secret.TOKEN}${secret.TOKEN}{x}")
        assert template.render({"x": "1"}) == ("a1b", _TOKEN, _TOKEN, "1")
        assert template.render({"x": ""}) == ("ab", _TOKEN, _TOKEN)

    def test_a_secret_without_variables_is_rendered_once_for_all(self) -> None:
        template = parse_header_value("Bearer ${secret.TOKEN}")
        assert template.render({}) == ("Bearer ", _TOKEN)
        assert template.render({}) is template.render({})

    def test_templates_are_equal_when_text_and_contexts_are(self) -> None:
        assert parse_text_body("{a}") == parse_text_body("{a}")
        assert hash(parse_text_body("{a}")) == hash(parse_text_body("{a}"))
        assert parse_text_body("{a}") != parse_header_value("{a}")

    def test_a_template_tells_only_what_was_written(self) -> None:
        assert repr(parse_text_body("a")) == repr(Template("a", ("a",)))


class TestHeaderValues:
    @pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\x1b", "\x7f"])
    def test_control_characters_are_refused(self, character: str) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_header_value(f"{{a}}b{character}c")
        assert (refused.value.code, refused.value.offset) == ("template-control-character", 4)

    def test_tabs_and_other_alphabets_are_allowed(self) -> None:
        assert parse_header_value("a\té").render({}) == "a\té"

    def test_values_cannot_end_the_line(self) -> None:
        assert parse_header_value("x {a}").render({"a": "1\r\nHost: b"}) == "x 1  Host: b"


class TestSubjects:
    """RFC 5322 section 2.2: a header of a mail, and one line for every reader."""

    @pytest.mark.parametrize("character", ["\r", "\n", "\t", "\x00", "\x7f", "\x85", "\u2028"])
    def test_are_one_line(self, character: str) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_subject(f"{{a}}b{character}c")
        assert (refused.value.code, refused.value.offset) == ("template-control-character", 4)

    def test_hold_what_headers_hold(self) -> None:
        assert parse_subject("é {a} {b} ${secret.TOKEN}").render({"a": "1\r\nBcc: x"}) == ("é 1  Bcc: x null ", _TOKEN)


class TestWhatWasRendered:
    @pytest.mark.parametrize(
        ("rendered", "filled", "shown"),
        [
            ("plain", "plain", "plain"),
            (("Bearer ", _TOKEN), "Bearer s3cret", "Bearer ${secret.TOKEN}"),
            ((Secret("EVIL", Context.HEADER),), 'x"  y', "${secret.EVIL}"),
            ((Secret("EVIL", Context.QUERY), "&a=1"), "x%22%0D%0Ay&a=1", "${secret.EVIL}&a=1"),
            (('{"k":', Secret("EVIL", Context.JSON_VALUE), "}"), '{"k":"x\\"\\r\\ny"}', '{"k":${secret.EVIL}}'),
        ],
    )
    def test_secrets_are_filled_in_for_their_place_and_shown_by_name(
        self, rendered: Rendered, filled: str, shown: str
    ) -> None:
        assert fill(rendered, _secrets) == filled
        assert redact(rendered) == shown

    def test_a_missing_secret_is_the_callers_error(self) -> None:
        with pytest.raises(KeyError):
            fill((Secret("NONE", Context.TEXT),), _secrets)

    @pytest.mark.parametrize(
        ("rendered", "stored"),
        [
            ("plain", "plain"),
            (("Bearer ", _TOKEN), ["Bearer ", {"secret": "TOKEN", "context": "header"}]),
        ],
    )
    def test_it_is_stored_as_json_and_read_back(self, rendered: Rendered, stored: StoredParts) -> None:
        assert to_parts(rendered) == stored
        assert from_parts(json.loads(json.dumps(to_parts(rendered)))) == rendered

    @pytest.mark.parametrize(
        ("pieces", "joined"),
        [
            ((), ""),
            (("a", "", "b"), "ab"),
            (("a", (_TOKEN, "b"), "c", ("d", _TOKEN)), ("a", _TOKEN, "bcd", _TOKEN)),
            (((_TOKEN,), (_TOKEN,)), (_TOKEN, _TOKEN)),
        ],
    )
    def test_pieces_join_to_one(self, pieces: tuple[Rendered, ...], joined: Rendered) -> None:
        assert join(*pieces) == joined
