"""Plans ⇄ JSON, and the digest of what a plan would do.

1. A plan file is for people and programs alike: it says `"format": "reconciler-plan/1"`, names its fields as the other
   JSON of this project does, and holds whole contents, so that it can be reviewed and applied elsewhere and later.
2. The digest is over the effect: environment, target, owner, and each change's kind, key, expected digest and new
   digest. Files, lines, comments, order, and what others own have no part in it. Approving a plan means approving it.
3. Reading back gives an equal plan or a ValueError: every content is held against its digest, and the whole against
   the plan's, so that a file that was edited by hand is not applied.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import orjson

from reconciler.codec.canonical import canonical_json, content_digest, digest_of
from reconciler.diagnostics import Span
from reconciler.model.definition import Definition, JsonValue
from reconciler.model.plan import Change, Collision, Create, Delete, FieldChange, Plan, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Fingerprint

__all__ = ["FORMAT", "dump_plan", "load_plan", "plan_digest"]

FORMAT = "reconciler-plan/1"


def plan_digest(changes: Iterable[Change], *, environment: str, target: str, owner: str) -> str:
    """The digest of the effect of `changes`, in whatever order they come."""
    effects: list[JsonValue] = [*sorted(_effect(change) for change in changes)]
    return digest_of("plan/1", canonical_json([environment, target, owner, effects]))


def _effect(change: Change) -> tuple[str, str, str, str]:
    match change:
        case Create(key=key, after=after):
            return str(key), "create", "", after.digest
        case Update(key=key, after=after):
            return str(key), "update", change.expects, after.digest
        case Delete(key=key):
            return str(key), "delete", change.expects, ""
        case _:
            assert_never(change)


def dump_plan(plan: Plan) -> bytes:
    """The JSON that `load_plan` reads back, indented for reviewers, with a line break at its end."""
    kinds = Counter(change.kind for change in plan.changes)
    tree: dict[str, JsonValue] = {
        "format": FORMAT,
        "environment": plan.environment,
        "target": plan.target,
        "owner": plan.owner,
        "digest": plan.digest,
        "base": {"revision": plan.base.revision, "digest": plan.base.digest},
        "summary": {kind: kinds[kind] for kind in ("create", "update", "delete")},
        "stages": [[_dump_change(change) for change in stage] for stage in plan.stages],
        "collisions": [{"key": str(c.key), "owner": c.owner, "origin": _dump_span(c.origin)} for c in plan.collisions],
    }
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load_plan(text: bytes | str) -> Plan:
    """Read what `dump_plan` wrote; ValueError with a sentence when it is anything else."""
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"This is not a plan file: it is not JSON ({error}).") from error
    found = tree.get("format") if isinstance(tree, dict) else None
    if found != FORMAT:
        raise ValueError(f"This is not a plan file of the form {FORMAT}: its “format” is {found!r}.")
    try:
        plan = _load(tree)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"This plan file is damaged: {type(error).__name__}, {error}.") from error
    digest = plan_digest(plan.changes, environment=plan.environment, target=plan.target, owner=plan.owner)
    if digest != plan.digest:
        raise ValueError(f"This plan file was altered: it says digest {plan.digest}, its changes have {digest}.")
    return plan


def _load(tree: Mapping[str, Any]) -> Plan:
    return Plan(
        environment=tree["environment"],
        target=tree["target"],
        owner=tree["owner"],
        base=Fingerprint(revision=int(tree["base"]["revision"]), digest=tree["base"]["digest"]),
        stages=tuple(tuple(_load_change(change) for change in stage) for stage in tree["stages"]),
        digest=tree["digest"],
        collisions=tuple(
            Collision(Key.parse(c["key"]), c["owner"], _load_span(c["origin"])) for c in tree["collisions"]
        ),
    )


def _dump_change(change: Change) -> dict[str, JsonValue]:
    head: dict[str, JsonValue] = {"kind": change.kind, "key": str(change.key)}
    match change:
        case Create(after=after, origin=origin):
            return head | {"after": _dump_definition(after), "origin": _dump_span(origin)}
        case Update(before=before, after=after, fields=fields, origin=origin):
            return head | {
                "before": _dump_definition(before),
                "after": _dump_definition(after),
                "fields": [_dump_field(field) for field in fields],
                "origin": _dump_span(origin),
            }
        case Delete(before=before):
            return head | {"before": _dump_definition(before)}
        case _:
            assert_never(change)


def _load_change(tree: Mapping[str, Any]) -> Change:
    key = Key.parse(tree["key"])
    match tree["kind"]:
        case "create":
            return Create(key, _load_definition(key, tree["after"]), _load_span(tree["origin"]))
        case "update":
            before, after = _load_definition(key, tree["before"]), _load_definition(key, tree["after"])
            fields = tuple(_load_field(field) for field in tree["fields"])
            return Update(key, before, after, fields, _load_span(tree["origin"]))
        case "delete":
            return Delete(key, _load_definition(key, tree["before"]))
        case kind:
            raise ValueError(f"unknown kind of change {kind!r}")


def _dump_definition(definition: Definition) -> JsonValue:
    return {"digest": definition.digest, "content": definition.content}


def _load_definition(key: Key, tree: Mapping[str, Any]) -> Definition:
    definition = Definition(key, tree["content"], tree["digest"])
    if content_digest(definition.content) != definition.digest:
        raise ValueError(f"the content of {key} does not have the digest that stands beside it")
    return definition


def _dump_field(field: FieldChange) -> JsonValue:
    """A side that is absent is left out; a side that is null is null."""
    row: dict[str, JsonValue] = {"path": field.path}
    if not field.added:
        row["before"] = field.before
    if not field.removed:
        row["after"] = field.after
    return row


def _load_field(row: Mapping[str, Any]) -> FieldChange:
    return FieldChange(
        path=tuple(row["path"]),
        before=row.get("before"),
        after=row.get("after"),
        added="before" not in row,
        removed="after" not in row,
    )


def _dump_span(span: Span | None) -> JsonValue:
    if span is None:
        return None
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "endColumn": span.end_column,
        "source": span.source,
    }


def _load_span(tree: Mapping[str, Any] | None) -> Span | None:
    if tree is None:
        return None
    return Span(tree["file"], tree["line"], tree["column"], tree["endColumn"], tree["source"])
