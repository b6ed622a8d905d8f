"""`GET /openapi.json`: the doors, as OpenAPI 3.1 describes interfaces.

1. Paths, methods and scopes are those of the doors themselves; what each takes and answers stands in `OPERATIONS`. A
   door without an entry there is a bug, and no engine starts with it.
2. Every code that a door answers is listed. What any HTTP server may say of any request (400 to what is not HTTP, 408,
   431, 505) and 500 for a bug are not repeated at each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from reconciler import __version__
from reconciler.model.delivery import State
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.networks.operator import EVENTS
from reconciler.runtime.api.openapi_schemas import SCHEMAS, array_of, closed, ref
from reconciler.runtime.api.parameters import Parameters
from reconciler.runtime.api.tokens import Scope

__all__ = ["OPERATIONS", "Description", "Operation", "description"]

Schema = Mapping[str, Any]

_REFUSED: Final[Mapping[int, str]] = {
    400: "A parameter, a header or the body can not be read.",
    401: "There is no token, or none that this engine knows.",
    403: "The token lacks the scope of this door.",
    404: "There is no such thing.",
    409: "The engine does not hold what the changes expect.",
    412: "Another revision is current.",
    413: "The body is larger than this door takes.",
    415: "The body is encoded in a way that this door does not take.",
    422: "The body is read, and breaks a rule.",
    428: "The header If-Match is missing.",
    429: "Too many logins failed from this address.",
    503: "There is no room, or the engine or its store is not able to. Nothing was changed; send it again.",
}
_WAITS: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Operation:
    """What a door takes and answers.

    Attributes:
        says: what it does.
        answers: a schema by status; None for an answer without a body.
        refuses: statuses beside those that every door with a token has.
        query: schemas by name; `required` names those that can not be left out.
        body: schema by content type; None without one.
    """

    says: str
    answers: Mapping[int, Schema | None]
    refuses: Sequence[int] = ()
    query: Mapping[str, Schema] = field(default_factory=dict)
    required: Sequence[str] = ()
    body: Mapping[str, Schema] | None = None
    if_match: bool = False
    answer_type: str = "application/json"


def _rows(most: int, default: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


_DEVICE: Final[Schema] = {"type": "string", "pattern": "^[0-9A-Fa-f]{1,16}$"}
_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1}
_JSON: Final = "application/json"
_EVENT_BODY: Final[Mapping[str, Schema]] = {
    _JSON: {"type": "object"},
    "application/x-www-form-urlencoded": {"type": "object", "additionalProperties": {"type": "string"}},
}
_OPERATOR_ANSWER: Final[Mapping[int, Schema | None]] = {200: {"type": "object"}, 204: None}
_OPERATOR_QUERY: Final[Mapping[str, Schema]] = dict.fromkeys(
    ("deviceType", "device", "time", "data", "ack", "seqNumber", "station"), _TEXT
)


def _definitions() -> Schema:
    one = {
        "type": "object",
        "properties": {"digest": _TEXT, "owner": _TEXT, "content": {"type": "object"}},
        "required": ["digest", "owner", "content"],
    }
    return {
        "type": "object",
        "properties": {"definitions": {"type": "object", "additionalProperties": one}},
        "required": ["definitions"],
    }


def _holding(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/messages"): Operation(
        "Take messages in: one, an array of at most 10,000, or NDJSON; 4 MiB at most. 202 when they are on disk.",
        {202: ref("Taken")},
        (400, 413, 415, 422, 503),
        body={
            _JSON: {"anyOf": [ref("MessageIn"), array_of(ref("MessageIn"), maxItems=10_000)]},
            "application/x-ndjson": _TEXT,
        },
    ),
    ("GET", "/healthz"): Operation("The process answers.", {200: _holding(status={"const": "ok"})}),
    ("GET", "/readyz"): Operation(
        "Messages are taken, the store works, and there is room.",
        {
            status: _holding(status=_TEXT, checks={"type": "object", "additionalProperties": _TEXT})
            for status in (200, 503)
        },
    ),
    ("GET", "/metrics"): Operation(
        "Everything that is counted, for Prometheus.", {200: _TEXT}, (503,), answer_type="text/plain"
    ),
    ("GET", "/openapi.json"): Operation("This description.", {200: {"type": "object"}}, (400,)),
    ("GET", "/v1/messages"): Operation(
        "The newest messages of a device.",
        {200: _holding(messages=array_of(ref("Message")))},
        (400, 503),
        {"device": _DEVICE, "limit": _rows(1_000, 20)},
        ("device",),
    ),
    ("GET", "/v1/messages/{id}"): Operation(
        "What became of a message, and why.", {200: ref("Explanation")}, (400, 404, 503)
    ),
    ("GET", "/v1/deliveries/stream"): Operation(
        "Every attempt as it ends, one JSON object a line; a blank line says that the stream is alive.",
        {200: _TEXT},
        (400,),
        answer_type="application/x-ndjson",
    ),
    ("GET", "/v1/deliveries"): Operation(
        "Deliveries that match all that is given, newest first; `next` is the `before` of the next page.",
        {200: _holding(deliveries=array_of(ref("Delivery")), next={"type": ["string", "null"]})},
        (400, 503),
        {
            "state": {"enum": [*State]},
            "callback": _TEXT,
            "device": _DEVICE,
            "endpoint": _TEXT,
            "before": _TEXT,
            "limit": _rows(1_000, 50),
        },
    ),
    ("GET", "/v1/deliveries/{id}"): Operation(
        "One delivery with its attempts.", {200: ref("Delivery")}, (400, 404, 503)
    ),
    ("POST", "/v1/deliveries/replay"): Operation(
        "Send finished deliveries again, by id or by what they have in common; 1 MiB at most.",
        {
            200: {
                "type": "object",
                "properties": {
                    "replayed": {"type": "integer", "minimum": 0},
                    "unknown": {"type": "array", "items": {"type": "string"}, "description": "Nobody's ids."},
                },
                "required": ["replayed"],
            }
        },
        (400, 413, 422, 503),
        body={_JSON: ref("Replay")},
    ),
    ("GET", "/v1/downlinks"): Operation(
        "What is to be transmitted to devices, each once. `wait` holds the answer back until there is something.",
        {200: _holding(downlinks=array_of(ref("Downlink")))},
        (400, 503),
        {
            "limit": _rows(1_000, 100),
            "wait": {"type": "string", "pattern": "^([0-9]|[1-5][0-9]|60)s?$"},
            "deviceType": _NAME,
        },
    ),
    ("GET", "/v1/revisions"): Operation(
        "What was published, newest first.",
        {200: _holding(revisions=array_of(ref("HistoryEntry")))},
        (400, 503),
        {"limit": _rows(1_000, 20), "before": {"type": "integer", "minimum": 0}},
    ),
    ("POST", "/v1/revisions"): Operation(
        "Publish the revision after the one that If-Match names, all of it or nothing; 64 MiB at most.",
        {201: _holding(number={"type": "integer", "minimum": 1}, digest=_TEXT)},
        (400, 409, 412, 413, 422, 428, 503),
        body={_JSON: ref("Publication")},
        if_match=True,
    ),
    ("GET", "/v1/revisions/current"): Operation(
        "What is in force, as digests.", {200: ref("RevisionWithSecrets")}, (400, 503)
    ),
    ("GET", "/v1/revisions/applied"): Operation(
        "What a project's files last brought about.",
        {200: ref("RevisionWithSecrets")},
        (400, 404, 503),
        {"owner": _NAME},
        ("owner",),
    ),
    ("GET", "/v1/revisions/{number}"): Operation(
        "What was in force, as digests.", {200: ref("Revision")}, (400, 404, 503)
    ),
    ("POST", "/v1/revisions/{number}/definitions"): Operation(
        "Contents of definitions; keys that the revision does not hold are left out.",
        {200: _definitions()},
        (400, 404, 413, 422, 503),
        body={_JSON: closed(("keys",), keys=array_of(_TEXT))},
    ),
    ("GET", "/v1/in/operator/{event}"): Operation(
        "One callback of the operator, in the query.",
        _OPERATOR_ANSWER,
        (400, 404, 422, 503),
        _OPERATOR_QUERY,
    ),
    **{
        (method, "/v1/in/operator/{event}"): Operation(
            "One callback of the operator, in a form or a JSON object; 256 KiB at most.",
            _OPERATOR_ANSWER,
            (400, 404, 413, 415, 422, 503),
            _OPERATOR_QUERY,
            body=_EVENT_BODY,
        )
        for method in ("POST", "PUT")
    },
    ("POST", "/v1/in/the-things-stack"): Operation(
        "One webhook of The Things Stack; 256 KiB at most.",
        {202: ref("Heard")},
        (400, 413, 415, 422, 503),
        {"deviceType": _NAME},
        ("deviceType",),
        {_JSON: {"type": "object"}},
    ),
    ("POST", "/v1/in/chirpstack"): Operation(
        "One event of ChirpStack's HTTP integration; 256 KiB at most.",
        {202: ref("Heard")},
        (400, 413, 415, 422, 503),
        {"event": _NAME, "deviceType": _NAME},
        ("event", "deviceType"),
        {_JSON: {"type": "object"}},
    ),
}

_PATH_PARAMETERS: Final[Mapping[str, Schema]] = {
    "id": {"type": "string", "minLength": 1, "pattern": "^[0-9a-f.]+$"},
    "number": {"type": "integer", "minimum": 0},
    "event": {"enum": [*EVENTS]},
}


class Description:
    """The door to the description of all doors, this one included."""

    def __init__(self, others: Sequence[Door]) -> None:
        described = ((door.method, door.path, door.scope) for door in (*others, *self.doors()))
        self._written = orjson.dumps(description(described))

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (Door("GET", "/openapi.json", Scope.READ, self.show),)

    async def show(self, request: Request) -> Response:
        """The description."""
        Parameters(request)
        return Response(self._written, media_type="application/json")


def description(doors: Iterable[tuple[str, str, Scope | None]]) -> Mapping[str, Any]:
    """The description of doors: method, path and scope of each.

    Raises:
        KeyError: nothing is written of one of them.
    """
    paths: dict[str, dict[str, Any]] = {}
    for method, path, scope in doors:
        paths.setdefault(path, {})[method.lower()] = _operation(OPERATIONS[method, path], path, scope)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reconciler engine",
            "version": __version__,
            "description": "Takes device messages in, delivers them as callbacks, and tells what became of them.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by `reconciler engine token`."}
            },
        },
    }


def _operation(operation: Operation, path: str, scope: Scope | None) -> Mapping[str, Any]:
    refuses = {*operation.refuses, *((401, 403, 429) if scope is not None else ())} - set(operation.answers)
    described: dict[str, Any] = {
        "summary": operation.says.partition(".")[0] + ".",
        "description": operation.says + ("" if scope is None else f" Needs a token with the scope “{scope}”."),
        "parameters": [*_parameters(operation, path)],
        "responses": {
            **{str(status): _answer(operation, status) for status in operation.answers},
            **{str(status): _refusal(status) for status in sorted(refuses)},
        },
        "security": [] if scope is None else [{"token": []}],
        "x-scope": scope,
    }
    if operation.body is not None:
        content = {kind: {"schema": schema} for kind, schema in operation.body.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(operation: Operation, path: str) -> Iterable[Mapping[str, Any]]:
    for name, schema in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in operation.query.items():
        yield {"name": name, "in": "query", "required": name in operation.required, "schema": schema}
    if operation.if_match:
        schema = {"type": "string", "pattern": '^"(0|[1-9][0-9]{0,15})"$'}
        yield {"name": "If-Match", "in": "header", "required": True, "schema": schema}


def _answer(operation: Operation, status: int) -> Mapping[str, Any]:
    schema = operation.answers[status]
    if schema is None:
        return {"description": "There is nothing to say."}
    kind = operation.answer_type if status < 400 else _JSON
    return {"description": operation.says, "content": {kind: {"schema": schema}}}


def _refusal(status: int) -> Mapping[str, Any]:
    told: dict[str, Any] = {"description": _REFUSED[status], "content": {_JSON: {"schema": ref("Error")}}}
    if status in _WAITS:
        told["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}}
    return told
