"""Where each change of an unfinished apply stands, and what stands against carrying on."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.apply.rest import standing, surprises
from reconciler.codec.canonical import define
from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint, Observed, SecretState

A, B = Key("tracker", "a"), Key("tracker", "b")
OLD, NEW = define(A, {"url": "old"}), define(A, {"url": "new"})
OTHER = define(A, {"url": "other"})
MOVED = define(B, {"url": "new"})

CREATE = Create(A, NEW, None)
UPDATE = Update(A, OLD, NEW, (), None)
DELETE = Delete(A, OLD)
MOVE = Move(B, OLD, MOVED, (), None)
ADOPT = Adopt(A, OLD, NEW, "access", (), None)
RESECRET = Resecret(A, "TOKEN", "old", "new", (A,))


def observed(
    held: Mapping[Key, str] | None = None, foreign: Mapping[Key, str] | None = None, secret: str | None = "old"
) -> Observed:
    secrets = {"TOKEN": SecretState(secret, "new", (A,))}
    return Observed(held or {}, {}, foreign or {}, Fingerprint(0, ""), secrets=secrets)


STANDINGS: Mapping[str, tuple[Change, Observed]] = {
    "open: create, nothing there": (CREATE, observed()),
    "made: create, what it makes": (CREATE, observed({A: NEW.digest})),
    "moved: create, something else": (CREATE, observed({A: OTHER.digest})),
    "moved: create, another project's": (CREATE, observed(foreign={A: "access"})),
    "open: update, what it changes": (UPDATE, observed({A: OLD.digest})),
    "made: update, what it leads to": (UPDATE, observed({A: NEW.digest})),
    "moved: update, something else": (UPDATE, observed({A: OTHER.digest})),
    "moved: update, nothing": (UPDATE, observed()),
    "open: delete, what it deletes": (DELETE, observed({A: OLD.digest})),
    "made: delete, nothing": (DELETE, observed()),
    "made: delete, another project's by now": (DELETE, observed(foreign={A: "access"})),
    "moved: delete, something else": (DELETE, observed({A: OTHER.digest})),
    "open: move, under the old key": (MOVE, observed({A: OLD.digest})),
    "made: move, under the new key": (MOVE, observed({B: MOVED.digest})),
    "moved: move, under both": (MOVE, observed({A: OLD.digest, B: MOVED.digest})),
    "moved: move, under neither": (MOVE, observed()),
    "moved: move, something else under the old key": (MOVE, observed({A: OTHER.digest})),
    "moved: move, the new key is another project's": (MOVE, observed({A: OLD.digest}, {B: "access"})),
    "open: adopt, the other project's": (ADOPT, observed(foreign={A: "access"})),
    "open: adopt, nobody's": (replace(ADOPT, taken_from=""), observed(foreign={A: ""})),
    "made: adopt, ours": (ADOPT, observed({A: NEW.digest})),
    "moved: adopt, a third project's": (ADOPT, observed(foreign={A: "cold-store"})),
    "moved: adopt, ours and something else": (ADOPT, observed({A: OTHER.digest})),
    "moved: adopt, nothing": (ADOPT, observed()),
    "open: secret, as published before": (RESECRET, observed(secret="old")),
    "made: secret, as published now": (RESECRET, observed(secret="new")),
    "moved: secret, a third value": (RESECRET, observed(secret="third")),
    "made: secret, nothing refers to it any more": (RESECRET, replace(observed(), secrets={})),
}


@pytest.mark.parametrize("case", STANDINGS)
def test_where_a_change_stands_is_seen_at_the_target(case: str) -> None:
    assert standing(*STANDINGS[case]) == case.partition(":")[0]


def a_plan(*changes: Change) -> Plan:
    return Plan("dev", "here", "cold-chain", Fingerprint(0, ""), (changes,), "d")


def test_what_moved_is_told_with_what_was_expected_and_what_is_there() -> None:
    plan = a_plan(UPDATE, Delete(B, define(B, {"url": "old"})), replace(ADOPT, key=Key("door")))
    found = surprises(plan, observed({A: OTHER.digest, B: MOVED.digest}))
    assert [(str(each.key), each.how) for each in found] == [
        ("tracker/a", f"expected digest {OLD.digest}, or {NEW.digest}, found digest {OTHER.digest}"),
        ("tracker/b", f"expected digest {OLD.digest}, or nothing, found digest {MOVED.digest}"),
        ("door", f"expected digest {OLD.digest}, or {NEW.digest}, found nothing"),
    ]


def test_what_is_foreign_or_under_its_old_key_is_told_so() -> None:
    plan = a_plan(MOVE, replace(CREATE, key=Key("door")))
    found = surprises(plan, observed({A: OTHER.digest}, {Key("door"): "access"}))
    assert [each.how for each in found] == [
        f"expected digest {OLD.digest}, or {MOVED.digest}, found digest {OTHER.digest} under tracker/a",
        f"expected nothing, or digest {NEW.digest}, found a definition of the project access",
    ]


def test_what_was_made_and_is_not_there_any_more_is_a_surprise() -> None:
    plan = a_plan(CREATE, DELETE)
    assert surprises(a_plan(CREATE), observed()) == ()
    assert [each.how for each in surprises(plan, observed({A: OLD.digest}), frozenset({1}))][1:] == [
        "the delete was made, and somebody undid it since"
    ]


def test_a_secret_of_a_third_value_is_a_surprise() -> None:
    (found,) = surprises(a_plan(RESECRET), observed(secret="third"))
    assert found.how == "expected the secret TOKEN as it was, or as it is, found another value"
