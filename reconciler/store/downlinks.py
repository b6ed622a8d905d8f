"""What becomes of a downlink request, decided alike by every store (`protocol.Downlinks`). Pure.

1. A request is expired from its `expires_at` on.
2. Of several requests the one that expires last is the newest: this order survives steps of the clock, which move
   expiries along. Of those that expire at the same moment, the one that was kept last.
3. States change as `model.downlink.DOWNLINK_LIFECYCLE` says.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.downlink import (
    DOWNLINK_LIFECYCLE,
    OPEN,
    Downlink,
    DownlinkState,
    Failed,
    InfoCode,
    NoData,
    Replies,
    Send,
)

__all__ = ["WAITING", "admitted", "answered", "expired", "reported_on", "result_alarm", "served"]

WAITING: Final = frozenset({DownlinkState.ASKED, DownlinkState.READY})
"""States that end when the device stops listening; a served request waits for its result instead."""

_CODE_OF_EXPIRY: Final = {DownlinkState.ASKED: InfoCode.NO_ANSWER, DownlinkState.READY: InfoCode.NETWORK_ERROR}
_REPORTED_FIRST: Final = frozenset({DownlinkState.READY, DownlinkState.SERVED})


def admitted(request: Downlink, others: Iterable[Downlink]) -> Downlink:
    """A request as it is kept, beside the others of its device."""
    if request.state in OPEN and any(o.state in OPEN and o.expires_at > request.asked_at for o in others):
        return replace(request, state=DownlinkState.ENDED, code=InfoCode.TOO_MANY_REQUESTS)
    return request


def answered(request: Downlink, replies: Replies, *, at: datetime) -> Downlink:
    """What an attempt that ended `at` makes of a request that is ASKED."""
    if request.expires_at <= at:
        return expired(request)
    reply = replies.by_device.get(request.device, replies.otherwise)
    state = DOWNLINK_LIFECYCLE[request.state, reply.kind]
    match reply:
        case Send(data):
            return replace(request, state=state, data=data)
        case NoData():
            return replace(request, state=state)
        case Failed(code):
            return replace(request, state=state, code=code)
        case _:
            assert_never(reply)


def expired(request: Downlink) -> Downlink:
    """What becomes of a waiting request when the device stops listening."""
    return replace(request, state=DOWNLINK_LIFECYCLE[request.state, "expired"], code=_CODE_OF_EXPIRY[request.state])


def served(request: Downlink) -> Downlink:
    """A request that is READY, handed to the network side."""
    return replace(request, state=DOWNLINK_LIFECYCLE[request.state, "served"])


def reported_on(requests: Sequence[Downlink]) -> Downlink | None:
    """The one that the network speaks of, of a device's requests in the order in which they were kept."""
    for states in (_REPORTED_FIRST, {DownlinkState.ASKED}):
        if found := [request for request in reversed(requests) if request.state in states]:
            return max(found, key=lambda request: request.expires_at)
    return None


def result_alarm(request: Downlink, *, at: datetime) -> Alarm:
    """What tells the customer of a result that the engine found."""
    return Alarm(AlarmKind.RESULT, request.message, request.device, request.device_type, at)
