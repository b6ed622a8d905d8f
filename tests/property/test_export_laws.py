"""Laws of imports: the plan right after is empty, what did not differ keeps its bytes, and conflicts write nothing."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from reconciler.codec.canonical import define, set_digest
from reconciler.config.declare import callback_value, field_value
from reconciler.config.export import Export, export, folder_of
from reconciler.config.format import formatted
from reconciler.config.layout import LINE_BREAK, Lines, MappingNode, Node, ScalarNode, comments
from reconciler.config.load import Loaded, load
from reconciler.config.place import Plain
from reconciler.config.project import load_project
from reconciler.config.source import nodes
from reconciler.config.spell import entry, on_one_line
from reconciler.model.definition import Content, Definition
from reconciler.model.plan import Plan
from reconciler.model.resource import Key
from reconciler.model.snapshot import Desired, Fingerprint, Observed
from reconciler.plan.planner import make_plan

World: TypeAlias = Mapping[Key, Content]
Way: TypeAlias = tuple[str, ...]

# Definitions that nothing is wrong with

_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="{}$\x00")
    | st.sampled_from("ab \n\n:#'\"\\-?&*!|>%@`,[]\té"),
    max_size=24,
)
_LINES = st.text(st.sampled_from("ab :#'\"\\-&*!|>%@`,[]é😀"), max_size=9).map(lambda text: f"x{text}x")
_BODIES = _TEXTS.filter(bool) | st.sampled_from(
    ["a\nb", "a\nb\n", " a\nb", "a\n\n  b\n", "a \nb", "true", "null", "0x1F", "1e3", "x: y", "at one.example.com"]
)
_PAYLOADS = st.sampled_from(["a::bool:1", "a::uint:8 b::int:16:little-endian"])
_URLS = st.builds(
    str.__add__,
    st.sampled_from(["https://one.example.com", "https://two.example.com:8443"]),
    st.sampled_from(["/uplink/{device}", "/a?x={time}&y=1", "/é", "/"]),
)
_FLAGS = {"protect": st.just(True), "enabled": st.just(False)}
_CHANNELS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "url": {
        "url": _URLS,
        "method": st.just("PUT"),
        "signature": st.sampled_from(["${secret.A}", "${secret.NEW}, ${secret.OLD}"]),
        "contentType": st.just("text/plain"),
        "body": _BODIES,
        "headers": st.dictionaries(st.sampled_from(["X-A", "X-B", "Authorization", "x-null"]), _LINES, min_size=1),
        "sendSni": st.just(True),
        "ordered": st.just(True),
    },
    "batch-url": {
        "url": st.just("https://one.example.com/?lines={batch}"),
        "linePattern": st.sampled_from(["{device};{time}", "a: {time} # no"]),
        "method": st.just("PUT"),
    },
    "email": {
        "recipient": st.sampled_from(["a@one.example.com", "a@example.com, b@one.example.com"]),
        "subject": _LINES,
        "message": _BODIES,
    },
}
_NEEDED = {"url": ("url", "contentType"), "batch-url": ("url", "linePattern"), "email": ("recipient", "subject")}


@st.composite
def callbacks(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a callback."""
    channel = draw(st.sampled_from(sorted(_CHANNELS)))
    kind = draw(st.sampled_from(["data/uplink", "error"]))
    payload = {"payload": _PAYLOADS} if kind == "data/uplink" else {}
    fields = {**_CHANNELS[channel], **_FLAGS, **payload}
    needed = {name: fields.pop(name) for name in _NEEDED[channel]}
    own: dict[str, Any] = draw(st.fixed_dictionaries(needed, optional=fields))
    return {"type": kind, "channel": channel, **own}


_DEVICE_TYPES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"keepAlive": st.sampled_from([1800, 5400, 86_400, 90_001])},
    optional={
        "description": _BODIES,
        "payload": _PAYLOADS,
        "downlink": st.sampled_from([{"mode": "managed"}, {"mode": "direct", "data": "{time}{rssi}0000"}]),
    },
)
_NAMES = st.lists(st.sampled_from(["tracker", "true", "12"]), unique=True, min_size=1, max_size=2)
_CALLBACK_NAMES = st.lists(st.sampled_from(["telemetry", "null", "1e5", "c-d.e_f"]), unique=True, max_size=3)


@st.composite
def worlds(draw: st.DrawFn) -> dict[Key, Content]:
    """What a target may hold for a project."""
    world: dict[Key, Content] = {}
    for name in draw(_NAMES):
        world[Key(name)] = draw(_DEVICE_TYPES)
        for callback in draw(_CALLBACK_NAMES):
            alike = [content for key, content in world.items() if key.callback]
            again = alike and draw(st.integers(0, 2)) == 0
            world[Key(name, callback)] = draw(st.sampled_from(alike) if again else callbacks())
    return world


@st.composite
def changed(draw: st.DrawFn, world: World) -> dict[Key, Content]:
    """A world that is like another one, but for some fields and definitions."""
    result = {key: content for key, content in world.items() if draw(st.integers(0, 5))}
    for key, content in draw(worlds()).items() if draw(st.booleans()) else ():
        result.setdefault(key, content)
    for key in result.keys() & world.keys():
        how = draw(st.sampled_from(["as it is", "as it is", "in some fields", "as a whole"]))
        fresh = draw(callbacks() if key.callback else _DEVICE_TYPES) if how != "as it is" else {}
        if how == "in some fields" and fresh.get("channel") == world[key].get("channel"):
            other = {name for name in sorted({*fresh, *world[key]}) if draw(st.integers(0, 2)) == 0}
            fresh = {name: (fresh if name in other else world[key]).get(name) for name in (*world[key], *fresh)}
            fresh = {name: value for name, value in fresh.items() if value is not None}
            if fresh.get("type") == "error":
                fresh.pop("payload", None)
        result[key] = fresh or world[key]
    return {key: content for key, content in result.items() if key.parent in result}


# Files, as somebody may have written them


@dataclass(frozen=True, slots=True)
class Case:
    """Files, what they declare, and what the target holds.

    Attributes:
        shared: whether there is another environment than that of the target.
    """

    files: Mapping[str, str]
    declared: World
    held: World
    shared: bool


class Hand:
    """Writes values as YAML in all of its manners, with comments and blank lines between."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._anchors: dict[str, str] = {}
        self._mappings: dict[str, Mapping[str, Plain]] = {}

    def mapping(self, value: Mapping[str, Plain], column: int = 0) -> list[str]:
        """The lines of a mapping whose keys stand at a column."""
        lines: list[str] = []
        for name in self._draw(st.permutations([*value])):
            lines += [" " * column + each if each else "" for each in self._between()]
            lines += self._entry(name, value[name], column)
        return lines

    def _entry(self, name: str, value: Plain, column: int) -> list[str]:
        head = " " * column + self._draw(st.sampled_from([on_one_line(name), json.dumps(name)])) + ":"
        behind = self._draw(st.sampled_from(["", "", "", f"  # behind {name}"]))
        pad = " " * (column + self._draw(st.integers(1, 4)))
        how = self._draw(st.sampled_from(["plain", "plain", "plain", "flow", "flow lines", "quoted", "anchor"]))
        match value:
            case dict() if value and how == "flow lines":
                rows = [f"{pad}{on_one_line(key)}: {on_one_line(each)}," for key, each in value.items()]
                rows[0] += self._draw(st.sampled_from(["", f"  # inside {name}"]))
                return [f"{head} {{", *rows, f"{pad}}}{behind}"]
            case dict() if value and how == "anchor":
                for anchor, base in self._mappings.items():
                    rest = {key: each for key, each in value.items() if base.get(key) != each}
                    if not rest and base == value:
                        return [f"{head} *{anchor}{behind}"]
                    if base.keys() <= value.keys() and rest.keys().isdisjoint(base) and rest:
                        return [head + behind, f"{pad}<<: *{anchor}", *self.mapping(rest, len(pad))]
                below = self.mapping(value, len(pad))
                anchor = f"m{len(self._mappings)}"
                self._mappings[anchor] = value
                return [f"{head} &{anchor}{behind}", *below]
            case dict() if value and how != "flow":
                return [head + behind, *self.mapping(value, len(pad))]
            case str() if how == "anchor" and _is_literal(value):
                body = value.removesuffix("\n")
                header = f"|{len(pad) - column}" + ("" if value.endswith("\n") else "-")
                return [f"{head} {header}{behind}", *(pad + line if line else "" for line in body.split("\n"))]
            case str() if how == "anchor" and value.isprintable():
                known = value in self._anchors
                anchor = self._anchors.setdefault(value, f"a{len(self._anchors)}")
                return [
                    f"{head} *{anchor}{behind}"
                    if known
                    else f"{head} &{anchor} {json.dumps(value, ensure_ascii=False)}{behind}"
                ]
            case str() if how == "quoted" and value.isprintable():
                quoted = json.dumps(value, ensure_ascii=False)
                return self._draw(st.sampled_from([[f"{head} {quoted}{behind}"], [head + behind, pad + quoted]]))
            case str() if how == "flow lines" and value.isprintable() and value.strip(" ") == value:
                return [f"{head} >-{behind}", pad + value]
            case str() if how == "flow" and value.isprintable():
                return [head + " '" + value.replace("'", "''") + "'" + behind]
            case _:
                first, *further = entry(name, value)
                first = head + first.partition(":")[2] + behind
                return [first, *(" " * column + each if each else "" for each in further)]

    def _between(self) -> list[str]:
        comment = f"# comment {self._draw(st.integers(0, 99))}"
        return self._draw(st.sampled_from([[], [], [], [""], [comment], ["", comment, comment], [comment, ""]]))


def _is_literal(text: str) -> bool:
    body = text.removesuffix("\n")
    return "\n" in text and bool(body.strip(" ")) and not body.endswith("\n") and body.replace("\n", "").isprintable()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    declared = draw(worlds()) if draw(st.integers(0, 9)) else {}
    shared = draw(st.booleans())
    hand = Hand(draw)
    overrides: dict[str, Any] = {}
    documents: list[str] = []
    for name in {key.device_type: None for key in declared}:
        value = _declaring(name, declared)
        if override := _override(draw, value):
            overrides[name] = override
        documents.append("\n".join(Hand(draw).mapping(_loosely(draw, value))) + "\n")
    environment: dict[str, Plain] = {
        "target": {"engine": "http://127.0.0.1:8460"},
        "variables": {"host": "one.example.com"},
        **({"overrides": overrides} if overrides else {}),
    }
    prod: Plain = {"target": {"engine": "http://127.0.0.1:8461"}, "variables": {"host": "h"}}
    project: Mapping[str, Plain] = {
        "apiVersion": "reconciler/v1",
        "kind": "Project",
        "name": "project",
        "sources": ["types/*.yaml"],
        "environments": {"dev": environment, **({"prod": prod} if shared else {})},
    }
    files = {"reconciler.yaml": "\n".join(hand.mapping(project)) + "\n"}
    for index, text in enumerate(documents):
        path = f"types/{draw(st.integers(0, index))}.yaml"
        files[path] = f"{files[path]}---\n{text}" if path in files else text
    manner = draw(st.sampled_from(["", "", "", "crlf", "no last break", "bom"]))
    files = {path: _in_manner(text, manner) for path, text in files.items()}
    return Case(files, declared, draw(changed(declared)), shared)


def _declaring(name: str, world: World) -> dict[str, Any]:
    own = world[Key(name)]
    below = {key.callback: content for key, content in world.items() if key.callback and key.device_type == name}
    inherited = str(own.get("payload", ""))
    callbacks = {callback: callback_value(content, inherited=inherited) for callback, content in below.items()}
    return {
        "apiVersion": "reconciler/v1",
        "kind": "DeviceType",
        "name": name,
        **{field: field_value(field, each) for field, each in own.items()},
        **({"callbacks": callbacks} if callbacks or "description" in own else {}),
    }


def _override(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    """Some fields' values, that come to be given by an override; the definition gets others, or none."""
    override: dict[str, Any] = {}
    for name, callback in value.get("callbacks", {}).items():
        for field, other in {"headers": {"X-Z": "z"}, "enabled": False, "body": "other", "message": "other"}.items():
            if field not in callback or draw(st.integers(0, 3)):
                continue
            override.setdefault("callbacks", {}).setdefault(name, {})[field] = callback[field]
            if field == "headers":
                override["callbacks"][name][field] = {"X-Z": None, **callback[field]}
            callback[field] = other
    return override


def _loosely(draw: st.DrawFn, value: Plain, name: str = "") -> Any:
    """The value with `${var.host}` for the host in some texts, and lists of recipients."""
    match value:
        case dict():
            return {key: _loosely(draw, each, key) for key, each in value.items()}
        case str() if "one.example.com" in value and draw(st.booleans()):
            return _loosely(draw, value.replace("one.example.com", "${var.host}"), name)
        case str() if name == "recipient" and draw(st.booleans()):
            return value.split(", ")
        case _:
            return value


def _in_manner(text: str, manner: str) -> str:
    match manner:
        case "crlf":
            return text.replace("\n", "\r\n")
        case "no last break":
            return text.removesuffix("\n")
        case "bom":
            return f"\ufeff{text}"
        case _:
            return text


# Imports


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: the files as they are then, and the plan that follows."""

    desired: Desired
    export: Export
    files: Mapping[str, str]
    plan: Plan


@contextmanager
def project_of(files: Mapping[str, str]) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        for path, text in files.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_bytes(text.encode())
        yield Path(folder)


def loaded_from(root: Path) -> tuple[Loaded, Desired]:
    loaded = load(root, environ={}, environment="dev")
    assert loaded.desired is not None, loaded.diagnostics
    return loaded, loaded.desired


def imported(files: Mapping[str, str], world: World) -> Imported:
    """Import a world onto files."""
    held = {key: define(key, content) for key, content in world.items()}
    with project_of(files) as root:
        loaded, before = loaded_from(root)
        project = load_project(root)
        result = export(project, loaded, held, folder=folder_of(project))
        for file in result.files:
            file.path.parent.mkdir(exist_ok=True)
            file.path.write_bytes(file.text.encode())
        written = {path.relative_to(root).as_posix(): path.read_bytes().decode() for path in root.rglob("*.yaml")}
        _, after = loaded_from(root)
    return Imported(before, result, written, make_plan(after, _observed(held), environment="dev", target="t"))


def _observed(held: Mapping[Key, Definition]) -> Observed:
    digests = {key: definition.digest for key, definition in held.items()}
    return Observed(digests, held, {}, Fingerprint(1, set_digest(digests)))


def comments_of(text: str) -> Counter[str]:
    text = text.removeprefix("\ufeff")
    return Counter(comments(text, nodes(text)))


# What an import may alter


def differing(case: Case) -> set[Way]:
    """The fields in which the target differs from the files; whole definitions when the files lack them."""
    found: set[Way] = set()
    for key, content in case.held.items():
        way: Way = (key.device_type, "callbacks", key.callback) if key.callback else (key.device_type,)
        if key not in case.declared:
            found.add(way)
            continue
        before = {**case.declared[key]}
        for name in {*before, *content, *_inherited(case, key)}:
            one, other = before.get(name), content.get(name)
            if isinstance(one, dict) and isinstance(other, dict):
                found |= {(*way, name, each) for each in {*one, *other} if one.get(each) != other.get(each)}
            elif one != other or name in _inherited(case, key):
                found.add((*way, name))
    return found


def _inherited(case: Case, key: Key) -> set[str]:
    """What a callback may have to say for itself, because its device type says it otherwise."""
    before, after = (world.get(key.parent, {}).get("payload") for world in (case.declared, case.held))
    return {"payload"} if key.callback and before != after else set()


def alterable(text: str, paths: set[Way]) -> set[int]:
    """The lines of a file on which these fields stand."""
    lines = Lines(text)
    found: set[int] = set()
    for root in nodes(text):
        assert isinstance(root, MappingNode)
        own = {
            key.text: each.text
            for key, each in root.entries
            if isinstance(key, ScalarNode) and isinstance(each, ScalarNode)
        }
        if own["kind"] == "Project":
            found |= _alterable(lines, root, root.start, {("environments", "dev", "overrides", *way) for way in paths})
        else:
            below = {way[1:] for way in paths if way[0] == own["name"]}
            found |= _alterable(lines, root, root.start, below)
    return found


def _alterable(lines: Lines, node: Node, start: int, paths: set[Way]) -> set[int]:
    if not paths:
        return set()
    whole = set(range(lines.number(start), lines.number(node.end) + 1))
    if () in paths or not isinstance(node, MappingNode) or node.flow:
        return whole
    found: set[int] = set()
    last = True
    for key, value in node.entries:
        assert isinstance(key, ScalarNode)
        inner = _alterable(lines, value, key.start, {way[1:] for way in paths if way[0] == key.text})
        last = last and lines.number(key.start) in inner
        found |= inner
    return whole if last else found  # a mapping without a key is written as {}


# The laws

PROJECT = """\
# yaml-language-server: $schema=schemas/project.v1.schema.json
apiVersion: reconciler/v1
kind: Project
name: project
sources: [types/*.yaml]
environments: {dev: {target: {engine: "http://127.0.0.1:8460"}}}
"""


@settings(max_examples=150)
@given(cases())
def test_after_an_import_the_plan_is_empty_but_for_what_the_target_lacks(case: Case) -> None:
    done = imported(case.files, case.held)
    assume(not done.export.diagnostics)
    assert {key: definition.content for key, definition in done.desired.definitions.items()} == case.declared
    lacking = case.declared.keys() - case.held.keys()
    assert set(done.export.missing) == lacking
    assert {(change.kind, change.key) for change in done.plan.changes} == {("create", key) for key in lacking}
    assert imported(done.files, case.held).export.files == (), "once is enough"


@settings(max_examples=150)
@given(cases())
def test_what_does_not_differ_keeps_every_byte_and_no_comment_is_lost(case: Case) -> None:
    done = imported(case.files, case.held)
    paths = differing(case)
    for name, before in case.files.items():
        after = done.files[name]
        may_change = alterable(before.removeprefix("\ufeff"), paths)
        written = iter(LINE_BREAK.split(after))
        assert all(line in written for at, line in enumerate(LINE_BREAK.split(before)) if at not in may_change)
        assert {*LINE_BREAK.findall(after)} == {*LINE_BREAK.findall(before)}
        assert comments_of(after) >= comments_of(before)
    if not paths:
        assert done.files == case.files


@settings(max_examples=100)
@given(cases())
def test_an_import_with_a_conflict_writes_nothing_and_says_why(case: Case) -> None:
    done = imported(case.files, case.held)
    codes = {found.code for found in done.export.diagnostics}
    event(", ".join(sorted(codes)) or "no conflict")
    if codes:
        assert done.files == case.files
    text = "".join(case.files.values())
    allowed = {
        "import-loses-variable": case.shared and "${var.host}" in text,
        "import-not-possible": bool(re.search(r"&[am]\d", text)) or "# inside" in text,
    }
    assert {code for code, allows in allowed.items() if allows} >= codes


@settings(max_examples=60)
@given(worlds())
def test_new_files_say_what_is_held_and_are_in_canonical_form(world: World) -> None:
    done = imported({"reconciler.yaml": PROJECT}, world)
    assert done.export.diagnostics == ()
    assert done.plan.changes == ()
    for file in done.export.files:
        assert formatted(file.text, name="").text == file.text
        assert file.text.startswith("# yaml-language-server: $schema=../schemas/device-type.v1.schema.json\n")


@given(worlds(), st.data())
def test_a_text_that_files_would_read_as_a_reference_is_refused(world: World, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(world)))
    name = "description" if not key.callback else "body" if world[key]["channel"] == "url" else "url"
    text = data.draw(st.sampled_from(["${var.host}", "${var", "${var.", "a ${var} b"]))
    held = {**world, key: {**world[key], name: f"{world[key].get(name, '')}{text}"}}
    done = imported({"reconciler.yaml": PROJECT}, held)
    assert {found.code for found in done.export.diagnostics} == {"import-of-reference"}
    assert done.files == {"reconciler.yaml": PROJECT}
