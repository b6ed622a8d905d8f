"""A device type with an environment's override laid over it."""

from typing import Any

import pytest

from reconciler.config.overlay import Declared, Layered, layered, override_findings
from reconciler.config.place import Document
from reconciler.config.source import parse

TRACKER = """\
name: tracker
keepAlive: 2h
callbacks:
  telemetry: {url: a, headers: {X-A: "1", X-B: "2"}, enabled: true}
  alarms: {url: b}
"""


def document(text: str) -> Document:
    (found,) = parse(text, name="file").documents
    return found


def declared() -> Declared:
    tracker = document(TRACKER)
    assert isinstance(tracker.value, dict)
    return Declared("tracker", tracker, tracker.value)


def laid_over(override: str) -> Layered | None:
    project = document(f"environments: {{prod: {{overrides: {{tracker: {override}}}}}}}")
    value: Any = project.value
    return layered(declared(), project, "prod", value["environments"]["prod"]["overrides"])


def value_under(override: str) -> Any:
    layers = laid_over(override)
    assert layers is not None
    return layers.value


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("{}", {}),
        ("{keepAlive: 4h}", {"keepAlive": "4h"}),
        ("{description: new}", {"description": "new"}),
        ("{callbacks: {}}", {}),
    ],
)
def test_fields_are_replaced(override: str, changes: dict[str, Any]) -> None:
    assert value_under(override) == {**declared().value, **changes}


def test_mappings_are_merged_and_null_takes_away() -> None:
    value = value_under("{keepAlive: null, callbacks: {telemetry: {headers: {X-A: null, X-C: '3'}, enabled: false}}}")
    assert "keepAlive" not in value
    assert value["callbacks"] == {
        "telemetry": {"url": "a", "headers": {"X-B": "2", "X-C": "3"}, "enabled": False},
        "alarms": {"url": "b"},
    }


def test_callbacks_and_device_types_can_be_taken_away() -> None:
    assert list(value_under("{callbacks: {alarms: null}}")["callbacks"]) == ["telemetry"]
    assert laid_over("null") is None


def test_the_definition_itself_stays_as_it_was() -> None:
    each = declared()
    before = repr(each.value)
    project = document("environments: {prod: {overrides: {tracker: {callbacks: {telemetry: {url: c}}}}}}")
    layered(each, project, "prod", {"tracker": {"callbacks": {"telemetry": {"url": "c"}}}})
    assert repr(each.value) == before


def test_without_an_override_nothing_is_copied() -> None:
    each = declared()
    layers = layered(each, document("a: 1"), "prod", {})
    assert layers is not None
    assert layers.value is each.value
    assert not layers.overridden


def test_a_value_is_found_where_it_was_written() -> None:
    layers = laid_over("{callbacks: {telemetry: {url: c}}}")
    assert layers is not None
    definition, steps = layers.place(("callbacks", "telemetry", "headers"))
    assert (definition, steps) == (layers.declared.document, ("callbacks", "telemetry", "headers"))
    project, steps = layers.place(("callbacks", "telemetry", "url"))
    assert project is not layers.declared.document
    assert steps == ("environments", "prod", "overrides", "tracker", "callbacks", "telemetry", "url")


def test_overrides_of_what_is_not_declared_are_found() -> None:
    text = "environments: {prod: {overrides: {tracker: {callbacks: {telemetri: {}}}, traker: {}, meter: null}}}"
    project = document(text)
    value: Any = project.value
    found = [*override_findings(project, "prod", value["environments"]["prod"]["overrides"], {"tracker": declared()})]
    assert [(each.code, each.help) for each in found] == [
        ("unknown-override-target", "Did you mean telemetry?"),
        ("unknown-override-target", "Did you mean tracker?"),
        ("unknown-override-target", "An override changes what is declared; declare it first."),
    ]
