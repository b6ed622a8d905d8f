"""`${var.name}`: settled when files are loaded, before any template is parsed.

1. A value is put in as text, once: it is not searched for further references.
2. A value must not hold a brace. It would become a variable of the callback, or a secret, that nobody wrote there.
3. Offsets in the settled text lead back to the text as written; what a value brought in leads to its reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["OPENING", "Reference", "Settled", "references", "settle"]

_REFERENCE = re.compile(r"\$\{var(?:\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)\}|(?![A-Za-z0-9_]))")
OPENING: Final = "${var"
"""What every reference begins with."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in a text as written; without a name it is not complete."""

    name: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Where a value stands in the settled text, and the reference it stands for."""

    start: int
    end: int
    reference: Reference


@dataclass(frozen=True, slots=True)
class Settled:
    """A text with its references replaced; those in `unresolved` have no value here and still stand in it."""

    text: str
    unresolved: tuple[Reference, ...]
    _written: str = field(compare=False, repr=False)
    _values: Mapping[str, str] = field(compare=False, repr=False)

    def origin(self, offset: int, length: int) -> tuple[int, int]:
        """Offset and length, in the text as written, of some characters of the settled one."""
        start = self._origin(offset, at_end=False)
        end = self._origin(offset + length, at_end=True)
        return start, max(end - start, 1)

    def names_within(self, offset: int, length: int) -> tuple[str, ...]:
        """The variables whose values have a part in some characters of the settled text."""
        touching = (piece for piece in self._pieces if piece.start < offset + length and offset < piece.end)
        return tuple(dict.fromkeys(piece.reference.name or "" for piece in touching))

    def _origin(self, offset: int, *, at_end: bool) -> int:
        shift = 0
        for piece in self._pieces:
            if offset < piece.start or (at_end and offset == piece.start):
                break
            if offset < piece.end or (at_end and offset == piece.end):
                return piece.reference.end if at_end else piece.reference.start
            shift = piece.reference.end - piece.end
        return offset + shift

    @property
    def _pieces(self) -> tuple[_Piece, ...]:
        """What became of the values; worked out for findings alone."""
        pieces: list[_Piece] = []
        behind = size = 0
        for reference in references(self._written):
            value = self._values.get(reference.name or "")
            if value is not None:
                start = size + reference.start - behind
                size = start + len(value)
                behind = reference.end
                pieces.append(_Piece(start, size, reference))
        return tuple(pieces)


def references(text: str) -> tuple[Reference, ...]:
    """Every reference to a variable, in order."""
    return tuple(Reference(found["name"], found.start(), found.end()) for found in _REFERENCE.finditer(text))


def settle(text: str, values: Mapping[str, str]) -> Settled:
    """The text with the references replaced whose values are known; the others stay."""
    unresolved: tuple[Reference, ...] = ()
    try:
        settled = _REFERENCE.sub(lambda found: values[found["name"]], text)
    except KeyError:
        settled = _REFERENCE.sub(lambda found: values.get(found["name"], found[0]), text)
        unresolved = tuple(each for each in references(text) if each.name is None or each.name not in values)
    return Settled(settled, unresolved, text, values)
