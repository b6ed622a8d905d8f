"""The doors below `/v1/in/`: what networks send, taken as it comes.

1. As at every door that takes messages: the token has the scope `ingest`, what is acknowledged is on disk, a 503 means
   that nothing was kept, and a request that is sent again is recognised.
2. The operator looks at the status alone: 204, and 200 with what a person who tries the door may want to know. It does
   its own gathering, so the engine does none for its messages.
3. The operator waits 10 s for what goes back to a device (`callbacks.md` section 6.4). A `bidir` is answered when our
   own callback has answered, and after 9 s in any case. A request that repeats an earlier one is told 204: what was
   handed out once is not handed out again.
4. The Things Stack and ChirpStack are told 202, also for events that have no meaning here, because both count what
   fails. Downlinks for them wait at `GET /v1/downlinks`.
5. A request that cannot be read is refused with the reason, and the network shows it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from reconciler.codec.message import MAX_PAYLOAD_BYTES, read_message
from reconciler.errors import StoreError
from reconciler.model.downlink import DownlinkState
from reconciler.model.message import Message, Refusal
from reconciler.runtime.api.answers import DoorError, answer
from reconciler.runtime.api.bodies import check_announced, not_json, receive_body
from reconciler.runtime.api.doors import Door, stopping
from reconciler.runtime.api.networks import chirpstack, lorawan, operator, the_things_stack
from reconciler.runtime.api.networks.lorawan import Fields, Ignored, Read
from reconciler.runtime.api.parameters import Parameters
from reconciler.runtime.api.room import Room
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine, Taken
from reconciler.store.protocol import Kept

__all__ = ["ANSWER_WITHIN", "MAX_BODY_BYTES", "Networks"]

MAX_BODY_BYTES: Final = 256 * 1024
"""The Things Stack takes 1.2 KB for each gateway that heard a message; a balloon is heard by 200."""

ANSWER_WITHIN: Final = timedelta(seconds=9)
"""From the arrival of a `bidir`; the operator's limit is 10 s, and the answer has a way to go."""

_MAX_PAIRS = 100
_MAX_KIND = 64


class Networks:
    """The doors for what networks send."""

    def __init__(self, engine: Engine, room: Room) -> None:
        self._engine = engine
        self._room = room

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (
            Door("GET", "/v1/in/operator/{event}", Scope.INGEST, self.from_operator),
            Door("POST", "/v1/in/operator/{event}", Scope.INGEST, self.from_operator),
            Door("PUT", "/v1/in/operator/{event}", Scope.INGEST, self.from_operator),
            Door("POST", "/v1/in/the-things-stack", Scope.INGEST, self.from_the_things_stack),
            Door("POST", "/v1/in/chirpstack", Scope.INGEST, self.from_chirpstack),
        )

    async def from_operator(self, request: Request) -> Response:
        """One request of one of the operator's callbacks."""
        answer_by = asyncio.get_running_loop().time() + ANSWER_WITHIN.total_seconds()
        name = request.path_params["event"]
        if name not in operator.EVENTS:
            known = ", ".join(operator.EVENTS)
            raise DoorError(404, "unknown-event", f"There is no door for this event; there are {known}.")
        if request.method == "HEAD":  # it would be taken for a GET, which is a message here
            raise DoorError(
                405, "method-not-allowed", "This door takes GET, POST, PUT.", headers={"Allow": "GET, POST, PUT"}
            )
        pairs: list[tuple[str, object]] = [*_pairs(request.scope["query_string"])]
        if request.method != "GET":
            pairs += _pairs_of_body(await self._receive(request), request.headers.get("content-type", ""))
        fields = operator.read_callback(name, pairs)
        if isinstance(fields, Refusal):
            raise self._refused(fields)
        (taken,) = await self._take([fields], max_payload_bytes=MAX_PAYLOAD_BYTES, gather=False)
        if name == "bidir":
            return await self._answer_to(taken, as_received=str(fields["device"]), answer_by=answer_by)
        warnings = self._warnings([taken])
        return answer({"warnings": warnings}) if warnings else Response(status_code=204)

    async def from_the_things_stack(self, request: Request) -> Response:
        """One webhook request of The Things Stack."""
        device_type = _device_type(Parameters(request, "deviceType"))
        body = await self._receive_object(request)
        return await self._heard(the_things_stack.read_webhook(body, device_type=device_type))

    async def from_chirpstack(self, request: Request) -> Response:
        """One event of ChirpStack's HTTP integration."""
        query = Parameters(request, "event", "deviceType")
        event, device_type = query.text("event"), _device_type(query)
        if event is None:
            message = "“event” is missing. ChirpStack adds it to the URL of its HTTP integration by itself."
            raise DoorError(400, "invalid-parameter", message)
        body = await self._receive_object(request)
        return await self._heard(chirpstack.read_event(event, body, device_type=device_type))

    async def _heard(self, read: Read) -> Response:
        """Take what a LoRaWAN network server reports."""
        if isinstance(read, Refusal):
            raise self._refused(read)
        if isinstance(read, Ignored):
            return answer({"ignored": read.kind[:_MAX_KIND], "reason": read.reason}, status=202)
        taken = await self._take(read, max_payload_bytes=lorawan.MAX_PAYLOAD_BYTES, gather=True)
        repeated = sum(each.kept is Kept.REPEATED for each in taken)
        receptions = sum(each.kept is Kept.RECEPTION for each in taken)
        told = {
            "accepted": len(taken) - repeated,
            "repeated": repeated,
            **({"receptions": receptions} if receptions else {}),
            "ids": [each.message.id for each in taken],
            "warnings": self._warnings(taken),
        }
        return answer(told, status=202)

    async def _take(self, receptions: Sequence[Fields], *, max_payload_bytes: int, gather: bool) -> Sequence[Taken]:
        """Take all receptions of an event together, or none."""
        engine, messages = self._engine, list[Message]()
        received_at = engine.now()
        for fields in receptions:
            message = read_message(fields, received_at=received_at, max_payload_bytes=max_payload_bytes)
            if isinstance(message, Refusal):
                raise self._refused(message)
            messages.append(message)
        if not engine.is_running:
            raise stopping()
        if self._room.full is not None:
            raise self._room.refusal()
        return await engine.take(messages, gather=gather)

    async def _answer_to(self, taken: Taken, *, as_received: str, answer_by: float) -> Response:
        """What goes back to the device that asked, in the operator's form (`callbacks.md` section 6.3)."""
        nothing = Response(status_code=204)
        if taken.kept is not Kept.FRESH or taken.message.metadata.get("ack") is not True:
            return nothing
        wait = max(0.0, answer_by - asyncio.get_running_loop().time())
        try:
            downlink = await self._engine.answer_to(taken.message.id, wait=timedelta(seconds=wait))
        except StoreError as error:
            # The message is kept, so a 503 would be untrue: the device gets no answer, and its request expires.
            self._engine.events.store_failed(error)
            return nothing
        if downlink is None or downlink.state is not DownlinkState.SERVED or downlink.data is None:
            return nothing
        return answer({as_received: {"downlinkData": downlink.data.hex()}})

    def _warnings(self, taken: Sequence[Taken]) -> Sequence[Mapping[str, str]]:
        """A device type that nothing is known of, told once: the receptions of a message share it."""
        unrouted = next((each for each in taken if not each.routed and each.kept is Kept.FRESH), None)
        if unrouted is None:
            return ()
        number = self._engine.revision.number
        name = unrouted.message.device_type
        known = f"Revision {number} has no device type “{name}”" if number else "Nothing is published yet"
        reason = f"{known}; the message is kept, and delivered to nobody."
        return ({"code": "unknown-device-type", "reason": reason},)

    def _refused(self, refusal: Refusal) -> DoorError:
        self._engine.events.refused(1, code=refusal.code)
        return DoorError(422, refusal.code, refusal.reason)

    async def _receive(self, request: Request) -> bytes:
        if not self._engine.is_running:
            raise stopping()
        if request.headers.get("content-encoding", "identity") != "identity":
            raise DoorError(415, "encoding-not-supported", "This door takes bodies without a Content-Encoding.")
        check_announced(dict(request.scope["headers"]), limit=MAX_BODY_BYTES)
        return await receive_body(request.receive, limit=MAX_BODY_BYTES)

    async def _receive_object(self, request: Request) -> Fields:
        """The JSON object of a webhook; both servers can send protobuf instead, when they are told to."""
        body = await self._receive(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/octet-stream":
            message = (
                "This door takes JSON. Choose JSON as the format of the webhook or the encoding of the integration."
            )
            raise DoorError(415, "encoding-not-supported", message)
        return _object(body)


def _device_type(query: Parameters) -> str:
    device_type = query.text("deviceType")
    if device_type is None:
        message = (
            "“deviceType” is missing: add ?deviceType=NAME to the URL, the name of the device type as it is applied."
        )
        raise DoorError(400, "invalid-parameter", message)
    return device_type


def _pairs_of_body(body: bytes, content_type: str) -> Sequence[tuple[str, object]]:
    """A form, or a JSON object: what the content type calls so, and what looks like one under any other name."""
    if "json" not in content_type.lower() and body.lstrip()[:1] != b"{":
        return _pairs(body)
    try:
        return list(_object(body).items())
    except DoorError as error:
        hint = (
            "In a template for JSON, variables that are texts stand in quotes, such as {device}, {data} and {station}."
        )
        raise DoorError(error.status, "invalid-json", f"{error} {hint}") from error


def _pairs(text: bytes) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PAIRS)
    except ValueError as error:  # UnicodeDecodeError is one
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"has more than {_MAX_PAIRS} pairs"
        raise DoorError(400, "invalid-form", f"The query or the form {what}.") from error


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(body, error) from error
    if not isinstance(value, dict):
        raise DoorError(400, "invalid-json", "The body of this request is a JSON object.")
    return value
