"""Plans ⇄ JSON, and the digest of what a plan would do.

1. A plan file is for people and programs alike: it says `"format": "reconciler-plan/2"`, names its fields as the other
   JSON of this project does (`codec.plan_form`), and holds whole contents, so that it can be reviewed and applied
   elsewhere and later. No secret is in it: contents refer to secrets by name, and a changed one is two fingerprints.
2. The digest is over the effect: environment, target, owner, and of each change its kind, key, former key or owner,
   expected digest and new digest; of a secret its name and new fingerprint. Files, lines, comments, order, reasons,
   drift and advice have no part in it. Approving a plan means approving its digest.
3. Reading back gives an equal plan or a ValueError. Every content is held against its digest, the rows that a reader
   sees against the contents, and the whole against the plan's digest: what was edited by hand is not applied, and what
   is shown is what is done.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias, assert_never

import orjson

from reconciler.codec.canonical import canonical_json, digest_of
from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
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
    Rename,
    Resecret,
    Update,
)
from reconciler.model.snapshot import Blame

__all__ = ["FORMAT", "dump_plan", "load_plan", "plan_digest"]

FORMAT: Final = "reconciler-plan/2"
_ANY_FORMAT: Final = "reconciler-plan/"

_Row: TypeAlias = dict[str, JsonValue]


def plan_digest(changes: Iterable[Change], *, environment: str, target: str, owner: str) -> str:
    """The digest of the effect of `changes`, in whatever order they come."""
    effects: list[JsonValue] = [*sorted(_effect(change) for change in changes)]
    return digest_of("plan/2", canonical_json([environment, target, owner, effects]))


def _effect(change: Change) -> tuple[str, str, str, str, str]:
    """Key, kind, where it comes from, what has to be there, what will be there."""
    match change:
        case Create(key=key, after=after):
            return str(key), change.kind, "", "", after.digest
        case Update(key=key, after=after):
            return str(key), change.kind, "", change.expects, after.digest
        case Delete(key=key):
            return str(key), change.kind, "", change.expects, ""
        case Move(key=key, before=before, after=after):
            return str(key), change.kind, str(before.key), change.expects, after.digest
        case Adopt(key=key, taken_from=taken_from, after=after):
            return str(key), change.kind, taken_from, change.expects, after.digest
        case Resecret(key=key, name=name, after=fingerprint):
            return str(key), change.kind, name, "", fingerprint or ""
        case _:
            assert_never(change)


def dump_plan(plan: Plan) -> bytes:
    """The JSON that `load_plan` reads back, indented for reviewers, with a line break at its end."""
    tree: _Row = {
        "format": FORMAT,
        "environment": plan.environment,
        "target": plan.target,
        "owner": plan.owner,
        "digest": plan.digest,
        "base": {"revision": plan.base.revision, "digest": plan.base.digest},
        "summary": _summary(plan),
        "stages": [[_change(change) for change in stage] for stage in plan.stages],
        "drift": [_drift(drift) for drift in plan.drift],
        "left": [str(key) for key in plan.left],
        "renames": [_rename(rename) for rename in plan.renames],
        "collisions": [_collision(collision) for collision in plan.collisions],
    }
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load_plan(text: bytes | str) -> Plan:
    """Read what `dump_plan` wrote; ValueError with a sentence when it is anything else."""
    # Imported here: pydantic takes 70 ms, and planning needs none of it.
    from reconciler.codec.plan_reading import read_plan

    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"This is not a plan file: it is not JSON ({error}).") from error
    found = tree.get("format") if isinstance(tree, dict) else None
    if found != FORMAT:
        again = " Another version of reconciler saved it: plan again." if str(found).startswith(_ANY_FORMAT) else ""
        raise ValueError(f"This is not a plan file of the form {FORMAT}: its “format” is {found!r}.{again}")
    try:
        plan = read_plan(tree)
    except ValueError as error:
        raise ValueError(f"This plan file is damaged: {error}.") from error
    digest = plan_digest(plan.changes, environment=plan.environment, target=plan.target, owner=plan.owner)
    if digest != plan.digest:
        raise ValueError(f"This plan file was altered: it says digest {plan.digest}, its changes have {digest}.")
    if tree["summary"] != _summary(plan):
        raise ValueError("This plan file was altered: its summary does not count its changes.")
    return plan


def _summary(plan: Plan) -> _Row:
    kinds = Counter(change.kind for change in plan.changes)
    return {kind: kinds[kind] for kind in KINDS}


def _change(change: Change) -> _Row:
    head: _Row = {"kind": change.kind, "key": str(change.key), "reason": str(change.reason)}
    match change:
        case Create(after=after, origin=origin):
            return head | {"after": _definition(after), "origin": _span(origin)}
        case Update():
            return head | _before_and_after(change)
        case Delete(before=before):
            return head | {"before": _definition(before)}
        case Move(before=before):
            return head | {"from": str(before.key)} | _before_and_after(change)
        case Adopt(taken_from=taken_from):
            return head | {"takenFrom": taken_from} | _before_and_after(change)
        case Resecret(name=name, before=old, after=new, callbacks=callbacks):
            return head | {"name": name, "before": old, "after": new, "callbacks": [str(key) for key in callbacks]}
        case _:
            assert_never(change)


def _before_and_after(change: Update | Move | Adopt) -> _Row:
    return {
        "before": _definition(change.before),
        "after": _definition(change.after),
        "fields": [_field(field) for field in change.fields],
        "origin": _span(change.origin),
    }


def _definition(definition: Definition) -> _Row:
    return {"digest": definition.digest, "content": definition.content}


def _field(field: FieldChange) -> _Row:
    """A side that is absent is left out; a side that is null is null."""
    row: _Row = {"path": field.path}
    if not field.added:
        row["before"] = field.before
    if not field.removed:
        row["after"] = field.after
    return row


def _span(span: Span | None) -> JsonValue:
    if span is None:
        return None
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "endColumn": span.end_column,
        "source": span.source,
    }


def _drift(drift: Drift) -> _Row:
    return {
        "key": str(drift.key),
        "kind": drift.kind,
        "before": None if drift.before is None else _definition(drift.before),
        "after": None if drift.after is None else _definition(drift.after),
        "fields": [_field(field) for field in drift.fields],
        "undone": drift.undone,
        "blame": None if drift.blame is None else _blame(drift.blame),
    }


def _blame(blame: Blame) -> _Row:
    return {"by": blame.by, "revision": blame.revision, "at": None if blame.at is None else blame.at.isoformat()}


def _rename(rename: Rename) -> _Row:
    return {"before": str(rename.before), "after": str(rename.after), "file": rename.file, "lines": rename.lines}


def _collision(collision: Collision) -> _Row:
    return {
        "key": str(collision.key),
        "owner": collision.owner,
        "origin": _span(collision.origin),
        "movedTo": None if collision.moved_to is None else str(collision.moved_to),
    }
