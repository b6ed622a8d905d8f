"""The payload config language: a text that names the fields of a payload, and the decoder it compiles to.

    config = field { blank field }          field = name ":" [ index ] ":" type
    type   = "bool:" bit | "char:" bytes [ ":" bit ] | ( "uint:" | "int:" | "float:" ) bits [ ":" endian ] [ ":" bit ]

A payload is one stream of bits, most significant first. Every rule below is `callbacks.md` section 3 unless it says
otherwise; where that page calls a point unclear, the rule says which side was taken.

1. A `bool` is the bit of that number in its byte, 7 the highest. Everything else starts at bit `bit` of its byte
   (7 when omitted), runs down to bit 0 and on into bit 7 of the next byte.
2. An omitted index continues: after a bool, or a field with a written bit, at the last byte that was touched; after
   any other field at the byte behind it. A written index may jump anywhere, also back.
3. A lone number behind the length is the bit (`uint:32:2`); an empty byte order is big-endian (`uint:4::3`).
4. Names are letters, digits, `_`, `-` and `#`: the union of what the two published editions allow. No name twice.
5. `little-endian` reverses whole bytes, so a width that is not a multiple of 8 is refused (unclear there).
6. `char` is read as UTF-8, bytes that are not UTF-8 become U+FFFD (unclear there: no charset is stated, all samples
   are ASCII).
7. A field that does not fit the payload is `None` and listed as missing; bytes behind the last field are ignored.
   Decoding never fails.
8. Only ASCII digits and letters count, and no number goes past `MAX_INDEX`, so that no text can be costly.
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Self, assert_never

from reconciler.errors import GrammarError

__all__ = [
    "CUSTOM_DATA",
    "MAX_INDEX",
    "NAME_PATTERN",
    "Decoded",
    "Field",
    "Kind",
    "PayloadConfig",
    "Value",
    "format_fields",
    "problems",
]

Kind = Literal["bool", "char", "uint", "int", "float"]
Value = None | bool | int | float | str

# The largest byte offset, and the longest text: far beyond any uplink (12 bytes), small enough for every int.
MAX_INDEX: Final = 65_535
# The prefix of the variables that a config declares: customData#temperature.
CUSTOM_DATA: Final = "customData#"
NAME_PATTERN: Final = r"[A-Za-z0-9_#-]+"

_KINDS: Final[Mapping[str, Kind]] = {"bool": "bool", "char": "char", "uint": "uint", "int": "int", "float": "float"}
_WIDTHS: Final[Mapping[Kind, tuple[range, str]]] = {
    "char": (range(1, MAX_INDEX + 1), f"1 to {MAX_INDEX} bytes"),
    "uint": (range(1, 65), "1 to 64 bits"),
    "int": (range(1, 65), "1 to 64 bits"),
    "float": (range(32, 65, 32), "32 or 64 bits"),
}
_ENDIANS: Final[Mapping[str, bool]] = {"little-endian": True, "big-endian": False, "": False}

_WORD = re.compile(r"[^ \t\r\n\f\v]+")
_NAME = re.compile(NAME_PATTERN)
_DIGITS = re.compile(r"[0-9]+")
_BIT = re.compile(r"[0-7]")

# Payloads of one device type come in a few lengths; past this many a table is built, used and forgotten.
_MAX_TABLES: Final = 32
# Bytes behind the last field cost time in every shift, so that no more of them are looked at; below, a table for the
# length as it is saves the slicing.
_MAX_SLACK: Final = 16
_HIGHEST_BIT: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field as it was written: `index` and `bit` are `None` where the text leaves them out.

    `length` counts bits, for a `char` bytes, and is 1 for a `bool`, whose `bit` is never `None`.
    """

    name: str
    kind: Kind
    length: int
    index: int | None = None
    bit: int | None = None
    little_endian: bool = False

    @property
    def bits(self) -> int:
        """How many bits of the payload it reads."""
        return self.length * 8 if self.kind == "char" else self.length


class Decoded(NamedTuple):
    """What a payload holds: all fields in the order of the config, `None` for those that did not fit (`missing`).

    A named tuple, because one is made per message and a frozen dataclass takes half as long again to make.
    """

    values: Mapping[str, Value]
    missing: tuple[str, ...]


class _Slot(NamedTuple):
    """Where a field stands in the stream of bits, counted from the first bit of the payload."""

    field: Field
    first: int
    end: int


# How one field is cut out of a payload of one length: its variable, shift and mask, the sign bit where two's complement
# is to be undone (else 0), and what turns bits into a value where that takes more. Plain tuples unpack fastest.
_Step = tuple[str, int, int, int, Callable[[int], Value] | None]
_Table = tuple[tuple[_Step, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PayloadConfig:
    """A payload config that parsed. Two are equal when their texts are.

    Raises:
        GrammarError: the first of `problems(text)`.
    """

    text: str
    fields: tuple[Field, ...] = field(init=False, compare=False, repr=False)
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)
    size: int = field(init=False, compare=False, repr=False)
    """How many bytes a payload needs for all fields to fit."""
    _slots: tuple[_Slot, ...] = field(init=False, compare=False, repr=False)
    _tables: dict[int, _Table] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        fields, errors = _parse(self.text)
        if errors:
            raise errors[0]
        slots = _lay_out(fields)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "names", tuple(each.name for each in fields))
        object.__setattr__(self, "size", max((slot.end + 7) // 8 for slot in slots))
        object.__setattr__(self, "_slots", slots)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a config; raises the first of its `problems`."""
        return cls(text)

    def decode(self, data: bytes) -> Decoded:
        """Reads every field out of a payload of any length."""
        values: dict[str, Value] = {}
        missing = self.decode_into(values, data)
        return Decoded(dict(zip(self.names, values.values(), strict=True)), missing)

    def decode_into(self, values: dict[str, Value], data: bytes) -> tuple[str, ...]:
        """The same, put as `customData#name` into a mapping that the caller has; returns the names of the missing."""
        table = self._tables.get(len(data))
        if table is None:
            data = data[: self.size + _MAX_SLACK]
            table = self._tables.get(len(data)) or self._compile(len(data))
        steps, missing = table
        stream = int.from_bytes(data, "big")
        for name, shift, mask, sign, convert in steps:
            raw = (stream >> shift) & mask
            if sign:
                values[name] = (raw ^ sign) - sign
            elif convert is None:
                values[name] = raw
            else:
                values[name] = convert(raw)
        return missing

    def _compile(self, size: int) -> _Table:
        steps = tuple(_step(slot, shift=8 * size - slot.end) for slot in self._slots)
        missing = tuple(slot.field.name for slot in self._slots if slot.end > 8 * size)
        table = (steps, missing)
        if len(self._tables) < _MAX_TABLES:
            self._tables[size] = table
        return table


def problems(text: str) -> tuple[GrammarError, ...]:
    """Everything that is wrong with a config, in reading order; empty when it is fine."""
    return _parse(text)[1]


def format_fields(fields: Iterable[Field]) -> str:
    """The canonical text: single blanks, defaults left out, the byte order spelt out in front of a bit.

    Raises:
        GrammarError: the fields, built by hand, are not what any text says.
    """
    wanted = tuple(fields)
    text = " ".join(map(_format, wanted))
    parsed, errors = _parse(text)
    if errors:
        raise errors[0]
    if parsed != wanted:
        raise GrammarError(
            "payload-syntax", text, 0, "These fields cannot be written: their text reads as others.", length=len(text)
        )
    return text


def _format(each: Field) -> str:
    head = f"{each.name}:{'' if each.index is None else each.index}:{each.kind}"
    if each.kind == "bool":
        return f"{head}:{each.bit}"
    endian = ""
    if each.little_endian:
        endian = ":little-endian"
    elif each.bit is not None and each.kind != "char":
        endian = ":big-endian"
    bit = "" if each.bit is None else f":{each.bit}"
    return f"{head}:{each.length}{endian}{bit}"


# Text to fields


class _Part(NamedTuple):
    """What stands between two colons."""

    offset: int
    text: str


def _end(part: _Part) -> _Part:
    """The place behind a part, where something is missing."""
    return _Part(part.offset + len(part.text), "")


class _Faults:
    """Collects what is wrong with one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[GrammarError] = []

    def add(self, code: str, part: _Part, reason: str) -> None:
        self.found.append(GrammarError(code, self.text, part.offset, reason, length=len(part.text)))


def _parse(text: str) -> tuple[tuple[Field, ...], tuple[GrammarError, ...]]:
    faults = _Faults(text)
    fields: list[Field] = []
    seen: set[str] = set()
    empty = True
    for word in _WORD.finditer(text):
        empty = False
        parts = _split(word[0], word.start())
        name = parts[0]
        if not _NAME.fullmatch(name.text):
            allowed = "letters, digits, '_', '-' and '#'"
            faults.add("payload-bad-name", name, f"A field's name is one or more {allowed}, not {_shown(name.text)}.")
        elif name.text in seen:
            faults.add("payload-duplicate-name", name, f"Two fields are named {_shown(name.text)}.")
        seen.add(name.text)
        parsed = _parse_field(parts, faults)
        if parsed is not None:
            fields.append(parsed)
    if empty:
        reason = "A payload config needs at least one field, such as temperature::int:16."
        faults.add("payload-empty", _Part(len(text), ""), reason)
    return tuple(fields), tuple(faults.found)


def _split(word: str, offset: int) -> list[_Part]:
    parts: list[_Part] = []
    for piece in word.split(":"):
        parts.append(_Part(offset, piece))
        offset += len(piece) + 1
    return parts


def _parse_field(parts: list[_Part], faults: _Faults) -> Field | None:
    """The field, or `None` after reporting why there is none. The name was checked before."""
    name, *rest = parts
    if len(rest) < 2 or rest[0].text in _KINDS:
        wrong = rest[0] if rest and rest[0].text in _KINDS else _end(parts[-1])
        faults.add("payload-syntax", wrong, "A field is name:index:type, with both colons where the index is left out.")
        return None
    before = len(faults.found)
    index = _read_index(rest[0], faults)
    kind = _KINDS.get(rest[1].text)
    if kind is None:
        reason = f"A field's type is bool, char, uint, int or float, not {_shown(rest[1].text)}."
        faults.add("payload-bad-type", rest[1], reason)
        return None

    slots = rest[2:] or [_end(parts[-1])]
    length, little_endian, bit = 1, False, None
    if kind == "bool":
        bit = _read_bit(slots.pop(0), faults)
    else:
        length = _read_length(slots.pop(0), kind, faults)
        # A lone number here is the bit, as in the published uint:32:2.
        if slots and not _DIGITS.fullmatch(slots[0].text):
            little_endian = _read_endian(slots.pop(0), kind=kind, length=length, faults=faults)
        if slots:
            bit = _read_bit(slots.pop(0), faults)
    if slots:
        faults.add("payload-syntax", slots[0], f"Nothing may follow here in a field of type {kind}.")
    if len(faults.found) > before:
        return None
    return Field(name=name.text, kind=kind, length=length, index=index, bit=bit, little_endian=little_endian)


def _read_index(part: _Part, faults: _Faults) -> int | None:
    if part.text == "":
        return None
    index = _number(part.text)
    if index is None:
        reason = f"An index is a byte from 0 to {MAX_INDEX}, or left out, not {_shown(part.text)}."
        faults.add("payload-bad-index", part, reason)
    return index


def _read_length(part: _Part, kind: Kind, faults: _Faults) -> int:
    widths, allowed = _WIDTHS[kind]
    length = _number(part.text)
    if length is None or length not in widths:
        faults.add("payload-bad-length", part, f"The length of {kind} is {allowed}, not {_shown(part.text)}.")
        return 0
    return length


def _read_endian(part: _Part, *, kind: Kind, length: int, faults: _Faults) -> bool:
    code = "payload-bad-endianness"
    little = _ENDIANS.get(part.text)
    if kind == "char":
        faults.add(code, part, "A char has no byte order: only a bit may follow its length.")
    elif little is None:
        faults.add(code, part, f"A byte order is little-endian or big-endian, not {_shown(part.text)}.")
    elif little and length % 8:
        faults.add(code, part, f"Only whole bytes can be little-endian, and {length} bits are not a multiple of 8.")
    return bool(little)


def _read_bit(part: _Part, faults: _Faults) -> int | None:
    if not _BIT.fullmatch(part.text):
        reason = f"A bit is a digit from 7, the highest of its byte, to 0, not {_shown(part.text)}."
        faults.add("payload-bad-bit", part, reason)
        return None
    return int(part.text)


def _number(text: str) -> int | None:
    """A number up to `MAX_INDEX`; the digits are counted before they are read, since reading long ones is costly."""
    if not _DIGITS.fullmatch(text):
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(MAX_INDEX)) or int(digits) > MAX_INDEX:
        return None
    return int(digits)


def _shown(text: str) -> str:
    """What the user wrote, quoted and kept short; control characters are escaped."""
    if not text:
        return "nothing"
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


# Fields to decoder


def _lay_out(fields: tuple[Field, ...]) -> tuple[_Slot, ...]:
    slots: list[_Slot] = []
    following = 0
    for each in fields:
        start = following if each.index is None else each.index
        first = 8 * start + _HIGHEST_BIT - (_HIGHEST_BIT if each.bit is None else each.bit)
        slot = _Slot(each, first, first + each.bits)
        slots.append(slot)
        # Rule 2; a bool always has a written bit, so that one test covers both cases.
        touched = (slot.end - 1) // 8
        following = touched + 1 if each.bit is None else touched
    return tuple(slots)


def _step(slot: _Slot, *, shift: int) -> _Step:
    each = slot.field
    if shift < 0:
        return CUSTOM_DATA + each.name, 0, 0, 0, _absent
    signed = each.kind == "int" and not each.little_endian
    return CUSTOM_DATA + each.name, shift, (1 << each.bits) - 1, 1 << (each.bits - 1) if signed else 0, _converter(each)


def _absent(_: int) -> None:
    """Stands for a field that does not fit, so that decoding has one loop without a case for it."""


def _converter(each: Field) -> Callable[[int], Value] | None:
    """From the raw bits to the value; `None` where the bits are the value, or the sign of the step settles it."""
    size = each.bits // 8
    match each.kind:
        case "bool":
            return bool
        case "char":
            return lambda raw: raw.to_bytes(size, "big").decode("utf-8", "replace")
        case "float":
            unpack = struct.Struct(("<" if each.little_endian else ">") + ("f" if size == 4 else "d")).unpack
            return lambda raw: float(unpack(raw.to_bytes(size, "big"))[0])
        case "uint" | "int":
            if not each.little_endian:
                return None
            signed = each.kind == "int"
            return lambda raw: int.from_bytes(raw.to_bytes(size, "big"), "little", signed=signed)
        case _:
            assert_never(each.kind)
