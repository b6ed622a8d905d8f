"""The canonical form, rule by rule."""

from pathlib import Path
from textwrap import dedent
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from reconciler.config import document
from reconciler.config.format import formatted, same
from reconciler.config.order import SHAPES, Shape
from reconciler.config.scaffold import scaffold
from reconciler.plan.diff import FIELD_ORDER

HEAD = "apiVersion: reconciler/v1\nkind: DeviceType\nname: t\n"
ROOT = Path(__file__).parents[3]


def canonical(text: str) -> str:
    """The canonical form of a text that has one, which is its own canonical form."""
    result = formatted(text, name="file")
    assert result.diagnostics == ()
    assert formatted(result.text, name="file").text == result.text
    return result.text


def below_head(text: str) -> str:
    return HEAD + dedent(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "callbacks: {}\nname: t\nkind: DeviceType\npayload: a::bool:1\napiVersion: reconciler/v1\ndescription: d\n",
            HEAD + "description: d\npayload: a::bool:1\ncallbacks: {}\n",
            id="keys of the document",
        ),
        pytest.param(
            HEAD + "unknown: 1\npayload: p\nanother: 2\n",
            HEAD + "payload: p\nunknown: 1\nanother: 2\n",
            id="unknown keys come last, as they are",
        ),
        pytest.param(
            below_head(
                """\
                callbacks:
                  b:
                    enabled: false
                    url: u
                    channel: url
                    tests:
                      - expect: {url: u}
                        given: {b: 1, a: 2}
                    type: error
                  a: {url: x, type: y}
                """
            ),
            below_head(
                """\

                callbacks:
                  b:
                    type: error
                    channel: url
                    url: u
                    enabled: false
                    tests:
                      - given: {b: 1, a: 2}
                        expect: {url: u}

                  a: {url: x, type: y}
                """
            ),
            id="keys of callbacks and tests, but not their names, and nothing in braces",
        ),
        pytest.param(
            below_head(
                """\
                downlink:
                      data:   '00'
                      mode :  direct
                moved:
                -   to: b
                    from: a
                -
                    from: c
                    to: d
                """
            ),
            below_head(
                """\
                downlink:
                  mode: direct
                  data: "00"
                moved:
                  - from: a
                    to: b
                  -
                    from: c
                    to: d
                """
            ),
            id="two blanks for each level, one behind colons and dashes",
        ),
        pytest.param(
            HEAD + "description: 'it''s'\n'payload': 'say \"a\"'\nx: \"a\\\\b\"\ny: \"é\\u00e9\"\nz: plain\n",
            HEAD + 'description: "it\'s"\n"payload": \'say "a"\'\nx: \'a\\b\'\ny: "é\\u00e9"\nz: plain\n',
            id="quotes",
        ),
        pytest.param(
            HEAD + "description: 'over\n\n    two lines'  # c\npayload: plain\n      and long\n",
            HEAD + "description: 'over\n\n    two lines'  # c\npayload: plain\n      and long\n",
            id="texts over several lines",
        ),
        pytest.param(
            HEAD + "headers: {  A: 'x',\n   # inside\n     B: \"y\" }   # behind\n",
            HEAD + 'headers: {  A: "x",\n   # inside\n     B: "y" }   # behind\n',
            id="what stands in braces, but for its quotes",
        ),
        pytest.param(
            HEAD + "description: >-\n      folded\n        more\n\n      text\npayload: |4\n      x\n",
            HEAD + "description: >-\n  folded\n    more\n\n  text\npayload: |4\n      x\n",
            id="block scalars",
        ),
        pytest.param(
            HEAD
            + "x:\n    a:\n        b: |2\n             with blanks\n          and not\n    c: |-  # c\n          d\n",
            HEAD + "x:\n  a:\n    b: |2\n         with blanks\n      and not\n  c: |-  # c\n    d\n",
            id="block scalars with an indentation of their own",
        ),
        pytest.param(
            HEAD + "x: |+\n   kept\n\n\npayload: |\n  last",
            HEAD + "payload: |-\n  last\nx: |+\n  kept\n\n\n",
            id="line breaks at the end of block scalars",
        ),
        pytest.param(
            "\n\n" + HEAD + "\n\n\ncallbacks:\n\n\n  a:\n    type: x\n\n\n    url: y\n  b:\n    type: z\n\n\n",
            HEAD + "\ncallbacks:\n  a:\n    type: x\n\n    url: y\n\n  b:\n    type: z\n",
            id="blank lines",
        ),
        pytest.param(
            HEAD + "callbacks:\n  a: {type: x}\n  b: {type: y}\n",
            HEAD + "\ncallbacks:\n  a: {type: x}\n  b: {type: y}\n",
            id="callbacks of one line stay together",
        ),
        pytest.param(
            below_head(
                """\
                # above callbacks
                callbacks: # behind callbacks
                # above a
                   a:   # behind a
                     # above url
                     url: x   #behind url
                       # below url
                     # above type
                     type: y

                     # tail of a
                   # above b
                   b: {}
                   # tail of callbacks
                # tail of the document
                """
            ),
            below_head(
                """\

                # above callbacks
                callbacks: # behind callbacks
                  # above a
                  a:   # behind a
                    # above type
                    type: y
                    # above url
                    url: x   #behind url
                      # below url

                    # tail of a

                  # above b
                  b: {}
                  # tail of callbacks
                # tail of the document
                """
            ),
            id="comments",
        ),
        pytest.param(
            "# modeline\n\n# licence\nname: t\n# above kind\nkind: DeviceType\napiVersion: reconciler/v1\n",
            "# modeline\n\n# licence\napiVersion: reconciler/v1\n# above kind\nkind: DeviceType\nname: t\n",
            id="what stands above the first key stays there",
        ),
        pytest.param(
            f"%YAML 1.2\n---\n{HEAD}...\n# between\n---\n# second\n\n{HEAD}--- # third\n{HEAD}",
            f"%YAML 1.2\n---\n{HEAD}...\n# between\n---\n# second\n\n{HEAD}--- # third\n{HEAD}",
            id="markers of documents",
        ),
        pytest.param(f"---\n---\n{HEAD}---\n# nothing\n", f"---\n---\n{HEAD}---\n# nothing\n", id="empty documents"),
        pytest.param(
            "{kind: DeviceType, apiVersion: reconciler/v1}",
            "{kind: DeviceType, apiVersion: reconciler/v1}\n",
            id="a document in braces",
        ),
        pytest.param(HEAD + "x:\n  ? b\n  : 2\n", HEAD + "x:\n  ? b\n  : 2\n", id="explicit keys"),
        pytest.param(
            HEAD + "x:\n      &a\n      c: 1\ny: *a\n",
            HEAD + "x:\n      &a\n      c: 1\ny: *a\n",
            id="an anchor on a line of its own",
        ),
        pytest.param(
            HEAD + "x: &a # c\n    c: 1\n<<: *a\ny: &b [1]\nz: *b\n",
            HEAD + "x: &a # c\n  c: 1\n<<: *a\ny: &b [1]\nz: *b\n",
            id="anchors, which come before their aliases",
        ),
        pytest.param(
            HEAD + "callbacks:\n  a: {headers: &h {}}\npayload: *h\n",
            HEAD + "\ncallbacks:\n  a: {headers: &h {}}\npayload: *h\n",
            id="keys keep their order where an alias would come before its anchor",
        ),
        pytest.param(
            HEAD + "callbacks:\n  a:\n    body: &x y\n    type: z\n  b:\n    body: *x\n",
            HEAD + "\ncallbacks:\n  a:\n    type: z\n    body: &x y\n\n  b:\n    body: *x\n",
            id="and are sorted where none does",
        ),
        pytest.param(
            HEAD + "x:\n  - - a\n    -  b\n  -   - c\n  -\n    - d\n  -\n  - # c\n    e: 1\n",
            HEAD + "x:\n  - - a\n    - b\n  - - c\n  -\n    - d\n  -\n  - # c\n    e: 1\n",
            id="lists of lists",
        ),
        pytest.param(
            HEAD + "x:\n\n    1\ny:\n  # c\n  2\n", HEAD + "x:\n\n    1\ny:\n  # c\n  2\n", id="values on the next line"
        ),
        pytest.param(
            HEAD + "tests:\n- expect: 1\n  # above given\n  given: 2\n",
            HEAD + "tests:\n  - expect: 1\n    # above given\n    given: 2\n",
            id="items that are no tests",
        ),
        pytest.param(
            HEAD + "callbacks:\n  a:\n    tests:\n    - expect: {}\n      # above given\n      given: {}\n",
            HEAD + "\ncallbacks:\n  a:\n    tests:\n      # above given\n      - given: {}\n        expect: {}\n",
            id="a comment that comes to the top of an item",
        ),
    ],
)
def test_rules(before: str, after: str) -> None:
    assert canonical(before) == after


def test_what_is_canonical_stays() -> None:
    for name, text in scaffold("p").items():
        if name.endswith(".yaml"):
            assert canonical(text) == text


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.parent.parent.name)
def test_examples_are_canonical(path: Path) -> None:
    text = path.read_text()
    assert canonical(text) == text


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_keeps_its_line_breaks_and_its_byte_order_mark(line_break: str, mark: str) -> None:
    text = HEAD + "body: |\n    é\n    x\n# é\n"
    expected = HEAD + "body: |\n  é\n  x\n# é\n"
    assert canonical(mark + text.replace("\n", line_break)) == mark + expected.replace("\n", line_break)


def test_mixed_line_breaks_become_those_of_the_first_line() -> None:
    assert canonical("kind: DeviceType\r\napiVersion: reconciler/v1\nname: t\r") == HEAD.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "yaml-syntax"),
        ("a: 1\na: 2\n" + HEAD, "yaml-duplicate-key"),
        ("name: !x t\nkind: DeviceType\n", "yaml-tag"),
        ("", "empty-file"),
        ("# only\n", "empty-file"),
        ("a: 1\n", "missing-key"),
        ("on: push\nkind: Workflow\n", "unknown-kind"),
        (HEAD + "---\nkind: Secret\n", "unknown-kind"),
        (HEAD + "body: |\n    a\u2028    b\n", "file-not-formattable"),
    ],
)
def test_what_is_none_of_ours_is_reported_and_left_alone(text: str, code: str) -> None:
    result = formatted(text, name="file")
    assert result.text == text
    assert [found.code for found in result.diagnostics] == [code]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1, "b": [None]}, {"b": [None], "a": 1}, True),
        (1, True, False),
        (1, 1.0, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        (float("nan"), float("nan"), True),
        ("1", 1, False),
    ],
)
def test_sameness(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected


# The order of keys


def fields_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def models_of(alias: Any) -> list[type[BaseModel]]:
    """The classes that a type alias is made of."""
    return [each for each in (get_args(get_args(alias)[0]) or (alias,)) if isinstance(each, type)]


DEVICE_TYPE = SHAPES["DeviceType"]
PROJECT = SHAPES["Project"]
CALLBACK = DEVICE_TYPE.below("callbacks").below("telemetry")
ENVIRONMENT = PROJECT.below("environments").below("prod")


@pytest.mark.parametrize(
    ("shape", "models"),
    [
        (DEVICE_TYPE, [document.DeviceTypeDocument]),
        (DEVICE_TYPE.below("downlink"), [document.Downlink]),
        (CALLBACK, [document.UrlCallback, document.BatchUrlCallback, document.EmailCallback]),
        (CALLBACK.below("tests").below(""), [document.CallbackTest]),
        (CALLBACK.below("tests").below("").below("expect"), [document.Expectation]),
        (DEVICE_TYPE.below("moved").below(""), [document.Moved]),
        (PROJECT, [document.Project]),
        (PROJECT.below("policies").below(""), [document.Policy]),
        (PROJECT.below("policies").below("").below("require").below("url"), [document.Comparison]),
        (ENVIRONMENT, [document.Environment]),
        (ENVIRONMENT.below("target"), [document.EngineTarget, document.OperatorTarget]),
        (ENVIRONMENT.below("overrides").below("tracker"), [document.DeviceTypeOverride]),
    ],
)
def test_every_key_of_the_file_format_has_its_place(shape: Shape, models: list[type[BaseModel]]) -> None:
    assert set(shape.keys) == set().union(*map(fields_of, models))


def test_overrides_have_the_order_of_what_they_override() -> None:
    assert ENVIRONMENT.below("overrides").below("tracker").below("callbacks").below("telemetry") is CALLBACK


def test_files_have_the_order_in_which_plans_list_fields() -> None:
    for shape in (DEVICE_TYPE, CALLBACK):
        ordered = [name for name in FIELD_ORDER if name in shape.keys]
        if shape is DEVICE_TYPE:  # where the payload config is the last thing before the callbacks
            ordered.remove("payload")
        assert [name for name in shape.keys if name in ordered] == ordered
