"""The plan file, by example; the round trip of every plan is in `tests/property/test_plan_laws.py`."""

import json
from dataclasses import replace

import pytest

from reconciler.codec.canonical import define
from reconciler.codec.plan import dump_plan, load_plan, plan_digest
from reconciler.diagnostics import Span
from reconciler.model.plan import Change, Collision, Create, Delete, FieldChange, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint

TRACKER, TELEMETRY, ALARMS = Key("tracker"), Key("tracker", "telemetry"), Key("tracker", "alarms")
HERE = Span("tracker.yaml", 7, 3, 12, "  telemetry:")


def plan(*stages: tuple[Change, ...], collisions: tuple[Collision, ...] = ()) -> Plan:
    changes = [change for stage in stages for change in stage]
    digest = plan_digest(changes, environment="dev", target="http://127.0.0.1:8460", owner="cold-chain")
    base = Fingerprint(7, "00ff")
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", base, stages, digest, collisions)


UPDATE = Update(
    TELEMETRY,
    define(TELEMETRY, {"url": "a", "body": None}),
    define(TELEMETRY, {"url": "b", "enabled": False}),
    (
        FieldChange(("url",), "a", "b"),
        FieldChange(("body",), None, None, removed=True),
        FieldChange(("enabled",), None, False, added=True),
    ),
    HERE,
)
WHOLE = plan(
    (Create(TRACKER, define(TRACKER, {}), None),),
    (UPDATE,),
    (Delete(ALARMS, define(ALARMS, {"url": "é", "headers": {"A": "1"}})),),
    collisions=(Collision(Key("fridge"), "cold-store", HERE),),
)


def test_a_plan_reads_back_equal() -> None:
    assert load_plan(dump_plan(WHOLE)) == WHOLE


def test_a_plan_of_nothing_reads_back_equal() -> None:
    assert load_plan(dump_plan(plan())) == plan()


def test_a_plan_file_is_readable_by_programs() -> None:
    tree = json.loads(dump_plan(WHOLE))
    assert tree["format"] == "reconciler-plan/1"
    assert tree["summary"] == {"create": 1, "update": 1, "delete": 1}
    assert tree["base"] == {"revision": 7, "digest": "00ff"}
    assert tree["stages"][0] == [
        {
            "kind": "create",
            "key": "tracker",
            "after": {"digest": define(TRACKER, {}).digest, "content": {}},
            "origin": None,
        }
    ]
    assert tree["stages"][1][0]["origin"] == {
        "file": "tracker.yaml", "line": 7, "column": 3, "endColumn": 12, "source": "  telemetry:",
    }  # fmt: skip


def test_an_absent_side_is_left_out_and_a_null_side_is_null() -> None:
    (change,) = json.loads(dump_plan(WHOLE))["stages"][1]
    assert change["fields"] == [
        {"path": ["url"], "before": "a", "after": "b"},
        {"path": ["body"], "before": None},
        {"path": ["enabled"], "after": False},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff", "not JSON"),
        ("[]", "its “format” is None"),
        ('"reconciler-plan/1"', "its “format” is None"),
        ('{"format": "reconciler-plan/2"}', "its “format” is 'reconciler-plan/2'"),
        ('{"format": "reconciler-plan/1"}', "damaged: KeyError"),
        ('{"format": "reconciler-plan/1", "environment": "e", "target": "t", "owner": "o", "base": 7}', "damaged"),
    ],
)
def test_what_is_no_plan_is_refused_with_a_sentence(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load_plan(text)


@pytest.mark.parametrize(
    ("written", "edited", "reason"),
    [
        ('"url": "b"', '"url": "https://evil.test"', "damaged: ValueError, the content of tracker/telemetry"),
        ('"kind": "delete"', '"kind": "obliterate"', "damaged: ValueError, unknown kind of change 'obliterate'"),
        ('"key": "tracker/alarms"', '"key": "tracker/telemetry"', "was altered"),
        ('"environment": "dev"', '"environment": "prod"', "was altered"),
        ('"target": "http://127.0.0.1:8460"', '"target": "http://127.0.0.2:8460"', "was altered"),
        ('"owner": "cold-chain"', '"owner": "cold-store"', "was altered"),
    ],
)
def test_a_plan_that_was_edited_by_hand_is_refused(written: str, edited: str, reason: str) -> None:
    text = dump_plan(WHOLE).decode()
    assert written in text
    with pytest.raises(ValueError, match=reason):
        load_plan(text.replace(written, edited))


def test_the_digest_is_of_the_effect_alone() -> None:
    elsewhere = replace(UPDATE, origin=Span("other.yaml", 1, 1, 2, "x"), fields=())
    assert plan((elsewhere,)).digest == plan((UPDATE,)).digest
    assert plan((UPDATE,), collisions=WHOLE.collisions).digest == plan((UPDATE,)).digest
