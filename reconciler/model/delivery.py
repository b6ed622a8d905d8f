"""What is sent, what came of it, and what happens next.

The lifecycle of a delivery is a table; tests and documentation read it (`LIFECYCLE`).

1. A delivery is pinned to one revision and keeps the bytes it promised: retries send the same request, even after a
   new revision.
2. A request holds secrets as references (`grammar.template.Secret`); a channel fills them in while sending.
3. A lease is the right to attempt a delivery until it expires; its token fences off a worker that came back late.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

from reconciler.grammar.template import Rendered
from reconciler.model.resource import Key, Method
from reconciler.model.value import value

__all__ = [
    "LIFECYCLE",
    "Accepted",
    "Attempt",
    "Delivery",
    "DeliveryId",
    "Done",
    "GiveUp",
    "HttpRequest",
    "Lease",
    "Outcome",
    "Refused",
    "Request",
    "RetryAt",
    "Settlement",
    "State",
    "Step",
    "Unreachable",
]


class State(StrEnum):
    """Where a delivery stands; `undelivered` is the operator's word for given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


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
    kind: Literal["http"] = field(default="http", init=False)

    @property
    def endpoint(self) -> str:
        """What shares a queue, a pool and a fate: scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


Request = HttpRequest  # batches and e-mail join this union with their channels


@value
class Delivery:
    """One request promised for one message by one callback of one revision.

    Attributes:
        warnings: what did not go as declared while rendering, one sentence each.
        attempts: how many were made in all.
        tries: how many were made since it was accepted or last replayed; the retry policy counts these.
        due_at: when the next attempt may start; meaningless unless pending.
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
    """What became of a leased delivery: the attempt that was made and the step that follows."""

    lease: Lease
    attempt: Attempt
    step: Step


LIFECYCLE: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.PENDING, "done"): State.DELIVERED,
        (State.PENDING, "retry-at"): State.PENDING,
        (State.PENDING, "give-up"): State.UNDELIVERED,
        (State.DELIVERED, "replay"): State.PENDING,
        (State.UNDELIVERED, "replay"): State.PENDING,
    }
)
