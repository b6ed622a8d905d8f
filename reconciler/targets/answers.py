"""The engine's JSON and our values: what revisions hold, what history tells, what a publication says. Pure.

Reading raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for an answer of another shape; the caller
knows what to make of those (`EngineObserver.understanding`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from reconciler.model.definition import JsonValue
from reconciler.model.plan import Adopt, Change, Create, Delete, Move, Plan, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry, Publication
from reconciler.model.snapshot import SecretState

__all__ = ["Held", "held_in", "history_in", "proposal_json", "secret_states"]


@dataclass(frozen=True, slots=True)
class Held:
    """What a revision holds, as far as one bulk read tells.

    Attributes:
        owner: the project that published it.
        definitions: key → digest and owner.
        secrets: by name, whoever's definitions refer to them; empty where the engine does not tell.
    """

    number: int
    digest: str
    owner: str
    publication: Publication
    definitions: Mapping[Key, tuple[str, str]]
    secrets: Mapping[str, SecretState]

    def digests_of(self, owner: str) -> Mapping[Key, str]:
        """The digests of what a project owns."""
        return {key: digest for key, (digest, owned_by) in self.definitions.items() if owned_by == owner}

    def foreign_to(self, owner: str) -> Mapping[Key, str]:
        """What others own, key → owner."""
        return {key: owned_by for key, (_, owned_by) in self.definitions.items() if owned_by != owner}


def held_in(body: Mapping[str, Any]) -> Held:
    """What an engine says about a revision."""
    keys = {text: Key.parse(text) for text in body["definitions"]}
    return Held(
        number=int(body["number"]),
        digest=body["digest"],
        owner=body["owner"],
        publication=_publication(body),
        definitions={keys[text]: (held["digest"], held["owner"]) for text, held in body["definitions"].items()},
        secrets={
            name: SecretState(state["published"], state["current"], tuple(keys[text] for text in state["definitions"]))
            for name, state in body.get("secrets", {}).items()
        },
    )


def secret_states(current: Held, applied: Held | None, *, owner: str) -> Mapping[str, SecretState]:
    """The secrets that a project's definitions refer to.

    What counts as published is what was recorded when its files were applied: a later publication, by whomever, has
    fingerprints of its own, and must not make a changed secret look known.
    """
    recorded = {} if applied is None else applied.secrets
    return {
        name: SecretState(recorded.get(name, state).published, state.current, callbacks)
        for name, state in current.secrets.items()
        if (callbacks := _owned_by(owner, state.callbacks, current))
    }


def _owned_by(owner: str, keys: Collection[Key], held: Held) -> tuple[Key, ...]:
    return tuple(key for key in keys if held.definitions[key][1] == owner)


def history_in(body: Mapping[str, Any]) -> tuple[HistoryEntry, ...]:
    """What an engine says about its history."""
    return tuple(_entry(row) for row in body["revisions"])


def _entry(row: Mapping[str, Any]) -> HistoryEntry:
    changes = [(change["kind"], Key.parse(change["key"]), change.get("from")) for change in row["changes"]]
    return HistoryEntry(
        number=row["number"],
        digest=row["digest"],
        publication=_publication(row),
        changes=tuple((kind, key) for kind, key, _ in changes),
        owner=row["owner"],
        sources={key: Key.parse(source) for _, key, source in changes if source is not None},
    )


def _publication(row: Mapping[str, Any]) -> Publication:
    at = row["publishedAt"]
    return Publication(
        at=None if at is None else datetime.fromisoformat(at),
        by=row["publishedBy"],
        commit=row["commit"],
        note=row["note"],
        via=row["via"],
        plan=row["plan"],
    )


def proposal_json(plan: Plan, publication: Publication, changes: Sequence[Change]) -> JsonValue:
    """What publishing these changes of a plan asks of an engine."""
    secrets: JsonValue = {change.name: change.after for change in changes if isinstance(change, Resecret)}
    return {
        "owner": plan.owner,
        "by": publication.by,
        "commit": publication.commit,
        "note": publication.note,
        "via": publication.via,
        "plan": publication.plan,
        **({"secrets": secrets} if secrets else {}),
        "changes": [*_change_rows(changes)],
    }


def _change_rows(changes: Iterable[Change]) -> Iterable[Mapping[str, JsonValue]]:
    for change in changes:
        key = str(change.key)
        match change:
            case Create(after=after):
                yield {"kind": "create", "key": key, "after": after.content}
            case Update(expects=expects, after=after):
                yield {"kind": "update", "key": key, "expects": expects, "after": after.content}
            case Delete(expects=expects):
                yield {"kind": "delete", "key": key, "expects": expects}
            case Move(before=before, after=after):
                left = str(before.key)
                yield {"kind": "move", "key": key, "from": left, "expects": before.digest, "after": after.content}
            case Adopt(expects=expects, after=after, taken_from=taken_from):
                yield {"kind": "adopt", "key": key, "from": taken_from, "expects": expects, "after": after.content}
            case Resecret():
                continue  # its fingerprint is recorded with every publication
            case _:
                assert_never(change)
