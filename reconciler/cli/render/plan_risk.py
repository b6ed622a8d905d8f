"""How much a change can break, so that a reader with little time or little room sees first what matters most.

A change has the gravest of the risks below that is in it. The order is that of the harm when it is a mistake:

1. LOSS: a definition goes, and what it was told to do with messages goes with it.
2. REPLACEMENT: it fires on other events, or delivers by another channel.
3. SILENCE: it is switched off; a device type supervises silence no more.
4. DESTINATION: messages go to another scheme, host, port or recipient, or are sent with another method.
5. EXPOSURE: `protect` is lifted; the next plan may delete.
6. ANSWER: devices get other downlinks, or none, or from somebody else.
7. SECRET: a secret has another value, or another one is used, or other credentials.
8. TAKEOVER: another project loses it.
9. OVERWRITE: somebody's change behind the files is undone.
10. CONTENT: what is sent differs, or how it is read.
11. BEGINNING: something new is sent.
12. RENAMING: another key, the same content.
13. REMARK: words for people alone.

Nothing branches on this but the order and the headings in which a plan is shown.
"""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, assert_never

from reconciler.model.plan import Adopt, Change, Create, Delete, FieldChange, Move, Reason, Resecret, Update

__all__ = ["TITLES", "Risk", "by_risk", "risk_of"]


class Risk(IntEnum):
    """The gravest first."""

    LOSS = 1
    REPLACEMENT = 2
    SILENCE = 3
    DESTINATION = 4
    EXPOSURE = 5
    ANSWER = 6
    SECRET = 7
    TAKEOVER = 8
    OVERWRITE = 9
    CONTENT = 10
    BEGINNING = 11
    RENAMING = 12
    REMARK = 13

    @property
    def is_grave(self) -> bool:
        """Whether it deserves a reader's attention before anything else."""
        return self <= Risk.OVERWRITE


TITLES: Final[Mapping[Risk, str]] = {
    Risk.LOSS: "Deleted",
    Risk.REPLACEMENT: "Replaced",
    Risk.SILENCE: "Switched off",
    Risk.DESTINATION: "Sent elsewhere",
    Risk.EXPOSURE: "No longer protected",
    Risk.ANSWER: "Answers to devices",
    Risk.SECRET: "Secrets and credentials",
    Risk.TAKEOVER: "Taken over",
    Risk.OVERWRITE: "Undone at the target",
    Risk.CONTENT: "Other content",
    Risk.BEGINNING: "New or switched on",
    Risk.RENAMING: "Renamed",
    Risk.REMARK: "Words for people",
}

# Scheme, host and port as they are written; what stands before the @ is no part of where a request goes.
_ORIGIN = re.compile(r"(?P<scheme>[^:/?#]*)://(?:(?P<userinfo>[^/?#]*)@)?(?P<host>[^/?#]*)")
_SECRET = re.compile(r"\$\{secret\.[A-Za-z0-9_]*\}")
_KINDS: Final[Mapping[str, Risk]] = {
    "replace": Risk.REPLACEMENT,
    "disable": Risk.SILENCE,
    "enable": Risk.BEGINNING,
    "update": Risk.CONTENT,
}
_FIELDS: Final[Mapping[str, Risk]] = {
    "type": Risk.REPLACEMENT,
    "channel": Risk.REPLACEMENT,
    "method": Risk.DESTINATION,
    "recipient": Risk.DESTINATION,
    "signature": Risk.SECRET,
    "downlink": Risk.ANSWER,
    "downlinkHook": Risk.ANSWER,
    "description": Risk.REMARK,
}


def risk_of(change: Change) -> Risk:
    """The gravest risk of a change."""
    match change:
        case Delete():
            return Risk.LOSS
        case Create():
            answers = change.after.content.get("downlinkHook") is True
            return Risk.ANSWER if answers else Risk.BEGINNING
        case Resecret():
            return Risk.SECRET
        case Update():
            least = Risk.REMARK if change.kind == "update" else _KINDS[change.kind]
        case Move():
            least = Risk.RENAMING
        case Adopt():
            least = Risk.TAKEOVER
        case _:
            assert_never(change)
    if change.reason in (Reason.DRIFTED, Reason.EDITED_AND_DRIFTED):
        least = min(least, Risk.OVERWRITE)
    return min((least, *(_risk_of_field(field) for field in change.fields)))


def by_risk(changes: Iterable[Change]) -> list[tuple[Risk, list[Change]]]:
    """Changes in groups, the gravest first; in a group by key."""
    groups: dict[Risk, list[Change]] = {}
    for change in changes:
        groups.setdefault(risk_of(change), []).append(change)
    return [(risk, sorted(groups[risk], key=lambda change: change.key)) for risk in sorted(groups)]


def _risk_of_field(field: FieldChange) -> Risk:
    if field.before == field.after and not field.added and not field.removed:
        return Risk.SECRET  # what differs was masked
    name = field.path[0] if field.path else ""
    found = _FIELDS.get(name, Risk.CONTENT)
    match name:
        case "url":
            found = _risk_of_url(field)
        case "enabled":
            found = Risk.SILENCE if field.after is False else Risk.BEGINNING
        case "keepAlive":
            found = Risk.SILENCE if not field.after else Risk.CONTENT
        case "protect":
            found = Risk.EXPOSURE if not field.after else Risk.CONTENT
        case "headers" if len(field.path) < 2 or field.path[1].lower() == "authorization":
            found = Risk.SECRET
        case _:
            pass
    return min(found, Risk.SECRET) if _secrets(field.before) != _secrets(field.after) else found


def _risk_of_url(field: FieldChange) -> Risk:
    before, after = (_ORIGIN.match(value) if isinstance(value, str) else None for value in (field.before, field.after))
    if before is None or after is None:
        return Risk.DESTINATION
    if (before["scheme"].lower(), before["host"].lower()) != (after["scheme"].lower(), after["host"].lower()):
        return Risk.DESTINATION
    return Risk.SECRET if before["userinfo"] != after["userinfo"] else Risk.CONTENT


def _secrets(value: object) -> list[str]:
    if isinstance(value, str):
        return sorted(_SECRET.findall(value)) if "${" in value else []
    if isinstance(value, Mapping):
        return sorted(found for each in value.values() for found in _secrets(each))
    return []
