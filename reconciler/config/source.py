"""Texts → YAML documents whose every key and value knows its place. The only user of PyYAML.

What is only read goes through libyaml's composer (PyYAML's C classes; its pure ones where libyaml is missing) and the
constructor here: 0.5 s for 10,000 definitions, where ruamel's round trip takes 28 s; most files do not need even that
(`config.file`). What is rewritten is read once more, as nodes that know where they end (`nodes`, `config.layout`).
Rules:

1. Scalars are those of the YAML 1.2 core schema (`config.scalar`).
2. A mapping has text keys, each once. A duplicate is reported with both places; the first one counts.
3. Tags are refused: nothing in a file may choose what is built from it.
4. Anchors and aliases may be used, and `<<` merges mappings: an explicit key wins over a merged one, an earlier mapping
   over a later one. YAML 1.2 has no merge key, but ruamel and editors apply it, and people rely on it.
5. A text cannot be costly: at most 64 levels, and 20,000 values repeated by aliases. libyaml knew no limit of levels
   until 0.2.5, and crashed the process at some hundred thousand. Since 0.2.6 its scanner, which reads ahead, ends at
   1,000 brackets, before anyone has counted 64 of them: the pure classes then say where level 65 begins.
6. A file may hold several documents; those that hold nothing at all are passed over.
7. A mistake is a diagnostic. After a syntax error nothing more is known of a file; after any other, all is.

Composing keeps one number per key and value, its offset in the text; `config.place` makes lines and columns of it.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import yaml
from yaml import events
from yaml.composer import Composer
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from reconciler.config import layout
from reconciler.config.codes import diagnostic
from reconciler.config.place import Document, Marks, Plain, Source, SourceText, first_offset
from reconciler.config.position import extent
from reconciler.config.scalar import MAX_DIGITS, NUMBER_START, WORDS, is_number, plain_scalar
from reconciler.diagnostics import Diagnostic, Span
from reconciler.grammar.escape import LONE_SURROGATE

__all__ = ["HAVE_LIBYAML", "MAX_DEPTH", "MAX_REPEATED", "nodes", "parse"]

HAVE_LIBYAML: Final[bool] = yaml.__with_libyaml__

MAX_DEPTH: Final = 64
MAX_REPEATED: Final = 20_000

_LIBYAML_TOO_DEEP: Final = "exceeded maximum nesting depth"  # yaml_parser_increase_flow_level in libyaml 0.2.6

# PyYAML's nodes: their stubs leave out what the composers put in.
_Node: TypeAlias = Any


def parse(text: str, *, name: str, accelerated: bool = HAVE_LIBYAML) -> Source:
    """The documents of a text; `accelerated` chooses libyaml over the pure classes, which give the same result."""
    source = SourceText(name, text.removeprefix("\ufeff"))
    constructor = _Constructor(source)
    documents: list[Document] = []
    try:
        composer = _LibyamlComposer(source.text) if accelerated else _PureComposer(source.text)
        while composer.check_node():
            node = composer.get_node()
            value, marks = constructor.document(node)
            if value is not None:
                documents.append(Document(source, value, partial(_given, marks)))
    except _Refused as refused:
        return Source(diagnostics=(*constructor.found, refused.diagnostic(source)))
    except YAMLError as error:
        if accelerated and getattr(error, "problem", None) == _LIBYAML_TOO_DEEP:
            return parse(text, name=name, accelerated=False)
        return Source(diagnostics=(*constructor.found, _syntax_error(error, source)))
    if not documents and not constructor.found:
        detail = f"{name} holds no value: it is empty, or all of it is comments."
        help = "Write a document, or take the file away."
        return Source(diagnostics=(diagnostic("empty-file", detail, help=help, file=name),))
    return Source(tuple(documents), tuple(constructor.found))


def _given(marks: Marks) -> Marks:
    return marks


def nodes(text: str, *, accelerated: bool = HAVE_LIBYAML) -> tuple[layout.Node, ...]:
    """The root of each document, those that hold nothing included; of a text that `parse` reads without an error."""
    reader: _Node = _LibyamlComposer(text) if accelerated else _PureComposer(text)
    roots: list[layout.Node] = []
    while not isinstance(event := reader.get_event(), events.StreamEndEvent):
        if isinstance(event, events.NodeEvent):
            roots.append(_node(reader, event, text))
    return tuple(roots)


def _node(reader: _Node, event: _Node, text: str) -> layout.Node:
    """The node that an event begins."""
    start, end = event.start_mark.index, event.end_mark.index
    match event:
        case events.ScalarEvent():
            style = event.style or ""
            if style in _BLOCK_STYLES:
                begin = layout.behind_anchor(text, layout.ScalarNode(start, end, style, "", event.anchor))
                end = layout.block_scalar_end(text, begin, end)
            return layout.ScalarNode(start, end, style, event.value, event.anchor)
        case events.AliasEvent():
            return layout.Alias(start, end, event.anchor or "")
        case events.MappingStartEvent():
            entries: list[tuple[layout.Node, layout.Node]] = []
            inner: _Node = reader.get_event()
            while not isinstance(inner, events.MappingEndEvent):
                key = _node(reader, inner, text)
                entries.append((key, _node(reader, reader.get_event(), text)))
                inner = reader.get_event()
            end = _end(inner) if event.flow_style else entries[-1][1].end
            return layout.MappingNode(start, end, bool(event.flow_style), entries, event.anchor)
        case _:
            items: list[layout.Node] = []
            inner = reader.get_event()
            while not isinstance(inner, events.SequenceEndEvent):
                items.append(_node(reader, inner, text))
                inner = reader.get_event()
            end = _end(inner) if event.flow_style else items[-1].end
            return layout.SequenceNode(start, end, bool(event.flow_style), items, event.anchor)


def _end(event: _Node) -> int:
    end: int = event.end_mark.index
    return end


# Text to nodes


class _Refused(Exception):
    """Reading a file any further would be costly."""

    def __init__(self, code: str, offset: int, detail: str, help: str) -> None:
        super().__init__(code)
        self.code, self.offset, self.detail, self.help = code, offset, detail, help

    def diagnostic(self, source: SourceText) -> Diagnostic:
        return diagnostic(self.code, self.detail, help=self.help, span=source.span(self.offset, self.offset + 1))


class _Levels:
    """Stands in for PyYAML's resolver: counts levels, and leaves it to the constructor what a scalar is."""

    depth = 0

    def descend_resolver(self, parent: _Node, index: object) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            detail = f"Here begins level {MAX_DEPTH + 1}; no document has use for more than {MAX_DEPTH}."
            help = "Look for brackets or dashes that were never meant to be YAML, and put that text in quotes."
            raise _Refused("yaml-too-deep", parent.start_mark.index, detail, help)

    def ascend_resolver(self) -> None:
        self.depth -= 1

    def resolve(self, kind: type, value: object, implicit: object) -> None:
        """No tag: whoever wrote one finds it in the node as a text."""


class _PureComposer(_Levels, Reader, Scanner, Parser, Composer):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)


_LibyamlComposer: Any = _PureComposer
if HAVE_LIBYAML:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs describe it elsewhere

    _LibyamlComposer = type("_LibyamlComposer", (_Levels, CParser), {})


# Nodes to values

_MERGE = "<<"
_BLOCK_STYLES: Final = frozenset("|>")
_TAG = re.compile(r"![^\s,\[\]{}]*")


class _Constructor:
    """Turns the nodes of one file into values and marks, and collects what is wrong with them."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.found: list[Diagnostic] = []
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._repeated = 0

    def document(self, root: _Node) -> tuple[Plain, Marks]:
        """The value of a document and its marks."""
        self._seen.clear()  # the nodes of the document before are gone, and their ids may come again
        return self.build(root)

    def build(self, node: _Node) -> tuple[Plain, Marks]:
        """The value of a node and its marks."""
        if node.tag is not None:
            self._report_tag(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node), node.start_mark.index
        identity = id(node)
        if identity in self._seen:
            self._count_repetition(node)
        self._seen.add(identity)
        self._open.add(identity)
        built = self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
        self._open.remove(identity)
        return built

    def _scalar(self, node: _Node) -> Plain:
        text: str = node.value
        if node.style or node.tag is not None:
            if node.style == '"' and not text.isascii() and LONE_SURROGATE.search(text):
                self._report_half_character(node)
                return LONE_SURROGATE.sub("\ufffd", text)
            return text
        if text in WORDS:
            return WORDS[text]
        if text[0] not in NUMBER_START:
            return text
        if len(text) > MAX_DIGITS and is_number(text):
            detail = f"It has {len(text)} characters; a number may have {MAX_DIGITS}."
            help = "Put it in quotes if it is meant as a text."
            self._report("yaml-number-too-long", node, detail, help=help)
            return text
        return plain_scalar(text)

    def _sequence(self, node: _Node) -> tuple[Plain, Marks]:
        values: list[Plain] = []
        marks: list[Marks] = [node.start_mark.index]
        for item in node.value:
            value, mark = self.build(item)
            values.append(value)
            marks.append(mark)
        return values, tuple(marks)

    def _mapping(self, node: _Node) -> tuple[Plain, Marks]:
        values: dict[str, Plain] = {}
        marks: list[Marks] = [node.start_mark.index]
        merged: list[_Node] = []
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, ScalarNode) else None
            if key == _MERGE and not key_node.style:
                merged.append(value_node)
                continue
            if key_node.tag is not None:
                self._report_tag(key_node)
            if not isinstance(key, str):
                self._report_key(key_node)
            elif key in values:
                self._report_duplicate(key, key_node, values, marks)
            else:
                # Most values are scalars without a tag: one call less for each.
                if isinstance(value_node, ScalarNode) and not value_node.tag:
                    values[key] = self._scalar(value_node)
                    marks += key_node.start_mark.index, value_node.start_mark.index
                else:
                    values[key], mark = self.build(value_node)
                    marks += key_node.start_mark.index, mark
        for value_node in merged:
            self._merge(value_node, values, marks)
        return values, tuple(marks)

    def _merge(self, node: _Node, values: dict[str, Plain], marks: list[Marks]) -> None:
        for each in node.value if isinstance(node, SequenceNode) else (node,):
            value, mark = self.build(each)
            if not isinstance(value, dict) or not isinstance(mark, tuple):
                help = "Behind << stands an alias of a mapping, or a list of such aliases."
                self._report("yaml-bad-merge", each, "What is merged here is not a mapping.", help=help)
                continue
            for index, (key, merged) in enumerate(value.items()):
                if key not in values:
                    values[key] = merged
                    marks += mark[1 + 2 * index], mark[2 + 2 * index]

    def _count_repetition(self, node: _Node) -> None:
        """Allow or refuse that a collection is built once more than it was written."""
        if id(node) in self._open:
            detail = "An alias inside of this value stands for the value itself, so that it would never end."
            raise _Refused("yaml-alias-loop", node.start_mark.index, detail, "Write out what is meant.")
        self._repeated += 1 + len(node.value)
        if self._repeated > MAX_REPEATED:
            detail = (
                f"Aliases of this value and of others repeat more than {MAX_REPEATED:,} values. A small file must not "
                "become a large one by repeating itself."
            )
            help = "Write out what is meant, or let the callbacks share less."
            raise _Refused("yaml-alias-bomb", node.start_mark.index, detail, help)

    def _report(self, code: str, node: _Node, detail: str, *, help: str = "") -> None:
        self.found.append(diagnostic(code, detail, help=help, span=self._span(node)))

    def _span(self, node: _Node) -> Span:
        start = node.start_mark.index
        whole = extent(self.source.text, start, node.value)
        return self.source.span(whole.start, whole.end)

    def _report_half_character(self, node: _Node) -> None:
        # Only the pure classes let such an escape through; libyaml takes it for a syntax error.
        detail = "An escape in this text stands for half of a character, which no request can carry."
        start = node.start_mark.index
        found = diagnostic("yaml-control-character", detail, span=self.source.span(start, start + 1))
        self.found.append(found)

    def _report_tag(self, node: _Node) -> None:
        written = _TAG.search(self.source.text, node.start_mark.index)
        start, end = written.span() if written else (node.start_mark.index, node.start_mark.index + 1)
        tag = self.source.text[start:end]
        detail = f"{tag} would choose how this value is read. Every value here is read by YAML 1.2 alone."
        span = self.source.span(start, end)
        self.found.append(diagnostic("yaml-tag", detail, help="Take the tag away.", span=span))

    def _report_key(self, node: _Node) -> None:
        if isinstance(node, ScalarNode):
            word = node.value or "an empty key"
            detail = f"YAML reads {word} as something other than a text, and all keys here are texts."
            self._report("yaml-key-not-text", node, detail, help="Put the key in quotes.")
        else:
            detail = "A list or mapping stands where a key belongs."
            help = "A text that begins with a brace or bracket needs quotes."
            self._report("yaml-key-not-text", node, detail, help=help)

    def _report_duplicate(self, key: str, node: _Node, values: dict[str, Plain], marks: list[Marks]) -> None:
        first = first_offset(marks[1 + 2 * list(values).index(key)])
        whole = extent(self.source.text, first, key)
        related = (("it stands here first", self.source.span(whole.start, whole.end)),)
        detail = f"The key {key} was given before, and only one of the two can count."
        help = "Take one of them away, or rename it."
        found = diagnostic("yaml-duplicate-key", detail, help=help, span=self._span(node), related=related)
        self.found.append(found)


# What stops the reading

_NOT_IN_YAML = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# What libyaml's and the pure scanner's words usually mean.
_ADVICE: Final[Sequence[tuple[str, str]]] = (
    ("mapping values are not allowed", "A text that holds a colon and a blank needs quotes; a key needs its own line."),
    ("cannot start any token", "A text that begins with @, ` or % needs quotes."),
    ("unknown escape", "In double quotes a backslash begins an escape; single quotes take it as it is."),
    ("end of stream", "A quote or bracket is not closed."),
    ("undefined alias", "A text that begins with * needs quotes."),
    ("duplicate anchor", "Give each anchor a name of its own."),
    ("anchor", "A text that begins with & needs quotes."),
)
_ANY_ADVICE: Final = (
    "Texts that begin with a brace or bracket, or hold a colon and a blank, need quotes; "
    "keys of one mapping begin in the same column."
)


def _syntax_error(error: YAMLError, source: SourceText) -> Diagnostic:
    if isinstance(error, ReaderError) or not isinstance(error, MarkedYAMLError):
        return _forbidden_character(source)
    mark = error.problem_mark or error.context_mark
    start = min(mark.index if mark else 0, len(source.text))
    problem = error.problem or "the text does not continue as YAML"
    tab = _tab_at_fault(source.text, start)
    if tab is not None:
        detail = "Indentation, and the room between a key and its value, is made of blanks; a tab has no fixed width."
        help = "Replace the tab by blanks; most editors can do that for a whole file."
        return diagnostic("yaml-tab", detail, help=help, span=source.span(tab, tab + 1))
    if start >= len(source.text.rstrip()):
        start = max(len(source.text.rstrip()) - 1, 0)
    related: tuple[tuple[str, Span], ...] = ()
    if error.context and error.context_mark and error.context_mark.index < start:
        begin = error.context_mark.index
        related = ((error.context, source.span(begin, begin + 1)),)
    advice = next((advice for words, advice in _ADVICE if words in problem), _ANY_ADVICE)
    detail = f"The reader stopped here: {problem}. Nothing behind this place was checked."
    return diagnostic("yaml-syntax", detail, help=advice, span=source.span(start, start + 1), related=related)


def _forbidden_character(source: SourceText) -> Diagnostic:
    found = _NOT_IN_YAML.search(source.text)
    start = found.start() if found else 0
    detail = f"U+{ord(source.text[start]):04X} is a control character or half of one; YAML takes neither."
    help = "Take it away, or write it as an escape in double quotes."
    return diagnostic("yaml-control-character", detail, help=help, span=source.span(start, start + 1))


def _tab_at_fault(text: str, at: int) -> int | None:
    """The tab that stopped the reader: where it stopped, or in the blanks that the line begins with."""
    if text[at : at + 1] == "\t":
        return at
    begin = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    indentation = text[begin:at]
    tab = indentation.find("\t")
    return begin + tab if tab >= 0 and not indentation.strip() else None
