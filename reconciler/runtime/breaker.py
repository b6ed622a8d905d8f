"""Whether an endpoint is there, and how much it gets while it comes back. Decided without clock and dice.

The documented behaviour comes first (`callbacks.md` section 5: three more tries, 1, 2 and 4 minutes after a failure): a
receiver that fails must not be able to tell this engine from the operator's cloud. So the breaker acts only beyond what
is documented, where keeping to the schedule would use up the tries of everything that waits and then fall upon
whoever comes back:

1. An endpoint is parked after `streak` failures in a row that lasted for `lasting`, with no answer between them. A
   delivery is tried four times at most, so that 25 deliveries or more have failed by then, and an outage shorter than a
   minute is met with the schedule alone, whatever the load.
2. A failure counts when it says that nobody is there: no connection, no name, no TLS, no answer in time, nonsense
   instead of an answer, any 5xx. Every other answer, 4xx included, ends the streak: somebody is there and decides. What
   the engine did not send (a missing secret, a forbidden address) says nothing.
3. Parked deliveries stay pending in the store. They use no attempt, no slot and no memory; each keeps the tries that it
   has left and its due time, which is the earliest: the waits of the schedule become longer, never shorter.
4. When the time is over the oldest due delivery goes out as a probe, alone. Without an answer the endpoint is parked
   longer, up to the last of `parks` (lengthened by at most `jitter`, so that endpoints of one fate do not return at the
   same moment); what the probe used is one try of one delivery.
5. With an answer the endpoint recovers: it gets requests one by one at a pace that grows within `ramp` to `share` of
   its normal load, new messages first, what waits with the rest. Normal load is what messages ask for (an average over
   a minute), which an outage does not change. `floor` is for endpoints with little or unknown load. `share` keeps what
   starts too early by `SLACK` below 1.2 in any second. Some failures in a row, and it is parked again.
6. It is over when all that was due is sent and the longest wait of the schedule has passed, so that retries from before
   do not come on top.
7. Nothing of this is stored. An engine that starts finds what is overdue, and begins with a probe where much has waited
   for long (`is_behind`). What waits then tells the load: it came in the time for which the oldest has been due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Final, assert_never

from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.runtime.channels.unreachable import Reason

__all__ = ["SLACK", "BreakerPolicy", "Health", "Said", "Standing", "is_behind", "said"]

SLACK: Final = 0.02
"""Seconds by which a paced start may be early to make up for a late timer: at high paces several go in one turn."""

_WINDOW: Final = 10.0  # seconds between two looks at the load
_MEMORY: Final = 60.0  # seconds that its average goes back


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When an endpoint is parked, for how long, and how it comes back; see the module.

    Attributes:
        relapse: failures in a row that park an endpoint which recovers.
        parks: how long, the first time, the second, …; the last holds for all that follow.
        jitter: the largest fraction by which a park is lengthened.
        quiet: how long recovering takes at least.
        floor: requests a second that every endpoint may get.
        share: of the normal load.
    """

    streak: int = 100
    lasting: timedelta = timedelta(minutes=1)
    relapse: int = 5
    parks: tuple[timedelta, ...] = (
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=2),
        timedelta(minutes=4),
    )
    jitter: float = 0.2
    quiet: timedelta = timedelta(minutes=4)
    ramp: timedelta = timedelta(minutes=1)
    floor: float = 10.0
    share: float = 1.15


class Standing(StrEnum):
    """How an endpoint stands; `open` is every endpoint that nothing is wrong with."""

    OPEN = "open"
    PARKED = "parked"
    PROBING = "probing"
    RECOVERING = "recovering"


class Said(Enum):
    """What an outcome says about the endpoint."""

    SOMEBODY = "somebody"
    NOBODY = "nobody"
    NOTHING = "nothing"


_NOTHING: Final = frozenset(
    {
        Reason.BAD_MAIL_ADDRESS,
        Reason.BAD_REQUEST_TEXT,
        Reason.BAD_SIGNING_KEY,
        Reason.CLOSING,
        Reason.FORBIDDEN_ADDRESS,
        Reason.MAIL_NOT_CONFIGURED,
        Reason.SECRET_MISSING,
    }
)
_SOMEBODY: Final = frozenset({Reason.ANSWER_HEADERS_TOO_LARGE, Reason.MAIL_REFUSED})


def said(outcome: Outcome) -> Said:
    """Whether somebody is there (rule 2)."""
    match outcome:
        case Accepted():
            return Said.SOMEBODY
        case Refused(status=status):
            return Said.NOBODY if status >= 500 else Said.SOMEBODY
        case Unreachable(reason=reason):
            if reason in _NOTHING:
                return Said.NOTHING
            return Said.SOMEBODY if reason in _SOMEBODY else Said.NOBODY
        case _:
            assert_never(outcome)


def is_behind(policy: BreakerPolicy, *, pending: int, overdue: timedelta) -> bool:
    """Whether so much has waited for so long that an engine which starts asks with a probe first."""
    return pending >= policy.streak and overdue >= policy.lasting


class Health:
    """What is known of one endpoint. Times are seconds of a clock that is never set.

    Attributes:
        standing: how it stands.
        arrivals: deliveries of new messages since the load was looked at; whoever takes one in adds 1.
        failures: how many in a row.
        until: when parking ends.
        next_at: when the next request may start while it recovers.
        caught_up: while it recovers, whether all that was due has been taken up.
    """

    __slots__ = (
        "_dice",
        "_known",
        "_load",
        "_load_before",
        "_looked_at",
        "_policy",
        "_since",
        "_trips",
        "arrivals",
        "caught_up",
        "failures",
        "next_at",
        "standing",
        "until",
    )

    def __init__(self, policy: BreakerPolicy, *, dice: Callable[[], float], now: float) -> None:
        self._policy = policy
        self._dice = dice
        self._looked_at = now
        self._known = 0.0
        self._load = 0.0
        self._load_before = 0.0  # until it has recovered
        self._since = now
        self._trips = 0
        self.next_at = now
        self.standing = Standing.OPEN
        self.arrivals = 0
        self.failures = 0
        self.until = now
        self.caught_up = False

    def ended(self, outcome: Outcome, *, now: float) -> bool:
        """Learn what came of an attempt; whether it stands otherwise now."""
        if now - self._looked_at >= _WINDOW:
            self._look(now)
        if self.standing is Standing.OPEN and isinstance(outcome, Accepted):
            self.failures = 0
            return False
        heard = said(outcome)
        match self.standing:
            case Standing.OPEN:
                return self._ended_open(heard, now)
            case Standing.PARKED | Standing.PROBING if heard is Said.SOMEBODY:
                self._recover(now)
                return True
            case Standing.PARKED:  # an attempt that was under way before
                return False
            case Standing.PROBING:
                self._park(now, trips=self._trips + (heard is Said.NOBODY))
                return True
            case Standing.RECOVERING:
                return self._ended_recovering(heard, now)
            case _:
                assert_never(self.standing)

    def probe(self, *, load: float | None = None) -> None:
        """Let one delivery go out. `load`, in requests a second, is what it was before anything was known here."""
        self.standing = Standing.PROBING
        if load is not None:
            self._load_before = load

    def recovered(self, now: float) -> bool:
        """Whether recovering is over: then it is open. To be asked when nothing waits in memory."""
        over = self.caught_up and now - self._since >= self._policy.quiet.total_seconds()
        if self.standing is Standing.RECOVERING and over:
            self.standing = Standing.OPEN
            self.failures = self._trips = 0
            self._load_before = 0.0
            return True
        return False

    def pace(self, now: float) -> float:
        """Requests a second while it recovers."""
        if now - self._looked_at >= _WINDOW:
            self._look(now)
        ramp = self._policy.ramp.total_seconds()
        grown = min((now - self._since) / ramp, 1.0) if ramp else 1.0
        # An estimate of the load is taken without the surcharge, by which it may be wrong.
        return max(self._policy.floor, max(self._policy.share * self._load, self._load_before) * grown)

    def spend(self, now: float) -> None:
        """A request starts."""
        self.next_at = max(self.next_at, now - SLACK) + 1 / self.pace(now)

    def _ended_open(self, heard: Said, now: float) -> bool:
        if heard is Said.SOMEBODY:
            self.failures = 0
        elif heard is Said.NOBODY:
            if not self.failures:
                self._since = now
            self.failures += 1
            lasted = now - self._since
            if self.failures >= self._policy.streak and lasted >= self._policy.lasting.total_seconds():
                self._park(now, trips=1)
                return True
        return False

    def _ended_recovering(self, heard: Said, now: float) -> bool:
        if heard is Said.SOMEBODY:
            self.failures = 0
        elif heard is Said.NOBODY:
            self.failures += 1
            if self.failures >= self._policy.relapse:
                self._park(now, trips=self._trips + 1)
                return True
        return False

    def _park(self, now: float, *, trips: int) -> None:
        parks = self._policy.parks
        self._trips = max(trips, 1)
        park = parks[min(self._trips, len(parks)) - 1].total_seconds()
        self.until = now + park * (1 + self._policy.jitter * self._dice())
        self.standing = Standing.PARKED

    def _recover(self, now: float) -> None:
        self.standing = Standing.RECOVERING
        self._since = self.next_at = now
        self.failures = 0
        self.caught_up = False

    def _look(self, now: float) -> None:
        """Average what arrived, over as long as anything is known, and a minute at most."""
        elapsed = now - self._looked_at
        self._load = (self._load * self._known + self.arrivals) / (self._known + elapsed)
        self._known = min(self._known + elapsed, _MEMORY)
        self._looked_at = now
        self.arrivals = 0
