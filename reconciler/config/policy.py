"""Policies: rules of a project that definitions have to obey, as each environment will hold them.

A policy is about the definitions that `match` describes, callbacks unless it says otherwise. Of each of them, every
field in `require` has to be as it says, and the fields in `forbid` must not all be as it says.

1. A field that a callback cannot have is not asked for: `require: {scheme: https}` says nothing about mail, and
   `require: {body: …}` nothing about a GET. It does not match and is not forbidden either; `present: false` is about
   fields that could be there.
2. Where a definition's own faults hide what a policy asks for, the faults are reported, and the policy waits.
3. What cannot be known of a text (`config.condition`, rule 3) counts against the definition: it matches, is forbidden,
   and is not what is required.
4. Where a value is a list, each item has to be as required, and one that is forbidden is enough.
5. A policy that cannot be understood is reported and not judged by; nothing is applied then. One that can never apply
   is a warning, for it promises what it does not do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconciler.config.codes import diagnostic
from reconciler.config.condition import Condition, Mistake, Test, condition, glob
from reconciler.config.field import Field, Kind, Reader, field_named, unreadable
from reconciler.config.place import Document, Steps
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.model.definition import CHANNEL_FIELDS, Content, JsonValue
from reconciler.model.resource import CallbackType, Key, Method, Resource

__all__ = ["Clause", "InForce", "Policy", "Violation", "policies_of"]


@dataclass(frozen=True, slots=True)
class Clause:
    """One field, and what it has to be; `steps` lead to it in the project file."""

    field: Field
    condition: Condition
    steps: Steps


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule; `forbid` is None when it forbids nothing, `environments` when it holds in all of them."""

    name: str
    message: str
    severity: Severity
    kind: Kind
    environments: tuple[Callable[[JsonValue], bool], ...] | None
    match: tuple[Clause, ...]
    require: tuple[Clause, ...]
    forbid: tuple[Clause, ...] | None
    steps: Steps

    def holds_in(self, environment: str | None) -> bool:
        """Whether it holds in an environment; None is that of a project without any."""
        return self.environments is None or any(fits(environment) for fits in self.environments)


# From the project file


def policies_of(project: Document, value: Mapping[str, Any]) -> tuple[tuple[Policy, ...], tuple[Diagnostic, ...]]:
    """The policies of a project file that can be understood, and what is wrong with the others.

    `value` is what is sound of the file.
    """
    policies: list[Policy] = []
    found: list[Diagnostic] = []
    names: dict[str, Steps] = {}
    for index, given in enumerate(value.get("policies", ())):
        if given is None:
            continue
        steps: Steps = ("policies", index)
        name = given["name"]
        if name in names:
            related = (("the first one", project.span((*names[name], "name"))),)
            detail = f"{name} names two policies; whoever breaks one has to know which."
            span = project.span((*steps, "name"))
            found.append(diagnostic("duplicate-policy", detail, help="Rename one of them.", span=span, related=related))
        names.setdefault(name, steps)
        policy, problems = _policy(project, given, steps)
        found += problems
        if policy is not None:
            policies.append(policy)
            found += _idle_anywhere(project, policy)
    return tuple(policies), tuple(found)


def _policy(project: Document, given: Mapping[str, Any], steps: Steps) -> tuple[Policy | None, list[Diagnostic]]:
    found: list[Diagnostic] = []
    kind: Kind = "device-type" if given.get("match", {}).get("kind") == "device-type" else "callback"
    clauses = {
        part: [*_clauses(project, given, (*steps, part), kind, found)] for part in ("match", "require", "forbid")
    }
    if not given.get("require") and not given.get("forbid"):
        detail = f"{given['name']} neither requires nor forbids anything."
        help = "For example:\n    require: {scheme: https}"
        found.append(diagnostic("bad-policy", detail, help=help, span=project.span((*steps, "name"))))
    if found:
        return None, found
    policy = Policy(
        name=given["name"],
        message=_sentence(given["message"]),
        severity=Severity(given.get("severity", "error")),
        kind=kind,
        environments=tuple(map(glob, given["environments"])) if "environments" in given else None,
        match=tuple(clauses["match"]),
        require=tuple(clauses["require"]),
        forbid=tuple(clauses["forbid"]) or None,
        steps=steps,
    )
    return policy, []


def _clauses(
    project: Document, given: Mapping[str, Any], steps: Steps, kind: Kind, found: list[Diagnostic]
) -> Iterator[Clause]:
    part = str(steps[-1])
    for name, wanted in given.get(part, {}).items():
        where: Steps = (*steps, name)
        field = field_named(name)
        assert field is not None, "names of fields are part of the shape"
        wrong = _misplaced(part, field, wanted, kind)
        if wrong is not None:
            found.append(diagnostic("bad-policy", wrong[0], help=wrong[1], span=project.key_span(where)))
            continue
        made = condition(wanted, field)
        if isinstance(made, Condition):
            yield Clause(field, made, where)
        else:
            found += (_mistake(project, where, each) for each in made)


def _misplaced(part: str, field: Field, wanted: object, kind: Kind) -> tuple[str, str] | None:
    """Why a field cannot stand in this part of a policy, and what to do; None when it can."""
    if field.name == "kind":
        if part != "match":
            return "kind tells what a policy is about, and belongs in match.", ""
        if wanted not in ("callback", "device-type"):
            return "kind is callback or device-type; a policy is about one of them.", ""
    if kind in field.kinds:
        return None
    if kind == "callback":
        detail = f"{field.name} is a field of device types, and this policy is about callbacks."
        return detail, "Make it one about device types:\n    match: {kind: device-type}"
    return f"{field.name} is a field of callbacks, and this policy is about device types.", ""


def _mistake(project: Document, where: Steps, mistake: Mistake) -> Diagnostic:
    steps = (*where, *mistake.steps)
    span = project.span(steps, offset=mistake.offset, length=mistake.length)
    return diagnostic(mistake.code, mistake.detail, help=mistake.help, span=span)


def _sentence(message: str) -> str:
    text = " ".join(message.split())
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


# Policies that do nothing


def _idle_anywhere(project: Document, policy: Policy) -> Iterator[Diagnostic]:
    """That a policy is about definitions that there cannot be."""
    if not any(_bound(policy, each) for each in _classes(policy.kind)):
        detail = f"No {_noun(policy.kind)} is as its match says and has a field that it requires or forbids."
        yield _idle(project, policy, detail, project.span((*policy.steps, "name")))


def idle_findings(
    project: Document, policies: Sequence[Policy], environments: Iterable[str], keys: Iterable[Key] | None
) -> Iterator[Diagnostic]:
    """That a policy names environments or definitions that there are not; `keys` is None when not all are known."""
    names = tuple(environments)
    known = None if keys is None else tuple(keys)
    for policy in policies:
        for index, fits in enumerate(policy.environments or ()):
            if not any(map(fits, names)):
                steps: Steps = (*policy.steps, "environments", index)
                detail = f"The project has no environment {project.value_at(steps)}."
                yield _idle(project, policy, detail, project.span(steps))
        for clause in policy.match if known is not None else ():
            if clause.field.name == "key" and not _fits_one(clause, policy.kind, known or ()):
                words = clause.condition.words
                detail = f"The key of a {_noun(policy.kind)} has to {words}, and none that is declared does."
                yield _idle(project, policy, detail, project.span(clause.steps))


def _fits_one(clause: Clause, kind: Kind, keys: Iterable[Key]) -> bool:
    return any(
        clause.condition.fits(str(key)) is not False for key in keys if bool(key.callback) == (kind == "callback")
    )


def _idle(project: Document, policy: Policy, detail: str, span: Any) -> Diagnostic:
    help = "Correct it, or take the policy away: it looks as if it guarded something."
    return diagnostic("policy-never-applies", detail, help=help, span=span, severity=Severity.WARNING)


def _noun(kind: Kind) -> str:
    return kind.replace("-", " ")


# Judging

_Class: TypeAlias = tuple[str, str, str, str]
"""What decides which fields a definition has: its kind, and of a callback its type, channel and method."""

_STATIC: Final[Mapping[str, int]] = {"kind": 0, "type": 1, "channel": 2, "method": 3}
"""Fields that all definitions of a class have in common, by their places in it."""

_DEVICE_TYPE: Final[_Class] = ("device-type", "", "", "")


def _classes(kind: Kind) -> Iterator[_Class]:
    if kind == "device-type":
        yield _DEVICE_TYPE
    else:
        methods = {channel: [*Method] if "method" in fields else [""] for channel, fields in CHANNEL_FIELDS.items()}
        for each in CallbackType:
            yield from ((kind, str(each), channel, str(method)) for channel in methods for method in methods[channel])


def _class_of(key: Key, content: Content) -> _Class:
    if not key.callback:
        return _DEVICE_TYPE
    channel = content.get("channel")
    method = "" if channel == "email" else content.get("method", "POST")
    return "callback", str(content.get("type")), str(channel), str(method)


@dataclass(frozen=True, slots=True)
class Violation:
    """What a definition breaks.

    Attributes:
        values: the clauses that it breaks or, of what is forbidden, meets, each with the value; of a list the item.
        required: whether it lacks what the first of them requires; otherwise it is all that is forbidden.
    """

    policy: Policy
    values: tuple[tuple[Clause, JsonValue], ...]
    required: bool

    @property
    def clause(self) -> Clause:
        """The clause at whose field it is shown."""
        return self.values[0][0]

    @property
    def value(self) -> JsonValue:
        """The value of that field."""
        return self.values[0][1]


_Question: TypeAlias = tuple[Clause, Reader, Test]
"""A clause, how its value is read, and whether the value, a list or not, is as it says."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """What is left to be judged of a policy for the definitions of one class; `sources` are what it is about."""

    policy: Policy
    match: tuple[_Question, ...]
    require: tuple[_Question, ...]
    forbid: tuple[_Question, ...] | None
    sources: frozenset[str]


def _bound(policy: Policy, of: _Class) -> _Bound | None:
    """The policy for a class of definitions; None when it is not about them."""
    if policy.kind != of[0]:
        return None
    match = _left(policy.match, of)
    if match is None:
        return None
    require = tuple(
        (clause, clause.field.read, _every(clause))
        for clause in policy.require
        if _has(clause.field, of) and _static(clause, of) is not True
    )
    forbid = None if policy.forbid is None else _left(policy.forbid, of)
    if not require and forbid is None:
        return None
    clauses = (*policy.match, *policy.require, *(policy.forbid or ()))
    sources = {name for clause in clauses for name in (clause.field.name, clause.field.source)}
    if any(clause.field.bodies_only for clause in clauses):
        sources.add("method")
    return _Bound(policy, match, require, forbid, frozenset(sources))


def _left(clauses: Iterable[Clause], of: _Class) -> tuple[_Question, ...] | None:
    """The clauses that not all definitions of a class meet; None when one of them cannot be met."""
    left: list[_Question] = []
    for clause in clauses:
        answer = _static(clause, of)
        if answer is False or not _has(clause.field, of):
            return None
        if answer is None:
            left.append((clause, clause.field.read, _some(clause)))
    return tuple(left)


def _has(field: Field, of: _Class) -> bool:
    kind, callback_type, channel, method = of
    if kind == "device-type":
        return True
    return callback_type in field.types and channel in field.channels and not (field.bodies_only and method == "GET")


def _static(clause: Clause, of: _Class) -> bool | None:
    """Whether all definitions of a class meet the clause, or none; None when they differ."""
    place = _STATIC.get(clause.field.name)
    return None if place is None else clause.condition.fits(of[place])


def _every(clause: Clause) -> Test:
    """Of a list, whether every item fits, and there is one."""
    fits = clause.condition.fits
    if clause.field.sort != "texts":
        return fits

    def every(value: JsonValue) -> bool | None:
        answers = [fits(each) for each in _items(value)]
        return False if False in answers else None if None in answers else True

    return every


def _some(clause: Clause) -> Test:
    """Of a list, whether one item fits."""
    fits = clause.condition.fits
    if clause.field.sort != "texts":
        return fits

    def some(value: JsonValue) -> bool | None:
        answers = [fits(each) for each in _items(value)]
        return True if True in answers else None if None in answers else False

    return some


def _items(value: JsonValue) -> Sequence[JsonValue]:
    """The items of a list; None of one without any, and a value that is no list by itself."""
    if isinstance(value, tuple):
        return value or (None,)
    return (value,)


class InForce:
    """The policies of one environment, ready to judge many definitions."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = tuple(policies)
        self._of_class: dict[_Class, tuple[_Bound, ...]] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._policies)

    def violations(
        self, key: Key, content: Content, resource: Resource | None, unknown: frozenset[str] = frozenset()
    ) -> Sequence[Violation]:
        """What a definition breaks; `unknown` are the keys of its content of which something is at fault.

        Asked for every definition and every policy, so that what is fine costs a few microseconds and makes no garbage.
        """
        of = _class_of(key, content)
        about = self._of_class.get(of)
        if about is None:
            about = tuple(each for policy in self._policies if (each := _bound(policy, of)) is not None)
            self._of_class[of] = about
        if resource is None and key.callback:
            unknown |= unreadable(content)
        found: list[Violation] = []
        for bound in about:
            if unknown and not unknown.isdisjoint(bound.sources):
                continue
            for _, read, fits in bound.match:
                if fits(read(key, content, resource)) is False:
                    break
            else:
                for clause, read, fits in bound.require:
                    if fits(read(key, content, resource)) is not True:
                        found.append(_lacking(bound.policy, clause, read(key, content, resource)))
                if bound.forbid is not None:
                    for _, read, fits in bound.forbid:
                        if fits(read(key, content, resource)) is False:
                            break
                    else:
                        found.append(_forbidden(bound.policy, key, content, resource))
        return found


def _lacking(policy: Policy, clause: Clause, value: JsonValue) -> Violation:
    item = next(item for item in _items(value) if clause.condition.fits(item) is not True)
    return Violation(policy, ((clause, item),), required=True)


def _forbidden(policy: Policy, key: Key, content: Content, resource: Resource | None) -> Violation:
    met = [(clause, _met(clause, clause.field.read(key, content, resource))) for clause in policy.forbid or ()]
    met.sort(key=lambda each: each[1] is None)  # it is shown at what is there
    return Violation(policy, tuple(met), required=False)


def _met(clause: Clause, value: JsonValue) -> JsonValue:
    return next((item for item in _items(value) if clause.condition.fits(item) is not False), None)
