"""The template language: a text with `{variable}` in it, parsed once for its place and rendered once per message.

A template knows the context of each place a value goes to (`escape.py` says what that means), because whoever parsed
it said what it is: a URL (`url.py`), a line of a batch (`batch_url.py`), a JSON or form body (`body.py`), a header
value, a subject or plain text (here). Rules, from `callbacks.md` section 2 and the three kinds of braces that files may
hold:

1. `{name}` and `{customData#name}` are variables, and so is `{word#name}`, that a misspelt `customData` is seen. Any
   other brace is text: JSON bodies are full of them. Which names
   exist depends on the type of the callback and is the caller's question; a template only tells the names and places.
2. `${secret.NAME}` is a secret. It is never rendered: a `Secret` holds its place until `fill`, at the moment of
   sending. `${` is nothing else and never text; `${var.NAME}` was settled when the files were loaded.
3. Single pass: values are never searched for braces.
4. A variable without a value renders as `null`. Rendering never fails.
5. What is rendered is a plain `str` unless a secret is in it; then it is a tuple of text and secrets, in which no two
   texts are neighbours and none is empty.

Rendering copies a list of the literal pieces, puts each value at its index and joins: measured at less than half the
time of `re.sub` or `str.format_map`. Generated code would save another third, which is not worth an `exec`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from reconciler.errors import GrammarError
from reconciler.grammar.escape import LONE_SURROGATE, NOT_IN_LINE, Context, escape, escaper
from reconciler.grammar.payload import CUSTOM_DATA, NAME_PATTERN, Value

__all__ = [
    "CUSTOM_DATA",
    "Placeholder",
    "Reference",
    "Rendered",
    "Secret",
    "Segment",
    "StoredParts",
    "Template",
    "Variable",
    "fill",
    "from_parts",
    "join",
    "parse_header_value",
    "parse_subject",
    "parse_text_body",
    "redact",
    "scan",
    "segments",
    "to_parts",
    "with_stand_ins",
]

_REFERENCE = re.compile(
    r"\$\{(?:secret\.(?P<secret>[A-Za-z_][A-Za-z0-9_]*)\})?"
    rf"|\{{(?P<variable>[A-Za-z][A-Za-z0-9_]*(?:#{NAME_PATTERN})?)\}}"
)
_TO_CLOSING_BRACE = re.compile(r"[^\s{}]*\}")
# RFC 9110 section 5.5: a field value is made of visible characters, blanks and tabs.
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that is not filled in yet, and the kind of place where it stands."""

    name: str
    context: Context


class Placeholder(NamedTuple):
    """The place of a variable; `offset` is that of its brace in the text as it was written."""

    name: str
    context: Context
    offset: int


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a template and every place where it stands, so that a message can point there."""

    name: str
    offsets: tuple[int, ...]

    @property
    def length(self) -> int:
        """How many characters each place takes, braces included."""
        return len(self.name) + 2


Segment = str | Placeholder | Secret
Rendered = str | tuple[str | Secret, ...]
StoredParts = str | list[str | dict[str, str]]


@dataclass(frozen=True, slots=True)
class Template:
    """A text that parsed, cut into literals, variables and secrets. Equal when text and contexts are.

    What rendering needs is worked out at the first message: most templates of a large project are only ever checked.
    """

    text: str
    segments: tuple[Segment, ...]
    _pieces: list[str] = field(init=False, compare=False, repr=False)
    _values: tuple[tuple[int, str, Callable[[Value], str]], ...] = field(init=False, compare=False, repr=False)
    _sealed: tuple[tuple[int, Secret], ...] = field(init=False, compare=False, repr=False)
    _constant: Rendered | None = field(init=False, compare=False, repr=False)
    _names: Set[str] = field(init=False, compare=False, repr=False)

    @property
    def names(self) -> Set[str]:
        """The names of the variables."""
        try:
            return self._names
        except AttributeError:
            names = {segment.name for segment in self.segments if isinstance(segment, Placeholder)}
            object.__setattr__(self, "_names", names)
            return names

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Each variable once, in the order of its first place."""
        offsets: dict[str, list[int]] = {}
        for segment in self.segments:
            if isinstance(segment, Placeholder):
                offsets.setdefault(segment.name, []).append(segment.offset)
        return tuple([Variable(name, tuple(at)) for name, at in offsets.items()])

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets."""
        return frozenset(segment.name for segment in self.segments if isinstance(segment, Secret))

    def render(self, values: Mapping[str, Value]) -> Rendered:
        """The text with every variable replaced by its value, escaped for its place; absent ones are `null`."""
        try:
            if self._constant is not None:
                return self._constant
        except AttributeError:
            self._compile()
            return self.render(values)
        pieces = self._pieces.copy()
        get = values.get
        for index, name, escaped in self._values:
            pieces[index] = escaped(get(name))
        return self._joined(pieces) if self._sealed else "".join(pieces)

    def _compile(self) -> None:
        pieces, values, sealed = [], [], []
        for index, segment in enumerate(self.segments):
            match segment:
                case str():
                    pieces.append(segment)
                    continue
                case Placeholder(name, context, _):
                    values.append((index, name, escaper(context)))
                case Secret():
                    sealed.append((index, segment))
                case _:
                    assert_never(segment)
            pieces.append("")
        object.__setattr__(self, "_pieces", pieces)
        object.__setattr__(self, "_values", tuple(values))
        object.__setattr__(self, "_sealed", tuple(sealed))
        object.__setattr__(self, "_constant", None if values else self._joined(pieces))

    def _joined(self, pieces: Sequence[str]) -> Rendered:
        if not self._sealed:
            return "".join(pieces)
        parts: list[str | Secret] = []
        start = 0
        for index, secret in self._sealed:
            parts += ("".join(pieces[start:index]), secret)
            start = index + 1
        parts.append("".join(pieces[start:]))
        return tuple(part for part in parts if part != "")


# What was rendered, until it is sent


def fill(rendered: Rendered, secrets: Callable[[str], str]) -> str:
    """The text to send: each secret looked up and escaped for its place. What `secrets` raises passes through."""
    if isinstance(rendered, str):
        return rendered
    return "".join(part if isinstance(part, str) else escape(secrets(part.name), part.context) for part in rendered)


def redact(rendered: Rendered) -> str:
    """The text to show: `${secret.NAME}` where a secret stands."""
    if isinstance(rendered, str):
        return rendered
    return "".join(part if isinstance(part, str) else f"${{secret.{part.name}}}" for part in rendered)


def join(*pieces: Rendered) -> Rendered:
    """One after the other, as one rendered text."""
    parts: list[str | Secret] = [""]
    for piece in pieces:
        for part in (piece,) if isinstance(piece, str) else piece:
            last = parts[-1]
            if isinstance(part, str) and isinstance(last, str):
                parts[-1] = last + part
            else:
                parts.append(part)
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return tuple(part for part in parts if part != "")


def to_parts(rendered: Rendered) -> StoredParts:
    """The JSON form: a string, or a list of strings and `{"secret": name, "context": kind of place}`."""
    if isinstance(rendered, str):
        return rendered
    return [part if isinstance(part, str) else {"secret": part.name, "context": part.context} for part in rendered]


def from_parts(stored: StoredParts) -> Rendered:
    """What `to_parts` was given. Raises `KeyError` or `ValueError` for what it never wrote."""
    if isinstance(stored, str):
        return stored
    return tuple(part if isinstance(part, str) else Secret(part["secret"], Context(part["context"])) for part in stored)


# Text to segments


class Reference(NamedTuple):
    """A variable or secret found in a text, from its first character to behind its closing brace."""

    name: str
    start: int
    end: int
    secret: bool

    @property
    def length(self) -> int:
        """How many characters it takes, braces included."""
        return self.end - self.start


def scan(text: str) -> tuple[Reference, ...]:
    """Every variable and secret of a text, in order.

    Raises:
        GrammarError: `${` begins no secret, or the text cannot be sent because it holds half a surrogate pair.
    """
    broken = None if text.isascii() else LONE_SURROGATE.search(text)
    if broken:
        reason = "This is half of a character (a lone surrogate), which no request can carry."
        raise GrammarError("template-control-character", text, broken.start(), reason)
    found: list[Reference] = []
    for match in _REFERENCE.finditer(text):
        kind = match.lastgroup
        if kind is None:
            raise _unknown_reference(text, match)
        found.append(Reference(match[kind], match.start(), match.end(), secret=kind == "secret"))
    return tuple(found)


def _unknown_reference(text: str, opening: re.Match[str]) -> GrammarError:
    closing = _TO_CLOSING_BRACE.match(text, opening.end())
    reason = (
        "The only reference that may stand here is ${secret.NAME}, its name made of letters, digits and underscores; "
        "a variable has no dollar sign, as in {device}."
    )
    length = (closing or opening).end() - opening.start()
    return GrammarError("template-unknown-reference", text, opening.start(), reason, length=length)


def with_stand_ins(text: str, references: Iterable[Reference], stand_in: Callable[[Reference], str]) -> str:
    """The text with something else in place of each reference, for checking the shape of what is around them."""
    pieces: list[str] = []
    behind = 0
    for reference in references:
        pieces += (text[behind : reference.start], stand_in(reference))
        behind = reference.end
    return "".join((*pieces, text[behind:]))


def segments(
    text: str,
    references: Iterable[Reference],
    *,
    context: Context | Callable[[Reference], Context],
    literal: Callable[[str], str] = str,
    start: int = 0,
    end: int | None = None,
) -> tuple[Segment, ...]:
    """The segments of `text[start:end]`; offsets stay those of the whole text.

    `context` is that of all places, or says it for each; `literal` is applied to what stands between them.
    """
    end = len(text) if end is None else end
    found: list[Segment] = []
    behind = start
    for reference in references:
        if not start <= reference.start < end:
            continue
        found.append(literal(text[behind : reference.start]))
        place = context if isinstance(context, Context) else context(reference)
        found.append(
            Secret(reference.name, place) if reference.secret else Placeholder(reference.name, place, reference.start)
        )
        behind = reference.end
    found.append(literal(text[behind:end]))
    return tuple([segment for segment in found if segment != ""])


def parse_header_value(text: str) -> Template:
    """The value of a header."""
    control = _NOT_IN_HEADER.search(text)
    if control:
        reason = "A header value cannot hold line breaks or other control characters."
        raise GrammarError("template-control-character", text, control.start(), reason)
    return Template(text, segments(text, scan(text), context=Context.HEADER))


def parse_subject(text: str) -> Template:
    """The subject of an e-mail."""
    control = NOT_IN_LINE.search(text)
    if control:
        reason = "A subject is one line: it cannot hold line breaks or other control characters."
        raise GrammarError("template-control-character", text, control.start(), reason)
    return Template(text, segments(text, scan(text), context=Context.HEADER))


def parse_text_body(text: str) -> Template:
    """A body of free text."""
    return Template(text, segments(text, scan(text), context=Context.TEXT))
