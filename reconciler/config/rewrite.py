"""A YAML text under change: values are set, added and taken away at their places, and all else keeps every byte.

1. What is there is replaced where it stands. What is new comes where `config.order` has its key: behind the last key
   that belongs before it, with the breaks and the indentation of its surroundings.
2. No comment is lost: one inside of what is replaced or taken away comes to stand above it. Inside of braces and
   brackets there is no room for that; whoever uses the result compares comments, as rule 4 asks anyway.
3. A value that comes from an alias or a merge is written out at the place that was changed.
4. Changing what has an anchor changes every alias of it. Whoever uses the result reads it again, and finds out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.config.layout import LINE_BREAK, Lines, MappingNode, Node, ScalarNode, behind_anchor, comments
from reconciler.config.order import Shape
from reconciler.config.place import Plain, Steps
from reconciler.config.spell import STEP, block, entry, is_block, key_text, on_one_line, scalar

__all__ = ["Draft", "Edit", "edited"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters that are replaced; nothing at all where start and end are the same."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Found:
    """How far a way leads through a text: the last node on it, the key that it belongs to, the mapping around it."""

    taken: int
    node: Node
    key: ScalarNode | None
    around: MappingNode | None


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text after some changes, which do not overlap."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda each: (each.start, each.end)):
        assert edit.start >= at, "changes of one text do not overlap"
        parts += text[at : edit.start], edit.text
        at = edit.end
    return "".join([*parts, text[at:]])


class Draft:
    """One document of a text, and what is to become of it. Steps are those of its values before any change."""

    def __init__(self, text: str, root: MappingNode, value: Mapping[str, Plain], shape: Shape) -> None:
        """`root` is the document's node in `text`, and `value` its value."""
        self.before = text
        self._text = text
        self._root = root
        self._value = value
        self._shape = shape
        self._lines = Lines(text)
        found = LINE_BREAK.search(text)
        self._break = found[0] if found else "\n"
        self._replaced: dict[Steps, Plain] = {}
        self._removed: dict[Steps, list[str]] = {}
        self._added: dict[Steps, dict[str, Plain]] = {}

    def set(self, steps: Steps, value: Plain) -> None:
        """Give a key a value; the mappings that lead to it are made if they are not there."""
        found = self._find(steps)
        if found.taken == len(steps):
            self._replaced[steps] = value
            return
        way, rest = steps[: found.taken], steps[found.taken :]
        if not isinstance(found.node, MappingNode):
            # Nothing, or an alias: the whole value is written out, with the change in it.
            held = self._replaced.get(way, self._at(way))
            self._replaced[way] = _with(held, rest, value)
            return
        name = str(rest[0])
        added = self._added.setdefault(way, {})
        added[name] = _with(added.get(name, self._at((*way, name))), rest[1:], value)

    def remove(self, steps: Steps) -> None:
        """Take a key and its value away, where it stands in the text."""
        if self._find(steps).taken == len(steps):
            self._removed.setdefault(steps[:-1], []).append(str(steps[-1]))

    def edits(self) -> list[Edit]:
        """What all changes do to the text."""
        for way, names in [*self._removed.items()]:
            self._empty(way, names)
        found: list[Edit] = []
        # What comes to the end of an inner mapping stands before what comes behind it in the outer one.
        for way, entries in sorted(self._added.items(), key=lambda each: -len(each[0])):
            found += self._additions(way, entries)
        for steps, value in self._replaced.items():
            found += self._replacement(steps, value)
        for way, names in self._removed.items():
            found += (self._removal((*way, name)) for name in names)
        return found

    # Finding

    def _find(self, steps: Steps) -> _Found:
        node: Node = self._root
        key: ScalarNode | None = None
        around: MappingNode | None = None
        for taken, step in enumerate(steps):
            if not isinstance(node, MappingNode):
                return _Found(taken, node, key, around)
            for name, each in node.entries:
                if isinstance(name, ScalarNode) and name.text == step:
                    key, around, node = name, node, each
                    break
            else:
                return _Found(taken, node, key, around)
        return _Found(len(steps), node, key, around)

    def _at(self, steps: Steps) -> Plain:
        value: Plain = dict(self._value)
        for step in steps:
            value = value.get(str(step)) if isinstance(value, dict) else None
        return value

    def _empty(self, way: Steps, names: Sequence[str]) -> None:
        """Replace a mapping that loses its last key, or one in braces, instead of taking its keys away."""
        found = self._find(way)
        assert isinstance(found.node, MappingNode), "keys were found in it"
        left = {key.text for key, _ in found.node.entries if isinstance(key, ScalarNode)} - set(names)
        if way and (found.node.flow or not (left or way in self._added)):
            del self._removed[way]
            held = self._at(way)
            assert isinstance(held, dict), "likewise"
            kept = {key: self._replaced.pop((*way, key), each) for key, each in held.items() if key not in names}
            self._replaced[way] = {**kept, **self._added.pop(way, {})}

    # Changes of the text

    def _replacement(self, steps: Steps, value: Plain) -> list[Edit]:
        found = self._find(steps)
        node, key, around = found.node, found.key, found.around
        assert key is not None, "the document as a whole is not replaced"
        assert around is not None, "likewise"
        start = behind_anchor(self._text, node)
        if around.flow:
            return [Edit(start, node.end, (" " if start == node.end else "") + on_one_line(value))]
        line = self._lines.number(key.start)
        column = self._lines.column(key.start)
        if self._lines.number(start) != line:
            start = self._text.index(":", key.end) + 1
        above = self._above(line, column, self._comments(start, node))
        blank = " " if self._text[start - 1] == ":" else ""
        if isinstance(value, str) and is_block(value):
            header, *content = block(value, column=column + STEP)
        elif isinstance(value, dict) and len(lines := entry(key.text, value, column=column)) > 1:
            header, blank, content = "", "", lines[1:]
            start = self._text.index(":", key.end) + 1
        else:
            header, content = on_one_line(value) if isinstance(value, (dict, list)) else scalar(value), []
        edits = [*above, Edit(start, node.end, blank + header)]
        if content:
            end = self._lines.end(self._lines.number(node.end))
            edits.append(Edit(end, end, "".join(self._break + each for each in content)))
        return edits

    def _removal(self, steps: Steps) -> Edit:
        found = self._find(steps)
        assert found.key is not None, "only what was found is removed"
        first = self._lines.number(found.key.start)
        last = self._lines.number(found.node.end)
        column = self._lines.column(found.key.start)
        kept = self._comments(found.key.end, found.node, behind=self._lines.end(last))
        above = "".join(" " * column + each + self._break for each in kept)
        return Edit(self._lines.start(first), self._behind(last), above)

    def _additions(self, way: Steps, entries: Mapping[str, Plain]) -> list[Edit]:
        found = self._find(way)
        node = found.node
        assert isinstance(node, MappingNode), "keys are added to mappings"
        shape = self._shape
        for step in way:
            shape = shape.below(str(step))
        if node.flow:
            return [self._flow_addition(node, entries)]
        edits: list[Edit] = []
        by_place: dict[int, list[str]] = {}
        column = self._lines.column(node.entries[0][0].start)
        for name, value in sorted(entries.items(), key=lambda each: shape.place(each[0])):
            lines = entry(name, value, column=column)
            below = shape.below(name)
            if shape.apart or (below.apart and len(lines) > 1):
                lines = ["", *lines]
            by_place.setdefault(self._place(node, shape, name), []).extend(lines)
        for line, lines in by_place.items():
            edits.append(self._inserted(line, lines))
        return edits

    def _place(self, node: MappingNode, shape: Shape, name: str) -> int:
        """The line before which a new key stands."""
        behind = [
            each
            for key, each in node.entries
            if isinstance(key, ScalarNode) and shape.place(key.text) <= shape.place(name)
        ]
        if not behind:
            return self._lines.number(node.entries[0][0].start)
        return self._lines.number(max(each.end for each in behind)) + 1

    def _inserted(self, line: int, lines: Sequence[str]) -> Edit:
        if line < len(self._lines.all):
            at = self._lines.start(line)
            return Edit(at, at, "".join(each + self._break for each in lines))
        at = len(self._text)  # the last line has no break
        return Edit(at, at, "".join(self._break + each for each in lines))

    def _flow_addition(self, node: MappingNode, entries: Mapping[str, Plain]) -> Edit:
        text = ", ".join(f"{key_text(key)}: {on_one_line(value)}" for key, value in entries.items())
        if not node.entries:
            at = behind_anchor(self._text, node) + 1
            return Edit(at, at, text)
        at = node.entries[-1][1].end
        return Edit(at, at, f", {text}")

    def _comments(self, start: int, node: Node, *, behind: int | None = None) -> tuple[str, ...]:
        """The comments between an offset and the end of a node, or `behind`."""
        end = node.end if behind is None else behind
        return comments(self._text[:end], (node,), start=start)

    def _above(self, line: int, column: int, texts: Sequence[str]) -> list[Edit]:
        at = self._lines.start(line)
        return [Edit(at, at, "".join(" " * column + each + self._break for each in texts))] if texts else []

    def _behind(self, line: int) -> int:
        return self._lines.start(line + 1) if line + 1 < len(self._lines.all) else len(self._text)


def _with(held: Plain, steps: Steps, value: Plain) -> Plain:
    """A value with another one in it, at the end of a way; mappings are made where there are none."""
    if not steps:
        return value
    first, *rest = steps
    inner = dict(held) if isinstance(held, dict) else {}
    return {**inner, str(first): _with(inner.get(str(first)), tuple(rest), value)}
