"""What every target that numbers what it holds does with plans of every kind, and what it remembers for the next one.

The plans are made by hand: what files have to say for them is no part of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconciler.errors import PlanStale
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Change, Create, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Owned, Publication
from reconciler.model.snapshot import Applied, SecretState
from tests.conformance.target_rig import (
    FRIDGE,
    ONE,
    SECRET,
    WITH_SECRET,
    A,
    B,
    C,
    Place,
    adopt,
    carry_out,
    definition,
    delete,
    files,
    held,
    move,
    plan_of,
    publish,
    resecret,
    row,
    update,
)


async def test_what_is_moved_keeps_what_it_is_or_becomes_another_under_its_new_key(place: Place) -> None:
    await publish(place(), {**ONE, "tracker/b": B})
    made = await plan_of(
        place(),
        move("tracker", "beacon", {}, {"description": "renamed"}),
        move("tracker/a", "beacon/a", A),
        move("tracker/b", "beacon/c", B, C),
    )
    assert (await carry_out(place(), made)).succeeded
    assert await held(place()) == {"beacon": {"description": "renamed"}, "beacon/a": A, "beacon/c": C}
    newest, *_ = await place().history(limit=1)
    moved = {"beacon": "tracker", "beacon/a": "tracker/a", "beacon/c": "tracker/b"}
    assert {(kind, str(key)) for kind, key in newest.changes} == {("move", key) for key in moved}
    assert {str(key): str(source) for key, source in newest.sources.items()} == moved


async def test_what_is_adopted_belongs_to_the_adopter(place: Place) -> None:
    await publish(place(), FRIDGE, owner="cold-store")
    made = await plan_of(place(), adopt("fridge", {}), adopt("fridge/a", B, C))
    assert (await carry_out(place(), made)).succeeded
    assert await held(place()) == {"fridge": {}, "fridge/a": C}
    assert await held(place(), owner="cold-store") == {}
    (newest, *_) = await place().history(limit=1)
    assert {(kind, str(key)) for kind, key in newest.changes} == {("adopt", "fridge"), ("adopt", "fridge/a")}


@pytest.mark.parametrize("kind", ["update", "enable", "disable", "replace"])
async def test_whatever_an_update_is_called_it_is_made(place: Place, kind: Any) -> None:
    await publish(place(), ONE)
    changed = update("tracker/a", A, C)
    made = await plan_of(place(), Update(changed.key, changed.before, changed.after, (), None, kind=kind))
    assert [(receipt.kind, str(receipt.key)) for receipt in (await carry_out(place(), made)).done] == [
        (kind, "tracker/a")
    ]
    assert await held(place()) == {"tracker": {}, "tracker/a": C}


MOVED: Mapping[str, tuple[Sequence[Change], Sequence[Mapping[str, Any]], str]] = {
    "updated behind an update": ([update("tracker/a", A, B)], [row("update", "tracker/a", A, C)], "cold-chain"),
    "moved behind an update": (
        [update("tracker/a", A, B)],
        [row("move", "tracker/x", A, A, **{"from": "tracker/a"})],
        "cold-chain",
    ),
    "moved behind a delete": (
        [delete("tracker/a", A)],
        [row("move", "tracker/x", A, A, **{"from": "tracker/a"})],
        "cold-chain",
    ),
    "moved there behind a create": (
        [Create(Key("tracker", "x"), definition("tracker/x", A), None)],
        [row("move", "tracker/x", A, A, **{"from": "tracker/a"})],
        "cold-chain",
    ),
    "adopted behind an update": (
        [update("tracker/a", A, B)],
        [
            row("adopt", "tracker", {}, {}, **{"from": "cold-chain"}),
            row("adopt", "tracker/a", A, A, **{"from": "cold-chain"}),
        ],
        "cold-store",
    ),
    "updated behind a move": ([move("tracker/a", "tracker/x", A)], [row("update", "tracker/a", A, C)], "cold-chain"),
    "deleted behind a move": ([move("tracker/a", "tracker/x", A)], [row("delete", "tracker/a", A)], "cold-chain"),
    "moved behind a move": (
        [move("tracker/a", "tracker/x", A)],
        [row("move", "tracker/y", A, A, **{"from": "tracker/a"})],
        "cold-chain",
    ),
    "moved alike behind a move": (
        [move("tracker/a", "tracker/x", A)],
        [row("move", "tracker/x", A, A, **{"from": "tracker/a"})],
        "cold-chain",
    ),
    "new key taken behind a move": (
        [move("tracker/a", "tracker/x", A)],
        [row("create", "tracker/x", None, B)],
        "cold-chain",
    ),
    "callback came behind a move of its device type": (
        [move("tracker", "beacon", {}), move("tracker/a", "beacon/a", A)],
        [row("create", "tracker/x", None, B)],
        "cold-chain",
    ),
    "updated behind an adoption": (
        [adopt("fridge", {}), adopt("fridge/a", B)],
        [row("update", "fridge/a", B, C)],
        "cold-store",
    ),
    "deleted behind an adoption": (
        [adopt("fridge", {}), adopt("fridge/a", B)],
        [row("delete", "fridge/a", B)],
        "cold-store",
    ),
    "adopted by a third behind an adoption": (
        [adopt("fridge", {}), adopt("fridge/a", B)],
        [
            row("adopt", "fridge", {}, {}, **{"from": "cold-store"}),
            row("adopt", "fridge/a", B, B, **{"from": "cold-store"}),
        ],
        "somebody",
    ),
    "adopted alike behind an adoption": (
        [adopt("fridge", {}), adopt("fridge/a", B)],
        [
            row("adopt", "fridge", {}, {}, **{"from": "cold-store"}),
            row("adopt", "fridge/a", B, B, **{"from": "cold-store"}),
        ],
        "cold-chain",
    ),
    "callback came behind an adoption of its device type": (
        [adopt("fridge", {}), adopt("fridge/a", B)],
        [row("create", "fridge/x", None, B)],
        "cold-store",
    ),
}


@pytest.mark.parametrize("case", list(MOVED))
async def test_whatever_a_plan_does_to_something_that_moved_it_is_stale(place: Place, case: str) -> None:
    changes, meanwhile, owner = MOVED[case]
    await publish(place(), ONE)
    await publish(place(), FRIDGE, owner="cold-store")
    made = await plan_of(place(), *changes)
    await place().refuse_if_moved(made)
    await place.edit(*meanwhile, owner=owner, by="bob")
    before = await place().observe("cold-chain", {})
    if not case.startswith("callback came"):  # that, only the place itself finds out
        with pytest.raises(PlanStale):
            await place().refuse_if_moved(made)
    report = await carry_out(place(), made)
    assert isinstance(report.error, PlanStale) or isinstance(report.failed[0].error, PlanStale)
    assert await place().observe("cold-chain", {}) == before


async def test_whatever_a_plan_does_edits_elsewhere_leave_it_valid(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET, "tracker/b": B, "other": {}, "other/a": A})
    await publish(place(), FRIDGE, owner="cold-store")
    place.secrets[SECRET] = "another-value"
    made = await plan_of(
        place(), move("tracker/b", "tracker/c", B), adopt("fridge", {}), adopt("fridge/a", B), await resecret(place())
    )
    await place.edit(row("update", "other/a", A, C), row("create", "other/b", None, B), owner="cold-chain", by="bob")
    await place.edit(row("create", "lamp", None, {}), owner="somebody", by="eve")
    await place().refuse_if_moved(made)
    assert (await carry_out(place(), made)).succeeded
    assert await held(place()) == {
        "tracker": {},
        "tracker/a": WITH_SECRET,
        "tracker/c": B,
        "other": {},
        "other/a": C,
        "other/b": B,
        **FRIDGE,
    }


# What files brought about, and what was changed behind them


async def test_where_files_were_never_applied_nothing_is_remembered(place: Place) -> None:
    await place.edit(row("create", "tracker", None, {}), owner="cold-chain", by="bob")
    observed = await place().observe("cold-chain", {})
    assert (observed.applied, observed.blame) == (None, {})
    assert [str(key) for key in observed.digests] == ["tracker"]


async def test_right_after_an_apply_nothing_has_drifted(place: Place) -> None:
    await publish(place(), ONE)
    observed = await place().observe("cold-chain", {})
    assert observed.applied == Applied(1, observed.digests, {})
    assert observed.blame == {}


async def test_what_was_changed_behind_the_files_is_told_with_what_it_was_and_by_whom(place: Place) -> None:
    before: Mapping[str, Content] = {"tracker": {}, **{f"tracker/{name}": A for name in ("a", "b", "c", "d", "e")}}
    await publish(place(), before)
    await publish(place(), FRIDGE, owner="cold-store")
    await place.edit(row("update", "tracker/a", A, B), row("delete", "tracker/b", A), owner="cold-chain", by="bob")
    await place.edit(
        row("update", "tracker/a", B, C), row("create", "tracker/x", None, B), owner="cold-chain", by="eve"
    )
    await place.edit(row("move", "tracker/y", A, A, **{"from": "tracker/c"}), owner="cold-chain", by="joe")
    await place.edit(row("update", "tracker/d", A, B), owner="cold-chain", by="bob")
    await place.edit(row("update", "tracker/d", B, A), owner="cold-chain", by="bob")  # as if nothing had been
    observed = await place().observe("cold-chain", {})
    assert observed.applied is not None
    assert observed.applied.revision == 1
    assert {str(key) for key in observed.applied.digests} == before.keys()
    assert {str(k): d.content for k, d in observed.applied.contents.items()} == {
        f"tracker/{name}": A for name in ("a", "b", "c")
    }
    assert {str(key): (blame.by, blame.revision) for key, blame in observed.blame.items()} == {
        "tracker/a": ("eve", 4),
        "tracker/b": ("bob", 3),
        "tracker/c": ("joe", 5),
        "tracker/x": ("eve", 4),
        "tracker/y": ("joe", 5),
    }
    assert all(blame.at is not None for blame in observed.blame.values())
    assert {str(key): d.content for key, d in observed.definitions.items()} == await held(place())


async def test_what_another_project_took_has_vanished_from_what_files_brought_about(place: Place) -> None:
    await publish(place(), ONE)
    await place.edit(
        row("adopt", "tracker", {}, {}, **{"from": "cold-chain"}),
        row("adopt", "tracker/a", A, A, **{"from": "cold-chain"}),
        owner="cold-store",
        by="eve",
    )
    observed = await place().observe("cold-chain", {})
    assert observed.digests == {}
    assert observed.applied is not None
    assert observed.applied.digests.keys() == observed.applied.contents.keys() == observed.blame.keys()
    assert {str(key): (blame.by, blame.revision) for key, blame in observed.blame.items()} == {
        "tracker": ("eve", 2),
        "tracker/a": ("eve", 2),
    }


async def test_the_next_apply_is_what_counts_from_then_on(place: Place) -> None:
    await publish(place(), ONE)
    await place.edit(row("update", "tracker/a", A, B), owner="cold-chain", by="bob")
    await publish(place(), {"tracker": {}, "tracker/a": C})
    await publish(place(), FRIDGE, owner="cold-store", by="eve")
    observed = await place().observe("cold-chain", {})
    assert observed.applied == Applied(3, observed.digests, {})
    assert observed.blame == {}


async def test_history_tells_what_carried_out_which_plan(place: Place) -> None:
    target = place()
    made = await plan_of(target, Create(Key("tracker"), definition("tracker", {}), None))
    async with target.writer(made, Publication(None, "ana", via="rollback")) as writer:
        await writer.write(made.changes[0])
    await publish(place(), {"tracker": {"description": "new"}})
    await place.edit(row("delete", "tracker", {"description": "new"}), owner="cold-chain", by="bob")
    told = [(entry.owner, entry.publication.via, entry.publication.plan) for entry in await place().history(limit=3)]
    assert [told[0], told[2]] == [("cold-chain", "", ""), ("cold-chain", "rollback", "5b" * 16)]
    assert told[1][:2] == ("cold-chain", "apply")
    assert len(told[1][2]) == 32


# Secrets


async def test_a_secret_is_told_by_fingerprint_with_the_callbacks_that_refer_to_it(place: Place) -> None:
    place.secrets[SECRET] = "first-value"
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET, "tracker/b": A, "tracker/c": WITH_SECRET})
    await publish(place(), {"fridge": {}, "fridge/a": WITH_SECRET}, owner="cold-store")
    ours, theirs = await place().observe("cold-chain", {}), await place().observe("cold-store", {})
    published = ours.secrets[SECRET].published
    assert published is not None
    assert ours.secrets == {SECRET: SecretState(published, published, (Key("tracker", "a"), Key("tracker", "c")))}
    assert theirs.secrets == {SECRET: SecretState(published, published, (Key("fridge", "a"),))}
    assert (await place().observe("nobody", {})).secrets == {}


async def test_another_value_of_a_secret_is_a_change_until_it_is_applied(place: Place) -> None:
    place.secrets[SECRET] = "first-value"
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET})
    place.secrets[SECRET] = "second-value"
    await publish(place(), {"fridge": {}, "fridge/a": WITH_SECRET}, owner="cold-store")
    changed = await resecret(place())
    assert changed.before != changed.after
    report = await carry_out(place(), await plan_of(place(), changed))
    assert report.succeeded
    assert [(receipt.kind, receipt.key) for receipt in report.done] == [("resecret", Key("tracker", "a"))]
    applied = await resecret(place())
    assert (applied.before, applied.after) == (changed.after, changed.after)


async def test_a_secret_without_a_value_is_told_as_such(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET})
    assert (await place().observe("cold-chain", {})).secrets == {
        SECRET: SecretState(None, None, (Key("tracker", "a"),))
    }


async def test_a_plan_is_stale_when_a_secret_of_it_has_a_third_value(place: Place) -> None:
    place.secrets[SECRET] = "first-value"
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET, "tracker/b": A})
    place.secrets[SECRET] = "second-value"
    changes: list[Change] = [await resecret(place()), update("tracker/b", A, B)]
    alone, both = await plan_of(place(), changes[0]), await plan_of(place(), *changes)
    place.secrets[SECRET] = "third-value"
    for made in (alone, both):
        report = await carry_out(place(), made)
        assert isinstance(report.error, PlanStale) or isinstance(report.failed[0].error, PlanStale)
    assert len(await place().history(limit=10)) == 1


async def test_a_plan_that_records_a_secret_is_applied_once(place: Place) -> None:
    place.secrets[SECRET] = "first-value"
    await publish(place(), {"tracker": {}, "tracker/a": WITH_SECRET})
    place.secrets[SECRET] = "second-value"
    made = await plan_of(place(), await resecret(place()))
    assert (await carry_out(place(), made)).succeeded
    report = await carry_out(place(), made)
    assert isinstance(report.error, PlanStale) or isinstance(report.failed[0].error, PlanStale)


# Looking back


def whole(contents: Mapping[str, Content]) -> Mapping[Key, Definition]:
    return files(contents).definitions


async def test_everything_that_was_held_as_of_a_revision_comes_back_with_its_owners(place: Place) -> None:
    await publish(place(), ONE)
    await publish(place(), FRIDGE, owner="cold-store")
    await publish(place(), {"tracker": {"description": "new"}})
    assert await place().everything(0) == {}
    assert await place().everything(2) == {
        key: Owned(definition, owner)
        for contents, owner in ((ONE, "cold-chain"), (FRIDGE, "cold-store"))
        for key, definition in whole(contents).items()
    }
    assert await place().everything(4) is None


async def test_an_earlier_revision_is_observed_like_the_current_one(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A, "tracker/b": B, "tracker/c": C})
    await publish(place(), FRIDGE, owner="cold-store")
    await publish(place(), {"tracker": {}, "tracker/a": B, "tracker/c": C, "tracker/d": A})
    now = await place().observe("cold-chain", None)
    assert now.definitions == {}
    then = await place().as_of(2, "cold-chain", now.digests)
    assert then is not None
    assert then.digests == {
        k: d.digest for k, d in whole({"tracker": {}, "tracker/a": A, "tracker/b": B, "tracker/c": C}).items()
    }
    assert then.definitions == whole({"tracker/a": A, "tracker/b": B})
    assert then.foreign == {Key("fridge"): "cold-store", Key("fridge", "a"): "cold-store"}
    assert then.fingerprint.revision == 2
    blind = await place().as_of(2, "cold-chain", None)
    assert blind == replace(then, definitions={})
    a = Key("tracker", "a")
    assert await place().contents(2, {a: then.digests[a]}) == whole({"tracker/a": A})
    first = await place().as_of(1, "cold-store", {})
    assert first is not None
    assert (first.digests, first.definitions) == ({}, {})
    assert await place().as_of(4, "cold-chain", None) is None


async def test_history_goes_on_before_any_revision(place: Place) -> None:
    for url in (A, B, C):
        await publish(place(), {"tracker": {}, "tracker/a": url})
    entries = await place().history(limit=3)
    assert await place().history(limit=1, before=3) == entries[1:2]
    assert await place().history(limit=5, before=2) == entries[2:]
    assert await place().history(limit=5, before=1) == ()
