"""Canonical JSON and the digests made of it.

1. Canonical: UTF-8, keys sorted by code point, no blanks, as orjson writes it. Equal contents have equal bytes.
2. A digest is 128 bits of BLAKE2b (RFC 7693), in lower-case hex: it is compared against accident and malice inside one
   engine, never across organisations, and it is carried 10,000 times in one answer.
3. `version` separates the uses, so that no digest of one kind can be mistaken for another.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

from reconciler.model.definition import Content, Definition, JsonValue
from reconciler.model.resource import Key

if TYPE_CHECKING:  # what only the engine needs
    from reconciler.model.revision import Owned

__all__ = ["canonical_json", "content_digest", "define", "digest_of", "revision_digest", "set_digest"]

_DIGEST_BYTES = 16


def canonical_json(value: JsonValue) -> bytes:
    """The one spelling of a JSON value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_of(kind: str, data: bytes) -> str:
    """128 bits of BLAKE2b over `data`; `kind` keeps different uses apart (at most 16 characters)."""
    return blake2b(data, digest_size=_DIGEST_BYTES, person=kind.encode()).hexdigest()


def content_digest(content: Content) -> str:
    """The digest by which definitions are compared."""
    return digest_of("content/1", canonical_json(content))


def define(key: Key, content: Content) -> Definition:
    """A definition with the digest of its content."""
    return Definition(key, content, content_digest(content))


def set_digest(digests: Mapping[Key, str]) -> str:
    """The digest of a set of definitions, in whatever order they come."""
    lines = sorted(f"{key}\0{digest}\n" for key, digest in digests.items())
    return digest_of("set/1", "".join(lines).encode())


def revision_digest(owned: "Iterable[tuple[Key, Owned]]") -> str:
    """The digest of a revision: keys, contents and owners."""
    lines = sorted(f"{key}\0{o.definition.digest}\0{o.owner}\n" for key, o in owned)
    return digest_of("revision/1", "".join(lines).encode())
