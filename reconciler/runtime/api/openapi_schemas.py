"""The JSON that passes the doors, as schemas (JSON Schema 2020-12, which OpenAPI 3.1 speaks).

1. What is sent in is described exactly: a field that is not named here is refused, but for messages, whose fields
   depend on their type, and for definitions, whose schemas are those of the files (`schemas/`).
2. What is answered has the fields named here. More may be added one day, and clients pass over what they do not know.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconciler.model.delivery import State
from reconciler.model.downlink import DownlinkState
from reconciler.model.message import MessageType

__all__ = ["SCHEMAS", "array_of", "closed", "ref"]

Schema = Mapping[str, Any]


def ref(name: str) -> Schema:
    """One of the schemas here."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **more}


def open_(**properties: Schema) -> Schema:
    """An object that has all of these fields, and may have more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object that has none but these fields, and some of them always."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _or_null(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TEXT_OR_NULL = _or_null("string")
NUMBER_OR_NULL = _or_null("integer")
HEX = _or_null("string", pattern="^([0-9a-f]{2})*$")
TIME: Final[Schema] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TIME_OR_NULL = _or_null("string", pattern=str(TIME["pattern"]))
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
FINGERPRINT = _or_null("string", pattern="^[0-9a-f]{16}$")
MESSAGE_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"}
KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 129}

_PUBLICATION: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "digest": TEXT,
    "owner": TEXT,
    "publishedAt": TIME_OR_NULL,
    "publishedBy": TEXT,
    "commit": TEXT,
    "note": TEXT,
    "via": TEXT,
    "plan": TEXT,
}
_EXPECTS: Final[Mapping[str, Schema]] = {"key": KEY, "expects": DIGEST}
_CONTENT: Final[Schema] = {"type": "object"}


def _change(kind: str, **fields: Schema) -> Schema:
    properties: dict[str, Schema] = {"kind": {"const": kind}, **fields}
    return closed(tuple(properties), **properties)


SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": {
        **open_(code={"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"}, message=TEXT),
        "description": "A code to branch on, a sentence to read, and `problems` where there are several.",
    },
    "Warning": open_(code=TEXT, reason=TEXT),
    "MessageIn": {
        "description": "Which other fields there are depends on `type`; each takes the values of its variable.",
        "type": "object",
        "properties": {
            "type": {"enum": [*MessageType], "default": "data"},
            "device": {"type": "string", "pattern": "^[0-9A-Fa-f]{1,16}$"},
            "deviceType": {"type": "string", "minLength": 1},
            "time": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
            "seqNumber": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
            "data": {"type": "string", "pattern": "^([0-9A-Fa-f]{2}){0,12}$"},
        },
        "required": ["device", "deviceType", "time"],
    },
    "Message": open_(
        id=MESSAGE_ID,
        type={"enum": [*MessageType]},
        device=TEXT,
        deviceType=TEXT,
        time=COUNT,
        seqNumber=NUMBER_OR_NULL,
        receivedAt=TIME,
    ),
    "Taken": open_(
        accepted=COUNT,
        repeated=COUNT,
        ids=array_of(TEXT_OR_NULL),
        refused=array_of(open_(index=COUNT, code=TEXT, reason=TEXT)),
        warnings=array_of(open_(index=COUNT, code=TEXT, reason=TEXT)),
    ),
    "Heard": {
        "anyOf": [
            open_(accepted=COUNT, repeated=COUNT, ids=array_of(MESSAGE_ID), warnings=array_of(ref("Warning"))),
            open_(ignored=TEXT, reason=TEXT),
        ]
    },
    "Attempt": open_(
        number=COUNT,
        startedAt=TIME,
        durationMs={"type": "number", "minimum": 0},
        outcome={"enum": ["accepted", "refused", "unreachable"]},
        status=NUMBER_OR_NULL,
        reason=TEXT_OR_NULL,
        detail=TEXT_OR_NULL,
        body=TEXT_OR_NULL,
    ),
    "Delivery": open_(
        id=TEXT,
        messageId=TEXT,
        callback=TEXT,
        revision=COUNT,
        state={"enum": [*State]},
        endpoint=TEXT,
        attempts=COUNT,
        tries=COUNT,
        dueAt=TIME_OR_NULL,
        warnings=array_of(TEXT),
        batch=TEXT_OR_NULL,
        ordered=FLAG,
        waitsFor=TEXT_OR_NULL,
        request={"type": "object"},
        log=array_of(ref("Attempt")),
    ),
    "Downlink": open_(
        message=MESSAGE_ID,
        device=TEXT,
        deviceType=TEXT,
        data=HEX,
        askedAt=TIME,
        notAfter=TIME,
        time=NUMBER_OR_NULL,
        seqNumber=NUMBER_OR_NULL,
        station=TEXT_OR_NULL,
    ),
    "DownlinkResult": {
        "anyOf": [
            {"type": "null"},
            open_(
                state={"enum": [*DownlinkState]},
                infoCode=NUMBER_OR_NULL,
                infoMessage=TEXT_OR_NULL,
                data=HEX,
                askedAt=TIME,
                expiresAt=TIME,
            ),
        ]
    },
    "Explanation": open_(
        message=ref("Message"),
        receptions=array_of(open_(id=MESSAGE_ID, receivedAt=TIME)),
        downlink=ref("DownlinkResult"),
        revision=COUNT,
        unknownDeviceType=FLAG,
        callbacks=array_of(
            open_(
                callback=TEXT,
                matched=FLAG,
                reason=TEXT,
                decoded=_or_null("object"),
                missing=array_of(TEXT),
                deliveries=array_of(ref("Delivery")),
            )
        ),
    ),
    "HistoryEntry": open_(**_PUBLICATION, changes=array_of(open_(kind=TEXT, key=TEXT))),
    "Revision": open_(
        **_PUBLICATION,
        definitions={"type": "object", "additionalProperties": open_(digest=DIGEST, owner=TEXT)},
    ),
    "RevisionWithSecrets": open_(
        **_PUBLICATION,
        definitions={"type": "object", "additionalProperties": open_(digest=DIGEST, owner=TEXT)},
        secrets={
            "type": "object",
            "additionalProperties": open_(published=FINGERPRINT, current=FINGERPRINT, definitions=array_of(TEXT)),
        },
    ),
    "Publication": closed(
        ("owner", "changes"),
        owner=NAME,
        by={"type": "string", "maxLength": 200},
        commit={"type": "string", "maxLength": 200},
        note={"type": "string", "maxLength": 2_000},
        via={"enum": ["", "apply", "rollback", "import"]},
        plan={"type": "string", "pattern": "^([0-9a-f]{32})?$"},
        secrets={"type": "object", "additionalProperties": FINGERPRINT},
        changes=array_of(
            {
                "oneOf": [
                    _change("create", key=KEY, after=_CONTENT),
                    _change("update", **_EXPECTS, after=_CONTENT),
                    _change("delete", **_EXPECTS),
                    _change("move", **_EXPECTS, after=_CONTENT, **{"from": KEY}),
                    _change("adopt", **_EXPECTS, after=_CONTENT, **{"from": TEXT}),
                ]
            }
        ),
    ),
    "Replay": {
        "oneOf": [
            closed(("ids",), ids=array_of(TEXT, maxItems=10_000)),
            closed(
                ("state",),
                state={"enum": [State.UNDELIVERED, State.DELIVERED]},
                callback=TEXT,
                device={"type": "string", "pattern": "^[0-9A-Fa-f]{1,16}$"},
                endpoint=TEXT,
                limit={"type": "integer", "minimum": 1, "maximum": 10_000},
            ),
        ]
    },
}
