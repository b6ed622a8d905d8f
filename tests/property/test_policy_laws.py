"""Laws of policies and moves: no content crashes them, what is as required is silent, and order means nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.config.condition import LONGEST_PATTERN, Condition, condition
from reconciler.config.document import DOCUMENTS
from reconciler.config.field import FIELDS, Field, field_named
from reconciler.config.load import Loaded, load
from reconciler.config.policy import InForce, policies_of
from reconciler.config.source import parse
from reconciler.diagnostics import has_errors
from reconciler.model.definition import CHANNEL_FIELDS, Content, check_callback
from reconciler.model.resource import CallbackType, Key

CALLBACK = Key("tracker", "telemetry")
DEVICE_TYPE = Key("tracker")

_WORDS = st.sampled_from(
    ["url", "email", "data/uplink", "data/*", "*", "?", "", "GET", "https", "*.example.com", "callback", "2h", "a"]
)
_PRINTABLE = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff")
_TEXTS = _WORDS | st.text("ab*?.[]()\\{}^$|+", max_size=8) | st.text(_PRINTABLE, max_size=4)
_NUMBERS = st.integers(-2, 70_000) | st.floats()
_SCALARS = _TEXTS | _NUMBERS | st.booleans()
_COMPARISONS = st.fixed_dictionaries(
    {},
    optional={
        "regex": _TEXTS,
        "in": st.lists(_TEXTS | _NUMBERS, min_size=1, max_size=3),
        "present": st.booleans(),
        "min": _NUMBERS | _TEXTS,
        "max": _NUMBERS | _TEXTS,
    },
)
_NAMES = st.sampled_from([*FIELDS, "headers.X-A", "headers.x-a", "headers.Authorization"])
_CONDITIONS = st.dictionaries(_NAMES, _SCALARS | _COMPARISONS, max_size=3)
_RULES = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"]), "message": st.text(_PRINTABLE, min_size=1, max_size=3)},
    optional={
        "severity": st.sampled_from(["error", "warning"]),
        "environments": st.lists(_TEXTS.filter(bool), min_size=1, max_size=2),
        "match": _CONDITIONS,
        "require": _CONDITIONS,
        "forbid": _CONDITIONS,
    },
)

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
_URLS = st.sampled_from(["https://a.example.com/{device}", "http://[::1]:8080?b={batch}", "x", "https://é.de/", ""])
_CALLBACKS = st.fixed_dictionaries(
    {"type": st.sampled_from([*map(str, CallbackType)]), "channel": st.sampled_from([*CHANNEL_FIELDS])},
    optional={
        "url": _URLS,
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "headers": st.dictionaries(st.sampled_from(["X-A", "x-a", "Authorization"]), _TEXTS, max_size=2),
        **dict.fromkeys(("body", "contentType", "payload", "subject", "message", "linePattern"), _TEXTS),
        "recipient": st.sampled_from(["ops@example.com", "ops@example.com, lab@example.org", ",", ""]),
        **dict.fromkeys(("enabled", "protect", "sendSni", "sendDuplicates", "downlinkHook", "ordered"), st.booleans()),
    },
)
_FLAGS = st.fixed_dictionaries({}, optional=dict.fromkeys(("enabled", "protect"), st.booleans()))
_SOUND = st.builds(
    lambda content, flags: {**content, **flags},
    st.sampled_from(
        [
            {"type": "data/uplink", "channel": "url", "url": "https://a.example.com/{device}", "headers": {"x-a": "1"}},
            {"type": "data/bidir", "channel": "url", "url": "http://[::1]:81/?t={time}", "method": "GET"},
            {"type": "data/uplink", "channel": "batch-url", "url": "https://E/?b={batch}", "linePattern": "{device}"},
            {"type": "error", "channel": "email", "recipient": "ops@example.com, lab@example.org", "message": "a"},
        ]
    ),
    _FLAGS,
)
_ANYTHING = st.dictionaries(
    st.sampled_from([*(each.source for each in FIELDS.values() if each.source), "x"]), _JSON, max_size=5
)
_DEVICE_TYPES = st.fixed_dictionaries(
    {},
    optional={
        "description": _TEXTS,
        "payload": _TEXTS,
        "keepAlive": st.integers(0, 100_000),
        "downlink": st.fixed_dictionaries({"mode": st.sampled_from(["direct", "none"])}, optional={"data": _TEXTS}),
    },
)


def in_force(*rules: Mapping[str, Any]) -> InForce:
    """Those of the rules that can be understood; all that is wrong with the others has a place."""
    value = {"policies": [*rules]}
    (document,) = parse(json.dumps(value, ensure_ascii=False), name="file").documents
    policies, found = policies_of(document, value)
    assert all(each.span is not None for each in found)
    return InForce(policies)


class TestPolicies:
    @given(st.lists(_RULES, max_size=3), _CALLBACKS | _ANYTHING, _DEVICE_TYPES | _ANYTHING)
    def test_judge_any_content(self, rules: list[Mapping[str, Any]], callback: Content, device_type: Content) -> None:
        found = in_force(*rules)
        for key, content in ((CALLBACK, callback), (DEVICE_TYPE, device_type)):
            for violation in found.violations(key, content, None):
                kind = "callback" if key.callback else "device-type"
                assert all(kind in clause.field.kinds for clause, _ in violation.values)

    @given(_RULES, _SOUND)
    def test_say_the_same_of_what_can_be_built_and_of_its_content(self, rule: dict[str, Any], content: Content) -> None:
        resource, _ = check_callback(CALLBACK, content)
        assert resource is not None
        found = in_force(rule)
        assert found.violations(CALLBACK, content, resource) == found.violations(CALLBACK, content, None)

    @given(st.sampled_from([*FIELDS.values()]) | st.just(field_named("headers.X-A")), _CALLBACKS, _DEVICE_TYPES)
    def test_that_require_what_a_content_has_are_silent_and_that_forbid_it_are_not(
        self, field: Field, callback: Content, device_type: Content
    ) -> None:
        assume(field.name not in ("kind", "headers"))
        is_callback = "callback" in field.kinds
        key, content = (CALLBACK, callback) if is_callback else (DEVICE_TYPE, device_type)
        value = field.read(key, content, None)
        assume(value is not None and value != ())
        wanted = _condition(field, value)
        assume(isinstance(condition(wanted, field), Condition))
        about = {"name": "a", "message": "m", "match": {"kind": "callback" if is_callback else "device-type"}}
        assert in_force({**about, "require": {field.name: wanted}}).violations(key, content, None) == []
        if field.name != "payload" and not (field.bodies_only and content.get("method") == "GET"):
            forbidden = in_force({**about, "forbid": {field.name: wanted}}).violations(key, content, None)
            assert len(forbidden) == (not is_callback or content["channel"] in field.channels)

    @given(st.lists(_RULES, max_size=3, unique_by=lambda rule: str(rule["name"])), _CALLBACKS, st.randoms())
    def test_do_not_depend_on_their_order(self, rules: list[dict[str, Any]], content: Content, random: Any) -> None:
        def broken(these: list[dict[str, Any]]) -> set[tuple[str, frozenset[str]]]:
            found = in_force(*these).violations(CALLBACK, content, None)
            return {(each.policy.name, frozenset(clause.field.name for clause, _ in each.values)) for each in found}

        shuffled = [_shuffled(rule, random) for rule in random.sample(rules, len(rules))]
        assert broken(shuffled) == broken(rules)

    @given(_RULES)
    def test_have_the_shape_that_is_published(self, rule: dict[str, Any]) -> None:
        project = {"apiVersion": "reconciler/v1", "kind": "Project", "name": "p", "sources": ["*.yaml"]}
        DOCUMENTS["Project"].validate_python({**project, "policies": [rule]})


def _condition(field: Field, value: Any) -> Any:
    if field.sort == "texts":
        return {"in": [*value]}
    if field.sort == "duration":
        return f"{value}s"
    return {"in": [value]} if isinstance(value, str) and len(value) > LONGEST_PATTERN else value


def _shuffled(value: Any, random: Any) -> Any:
    """The same mappings, their keys in another order."""
    if isinstance(value, dict):
        return {key: _shuffled(value[key], random) for key in random.sample([*value], len(value))}
    return value


# Projects

_FEW = st.sampled_from(["a", "b", "c", "d"])
_GONE = st.sampled_from(["p", "q", "r", "s", "t", "a"])
_ENTRIES = st.lists(st.fixed_dictionaries({"from": _GONE, "to": _FEW}), max_size=2, unique_by=lambda each: each["to"])
_CALLBACK = {"type": "data/uplink", "channel": "url", "url": "https://${var.host}/{device}"}
_FILES = st.dictionaries(
    _FEW,
    st.fixed_dictionaries(
        {"callbacks": st.dictionaries(_FEW, st.just(_CALLBACK), min_size=3)},
        optional={"moved": _ENTRIES, "payload": st.just("a::bool:7")},
    ),
    min_size=3,
)
_OVERRIDES = st.dictionaries(_FEW, st.none() | st.just({"callbacks": {"a": None}}), max_size=1)
_PROJECTS = st.fixed_dictionaries(
    {"overrides": _OVERRIDES},
    optional={"moved": _ENTRIES, "removed": st.lists(st.sampled_from(["s", "u", "b"]), max_size=1)},
)


def _written(root: Path, project: Mapping[str, Any], files: Mapping[str, Any], names: list[str], random: Any) -> Loaded:
    """The project as it is loaded, with these names of its files, and keys and entries in any order."""
    environment = {
        "target": {"engine": "http://127.0.0.1:8460"},
        "variables": {"host": "example.com"},
        "overrides": project["overrides"],
    }
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "Project",
        "name": "p",
        "sources": ["files/*.yaml"],
        "environments": {"dev": environment},
        **{key: random.sample(project[key], len(project[key])) for key in ("moved", "removed") if key in project},
    }
    (root / "files").mkdir()
    (root / "reconciler.yaml").write_text(json.dumps(_shuffled(document, random)))
    for name, (device_type, file) in zip(names, files.items(), strict=False):
        head = {"apiVersion": "reconciler/v1", "kind": "DeviceType", "name": device_type}
        moved = {"moved": random.sample(file["moved"], len(file["moved"]))} if "moved" in file else {}
        (root / f"files/{name}.yaml").write_text(json.dumps(_shuffled({**head, **file, **moved}, random)))
    return load(root, environ={}, environment="dev")


@settings(max_examples=60, deadline=None)
@given(_PROJECTS, _FILES, st.permutations([*"wxyz"]), st.randoms())
def test_the_order_of_files_keys_and_entries_changes_nothing(
    project: Mapping[str, Any], files: Mapping[str, Any], names: list[str], random: Any
) -> None:
    loaded = []
    for each in ([*"wxyz"], names):
        with TemporaryDirectory() as folder:
            loaded.append(_written(Path(folder), project, files, each, random))
    first, second = (each.desired for each in loaded)
    assert (first is None) == (second is None) == has_errors(loaded[0].diagnostics)
    if first is not None and second is not None:
        assert first.definitions == second.definitions
        assert (first.moved, first.removed) == (second.moved, second.removed)


@settings(max_examples=60, deadline=None)
@given(_PROJECTS, _FILES, st.randoms())
def test_moves_lead_from_what_is_not_declared_to_what_is_in_one_step(
    project: Mapping[str, Any], files: Mapping[str, Any], random: Any
) -> None:
    with TemporaryDirectory() as folder:
        loaded = _written(Path(folder), project, files, [*"wxyz"], random)
    desired = loaded.desired
    if desired is not None:
        old, new = desired.moved.keys(), [*desired.moved.values()]
        assert not old & desired.definitions.keys()
        assert {*new} <= desired.definitions.keys()
        assert len({*new}) == len(new)
        assert all(bool(key.callback) == bool(desired.moved[key].callback) for key in old)
        assert not {Key(name) for name in desired.removed} & (desired.definitions.keys() | old)


@pytest.mark.parametrize("text", ["{", "[", "5", "'x'", "null", "[{name: a}]", "[[]]", "[null]", "[{require: 5}]"])
@pytest.mark.parametrize("key", ["moved", "removed", "policies"])
def test_no_shape_is_a_traceback(key: str, text: str, tmp_path: Path) -> None:
    head = "apiVersion: reconciler/v1\nkind: Project\nname: p\nsources: ['*.yaml']\n"
    (tmp_path / "reconciler.yaml").write_text(f"{head}{key}: {text}\n")
    assert load(tmp_path, environ={}).desired is None
