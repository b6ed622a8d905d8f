"""Requests and outcomes ⇄ JSON, as a store keeps them.

Each form is an array that starts with its version, so that a later engine reads what an earlier one kept. A secret is
kept as an object with its name and its context, never as text (`grammar.template.Secret`). An engine that does not
know a form says which one it met, and leaves it alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, assert_never

import orjson

from reconciler.grammar.template import Rendered, Secret, StoredParts, from_parts
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
            request.target,
            request.headers,
            request.credentials,
            request.body,
            request.send_sni,
        )
        if request.signature is None:
            return _dumped(fields)
        return _dumped((_SIGNED_HTTP_1, request.signature.id, request.signature.keys, *fields[1:]))
    match request:
        case BatchLine():
            return _dumped(
                (
                    _BATCH_LINE_1,
                    request.method,
                    request.scheme,
                    request.host,
                    request.port,
                    request.path,
                    request.before,
                    request.after,
                    request.credentials,
                    request.send_sni,
                    request.line,
                )
            )
        case Mail():
            return _dumped(
                (
                    _MAIL_1,
                    request.id,
                    request.recipient,
                    request.recipients,
                    request.subject,
                    request.text,
                )
            )
        case _:
            assert_never(request)


def _dumped(fields: tuple[object, ...]) -> bytes:
    """JSON in which every rendered text has the form of `grammar.template.to_parts`.

    Its strings and tuples are JSON as they are. Only secrets have to be asked about, where there are any; to ask about
    every text took as long as to write them all.
    """
    return orjson.dumps(fields, default=_secret, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _secret(part: object) -> dict[str, str]:
    if isinstance(part, Secret):
        return {"secret": part.name, "context": part.context}
    raise TypeError(f"a request holds a {type(part).__name__}")


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
        case Accepted() | Refused():
            dump = _dump_short_answer if len(outcome.body) <= _SHORT else _dump_answer
            return dump(outcome.kind, outcome.status, outcome.body)
        case Unreachable(reason=reason, detail=detail):
            return orjson.dumps(("unreachable", reason, detail))
        case _:
            assert_never(outcome)


def _dump_answer(verdict: str, status: int, body: bytes) -> bytes:
    return orjson.dumps((verdict, status, body.hex()))


# Most answers are nothing, OK or {"ok":true}. Longer ones might hold what should not be kept.
_SHORT: Final = 15
_dump_short_answer = lru_cache(maxsize=256)(_dump_answer)


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
