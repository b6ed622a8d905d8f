"""Keeps the engine's promises: events that nobody sends, made when they are due (`callbacks.md` sections 1, 2.4 and 7).

1. An alarm is kept by the store until the message that is made of it is kept: a restart repeats the making, and the
   message's id tells that it was made before.
2. A silence is decided when its alarm is due: if the device was heard since, the alarm moves to the end of the new
   silence. So a device costs one look for each keep-alive, however many messages it sends.
3. Time is the wall clock's, but a clock that is set must not make devices silent. Steps of the wall clock against the
   loop's are noticed before anything is decided, and everything that waits is moved along (`Alarms.clock_stepped`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

from reconciler.errors import StoreError
from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.downlink import InfoCode
from reconciler.model.message import Message
from reconciler.model.resource import DeviceType
from reconciler.model.value import value
from reconciler.runtime.downlink import acknowledgement
from reconciler.runtime.events import Events
from reconciler.runtime.gathering import advanced
from reconciler.runtime.silence import silence
from reconciler.store.protocol import Alarms, Downlinks

__all__ = ["AlarmClock", "Made"]

# Smaller differences are how clocks are: slewed by a time service, read one after the other.
_SMALLEST_STEP: Final = 1.0
# A timer runs by the loop's clock: it never sleeps longer than this without looking at the wall's.
_LONGEST_NAP: Final = timedelta(seconds=30)
_AT_ONCE: Final = 256
_AFTER_FAILURE: Final = timedelta(seconds=1)


@value
class Made:
    """A message that the engine made, and what it ends; see `store.protocol.Arrival`."""

    message: Message
    ends: Alarm
    unless_heard_after: str | None = None


@value
class _Moved:
    """An alarm whose time has not come."""

    alarm: Alarm


@value
class _Ended:
    """An alarm of which nothing is made."""

    alarm: Alarm


class AlarmStore(Alarms, Downlinks, Protocol):
    """The two roles of a store that alarms need."""


class AlarmClock:
    """Looks at alarms when they are due and hands on the messages that are made of them.

    `keep` makes such messages durable, with what they set in motion; `device_type` is what the current revision says;
    `stepped` is told when all that the store holds was moved along with the clock.
    """

    def __init__(
        self,
        *,
        store: AlarmStore,
        keep: Callable[[Sequence[Made]], Awaitable[None]],
        device_type: Callable[[str], DeviceType | None],
        stepped: Callable[[timedelta], None],
        now: Callable[[], datetime],
        events: Events,
    ) -> None:
        self._store = store
        self._keep = keep
        self._device_type = device_type
        self._stepped = stepped
        self._now = now
        self._events = events
        self._wake = asyncio.Event()
        self._due_at: datetime | None = None
        self._wall = now()
        self._steady = 0.0
        self._clock: Callable[[], float] = lambda: 0.0

    async def start(self) -> None:
        """Learn what an earlier run has promised."""
        self._clock = asyncio.get_running_loop().time
        self._wall, self._steady = self._now(), self._clock()
        self._due_at = await self._store.next_alarm_at()

    def due_by(self, when: datetime) -> None:
        """Something may be due then; look not later."""
        if self._due_at is None or when < self._due_at:
            self._due_at = when
            self._wake.set()

    def step_at(self, now: datetime) -> timedelta | None:
        """How far the wall clock, which says `now`, was set since the last look; None when it was not."""
        gone = self._clock() - self._steady
        ahead = (now - self._wall).total_seconds() - gone
        return timedelta(seconds=ahead) if ahead > _SMALLEST_STEP or ahead < -_SMALLEST_STEP else None

    async def follow(self, step: timedelta) -> None:
        """Move what waits along with the wall clock.

        Raises:
            StoreError: it could not be kept; the step will be noticed again.
        """
        self._wall += step  # at once: whoever looks while the store is at work has nothing to notice
        try:
            await self._store.clock_stepped(step)
        except BaseException:
            self._wall -= step
            raise
        self._events.clock_stepped(step)
        self._stepped(step)
        if self._due_at is not None:
            self._due_at += step
        self._wake.set()

    async def run(self) -> None:
        """Look when something is due, until cancelled."""
        while True:
            self._wake.clear()
            now = self._now()
            if self._due_at is None:
                await self._wake.wait()
            elif self._due_at > now:
                nap = min(self._due_at - now, _LONGEST_NAP).total_seconds()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(nap):
                        await self._wake.wait()
            await self._look()

    async def _look(self) -> None:
        try:
            now = self._now()
            if (step := self.step_at(now)) is not None:
                await self.follow(step)
                now = self._now()
            if self._due_at is None or self._due_at > now:
                return
            self._due_at = None  # whatever falls due from here on sets it anew
            await self._store.expire_downlinks(now=now)
            alarms = await self._store.alarms_due(now=now, limit=_AT_ONCE)
            decided = [await self._decided(alarm, now=now) for alarm in alarms]
            made = [each for each in decided if isinstance(each, Made)]
            if made:
                await self._keep(made)
            if moved := [each.alarm for each in decided if isinstance(each, _Moved)]:
                await self._store.move_alarms(moved)
            if ended := [each.alarm for each in decided if isinstance(each, _Ended)]:
                await self._store.end_alarms(ended)
            for each in made:
                self._events.alarm(each.ends.kind)
                if isinstance(code := each.message.metadata.get("infoCode"), int):
                    self._events.downlink(InfoCode(code), each.message)
            due_at = await self._store.next_alarm_at()
        except StoreError as error:
            self._events.store_failed(error)
            due_at = self._now() + _AFTER_FAILURE
        if due_at is not None:
            self.due_by(due_at)

    async def _decided(self, alarm: Alarm, *, now: datetime) -> "Made | _Moved | _Ended":
        """What becomes of an alarm that is due."""
        match alarm.kind:
            case AlarmKind.GATHERED:
                receptions = await self._store.receptions(alarm.subject)
                if receptions:
                    return Made(advanced(receptions, at=now), alarm)
            case AlarmKind.SILENCE:
                return await self._silence(alarm, now=now)
            case AlarmKind.RESULT:
                downlink = await self._store.downlink(alarm.subject)
                if downlink is not None:
                    return Made(acknowledgement(downlink, at=now), alarm)
            case _:
                assert_never(alarm.kind)
        return _Ended(alarm)

    async def _silence(self, alarm: Alarm, *, now: datetime) -> "Made | _Moved | _Ended":
        heard = await self._store.last_heard(alarm.device)
        device_type = None if heard is None else self._device_type(heard.message.device_type)
        if heard is None or device_type is None or device_type.keep_alive is None:
            return _Ended(alarm)  # nobody supervises it any more; its next message may change that
        silent_at = heard.at + device_type.keep_alive
        if silent_at > now:
            return _Moved(Alarm(alarm.kind, alarm.subject, alarm.device, heard.message.device_type, silent_at))
        return Made(silence(heard, at=now), alarm, unless_heard_after=heard.message.id)
