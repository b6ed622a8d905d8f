"""What a reader is shown first."""

import pytest

from reconciler.cli.render.plan_risk import TITLES, Risk, by_risk, risk_of
from reconciler.codec.canonical import define
from reconciler.model.plan import Adopt, Change, Create, Delete, FieldChange, Move, Reason, Resecret, Update, UpdateKind
from reconciler.model.resource import Key
from tests.builders import TELEMETRY, a_definition

SAME = a_definition()


def field(name: str, before: object, after: object) -> FieldChange:
    """None is a side that is absent."""
    path = tuple(name.split("."))
    return FieldChange(path, before, after, added=before is None, removed=after is None)  # type: ignore[arg-type]


def update(*fields: FieldChange, kind: UpdateKind = "update", reason: Reason = Reason.EDITED) -> Update:
    return Update(TELEMETRY, SAME, SAME, fields, None, reason, kind)


@pytest.mark.parametrize(
    ("changed", "risk"),
    [
        (field("url", "http://a/x", "https://a/x"), Risk.DESTINATION),
        (field("url", "http://a/x", "http://b/x"), Risk.DESTINATION),
        (field("url", "http://a/x", "http://a:81/x"), Risk.DESTINATION),
        (field("url", "http://a/x", "http://a/y?b=c"), Risk.CONTENT),
        (field("url", "http://A/x", "http://a/x"), Risk.CONTENT),  # another spelling of the same host
        (field("url", "http://u:p@a/x", "http://u:q@a/x"), Risk.SECRET),
        (field("url", "http://u:***@a/x", "http://u:***@a/x"), Risk.SECRET),
        (field("url", "a", "b"), Risk.DESTINATION),
        (field("recipient", "a@x", "b@x"), Risk.DESTINATION),
        (field("method", "POST", "PUT"), Risk.DESTINATION),
        (field("enabled", None, False), Risk.SILENCE),
        (field("enabled", False, None), Risk.BEGINNING),
        (field("keepAlive", 7200, None), Risk.SILENCE),
        (field("keepAlive", 7200, 0), Risk.SILENCE),
        (field("keepAlive", None, 7200), Risk.CONTENT),
        (field("protect", True, None), Risk.EXPOSURE),
        (field("protect", None, True), Risk.CONTENT),
        (field("downlink.mode", "callback", "none"), Risk.ANSWER),
        (field("downlinkHook", True, None), Risk.ANSWER),
        (field("headers.Authorization", "Bearer a", "Bearer b"), Risk.SECRET),
        (field("headers.X-Key", "${secret.A}", "${secret.B}"), Risk.SECRET),
        (field("headers.X-Key", "a", "b"), Risk.CONTENT),
        (field("headers", {"X": "${secret.A}"}, None), Risk.SECRET),
        (field("body", "${secret.A} a", "${secret.A} b"), Risk.CONTENT),
        (field("description", "a", "b"), Risk.REMARK),
        (field("type", "error", "data/uplink"), Risk.REPLACEMENT),
    ],
)
def test_a_field_decides_how_grave_an_update_is(changed: FieldChange, risk: Risk) -> None:
    assert risk_of(update(changed)) is risk


def test_kinds_and_reasons_decide_where_fields_do_not() -> None:
    answers = define(TELEMETRY, {"downlinkHook": True})
    table: list[tuple[Change, Risk]] = [
        (Delete(TELEMETRY, SAME), Risk.LOSS),
        (Create(TELEMETRY, SAME, None), Risk.BEGINNING),
        (Create(TELEMETRY, answers, None), Risk.ANSWER),
        (Move(TELEMETRY, SAME, SAME, (), None), Risk.RENAMING),
        (Move(TELEMETRY, SAME, SAME, (field("method", "POST", "PUT"),), None), Risk.DESTINATION),
        (Adopt(TELEMETRY, SAME, SAME, "fleet", (), None), Risk.TAKEOVER),
        (Resecret(TELEMETRY, "K", None, None, ()), Risk.SECRET),
        (update(kind="replace"), Risk.REPLACEMENT),
        (update(kind="disable"), Risk.SILENCE),
        (update(kind="enable"), Risk.BEGINNING),
        (update(field("description", "a", "b"), reason=Reason.DRIFTED), Risk.OVERWRITE),
        (update(field("description", "a", "b"), reason=Reason.EDITED_AND_DRIFTED), Risk.OVERWRITE),
    ]
    for change, risk in table:
        assert risk_of(change) is risk


def test_the_gravest_of_all_fields_counts() -> None:
    assert risk_of(update(field("description", "a", "b"), field("protect", True, None))) is Risk.EXPOSURE


def test_groups_come_gravest_first_and_by_key_within() -> None:
    names = ["b", "a", "c"]
    deletes = [Delete(Key("t", name), SAME) for name in names]
    creates = [Create(Key("t", name), SAME, None) for name in names]
    groups = by_risk([*creates, *deletes])
    assert [(risk, [change.key.callback for change in group]) for risk, group in groups] == [
        (Risk.LOSS, ["a", "b", "c"]),
        (Risk.BEGINNING, ["a", "b", "c"]),
    ]


def test_each_risk_has_a_title_of_its_own() -> None:
    assert len(set(TITLES.values())) == len(TITLES) == len(Risk)
