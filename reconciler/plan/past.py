"""What a revision did, told as the changes of a plan, so that it reads like one.

Its entry in the history says which keys were changed and how; the contents before and after say the rest.
"""

from collections.abc import Iterator, Mapping

from reconciler.model.definition import Definition
from reconciler.model.plan import Adopt, Change, Create, Delete, FieldChange, Move, Reason, Update
from reconciler.model.resource import Key
from reconciler.model.revision import HistoryEntry
from reconciler.plan.diff import field_changes
from reconciler.plan.meaning import replaced, update_kind
from reconciler.plan.stages import staged

__all__ = ["changes_of"]


def changes_of(
    entry: HistoryEntry, before: Mapping[Key, Definition], after: Mapping[Key, Definition], former: Mapping[Key, str]
) -> tuple[Change, ...]:
    """The changes that made a revision, in the order of a plan's stages.

    `before` and `after` hold the contents of what it changed, whoever owned them; `former` the owner of what it took
    over.
    """
    changes = [change for kind, key in entry.changes for change in _change(kind, key, entry, before, after, former)]
    return tuple(change for stage in staged(changes) for change in stage)


def _change(
    kind: str,
    key: Key,
    entry: HistoryEntry,
    before: Mapping[Key, Definition],
    after: Mapping[Key, Definition],
    former: Mapping[Key, str],
) -> Iterator[Change]:
    old, new = before.get(entry.sources.get(key, key)), after.get(key)
    match kind:
        case "create" if new is not None:
            yield Create(key, new, None)
        case "delete" if old is not None:
            yield Delete(key, old)
        case "update" if old is not None and new is not None:
            reason = replaced(old, new) or Reason.EDITED
            yield Update(key, old, new, _fields(old, new), None, reason, update_kind(old, new))
        case "move" if old is not None and new is not None:
            yield Move(key, old, new, _fields(old, new), None)
        case "adopt" if old is not None and new is not None:
            yield Adopt(key, old, new, former.get(key, ""), _fields(old, new), None)
        case _:
            pass


def _fields(old: Definition, new: Definition) -> tuple[FieldChange, ...]:
    return field_changes(old.content, new.content)
