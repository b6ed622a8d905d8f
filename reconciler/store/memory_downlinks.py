"""Alarms and downlink requests of the reference store.

1. Alarms that are due at the same moment go by kind, then by subject.
2. A request that is served has no time by which it must end: `next_alarm_at` is about those that are ASKED or READY.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.downlink import OPEN, Downlink, DownlinkState, InfoCode, Replies
from reconciler.store.downlinks import WAITING, admitted, answered, expired, reported_on, result_alarm, served

__all__ = ["Promises"]


class Promises:
    """What has to happen at some time beside deliveries."""

    def __init__(self) -> None:
        self._alarms: dict[tuple[AlarmKind, str], Alarm] = {}
        self._requests: dict[str, Downlink] = {}  # by message, in the order in which they were kept

    # Alarms

    def set_alarms(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            self._alarms.setdefault((alarm.kind, alarm.subject), alarm)

    def move_alarms(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            standing = self._alarms.get((alarm.kind, alarm.subject))
            if standing is not None:
                self._alarms[alarm.kind, alarm.subject] = replace(standing, due_at=alarm.due_at)

    def hasten(self, kind: AlarmKind, device_type: str, *, by: datetime) -> None:
        for key, alarm in self._alarms.items():
            if alarm.kind is kind and alarm.device_type == device_type:
                self._alarms[key] = replace(alarm, due_at=min(alarm.due_at, by))

    def end_alarms(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            self._alarms.pop((alarm.kind, alarm.subject), None)

    def stands(self, kind: AlarmKind, subject: str) -> bool:
        return (kind, subject) in self._alarms

    def alarms_due(self, *, now: datetime, limit: int) -> Sequence[Alarm]:
        due = [alarm for alarm in self._alarms.values() if alarm.due_at <= now]
        return sorted(due, key=lambda alarm: (alarm.due_at, alarm.kind, alarm.subject))[:limit]

    def next_at(self) -> datetime | None:
        """When the next alarm is due or a waiting request expires."""
        times = [alarm.due_at for alarm in self._alarms.values()]
        times += [request.expires_at for request in self._requests.values() if request.state in WAITING]
        return min(times, default=None)

    def step(self, by: timedelta) -> None:
        """Move everything along with the clock."""
        for key, alarm in self._alarms.items():
            self._alarms[key] = replace(alarm, due_at=alarm.due_at + by)
        for message, request in self._requests.items():
            if request.state in OPEN:
                self._requests[message] = replace(request, expires_at=request.expires_at + by)

    # Requests

    def request(self, message: str) -> Downlink | None:
        return self._requests.get(message)

    def is_waiting(self, message: str) -> bool:
        """Whether the device that asked with this message listens still."""
        request = self._requests.get(message)
        return request is not None and request.state in WAITING

    def forget(self, message: str) -> None:
        """Let the request go that came with a message, if one did."""
        self._requests.pop(message, None)

    def ask(self, request: Downlink) -> None:
        """Keep a request that came with its message."""
        kept = self._requests[request.message] = admitted(request, self._of_device(request.device))
        self._tell(kept, at=request.asked_at)

    def report(self, device: str, code: InfoCode) -> None:
        """End the request that the network speaks of. Who told us the result need not be told."""
        request = reported_on(self._of_device(device))
        if request is not None:
            self._requests[request.message] = replace(request, state=DownlinkState.ENDED, code=code)

    def answer(self, messages: Iterable[str], replies: Replies, *, at: datetime) -> None:
        """Give those messages' requests that are ASKED what an attempt that ended `at` brought."""
        for message in messages:
            request = self._requests.get(message)
            if request is not None and request.state is DownlinkState.ASKED:
                self._change(answered(request, replies, at=at), at=at)

    def serve(self, *, limit: int, now: datetime, message: str | None, device_type: str | None) -> Sequence[Downlink]:
        ready = self._sorted(
            lambda request: (
                request.state is DownlinkState.READY
                and request.expires_at > now
                and message in (None, request.message)
                and device_type in (None, request.device_type)
            )
        )
        return [self._change(served(request), at=now) for request in ready[:limit]]

    def expire(self, *, now: datetime) -> int:
        late = self._sorted(lambda request: request.state in WAITING and request.expires_at <= now)
        return len([self._change(expired(request), at=now) for request in late])

    def _of_device(self, device: str) -> Sequence[Downlink]:
        return [request for request in self._requests.values() if request.device == device]

    def _sorted(self, wanted: Callable[[Downlink], bool]) -> Sequence[Downlink]:
        """Oldest first."""
        return sorted(filter(wanted, self._requests.values()), key=lambda request: request.expires_at)

    def _change(self, request: Downlink, *, at: datetime) -> Downlink:
        self._requests[request.message] = request
        self._tell(request, at=at)
        return request

    def _tell(self, request: Downlink, *, at: datetime) -> None:
        if request.state is DownlinkState.ENDED:
            self.set_alarms([result_alarm(request, at=at)])
