"""Whether to try again, and when. A table, decided without clock and dice.

1. Any 2xx within the deadline is success; everything else is a failure and is tried again, 4xx and 3xx included
   (`callbacks.md` section 5: "timeout or error code", no exception named).
2. The operator's schedule: three more tries, 1, 2 and 4 minutes after the previous failure (`callbacks.md` section 11:
   the retries row).
3. After the last try the delivery is kept as undelivered; it can be replayed, and then has the whole schedule again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from reconciler.model.delivery import Accepted, Done, GiveUp, Outcome, Refused, RetryAt, Step, Unreachable

__all__ = ["OPERATOR_POLICY", "RetryPolicy", "describe", "next_step"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one attempt may take, and how long to wait after each failure.

    `jitter` is the largest fraction by which a wait may be lengthened; 0 keeps the operator's exact schedule.
    """

    deadline: timedelta
    waits: tuple[timedelta, ...]
    jitter: float = 0.0

    @property
    def longest(self) -> timedelta:
        """From the start of the first attempt to the end of the last, at most: how long one failing delivery lasts.

        With it an ordered callback says how long one message can hold up those of its device behind it.
        """
        return sum(self.waits, timedelta()) * (1 + self.jitter) + self.deadline * (len(self.waits) + 1)


OPERATOR_POLICY = RetryPolicy(
    deadline=timedelta(seconds=10),  # callbacks.md section 5: a later answer counts as failure
    waits=(timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)),
)


def next_step(policy: RetryPolicy, *, tries: int, outcome: Outcome, now: datetime, jitter: float = 0.0) -> Step:
    """What follows after the attempt that made `tries` complete.

    `now` is when the attempt ended; `jitter` a number from 0 to 1, thrown by the caller.
    """
    if isinstance(outcome, Accepted):
        return Done()
    if tries > len(policy.waits):
        return GiveUp(describe(outcome))
    return RetryAt(now + policy.waits[tries - 1] * (1 + policy.jitter * jitter))


def describe(outcome: Outcome) -> str:
    """What happened, in a sentence for people."""
    match outcome:
        case Accepted(status=status) | Refused(status=status):
            return f"The receiver answered {status}."
        case Unreachable(detail=detail):
            return detail
        case _:
            assert_never(outcome)
