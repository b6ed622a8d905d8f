"""What a target holds → the files that declare it.

New device types get files of their own; in files that are there, only what is new or differs is written, at its place
(`config.amend`). Rules:

1. After an import the files say what the target holds. What was written is read again and compared before anything
   reaches the disk; what the files declare beyond it stays.
2. A value that happens to equal a variable's stays a value. A text that a file would read as a reference to a variable
   cannot be written, and is a conflict.
3. What `moved` and `removed` speak of is left: the next plan renames or deletes it.
4. All or nothing: with a conflict there are no files, and every conflict is told.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any, Final, cast

from reconciler.codec.canonical import content_digest
from reconciler.config.amend import Amender
from reconciler.config.codes import diagnostic
from reconciler.config.content import callback_content, device_type_content, settled
from reconciler.config.declare import device_type_text
from reconciler.config.layout import comments
from reconciler.config.load import Loaded
from reconciler.config.overlay import Declared, layered
from reconciler.config.place import Document
from reconciler.config.project import LoadedProject
from reconciler.config.published import FILE_NAMES
from reconciler.config.rewrite import edited
from reconciler.config.settle import references
from reconciler.config.source import nodes, parse
from reconciler.diagnostics import Diagnostic, has_errors
from reconciler.model.definition import Content, Definition
from reconciler.model.resource import Key

__all__ = ["Export", "ExportedFile", "export", "folder_of"]

_BOM: Final = "\ufeff"
_MODELINE = re.compile(r"^#[ \t]*yaml-language-server:[ \t]*\$schema=(\S+)", re.MULTILINE)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|/")
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file as it is to be.

    Attributes:
        before: its whole text as it is; None for a new one.
        keys: the definitions that it declares anew, or otherwise than before.
    """

    path: Path
    before: str | None
    text: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """What an import writes, and what it leaves.

    Attributes:
        files: none when an error is among the diagnostics.
        left: what is held and stays out of the files, since `moved` or `removed` speak of it.
        missing: what the files declare, and is not held.
    """

    files: tuple[ExportedFile, ...]
    left: tuple[Key, ...]
    missing: tuple[Key, ...]
    diagnostics: tuple[Diagnostic, ...]


def export(project: LoadedProject, loaded: Loaded, held: Mapping[Key, Definition], *, folder: Path) -> Export:
    """The files that declare what is held; those of device types that no file declares come into `folder`.

    `project` and `loaded` are of the environment that holds it, and without errors.
    """
    desired = loaded.desired
    assert desired is not None, "there are no errors, and an environment was chosen"
    moving = desired.moved
    left = {key for key in held if key in moving or key.parent in moving or key.device_type in desired.removed}
    arriving = {new for old, new in moving.items() if old in held}
    wanted = {key: definition for key, definition in held.items() if key not in left}
    missing = {key for key in desired.definitions.keys() - held.keys() if arriving.isdisjoint({key, key.parent})}
    exporter = _Exporter(project, loaded, wanted)
    files = exporter.files(folder)
    return Export(
        files=() if has_errors(exporter.found) else files,
        left=tuple(sorted(left)),
        missing=tuple(sorted(missing)),
        diagnostics=tuple(exporter.found),
    )


def folder_of(project: LoadedProject) -> Path:
    """Where the files of new device types belong: the folder that the first pattern of sources begins with."""
    pattern = next(iter(project.value.get("sources", ())), "")
    fixed: list[str] = []
    for part in PurePath(pattern).parts[:-1]:
        if _WILDCARDS & set(part):
            break
        fixed.append(part)
    return project.root.joinpath(*fixed)


class _Exporter:
    """One import; `found` are its conflicts."""

    def __init__(self, project: LoadedProject, loaded: Loaded, held: Mapping[Key, Definition]) -> None:
        assert project.document is not None, "the project file has no errors"
        assert loaded.environment is not None, "an environment was chosen"
        assert loaded.desired is not None, "likewise"
        self.found: list[Diagnostic] = []
        self._project = project
        self._document = project.document
        self._environment = loaded.environment
        self._overrides: Mapping[str, Any] = project.value["environments"][loaded.environment].get("overrides", {})
        self._declared = loaded.declared
        self._variables = loaded.variables
        self._definitions = loaded.desired.definitions
        self._held = held

    def files(self, folder: Path) -> tuple[ExportedFile, ...]:
        """All that are new or change; conflicts go to `found`."""
        amender = Amender(
            self._document,
            self._variables,
            environment=self._environment,
            shared=len(self._project.environments) > 1,
        )
        files: list[ExportedFile] = []
        for name, contents in self._differing():
            self.found += _unwritable(contents)
            declared = self._declared.get(name)
            if declared is None:
                files += self._new_file(folder / f"{name}.yaml", name, contents)
            elif (layers := layered(declared, self._document, self._environment, self._overrides)) is None:
                amender.taken_away(Key(name))
            else:
                amender.amend(layers, contents)
        self.found += amender.found
        if not has_errors(self.found):
            changed = [*self._changed_files(amender)]
            self._verify(changed)
            files += changed
        return tuple(sorted(files, key=lambda file: file.path))

    def _differing(self) -> Iterator[tuple[str, Mapping[Key, Content]]]:
        """Device types, each with its definitions that the files do not declare as they are held."""
        by_name: dict[str, dict[Key, Definition]] = {}
        for key in sorted(self._held):
            by_name.setdefault(key.device_type, {})[key] = self._held[key]
        for name, definitions in by_name.items():
            differing = {key: each.content for key, each in definitions.items() if self._differs(key)}
            if Key(name) in differing:  # its payload config may be what callbacks inherit
                differing = {key: each.content for key, each in definitions.items()}
            if differing:
                yield name, differing

    def _differs(self, key: Key) -> bool:
        declared = self._definitions.get(key)
        return declared is None or declared.digest != self._held[key].digest

    # New files

    def _new_file(self, path: Path, name: str, contents: Mapping[Key, Content]) -> Iterator[ExportedFile]:
        if path.exists():
            detail = (
                f"{name} would be declared in {path.as_posix()}. That file is there already, and declares no {name}."
            )
            help = "Rename it, or import into another folder:\n    reconciler import -o DIR …"
            self.found.append(diagnostic("import-file-exists", detail, help=help, file=path.as_posix()))
            return
        if not _is_source(self._project.root, path, self._project.value.get("sources", ())):
            detail = f"{name} would be declared in {path.as_posix()}, which no pattern of sources matches."
            help = "Import into a folder that a pattern matches, or add a pattern for this one."
            span = self._document.key_span(("sources",))
            self.found.append(diagnostic("import-outside-sources", detail, help=help, span=span))
            return
        text = self._modeline(path) + device_type_text(name, contents)
        (document,) = parse(text, name=path.as_posix()).documents
        file = ExportedFile(path, None, text, tuple(contents))
        if self._says(_as_declared(document), self._overrides, contents):
            yield file
        elif not has_errors(self.found):
            self._not_possible(file)

    def _modeline(self, path: Path) -> str:
        """The line that names the schema to editors, as other files have it; empty where nothing tells of one."""
        for declared in self._declared.values():
            source = declared.document.source
            if found := _MODELINE.search(source.text):
                return _naming(found[1], Path(source.name).parent, path.parent)
        if found := _MODELINE.search(self._document.source.text):
            beside = found[1].rpartition("/")
            return _naming("".join(beside[:2]) + FILE_NAMES["DeviceType"], self._project.root, path.parent)
        for folder in (".reconciler/schemas", "schemas"):
            schema = f"{folder}/{FILE_NAMES['DeviceType']}"
            if (self._project.root / schema).is_file():
                return _naming(schema, self._project.root, path.parent)
        return ""

    # Files that are there

    def _changed_files(self, amender: Amender) -> Iterator[ExportedFile]:
        for name, text, edits, keys in amender.changes():
            if not edits:
                continue
            path = Path(name)
            before = path.read_bytes().decode(errors="replace")
            if before.removeprefix(_BOM) != text:
                detail = f"{name} is not what it was when this import began."
                self.found.append(diagnostic("file-changed-meanwhile", detail, help="Import again.", file=name))
                continue
            marked = before[: len(before) - len(text)]
            yield ExportedFile(path, before, marked + edited(text, edits), keys)

    def _verify(self, files: Sequence[ExportedFile]) -> None:
        """Report files that would not say what they should, or have lost a comment."""
        overrides, declared = self._overrides, dict(self._declared)
        for file in files:
            source = parse(file.text, name=file.path.as_posix())
            if source.diagnostics or not _comments_of(file.text) >= _comments_of(file.before or ""):
                self._not_possible(file)
            for document in source.documents:
                value = cast("Mapping[str, Any]", document.value)
                if value["kind"] == "Project":
                    overrides = value["environments"][self._environment].get("overrides", {})
                else:
                    declared[value["name"]] = _as_declared(document)
        if has_errors(self.found):
            return
        by_name = {file.path.as_posix(): file for file in files}
        places = {name: by_name.get(each.document.source.name) for name, each in declared.items()}
        touched = {name: file for name, file in places.items() if file is not None}
        touched |= {key.device_type: file for file in files for key in file.keys}
        for name, file in touched.items():
            if not self._says(declared[name], overrides, self._goal(name)):
                self._not_possible(file)

    def _goal(self, name: str) -> Mapping[Key, Content]:
        """All that the files are to say of a device type: what is held, and what they say beyond that."""
        before, after = (each.get(Key(name)) for each in (self._definitions, self._held))
        inherits_otherwise = before is not None and after is not None and before.digest != after.digest
        beyond = {} if inherits_otherwise else self._definitions
        return {key: each.content for key, each in {**beyond, **self._held}.items() if key.device_type == name}

    def _says(self, declared: Declared, overrides: Mapping[str, Any], contents: Mapping[Key, Content]) -> bool:
        """Whether a document declares these contents, in the environment and with its variables."""
        layers = layered(declared, self._document, self._environment, overrides)
        value = {} if layers is None else layers.value
        callbacks = value.get("callbacks", {})
        inherited = value.get("payload", "")
        for key, content in contents.items():
            if key.callback and key.callback not in callbacks:
                return False
            said = (
                callback_content(callbacks[key.callback], inherited=inherited)
                if key.callback
                else device_type_content(value)
            )
            if content_digest(settled(said, self._variables).content) != content_digest(content):
                return False
        return True

    def _not_possible(self, file: ExportedFile) -> None:
        path, names = file.path.as_posix(), ", ".join(map(str, file.keys))
        detail = f"{path} is written in a way that does not allow to change {names} and nothing else."
        help = "Perhaps an anchor is shared with others, or a comment would be lost. Change it by hand."
        self.found.append(diagnostic("import-not-possible", detail, help=help, file=path))


def _as_declared(document: Document) -> Declared:
    value = cast("Mapping[str, Any]", document.value)
    return Declared(str(value["name"]), document, value)


def _comments_of(text: str) -> Counter[str]:
    text = text.removeprefix(_BOM)
    return Counter(comments(text, nodes(text)))


def _unwritable(contents: Mapping[Key, Content]) -> Iterator[Diagnostic]:
    """The texts that a file would read as references to variables."""
    for key, content in contents.items():
        for name, value in content.items():
            texts = value.values() if isinstance(value, Mapping) else (value,)
            if any(isinstance(text, str) and references(text) for text in texts):
                detail = (
                    f"{name} of {key} holds ${{var as a text, which a file would read as a reference to a variable."
                )
                help = "It was published by something else than files. Change it there, and import again."
                yield diagnostic("import-of-reference", detail, help=help)


def _is_source(root: Path, path: Path, patterns: Sequence[str]) -> bool:
    """Whether a file that is not there yet would be read for one of the patterns."""
    try:
        parts = Path(os.path.abspath(path)).relative_to(os.path.abspath(root)).parts
    except ValueError:
        return False
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and any(_matches(parts, PurePath(pattern).parts) for pattern in patterns)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(_matches(parts[at:], rest) for at in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], first) and _matches(parts[1:], rest)


def _naming(schema: str, named_from: Path, folder: Path) -> str:
    """The line that names a schema, in a file of another folder."""
    if not _ADDRESS.match(schema):
        schema = PurePath(os.path.relpath(named_from / schema, folder)).as_posix()
    return f"# yaml-language-server: $schema={schema}\n"
