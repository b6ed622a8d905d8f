"""What a device type and its callbacks have to agree on: `callbacks.md` sections 6.2, 7 and 10.

1. At most one callback of a device type is selected (`downlinkHook`) to answer its devices, enabled or not: two are an
   error.
2. What is declared and can never happen is a warning: ERROR callbacks without `keepAlive`, devices whose downlinks
   nobody supplies, a callback that is selected and never asked.
3. Contents are judged, not resources: what one callback lacks in its URL says nothing about what the others are for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from reconciler.diagnostics import Severity
from reconciler.model.content import CHANNEL_FIELDS, Content
from reconciler.model.finding import Finding, finding
from reconciler.model.resource import CallbackType, DownlinkMode, Key

__all__ = ["JointFinding", "Place", "check_together"]

_BIDIR: Final = str(CallbackType.DATA_BIDIR)
_ERROR: Final = str(CallbackType.ERROR)


@dataclass(frozen=True, slots=True)
class Place:
    """A value in another definition that a finding is about too, and what to call it; no path for all of it."""

    label: str
    key: Key
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JointFinding:
    """A rule that several definitions break together, reported at the one that has to change most likely."""

    key: Key
    finding: Finding
    others: tuple[Place, ...]


def check_together(device_type: Key, contents: Mapping[Key, Content]) -> Iterator[JointFinding]:
    """Hold the contents of a device type and of all its callbacks against each other.

    `contents` may hold other device types' definitions too; findings come in the order of the callbacks in it.
    """
    name = device_type.device_type
    callbacks = {key: content for key, content in contents.items() if key.callback and key.device_type == name}
    selected = [key for key, content in callbacks.items() if _is_selected(content)]
    yield from _selected_twice(selected)
    own = contents.get(device_type, {})
    yield from _never_silent(device_type, own, callbacks)
    mode = cast("Mapping[str, Any]", own.get("downlink", {})).get("mode", DownlinkMode.NONE)
    if mode != DownlinkMode.CALLBACK:
        yield from _never_asked(device_type, str(mode), {key: callbacks[key] for key in selected})
    # One that is selected and cannot be, has an error of its own; its author has made a choice.
    elif not any(_is_enabled(content) and content.get("downlinkHook") for content in callbacks.values()):
        yield _nobody_answers(device_type, callbacks)


def _is_enabled(content: Content) -> bool:
    return content.get("enabled", True) is True


def _is_selected(content: Content) -> bool:
    """Whether a callback is one that may be selected, and is."""
    fields = CHANNEL_FIELDS.get(str(content.get("channel")), frozenset())
    return content.get("downlinkHook") is True and content.get("type") == _BIDIR and "downlinkHook" in fields


def _selected_twice(selected: list[Key]) -> Iterator[JointFinding]:
    for key in selected[1:]:
        first = selected[0]
        detail = (
            f"{first.callback} and {key.callback} are both selected to answer the devices of {key.device_type}; "
            "a device gets one answer, and it would not be known whose."
        )
        help = "Take downlinkHook away from all but one of them."
        others = (Place("selected first", first, ("downlinkHook",)),)
        yield JointFinding(
            key, finding("downlink-hook-twice", ("downlinkHook",), detail, help=help, at_key=True), others
        )


def _never_silent(device_type: Key, own: Content, callbacks: Mapping[Key, Content]) -> Iterator[JointFinding]:
    if own.get("keepAlive", 0):
        return
    for key, content in callbacks.items():
        if content.get("type") == _ERROR and _is_enabled(content):
            detail = (
                f"An error callback fires when a device was silent for longer than keepAlive, and {device_type} has "
                "none: no silence will ever be reported."
            )
            help = "Write at the device type how long its devices may be silent:\n    keepAlive: 2h"
            warning = finding("error-without-keep-alive", ("type",), detail, help=help, severity=Severity.WARNING)
            yield JointFinding(key, warning, (Place("without keepAlive", device_type, ("keepAlive",)),))


def _never_asked(device_type: Key, mode: str, selected: Mapping[Key, Content]) -> Iterator[JointFinding]:
    for key, content in selected.items():
        if _is_enabled(content):
            detail = (
                f"It is selected to answer the devices of {device_type}, whose downlink mode is {mode}: none of them "
                "will ever get its answer."
            )
            help = "Write at the device type:\n    downlink: {mode: callback}"
            warning = finding(
                "downlink-hook-unused", ("downlinkHook",), detail, help=help, severity=Severity.WARNING, at_key=True
            )
            yield JointFinding(key, warning, (Place(f"mode {mode}", device_type, ("downlink", "mode")),))


def _nobody_answers(device_type: Key, callbacks: Mapping[Key, Content]) -> JointFinding:
    detail = (
        f"In mode callback a data/bidir callback answers the devices, and none of those of {device_type} is enabled "
        "and selected: every downlink request ends with infoCode 8 (INVALID_CONFIGURATION)."
    )
    able = [
        key
        for key, content in callbacks.items()
        if content.get("type") == _BIDIR and "downlinkHook" in CHANNEL_FIELDS.get(str(content.get("channel")), ())
    ]
    disabled = [key for key in able if callbacks[key].get("downlinkHook") is True]
    others: tuple[Place, ...] = ()
    if disabled:
        help = f"Enable {disabled[0].callback}, or choose another mode."
        others = (Place("selected, and not enabled", disabled[0], ("enabled",)),)
    elif able:
        which = f"one of them, for example {able[0].callback}" if len(able) > 1 else able[0].callback
        help = f"Select {which}:\n    downlinkHook: true"
        others = tuple(Place("not selected", key, ()) for key in able)
    else:
        help = "Add a callback of type data/bidir with downlinkHook: true, or choose another mode."
    warning = finding("downlink-callback-missing", ("downlink", "mode"), detail, help=help, severity=Severity.WARNING)
    return JointFinding(device_type, warning, others)
