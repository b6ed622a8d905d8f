"""Requests and outcomes ⇄ JSON, as a store keeps them.

Each form is an array that starts with its version, so that a later engine reads what an earlier one kept. A secret is
kept as an object with its name and its context, never as text (`grammar.template.Secret`).
"""

from typing import assert_never

import orjson

from reconciler.grammar.template import from_parts, to_parts
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Refused, Request, Unreachable
from reconciler.model.resource import Method

__all__ = ["dump_outcome", "dump_request", "load_outcome", "load_request"]

_HTTP_1 = "http/1"


def dump_request(request: Request) -> bytes:
    """The JSON that `load_request` reads back."""
    return orjson.dumps(
        (
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
    )


def load_request(text: bytes | str) -> Request:
    """Read what `dump_request` wrote; ValueError when it is something else."""
    version, *fields = orjson.loads(text)
    if version != _HTTP_1:
        raise ValueError(f"a request of form {version!r} is from another version of the engine")
    method, scheme, host, port, target, headers, credentials, body, send_sni = fields
    return HttpRequest(
        method=Method(method),
        scheme=scheme,
        host=host,
        port=port,
        target=from_parts(target),
        headers=tuple((name, from_parts(value)) for name, value in headers),
        credentials=None if credentials is None else from_parts(credentials),
        body=None if body is None else from_parts(body),
        send_sni=send_sni,
    )


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
