"""What a document says about a device type or callback → the canonical content of its definition.

1. Fields that equal their default are left out, durations become seconds, a callback without a payload config takes
   that of its device type, if its type carries payloads. An empty one (`payload: ""`) takes none.
2. A list of recipients or keys becomes the text in which commas separate them: a content has one spelling.
3. `${var.name}` may stand in every text that people write freely, and in no word of a vocabulary.
4. Each settled text remembers how it came about, so that a finding in it can be traced to the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconciler.config.document import duration
from reconciler.config.place import Document, Steps
from reconciler.config.settle import OPENING, Reference, Settled, settle
from reconciler.diagnostics import Span
from reconciler.model.definition import CALLBACK_DEFAULTS, DEVICE_TYPE_DEFAULTS, Content, JsonValue
from reconciler.model.resource import CallbackType
from reconciler.model.variables import takes_payload

__all__ = [
    "ContentPath",
    "SettledContent",
    "callback_content",
    "device_type_content",
    "has_references",
    "item_at",
    "settled",
    "text_span",
]

ContentPath: TypeAlias = tuple[str, ...]
"""The way from a content to one of its texts."""

_NOT_DEFINED: Final[frozenset[str]] = frozenset({"apiVersion", "kind", "name", "callbacks", "moved", "tests"})
_BETWEEN: Final = ", "
_LISTS: Final = ("recipient", "signature")
_NO_DEFAULT: Final = object()
_CARRIES_PAYLOAD: Final = frozenset(str(each) for each in CallbackType if takes_payload(each))


@dataclass(frozen=True, slots=True)
class SettledContent:
    """A content with its references replaced.

    Attributes:
        texts: the texts that held a reference.
        unresolved: the references that have no value here.
    """

    content: Content
    texts: Mapping[ContentPath, Settled]
    unresolved: tuple[tuple[ContentPath, Reference], ...]


def device_type_content(value: Mapping[str, Any]) -> Content:
    """The content of a device type, references not yet settled."""
    content = dict(value)
    if "keepAlive" in content:
        content["keepAlive"] = int(duration(value["keepAlive"]).total_seconds())
    if "downlink" in content:
        content["downlink"] = {key: each for key, each in value["downlink"].items() if each != ""}
    return _without_defaults(content, DEVICE_TYPE_DEFAULTS)


def callback_content(value: Mapping[str, Any], *, inherited: str) -> Content:
    """The content of a callback whose device type has the payload config `inherited`; references not yet settled."""
    content = _without_defaults(value, CALLBACK_DEFAULTS)
    if inherited and "payload" not in value and value.get("type") in _CARRIES_PAYLOAD:
        content["payload"] = inherited
    for name in _LISTS:
        if isinstance(value.get(name), list):
            content[name] = _BETWEEN.join(value[name])
    return content


def item_at(items: Sequence[str], offset: int) -> tuple[int, int]:
    """The item of a list that a character of its joined text comes from, and the character's offset there."""
    for index, item in enumerate(items[:-1]):
        if offset <= len(item):
            return index, offset
        offset -= len(item) + len(_BETWEEN)
    return len(items) - 1, offset


def text_span(document: Document, steps: Steps, offset: int | None, length: int) -> Span:
    """The place of some characters of a text, also of one that is written as a list."""
    value = document.value_at(steps)
    if isinstance(value, list) and offset is not None:
        index, offset = item_at([str(item) for item in value], offset)
        steps = (*steps, index)
    return document.span(steps, offset=offset, length=length)


def _without_defaults(value: Mapping[str, Any], defaults: Content) -> dict[str, JsonValue]:
    return {
        name: each
        for name, each in value.items()
        if name not in _NOT_DEFINED and each != defaults.get(name, _NO_DEFAULT)
    }


def has_references(content: Content) -> bool:
    """Whether any text of a content holds a reference, complete or not."""
    return bool(_referring(content))


def settled(content: Content, values: Mapping[str, str]) -> SettledContent:
    """The content with all references replaced whose values are known."""
    texts = {path: settle(text, values) for path, text in _referring(content)}
    if not texts:
        return SettledContent(content, texts, ())
    result: dict[str, Any] = dict(content)
    for path, each in texts.items():
        if len(path) == 1:
            result[path[0]] = each.text
        else:
            result[path[0]] = {**result[path[0]], path[1]: each.text}
    unresolved = tuple((path, reference) for path, each in texts.items() for reference in each.unresolved)
    return SettledContent(result, texts, unresolved)


def _referring(content: Content) -> list[tuple[ContentPath, str]]:
    """The texts that hold a reference, which most do not."""
    found: list[tuple[ContentPath, str]] = []
    for name, value in content.items():
        if isinstance(value, str):
            if OPENING in value:
                found.append(((name,), value))
        elif isinstance(value, dict):
            found += [((name, key), each) for key, each in value.items() if isinstance(each, str) and OPENING in each]
    return found
