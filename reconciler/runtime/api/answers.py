"""Answers in the one form that all doors share: JSON, and errors with a code to branch on and a sentence to read.

1. An error is `{"code": "kebab-slug", "message": "A sentence."}`, with `problems` where there are several, under the
   HTTP status that says the same to a machine.
2. An answer never repeats a token or a header, and no more of a body than a value that is at fault.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Send

from reconciler.errors import StoreError, StoreFull

__all__ = ["DoorError", "answer", "error_answer", "send_body", "send_json", "store_error"]

_JSON = (b"content-type", b"application/json")


class DoorError(Exception):
    """A door refuses a request.

    Attributes:
        status: HTTP status.
        body: the whole answer.
        headers: what HTTP wants beside it, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Sequence[Mapping[str, Any]] | int | str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Mapping[str, Any] = {"code": code, "message": message, **more}
        self.headers = headers or {}


def store_error(error: StoreError) -> DoorError:
    """A store that failed: the request changed nothing and may be sent again."""
    if isinstance(error, StoreFull):
        message = "The engine's disk is full. This request changed nothing; send it again when there is room."
        return DoorError(503, "store-full", message, headers={"Retry-After": "30"})
    message = f"The engine's store failed: {error}. This request changed nothing; send it again."
    return DoorError(503, "store-failed", message, headers={"Retry-After": "1"})


def answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(orjson.dumps(value), status_code=status, headers=headers, media_type="application/json")


def error_answer(error: DoorError) -> Response:
    """A refusal as JSON."""
    return answer(error.body, status=error.status, headers=error.headers)


async def send_body(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Answer with JSON that is written already, without any object between us and the server."""
    head = [_JSON, (b"content-length", b"%d" % len(body))]
    if headers:
        head += [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
    """Answer with a value as JSON."""
    await send_body(send, status, orjson.dumps(value), headers)
