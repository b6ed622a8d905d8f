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
from dataclasses import dataclass, field
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
from reconciler.model.resource import Key, Resource
from reconciler.model.revision import Amendment, Owned

__all__ = ["Problem", "Proposal", "joint_problems", "read_amendment", "read_proposal"]

Problem: TypeAlias = Mapping[str, str | Sequence[str | int]]

_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_MAX_KEY: Final = 129  # two names of 64 characters and the slash between them
# Long enough for a sentence and a subject line; they are repeated in every history.
_MAX_TEXTS: Final[Mapping[str, int]] = {"by": 200, "commit": 200, "note": 2_000}
_VIA: Final = ("", "apply", "rollback", "import")
_FIELDS: Final = frozenset({"owner", "by", "commit", "note", "via", "plan", "secrets", "changes"})
_CHANGE_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "create": frozenset({"kind", "key", "after"}),
    "update": frozenset({"kind", "key", "expects", "after"}),
    "delete": frozenset({"kind", "key", "expects"}),
    "move": frozenset({"kind", "key", "from", "expects", "after"}),
    "adopt": frozenset({"kind", "key", "from", "expects", "after"}),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Who wants to publish, and what; the changes are of the right shape, their contents not looked at yet.

    `secrets` are the fingerprints that the publisher expects secrets to have now.
    """

    owner: str
    by: str
    commit: str
    note: str
    changes: Sequence[Mapping[str, object]]
    via: str = ""
    plan: str = ""
    secrets: Mapping[str, str | None] = field(default_factory=dict)


def read_proposal(body: Mapping[str, object]) -> Proposal | tuple[Problem, ...]:
    """The proposal that a body makes, or everything that is wrong with its shape."""
    problems = tuple(_shape_problems(body))
    if problems:
        return problems
    texts = {name: str(body.get(name, "")) for name in ("owner", *_MAX_TEXTS, "via", "plan")}
    return Proposal(
        **texts,
        changes=cast("Sequence[Mapping[str, object]]", body["changes"]),
        secrets=cast("Mapping[str, str | None]", body.get("secrets", {})),
    )


def read_amendment(change: Mapping[str, object]) -> Amendment | tuple[Problem, ...]:
    """The amendment that a change of a proposal asks for, or everything that is wrong with its definition."""
    kind, key, expects = change["kind"], Key.parse(str(change["key"])), str(change.get("expects"))
    if kind == "delete":
        return Amendment("delete", key, expects, None)
    content = read_content(key, change["after"])
    if isinstance(content, tuple):
        return tuple(_problem((), "invalid-content", sentence, key=str(key)) for sentence in content)
    resource, problems = _checked(key, content)
    if problems:
        return problems
    after = define(key, content)
    match kind:
        case "create":
            return Amendment("create", key, None, after, resource=resource)
        case "update":
            return Amendment("update", key, expects, after, resource=resource)
        case "move":
            source = Key.parse(str(change["from"]))
            return Amendment("move", key, expects, after, source=source, resource=resource)
        case _:
            return Amendment("adopt", key, expects, after, taken_from=str(change["from"]), resource=resource)


def _checked(key: Key, content: Content) -> tuple[Resource | None, tuple[Problem, ...]]:
    """What a content means, and the rules that it breaks."""
    resource: Resource | None
    findings: Sequence[Finding]
    resource, findings = check_callback(key, content) if key.callback else check_device_type(key, content)
    return resource, tuple(_problem_of(key, found) for found in findings if found.severity is Severity.ERROR)


def joint_problems(held: Mapping[Key, Owned], amendments: Sequence[Amendment]) -> tuple[Problem, ...]:
    """The rules that the definitions of a device type would break together, if what is held were amended so."""
    after: dict[str, dict[Key, Content]] = {key.device_type: {} for each in amendments for key in each.touches}
    for key, owned in held.items():
        if key.device_type in after:
            after[key.device_type][key] = owned.definition.content
    for amendment in amendments:
        for key in amendment.touches:
            after[key.device_type].pop(key, None)
        if amendment.after is not None:
            after[amendment.key.device_type][amendment.key] = amendment.after.content
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
    if body.get("via", "") not in _VIA:
        yield _problem(("via",), "wrong-field", f"“via” is one of {', '.join(_VIA[1:])}, or is left out.")
    plan = body.get("plan", "")
    if not isinstance(plan, str) or (plan and not _DIGEST.fullmatch(plan)):
        yield _problem(("plan",), "wrong-field", "“plan” is the digest of a plan: 32 lower-case hex digits.")
    yield from _secrets_problems(body.get("secrets", {}))
    changes = body.get("changes")
    if not isinstance(changes, list):
        yield _problem(("changes",), "wrong-field", "“changes” is a list.")
        return
    for index, change in enumerate(changes):
        yield from _change_problems(index, change)


def _secrets_problems(secrets: object) -> Iterator[Problem]:
    if not isinstance(secrets, dict):
        yield _problem(("secrets",), "wrong-field", "“secrets” is an object: fingerprints by the names of secrets.")
        return
    for name, fingerprint in secrets.items():
        if fingerprint is not None and not (isinstance(fingerprint, str) and _FINGERPRINT.fullmatch(fingerprint)):
            message = "A fingerprint is 16 lower-case hex digits, or null where there is no value."
            yield _problem(("secrets", name[:64]), "wrong-field", message)


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
    left = change.get("from", "")
    if kind == "move" and "from" in change and not _is_left_by(key, left):
        message = "“from” is the key that is moved: a device type's for a device type, a callback's for a callback."
        yield _problem(("changes", index, "from"), "wrong-field", message)
    if kind == "adopt" and not (isinstance(left, str) and (not left or _NAME.fullmatch(left))):
        message = "“from” is the name of the project that owns it, empty when nobody does."
        yield _problem(("changes", index, "from"), "wrong-field", message)


def _is_left_by(key: object, left: object) -> bool:
    """Whether something that stands under `left` can be moved to `key`."""
    if not isinstance(key, str) or not isinstance(left, str) or not 0 < len(left) <= _MAX_KEY:
        return False
    return bool(Key.parse(left).callback) == bool(Key.parse(key).callback)


def _problem(path: Sequence[str | int], code: str, message: str, **key: str) -> Problem:
    return {**key, "path": path, "code": code, "message": message}
