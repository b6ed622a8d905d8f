"""Annotations beside the author's lines."""

from reconciler.cli.render.github import annotation
from reconciler.cli.render.plan_github import plan_as_github
from reconciler.codec.canonical import define
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.plan import Create, Delete, FieldChange, Resecret, Update
from reconciler.model.resource import Key
from tests.builders import TELEMETRY, a_definition, a_plan

ORIGIN = Span("device-types/tracker.yaml", 7, 3, 12, "  telemetry:")
OLD = Key("tracker", "old")


def test_each_change_stands_at_its_line_and_the_gravest_comes_first() -> None:
    update = Update(TELEMETRY, a_definition(), a_definition(), (FieldChange(("method",), "POST", "PUT"),), ORIGIN)
    plan = a_plan(
        Create(TELEMETRY, define(TELEMETRY, {"url": "http://h/"}), ORIGIN),
        update,
        Delete(OLD, define(OLD, {"url": "http://h/"})),
        Resecret(TELEMETRY, "K", "f1", "f2", (TELEMETRY,)),
    )
    place = "file=device-types/tracker.yaml,line=7,col=3,endColumn=12"
    assert plan_as_github(plan).splitlines() == [
        "::warning title=delete tracker/old in dev::Deleted.%0A- url: http://h/",
        f"::warning {place},title=update tracker/telemetry in dev::Sent elsewhere.%0A- method: POST%0A+ method: PUT",
        "::warning title=resecret K in dev::Secrets and credentials.%0A"
        "Its value is another one than when it was last published.%0AUsed by tracker/telemetry.",
        f"::notice {place},title=create tracker/telemetry in dev::New or switched on.%0A+ url: http://h/",
        "::notice title=Plan for dev (http%3A//127.0.0.1%3A8460%2C revision 3)::"
        "1 to create, 1 to update, 1 to delete, 1 changed secret. Digest d1",
    ]


def test_what_refuses_a_plan_comes_before_everything_else() -> None:
    first, *_ = plan_as_github(a_plan(), refused_by=[Diagnostic("too-many-changes", "Too many")]).splitlines()
    assert first == "::error title=Too many [too-many-changes]::Too many"


def test_a_long_change_is_told_by_its_beginning() -> None:
    (create, _) = plan_as_github(
        a_plan(Create(TELEMETRY, define(TELEMETRY, {"body": "line\n" * 30}), None))
    ).splitlines()
    assert create.count("%0A+ ") == 20
    assert create.endswith("%0A… and 11 more lines")


def test_no_text_ends_a_part_of_a_command_or_begins_another() -> None:
    span = Span("a,b:c%\n::error::x", 1, 1, 2, "")
    line = annotation("notice", "50%\r\n::error::x", title="t,u:v\n", span=span)
    assert line == (
        "::notice file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=1,col=1,endColumn=2,title=t%2Cu%3Av%0A"
        "::50%25%0D%0A::error::x"
    )
