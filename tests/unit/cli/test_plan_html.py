"""The page for a browser."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

from reconciler.cli.render.plan_html import plan_as_html
from reconciler.cli.render.plan_words import Commands
from reconciler.codec.canonical import define
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.plan import Change, Collision, Create, Delete, Drift, FieldChange, Plan, Rename, Resecret
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame
from tests.builders import TELEMETRY, a_definition, a_plan

COMMANDS = Commands("reconciler apply plan.json", "reconciler apply plan.json --over-limits d1")
TOO_MANY = Diagnostic("too-many-changes", "The plan changes more than the project's limits allow", "10 of 12.")
ORIGIN = Span("device-types/tracker.yaml", 7, 1, 2, "x")


class Page(HTMLParser):
    """What a browser finds in a page: elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [value for name, found in self.elements if name == tag and (value := found.get(attribute)) is not None]


def page(plan: Plan, *, refused_by: Sequence[Diagnostic] = ()) -> Page:
    return Page(plan_as_html(plan, refused_by=refused_by, commands=COMMANDS))


def changes() -> tuple[Change, ...]:
    old = Key("tracker", "old")
    return (
        Create(TELEMETRY, define(TELEMETRY, {"url": "http://h/<b>&{device}", "body": "a\nb\n"}), ORIGIN),
        Delete(old, define(old, {"url": "http://h/"})),
        Resecret(TELEMETRY, "INGEST", "f1", "f2", (TELEMETRY,)),
        Resecret(TELEMETRY, "OTHER", None, "f2", (TELEMETRY,)),
    )


def test_it_says_all_that_there_is_to_say() -> None:
    found = page(a_plan(*changes()))
    for part in (
        "1 to create, 0 to update, 1 to delete, 2 changed secrets in dev (http://127.0.0.1:8460, revision 3)",
        "+ create tracker/telemetry device-types/tracker.yaml:7",
        "+ url: http://h/<b>&{device}",
        "+ body:+   a+   b",
        "Deleted (1)",
        "* resecret INGEST",
        "Used by tracker/telemetry.",
        "reconciler apply plan.json",
        "Digest d1",
    ):
        assert part in found.text


def test_each_change_has_an_address_of_its_own_and_each_link_leads_to_one() -> None:
    found = page(a_plan(*changes(), *changes()))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {"create:tracker/telemetry", "create:tracker/telemetry:2", "resecret:INGEST"} <= set(ids)
    links = found.all("a", "href")
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_it_needs_nothing_else_and_its_policy_allows_its_own_style_alone() -> None:
    text = plan_as_html(a_plan(*changes()), commands=COMMANDS)
    found = Page(text)
    assert not {tag for tag, _ in found.elements} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert not [name for _, attributes in found.elements for name in attributes if name in ("src", "style")]
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    hashed = base64.b64encode(sha256(style.encode()).digest()).decode()
    (policy,) = (each.get("content") for _, each in found.elements if "http-equiv" in each)
    assert policy == f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style


def test_it_has_a_title_a_language_and_a_charset() -> None:
    text = plan_as_html(replace(a_plan(), environment="pr<od"), commands=COMMANDS)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    assert "<title>Plan for pr&lt;od</title>" in text


def test_a_refused_plan_shows_why_and_what_would_pass() -> None:
    found = page(a_plan(*changes()), refused_by=(TOO_MANY,))
    assert "error[too-many-changes]" in found.text
    assert "reconciler apply plan.json --over-limits d1" in found.text
    assert "To apply it" not in found.text


def test_what_is_no_change_has_sections_of_its_own() -> None:
    old = Key("tracker", "old")
    drifted = (FieldChange(("url",), "a", "b"),)
    plan = replace(
        a_plan(),
        drift=(
            Drift(old, a_definition(old), a_definition(old), drifted, True, Blame("ana <a@x>", 4, None), "changed"),
        ),
        left=(Key("legacy"), Key("legacy", "c")),
        renames=(Rename(old, TELEMETRY, "moved:\n  - {from: old, to: telemetry}", "t.yaml"),),
        collisions=(Collision(TELEMETRY, "fleet", ORIGIN),),
    )
    found = page(plan)
    assert "Nothing that this project may change: dev" in found.text
    assert "changed tracker/old by ana <a@x> in revision 4" in found.text
    assert "  moved:    - {from: old, to: telemetry}" in found.text
    assert "tracker/telemetry held by the project fleet, device-types/tracker.yaml:7" in found.text
    assert "legacy and its 1 callback" in found.text
    assert "Nothing to change: dev" in page(a_plan()).text


def test_long_groups_that_are_not_grave_are_folded_and_grave_ones_never() -> None:
    keys = [Key("tracker", f"c{number}") for number in range(101)]
    plan = a_plan(
        *(Create(key, a_definition(key), None) for key in keys), *(Delete(key, a_definition(key)) for key in keys)
    )
    folded = {each["id"]: "open" not in each for tag, each in page(plan).elements if tag == "details"}
    assert folded == {"risk-loss": False, "risk-beginning": True}
