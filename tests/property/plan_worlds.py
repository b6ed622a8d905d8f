"""What files declare, what a target holds, and what the files had brought about: generated, with names that are few.

The target is a revision, and carrying out a plan is `next_revision`, without I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from reconciler.codec.canonical import define, revision_digest
from reconciler.diagnostics import Span
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Owned, Problem, Publication, Revision, next_revision
from reconciler.model.snapshot import Applied, Desired, Fingerprint, Observed, SecretState
from reconciler.plan.planner import make_plan

OURS, THEIRS = "cold-chain", "cold-store"
TARGET = "http://127.0.0.1:8460"

# It matters that contents are often equal, and not what they are.
contents: st.SearchStrategy[Content] = st.sampled_from(
    [
        {},
        {"url": "a"},
        {"url": "a", "enabled": False},
        {"url": "b", "type": "error"},
        {"headers": {"A": "1", "": "2"}, "channel": "email", "protect": True},
        {"body": "é\n", "x": [1.5, {}]},
    ]
)
device_types = st.sampled_from(["beacon", "fridge", "tracker", "valve"])
callbacks = st.sampled_from(["alarms", "log", "telemetry"])
secret_names = st.sampled_from(["KEY", "TOKEN"])
fingerprints = st.sampled_from([None, "1f", "2e"])


@dataclass(frozen=True, slots=True)
class World:
    """The files, the revision at the target, and the digests and contents that the files had brought about."""

    desired: Desired
    revision: Revision
    applied: Mapping[Key, Definition] | None
    secrets: Mapping[str, SecretState]


@st.composite
def definition_sets(draw: st.DrawFn, names: st.SearchStrategy[str] = device_types) -> dict[Key, Definition]:
    """Device types with their callbacks: no callback without its device type."""
    keys: dict[Key, None] = {}
    for name, own in draw(st.dictionaries(names, st.sets(callbacks))).items():
        keys[Key(name)] = None
        keys |= dict.fromkeys(Key(name, callback) for callback in sorted(own))
    return {key: define(key, draw(contents)) for key in keys}


@st.composite
def moves(draw: st.DrawFn) -> dict[Key, Key]:
    """Entries of `moved`, also such as no loader would let pass: chains, and two that lead to one."""
    of_device_types = st.tuples(device_types.map(Key), device_types.map(Key))
    of_callbacks = st.builds(
        lambda name, old, new: (Key(name, old), Key(name, new)), device_types, callbacks, callbacks
    )
    pairs = draw(st.lists(of_device_types | of_callbacks, max_size=3))
    return {old: new for old, new in pairs if old != new}


def _steer(declared: dict[Key, Definition], ours: dict[Key, Definition], moved: Mapping[Key, Key]) -> None:
    """Make the entries do something: what stands under an old key is declared under the new one, and only there."""
    for old, new in moved.items():
        if old not in ours:
            continue
        for key in [key for key in declared if old in (key, key.parent)]:
            del declared[key]
        for key in [key for key in ours if new in (key, key.parent)]:
            del ours[key]
        for key in [key for key in ours if old in (key, key.parent)]:
            other = new if key == old else Key(new.device_type, key.callback)
            if other.parent == other or other.parent in declared:
                declared.setdefault(other, define(other, ours[key].content))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    declared = draw(definition_sets())
    theirs_at = draw(st.sets(device_types, max_size=2))
    ours = {key: d for key, d in draw(definition_sets()).items() if key.device_type not in theirs_at}
    theirs = {key: d for key, d in draw(definition_sets()).items() if key.device_type in theirs_at}
    moved = draw(moves())
    steered: bool = draw(st.booleans())
    if ours and steered:
        for old in draw(st.lists(st.sampled_from(sorted(ours)), min_size=1, max_size=2)):
            new = Key(old.device_type, draw(callbacks)) if old.callback else Key(draw(device_types))
            moved |= {old: new} if old != new else {}
        _steer(declared, ours, moved)
    # Half of the time something is held exactly as declared, or as it was applied.
    ours |= {key: declared[key] for key in sorted(ours.keys() & declared.keys()) if draw(st.booleans())}
    applied = draw(st.none() | definition_sets())
    if applied is not None:
        applied |= {key: ours[key] for key in sorted(ours) if draw(st.booleans())}
        applied |= {key: declared[key] for key in sorted(applied.keys() & declared.keys()) if draw(st.booleans())}
    owned = {key: Owned(d, OURS) for key, d in ours.items()} | {key: Owned(d, THEIRS) for key, d in theirs.items()}
    revision = Revision(draw(st.integers(1, 99)), revision_digest(owned.items()), owned, Publication(None, "ana"))
    users = sorted(key for key in ours if key.callback)
    secrets = {
        name: SecretState(draw(fingerprints), draw(fingerprints), tuple(key for key in users if draw(st.booleans())))
        for name in sorted(draw(st.sets(secret_names)))
    }
    desired = Desired(
        OURS,
        declared,
        {key: Span(f"{key.device_type}.yaml", line, 1, 2, str(key)) for line, key in enumerate(declared, 1)},
        moved,
        frozenset(draw(st.sets(device_types, max_size=2))),
    )
    return World(desired, revision, applied, secrets)


def observe(world: World, *, owner: str = OURS) -> Observed:
    """What a target tells about itself: contents only where they are not known."""
    known = world.desired.definitions
    ours = {key: o.definition for key, o in world.revision.owned.items() if o.owner == owner}
    digests = {key: d.digest for key, d in ours.items()}
    applied = None
    if world.applied is not None:
        drifted = {key: d for key, d in world.applied.items() if digests.get(key) != d.digest}
        applied = Applied(1, {key: d.digest for key, d in world.applied.items()}, drifted)
    return Observed(
        digests=digests,
        definitions={key: d for key, d in ours.items() if key not in known or known[key].digest != d.digest},
        foreign={key: o.owner for key, o in world.revision.owned.items() if o.owner != owner},
        fingerprint=Fingerprint(world.revision.number, world.revision.digest),
        applied=applied,
        secrets=world.secrets,
    )


def planned(world: World) -> Plan:
    return make_plan(world.desired, observe(world), environment="dev", target=TARGET)


def amendment(change: Change) -> Amendment | None:
    """What a target makes of a change; a secret's new value is no definition's."""
    match change:
        case Create(key=key, after=after):
            return Amendment("create", key, None, after)
        case Update(key=key, after=after):
            return Amendment("update", key, change.expects, after)
        case Delete(key=key):
            return Amendment("delete", key, change.expects, None)
        case Move(key=key, before=before, after=after):
            return Amendment("move", key, change.expects, after, source=before.key)
        case Adopt(key=key, after=after, taken_from=owner):
            return Amendment("adopt", key, change.expects, after, taken_from=owner)
        case Resecret():
            return None


def amended(revision: Revision, changes: Sequence[Change], *, owner: str = OURS) -> Revision | tuple[Problem, ...]:
    """The revision that a target makes of the changes."""
    return next_revision(
        revision,
        [each for change in changes if (each := amendment(change)) is not None],
        owner=owner,
        publication=Publication(None, "ana", via="apply"),
        digest=revision_digest,
    )


def carried_out(world: World, plan: Plan) -> World:
    """The world after the plan was applied; an empty plan publishes nothing."""
    if plan.is_empty:
        return world
    revision = amended(world.revision, plan.changes)
    assert isinstance(revision, Revision), revision
    return replace(
        world,
        revision=revision,
        applied={key: o.definition for key, o in revision.owned.items() if o.owner == OURS},
        secrets={name: replace(state, published=state.current) for name, state in world.secrets.items()},
    )
