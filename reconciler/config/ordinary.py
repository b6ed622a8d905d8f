"""Ordinary YAML, read line by line: what nearly every file of definitions is made of.

libyaml makes a node and two marks for every key and value, and that is most of what loading takes. Here each line is
looked at once, and one that was seen before, in whatever file, not even that: 10,000 definitions take 0.1 s in place of
0.5 s. Rules:

1. The answer is what the composer of `config.source` gives, or None, and then the composer is asked. Nothing is
   reported here: whatever is wrong, unusual or not understood is None. Property tests hold the two together.
2. Ordinary are block mappings and sequences of scalars, each on one line: plain, or in quotes without escapes; flow
   collections that begin and end on one line; literal and folded blocks (`|`, `>`, and with `-`), the folded ones of
   lines that are all indented alike. Anchors, tags, scalars continued on the next line, tabs and what does not print
   are not.
3. One document, a mapping that begins in the first column; `---` may stand before it.
4. No places are kept. `offsets` finds a line again; for what stands within one the file is composed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from reconciler.config.place import Plain, Steps
from reconciler.config.scalar import MAX_DIGITS, NUMBER_START, plain_scalar

__all__ = ["offsets", "read_ordinary"]

_MAX_LEVELS: Final = 16
"""Of blocks, and of flow collections in a line; together far below what `config.source` allows."""

_MAX_KEY: Final = 200
"""YAML 1.2.2 section 7.4.2 allows 1,024 characters."""

_LINES_KEPT: Final = 4096
_LONGEST_LINE_KEPT: Final = 200

_DOUBLE: Final = r'"[^"\\]*+"'
_SINGLE: Final = r"'[^']*+(?:''[^']*+)*'(?!')"
_PLAIN_START: Final = r"(?:[\w./$+~(]|-(?=[0-9.]))"
_KEY: Final = rf"\w[\w./-]*+|{_DOUBLE}|{_SINGLE}"
# A colon or a number sign is part of a plain scalar as long as no blank stands behind the one or before the other.
# No group is in something possessive, and nothing that may fail half way: before 3.11.5 Python loses what the one held,
# and goes on behind the other (gh-106052, gh-100061). Nor has it to be, for what one part leaves no other takes.
_LINE = re.compile(
    rf"(\x20*+)(-(?:\x20++|$))?(?:({_KEY}):(?=\x20|$))?\x20*+"
    rf"({_DOUBLE}|{_SINGLE}|[{{\[].*[}}\]](?!.*[}}\]])|[|>]-?|{_PLAIN_START}(?:[^ :]++|\x20++[^ #:]|:++[^ :])*)?"
    r"\x20*+(?:(?<=\x20)#.*)?"
)
# Of plain scalars in flow collections, only what all editions of YAML read alike.
_IN_FLOW: Final = r"[\w./$+~@%=;&*!|<>()^-]"
_FLOW_TOKEN = re.compile(
    rf"\x20*+(?:([{{}}\[\],])|({_DOUBLE}|{_SINGLE}|{_PLAIN_START}{_IN_FLOW}*+(?:\x20++{_IN_FLOW}++)*)\x20*+(:\x20)?)"
)

_SCALAR: Final = 0
_OPEN: Final = 1
_COLLECTION: Final = 2
_BLOCK_STYLES: Final = {"|": 3, "|-": 4, ">": 5, ">-": 6}
_BLOCK: Final = 3
_FOLDED: Final = frozenset((5, 6))
_STRIPPED: Final = frozenset((4, 6))


class _NotOrdinary(Exception):
    """The composer has to look at it."""


class _Line(NamedTuple):
    """A line that holds something: the blanks it begins with, the width of an item's dash, key, value and its kind."""

    indent: int
    dash: int
    key: str | None
    value: Plain
    kind: int


def read_ordinary(text: str) -> dict[str, Plain] | None:
    """The value of the only document; None when the composer has to be asked."""
    try:
        return _document(text)
    except _NotOrdinary:
        return None


# Lines to blocks


def _document(text: str) -> dict[str, Plain]:
    root: dict[str, Plain] = {}
    # The innermost block and its indentation, those around it, and where the value of the last line stands in it.
    into: Any = root
    block: Any
    indent = 0
    outer: list[tuple[int, Any]] = []
    last: Any = None
    is_open = False
    scalar: list[str] | None = None
    margin, kind = "", _SCALAR
    for text_of_line in _lines(text):
        if scalar is not None:
            if not text_of_line or text_of_line.startswith(margin):
                scalar.append(text_of_line)
                continue
            into[last] = _block_scalar(scalar, kind)
            scalar = None
        line = _line(text_of_line) if len(text_of_line) <= _LONGEST_LINE_KEPT else _looked_at(text_of_line)
        if line is None:
            continue
        blanks, dash, key, value, kind = line
        if blanks != indent or dash or into.__class__ is list:
            if blanks > indent:
                if not is_open or len(outer) == _MAX_LEVELS:
                    raise _NotOrdinary
                into[last] = block = [] if dash else {}
                outer.append((indent, into))
                indent, into = blanks, block
            else:
                while blanks < indent:
                    indent, into = outer.pop()
                    is_open = False
                if blanks != indent:
                    raise _NotOrdinary
                if dash and into.__class__ is dict:
                    # A sequence may begin in the column of its key.
                    if not is_open or len(outer) == _MAX_LEVELS:
                        raise _NotOrdinary
                    into[last] = block = []
                    outer.append((indent, into))
                    into = block
                elif not dash and into.__class__ is list:
                    # …and ends with the next key there.
                    indent, into = outer.pop()
                    if indent != blanks or into.__class__ is list:
                        raise _NotOrdinary
        if kind == _COLLECTION:
            value = _copied(value)
        if dash:
            into.append(value)
            last = len(into) - 1
            if key is not None:
                if len(outer) == _MAX_LEVELS:
                    raise _NotOrdinary
                into[last] = block = {}
                outer.append((indent, into))
                indent, into = blanks + dash, block
        if key is not None:
            if key in into:
                raise _NotOrdinary
            into[key] = value
            last = key
        is_open = kind == _OPEN
        if kind >= _BLOCK:
            scalar, margin = [], " " * (indent + 1)
    if scalar is not None:
        if text[-1:] != "\n":
            raise _NotOrdinary
        into[last] = _block_scalar(scalar, kind)
    if not root:
        raise _NotOrdinary
    return root


def _lines(text: str) -> Iterable[str]:
    """The lines behind the marker of the document's beginning, if there is one."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if line == "---":
            return lines[index + 1 :]
        if line and not line.startswith("#"):
            break
    return lines


def _block_scalar(lines: Sequence[str], kind: int) -> str:
    """The text of a block scalar, made of lines that are empty or indented."""
    first = lines[0] if lines else ""
    indent = len(first) - len(first.lstrip(" "))
    for line in lines:
        if line and not (line.startswith(first[:indent]) and line.isprintable() and not line.isspace()):
            raise _NotOrdinary
    texts = [line[indent:] for line in lines]
    while texts and not texts[-1]:
        texts.pop()
    if not first or not texts:
        raise _NotOrdinary
    if kind in _FOLDED and not all(text and text[0] != " " and text[-1] != " " for text in texts):
        raise _NotOrdinary
    text = (" " if kind in _FOLDED else "\n").join(texts)
    return text if kind in _STRIPPED else f"{text}\n"


def _copied(value: Plain) -> Any:
    """A collection of its own for each place, as the composer makes them."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


# Texts to lines


def _looked_at(text: str) -> _Line | None:
    """What a line says; None for one that is empty or a comment."""
    if not text.isprintable():
        raise _NotOrdinary
    if text[:1] == "#":
        return None
    found = _LINE.fullmatch(text)
    if found is None:
        raise _NotOrdinary
    blanks, dash, written_key, written = found.groups()
    key = None if written_key is None else _key(written_key)
    if key is None and dash is None:
        if written is not None:
            raise _NotOrdinary
        return None
    kind, value = (_OPEN, None) if written is None else _value(written)
    return _Line(len(blanks), len(dash or ""), key, value, kind)


_line = lru_cache(maxsize=_LINES_KEPT)(_looked_at)


def _key(written: str) -> str:
    key = _scalar(written)
    if not isinstance(key, str) or len(written) > _MAX_KEY:
        raise _NotOrdinary
    return key


def _value(written: str) -> tuple[int, Plain]:
    if written[0] in "{[":
        return _COLLECTION, _flow(written)
    if written in _BLOCK_STYLES:
        return _BLOCK_STYLES[written], None
    return _SCALAR, _scalar(written)


def _scalar(written: str) -> Plain:
    match written[0]:
        case '"':
            return written[1:-1]
        case "'":
            return written[1:-1].replace("''", "'")
        case first if first in NUMBER_START and len(written) > MAX_DIGITS:
            raise _NotOrdinary
        case _:
            return plain_scalar(written)


def _flow(text: str) -> Plain:
    tokens = _flow_tokens(text)
    value = _flow_value(next(tokens), tokens, _MAX_LEVELS)
    if next(tokens, None) is not None:
        raise _NotOrdinary
    return value


_Token: TypeAlias = "tuple[str, str, str]"
"""A mark, or a scalar as it is written, and the colon behind it."""


def _flow_tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _FLOW_TOKEN.match(text, at)
        if found is None:
            raise _NotOrdinary
        yield found[1] or "", found[2] or "", found[3] or ""
        at = found.end()


def _flow_value(first: _Token, tokens: Iterator[_Token], levels: int) -> Plain:
    mark, scalar, colon = first
    if colon or not levels:
        raise _NotOrdinary
    match mark:
        case "":
            return _scalar(scalar)
        case "[":
            return list(_flow_items(tokens, levels - 1))
        case "{":
            return _flow_mapping(tokens, levels - 1)
        case _:
            raise _NotOrdinary


def _flow_items(tokens: Iterator[_Token], levels: int) -> Iterator[Plain]:
    token = _next(tokens)
    while token[0] != "]":
        yield _flow_value(token, tokens, levels)
        token = _behind(tokens, "]")


def _flow_mapping(tokens: Iterator[_Token], levels: int) -> dict[str, Plain]:
    values: dict[str, Plain] = {}
    token = _next(tokens)
    while token[0] != "}":
        _, written, colon = token
        key = _key(written) if colon else None
        if key is None or key in values:
            raise _NotOrdinary
        values[key] = _flow_value(_next(tokens), tokens, levels)
        token = _behind(tokens, "}")
    return values


def _next(tokens: Iterator[_Token]) -> _Token:
    token = next(tokens, None)
    if token is None:
        raise _NotOrdinary
    return token


def _behind(tokens: Iterator[_Token], end: str) -> _Token:
    """The end of a collection, or what stands behind the comma."""
    token = _next(tokens)
    if token[0] == ",":
        token = _next(tokens)
        if token[0] in {",", end}:
            raise _NotOrdinary
    elif token[0] != end:
        raise _NotOrdinary
    return token


# Values to places

_NAME = re.compile(r"[\w.-]+")
# The blanks before the first thing below a key, or of the document; what stands behind a key on its line.
_BELOW = re.compile(r"(?:(?:\x20*(?:#[^\n]*)?|---)\n)*(?<=\n)(\x20*)(?=[^\x20\n#-])")
_BEHIND = re.compile(r"\x20*([^\x20\n#])")


def offsets(text: str, steps: Steps) -> tuple[int, int | None] | None:
    """Where the last key on a way through block mappings begins, and its value unless that stands below it.

    The text is ordinary, and all keys on the way are there. None for what takes the composer to find.
    """
    text = f"\n{text}"  # so that every line begins behind a line feed
    start = end = 0
    for step in steps:
        below = _BELOW.match(text, end)
        if below is None or not isinstance(step, str) or not _NAME.fullmatch(step):
            return None
        # What stands in this column, from here to the key, are keys of the same mapping: the rest is indented more.
        found: tuple[int, int] | None = None
        for written in (step, f'"{step}"', f"'{step}'"):
            # Only before what is found already: a spelling that is not there costs a search through the whole file.
            limit = len(text) if found is None else found[0]
            at = _key_at(text, below.start(1), limit, indentation=below[1], written=written)
            if at is not None:
                found = at, at + len(written) + 1
        if found is None:
            return None
        start, end = found
    if not start:
        return None
    behind = _BEHIND.match(text, end)
    return start - 1, behind.start(1) - 1 if behind else None


def _key_at(text: str, start: int, limit: int, *, indentation: str, written: str) -> int | None:
    """Where a key first stands behind this indentation, from the line that begins at `start` on and before `limit`."""
    line = f"\n{indentation}{written}:"
    at = text.find(line, start - 1, limit)
    while at >= 0 and text[at + len(line) : at + len(line) + 1] not in {"", " ", "\n"}:
        at = text.find(line, at + 1, limit)
    return at + 1 + len(indentation) if at >= 0 else None
