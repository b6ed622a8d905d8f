"""The canonical form of a file: what `fmt` brings it into.

The meaning of a file never changes, no comment is lost, and formatting twice is formatting once. Rules:

1. Keys that the file format knows stand in the order of `config.order`, unknown ones behind them. What stands above the
   first key of a document stays there. In a document with aliases the keys stay as they are if an alias would come
   before its anchor.
2. Two blanks for each level, also for lists below a key; one blank behind `:` and `-`.
3. Quotes stay quotes, and what has none gets none. They are double, unless single ones need fewer escapes; a text that
   has other escapes, or runs over several lines, is left as it is written.
4. Mappings and lists in braces and brackets, however long, and texts over several lines keep their lines and blanks.
5. Blank lines: one at most, none at the beginning of a block, one between the callbacks and the environments that take
   several lines, and before these blocks.
6. A comment above a key belongs to it, one behind a value to its line, and one below the last key of a block to that
   block, as far as it is indented with it. Of its characters none changes.
7. A file keeps its line breaks, Windows or not, and its byte order mark; it ends with one line break.
8. What these rules do not understand (keys behind `?`, an anchor on a line of its own) keeps its lines as a whole.

The result is read again before anything is done with it: values and comments have to be those of the file.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.config.codes import diagnostic
from reconciler.config.document import API_VERSION, DOCUMENTS
from reconciler.config.layout import (
    LINE_BREAK,
    Lines,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    behind_anchor,
    block_header,
    comments,
    has_aliases,
    is_blank_or_comment,
    leaves,
)
from reconciler.config.order import SHAPES, Shape
from reconciler.config.ordinary import read_ordinary
from reconciler.config.place import Plain
from reconciler.config.project import check_kind
from reconciler.config.source import nodes, parse
from reconciler.config.spell import STEP, quoted
from reconciler.diagnostics import Diagnostic, has_errors

__all__ = ["Formatted", "formatted", "same"]

_BOM: Final = "\ufeff"
_MARKER = re.compile(r"(?:---|\.\.\.)(?:[ \t]|$)|%")
_BEHIND_KEY = re.compile(r"[ \t]*:(?=\s|$)")
_HEADER = re.compile(r"(?P<anchor>[ \t]+&[^\s,\[\]{}]+)?[ \t]*?(?P<comment>[ \t]+#.*)?[ \t]*$")
_PLAIN_ESCAPE = re.compile(r"\\[\"\\/]")


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text in canonical form; as it was, where a diagnostic says what is wrong with it."""

    text: str
    diagnostics: tuple[Diagnostic, ...] = ()


def formatted(text: str, *, name: str) -> Formatted:
    """The canonical form of a file that people know as `name`."""
    unmarked = text.removeprefix(_BOM)
    values, found = _values(unmarked, name)
    if has_errors(found):
        return Formatted(text, found)
    bom = _BOM if text.startswith(_BOM) else ""
    line_break = LINE_BREAK.search(text)
    unified = LINE_BREAK.sub("\n", unmarked) if "\r" in text else unmarked
    for ordered in (True, False):
        result = _canonical(unified, ordered=ordered)
        if result == unified or _means_the_same(result, unified, values):
            crlf = line_break is not None and line_break[0] == "\r\n"
            return Formatted(bom + (result.replace("\n", "\r\n") if crlf else result), found)
    detail = f"{name} is laid out in a way that can not be rewritten for certain without changing what it means."
    return Formatted(text, (*found, diagnostic("file-not-formattable", detail, file=name)))


def same(one: Plain, other: Plain) -> bool:
    """Whether two values are the same to YAML: 1 is neither true nor 1.0, and the order of keys means nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(each, other[key]) for key, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one)


def _values(text: str, name: str) -> tuple[Sequence[Plain], tuple[Diagnostic, ...]]:
    """The values of a file's documents, and what is wrong with it."""
    value = read_ordinary(text)
    if value is not None and value.get("kind") in DOCUMENTS and value.get("apiVersion") == API_VERSION:
        return [value], ()
    source = parse(text, name=name)
    unknown = (check_kind(document, expected=tuple(DOCUMENTS)) for document in source.documents)
    found = (*source.diagnostics, *(each for each in unknown if each is not None))
    return [document.value for document in source.documents], found


def _means_the_same(result: str, before: str, values: Sequence[Plain]) -> bool:
    again, found = _values(result, "")
    if found or len(again) != len(values) or not all(map(same, again, values)):
        return False
    return sorted(comments(result, nodes(result))) == sorted(comments(before, nodes(before)))


def _canonical(text: str, *, ordered: bool) -> str:
    roots = nodes(text)
    spelled = _spelled(text, roots)
    if spelled != text:
        text, roots = spelled, nodes(spelled)
    # Where keys cannot change places, neither can anchors and aliases.
    return _Page(text, roots, ordered=ordered or not has_aliases(roots)).text()


# Quotes


def _spelled(text: str, roots: Sequence[Node]) -> str:
    """The text with the quotes that its texts should have, and a line break at its end."""
    parts: list[str] = []
    behind = 0
    for root in roots:
        for leaf in leaves(root):
            if not isinstance(leaf, ScalarNode) or not leaf.style:
                continue
            start = behind_anchor(text, leaf)
            end = leaf.end
            if leaf.style in "|>":
                if end < len(text):
                    continue
                # Without a line break at its end, a text has none either; `-` says so.
                end = block_header(text, start).end
                replacement = text[start:end].rstrip("+-") + "-"
            else:
                replacement = _quoted_anew(text[start:end], leaf.text)
            parts += text[behind:start], replacement
            behind = end
    whole = "".join([*parts, text[behind:]])
    return whole if whole.endswith("\n") else f"{whole}\n"


def _quoted_anew(written: str, value: str) -> str:
    if "\n" in written or (written[0] == '"' and "\\" in _PLAIN_ESCAPE.sub("", written)):
        return written
    return quoted(value) if value.isprintable() else written


# Lines


class _OpenEnd(str):
    """The last line of a block scalar that keeps the blank lines behind it: none may be added."""

    __slots__ = ()


class _NotUnderstood(Exception):
    """A block is written in a way that these rules do not know; its lines have to stay as they are."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A key with its value: the lines above it that are its own, and its lines."""

    place: int
    above: list[str]
    lines: list[str]
    apart: bool


class _Page:
    """Writes the documents of a text anew."""

    def __init__(self, text: str, roots: Sequence[Node], *, ordered: bool) -> None:
        self._text = text
        self._roots = roots
        self._ordered = ordered
        self._lines = Lines(text)

    def text(self) -> str:
        """All of it."""
        out: list[str] = []
        at = 0
        for root in self._roots:
            if root.start == root.end:  # a document that holds nothing
                continue
            first = self._lines.number(root.start)
            last = self._lines.number(root.end)
            _add(out, _at_column(self._lines.all[at:first], 0))
            at = last + 1
            gap = self._behind(at)
            lines, rest = self._document(root, first, last, gap)
            out += lines
            _add(out, _at_column(rest, 0))
            at += len(gap)
        _add(out, _at_column(self._lines.all[at:], 0))
        while out and not out[-1] and not isinstance(out[-1], _OpenEnd):
            out.pop()
        return "\n".join(out) + "\n"

    def _behind(self, at: int) -> list[str]:
        """The lines from here to the next document, its markers not included."""
        lines = self._lines.all
        end = at
        while end < len(lines) and is_blank_or_comment(lines[end]):
            end += 1
        return lines[at:end]

    def _document(self, root: Node, first: int, last: int, gap: list[str]) -> tuple[list[str], list[str]]:
        if isinstance(root, MappingNode) and not root.flow:
            try:
                return self._mapping(root, _shape_of(root), 0, [], gap)
            except _NotUnderstood:
                pass
        return self._lines.all[first : last + 1], gap

    # Every method below gives lines, and what is left of `gap`: the lines behind the node up to the next one.

    def _block(
        self, node: Node, shape: Shape, column: int, above: list[str], gap: list[str]
    ) -> tuple[list[str], list[str]]:
        if isinstance(node, MappingNode):
            return self._mapping(node, shape, column, above, gap)
        assert isinstance(node, SequenceNode), "scalars are no blocks"
        return self._sequence(node, shape, column, above, gap)

    def _mapping(
        self, node: MappingNode, shape: Shape, column: int, above: list[str], gap: list[str]
    ) -> tuple[list[str], list[str]]:
        pieces: list[_Piece] = []
        starts = [self._lines.number(key.start) for key, _ in node.entries]
        for index, (key, each) in enumerate(node.entries):
            if not isinstance(key, ScalarNode) or key.style in {"|", ">"}:
                raise _NotUnderstood
            own = gap
            if index + 1 < len(starts):
                own = self._between(self._lines.number(each.end) + 1, starts[index + 1])
            found = _BEHIND_KEY.match(self._text, key.end)
            if found is None or (index and not self._begins_its_line(key.start)):
                raise _NotUnderstood
            below = shape.below(key.text)
            prefix = self._text[key.start : key.end] + ":"
            lines, rest = self._entry(prefix, key.start, found.end(), each, below, column, own)
            apart = below.apart and not _is_leaf(each)
            pieces.append(_Piece(shape.place(key.text), above, lines, apart))
            above = rest
        if self._ordered:
            pieces.sort(key=lambda piece: piece.place)
        return _joined(pieces, column, apart=shape.apart), above

    def _sequence(
        self, node: SequenceNode, shape: Shape, column: int, above: list[str], gap: list[str]
    ) -> tuple[list[str], list[str]]:
        below = shape.each or Shape()
        pieces: list[_Piece] = []
        dashes = self._dashes(node)
        for index, (dash, item) in enumerate(zip(dashes, node.items, strict=True)):
            own = gap
            if index + 1 < len(dashes):
                own = self._between(self._lines.number(item.end) + 1, self._lines.number(dashes[index + 1]))
            lines, rest = self._item(dash, item, below, column, own)
            start = next(at for at, line in enumerate(lines) if not is_blank_or_comment(line))
            # Keys of an item that change places may bring a comment to its top; it stands above the dash then.
            pieces.append(_Piece(index, [*above, *lines[:start]], lines[start:], apart=False))
            above = rest
        return _joined(pieces, column, apart=False), above

    def _item(self, dash: int, item: Node, shape: Shape, column: int, gap: list[str]) -> tuple[list[str], list[str]]:
        if _is_leaf(item) or not self._is_inline(dash, item):
            return self._entry("-", dash, dash + 1, item, shape, column, gap)
        try:
            lines, rest = self._block(item, shape, column + STEP, [], gap)
        except _NotUnderstood:
            return self._entry("-", dash, dash + 1, item, shape, column, gap)
        start = next(at for at, line in enumerate(lines) if not is_blank_or_comment(line))
        lines[start] = type(lines[start])(f"{' ' * column}- {lines[start][column + STEP :]}")
        own, rest = _indented(rest, self._lines.column(dash))
        _add(lines, _at_column(own, column + STEP))
        return lines, rest

    def _entry(
        self, prefix: str, start: int, behind: int, node: Node, shape: Shape, column: int, gap: list[str]
    ) -> tuple[list[str], list[str]]:
        """What begins with `prefix`, a key or a dash, which ends at `behind`."""
        lines: list[str] | None = None
        rest = gap
        if not _is_leaf(node):
            try:
                lines, rest = self._with_block(prefix, start, behind, node, shape, column, gap)
            except _NotUnderstood:
                rest = gap
        if lines is None:
            lines = self._leaf(prefix, start, behind, node, column)
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            return lines, rest  # a comment indented as its content would become a part of it
        own, rest = _indented(rest, self._lines.column(start))
        _add(lines, _at_column(own, column + STEP))
        return lines, rest

    def _with_block(
        self, prefix: str, start: int, behind: int, node: Node, shape: Shape, column: int, gap: list[str]
    ) -> tuple[list[str], list[str]]:
        line = self._lines.number(start)
        first = self._lines.number(self._begin(node))
        header = _HEADER.match(self._rest_of_line(behind))
        if first == line or header is None:
            raise _NotUnderstood
        above = self._between(line + 1, first)
        anchor = f" {header['anchor'].strip()}" if header["anchor"] else ""
        body, rest = self._block(node, shape, column + STEP, above, gap)
        return [f"{' ' * column}{prefix}{anchor}{header['comment'] or ''}", *body], rest

    def _leaf(self, prefix: str, start: int, behind: int, node: Node, column: int) -> list[str]:
        """A value that keeps its lines: they only move to their column."""
        line = self._lines.number(start)
        last = self._lines.number(node.end)
        shift = column - self._lines.column(start)
        pad = " " * column
        if node.start == node.end:
            return [f"{pad}{prefix}{_trimmed(self._rest_of_line(behind))}"]
        if not _is_leaf(node) or self._lines.number(node.start) != line:
            first = self._lines.all[line][self._lines.column(start) :]
            return [pad + first, *(_shifted(each, shift) for each in self._lines.all[line + 1 : last + 1])]
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            return self._block_scalar(prefix, start, node, column)
        if last > line:
            first = f"{pad}{prefix} {self._rest_of_line(node.start)}"
            return [first, *(_shifted(each, shift) for each in self._lines.all[line + 1 : last + 1])]
        return [f"{pad}{prefix} {self._text[node.start : node.end]}{_trimmed(self._rest_of_line(node.end))}"]

    def _block_scalar(self, prefix: str, start: int, node: ScalarNode, column: int) -> list[str]:
        line = self._lines.number(start)
        content = self._lines.all[line + 1 : self._lines.number(node.end) + 1]
        header = block_header(self._text, behind_anchor(self._text, node))
        if header.indent is None:
            indent = next((_indent(each) for each in content if each.strip(" ")), 0)
            target = column + STEP
        else:
            indent = self._lines.column(start) + header.indent
            target = column + header.indent
        behind = _trimmed(self._rest_of_line(header.end))
        lines = [f"{' ' * column}{prefix} {self._text[node.start : header.end]}{behind}"]
        for each in content:
            kept = each.strip(" ") or len(each) > indent
            lines.append(" " * target + each[indent:] if kept else "")
        if header.chomp == "+":
            lines[-1] = _OpenEnd(lines[-1])
        return lines

    # Places

    def _begin(self, node: Node) -> int:
        """Where the first key or dash of a block stands."""
        if isinstance(node, MappingNode):
            return node.entries[0][0].start
        return behind_anchor(self._text, node)

    def _dashes(self, node: SequenceNode) -> list[int]:
        """Where the dashes of a list stand."""
        first = self._begin(node)
        if self._text[first] != "-":
            raise _NotUnderstood
        column = self._lines.column(first)
        found = [first]
        for item in node.items[1:]:
            line = self._lines.number(item.start)
            while not self._has_dash(line, column):
                line -= 1
                if line <= self._lines.number(found[-1]):
                    raise _NotUnderstood
            found.append(self._lines.start(line) + column)
        return found

    def _has_dash(self, line: int, column: int) -> bool:
        written = self._lines.all[line]
        return written[column : column + 1] == "-" and not written[:column].strip()

    def _is_inline(self, dash: int, item: Node) -> bool:
        begin = self._begin(item)
        same_line = self._lines.number(begin) == self._lines.number(dash)
        return same_line and not self._text[dash + 1 : begin].strip()

    def _begins_its_line(self, offset: int) -> bool:
        return not self._lines.all[self._lines.number(offset)][: self._lines.column(offset)].strip()

    def _between(self, first: int, behind: int) -> list[str]:
        lines = self._lines.all[first:behind]
        if not all(map(is_blank_or_comment, lines)):
            raise _NotUnderstood
        return lines

    def _rest_of_line(self, offset: int) -> str:
        return self._text[offset : self._lines.end(self._lines.number(offset))]


def _shape_of(root: MappingNode) -> Shape:
    """That of the kind that a document says it is of."""
    for key, each in root.entries:
        if isinstance(key, ScalarNode) and key.text == "kind" and isinstance(each, ScalarNode):
            return SHAPES.get(each.text, Shape())
    return Shape()


def _is_leaf(node: Node) -> bool:
    """Whether a value keeps its lines."""
    return not isinstance(node, (MappingNode, SequenceNode)) or node.flow


def _joined(pieces: Sequence[_Piece], column: int, *, apart: bool) -> list[str]:
    """The pieces in their new order, with blank lines where they belong."""
    out: list[str] = []
    for before, piece in zip((None, *pieces), pieces, strict=False):
        above = _at_column(piece.above, column)
        if before is not None and (piece.apart or (apart and max(len(before.lines), len(piece.lines)) > 1)):
            above.insert(0, "")
        _add(out, above)
        out += piece.lines
    return out


def _add(out: list[str], lines: Iterable[str]) -> None:
    """Add comments and blank lines: of the latter one at most, and none at the beginning."""
    for line in lines:
        if line or (out and out[-1] and not isinstance(out[-1], _OpenEnd)):
            out.append(line)


def _at_column(lines: Sequence[str], column: int) -> list[str]:
    """Comments at a column; blank lines without blanks, markers as they are."""
    if not lines:
        return []
    return [" " * column + stripped if (stripped := line.lstrip(" \t")) else "" for line in lines]


def _indented(lines: list[str], column: int) -> tuple[list[str], list[str]]:
    """The comments that are indented further than a key, with the blank lines among them, and the rest."""
    count = 0
    for index, line in enumerate(lines):
        if line.strip():
            if _indent(line) <= column:
                break
            count = index + 1
    return lines[:count], lines[count:]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _shifted(line: str, by: int) -> str:
    return " " * by + line if by > 0 and line else line[min(-by, _indent(line)) :] if by < 0 else line


def _trimmed(rest: str) -> str:
    """What stands behind a value on its line: a comment as it is, or nothing."""
    return rest if rest.strip() else ""
