"""What a publisher asks for: the body of `POST /v1/revisions`, read and checked. Pure.

1. A request of the wrong shape is refused as a whole; all problems of a kind are listed.
2. Definitions are held against the same rules as the files of a project (`model.definition`): a client that computed
   contents by itself gets the same findings.
3. So are the definitions of a device type together, as they would be after the publication. Warnings are for files.
4. A problem is `{"path": [...], "code": ..., "message": ...}`. Its path leads into the body, or into the content of the
   definition whose `key` it has.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from reconciler.codec.canonical import define
from reconciler.codec.definition import read_content
from reconciler.diagnostics import Severity
from reconciler.model.definition import (
    NAME_PATTERN,
    Content,
    Finding,
    check_callback,
    check_device_type,
    check_together,
)
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Owned

__all__ = ["Problem", "Proposal", "joint_problems", "problems_of", "read_amendment", "read_proposal"]

Problem: TypeAlias = Mapping[str, str | Sequence[str | int]]

_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_MAX_KEY: Final = 129  # two names of 64 characters and the slash between them
# Long enough for a sentence and a subject line; they are repeated in every history.
_MAX_TEXTS: Final[Mapping[str, int]] = {"by": 200, "commit": 200, "note": 2_000}
_FIELDS: Final = frozenset({"owner", "by", "commit", "note", "changes"})
_CHANGE_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "create": frozenset({"kind", "key", "after"}),
    "update": frozenset({"kind", "key", "expects", "after"}),
    "delete": frozenset({"kind", "key", "expects"}),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Who wants to publish, and what; the changes are of the right shape, their contents not looked at yet."""

    owner: str
    by: str
    commit: str
    note: str
    changes: Sequence[Mapping[str, object]]


def read_proposal(body: Mapping[str, object]) -> Proposal | tuple[Problem, ...]:
    """The proposal that a body makes, or everything that is wrong with its shape."""
    problems = tuple(_shape_problems(body))
    if problems:
        return problems
    texts = {name: str(body.get(name, "")) for name in ("owner", *_MAX_TEXTS)}
    return Proposal(**texts, changes=cast("Sequence[Mapping[str, object]]", body["changes"]))


def read_amendment(change: Mapping[str, object]) -> Amendment | tuple[Problem, ...]:
    """The amendment that a change of a proposal asks for, or everything that is wrong with its definition."""
    kind, key, expects = change["kind"], Key.parse(str(change["key"])), change.get("expects")
    if kind == "delete":
        return Amendment("delete", key, str(expects), None)
    content = read_content(key, change["after"])
    if isinstance(content, tuple):
        return tuple(_problem((), "invalid-content", sentence, key=str(key)) for sentence in content)
    problems = problems_of(key, content)
    if problems:
        return problems
    after = define(key, content)
    return Amendment("create", key, None, after) if kind == "create" else Amendment("update", key, str(expects), after)


def problems_of(key: Key, content: Content) -> tuple[Problem, ...]:
    """The rules that a content breaks."""
    findings: Sequence[Finding]
    _, findings = check_callback(key, content) if key.callback else check_device_type(key, content)
    return tuple(_problem_of(key, found) for found in findings if found.severity is Severity.ERROR)


def joint_problems(held: Mapping[Key, Owned], amendments: Sequence[Amendment]) -> tuple[Problem, ...]:
    """The rules that the definitions of a device type would break together, if what is held were amended so."""
    after: dict[str, dict[Key, Content]] = {amendment.key.device_type: {} for amendment in amendments}
    for key, owned in held.items():
        if key.device_type in after:
            after[key.device_type][key] = owned.definition.content
    for amendment in amendments:
        contents = after[amendment.key.device_type]
        if amendment.after is None:
            contents.pop(amendment.key, None)
        else:
            contents[amendment.key] = amendment.after.content
    return tuple(
        _problem_of(joint.key, joint.finding)
        for name in sorted(after)
        for joint in check_together(Key(name), dict(sorted(after[name].items())))
        if joint.finding.severity is Severity.ERROR
    )


def _problem_of(key: Key, found: Finding) -> Problem:
    return _problem(found.path, found.code, f"{found.detail or found.summary} {found.help}".strip(), key=str(key))


def _shape_problems(body: Mapping[str, object]) -> Iterator[Problem]:
    for name in body.keys() - _FIELDS:
        yield _problem((name[:64],), "unknown-field", f"The body takes {', '.join(sorted(_FIELDS))}.")
    owner = body.get("owner")
    if not isinstance(owner, str) or not _NAME.fullmatch(owner):
        yield _problem(("owner",), "wrong-field", "“owner” is the name of the project that publishes.")
    for name, most in _MAX_TEXTS.items():
        text = body.get(name, "")
        if not isinstance(text, str) or len(text) > most:
            yield _problem((name,), "wrong-field", f"“{name}” is a text of at most {most} characters.")
    changes = body.get("changes")
    if not isinstance(changes, list):
        yield _problem(("changes",), "wrong-field", "“changes” is a list.")
        return
    for index, change in enumerate(changes):
        yield from _change_problems(index, change)


def _change_problems(index: int, change: object) -> Iterator[Problem]:
    kind = change.get("kind") if isinstance(change, dict) else None
    fields = _CHANGE_FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None or not isinstance(change, dict):
        message = f"A change is an object whose “kind” is one of {', '.join(_CHANGE_FIELDS)}."
        yield _problem(("changes", index), "wrong-field", message)
        return
    if change.keys() != fields:
        yield _problem(("changes", index), "wrong-field", f"A change of kind {kind} has {', '.join(sorted(fields))}.")
    key, expects = change.get("key"), change.get("expects", "0" * 32)
    if not isinstance(key, str) or not key or len(key) > _MAX_KEY:
        message = "“key” is DEVICE-TYPE or DEVICE-TYPE/CALLBACK, such as tracker/telemetry."
        yield _problem(("changes", index, "key"), "wrong-field", message)
    if not isinstance(expects, str) or not _DIGEST.fullmatch(expects):
        message = "“expects” is the digest of the definition that has to be there: 32 lower-case hex digits."
        yield _problem(("changes", index, "expects"), "wrong-field", message)


def _problem(path: Sequence[str | int], code: str, message: str, **key: str) -> Problem:
    return {**key, "path": path, "code": code, "message": message}
