"""What every target does, whatever it is made of. A new target is one more entry in `target_rig.PLACES`."""

from collections.abc import Mapping

import pytest

from reconciler.errors import PlanStale
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Plan
from reconciler.model.revision import Publication
from reconciler.targets.protocol import Target
from tests.conformance.target_rig import (
    ONE,
    A,
    B,
    C,
    Place,
    callback,
    carry_out,
    files,
    held,
    observe,
    plan,
    publish,
    told,
)


async def test_a_place_that_was_never_written_holds_nothing(place: Place) -> None:
    observed = await place().observe("cold-chain", {})
    assert (observed.digests, observed.definitions, observed.foreign) == ({}, {}, {})


async def test_what_was_applied_is_observed(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A})
    assert await held(place()) == {"tracker": {}, "tracker/a": A}


async def test_the_plan_after_an_apply_is_empty(place: Place) -> None:
    desired = files({"tracker": {"description": "ünïcode ✓"}, "tracker/a": {**A, "headers": {"X-B": "2", "X-A": "1"}}})
    await carry_out(place(), await plan(place(), desired))
    assert (await plan(place(), desired)).is_empty


async def test_creates_updates_and_deletes_come_into_force(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A, "tracker/b": B, "old": {}, "old/a": A})
    made = await plan(place(), files({"tracker": {}, "tracker/a": C, "tracker/c": C}))
    assert told(made.changes) == [
        "update tracker/a",
        "create tracker/c",
        "delete old/a",
        "delete tracker/b",
        "delete old",
    ]
    report = await carry_out(place(), made)
    assert report.succeeded
    assert await held(place()) == {"tracker": {}, "tracker/a": C, "tracker/c": C}


async def test_digests_come_for_all_and_contents_only_for_what_is_not_known(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A, "tracker/b": B, "tracker/c": C})
    observed = await observe(place(), files({"tracker": {}, "tracker/a": A, "tracker/b": C}))
    assert sorted(map(str, observed.digests)) == ["tracker", "tracker/a", "tracker/b", "tracker/c"]
    assert {str(key): d.content for key, d in observed.definitions.items()} == {"tracker/b": B, "tracker/c": C}


async def test_digests_are_those_of_the_contents(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A})
    observed = await place().observe("cold-chain", {})
    assert observed.digests == {key: d.digest for key, d in observed.definitions.items()}
    assert observed.definitions == {
        key: Definition(key, d.content, d.digest)
        for key, d in files({"tracker": {}, "tracker/a": A}).definitions.items()
    }


async def test_what_others_own_is_foreign(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A})
    await publish(place(), {"fridge": {}, "fridge/a": B}, owner="cold-store")
    ours, theirs = await place().observe("cold-chain", {}), await place().observe("cold-store", {})
    assert sorted(map(str, ours.digests)) == ["tracker", "tracker/a"]
    assert {str(key): owner for key, owner in ours.foreign.items()} == {
        "fridge": "cold-store",
        "fridge/a": "cold-store",
    }
    assert sorted(map(str, theirs.digests)) == ["fridge", "fridge/a"]


async def test_applying_what_others_declare_leaves_them_alone(place: Place) -> None:
    await publish(place(), {"fridge": {}, "fridge/a": B}, owner="cold-store")
    made = await plan(place(), files({"tracker": {}, "fridge": {}, "fridge/a": A}))
    assert told(made.changes) == ["create tracker"]
    assert [str(collision.key) for collision in made.collisions] == ["fridge", "fridge/a"]
    assert (await carry_out(place(), made)).succeeded
    assert await held(place(), owner="cold-store") == {"fridge": {}, "fridge/a": B}


async def test_observing_and_planning_write_nothing(place: Place) -> None:
    await publish(place(), {"tracker": {}})
    before = await place().observe("cold-chain", {})
    await plan(place(), files({"tracker": {}, "tracker/a": A}))
    assert await place().observe("cold-chain", {}) == before
    assert len(await place().history(limit=10)) == 1


async def test_the_fingerprint_tells_states_apart_and_stays_while_nothing_changes(place: Place) -> None:
    target = place()
    empty = (await target.observe("cold-chain", {})).fingerprint
    await publish(target, {"tracker": {}})
    first = (await target.observe("cold-chain", {})).fingerprint
    assert first == (await place().observe("cold-store", {})).fingerprint
    await publish(target, {"tracker": {"description": "new"}})
    assert len({empty, first, (await target.observe("cold-chain", {})).fingerprint}) == 3


async def test_history_tells_who_did_what_newest_first(place: Place) -> None:
    made = await plan(place(), files({"tracker": {}, "tracker/a": A}))
    await carry_out(place(), made, by="ana", commit="abc123", note="first")
    await carry_out(place(), await plan(place(), files({"tracker": {}})), by="bob")
    newest, first = await place().history(limit=10)
    assert (first.publication.by, first.publication.commit, first.publication.note) == ("ana", "abc123", "first")
    assert sorted((kind, str(key)) for kind, key in first.changes) == [("create", "tracker"), ("create", "tracker/a")]
    assert [(kind, str(key)) for kind, key in newest.changes] == [("delete", "tracker/a")]
    assert newest.publication.by == "bob"
    assert newest.publication.at is not None
    assert first.publication.at is not None
    assert newest.publication.at >= first.publication.at
    assert newest.number > first.number


async def test_history_is_cut_where_asked(place: Place) -> None:
    for url in (A, B, C):
        await publish(place(), {"tracker": {}, "tracker/a": url})
    assert [entry.number for entry in await place().history(limit=2)] == [
        entry.number for entry in await place().history(limit=10)
    ][:2]


# What the files of the plan declare, and what somebody else applies before it; both start from ONE.
STALE: Mapping[str, tuple[Mapping[str, Content], Mapping[str, Content]]] = {
    "updated behind an update": ({"tracker": {}, "tracker/a": B}, {"tracker": {}, "tracker/a": C}),
    "deleted behind an update": ({"tracker": {}, "tracker/a": B}, {"tracker": {}}),
    "updated behind a delete": ({"tracker": {}}, {"tracker": {}, "tracker/a": C}),
    "deleted behind a delete": ({"tracker": {}}, {"tracker": {}}),
    "created behind a create": ({**ONE, "tracker/b": B}, {**ONE, "tracker/b": C}),
    "created behind a create, alike": ({**ONE, "tracker/b": B}, {**ONE, "tracker/b": B}),
    "device type left behind a create": ({**ONE, "tracker/b": B}, {}),
    "callback came behind the delete of its device type": ({}, {**ONE, "tracker/b": B}),
}


@pytest.mark.parametrize("case", list(STALE))
async def test_a_plan_is_stale_once_something_it_touches_has_moved(place: Place, case: str) -> None:
    goal, meanwhile = STALE[case]
    await publish(place(), ONE)
    made = await plan(place(), files(goal))
    await publish(place(), meanwhile, by="bob")
    before = await place().observe("cold-chain", {})
    report = await carry_out(place(), made)
    assert isinstance(report.error, PlanStale) or isinstance(report.failed[0].error, PlanStale)
    assert await place().observe("cold-chain", {}) == before


async def test_a_plan_is_stale_when_another_project_took_the_name(place: Place) -> None:
    made = await plan(place(), files({"tracker": {}}))
    await publish(place(), {"tracker": {}}, owner="cold-store")
    report = await carry_out(place(), made)
    assert isinstance(report.error, PlanStale) or isinstance(report.failed[0].error, PlanStale)
    assert await held(place(), owner="cold-store") == {"tracker": {}}


async def test_edits_elsewhere_leave_a_plan_valid(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A, "beacon": {}})
    made = await plan(place(), files({"tracker": {}, "tracker/a": B, "beacon": {}}))
    await publish(place(), {"tracker": {}, "tracker/a": A, "beacon": {}, "beacon/a": C}, by="bob")
    await publish(place(), {"fridge": {}}, owner="cold-store")
    report = await carry_out(place(), made)
    assert report.succeeded
    assert await held(place()) == {"tracker": {}, "tracker/a": B, "beacon": {}, "beacon/a": C}
    assert await held(place(), owner="cold-store") == {"fridge": {}}


async def test_a_plan_is_applied_once(place: Place) -> None:
    made = await plan(place(), files({"tracker": {}, "tracker/a": A}))
    assert (await carry_out(place(), made)).succeeded
    assert not (await carry_out(place(), made)).succeeded


async def test_an_atomic_target_makes_a_plan_wholly_or_not_at_all(place: Place) -> None:
    await publish(place(), {"tracker": {}, "tracker/a": A, "tracker/b": B})
    made = await plan(place(), files({"tracker": {}, "tracker/a": C, "tracker/b": C, "beacon": {}}))
    await publish(place(), {"tracker": {}, "tracker/a": A, "tracker/b": A})
    target = place()
    report = await carry_out(target, made)
    assert not target.atomic or (report.done == () and report.not_tried == made.changes and report.revision is None)
    assert not target.atomic or await held(place()) == {"tracker": {}, "tracker/a": A, "tracker/b": A}


async def test_a_writer_of_an_atomic_target_knows_its_revision_after_the_exit(place: Place) -> None:
    target = place()
    made = await plan(target, files({"tracker": {}}))
    async with target.writer(made, Publication(None, "ana")) as writer:
        receipts = [await writer.write(change) for change in made.changes]
        assert writer.revision is None
    assert [(receipt.kind, str(receipt.key)) for receipt in receipts] == [("create", "tracker")]
    newest, *_ = await target.history(limit=1)
    assert writer.revision == (newest.number if target.atomic else None)


class Interrupted(Exception):
    """Something that goes wrong between two changes."""


async def _write_and_fail(target: Target, made: Plan) -> None:
    async with target.writer(made, Publication(None, "ana")) as writer:
        for change in made.changes:
            await writer.write(change)
        raise Interrupted


async def test_an_exception_before_the_exit_abandons_what_an_atomic_target_gathered(place: Place) -> None:
    target = place()
    made = await plan(target, files({"tracker": {}, "tracker/a": A}))
    with pytest.raises(Interrupted):
        await _write_and_fail(target, made)
    assert await held(place()) == ({} if target.atomic else {"tracker": {}, "tracker/a": A})


async def test_a_writer_that_was_given_nothing_publishes_nothing(place: Place) -> None:
    target = place()
    made = await plan(target, files({"tracker": {}}))
    async with target.writer(made, Publication(None, "ana")) as writer:
        pass
    assert writer.revision is None
    assert await target.history(limit=10) == ()


async def test_an_empty_plan_publishes_nothing(place: Place) -> None:
    report = await carry_out(place(), await plan(place(), files({})))
    assert report.succeeded
    assert report.revision is None
    assert await place().history(limit=10) == ()


async def test_a_thousand_definitions_are_one_apply_and_one_observation(place: Place) -> None:
    contents: dict[str, Content] = {f"tracker/c{n}": callback(f"https://a.example.com/{n}") for n in range(1_000)}
    contents["tracker"] = {}
    await publish(place(), contents)
    assert await held(place()) == contents
