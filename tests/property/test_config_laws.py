"""Laws of files: reading equals the reference, places are true, and no input is a traceback."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.codec.canonical import canonical_json
from reconciler.codec.definition import read_content
from reconciler.config.content import callback_content, device_type_content
from reconciler.config.document import DOCUMENTS
from reconciler.config.load import load
from reconciler.config.overlay import Declared, layered
from reconciler.config.place import Document, Plain, Steps
from reconciler.config.project import PROJECT_FILE
from reconciler.config.settle import settle
from reconciler.config.source import parse
from reconciler.diagnostics import Severity
from reconciler.model.definition import CHANNEL_FIELDS, check_callback, check_device_type, check_together
from reconciler.model.resource import CallbackType, Key

# Values and their YAML

_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"))
_KEYS = st.text("abcXYZ-_ :#{}'\"é", min_size=1, max_size=8).map(lambda key: f"k{key}")
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | _TEXTS
    | st.text("ab \n\t:#{}[]'\"\\,&*!|>%@`-?", max_size=20)
    | st.sampled_from(["yes", "null", "0o7", "1e3", "010", "~", "", "<<", "true ", "2.", "é😀"])
)
_VALUES: st.SearchStrategy[Plain] = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12
)
_DUMPS = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([True, False, None]),
        "default_style": st.sampled_from([None, "'", '"', "|", ">"]),
        "width": st.sampled_from([8, 20, 80, 1000]),
        "allow_unicode": st.booleans(),
        "indent": st.sampled_from([2, 4, 7]),
        "line_break": st.sampled_from(["\n", "\r\n"]),
        "explicit_start": st.booleans(),
    }
)


class _TextKeepsItsQuotes(yaml.SafeDumper):
    """Writes YAML 1.2: a text that would be read as something else goes into quotes, and tags are never written."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = parse(f"- {text}", name="probe").documents if text and "\n" not in text else ()
    style = None if plain and plain[0].value == [text] else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_TextKeepsItsQuotes.add_representer(str, _text)


def dumped(value: Plain, options: dict[str, Any]) -> str:
    # A forced style makes texts of numbers and flags, with a tag that says otherwise: only texts are written so.
    if options["default_style"] is not None and not _all_texts(value):
        options = {**options, "default_style": None}
    return str(yaml.dump(value, Dumper=_TextKeepsItsQuotes, sort_keys=False, **options))


def _all_texts(value: Plain) -> bool:
    match value:
        case dict():
            return all(map(_all_texts, value.values()))
        case list():
            return all(map(_all_texts, value))
        case _:
            return isinstance(value, str)


def by_reference(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def documents_of(text: str, *, accelerated: bool = True) -> tuple[Document, ...]:
    source = parse(text, name="file", accelerated=accelerated)
    assert [each for each in source.diagnostics if each.code != "empty-file"] == []
    return source.documents


class TestReading:
    @given(_VALUES, _DUMPS)
    def test_gives_back_what_was_written(self, value: Plain, options: dict[str, Any]) -> None:
        # PyYAML's emitter doubles a backslash where it folds; what it folds is compared with the reference below.
        text = dumped(value, {**options, "width": 100_000})
        assert [document.value for document in documents_of(text)] == ([] if value is None else [value])

    @given(_VALUES, _DUMPS)
    def test_equals_the_reference(self, value: Plain, options: dict[str, Any]) -> None:
        text = dumped(value, options)
        expected = by_reference(text)
        for accelerated in (True, False):
            found = [document.value for document in documents_of(text, accelerated=accelerated)]
            assert found == ([] if expected is None else [expected])

    # YAML 1.2 has no 1_000, no 0b1 and no dates; the reference still takes them for numbers and dates.
    @given(st.text("0123456789.+-eExXoOaAfFnNuUlLtTrRsSiIyY~", min_size=1, max_size=6))
    def test_takes_the_same_scalars_for_numbers_and_flags(self, text: str) -> None:
        assume(not text.startswith("-") or len(text) > 1)
        try:
            expected = by_reference(f"- {text}\n")
        except (YAMLError, ValueError):
            assume(False)
        (document,) = documents_of(f"- {text}\n")
        if text[:1] in "+-" and text[1:2] == "0" and text[2:3].lower() in {"x", "o"}:
            assert document.value == [text]  # the core schema has no signs there
        elif expected != expected or any(each != each for each in expected):
            assert isinstance(document.value, list)
            assert math.isnan(float(str(document.value[0])))
        elif not (isinstance(expected[0], int) and text.lower().startswith("0o")):
            assert document.value == expected

    @given(st.text(max_size=60) | st.text("ab:-{}[],&*!|>'\"#?%@ \n\t", max_size=60))
    def test_never_fails_and_never_is_silent(self, text: str) -> None:
        for accelerated in (True, False):
            source = parse(text, name="file", accelerated=accelerated)
            assert source.documents or source.diagnostics

    @given(st.text("ab:-{}[],&*!|>'\"#?%@ \n", max_size=40))
    def test_both_readers_agree_on_what_is_yaml(self, text: str) -> None:
        fast, pure = (parse(text, name="file", accelerated=each) for each in (True, False))
        if not fast.diagnostics and not pure.diagnostics:
            assert [each.value for each in fast.documents] == [each.value for each in pure.documents]


def leaves(value: Plain, steps: Steps = ()) -> Iterator[tuple[Steps, str]]:
    match value:
        case str():
            yield steps, value
        case list():
            for index, each in enumerate(value):
                yield from leaves(each, (*steps, index))
        case dict():
            for key, each in value.items():
                yield from leaves(each, (*steps, key))
        case _:
            pass


class TestPlaces:
    @given(_VALUES, _DUMPS)
    def test_of_characters_hold_these_characters(self, value: Plain, options: dict[str, Any]) -> None:
        for document in documents_of(dumped(value, options)):
            for steps, text in leaves(document.value):
                for offset, character in enumerate(text):
                    span = document.span(steps, offset=offset)
                    written = span.source[span.column - 1 : span.end_column - 1]
                    escaped = written.startswith(("\\", "''"))
                    folded = character in " \n" and not written.strip()
                    assert escaped or folded or written == character

    @given(_VALUES, _DUMPS, st.lists(st.text("kab", max_size=3) | st.integers(0, 3), max_size=4).map(tuple))
    def test_exist_for_any_way(self, value: Plain, options: dict[str, Any], steps: Steps) -> None:
        for document in documents_of(dumped(value, options)):
            for span in (document.span(steps), document.key_span(steps), document.span(steps, offset=3, length=5)):
                assert 1 <= span.column < span.end_column <= len(span.source) + 2


# Variables

_VALUES_OF_VARIABLES = st.dictionaries(st.sampled_from(["a", "b-1", "_c"]), st.text("xyz/:.", max_size=5))
_TEMPLATES = st.lists(
    st.sampled_from(["${var.a}", "${var.b-1}", "${var._c}", "x", "{device}", "/", "${var.", "}"])
).map("".join)


class TestSettling:
    @given(_TEMPLATES, _VALUES_OF_VARIABLES)
    def test_every_other_character_leads_back_to_itself(self, text: str, values: dict[str, str]) -> None:
        settled = settle(text, values)
        for offset, character in enumerate(settled.text):
            start, length = settled.origin(offset, 1)
            origin = text[start : start + length]
            assert origin == character or origin.startswith("${var.")
            assert bool(settled.names_within(offset, 1)) == (origin != character)

    @given(_TEMPLATES, _VALUES_OF_VARIABLES)
    def test_is_done_once(self, text: str, values: dict[str, str]) -> None:
        harmless = {name: value.replace("$", "") for name, value in values.items()}
        settled = settle(text, harmless).text
        assert settle(settled, harmless).text == settled


# Overrides


class TestOverrides:
    @given(
        st.dictionaries(
            st.sampled_from(["url", "body", "headers"]),
            st.none() | st.text("ab", max_size=2) | st.dictionaries(st.sampled_from("XY"), st.none() | st.just("1")),
        )
    )
    def test_laid_over_twice_change_nothing_more(self, fields: dict[str, Any]) -> None:
        text = "callbacks: {c: {url: a, headers: {X: '0'}}}"
        (document,) = documents_of(text)
        value: Any = document.value
        headers = fields.get("headers")
        assume(headers is None or isinstance(headers, dict))
        overrides = {"t": {"callbacks": {"c": fields}}}
        once = layered(Declared("t", document, value), document, "dev", overrides)
        assert once is not None
        twice = layered(Declared("t", document, once.value), document, "dev", overrides)
        assert twice is not None
        assert twice.value == once.value


# Definitions

_FREE_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["https://example.com/{device}", "a={x}", '{"a": {time}}', "{customData#a}", "a::uint:8", "a::uint:99", "GET", "${"]
)
_CONTENT_TYPES = st.sampled_from(["application/json", "text/plain", "text/html", "x"])
_HEADERS = st.dictionaries(st.sampled_from(["X-A", "x-a", "Host", "a b", "Authorization"]), _FREE_TEXTS, max_size=3)
_URLS = _FREE_TEXTS | st.sampled_from(
    ["https://e/?b={batch}", "https://e/x?k=${secret.K}&b={batch}&z", "https://e/{batch}"]
)
_ADDRESSES = _FREE_TEXTS | st.sampled_from(
    ["ops@example.com", "OPS@example.com", "a@[192.0.2.1]", "{device}@e", "", " "]
)
_KEYS_OF_SECRETS = st.sampled_from(["${secret.A}", "${secret.B}", "${secret.A}, ${secret.B}", "whsec_QUJD", "{device}"])
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "url": _URLS,
    "method": st.sampled_from(["GET", "POST", "PUT"]),
    "headers": _HEADERS,
    "signature": _KEYS_OF_SECRETS | st.lists(_KEYS_OF_SECRETS, min_size=1, max_size=3),
    "contentType": _CONTENT_TYPES,
    "body": _FREE_TEXTS,
    "payload": _FREE_TEXTS,
    "linePattern": _FREE_TEXTS,
    "recipient": _ADDRESSES | st.lists(_ADDRESSES, min_size=1, max_size=3),
    "subject": _FREE_TEXTS,
    "message": _FREE_TEXTS,
    **dict.fromkeys(("sendSni", "sendDuplicates", "downlinkHook", "ordered", "enabled", "protect"), st.booleans()),
}


def _callbacks(channel: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.sampled_from(CallbackType).map(str) | st.just("data/uplink"), "channel": st.just(channel)},
        optional={name: _FIELDS[name] for name in sorted(CHANNEL_FIELDS[channel] - {"type", "channel"})},
    )


_CALLBACKS = st.one_of(*map(_callbacks, CHANNEL_FIELDS))
_DEVICE_TYPES = st.fixed_dictionaries(
    {},
    optional={
        "description": st.text(max_size=5),
        "payload": _FREE_TEXTS,
        "keepAlive": st.sampled_from([0, "0s", "10m", "2h", "1d"]),
        "downlink": st.fixed_dictionaries(
            {"mode": st.sampled_from(["direct", "callback", "none", "managed"])}, optional={"data": _FREE_TEXTS}
        ),
    },
)


class TestDefinitions:
    @given(_CALLBACKS)
    def test_of_callbacks_pass_the_door_in_their_canonical_form(self, value: dict[str, Any]) -> None:
        key = Key("t", "c")
        content = callback_content(value, inherited="")
        assert read_content(key, content) == content

    @given(_DEVICE_TYPES)
    def test_of_device_types_pass_the_door_in_their_canonical_form(self, value: dict[str, Any]) -> None:
        content = device_type_content(value)
        assert read_content(Key("t"), content) == content

    @given(_CALLBACKS)
    def test_are_callbacks_or_have_an_error(self, value: dict[str, Any]) -> None:
        content = callback_content(value, inherited="")
        callback, found = check_callback(Key("t", "c"), content)
        assert (callback is None) == any(each.severity is Severity.ERROR for each in found)
        for each in found:
            assert each.path[0] in CHANNEL_FIELDS[value["channel"]]
            if each.offset is not None:
                text: Any = content
                for step in each.path:
                    text = text[step]
                assert 0 <= each.offset <= len(text)

    @given(_DEVICE_TYPES, st.lists(_CALLBACKS, max_size=4))
    def test_agree_or_are_found_to_disagree_at_places_that_exist(
        self, value: dict[str, Any], callbacks: list[dict[str, Any]]
    ) -> None:
        contents = {Key("t"): device_type_content(value)}
        for index, each in enumerate(callbacks):
            contents[Key("t", f"c{index}")] = callback_content(each, inherited="")
        found = [*check_together(Key("t"), contents)]
        for joint in found:
            assert joint.key in contents
            assert {place.key for place in joint.others} <= contents.keys()
        hooks = [each for each in contents.values() if each.get("downlinkHook") and each["type"] == "data/bidir"]
        twice = [joint for joint in found if joint.finding.severity is Severity.ERROR]
        assert len(twice) == max(len([each for each in hooks if each["channel"] != "email"]) - 1, 0)

    @given(_DEVICE_TYPES)
    def test_are_device_types_or_have_an_error(self, value: dict[str, Any]) -> None:
        device_type, found = check_device_type(Key("t"), device_type_content(value))
        assert (device_type is None) == any(each.severity is Severity.ERROR for each in found)

    @given(_CALLBACKS)
    def test_have_one_spelling(self, value: dict[str, Any]) -> None:
        content = callback_content(value, inherited="")
        reordered = {name: content[name] for name in reversed(list(content))}
        try:
            assert canonical_json(reordered) == canonical_json(content)
        except TypeError:  # half a character, which the loader has refused before
            assume(False)


# Projects

_HEAD = "apiVersion: reconciler/v1\nkind: DeviceType\nname: t\n"
_PROJECT = "apiVersion: reconciler/v1\nkind: Project\nname: p\nsources: ['*.yaml']\n"
_DOCUMENT_KEYS = st.sampled_from(
    [
        *("name", "kind", "callbacks", "payload", "keepAlive", "downlink", "moved", "sources", "environments", "x"),
        *("c", "url", "channel", "type", "headers", "target", "variables", "overrides", "t", "dev", "env", "mode"),
        *("body", "promotesFrom", "removed", "from", "to", "policies", "match", "require"),
    ]
)
_DOCUMENTS: st.SearchStrategy[Plain] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(
        ["url", "data/uplink", "dev", "${var.x}", "{device}", "https://e/", "DeviceType", "Project", "", "t"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_DOCUMENT_KEYS, inner, max_size=5),
    max_leaves=15,
)


@pytest.mark.parametrize("environment", [None, "dev"])
@settings(max_examples=150)
@given(project=_DOCUMENTS, device_type=_DOCUMENTS)
def test_loading_never_fails_and_gives_nothing_beside_an_error(
    environment: str | None, project: Plain, device_type: Plain
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / PROJECT_FILE).write_text(_as_document(_PROJECT, project))
        (root / "t.yaml").write_text(_as_document(_HEAD, device_type))
        loaded = load(root, environ={}, environment=environment)
        if loaded.desired is not None:
            assert not any(each.severity is Severity.ERROR for each in loaded.diagnostics)
            assert loaded.desired.definitions.keys() == loaded.callbacks.keys() | loaded.device_types.keys()


@given(_DOCUMENTS)
def test_no_document_is_more_than_refused(value: Plain) -> None:
    for adapter in DOCUMENTS.values():
        with io.StringIO() as refused:
            try:
                adapter.validate_python(value)
            except ValueError as error:
                refused.write(str(error))


def _as_document(head: str, value: Plain) -> str:
    """The keys of `value` added to a document that is complete, or the value alone."""
    if not isinstance(value, dict):
        return dumped(value, {"default_style": None})
    written = {line.partition(":")[0] for line in head.splitlines()}
    return head + dumped({key: each for key, each in value.items() if key not in written}, {"default_style": None})
