"""A project's files → the definitions that one environment is meant to hold, and everything that is wrong with them.

Nothing here raises for a mistake of the user, and no mistake hides another: what is at fault is set aside, the rest is
checked. Rules:

1. A definition is checked as the environment will hold it: overrides laid over it, variables settled, the payload
   config of the device type inherited. Without a chosen environment it is checked for every one of them.
2. A finding is reported once, where the value was written: in the definition, in an override, or at the reference to
   a variable whose value is at fault.
3. Only a project without any error gives something to apply.
4. What a device type and its callbacks have to agree on is judged for each environment too; what only some environments
   break names them.
5. The same rules hold at the engine's door (`model.definition`); here they only get their places.
6. What an environment will hold is judged by the project's policies (`config.policy`), which the engine does not know.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from reconciler.codec.canonical import define
from reconciler.config.codes import diagnostic
from reconciler.config.content import (
    ContentPath,
    SettledContent,
    callback_content,
    device_type_content,
    has_references,
    settled,
    text_span,
)
from reconciler.config.document import Project
from reconciler.config.file import collector_paused, read
from reconciler.config.joint import joint_findings
from reconciler.config.judge import Judge
from reconciler.config.moved import moved_findings, moves, removals, removed_findings
from reconciler.config.overlay import Declared, Layered, layered, override_findings
from reconciler.config.place import Document, Steps
from reconciler.config.project import (
    LoadedProject,
    Variables,
    check_kind,
    load_project,
    set_aside,
    sound,
    source_files,
    variables_of,
)
from reconciler.config.schema import validate
from reconciler.config.settle import Reference
from reconciler.diagnostics import Diagnostic, Span, has_errors, in_reading_order
from reconciler.model.definition import (
    CHANNEL_FIELDS,
    Content,
    check_callback,
    check_device_type,
)
from reconciler.model.finding import Finding
from reconciler.model.resource import Callback, DeviceType, Key
from reconciler.model.snapshot import Desired

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files say.

    Attributes:
        project: the project file; None when it has faults of its own.
        environment: the one that was chosen, if the project has it.
        desired: what it is meant to hold; None when there is an error, or none was chosen of those there are.
        device_types: those without an error, for the environment that was chosen or is the only one.
        callbacks: likewise.
        files: the names of all files that were read.
        declared: the device types by their names, as their documents declare them.
        variables: those of the environment that was chosen or is the only one.
    """

    project: Project | None
    environment: str | None
    desired: Desired | None
    device_types: Mapping[Key, DeviceType]
    callbacks: Mapping[Key, Callback]
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...]
    declared: Mapping[str, Declared] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def load(
    root: Path, *, environ: Mapping[str, str], environment: str | None = None, paths: Sequence[Path] = ()
) -> Loaded:
    """Read and check the project in a folder, or of a project file.

    `environ` holds the values that `{env: NAME}` refers to. With `paths`, only what concerns these files and folders
    is reported.
    """
    with collector_paused():
        project = load_project(root)
        if project.document is None:
            return Loaded(project.project, None, None, {}, {}, project.diagnostics, ())
        sources = _read_sources(project, project.document)
        found = [*project.diagnostics, *sources.diagnostics]
        scopes, scope_findings = _scopes(project, project.document, environment, environ)
        found += scope_findings
        if sources.complete:
            for scope in scopes:
                if scope.name is not None:
                    found += override_findings(project.document, scope.name, scope.overrides, sources.declared)
        everything = (*sources.declared.values(), *sources.others)
        found += moved_findings(project.document, project.value, everything, complete=sources.complete)
        found += removed_findings(project.document, project.value, sources.declared)
        judge = Judge(project.document, project.value, [scope.name for scope in scopes])
        found += judge.own_findings(sources.declared, complete=sources.complete)
        checked, others = (_Checked(project.document, scopes, judge) for _ in range(2))
        for declared in sources.declared.values():
            checked.check(declared)
        for declared in sources.others:
            others.check(declared)
        found += (*checked.diagnostics(), *others.diagnostics())
        diagnostics = in_reading_order(found)
        desired = None
        one_scope = [scope.name for scope in scopes] == [environment]
        if project.project is not None and one_scope and not has_errors(diagnostics):
            definitions = {key: define(key, content) for key, content in checked.contents.items()}
            desired = Desired(
                owner=project.project.name,
                definitions=definitions,
                origins=_Origins(definitions.keys(), checked.documents),
                moved=moves(project.value, sources.declared, definitions),
                removed=removals(project.value, sources.declared, scopes[0].overrides),
            )
        return Loaded(
            project=project.project,
            environment=environment if environment in project.environments else None,
            desired=desired,
            device_types=checked.device_types,
            callbacks=checked.callbacks,
            diagnostics=_concerning(paths, diagnostics, project, sources) if paths else diagnostics,
            files=(project.file, *sources.files),
            declared=sources.declared,
            variables=scopes[0].variables.values if len(scopes) == 1 else {},
        )


# The files of the definitions


@dataclass(frozen=True, slots=True)
class _Sources:
    """What the files declare.

    Attributes:
        declared: the device types by their names.
        others: those whose name is at fault or taken: they are checked, and declare nothing.
        complete: whether all documents could be understood, so that a name that is missing is really missing.
    """

    declared: Mapping[str, Declared]
    others: tuple[Declared, ...]
    files: Mapping[str, Path]
    complete: bool
    diagnostics: tuple[Diagnostic, ...]


def _read_sources(project: LoadedProject, document: Document) -> _Sources:
    paths, pattern_findings = source_files(project.root, document, project.value.get("sources", ()))
    found = list(pattern_findings)
    complete = "sources" in project.value
    declared: dict[str, Declared] = {}
    others: list[Declared] = []
    for path in paths:
        source = read(path, name=path.as_posix())
        found += source.diagnostics
        complete = complete and bool(source.documents)
        for definition in source.documents:
            each = _declared(definition, found)
            complete = complete and each is not None and bool(each.name)
            if each is None:
                continue
            if each.name in declared:
                found.append(_declared_twice(declared[each.name], each))
            if each.name in declared or not each.name:
                others.append(each)
            else:
                declared[each.name] = each
    return _Sources(declared, tuple(others), {path.as_posix(): path for path in paths}, complete, tuple(found))


def _declared(document: Document, found: list[Diagnostic]) -> Declared | None:
    """The device type of a document, without a name if that is at fault; what is wrong goes to `found`."""
    wrong_kind = check_kind(document, expected=("DeviceType",))
    if wrong_kind is not None or not isinstance(document.value, dict):
        found += () if wrong_kind is None else (wrong_kind,)
        return None
    _, faults = validate("DeviceType", document)
    found += (fault.diagnostic for fault in faults)
    value = sound(document.value, faults) if faults else document.value
    name = value.get("name")
    return Declared(name if isinstance(name, str) else "", document, value, set_aside(faults))


def _declared_twice(first: Declared, second: Declared) -> Diagnostic:
    related = (("it is declared here first", first.document.span(("name",))),)
    detail = f"{second.name} is declared by two documents; a device type has one place where it is declared."
    help = "Rename one of them, or move its callbacks to the other."
    return diagnostic("duplicate-device-type", detail, help=help, span=second.document.span(("name",)), related=related)


# Environments


@dataclass(frozen=True, slots=True)
class _Scope:
    """What definitions are checked for: an environment, or, in a project that has none, nothing in particular."""

    name: str | None
    variables: Variables
    overrides: Mapping[str, Any]


def _scopes(
    project: LoadedProject, document: Document, chosen: str | None, environ: Mapping[str, str]
) -> tuple[tuple[_Scope, ...], tuple[Diagnostic, ...]]:
    if chosen is None and not document.holds(("environments",)):
        return (_Scope(None, Variables({}, frozenset()), {}),), ()
    if chosen is not None and not document.holds(("environments", chosen)):
        return (), (_unknown_environment(document, chosen, project.environments),)
    scopes: list[_Scope] = []
    found: list[Diagnostic] = []
    for name in project.environments:
        if chosen in (None, name):
            value = project.value["environments"][name]
            variables, findings = variables_of(
                name, value.get("variables", {}), document=document, environ=environ, chosen=chosen is not None
            )
            found += findings
            scopes.append(_Scope(name, variables, value.get("overrides", {})))
    return tuple(scopes), tuple(found)


def _unknown_environment(document: Document, name: str, known: Sequence[str]) -> Diagnostic:
    names = f"It has {', '.join(known)}." if known else "It has none at all."
    near = get_close_matches(name, known, n=1)
    help = f"Did you mean {near[0]}?" if near else ""
    detail = f"The project has no environment {name}. {names}"
    return diagnostic("unknown-environment", detail, help=help, span=document.key_span(("environments",)))


# Definitions


class _Origins(Mapping[Key, Span]):
    """Where each definition is declared; worked out only for those that are asked for."""

    def __init__(self, keys: Collection[Key], documents: Mapping[str, Document]) -> None:
        self._keys = keys
        self._documents = documents

    def __getitem__(self, key: Key) -> Span:
        if key not in self._keys:
            raise KeyError(key)
        document = self._documents[key.device_type]
        return document.key_span(("callbacks", key.callback)) if key.callback else document.span(("name",))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Checked:
    """Checks declared device types for some environments, and gathers what comes of it.

    Contents and resources are gathered only when there is a single scope; for several there is none that they are of.
    """

    def __init__(self, project: Document, scopes: Sequence[_Scope], judge: Judge) -> None:
        self.device_types: dict[Key, DeviceType] = {}
        self.callbacks: dict[Key, Callback] = {}
        self.contents: dict[Key, Content] = {}
        self.documents: dict[str, Document] = {}
        self._project = project
        self._scopes = scopes
        self._judge = judge
        self._found: list[Diagnostic] = []
        self._undefined: dict[tuple[Span, str], list[_Scope]] = {}

    def check(self, declared: Declared) -> None:
        """Check a device type and its callbacks for every scope; what is the same in all of them only once."""
        plain = dict(_contents(declared.value))
        several = len(self._scopes) > 1
        constant = {name for name, content in plain.items() if several and not has_references(content)}
        checked: set[str] = set()
        joint: dict[Diagnostic, list[_Scope]] = {}
        holding: list[_Scope] = []
        for scope in self._scopes:
            layers = layered(declared, self._project, scope.name, scope.overrides)
            if layers is None:
                continue
            holding.append(scope)
            contents = dict(_contents(layers.value)) if layers.overridden else plain
            for name, content in contents.items():
                unchanged = not layers.overridden and name in constant
                if not (unchanged and name in checked):
                    self._check_one(Key(declared.name, name), content, layers, scope)
                elif self._judge:
                    self._judge.judge_again(Key(declared.name, name), environment=scope.name)
                if unchanged:
                    checked.add(name)
            for each in joint_findings(layers, contents):
                joint.setdefault(each, []).append(scope)
        for each, scopes in joint.items():
            self._found.append(each if len(scopes) == len(holding) else _only_in(scopes, each))
        self._found += self._judge.findings(len(holding))

    def _check_one(self, key: Key, content: Content, layers: Layered, scope: _Scope) -> None:
        prefix: Steps = ("callbacks", key.callback) if key.callback else ()
        done = settled(content, scope.variables.values)
        unresolved = {path for path, _ in done.unresolved}
        # An inherited payload config is reported where it stands: at the device type.
        inherits = bool(key.callback) and "payload" not in layers.value["callbacks"][key.callback]
        reported_elsewhere: set[ContentPath] = {("payload",)} if inherits else set()
        for path, reference in done.unresolved:
            if path not in reported_elsewhere:
                self._report_unresolved(reference, layers.place((*prefix, *path)), scope)
        resource, findings = (check_callback if key.callback else check_device_type)(key, done.content)
        lost = layers.declared.set_aside.get(key.callback, frozenset())
        for finding in findings:
            if finding.path not in unresolved | reported_elsewhere and not _follows_from(lost, finding):
                self._found.append(self._located(finding, prefix, done, layers, scope))
        if self._judge:
            unknown = lost.union(path[0] for path in unresolved) if unresolved else lost
            self._judge.judge(key, done, resource, layers, environment=scope.name, unknown=unknown)
        if resource is None or unresolved or lost or len(self._scopes) > 1:
            return
        if isinstance(resource, Callback):
            self.callbacks[key] = resource
        else:
            self.device_types[key] = resource
        self.contents[key] = done.content
        self.documents[key.device_type] = layers.declared.document

    def _located(
        self, finding: Finding, prefix: Steps, done: SettledContent, layers: Layered, scope: _Scope
    ) -> Diagnostic:
        document, steps = layers.place((*prefix, *finding.path))
        offset, length = finding.offset, finding.length
        related: tuple[tuple[str, Span], ...] = ()
        text = done.texts.get(finding.path)
        if text is not None and offset is not None:
            related = tuple(
                (f"the value of {name} in {scope.name}", self._project.span(_variable_steps(scope, name)))
                for name in text.names_within(offset, length)
            )
            offset, length = text.origin(offset, length)
        span = document.key_span(steps) if finding.at_key else text_span(document, steps, offset, length)
        return Diagnostic(
            finding.code, finding.summary, finding.detail, finding.help, finding.severity, span, related=related
        )

    def _report_unresolved(self, reference: Reference, place: tuple[Document, Steps], scope: _Scope) -> None:
        document, steps = place
        span = text_span(document, steps, reference.start, reference.end - reference.start)
        if reference.name is None:
            detail = "A reference to a variable is ${var.name}; the name is made of letters, digits, “_” and “-”."
            self._found.append(diagnostic("bad-variable-reference", detail, span=span))
        elif reference.name not in scope.variables.unknown:
            self._undefined.setdefault((span, reference.name), []).append(scope)

    def diagnostics(self) -> Iterator[Diagnostic]:
        """Everything that was found; an undefined variable once, with all environments that lack it."""
        yield from self._found
        for (span, name), scopes in self._undefined.items():
            yield _undefined_variable(name, span, scopes)


def _contents(value: Mapping[str, Any]) -> Iterator[tuple[str, Content]]:
    """The content of a device type, under an empty name, and of each of its callbacks."""
    yield "", device_type_content(value)
    inherited = value.get("payload", "")
    for name, callback in value.get("callbacks", {}).items():
        yield name, callback_content(callback, inherited=inherited)


def _only_in(scopes: Sequence[_Scope], found: Diagnostic) -> Diagnostic:
    names = " and ".join(scope.name for scope in scopes if scope.name is not None)
    return replace(found, detail=f"{found.detail} This is so in {names}.")


_CALLBACK_KEYS: Final = frozenset[str]().union(*CHANNEL_FIELDS.values())


def _follows_from(lost: frozenset[str], finding: Finding) -> bool:
    """Whether a finding may only be there because keys of its callback were set aside.

    What is wrong with characters of a text is wrong whatever stands beside it, but for what its meaning hangs on. A key
    that does not exist may be one of those, misspelt.
    """
    if not lost:
        return False
    if not lost <= _CALLBACK_KEYS:
        lost |= {"contentType", "payload"}
    hangs_on = {"contentType"} if finding.path[0] == "body" else set()
    if finding.code in {"undeclared-custom-data", "custom-data-without-payload"}:
        hangs_on.add("payload")
    return finding.offset is None or not hangs_on.isdisjoint(lost)


def _variable_steps(scope: _Scope, name: str) -> Steps:
    return ("environments", scope.name or "", "variables", name)


def _undefined_variable(name: str, span: Span, scopes: Sequence[_Scope]) -> Diagnostic:
    names = [scope.name for scope in scopes if scope.name is not None]
    if not names:
        detail = f"{name} has no value: the project has no environments, and variables are defined by them."
        return diagnostic("undefined-variable", detail, span=span)
    known = sorted({each for scope in scopes for each in (*scope.variables.values, *scope.variables.unknown)})
    near = get_close_matches(name, known, n=1)
    help = f"Did you mean ${{var.{near[0]}}}?" if near else f"Define it there:\n    variables: {{{name}: …}}"
    detail = f"{name} has no value in {' and '.join(names)}."
    return diagnostic("undefined-variable", detail, help=help, span=span)


# What was asked about


def _concerning(
    paths: Sequence[Path], found: Sequence[Diagnostic], project: LoadedProject, sources: _Sources
) -> tuple[Diagnostic, ...]:
    """The findings in some files and folders, and what is wrong with these themselves."""
    names = {path.resolve(): name for name, path in (*sources.files.items(), (project.file, Path(project.file)))}
    chosen: set[str] = set()
    wrong: list[Diagnostic] = []
    for path in paths:
        resolved = path.resolve()
        within = {name for file, name in names.items() if file == resolved or resolved in file.parents}
        chosen |= within
        if not path.exists():
            wrong.append(diagnostic("file-not-found", f"There is no {path.as_posix()}.", file=path.as_posix()))
        elif not within:
            detail = f"{path.as_posix()} is neither the project file nor matched by a pattern of its sources."
            help = f"Add it to sources in {project.file}, or move it to the other definitions."
            wrong.append(diagnostic("file-outside-project", detail, help=help, file=path.as_posix()))
    return in_reading_order([*wrong, *(each for each in found if each.place[0] in chosen)])
