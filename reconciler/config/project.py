"""The project file: what it says as a whole, before any definition is looked at.

1. A project is a folder with a `reconciler.yaml`; everything in it is relative to that file.
2. What is sound of a faulty file is used all the same, so that one mistake does not hide the others.
3. A variable whose value is in the environment of the process may be missing there: that is an error for the
   environment that was chosen, and only a warning while all are checked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, Final, cast

from reconciler.config.codes import diagnostic
from reconciler.config.document import API_VERSION, DOCUMENTS, Project
from reconciler.config.file import read
from reconciler.config.place import Document, Plain, Steps
from reconciler.config.schema import Fault, validate
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.grammar.escape import LONE_SURROGATE

__all__ = [
    "PROJECT_FILE",
    "LoadedProject",
    "Variables",
    "check_kind",
    "load_project",
    "set_aside",
    "sound",
    "source_files",
    "variables_of",
]

PROJECT_FILE: Final = "reconciler.yaml"


@dataclass(frozen=True, slots=True)
class LoadedProject:
    """A project file.

    Attributes:
        root: the folder that it stands in.
        document: the file as it was written; None when there is nothing to work with.
        project: the same as a value; None when its shape has faults.
        value: what is sound of it.
    """

    root: Path
    file: str
    document: Document | None
    project: Project | None
    value: Mapping[str, Any]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments that are sound, in the order of the file."""
        return tuple(self.value.get("environments", ()))


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of one environment; those in `unknown` are declared, and have no value here and now."""

    values: Mapping[str, str]
    unknown: frozenset[str]


def load_project(root: Path) -> LoadedProject:
    """Read the project file of a folder, or the file itself. Never raises for a mistake of the user."""
    path = root if root.name == PROJECT_FILE and not root.is_dir() else root / PROJECT_FILE
    name = path.as_posix()

    def nothing(*found: Diagnostic) -> LoadedProject:
        return LoadedProject(path.parent, name, None, None, {}, found)

    if not path.exists():
        return nothing(_not_found(path))
    source = read(path, name=name)
    if not source.documents:
        return nothing(*source.diagnostics)
    document, *others = source.documents
    found = [*source.diagnostics]
    for other in others:
        detail = f"{PROJECT_FILE} holds the project alone; definitions are in the files that sources names."
        found.append(diagnostic("misplaced-document", detail, span=other.span()))
    kind_found = check_kind(document, expected=("Project",))
    if kind_found is not None:
        return nothing(*found, kind_found)
    model, faults = validate("Project", document)
    found += (fault.diagnostic for fault in faults)
    value = sound(cast("Mapping[str, Plain]", document.value), faults)
    found += _promotion_findings(document, value.get("environments", {}))
    project = model if isinstance(model, Project) else None
    return LoadedProject(path.parent, name, document, project, value, tuple(found))


def _not_found(path: Path) -> Diagnostic:
    folder = path.parent.as_posix()
    detail = (
        f"There is no {PROJECT_FILE} in {folder if folder != '.' else 'this folder'}, and a project begins with one."
    )
    if path.with_suffix(".yml").exists():
        detail += f" There is a {path.with_suffix('.yml').name}: the project file is always called {PROJECT_FILE}."
    return diagnostic(
        "project-not-found", detail, help="Begin a project with:\n    reconciler init", file=path.as_posix()
    )


def check_kind(document: Document, *, expected: Sequence[str]) -> Diagnostic | None:
    """Why a document is none of the expected kinds, as far as its first two keys tell."""
    value = document.value
    if not isinstance(value, dict):
        detail = f"A document is a mapping with apiVersion and kind: one of {', '.join(DOCUMENTS)}."
        return diagnostic("wrong-type", detail, span=document.span())
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind is None:
        detail = f"Without it nothing can be said about the document. It is one of {', '.join(DOCUMENTS)}."
        return diagnostic("missing-key", f"The document needs the key kind. {detail}", span=document.span())
    if kind not in DOCUMENTS:
        near = get_close_matches(str(kind), DOCUMENTS, n=1)
        help = f"Did you mean {near[0]}?" if near else "If the file is not meant for reconciler, narrow sources."
        detail = f"Documents are of kind {' or '.join(DOCUMENTS)}."
        return diagnostic("unknown-kind", detail, help=help, span=document.span(("kind",)))
    if version is not None and version != API_VERSION:
        detail = f"This program reads {API_VERSION}."
        return diagnostic("unknown-api-version", detail, span=document.span(("apiVersion",)))
    if kind not in expected:
        where = f"It belongs in {PROJECT_FILE}." if kind == "Project" else "It belongs in a file that sources names."
        return diagnostic("misplaced-document", f"This is a {kind}. {where}", span=document.span(("kind",)))
    return None


DECISIVE: Final = frozenset({"type", "channel"})
"""Without one of these nothing can be said of a callback."""


def set_aside(faults: Sequence[Fault]) -> dict[str, frozenset[str]]:
    """For each callback that `sound` keeps in part, the keys that it takes away."""
    keys: dict[str, set[str]] = {}
    for fault in faults:
        match _part_at_fault(fault):
            case ("callbacks", str(name), str(key)):
                keys.setdefault(name, set()).add(key)
            case _:
                pass  # set aside as a whole, or not of a callback
    return {name: frozenset(lost) for name, lost in keys.items()}


def sound(value: Mapping[str, Plain], faults: Sequence[Fault]) -> dict[str, Any]:
    """The document without its faulty parts: a key, a callback or an override, never more than is needed.

    Of lists whose items stand for themselves, a faulty item becomes None, so that the others keep their places.
    """
    rest: dict[str, Any] = dict(value)
    for fault in faults:
        rest = _without(rest, _part_at_fault(fault))
    return rest


def _part_at_fault(fault: Fault) -> Steps:
    """What has to be set aside for a fault; nothing when what is checked later does not depend on it."""
    steps = fault.steps
    match steps:
        case ("callbacks", _, str(field), *_) if field not in DECISIVE:
            return steps[:3]
        case ("callbacks", _, *_):
            return steps[:2]
        case ("environments", _, "overrides", _, "callbacks", _, *_):
            return steps[:6]
        case ("environments", _, "overrides", _, *_):
            return steps[:5]
        case ("environments", _) if fault.diagnostic.code == "missing-key":
            return ()
        case ("environments", _, "variables", _, *_) | ("environments", _, "target" | "limits" | "protected", *_):
            return ()
        case ("environments", _, *_):
            return steps[:3]
        case ("moved" | "removed" | "policies", int(), *_):
            return steps[:2]
        case _:
            return steps[:1]


def _without(value: Any, steps: Steps) -> Any:
    match steps:
        case (key,) if isinstance(value, dict):
            return {name: each for name, each in value.items() if name != key}
        case (index,) if isinstance(value, list):
            return [None if at == index else each for at, each in enumerate(value)]
        case (key, *rest) if isinstance(value, dict) and key in value:
            return {**value, key: _without(value[key], tuple(rest))}
        case _:
            return value


def _promotion_findings(document: Document, environments: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """An environment is promoted from another one that exists, and never, over some others, from itself."""
    earlier = {name: each["promotesFrom"] for name, each in environments.items() if each.get("promotesFrom")}
    for name, source in earlier.items():
        place: Steps = ("environments", name, "promotesFrom")
        if not document.holds(("environments", source)):
            near = get_close_matches(source, environments, n=1)
            help = f"Did you mean {near[0]}?" if near else ""
            detail = f"{name} is promoted from {source}, and the project has no such environment."
            yield diagnostic("bad-promotion-order", detail, help=help, span=document.span(place))
            continue
        seen = {name}
        while source in earlier and source not in seen:
            seen.add(source)
            source = earlier[source]
        if source == name:
            detail = f"{name} would be promoted from itself: {' from '.join([name, *_way(earlier, name)])}."
            yield diagnostic("bad-promotion-order", detail, span=document.span(place))


def _way(earlier: Mapping[str, str], name: str) -> Iterator[str]:
    step = earlier[name]
    while step != name:
        yield step
        step = earlier[step]
    yield name


# Files


def source_files(
    root: Path, document: Document, patterns: Sequence[str]
) -> tuple[tuple[Path, ...], tuple[Diagnostic, ...]]:
    """The files that hold the definitions, in the order of their names, each once.

    Hidden files and folders are passed over, and so is the project file itself. `document` is the latter.
    """
    files: dict[Path, None] = {}
    found: list[Diagnostic] = []
    for index, pattern in enumerate(patterns):
        span = document.span(("sources", index))
        parts = PurePath(pattern).parts
        if PurePath(pattern).is_absolute() or ".." in parts or not parts:
            detail = f"Patterns are relative to {PROJECT_FILE}, and lead to files beside and below it."
            found.append(diagnostic("bad-source-pattern", detail, span=span))
            continue
        if any("**" in part and part != "**" for part in parts):  # Python takes it for * from 3.13 on
            detail = "** stands for any number of folders, and is a step of the path by itself, as in a/**/b."
            found.append(diagnostic("bad-source-pattern", detail, span=span))
            continue
        try:
            matches = [path for path in root.glob(pattern) if _is_source(path.relative_to(root))]
        except (ValueError, OSError) as error:  # such as a name too long for the file system
            found.append(diagnostic("bad-source-pattern", f"The pattern cannot be used: {error}.", span=span))
            continue
        if not matches:
            detail = f"No file matches {pattern}; what it was meant to declare is not part of the project."
            found.append(diagnostic("no-file-matches", detail, span=span, severity=Severity.WARNING))
        files.update(dict.fromkeys(matches))
    return tuple(sorted(files)), tuple(found)


def _is_source(path: Path) -> bool:
    return path != Path(PROJECT_FILE) and not any(part.startswith(".") for part in path.parts)


# Variables


def variables_of(
    environment: str, declared: Mapping[str, Any], *, document: Document, environ: Mapping[str, str], chosen: bool
) -> tuple[Variables, tuple[Diagnostic, ...]]:
    """The variables that an environment declares; `chosen` when it is to be used, and not only checked."""
    values: dict[str, str] = {}
    unknown: set[str] = set()
    found: list[Diagnostic] = []
    for name, given in declared.items():
        steps: Steps = ("environments", environment, "variables", name)
        match given:
            case {"env": str(variable)}:
                text = environ.get(variable)
                if text is None:
                    unknown.add(name)
                    found.append(_not_set(document, steps, variable, chosen=chosen))
                    continue
            case str() | int() | float():
                text = document.written(steps)
            case _:  # reported as a fault of the document's shape
                unknown.add(name)
                continue
        reason = _why_unusable(text)
        if reason:
            detail = f"The value of {name} in {environment} holds {reason}"
            found.append(diagnostic("bad-variable-value", detail, span=document.span(steps)))
            unknown.add(name)
            continue
        values[name] = text
    return Variables(values, frozenset(unknown)), tuple(found)


def _why_unusable(value: str) -> str:
    """Why a value cannot be put into a text; empty when it can. The value itself may be a secret, and is not shown."""
    if "{" in value or "}" in value:
        return (
            "a brace. Put into a template it would become a variable or a secret that nobody wrote there; "
            "write braces into the template itself."
        )
    if LONE_SURROGATE.search(value):
        return "bytes that are not UTF-8, which no request can carry."
    return ""


def _not_set(document: Document, steps: Steps, variable: str, *, chosen: bool) -> Diagnostic:
    _, environment, _, name = steps
    if chosen:
        detail = f"{name} takes its value from the environment variable {variable}, which is not set."
        help = f"Set it, for example:\n    export {variable}=…"
        severity = Severity.ERROR
    else:
        detail = f"{name} takes its value from {variable}; what uses it could not be checked for {environment}."
        help = f"Set it, or choose another environment with -e; only {environment} needs it."
        severity = Severity.WARNING
    return diagnostic(
        "environment-variable-not-set", detail, help=help, span=document.span((*steps, "env")), severity=severity
    )
