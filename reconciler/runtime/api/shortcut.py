"""The way of the usual message through the server: a request whose head came before, byte for byte.

1. A client that keeps its connection sends one head again and again, but for the length and the body. What llhttp has
   found in a head once, it will find in the same bytes again: they are looked up instead, and no objects of ASGI are
   made for the request. That saves a third of what an acknowledged message costs.
2. Only a small request that cannot be read in another way takes it: it comes in one piece, between requests, with
   nothing behind it, and its head says exactly so by one Content-Length. Everything else goes the long way, and a head
   is known only after its request went the long way and was accepted, so that strangers leave none here.
3. What a head says is found out once; whether its token still opens the door, room and body are looked at each time.
4. As many heads are kept as 1,000 clients need that send bodies of a few lengths; clients that never send the same head
   twice cost a megabyte and nothing else.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

__all__ = ["Answer", "Answered", "Answering", "Shortcut"]

Answer: TypeAlias = tuple[int, bytes, Mapping[str, str]]
"""Status, a body of JSON, and headers beside its type and length."""

Answered: TypeAlias = Callable[[Answer], None]
"""Is given the answer to a request."""

H = TypeVar("H")

Answering: TypeAlias = Callable[[Mapping[str, Any], H, bytes, Answered], "asyncio.Task[None] | None"]
"""Answers a request, given who sends it (`client`, as in an ASGI scope), its head and its body; raises nothing.

It calls the last argument, at once or in the task that it returns; not when that task is cancelled.
"""

_MAX_HEAD_BYTES: Final = 1_024
_MAX_BODY_BYTES: Final = 32 * 1_024  # some 500 messages at most, which are read at once
_HEADS_KEPT: Final = 1_024
_END: Final = b"\r\n\r\n"
# They say something about framing, or about this hop, that the long way has to look at (RFC 9112 section 6, RFC 9110
# sections 7.6.1, 7.8 and 10.1.1).
_NEVER: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"})


@dataclass(frozen=True, slots=True)
class _Head(Generic[H]):
    said: H
    length: int


class Shortcut(Generic[H]):
    """Heads of accepted POSTs to one path, what they say, and what answers them.

    Attributes:
        answering: what the long way would come to as well.
    """

    def __init__(self, path: str, answering: Answering[H], read: Callable[[Mapping[bytes, bytes]], H]) -> None:
        """`read` finds out what the headers of an accepted request say."""
        self.answering = answering
        self._read = read
        self._raw_path = path.encode()
        self._request_line = b"POST %b HTTP/1.1\r\n" % self._raw_path
        self._heads: dict[bytes, _Head[H]] = {}

    def known(self, data: bytes) -> tuple[H, bytes] | None:
        """Head and body, if these bytes are one whole request with a head that is known."""
        end = data.find(_END, 0, _MAX_HEAD_BYTES) + len(_END)
        head = self._heads.get(data[:end])
        if head is None or len(data) != end + head.length or head.length > _MAX_BODY_BYTES:
            return None
        return head.said, data[end:]

    def may_learn(self, data: bytes) -> bool:
        """Whether these bytes begin with a head that could be known once they were accepted."""
        return data.startswith(self._request_line) and data.find(_END, 0, _MAX_HEAD_BYTES) > 0

    def learn(self, data: bytes, scope: Mapping[str, Any]) -> None:
        """The request in these bytes, of which the long way made this ASGI scope, was accepted."""
        end = data.find(_END, 0, _MAX_HEAD_BYTES) + len(_END)
        given: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(given)
        if len(headers) < len(given) or not _NEVER.isdisjoint(headers):
            return
        if scope["raw_path"] != self._raw_path or scope["query_string"] or scope["http_version"] != "1.1":
            return
        if headers.get(b"content-length") != b"%d" % (len(data) - end):
            return
        if len(self._heads) >= _HEADS_KEPT:
            del self._heads[next(iter(self._heads))]
        self._heads[data[:end]] = _Head(self._read(headers), len(data) - end)
