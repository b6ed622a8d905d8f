"""A YAML text as it is laid out: which characters are which node, and which lines stand between them.

What reads files needs values, and one place for each (`config.place`). What rewrites them needs the rest too: where a
value ends, how it is quoted, what is a comment. `config.source.nodes` makes these trees; nothing here knows what the
documents mean. Rules:

1. Offsets are of the text as it was given. A node begins at its anchor, if it has one.
2. A block collection ends with its last value. Comments and blank lines behind it are nobody's, and whoever moves lines
   decides whose they are.
3. A block scalar ends with its last line that is part of its value, without that line's break; with the indicator `+`
   the blank lines behind are part of it.

ruamel.yaml's round trip was tried for this, and is not used: it hangs a comment on what stands before it, so that a key
that is moved leaves its own comment behind and takes another's along; and it writes every line anew, with its own
blanks in flow mappings, where an import has to leave the lines that it does not touch as they are.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reconciler.model.value import value

__all__ = [
    "LINE_BREAK",
    "Alias",
    "BlockHeader",
    "Lines",
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "behind_anchor",
    "block_header",
    "block_scalar_end",
    "comments",
    "has_aliases",
    "is_blank_or_comment",
    "leaves",
]

LINE_BREAK: Final = re.compile(r"\r\n?|\n")


@value
class ScalarNode:
    """A text, number, flag or nothing. `style` is `'`, `"`, `|`, `>`, or empty for a plain one."""

    start: int
    end: int
    style: str
    text: str
    anchor: str | None = None
    kind: Literal["scalar"] = "scalar"


@value
class Alias:
    """`*name`."""

    start: int
    end: int
    name: str
    kind: Literal["alias"] = "alias"


@value
class MappingNode:
    """Keys and values in the order of the text; `flow` when it is written in braces."""

    start: int
    end: int
    flow: bool
    entries: "Sequence[tuple[Node, Node]]"
    anchor: str | None = None
    kind: Literal["mapping"] = "mapping"


@value
class SequenceNode:
    """Items in the order of the text; `flow` when it is written in brackets."""

    start: int
    end: int
    flow: bool
    items: "Sequence[Node]"
    anchor: str | None = None
    kind: Literal["sequence"] = "sequence"


Node: TypeAlias = ScalarNode | Alias | MappingNode | SequenceNode

_ANCHOR = re.compile(r"&[^\s,\[\]{}]+(?:[ \t\r\n]+(?:#[^\r\n]*)?)*")
_BLOCK_HEADER = re.compile(r"[|>](?:(?P<indent_first>[1-9])(?P<chomp_last>[+-])|(?P<chomp>[+-])?(?P<indent>[1-9])?)")
_COMMENT = re.compile(r"#[^\r\n]*")


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a block scalar begins with: its indicator, `+`, `-` or nothing, and an indentation if one is written."""

    end: int
    chomp: str
    indent: int | None


class Lines:
    """The lines of a text without their breaks, and which one a character stands in; counted from 0."""

    def __init__(self, text: str) -> None:
        self.all = LINE_BREAK.split(text)
        self._starts = [0, *(found.end() for found in LINE_BREAK.finditer(text))]

    def number(self, offset: int) -> int:
        """The line of a character."""
        return bisect_right(self._starts, offset) - 1

    def column(self, offset: int) -> int:
        """How many characters of its line stand before a character."""
        return offset - self._starts[bisect_right(self._starts, offset) - 1]

    def start(self, number: int) -> int:
        """The offset of a line's first character."""
        return self._starts[number]

    def end(self, number: int) -> int:
        """The offset behind a line's last character, where its break begins."""
        return self._starts[number] + len(self.all[number])


def leaves(node: Node) -> Iterator[ScalarNode | Alias]:
    """All scalars and aliases in the order of the text."""
    match node:
        case MappingNode():
            for key, each in node.entries:
                yield from leaves(key)
                yield from leaves(each)
        case SequenceNode():
            for item in node.items:
                yield from leaves(item)
        case _:
            yield node


def has_aliases(roots: Sequence[Node]) -> bool:
    """Whether a value stands for another one, so that the order of the two matters."""
    return any(isinstance(leaf, Alias) for root in roots for leaf in leaves(root))


def behind_anchor(text: str, node: Node) -> int:
    """Where a node begins without its anchor."""
    if isinstance(node, Alias) or node.anchor is None:
        return node.start
    found = _ANCHOR.match(text, node.start)
    return min(found.end(), node.end) if found else node.start


def block_header(text: str, start: int) -> BlockHeader:
    """The header of the block scalar whose indicator stands at `start`."""
    found = _BLOCK_HEADER.match(text, start)
    assert found is not None, "a block scalar begins with its indicator"
    indent = found["indent"] or found["indent_first"]
    return BlockHeader(found.end(), found["chomp"] or found["chomp_last"] or "", int(indent) if indent else None)


def block_scalar_end(text: str, start: int, end: int) -> int:
    """Where the block scalar at `start` ends; its reader stopped at `end`, behind all blank lines that follow."""
    header = block_header(text, start)
    breaks = [found.span() for found in LINE_BREAK.finditer(text, start, end)]
    if not breaks:
        return end
    ends = [*(first for first, _ in breaks), end]
    starts = [start, *(behind for _, behind in breaks)]
    if starts[-1] == end:  # the last break ends the last line
        ends.pop()
        starts.pop()
    if header.chomp == "+":
        return ends[-1]
    lines = [text[first:last] for first, last in zip(starts[1:], ends[1:], strict=True)]
    indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), end - start)
    # Beyond a written indentation blanks may be part of the value; what it is relative to is not known here.
    blank = 0 if header.indent else indent
    while lines and not lines[-1].strip(" ") and len(lines[-1]) <= blank:
        lines.pop()
    return ends[len(lines)]


def comments(text: str, roots: Sequence[Node], *, start: int = 0) -> tuple[str, ...]:
    """Every comment from `start` on, each from its `#` to the end of its line, in the order of the text."""
    found: list[str] = []
    at = start
    for begin, end in _solid(text, roots):
        found += _COMMENT.findall(text, at, begin)
        at = end
    return (*found, *_COMMENT.findall(text, at))


def _solid(text: str, roots: Sequence[Node]) -> Iterator[tuple[int, int]]:
    """The parts of the text that are values, so that a `#` in them begins no comment."""
    for root in roots:
        for leaf in leaves(root):
            start = behind_anchor(text, leaf)
            if isinstance(leaf, ScalarNode) and leaf.style in {"|", ">"}:
                header = block_header(text, start).end
                yield start, header
                line_break = LINE_BREAK.search(text, header, leaf.end)
                start = line_break.start() if line_break else leaf.end
            yield start, leaf.end


def is_blank_or_comment(line: str) -> bool:
    """Whether a line between two nodes holds nothing but blanks or a comment."""
    return line.lstrip(" \t")[:1] in {"", "#"}
