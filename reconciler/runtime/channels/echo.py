"""The forms in which a receiver may repeat a secret: as it was sent, or as pages and programs write it.

1. As it stands in each kind of place (`grammar.escape`), and that once more percent-encoded, as JSON or as HTML, in the
   ways in which libraries and frameworks differ; and in base64 by itself.
2. What is made of a secret together with something else (a digest, the base64 of a whole request) is not recognised.
3. An answer may be cut within a secret: of a long one, an end that is the beginning of a form counts as the form.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

from reconciler.grammar.escape import LONE_SURROGATE, Context, escape

__all__ = ["SHORTEST", "without"]

SHORTEST: Final = 8
"""Shorter values occur in an answer by accident; replacing those would only spoil it."""

# No answer that is shorter was cut: the channel reads 64 KiB.
_LONG: Final = 32 * 1024
_UNTOUCHED = re.compile(rb"[A-Za-z0-9_-]+")


def without(body: bytes, value: str, *, shown: str) -> bytes:
    """The body with `shown` wherever it repeats the value."""
    if not SHORTEST <= len(value) <= len(body):  # escaping only makes it longer
        return body
    raw = LONE_SURROGATE.sub("\ufffd", value).encode()
    forms = {encode(raw).rstrip(b"=") for encode in (b64encode, urlsafe_b64encode)}
    # No form changes these, so that most answers are told to hold none by one look; not those that may be cut.
    if len(body) >= _LONG or max(_UNTOUCHED.findall(raw), key=len, default=b"") in body:
        forms |= {raw} if _UNTOUCHED.fullmatch(raw) else {form.encode() for form in _forms(raw.decode())}
    replacement = shown.encode()
    longest_first = sorted(forms, key=len, reverse=True)  # some are the beginning of others
    for form in longest_first:
        body = body.replace(form, replacement)
    return _without_cut_end(body, longest_first, replacement) if len(body) >= _LONG else body


def _without_cut_end(body: bytes, forms: Sequence[bytes], replacement: bytes) -> bytes:
    for form in forms:
        for size in range(len(form) - 1, SHORTEST - 1, -1):
            if body.endswith(form[:size]):
                return body[:-size] + replacement
    return body


def _forms(text: str) -> set[str]:
    """As it was sent, and that once more in the form of a page, of JSON or of a URL."""
    # Not a JSON value, which is a string with its quotes: those are no secret.
    sent = {escape(text, context) for context in Context if context is not Context.JSON_VALUE}
    return {form for each in sent for form in (each, *_repeated(each))}


def _repeated(text: str) -> Iterator[str]:
    for encoded in (quote(text), quote(text, safe=""), quote_plus(text), quote(text, safe="!'()*;/?:@&=+$,#")):
        yield encoded
        yield _lower_hex(encoded)
    for in_ascii in (True, False):
        written = json.dumps(text, ensure_ascii=in_ascii)[1:-1]
        yield written
        yield written.replace("/", "\\/")
        # As templates write JSON into pages, and Go writes it anywhere.
        yield written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    page = html.escape(text, quote=False)
    for double in ('"', "&quot;", "&#34;"):
        for single in ("'", "&#x27;", "&#39;", "&#039;"):
            yield page.replace('"', double).replace("'", single)


def _lower_hex(encoded: str) -> str:
    head, *rest = encoded.split("%")
    return "%".join((head, *(part[:2].lower() + part[2:] for part in rest)))
