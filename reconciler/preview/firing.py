"""A message and one callback: what the router makes of them. Pure.

1. A message that says `duplicate` is previewed as a further reception, which only callbacks with `sendDuplicates` want.
   The engine finds that out for itself, and whoever previews has nothing but the message. A reception names its
   station: without one it would be the same message once more.
2. A line of a batch is sent by a batch of that line alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reconciler.grammar.payload import Decoded
from reconciler.model.delivery import BatchLine, Delivery, DeliveryId, HttpRequest, Lease, Request
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import CallbackType, Key
from reconciler.runtime.batching import batches
from reconciler.runtime.routing import FIRES, Router
from reconciler.store.protocol import FIRST_TOKEN

__all__ = ["Firing", "batch_of_one", "fire", "fired_by"]

_WHENEVER: Final = datetime.fromtimestamp(0, UTC)
"""The time of a preview: nothing that is rendered depends on it."""


@dataclass(frozen=True, slots=True)
class Firing:
    """What a callback makes of a message.

    Attributes:
        requests: what it would send: none when it does not fire, several for the mails to several recipients.
        reason: why it fires, or does not.
        decoded: the fields of the payload; None without payload config, or when it does not fire.
        warnings: what its deliveries would carry.
    """

    requests: tuple[Request, ...]
    reason: str
    decoded: Decoded | None
    warnings: tuple[str, ...]


def fire(router: Router, message: Message, callback: Key) -> Firing:
    """What `callback` sends for `message` under the router's revision."""
    again = message.metadata.get("duplicate") is True
    if again and "station" not in message.metadata:
        return Firing((), "A further reception of a message names its station; this one names none.", None, ())
    match = next((each for each in router.explain(message, again=again).matches if each.callback == callback), None)
    if match is None:
        return Firing((), f"The message is of device type {message.device_type}, which has no such callback.", None, ())
    if not match.matched:
        return Firing((), match.reason, None, ())
    route = router.route(message, now=_WHENEVER)
    deliveries = [each for each in (route.again if again else route.deliveries) if each.callback == callback]
    return Firing(
        requests=tuple(each.request for each in deliveries),
        reason=match.reason,
        decoded=match.decoded,
        warnings=tuple(dict.fromkeys(warning for each in deliveries for warning in each.warnings)),
    )


def fired_by(type: CallbackType) -> MessageType:
    """The one type of message on which callbacks of a type fire."""
    return next(event for event, types in FIRES.items() if type in types)


def batch_of_one(line: BatchLine) -> HttpRequest:
    """What a second in which this line came alone sends."""
    delivery = Delivery(
        id=DeliveryId("", 0),
        callback=Key(""),
        revision=0,
        endpoint=line.endpoint,
        request=line,
        warnings=(),
        due_at=_WHENEVER,
    )
    (batch,) = batches([Lease(delivery, FIRST_TOKEN, _WHENEVER)])
    return batch.request
