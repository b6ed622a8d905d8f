"""`POST /v1/messages`: messages of all types in, durable, then acknowledged.

1. 202 is sent after `Engine.take` returned: what it acknowledges is on disk. A 503 means that nothing of the request
   was kept. Sending a request again is always safe, because a message that was kept is recognised.
2. A request is one JSON object, an array, or NDJSON. NDJSON is what the content type calls so, and what is not JSON as
   a whole but begins with a line that is an object.
3. A bad message is refused by its index with a reason, the good ones are taken. In NDJSON a line that is not JSON is
   such a message; empty lines are none.
4. The token is checked before the body is received, and so is whether there is room (`room`). Bodies in memory are
   bounded one by one and together (`bodies`).
5. A message that another station reported before is accepted like any other: what it sets off is the engine's business.
   Where there are such, `receptions` says how many of the accepted ones they are.
6. This is the hot path, so it is a bare ASGI application, dispatched before any routing: no request and response
   objects, one await for the body and one for the store (Starlette's routing and objects would add 18 us to 33).
   Requests whose head is known (`shortcut`) are read when they arrive, and taken with others (`posts`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from reconciler.codec.message import read_message
from reconciler.errors import StoreError
from reconciler.model.message import Message, Refusal
from reconciler.model.value import value
from reconciler.runtime.api.access import Access
from reconciler.runtime.api.answers import DoorError, send_body, send_json, store_error
from reconciler.runtime.api.bodies import Disconnected, InHand, check_announced, not_json, receive_body, too_large
from reconciler.runtime.api.doors import Door, stopping
from reconciler.runtime.api.room import Room
from reconciler.runtime.api.shortcut import Answer
from reconciler.runtime.api.tokens import Scope as TokenScope
from reconciler.runtime.api.tokens import digest_of
from reconciler.runtime.engine import Engine, Taken
from reconciler.store.protocol import Kept

__all__ = ["INGEST_PATH", "MAX_BODY_BYTES", "MAX_MESSAGES", "Head", "Ingest", "Posted", "split_body"]

INGEST_PATH: Final = "/v1/messages"
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_MESSAGES: Final = 10_000
# Parsed, 100 bytes of JSON become 1.5 KB of values: at most half a gigabyte, whatever clients do at once.
_MAX_BYTES_IN_HAND: Final = 32 * 1024 * 1024
# Reading takes 5 us a message; after this many others get their turn, so that acknowledgements stay quick.
_SLICE: Final = 500

_NDJSON_TYPES = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})

_NO_HEADERS: Final[Mapping[str, str]] = {}
_ONE_ACCEPTED = b'{"accepted":1,"repeated":0,"ids":["%b"],"refused":[],"warnings":[]}'
_ONE_REPEATED = b'{"accepted":0,"repeated":1,"ids":["%b"],"refused":[],"warnings":[]}'


@dataclass(slots=True)
class _Reading:
    """What the messages of one request turned out to be, by index."""

    ids: list[str | None] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def read(self, values: Sequence[object], received_at: datetime) -> None:
        """Continue with the next messages."""
        ids, messages = self.ids, self.messages
        for given in values:
            message = given if isinstance(given, Refusal) else read_message(given, received_at=received_at)
            if isinstance(message, Refusal):
                self.refused.append({"index": len(ids), "code": message.code, "reason": message.reason})
                ids.append(None)
            else:
                messages.append(message)
                ids.append(message.id)


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a request say that was accepted, so that they passed every check but that of the token.

    Attributes:
        lines: whether the content type says that each line is a message.
    """

    authorization: bytes | None
    digest: bytes | None
    lines: bool

    @classmethod
    def read(cls, headers: Mapping[bytes, bytes]) -> "Head":
        """Find it out."""
        authorization = headers.get(b"authorization")
        return cls(authorization, digest_of(authorization), _means_lines(headers.get(b"content-type", b"")))


@value
class Posted:
    """A request that was read; `bytes` of its body are in hand."""

    reading: _Reading
    bytes: int

    @property
    def size(self) -> int:
        """How many messages there are to take."""
        return len(self.reading.messages)


class Ingest:
    """The door as an ASGI application."""

    def __init__(
        self, engine: Engine, access: Access, room: Room, *, max_bytes_in_hand: int = _MAX_BYTES_IN_HAND
    ) -> None:
        self._engine = engine
        self._access = access
        self._room = room
        self._hand = InHand(max_bytes_in_hand)

    def doors(self) -> Sequence[Door]:
        """The same door for whoever comes by routing."""
        return (Door("POST", INGEST_PATH, TokenScope.INGEST, self.enter),)

    async def enter(self, request: Request) -> ASGIApp:
        """Leave the request to the application."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        held = 0
        try:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            self._check(scope, headers)
            event = await receive()
            if event["type"] == "http.request" and not event.get("more_body", False):
                body: bytes = event.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise too_large(MAX_BODY_BYTES)
            else:
                body = await self._receive_parts(receive, event)
                self._admit(scope, headers)  # it may have been withdrawn while the body was on its way
            self._hand.hold(len(body))
            held = len(body)
            status, answer = await self._take(split_body(body, headers.get(b"content-type", b"")))
            await send_body(send, status, answer)
        except DoorError as error:
            await send_json(send, error.status, error.body, error.headers)
        except StoreError as error:
            self._engine.events.store_failed(error)
            refusal = store_error(error)
            await send_json(send, refusal.status, refusal.body, refusal.headers)
        except Disconnected:
            return
        finally:
            self._hand.let_go(held)

    def read(self, asgi: Mapping[str, Any], head: Head, body: bytes) -> Posted | Answer:
        """Read a request that is there as a whole; `asgi` says who sends it. An answer when it is refused.

        Of what is returned `done` has to be told.
        """
        try:
            self._access.admit(asgi, head.authorization, TokenScope.INGEST, door=INGEST_PATH, digest=head.digest)
            self._check_ready()
            self._hand.hold(len(body))
        except DoorError as error:
            return _refusal(error)
        reading = _Reading()
        try:
            reading.read(_split(body, lines=head.lines), self._engine.now())
        except BaseException as error:
            self._hand.let_go(len(body))
            if isinstance(error, DoorError):
                return _refusal(error)
            raise
        return Posted(reading, len(body))

    async def take(self, posts: Sequence[Posted]) -> Sequence[Answer]:
        """Take what can be taken of each, all in one call; an answer for each."""
        engine = self._engine
        messages = [message for post in posts for message in post.reading.messages]
        if not engine.is_running:  # it was when they were read
            return [_refusal(stopping())] * len(posts)
        revision = engine.revision.number
        try:
            taken = await engine.take(messages) if messages else ()
        except StoreError as error:
            engine.events.store_failed(error)
            return [_refusal(store_error(error))] * len(posts)
        answers, start = [], 0
        for post in posts:
            end = start + len(post.reading.messages)
            answers.append((*self._told(post.reading, taken[start:end], revision), _NO_HEADERS))
            start = end
        return answers

    def done(self, posts: Sequence[Posted]) -> None:
        """Forget them."""
        self._hand.let_go(sum(post.bytes for post in posts))

    def _admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
        self._access.admit(scope, headers.get(b"authorization"), TokenScope.INGEST, door=INGEST_PATH)

    def _check(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
        """Everything that can be said before the body."""
        self._admit(scope, headers)
        self._check_ready()
        if scope.get("query_string"):
            raise DoorError(400, "unknown-parameter", "This door takes no parameters.")
        check_announced(headers, limit=MAX_BODY_BYTES)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise DoorError(415, "encoding-not-supported", "This door takes bodies without a Content-Encoding.")

    def _check_ready(self) -> None:
        if not self._engine.is_running:
            raise stopping()
        if self._room.full is not None:
            raise self._room.refusal()

    async def _receive_parts(self, receive: Receive, first: AsgiMessage) -> bytes:
        """A body that does not come in one piece; what has arrived counts while the rest is awaited."""
        held = 0

        def arrived(size: int) -> None:
            nonlocal held
            self._hand.hold(size)
            held += size

        try:
            return await receive_body(receive, limit=MAX_BODY_BYTES, first=first, arrived=arrived)
        finally:
            self._hand.let_go(held)

    async def _take(self, values: Sequence[object]) -> tuple[int, bytes]:
        """Take what can be taken; status and body of the answer."""
        engine, reading = self._engine, _Reading()
        received_at = engine.now()
        for start in range(0, len(values), _SLICE):
            if start:
                await asyncio.sleep(0)
            reading.read(values[start : start + _SLICE], received_at)
        if not engine.is_running:  # it was when the request began; bodies take their time
            raise stopping()
        revision = engine.revision.number
        taken = await engine.take(reading.messages) if reading.messages else ()
        return self._told(reading, taken, revision)

    def _told(self, reading: _Reading, taken: Sequence[Taken], revision: int) -> tuple[int, bytes]:
        if reading.refused:
            self._engine.events.refused(len(reading.refused), code=reading.refused[0]["code"])
        return _answer(reading, taken, revision)


def _refusal(error: DoorError) -> Answer:
    return error.status, orjson.dumps(error.body), error.headers


def split_body(body: bytes, content_type: bytes) -> Sequence[object]:
    """The parsed messages of a body; a `Refusal` in the place of a line that is not JSON.

    Raises:
        DoorError: the body is not JSON, or holds too many messages.
    """
    return _split(body, lines=_means_lines(content_type))


def _means_lines(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() in _NDJSON_TYPES


def _split(body: bytes, *, lines: bool) -> Sequence[object]:
    if lines:
        return _split_lines(body)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _starts_with_object_line(body):
            return _split_lines(body)
        raise not_json(body, error) from error
    if not isinstance(parsed, list):
        return (parsed,)
    _check_count(len(parsed))
    return parsed


def _split_lines(body: bytes) -> Sequence[object]:
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    _check_count(len(lines))
    return [_parse_line(line) for line in lines]


def _parse_line(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Refusal("invalid-json", f"This line is not JSON: {error.msg} at column {error.colno}.")


def _starts_with_object_line(body: bytes) -> bool:
    """Whether what is not JSON as a whole is NDJSON: broken JSON has no line feed behind a complete first object."""
    first, line_feed, _ = body.lstrip().partition(b"\n")
    return bool(line_feed) and isinstance(_parse_line(first), dict)


def _check_count(count: int) -> None:
    if count > MAX_MESSAGES:
        message = f"The request holds {count} messages; this door takes {MAX_MESSAGES} at once."
        raise DoorError(413, "too-many-messages", message)


def _answer(reading: _Reading, taken: Sequence[Taken], revision: int) -> tuple[int, bytes]:
    if len(taken) == 1 and not reading.refused and taken[0].routed:
        # By far the most frequent answers: 0.3 us instead of 2.
        kept = taken[0].kept
        if kept is Kept.FRESH:
            return 202, _ONE_ACCEPTED % taken[0].message.id.encode()
        if kept is Kept.REPEATED:
            return 202, _ONE_REPEATED % taken[0].message.id.encode()
    repeated = sum(each.kept is Kept.REPEATED for each in taken)
    receptions = sum(each.kept is Kept.RECEPTION for each in taken)
    answer = {
        "accepted": len(taken) - repeated,
        "repeated": repeated,
        **({"receptions": receptions} if receptions else {}),
        "ids": reading.ids,
        "refused": reading.refused,
        "warnings": _warnings(reading, taken, revision),
    }
    if reading.refused and not taken:
        message = "No message could be accepted; “refused” says why for each."
        return 422, orjson.dumps({"code": "every-message-refused", "message": message, **answer})
    return 202, orjson.dumps(answer)


def _warnings(reading: _Reading, taken: Sequence[Taken], revision: int) -> Sequence[Mapping[str, Any]]:
    """Fresh messages that were kept and deliver nothing, because nothing is known of their device type."""
    if all(each.routed or each.kept is not Kept.FRESH for each in taken):
        return ()
    indexes = [index for index, id_ in enumerate(reading.ids) if id_ is not None]
    return [
        {"index": index, "code": "unknown-device-type", "reason": _unknown_device_type(each.message, revision)}
        for index, each in zip(indexes, taken, strict=True)
        if not each.routed and each.kept is Kept.FRESH
    ]


def _unknown_device_type(message: Message, revision: int) -> str:
    known = (
        f"Revision {revision} has no device type “{message.device_type}”" if revision else "Nothing is published yet"
    )
    return f"{known}; the message is kept, and delivered to nobody."
