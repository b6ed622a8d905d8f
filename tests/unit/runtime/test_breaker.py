"""When an endpoint is parked, and how it comes back; the laws of `runtime.breaker`, by hand on its clock."""

from datetime import timedelta

import pytest

from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.runtime.breaker import BreakerPolicy, Health, Said, Standing, is_behind, said
from reconciler.runtime.channels.unreachable import Reason

OK = Accepted(200)
DOWN = Unreachable("connection-refused", "Nobody listens there.")


def health(policy: BreakerPolicy | None = None, *, dice: float = 0.0) -> Health:
    return Health(policy or BreakerPolicy(), dice=lambda: dice, now=0.0)


def parked(policy: BreakerPolicy | None = None, *, dice: float = 0.0) -> Health:
    """One that was parked at second 100."""
    found = health(policy, dice=dice)
    found.arrivals = 1000  # 10 a second
    for second in range(1, 101):
        found.ended(DOWN, now=float(second))
    assert found.standing is Standing.PARKED
    return found


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (OK, Said.SOMEBODY),
        (Refused(302), Said.SOMEBODY),
        (Refused(404), Said.SOMEBODY),
        (Refused(429), Said.SOMEBODY),
        (Refused(500), Said.NOBODY),
        (Refused(503), Said.NOBODY),
    ],
)
def test_an_answer_below_500_says_that_somebody_is_there(outcome: Outcome, expected: Said) -> None:
    assert said(outcome) is expected


def test_each_reason_says_something_about_the_endpoint_or_about_us() -> None:
    nothing = {reason for reason in Reason if said(Unreachable(reason, "")) is Said.NOTHING}
    somebody = {reason for reason in Reason if said(Unreachable(reason, "")) is Said.SOMEBODY}

    assert nothing == {
        Reason.BAD_MAIL_ADDRESS,
        Reason.BAD_REQUEST_TEXT,
        Reason.BAD_SIGNING_KEY,
        Reason.CLOSING,
        Reason.FORBIDDEN_ADDRESS,
        Reason.MAIL_NOT_CONFIGURED,
        Reason.SECRET_MISSING,
    }
    assert somebody == {Reason.ANSWER_HEADERS_TOO_LARGE, Reason.MAIL_REFUSED}


@pytest.mark.parametrize(
    ("failures", "seconds", "standing"),
    [
        (100, 60, Standing.PARKED),
        (99, 600, Standing.OPEN),  # too few: 24 deliveries with their whole schedule, and three tries
        (10_000, 59, Standing.OPEN),  # too short: the schedule alone
    ],
)
def test_it_is_parked_after_many_failures_in_a_row_that_last(failures: int, seconds: float, standing: Standing) -> None:
    found = health()
    for number in range(failures):
        found.ended(DOWN, now=seconds * number / (failures - 1))

    assert found.standing is standing


@pytest.mark.parametrize(("answer", "standing"), [(Refused(401), Standing.OPEN), (Refused(500), Standing.PARKED)])
def test_one_answer_among_failures_says_that_somebody_is_there(answer: Outcome, standing: Standing) -> None:
    found = health()
    for number in range(1000):
        found.ended(answer if number % 90 == 89 else DOWN, now=float(number))

    assert found.standing is standing


def test_parks_grow_up_to_a_bound_and_dice_lengthen_them() -> None:
    for dice, longer in ((0.0, 1.0), (1.0, 1.2)):
        found, now, parks = parked(dice=dice), 100.0, []
        for _ in range(6):
            parks.append(found.until - now)
            now = found.until
            found.probe()
            assert found.ended(DOWN, now=now)
        assert parks == pytest.approx([longer * each for each in (30, 60, 120, 240, 240, 240)])


def test_a_probe_that_says_nothing_is_repeated_after_the_same_park() -> None:
    found = parked()
    found.probe()
    found.ended(Unreachable(Reason.SECRET_MISSING, ""), now=200.0)

    assert (found.standing, found.until) == (Standing.PARKED, 230.0)


def test_an_answer_while_it_is_parked_says_that_somebody_is_there() -> None:
    found = parked()

    assert not found.ended(DOWN, now=101.0)
    assert found.ended(OK, now=102.0)
    assert found.standing is Standing.RECOVERING


def test_the_pace_grows_to_the_share_of_the_normal_load_and_starts_at_the_floor() -> None:
    found = health(BreakerPolicy(floor=5.0))
    for second in range(101):
        found.arrivals += 50
        found.ended(DOWN, now=float(second))
    found.probe()
    found.ended(OK, now=100.0)
    for second in range(101, 161):
        found.arrivals += 50
        found.ended(OK, now=float(second))

    assert [round(found.pace(100.0 + later), 1) for later in (0, 30, 60)] == pytest.approx([5.0, 28.9, 57.5], rel=0.02)


def test_a_relapse_parks_it_for_longer_and_recovering_ends_when_all_is_sent_and_retries_of_before_are_due() -> None:
    found = parked()
    found.probe()
    found.ended(OK, now=130.0)
    for _ in range(5):
        found.ended(DOWN, now=131.0)
    assert (found.standing, found.until) == (Standing.PARKED, 191.0)
    found.probe()
    found.ended(OK, now=200.0)
    assert not found.recovered(1000.0)
    found.caught_up = True

    assert not found.recovered(439.0)
    assert found.recovered(440.0)
    assert found.standing is Standing.OPEN


def test_an_engine_that_starts_suspects_what_has_waited_for_long() -> None:
    policy = BreakerPolicy()
    minute, second = timedelta(minutes=1), timedelta(seconds=1)

    assert is_behind(policy, pending=100, overdue=minute)
    assert not is_behind(policy, pending=99, overdue=minute)
    assert not is_behind(policy, pending=10_000, overdue=minute - second)
