"""What an author wrote in clear is shown nowhere."""

from dataclasses import replace

import pytest

from reconciler.cli.render.plan_mask import clear_passwords, masked, masked_text
from reconciler.codec.canonical import define
from reconciler.diagnostics import Span
from reconciler.model.definition import Content
from reconciler.model.plan import Adopt, Collision, Create, Delete, Drift, FieldChange, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from tests.builders import TELEMETRY, a_plan

OLD = Key("tracker", "old")
CLEAR = "hunter22"
URL = f"https://login:{CLEAR}@example.com/"
HIDDEN = "https://login:***@example.com/"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, HIDDEN),
        ("http://login:p%40ss@h", "http://login:***@h"),
        ("http://sk_live_1@h/", "http://***@h/"),
        ("http://sk_live_1:@h/", "http://***:@h/"),
        ("http://:only@h/", "http://:***@h/"),
        ("HTTP://u:p@h/", "HTTP://u:***@h/"),
        ("http://u:a:b@h/", "http://u:***@h/"),
        ("http://u:a@b@h/", "http://u:***@h/"),
        ("http://u:${secret.P}x@h/", "http://u:***@h/"),
        ("see http://u:p@h/ and amqp://v:q@i", "see http://u:***@h/ and amqp://v:***@i"),
        ('{"url":"http://u:p@h"}', '{"url":"http://u:***@h"}'),
        # references tell nothing, and an @ behind the host belongs to nobody
        ("https://${secret.LOGIN}:${secret.PASSWORD}@h/", "https://${secret.LOGIN}:${secret.PASSWORD}@h/"),
        ("https://${secret.BOTH}@h/", "https://${secret.BOTH}@h/"),
        ("https://u:${secret.P}@h/", "https://u:${secret.P}@h/"),
        ("https://h/path@x?to=ops@example.com", "https://h/path@x?to=ops@example.com"),
        ("ops@example.com", "ops@example.com"),
        ("https://h:8460/", "https://h:8460/"),
    ],
)
def test_passwords_of_urls_are_masked_and_nothing_else_is(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Bearer abc", "Bearer ***"),
        ("abc", "***"),
        ("Basic YTpi, x", "Basic ***"),
        ("Bearer ${secret.TOKEN}", "Bearer ${secret.TOKEN}"),
        ("Bearer {device}", "Bearer {device}"),
        ("", ""),
    ],
)
def test_so_are_the_credentials_of_a_header(given: str, shown: str) -> None:
    for name in ("Authorization", "authorization"):
        plan = a_plan(Create(TELEMETRY, define(TELEMETRY, {"headers": {name: given, "X": "abc"}}), None))
        (change,) = masked(plan).changes
        assert isinstance(change, Create)
        assert change.after.content == {"headers": {name: shown, "X": "abc"}}


def everywhere() -> Plan:
    """A plan that holds a password in every place that can hold one."""
    origin = Span("t.yaml", 1, 1, 2, f"telemetry: {{url: {URL!r}}}")
    content: Content = {"url": URL, "list": [URL, {"deep": URL}], "headers": {"Authorization": f"Basic {CLEAR}"}}
    before, after = define(OLD, content), define(TELEMETRY, content)
    fields = (
        FieldChange(("url",), URL, "http://h/"),
        FieldChange(("headers", "Authorization"), None, CLEAR, added=True),
        FieldChange(("headers",), content["headers"], None, removed=True),
    )
    plan = a_plan(
        Create(TELEMETRY, after, origin),
        Update(TELEMETRY, before, after, fields, origin),
        Delete(OLD, before),
        Move(TELEMETRY, before, after, fields, origin),
        Adopt(TELEMETRY, before, after, "fleet", fields, origin),
        Resecret(TELEMETRY, "K", None, "x", (TELEMETRY,)),
    )
    drift = (
        Drift(TELEMETRY, before, after, fields, True, None, "changed"),
        Drift(TELEMETRY, None, after, (), True, None, "appeared"),
    )
    return replace(plan, target=URL, drift=drift, collisions=(Collision(OLD, "fleet", origin),))


def test_no_part_of_a_masked_plan_holds_a_password_and_every_digest_stays() -> None:
    plan = everywhere()
    assert repr(plan).count(CLEAR) > 20
    hidden = masked(plan)
    assert CLEAR not in repr(hidden)
    digests = [change.after.digest for change in plan.changes if not isinstance(change, Delete | Resecret)]
    assert [c.after.digest for c in hidden.changes if not isinstance(c, Delete | Resecret)] == digests
    assert hidden.digest == plan.digest


def test_a_plan_without_passwords_is_equal_to_its_masked_form() -> None:
    content: Content = {"url": "https://u:${secret.P}@h/", "tags": ["a"], "enabled": False}
    plan = a_plan(Create(TELEMETRY, define(TELEMETRY, content), None), Delete(OLD, define(OLD, content)))
    assert masked(plan) == plan
    assert all(one is other for one, other in zip(masked(plan).changes, plan.changes, strict=True))


def test_definitions_that_would_be_written_with_a_password_are_named_and_deletions_are_not() -> None:
    assert clear_passwords(everywhere()) == (TELEMETRY,)
    assert clear_passwords(a_plan(Delete(OLD, define(OLD, {"url": URL})))) == ()
