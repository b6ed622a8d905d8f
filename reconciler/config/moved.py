"""What has a new name, and what is gone: `moved` and `removed`, checked against what the files declare.

`moved` stands in the project file for device types, and in a device type's document for its callbacks. An entry tells
that something is declared under a new name and may still have the old one somewhere; it does nothing where the old name
is gone, so that entries may stay in the files until the last environment has caught up.

1. The new name is declared, the old one is not, and each name stands in one entry: nothing is moved twice, and nothing
   from two places to one. So the order of entries never matters.
2. Chains are refused with the entry to write instead: whoever reads `a → b → c` has to know which of them were applied
   where; `a → c` says it.
3. `removed` names device types that no file declares any more, and that shall go wherever they are. It is not about
   callbacks: those of a device type that is declared go when they are not.
4. A device type that an override takes away is gone from that environment, as if `removed` named it there.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from reconciler.config.codes import diagnostic
from reconciler.config.overlay import Declared
from reconciler.config.place import Document, Steps
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import Definition
from reconciler.model.resource import Key

__all__ = ["moved_findings", "moves", "removals", "removed_findings"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a `moved`, and the way to it."""

    old: str
    new: str
    document: Document
    steps: Steps

    def span(self, name: str) -> Span:
        return self.document.span((*self.steps, name))


@dataclass(frozen=True, slots=True)
class _Names:
    """What may be renamed: the names that are declared, and where.

    `complete` tells whether a name that is missing is really missing; `noun` is what they are names of.
    """

    noun: str
    places: Mapping[str, tuple[Document, Steps]]
    complete: bool

    def span(self, name: str) -> Span:
        document, steps = self.places[name]
        return document.key_span(steps) if len(steps) > 1 else document.span(steps)


# What the entries lead to


def moves(
    project: Mapping[str, Any], declared: Mapping[str, Declared], definitions: Mapping[Key, Definition]
) -> Mapping[Key, Key]:
    """Old key → new key, of everything whose new key is among `definitions`; the entries are without mistakes."""
    found = {Key(old): Key(new) for old, new in _pairs(project)}
    for name, each in declared.items():
        found.update((Key(name, old), Key(name, new)) for old, new in _pairs(each.value))
    return {old: new for old, new in found.items() if new in definitions}


def removals(project: Mapping[str, Any], declared: Collection[str], overrides: Mapping[str, Any]) -> frozenset[str]:
    """The device types that shall be gone from an environment with these overrides."""
    taken_away = {name for name, override in overrides.items() if override is None and name in declared}
    return frozenset((*(name for name in project.get("removed", ()) if name is not None), *taken_away))


def _pairs(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((each["from"], each["to"]) for each in value.get("moved", ()) if each is not None)


# What is wrong with them


def moved_findings(
    project: Document, value: Mapping[str, Any], declared: Collection[Declared], *, complete: bool
) -> Iterator[Diagnostic]:
    """What is wrong with all entries of `moved`; `value` is what is sound of the project file.

    `complete` tells whether all documents could be understood.
    """
    places: dict[str, tuple[Document, Steps]] = {}
    for each in declared:
        if each.name:
            places.setdefault(each.name, (each.document, ("name",)))
        if each.value.get("moved"):
            # Every callback that was written, also those whose faults are reported at their own place.
            written = each.document.value_at(("callbacks",))
            names = written if isinstance(written, dict) else {}
            callbacks = {name: (each.document, ("callbacks", name)) for name in names}
            yield from _entry_findings(each.document, each.value, _Names("callback", callbacks, complete=True))
    yield from _entry_findings(project, value, _Names("device type", places, complete))


def _entry_findings(document: Document, value: Mapping[str, Any], names: _Names) -> Iterator[Diagnostic]:
    entries = [
        _Entry(each["from"], each["to"], document, ("moved", index))
        for index, each in enumerate(value.get("moved", ()))
        if each is not None
    ]
    leaving: dict[str, _Entry] = {}
    arriving: dict[str, _Entry] = {}
    for entry in entries:
        if entry.old == entry.new:
            detail = f"{entry.old} keeps its name; an entry tells an old name and a new one."
            yield diagnostic("moved-to-itself", detail, help="Take the entry away.", span=entry.span("to"))
            continue
        if entry.old in leaving:
            yield _twice(leaving[entry.old], entry, "from")
        elif entry.new in arriving:
            yield _twice(arriving[entry.new], entry, "to")
        leaving.setdefault(entry.old, entry)
        arriving.setdefault(entry.new, entry)
    yield from _chains(leaving, arriving)
    for entry in leaving.values():
        if entry.new not in leaving and entry.new not in names.places and names.complete:
            yield _not_declared(entry, names)
        if entry.old in names.places:
            yield _still_declared(entry, names)


def _twice(first: _Entry, second: _Entry, name: str) -> Diagnostic:
    related = (("the first entry", first.span(name)),)
    if (first.old, first.new) == (second.old, second.new):
        detail = f"The entry from {second.old} to {second.new} stands here a second time."
        help = "Take it away."
    elif name == "from":
        detail = f"{second.old} would become both {first.new} and {second.new}, and can only become one of them."
        help = "Keep the entry that leads to what it is now."
    else:
        detail = f"Both {first.old} and {second.old} would become {second.new}, and only one of them can."
        help = "Keep the entry of the name that is still in use at a target."
    return diagnostic("moved-twice", detail, help=help, span=second.span(name), related=related)


def _chains(leaving: Mapping[str, _Entry], arriving: Mapping[str, _Entry]) -> Iterator[Diagnostic]:
    """One finding for each way of several steps, at its first entry; of a circle, at the first in the file."""
    seen: set[str] = set()
    beginnings = [entry for entry in leaving.values() if entry.old not in arriving]
    for entry in (*beginnings, *leaving.values()):
        if entry.new not in leaving or entry.old in seen:
            continue
        way = [entry.old, entry.new]
        while way[-1] in leaving and way[-1] not in way[:-1]:
            way.append(leaving[way[-1]].new)
        seen.update(way)
        if way[-1] in way[:-1]:
            detail = f"The entries lead in a circle: {' → '.join(way)}. None of the names is the last."
            help = "Keep the entry that leads to the name that is declared."
        else:
            detail = f"{' → '.join(way)}: an entry leads to the name that is declared now, in one step."
            help = (
                "Write, in place of these entries, one from the oldest name that is still at a target; if that is "
                f"{way[0]}:\n    - {{from: {way[0]}, to: {way[-1]}}}"
            )
        related = tuple((f"from {name}", leaving[name].span("from")) for name in way[1:-1])
        yield diagnostic("moved-in-steps", detail, help=help, span=entry.span("to"), related=related)


def _not_declared(entry: _Entry, names: _Names) -> Diagnostic:
    near = get_close_matches(entry.new, names.places.keys() - {entry.old}, n=1)
    help = f"Did you mean {near[0]}?" if near else f"Declare {entry.new}, or take the entry away."
    detail = f"{entry.old} is said to be {entry.new} now, and no {names.noun} of that name is declared."
    return diagnostic("moved-not-declared", detail, help=help, span=entry.span("to"))


def _still_declared(entry: _Entry, names: _Names) -> Diagnostic:
    detail = f"{entry.old} is said to be {entry.new} now, and a {names.noun} {entry.old} is still declared."
    help = f"If both are meant, take the entry away; if {entry.old} was renamed, take its declaration away."
    related = (("it is declared here", names.span(entry.old)),)
    return diagnostic("moved-still-declared", detail, help=help, span=entry.span("from"), related=related)


def removed_findings(
    project: Document, value: Mapping[str, Any], declared: Mapping[str, Declared]
) -> Iterator[Diagnostic]:
    """What is wrong with `removed`; `value` is what is sound of the project file."""
    moving = {each["from"]: index for index, each in enumerate(value.get("moved", ())) if each is not None}
    seen: dict[str, Steps] = {}
    for index, name in enumerate(value.get("removed", ())):
        if name is None:
            continue
        steps: Steps = ("removed", index)
        span = project.span(steps)
        if name in seen:
            related = (("it is named here first", project.span(seen[name])),)
            detail = f"{name} stands in removed twice."
            yield diagnostic("removed-twice", detail, help="Take one of them away.", span=span, related=related)
            continue
        seen[name] = steps
        if name in declared:
            document = declared[name].document
            detail = f"{name} is to be deleted, and a file declares it."
            help = "Take its file away, or the name out of removed."
            related = (("it is declared here", document.span(("name",))),)
            yield diagnostic("removed-still-declared", detail, help=help, span=span, related=related)
        if name in moving:
            detail = f"{name} cannot both be deleted and live on under another name."
            help = "Keep one of the two."
            related = (("it moves here", project.span(("moved", moving[name], "from"))),)
            yield diagnostic("removed-and-moved", detail, help=help, span=span, related=related)
