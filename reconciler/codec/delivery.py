"""Requests and outcomes ⇄ JSON, as a store keeps them.

Each form is an array that starts with its version, so that a later engine reads what an earlier one kept. A secret is
kept as an object with its name and its context, never as text (`grammar.template.Secret`). An engine that does not
know a form says which one it met, and leaves it alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

import orjson

from reconciler.grammar.template import Rendered, StoredParts, from_parts, to_parts
from reconciler.model.delivery import (
    Accepted,
    BatchLine,
    HttpRequest,
    Mail,
    Outcome,
    Refused,
    Request,
    Signature,
    Unreachable,
)
from reconciler.model.resource import Method

__all__ = ["dump_outcome", "dump_request", "load_outcome", "load_request"]

_HTTP_1: Final = "http/1"
_SIGNED_HTTP_1: Final = "signed-http/1"
_BATCH_LINE_1: Final = "batch-line/1"
_MAIL_1: Final = "mail/1"


def dump_request(request: Request) -> bytes:
    """The JSON that `load_request` reads back."""
    if isinstance(request, HttpRequest):
        fields = (
            _HTTP_1,
            request.method,
            request.scheme,
            request.host,
            request.port,
            to_parts(request.target),
            [(name, to_parts(value)) for name, value in request.headers],
            None if request.credentials is None else to_parts(request.credentials),
            None if request.body is None else to_parts(request.body),
            request.send_sni,
        )
        if request.signature is None:
            return orjson.dumps(fields)
        return orjson.dumps((_SIGNED_HTTP_1, request.signature.id, request.signature.keys, *fields[1:]))
    match request:
        case BatchLine():
            return orjson.dumps(
                (
                    _BATCH_LINE_1,
                    request.method,
                    request.scheme,
                    request.host,
                    request.port,
                    to_parts(request.path),
                    to_parts(request.before),
                    to_parts(request.after),
                    None if request.credentials is None else to_parts(request.credentials),
                    request.send_sni,
                    to_parts(request.line),
                )
            )
        case Mail():
            return orjson.dumps(
                (
                    _MAIL_1,
                    request.id,
                    request.recipient,
                    request.recipients,
                    to_parts(request.subject),
                    to_parts(request.text),
                )
            )
        case _:
            assert_never(request)


def load_request(text: bytes | str) -> Request:
    """Read what `dump_request` wrote; ValueError when it is something else."""
    version, *fields = orjson.loads(text)
    load = _LOADERS.get(version) if isinstance(version, str) else None
    if load is None:
        raise ValueError(f"a request of form {version!r} is from another version of the engine")
    return load(fields)


def _load_http(fields: Sequence[Any]) -> HttpRequest:
    method, scheme, host, port, target, headers, credentials, body, send_sni = fields
    return HttpRequest(
        method=Method(method),
        scheme=scheme,
        host=host,
        port=port,
        target=from_parts(target),
        headers=tuple((name, from_parts(value)) for name, value in headers),
        credentials=_from_optional(credentials),
        body=_from_optional(body),
        send_sni=send_sni,
    )


def _load_signed_http(fields: Sequence[Any]) -> HttpRequest:
    id_, keys, *unsigned = fields
    return replace(_load_http(unsigned), signature=Signature(id_, tuple(keys)))


def _load_batch_line(fields: Sequence[Any]) -> BatchLine:
    method, scheme, host, port, path, before, after, credentials, send_sni, line = fields
    return BatchLine(
        method=Method(method),
        scheme=scheme,
        host=host,
        port=port,
        path=from_parts(path),
        before=from_parts(before),
        after=from_parts(after),
        credentials=_from_optional(credentials),
        send_sni=send_sni,
        line=from_parts(line),
    )


def _load_mail(fields: Sequence[Any]) -> Mail:
    id_, recipient, recipients, subject, text = fields
    return Mail(
        id=id_,
        recipient=recipient,
        recipients=tuple(recipients),
        subject=from_parts(subject),
        text=from_parts(text),
    )


def _from_optional(stored: StoredParts | None) -> Rendered | None:
    return None if stored is None else from_parts(stored)


_LOADERS: Final[Mapping[str, Callable[[Sequence[Any]], Request]]] = {
    _HTTP_1: _load_http,
    _SIGNED_HTTP_1: _load_signed_http,
    _BATCH_LINE_1: _load_batch_line,
    _MAIL_1: _load_mail,
}


def dump_outcome(outcome: Outcome) -> bytes:
    """The JSON that `load_outcome` reads back; bytes of an answer are kept as hex."""
    match outcome:
        case Accepted(status=status, body=body):
            return orjson.dumps(("accepted", status, body.hex()))
        case Refused(status=status, body=body):
            return orjson.dumps(("refused", status, body.hex()))
        case Unreachable(reason=reason, detail=detail):
            return orjson.dumps(("unreachable", reason, detail))
        case _:
            assert_never(outcome)


def load_outcome(text: bytes | str) -> Outcome:
    """Read what `dump_outcome` wrote; ValueError when it is something else."""
    match orjson.loads(text):
        case ["accepted", int(status), str(body)]:
            return Accepted(status, bytes.fromhex(body))
        case ["refused", int(status), str(body)]:
            return Refused(status, bytes.fromhex(body))
        case ["unreachable", str(reason), str(detail)]:
            return Unreachable(reason, detail)
        case _:
            raise ValueError("an outcome of a form that this version of the engine does not know")
