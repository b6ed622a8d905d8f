"""Receiving the body of a request, within bounds.

1. A body that announces itself larger than its door allows is refused before a byte of it is received, so that a client
   which asks first (`Expect: 100-continue`, RFC 9110 section 10.1.1) never sends it. One that comes in chunks is
   counted while it arrives.
2. A client that goes away while sending has sent nothing: no door acts on part of a body.
3. How long a body may take is the connection's business (`connection.py`).
4. All bodies in memory together are bounded too: one more is told to come again, so that many large requests wait for
   their turn by a 503 instead of exhausting the engine.
"""

from collections.abc import Callable, Mapping

import orjson
from starlette.requests import Request
from starlette.types import Message, Receive

from reconciler.runtime.api.answers import DoorError

__all__ = [
    "Counted",
    "Disconnected",
    "InHand",
    "check_announced",
    "not_json",
    "read_object",
    "receive_body",
    "too_large",
]


class Disconnected(Exception):
    """The client went away; there is nobody to answer."""


class InHand:
    """The bytes of bodies that are being received or worked on."""

    __slots__ = ("_held", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def hold(self, size: int) -> None:
        """Take more into memory; `let_go` of it later.

        Raises:
            DoorError: there is no room; nothing was taken.
        """
        if self._held + size > self._most:
            message = "The engine has as many requests in hand as it can hold. Nothing of this one was kept."
            raise DoorError(503, "engine-busy", message, headers={"Retry-After": "1"})
        self._held += size

    def let_go(self, size: int) -> None:
        """Forget as much."""
        self._held -= size


class Counted:
    """The `receive` of a request whose body counts as in hand until `end`."""

    __slots__ = ("_hand", "_held", "_receive")

    def __init__(self, receive: Receive, hand: InHand) -> None:
        self._receive = receive
        self._hand = hand
        self._held = 0

    async def __call__(self) -> Message:
        """The next event.

        Raises:
            DoorError: there is no room for the part of the body that it brings.
        """
        event = await self._receive()
        size = len(event.get("body", b""))
        self._hand.hold(size)
        self._held += size
        return event

    def end(self) -> None:
        """The request is answered."""
        self._hand.let_go(self._held)
        self._held = 0


def too_large(limit: int) -> DoorError:
    """The refusal of a body over the limit."""
    return DoorError(413, "body-too-large", f"The body is larger than the {limit} bytes that this door takes.")


def check_announced(headers: Mapping[bytes, bytes], *, limit: int) -> None:
    """Refuse a body by its Content-Length. What is no number, the server's parser has refused already."""
    announced = headers.get(b"content-length")
    if announced is not None and int(announced) > limit:
        raise too_large(limit)


async def receive_body(
    receive: Receive, *, limit: int, first: Message | None = None, arrived: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body; `first` is an event that was received already, `arrived` is told the size of each part.

    Raises:
        DoorError: it is larger than `limit`, or what `arrived` raises.
        Disconnected: the client went away before its end.
    """
    chunks: list[bytes] = []
    size = 0
    event = first or await receive()
    while event["type"] == "http.request":
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        arrived(len(chunk))
        chunks.append(chunk)
        if not event.get("more_body", False):
            return b"".join(chunks)
        event = await receive()
    raise Disconnected


async def read_object(request: Request, *, limit: int) -> Mapping[str, object]:
    """The JSON object that a request carries.

    Raises:
        DoorError: the body is too large, or something else.
        Disconnected: the client went away before its end.
    """
    check_announced(dict(request.scope["headers"]), limit=limit)
    body = await receive_body(request.receive, limit=limit)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(body, error) from error
    if not isinstance(value, dict):
        raise DoorError(400, "invalid-json", "The body of this request is a JSON object.")
    return value


def not_json(body: bytes, error: orjson.JSONDecodeError) -> DoorError:
    """The refusal of a body that does not parse, with the place but not the text."""
    if not body.strip():
        return DoorError(400, "invalid-json", "The body is empty.")
    message = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
    return DoorError(400, "invalid-json", message)
