"""What is sent, what came of it, and what happens next.

The lifecycle of a delivery is a table; tests and documentation read it (`LIFECYCLE`).

1. A delivery is pinned to one revision and keeps the bytes it promised: retries send the same request, even after a
   new revision.
2. A line of a batch is a delivery too (`BatchLine`). At the end of its second it joins a batch: the first line's
   delivery becomes the one that carries it, its request the whole HTTP request; the others are `joined` and end with
   it. Who is in a batch is durable before the batch is sent, so that a crash repeats the same batch.
3. A request holds secrets as references (`grammar.template.Secret`); a channel fills them in while sending.
4. A lease is the right to attempt a delivery until it expires; its token fences off a worker that came back late.
5. Ordered deliveries of one callback for one device are a series, in the order in which their messages were accepted.
   Only the first of a series is pending, the others wait; when it is delivered or given up, the next becomes pending. A
   replay is in no series. Who waits is durable, so that no restart and no second engine changes the order.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

from reconciler.grammar.template import Rendered
from reconciler.model.downlink import Replies
from reconciler.model.resource import Key, Method
from reconciler.model.value import value

__all__ = [
    "LIFECYCLE",
    "Accepted",
    "Attempt",
    "Batch",
    "BatchLine",
    "Delivery",
    "DeliveryId",
    "Done",
    "GiveUp",
    "HttpRequest",
    "Lease",
    "Mail",
    "Outcome",
    "Refused",
    "Request",
    "RetryAt",
    "Sendable",
    "Settlement",
    "Signature",
    "State",
    "Step",
    "Unreachable",
]


class State(StrEnum):
    """Where a delivery stands; `undelivered` is the operator's word for given up.

    `joined` is the state of a batch's lines but the one that carries it: they end when it does. `waiting` is that of
    ordered deliveries that have an earlier one of the same callback and device before them.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    JOINED = "joined"
    WAITING = "waiting"


class DeliveryId(NamedTuple):
    """A message and the place of the delivery among those of that message, from 0; written `MESSAGE.N`."""

    message: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.message}.{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> "DeliveryId":
        """Read what `str` wrote; ValueError when it is something else."""
        message, dot, ordinal = text.partition(".")
        if not dot or len(message) != 32 or not ordinal.isascii() or not ordinal.isdigit():
            raise ValueError(f"{text!r} is not a delivery id")
        return cls(message, int(ordinal))


@value
class Signature:
    """What a request is signed with while it is sent (Standard Webhooks).

    Attributes:
        id: of the message; the same for every attempt, so that a receiver knows a repetition.
        keys: the names of secrets, one signature for each.
    """

    id: str
    keys: tuple[str, ...]


@value
class HttpRequest:
    """One HTTP request as it will be sent, but for its secrets.

    Attributes:
        scheme: `http` or `https`.
        host: lower-case ASCII name or address, an IPv6 address without brackets.
        target: path and query, percent-encoded.
        headers: the callback's own, and Content-Type where there is a body; Host, Content-Length and Connection are the
            channel's to write.
        credentials: `login:password` of the URL, which the channel sends as Basic authorization (RFC 7617); None
            without.
        body: None when there is none (GET); sent as UTF-8.
        send_sni: whether the TLS handshake names the host; the certificate is verified against it either way.
        signature: None without.
    """

    method: Method
    scheme: str
    host: str
    port: int
    target: Rendered
    headers: tuple[tuple[str, Rendered], ...]
    credentials: Rendered | None
    body: Rendered | None
    send_sni: bool
    signature: Signature | None = None
    kind: Literal["http"] = field(default="http", init=False)

    @property
    def endpoint(self) -> str:
        """What shares a queue, a pool and a fate: scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@value
class BatchLine:
    """One line of a batch, and everything but the lines of the request that will carry it (`callbacks.md` section 4.2).

    The lines of one callback and one revision differ in `line` alone. The request's target is
    `path?before LINES after`, where LINES are the lines joined by an encoded line feed; POST and PUT send the query as
    a form body too (section 4.1).

    Attributes:
        path: percent-encoded, with its slash.
        before: the query in front of the lines, up to and including their `name=`.
        after: what stands behind them, with its ampersand, or empty.
        line: rendered and percent-encoded.
    """

    method: Method
    scheme: str
    host: str
    port: int
    path: Rendered
    before: Rendered
    after: Rendered
    credentials: Rendered | None
    send_sni: bool
    line: Rendered
    kind: Literal["batch-line"] = field(default="batch-line", init=False)

    @property
    def endpoint(self) -> str:
        """That of the request that will carry it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@value
class Mail:
    """One e-mail to one recipient (`callbacks.md` section 4.3).

    A callback with several recipients makes a delivery for each, so that an address that fails repeats nobody else's
    mail.

    Attributes:
        id: unique and the same for every attempt; the local part of Message-ID, by which a receiver knows a repetition.
        recipient: whom this mail goes to.
        recipients: all of them, as the To header shows them.
        subject: one line.
        text: UTF-8, lines as the author and the values have them.
    """

    id: str
    recipient: str
    recipients: tuple[str, ...]
    subject: Rendered
    text: Rendered
    kind: Literal["mail"] = field(default="mail", init=False)

    @property
    def endpoint(self) -> str:
        """All mail goes through the one server that the engine is given."""
        return "smtp"


Sendable = HttpRequest | Mail
"""What a channel sends."""

Request = HttpRequest | BatchLine | Mail
"""What a delivery promises; a line is sent by the batch that it joins."""


@value
class Delivery:
    """One request promised for one message by one callback of one revision.

    Attributes:
        warnings: what did not go as declared while rendering, one sentence each.
        attempts: how many were made in all.
        tries: how many were made since it was accepted or last replayed; the retry policy counts these.
        due_at: when the next attempt may start; meaningless unless pending.
        asks: whether a device waits for the answer; for a batch, whether one of its devices does.
        batch: the delivery that carries the batch this one is in, itself if it does; None when it is in none.
        ordered: whether it waits for earlier ones of the same callback and device; false from its first replay on.
    """

    id: DeliveryId
    callback: Key
    revision: int
    endpoint: str
    request: Request
    warnings: tuple[str, ...]
    due_at: datetime
    state: State = State.PENDING
    attempts: int = 0
    tries: int = 0
    asks: bool = False
    batch: DeliveryId | None = None
    ordered: bool = False


@value
class Batch:
    """Lines that will be sent as one, all of them leased; the first is the one that will carry it.

    `request` is what that delivery's request becomes; `asks` whether one of their devices waits for the answer.
    """

    lines: tuple["Lease", ...]
    request: HttpRequest
    asks: bool


@value
class Lease:
    """The right to attempt a delivery until `expires_at`."""

    delivery: Delivery
    token: int
    expires_at: datetime


@value
class Accepted:
    """The far end took it: any 2xx within the deadline (`callbacks.md` section 5)."""

    status: int
    body: bytes = b""
    kind: Literal["accepted"] = field(default="accepted", init=False)


@value
class Refused:
    """The far end answered otherwise; a redirect is a refusal, for it is not followed."""

    status: int
    body: bytes = b""
    kind: Literal["refused"] = field(default="refused", init=False)


@value
class Unreachable:
    """No answer that could be understood came in time.

    `reason` is a slug to branch and to count on (`connection-refused`, `deadline`, `tls-certificate`, …);
    `detail` a sentence without secrets.
    """

    reason: str
    detail: str
    kind: Literal["unreachable"] = field(default="unreachable", init=False)


Outcome = Accepted | Refused | Unreachable


@value
class Attempt:
    """One try to send, and what came of it. `number` counts from 1 over the whole life of the delivery."""

    number: int
    started_at: datetime
    duration: timedelta
    outcome: Outcome


@value
class Done:
    """Nothing remains to be done."""

    kind: Literal["done"] = field(default="done", init=False)


@value
class RetryAt:
    """Try again, not before `when`."""

    when: datetime
    kind: Literal["retry-at"] = field(default="retry-at", init=False)


@value
class GiveUp:
    """Keep it as undelivered; it is listed and can be replayed."""

    reason: str
    kind: Literal["give-up"] = field(default="give-up", init=False)


Step = Done | RetryAt | GiveUp


@value
class Settlement:
    """What became of a leased delivery: the attempt that was made and the step that follows.

    `replies` is what the answer says to the devices that ask; None when none asks.
    """

    lease: Lease
    attempt: Attempt
    step: Step
    replies: Replies | None = None


LIFECYCLE: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.PENDING, "done"): State.DELIVERED,
        (State.PENDING, "retry-at"): State.PENDING,
        (State.PENDING, "give-up"): State.UNDELIVERED,
        (State.DELIVERED, "replay"): State.PENDING,
        (State.UNDELIVERED, "replay"): State.PENDING,
        # The lines of a batch, but for the one that carries it: they go where it goes.
        (State.PENDING, "join"): State.JOINED,
        (State.JOINED, "done"): State.DELIVERED,
        (State.JOINED, "give-up"): State.UNDELIVERED,
        (State.DELIVERED, "rejoin"): State.JOINED,
        (State.UNDELIVERED, "rejoin"): State.JOINED,
        # The next of a series, when the one before it has ended.
        (State.WAITING, "advance"): State.PENDING,
    }
)
