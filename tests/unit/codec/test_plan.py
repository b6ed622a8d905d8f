"""The plan file, by example; the round trip of every plan is in `tests/property/test_plan_laws.py`."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pytest

from reconciler.codec.canonical import define
from reconciler.codec.plan import dump_plan, load_plan, plan_digest
from reconciler.config.published import schema_of
from reconciler.diagnostics import Span
from reconciler.model.plan import (
    KINDS,
    Adopt,
    Change,
    Collision,
    Create,
    Delete,
    Drift,
    FieldChange,
    Move,
    Plan,
    Reason,
    Rename,
    Resecret,
    Update,
    UpdateKind,
)
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame, Fingerprint

TRACKER, TELEMETRY, ALARMS = Key("tracker"), Key("tracker", "telemetry"), Key("tracker", "alarms")
OLD, FRIDGE = Key("tracker", "old"), Key("fridge")
HERE = Span("tracker.yaml", 7, 3, 12, "  telemetry:")


def plan(*stages: tuple[Change, ...]) -> Plan:
    changes = [change for stage in stages for change in stage]
    digest = plan_digest(changes, environment="dev", target="http://127.0.0.1:8460", owner="cold-chain")
    return Plan("dev", "http://127.0.0.1:8460", "cold-chain", Fingerprint(7, "00ff"), stages, digest)


UPDATE = Update(
    TELEMETRY,
    define(TELEMETRY, {"url": "a", "body": None, "headers": {"A": "1"}}),
    define(TELEMETRY, {"url": "b", "enabled": False, "headers": {"B": "1"}}),
    (
        FieldChange(("url",), "a", "b"),
        FieldChange(("headers", "A"), "1", None, removed=True),
        FieldChange(("headers", "B"), None, "1", added=True),
        FieldChange(("body",), None, None, removed=True),
        FieldChange(("enabled",), None, False, added=True),
    ),
    HERE,
    Reason.EDITED_AND_DRIFTED,
)
MOVE = Move(
    ALARMS, define(OLD, {"url": "a"}), define(ALARMS, {}), (FieldChange(("url",), "a", None, removed=True),), HERE
)
ADOPT = Adopt(FRIDGE, define(FRIDGE, {}), define(FRIDGE, {}), "cold-store", (), None)
RESECRET = Resecret(TELEMETRY, "INGEST_TOKEN", "1f", "2e", (TELEMETRY, ALARMS))
CREATE = Create(TRACKER, define(TRACKER, {}), None, Reason.VANISHED)
DELETE = Delete(Key("tracker", "gone"), define(Key("tracker", "gone"), {"url": "é", "headers": {"A": "1"}}))
WHOLE = replace(
    plan((CREATE, ADOPT), (UPDATE, MOVE), (RESECRET,), (DELETE,)),
    collisions=(Collision(Key("lock"), "cold-store", HERE), Collision(Key("valve"), "", None, moved_to=Key("tap"))),
    drift=(
        Drift(ALARMS, None, define(ALARMS, {}), (), False, None, "appeared"),
        Drift(OLD, define(OLD, {}), None, (), True, Blame("bob", 6, None), "vanished"),
        Drift(
            TELEMETRY, define(TELEMETRY, {"url": "x"}), UPDATE.before,
            (FieldChange(("url",), "x", "a"), FieldChange(("body",), None, None, added=True),
             FieldChange(("headers",), None, {"A": "1"}, added=True)),
            True, Blame("bob", 6, datetime(2026, 11, 23, 14, 19, 18, 250_000, tzinfo=UTC)), "changed",
        ),
    ),
    left=(Key("beacon"), Key("beacon", "a")),
    renames=(Rename(OLD, ALARMS, "moved:\n  - {from: old, to: alarms}", "tracker.yaml"),),
)  # fmt: skip


def test_a_plan_reads_back_equal() -> None:
    assert load_plan(dump_plan(WHOLE)) == WHOLE


def test_a_plan_of_nothing_reads_back_equal() -> None:
    assert load_plan(dump_plan(plan())) == plan()


@pytest.mark.parametrize("kind", ["update", "enable", "disable", "replace"])
def test_an_update_keeps_its_kind(kind: UpdateKind) -> None:
    once = plan((replace(UPDATE, kind=kind),))
    assert load_plan(dump_plan(once)) == once


def test_a_plan_file_is_as_its_published_schema_says() -> None:
    for each in (WHOLE, plan()):
        jsonschema.validate(json.loads(dump_plan(each)), schema_of("Plan"))


def test_a_plan_file_is_readable_by_programs() -> None:
    tree = json.loads(dump_plan(WHOLE))
    assert tree["format"] == "reconciler-plan/2"
    ones = {"create", "update", "move", "adopt", "resecret", "delete"}
    assert tree["summary"] == {kind: int(kind in ones) for kind in KINDS}
    assert tree["base"] == {"revision": 7, "digest": "00ff"}
    assert tree["left"] == ["beacon", "beacon/a"]
    assert tree["stages"][0][0] == {
        "kind": "create",
        "key": "tracker",
        "reason": "vanished",
        "after": {"digest": define(TRACKER, {}).digest, "content": {}},
        "origin": None,
    }
    assert tree["stages"][1][0]["origin"] == {
        "file": "tracker.yaml", "line": 7, "column": 3, "endColumn": 12, "source": "  telemetry:",
    }  # fmt: skip
    assert (tree["stages"][1][1]["from"], tree["stages"][0][1]["takenFrom"]) == ("tracker/old", "cold-store")
    assert tree["stages"][2][0] == {
        "kind": "resecret",
        "key": "tracker/telemetry",
        "reason": "secret-changed",
        "name": "INGEST_TOKEN",
        "before": "1f",
        "after": "2e",
        "callbacks": ["tracker/telemetry", "tracker/alarms"],
    }
    assert tree["drift"][2]["blame"] == {"by": "bob", "revision": 6, "at": "2026-11-23T14:19:18.250000+00:00"}


def test_an_absent_side_is_left_out_and_a_null_side_is_null() -> None:
    change = json.loads(dump_plan(WHOLE))["stages"][1][0]
    assert change["fields"] == [
        {"path": ["url"], "before": "a", "after": "b"},
        {"path": ["headers", "A"], "before": "1"},
        {"path": ["headers", "B"], "after": "1"},
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
        ('"reconciler-plan/2"', "its “format” is None"),
        ('{"format": 2}', "its “format” is 2"),
        (
            '{"format": "reconciler-plan/1"}',
            "is 'reconciler-plan/1'. Another version of reconciler saved it: plan again",
        ),
        ('{"format": "reconciler-plan/2"}', "damaged: at environment: Field required"),
        (
            '{"format": "reconciler-plan/2", "environment": 7}',
            "damaged: at environment: Input should be a valid string",
        ),
    ],
)
def test_what_is_no_plan_is_refused_with_a_sentence(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load_plan(text)


@pytest.mark.parametrize(
    ("written", "edited", "reason"),
    [
        ('"url": "b"', '"url": "https://evil.test"', "damaged: the content of tracker/telemetry does not have"),
        ('"before": "a",', '"before": "z",', "damaged: the fields of tracker/telemetry do not say"),
        ('"after": "b"', '"after": "z"', "damaged: the fields of tracker/telemetry do not say"),
        ('"after": false', '"after": true', "damaged: the fields of tracker/telemetry do not say"),
        ('"before": "x"', '"before": "y"', "damaged: the fields of tracker/telemetry do not say"),
        ('"headers",\n              "B"', '"headers",\n              "C"', "damaged: the fields of tracker/telemetry"),
        ('"headers",\n              "B"', '"url",\n              "B"', "damaged: the fields of tracker/telemetry"),
        ('"kind": "delete"', '"kind": "obliterate"', "damaged: at stages.3.0: Input tag 'obliterate'"),
        ('"kind": "update"', '"kind": "enable"', "was altered: it says digest"),
        ('"kind": "vanished"', '"kind": "appeared"', "damaged: the drift of tracker/old is not what its contents say"),
        ('"reason": "moved"', '"reason": "because"', "damaged: at stages.1.1.move.reason: Input should be 'declared',"),
        ('"line": 7,', '"line": 0,', "damaged: not a place in a file"),
        ('"line": 7,', '"line": "7",', "damaged: at stages.1.0.update.origin.line: Input should be a valid integer"),
        ('"at": "2026', '"at": "now', "damaged: Invalid isoformat"),
        ('"key": "tracker/gone"', '"key": "tracker/telemetry"', "was altered"),
        ('"from": "tracker/old"', '"from": "tracker/older"', "was altered"),
        ('"takenFrom": "cold-store"', '"takenFrom": "cold-stack"', "was altered"),
        ('"after": "2e"', '"after": "3d"', "was altered"),
        ('"name": "INGEST_TOKEN"', '"name": "OTHER"', "was altered"),
        ('"delete": 1', '"delete": 0', "was altered: its summary does not count its changes"),
        ('"delete": 1', '"delete": 1, "obliterate": 0', "damaged: at summary.obliterate: Extra inputs"),
        ('"environment": "dev"', '"environment": "prod"', "was altered"),
        ('"target": "http://127.0.0.1:8460"', '"target": "http://127.0.0.2:8460"', "was altered"),
        ('"owner": "cold-chain"', '"owner": "cold-store"', "was altered"),
    ],
)  # fmt: skip
def test_a_plan_that_was_edited_by_hand_is_refused(written: str, edited: str, reason: str) -> None:
    text = dump_plan(WHOLE).decode()
    assert written in text
    with pytest.raises(ValueError, match=reason):
        load_plan(text.replace(written, edited))


@pytest.mark.parametrize("rows", [(), UPDATE.fields[1:], (*UPDATE.fields, FieldChange((), None, None))])
def test_rows_that_do_not_tell_everything_are_refused(rows: tuple[FieldChange, ...]) -> None:
    with pytest.raises(ValueError, match="the fields of tracker/telemetry do not say how its content changes"):
        load_plan(dump_plan(plan((replace(UPDATE, fields=rows),))))


OTHER = define(TELEMETRY, {"url": "elsewhere"})
EFFECTS: list[Change] = [
    CREATE,
    replace(CREATE, after=OTHER),
    replace(CREATE, key=FRIDGE),
    UPDATE,
    *(replace(UPDATE, kind=kind) for kind in ("enable", "disable", "replace")),
    replace(UPDATE, before=OTHER),
    replace(UPDATE, after=OTHER),
    MOVE,
    replace(MOVE, before=define(TELEMETRY, {"url": "a"})),
    replace(MOVE, before=define(OLD, {"url": "b"})),
    replace(MOVE, after=OTHER),
    ADOPT,
    replace(ADOPT, taken_from=""),
    replace(ADOPT, before=OTHER),
    replace(ADOPT, after=OTHER),
    RESECRET,
    replace(RESECRET, after="3d"),
    replace(RESECRET, after=None),
    replace(RESECRET, name="OTHER"),
    DELETE,
    replace(DELETE, before=OTHER),
]


def test_every_effect_has_a_digest_of_its_own() -> None:
    assert len({plan((each,)).digest for each in EFFECTS}) == len(EFFECTS)


def test_the_digest_is_of_the_effect_alone() -> None:
    told = (
        replace(UPDATE, origin=Span("other.yaml", 1, 1, 2, "x"), fields=(), reason=Reason.DRIFTED),
        replace(CREATE, origin=HERE, reason=Reason.DECLARED),
        replace(MOVE, origin=None, fields=()),
        replace(RESECRET, before="0d", callbacks=(ALARMS,)),
        replace(DELETE, reason=Reason.APPEARED),
        ADOPT,
    )
    assert plan(told).digest == WHOLE.digest
    assert plan(tuple(reversed(told))).digest == WHOLE.digest
