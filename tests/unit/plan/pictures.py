"""What files declare and what a target holds, written as maps of key to content."""

from collections.abc import Collection, Mapping

from reconciler.codec.canonical import define, set_digest
from reconciler.diagnostics import Span
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Adopt, Change, Drift, Move, Plan, Resecret
from reconciler.model.resource import Key
from reconciler.model.snapshot import Applied, Blame, Desired, Fingerprint, Observed, SecretState
from reconciler.plan.planner import make_plan

OURS, THEIRS = "cold-chain", "cold-store"
TARGET = "http://127.0.0.1:8460"

Contents = Mapping[str, Content]


def definitions(contents: Contents) -> dict[Key, Definition]:
    return {Key.parse(name): define(Key.parse(name), content) for name, content in contents.items()}


def line_of(name: str) -> Span:
    """Where the files of these tests declare it."""
    return Span(f"device-types/{Key.parse(name).device_type}.yaml", 7, 3, 12, f"  {name}:")


def desired(
    contents: Contents, *, moved: Mapping[str, str] | None = None, removed: Collection[str] = (), owner: str = OURS
) -> Desired:
    return Desired(
        owner,
        definitions(contents),
        {Key.parse(name): line_of(name) for name in contents},
        {Key.parse(old): Key.parse(new) for old, new in (moved or {}).items()},
        frozenset(removed),
    )


def observed(
    contents: Contents,
    *,
    known: Desired,
    applied: Contents | None = None,
    foreign: Mapping[str, str] | None = None,
    secrets: Mapping[str, SecretState] | None = None,
    blame: Mapping[str, Blame] | None = None,
) -> Observed:
    """What a target tells: digests of everything, contents of what is not known, of the applied what drifted."""
    held = definitions(contents)
    digests = {key: definition.digest for key, definition in held.items()}
    last = None
    if applied is not None:
        before = definitions(applied)
        last = Applied(
            5,
            {key: definition.digest for key, definition in before.items()},
            {key: definition for key, definition in before.items() if digests.get(key) != definition.digest},
        )
    return Observed(
        digests=digests,
        definitions={
            key: definition
            for key, definition in held.items()
            if key not in known.definitions or known.definitions[key].digest != definition.digest
        },
        foreign={Key.parse(name): owner for name, owner in (foreign or {}).items()},
        fingerprint=Fingerprint(7, set_digest(digests)),
        applied=last,
        secrets=secrets or {},
        blame={Key.parse(name): each for name, each in (blame or {}).items()},
    )


def planned(
    files: Contents,
    held: Contents,
    *,
    applied: Contents | None = None,
    moved: Mapping[str, str] | None = None,
    removed: Collection[str] = (),
    foreign: Mapping[str, str] | None = None,
    secrets: Mapping[str, SecretState] | None = None,
    blame: Mapping[str, Blame] | None = None,
) -> Plan:
    """The plan for files, where a target holds `held` and the files had brought about `applied`."""
    declared = desired(files, moved=moved, removed=removed)
    seen = observed(held, known=declared, applied=applied, foreign=foreign, secrets=secrets, blame=blame)
    return make_plan(declared, seen, environment="dev", target=TARGET)


def told(plan: Plan) -> list[str]:
    """Each change in a line, in order: what is done to what, and why."""
    return [_told(change) for change in plan.changes]


def _told(change: Change) -> str:
    match change:
        case Move(before=before):
            what = f"move {before.key} to {change.key}"
        case Adopt(taken_from=owner):
            what = f"adopt {change.key} from {owner}"
        case Resecret(name=name):
            what = f"resecret {name} at {change.key}"
        case _:
            what = f"{change.kind} {change.key}"
    return f"{what}: {change.reason}"


def told_drift(drift: Drift) -> str:
    return f"{drift.key} {drift.kind}{', undone' if drift.undone else ''}"
