"""Desired and observed → a plan, by example; the laws are in `tests/property/test_plan_laws.py`."""

from reconciler.codec.canonical import define, set_digest
from reconciler.diagnostics import Span
from reconciler.model.definition import Content
from reconciler.model.plan import Create, Delete, FieldChange, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Fingerprint, Observed
from reconciler.plan.planner import make_plan

TRACKER, TELEMETRY, ALARMS = Key("tracker"), Key("tracker", "telemetry"), Key("tracker", "alarms")
HERE = Span("tracker.yaml", 7, 3, 12, "  telemetry:")


def desired(contents: dict[Key, Content]) -> Desired:
    definitions = {key: define(key, content) for key, content in contents.items()}
    return Desired("cold-chain", definitions, {TELEMETRY: HERE})


def observed(contents: dict[Key, Content], *, known: Desired, foreign: dict[Key, str] | None = None) -> Observed:
    """What a target tells: digests of everything, contents of what is not known."""
    held = {key: define(key, content) for key, content in contents.items()}
    digests = {key: definition.digest for key, definition in held.items()}
    unknown = {k: d for k, d in held.items() if k not in known.definitions or known.definitions[k] != d}
    return Observed(digests, unknown, foreign or {}, Fingerprint(7, set_digest(digests)))


def plan(files: dict[Key, Content], held: dict[Key, Content], *, foreign: dict[Key, str] | None = None) -> Plan:
    declared = desired(files)
    return make_plan(
        declared, observed(held, known=declared, foreign=foreign), environment="dev", target="http://127.0.0.1:8460"
    )


def test_what_is_new_changed_and_gone_becomes_a_create_an_update_and_a_delete() -> None:
    made = plan({TRACKER: {}, TELEMETRY: {"url": "b"}}, {TELEMETRY: {"url": "a"}, ALARMS: {"url": "c"}})
    before, after = define(TELEMETRY, {"url": "a"}), define(TELEMETRY, {"url": "b"})
    assert made.stages == (
        (Create(TRACKER, define(TRACKER, {}), None),),
        (Update(TELEMETRY, before, after, (FieldChange(("url",), "a", "b"),), HERE),),
        (Delete(ALARMS, define(ALARMS, {"url": "c"})),),
    )
    assert (made.environment, made.target, made.owner) == ("dev", "http://127.0.0.1:8460", "cold-chain")
    assert made.base.revision == 7


def test_what_is_as_declared_is_not_in_the_plan() -> None:
    made = plan({TRACKER: {}, TELEMETRY: {"url": "a"}}, {TELEMETRY: {"url": "a"}, TRACKER: {}})
    assert made.is_empty
    assert made.stages == ()


def test_an_empty_project_deletes_all_that_it_owns_and_nothing_else() -> None:
    made = plan({}, {TRACKER: {}, TELEMETRY: {}}, foreign={Key("fridge"): "cold-store"})
    assert [str(change.key) for change in made.changes] == ["tracker/telemetry", "tracker"]


def test_foreign_definitions_are_never_touched_even_when_declared() -> None:
    made = plan({TRACKER: {}, TELEMETRY: {}, Key("beacon"): {}}, {}, foreign={TRACKER: "cold-store"})
    assert [str(change.key) for change in made.changes] == ["beacon"]
    assert [str(collision.key) for collision in made.collisions] == ["tracker", "tracker/telemetry"]


def test_a_callback_of_ours_under_a_foreign_device_type_is_left_alone() -> None:
    made = plan({TRACKER: {}, TELEMETRY: {"url": "b"}}, {TELEMETRY: {"url": "a"}}, foreign={TRACKER: "cold-store"})
    assert made.is_empty
