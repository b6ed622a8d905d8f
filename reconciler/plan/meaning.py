"""What it means that a definition has another content: a word for the reader, and what the limits count.

1. A callback of another type fires on other events, and one of another channel sends in another way: nothing of what
   it did stays, so it counts as replaced, whatever else differs.
2. A callback that differs in nothing but `enabled` is switched on or off.
"""

from reconciler.codec.canonical import canonical_json
from reconciler.model.definition import CALLBACK_DEFAULTS, Content, Definition
from reconciler.model.plan import Adopt, Change, Move, Reason, Update, UpdateKind

__all__ = ["replaced", "replaces", "update_kind"]


def update_kind(before: Definition, after: Definition) -> UpdateKind:
    """What to call an update."""
    if replaced(before, after) is not None:
        return "replace"
    was, is_ = _enabled(before.content), _enabled(after.content)
    if was is is_ or not before.key.callback or not isinstance(was, bool) or not isinstance(is_, bool):
        return "update"
    same = canonical_json({**before.content, "enabled": is_}) == canonical_json({**after.content, "enabled": is_})
    return ("enable" if is_ else "disable") if same else "update"


def replaced(before: Definition, after: Definition) -> Reason | None:
    """Why nothing stays of what a callback did; None when something does."""
    if not before.key.callback:
        return None
    if before.content.get("type") != after.content.get("type"):
        return Reason.TYPE_CHANGED
    if before.content.get("channel") != after.content.get("channel"):
        return Reason.CHANNEL_CHANGED
    return None


def replaces(change: Change) -> bool:
    """Whether nothing stays of what the change finds at the target, under whatever name."""
    return isinstance(change, Update | Move | Adopt) and replaced(change.before, change.after) is not None


def _enabled(content: Content) -> object:
    return content.get("enabled", CALLBACK_DEFAULTS["enabled"])
