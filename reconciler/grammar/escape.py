"""How a value becomes text, and how that text is made harmless for the place where it is put.

One rule governs all: **a value fills its place and never leaves it.** Whatever a device or a receiver sends, it cannot
add a path segment, a query pair, a header, a member of a JSON object or a request line.

1. Text forms (`callbacks.md` section 2.1): `null`, `true` and `false`, decimal integers, floats in the shortest form
   that reads back as the same number, `NaN`, `Infinity`, `-Infinity`. A `Json` stands for itself.
2. PATH, QUERY, FORM: every byte outside RFC 3986's unreserved characters is percent-encoded.
3. PATH: a value `.` or `..` has its dots encoded twice (`%252E`), because servers that decode before they resolve dot
   segments, and every browser, take `%2E%2E` for `..` too. The receiver reads `%2E`, and the path stays what it was.
   An empty value leaves an empty segment.
4. HEADER, of a request or a mail: control characters become a space, as RFC 9110 section 5.5 proposes for CR, LF and
   NUL. Readers differ in what ends a line, so that Unicode's own line ends (U+0085, U+2028, U+2029) do too.
5. LINE, one of the lines that a batch carries in a query pair: control characters become a space as in a header, since
   a line feed begins another line; then every byte that is not unreserved is percent-encoded.
6. JSON_STRING: escaped as the inside of a string literal. JSON_VALUE: a complete JSON value; JSON has no NaN and no
   infinity, so that they become `null`.
7. TEXT: as it is.
8. Half a surrogate pair, which UTF-8 cannot carry, becomes U+FFFD everywhere: what was escaped can always be sent.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from json import JSONEncoder
from typing import Final

from reconciler.grammar.payload import Value

__all__ = [
    "CONTROL",
    "LONE_SURROGATE",
    "NOT_IN_LINE",
    "Context",
    "Json",
    "escape",
    "escaper",
    "literal_in_line",
    "literal_in_path",
    "literal_in_query",
    "text_form",
]

LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# Also what ends a line for readers that go by Unicode, such as Python's str.splitlines().
NOT_IN_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# RFC 3986 section 2.3, and what may stand unencoded in a path (3.3) and a query (3.4).
_ALL_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*").fullmatch
_UNSAFE_IN_PATH = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/%-]+")
_UNSAFE_IN_QUERY = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]+")
_PERCENT = tuple(chr(byte) if _ALL_UNRESERVED(chr(byte)) else f"%{byte:02X}" for byte in range(256))

# Printable ASCII but the quote and the backslash: what most values are made of, found without building anything.
_PLAIN_IN_JSON = re.compile(r"[ !#-\[\]-~]*").fullmatch
_quoted = JSONEncoder(ensure_ascii=False).encode


class Context(StrEnum):
    """The kind of place a value is put into."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    LINE = "line"
    JSON_STRING = "json-string"
    JSON_VALUE = "json-value"
    FORM = "form"
    TEXT = "text"


class Json(str):
    """A text that is valid JSON already: `-135.00`, whose decimals are fixed, or the object of an object variable."""

    __slots__ = ()


def text_form(value: Value) -> str:
    """The value as text, before any escaping."""
    if isinstance(value, str):
        return _sendable(value)
    return _word(value)


def _sendable(text: str) -> str:
    return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)


def _word(value: bool | int | float | None) -> str:
    """The text of a value that is no text: nothing in it needs escaping but the `+` of an exponent (1e+22)."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # beyond the interpreter's limit of digits, which guards its own, quadratic conversion
            return f"{Decimal(value):f}"
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def escape(value: Value, context: Context) -> str:
    """The text to put into a place of this kind. Never raises."""
    return _ESCAPERS[context](value)


def escaper(context: Context) -> Callable[[Value], str]:
    """`escape` for one kind of place, looked up once."""
    return _ESCAPERS[context]


def literal_in_path(text: str) -> str:
    """What the author wrote into a path, with the characters encoded that no path may hold; `%XX` is kept."""
    return _UNSAFE_IN_PATH.sub(lambda unsafe: _percent_encoded(unsafe[0]), text)


def literal_in_query(text: str) -> str:
    """What the author wrote into a query or a form body, encoded like `literal_in_path`."""
    return _UNSAFE_IN_QUERY.sub(lambda unsafe: _percent_encoded(unsafe[0]), text)


def literal_in_line(text: str) -> str:
    """What the author wrote into a line pattern, percent-encoded: it is text and no part of a URL, `%3B` included."""
    return _percent_encoded(text)


def _percent_encoded(text: str) -> str:
    return "".join([_PERCENT[byte] for byte in _sendable(text).encode()])


def _in_query(value: Value) -> str:
    if not isinstance(value, str):
        return _word(value).replace("+", "%2B")
    return value if _ALL_UNRESERVED(value) else _percent_encoded(value)


def _in_path(value: Value) -> str:
    text = _in_query(value)
    return text if text != "." and text != ".." else "%252E" * len(text)


def _in_header(value: Value) -> str:
    return NOT_IN_LINE.sub(" ", text_form(value))


def _in_line(value: Value) -> str:
    if not isinstance(value, str):
        return _word(value).replace("+", "%2B")
    return value if _ALL_UNRESERVED(value) else _percent_encoded(NOT_IN_LINE.sub(" ", value))


def _in_json_string(value: Value) -> str:
    if not isinstance(value, str):
        return _word(value)
    return value if _PLAIN_IN_JSON(value) else _quoted(_sendable(value))[1:-1]


def _as_json_value(value: Value) -> str:
    if isinstance(value, str):
        if isinstance(value, Json):
            return _sendable(value)
        return f'"{value}"' if _PLAIN_IN_JSON(value) else _quoted(_sendable(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return _word(value)


_ESCAPERS: Final[Mapping[Context, Callable[[Value], str]]] = {
    Context.PATH: _in_path,
    Context.QUERY: _in_query,
    Context.HEADER: _in_header,
    Context.LINE: _in_line,
    Context.JSON_STRING: _in_json_string,
    Context.JSON_VALUE: _as_json_value,
    Context.FORM: _in_query,
    Context.TEXT: text_form,
}
