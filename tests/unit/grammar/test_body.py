"""JSON and form bodies: the shape a template has to keep, and what values become in it (callbacks.md section 4.1)."""

import json

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.body import parse_form_body, parse_json_body
from reconciler.grammar.escape import Context, Json
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Secret


class TestJsonBodies:
    @pytest.mark.parametrize(
        ("text", "rendered"),
        [
            ('{"device":"{device}","t":{t},"seq":{n}}', '{"device":"1C178","t":-12.5,"seq":7}'),
            ('{"rssi":{rssi},"rssiText":"{rssi}"}', '{"rssi":-135.00,"rssiText":"-135.00"}'),
            ('{"at":{location}}', '{"at":{"lat":52.0}}'),
            ('{"n":{none},"s":"{none}"}', '{"n":null,"s":"null"}'),
            ('{"s":{device}}', '{"s":"1C178"}'),
            ('["{evil}",{evil}]', '["\\"],\\n","\\"],\\n"]'),
            ("{evil}", '"\\"],\\n"'),
            ('{"{device}":1}', '{"1C178":1}'),
            ('{"a\\"{n}":"\\\\{n}"}', '{"a\\"7":"\\\\7"}'),
            ('{"a":1,"a":{n}}', '{"a":1,"a":7}'),
            ('["NaN", "{n}Infinity"]', '["NaN", "7Infinity"]'),
            ('{"x":{"device":{n}}}', '{"x":{"device":7}}'),
            ("[{n},{n}\n,\t{n}]", "[7,7\n,\t7]"),
            ('"{ {n} }"', '"{ 7 }"'),
            ("1" * 5_000, "1" * 5_000),
            ("1", "1"),
        ],
    )
    def test_values_are_escaped_for_where_they_stand(self, text: str, rendered: str) -> None:
        values: dict[str, Value] = {
            "device": "1C178",
            "t": -12.5,
            "n": 7,
            "rssi": Json("-135.00"),
            "location": Json('{"lat":52.0}'),
            "evil": '"],\n',
        }
        assert parse_json_body(text).render(values) == rendered

    @pytest.mark.parametrize(
        ("text", "offset"),
        [
            ("", 0),
            ("{", 1),
            ("{device}x", 8),
            ("{a}{b}", 3),
            ("1{a}", 1),
            ("-{a}", 0),
            ("{{a}:1}", 1),  # a value cannot be a key
            ('{"a":{b}', 8),
            ('{"a":"{b}}', 5),
            ('{"a" "{b}"}', 5),
            ('{"a":"\\{b}"}', 6),
            ('{"a":"\\u00{b}"}', 7),
            ('{"a":"x\ny"}', 7),
            ("{'a':1}", 1),
            ("[NaN]", 1),
            ("[{a},-Infinity]", 6),
            ('["NaN",NaN]', 7),
            ("[" * 100_000, 0),
            ("true false", 5),
        ],
    )
    def test_what_would_not_parse_is_refused_at_its_place(self, text: str, offset: int) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_json_body(text)
        assert (refused.value.code, refused.value.offset) == ("template-invalid-json", offset)
        assert refused.value.reason.startswith("The body is not valid JSON once its variables stand for values: ")
        assert refused.value.reason.endswith(".")

    def test_secrets_are_strings_where_values_stand(self) -> None:
        template = parse_json_body('{"a":"${secret.A}","b":${secret.B}}')
        inside, alone = Secret("A", Context.JSON_STRING), Secret("B", Context.JSON_VALUE)
        assert template.render({}) == ('{"a":"', inside, '","b":', alone, "}")

    def test_offsets_are_those_of_the_text(self) -> None:
        found = {each.name: each.offsets for each in parse_json_body('{"a":"{a}","b":{b},"c":{a}}').variables}
        assert found == {"a": (6, 23), "b": (15,)}

    def test_references_are_checked_first(self) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_json_body('{"a":"${x}",}')
        assert (refused.value.code, refused.value.offset, refused.value.length) == ("template-unknown-reference", 6, 4)

    def test_the_parsed_template_is_json_whatever_the_values(self) -> None:
        template = parse_json_body('{"a":"{x}","b":{x}}')
        assert json.loads(str(template.render({"x": 'a"\\\n{y}'}))) == {"a": 'a"\\\n{y}', "b": 'a"\\\n{y}'}


class TestFormBodies:
    @pytest.mark.parametrize(
        ("text", "rendered"),
        [
            ("", ""),
            ("a={x}&b={y}", "a=1%262%3D3&b=null"),
            ("data={x};{x}", "data=1%262%3D3;1%262%3D3"),
            ("a=&b=1", "a=&b=1"),
            ("token=YQ==&x=1+1%20", "token=YQ==&x=1+1%20"),
            ('j={"x":"{x}"} é', "j=%7B%22x%22:%221%262%3D3%22%7D%20%C3%A9"),
        ],
    )
    def test_values_stay_in_their_pair(self, text: str, rendered: str) -> None:
        assert parse_form_body(text).render({"x": "1&2=3"}) == rendered

    @pytest.mark.parametrize(
        ("text", "offset", "length"),
        [
            ("a", 0, 1),
            ("{data}", 0, 6),
            ("=1", 0, 2),
            ("a=1&", 4, 1),
            ("&a=1", 0, 1),
            ("a=1&&b=2", 4, 1),
            ("a=1&b{x}", 4, 4),
            ("a=1&b{x}=2", 5, 3),
            ("a=1&x${secret.N}=2", 5, 11),
        ],
    )
    def test_pairs_have_a_fixed_name_and_an_equals_sign(self, text: str, offset: int, length: int) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_form_body(text)
        error = refused.value
        assert (error.code, error.offset, error.length) == ("template-bad-form-body", offset, length)

    @pytest.mark.parametrize("character", ["\n", "\r", "\x00"])
    def test_control_characters_are_refused(self, character: str) -> None:
        with pytest.raises(GrammarError) as refused:
            parse_form_body(f"a={{x}}{character}")
        assert (refused.value.code, refused.value.offset) == ("template-control-character", 5)

    def test_secrets_stand_where_values_do(self) -> None:
        assert parse_form_body("k=${secret.K}").render({}) == ("k=", Secret("K", Context.FORM))
