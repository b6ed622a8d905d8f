from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.delivery import Accepted, Done, GiveUp, Outcome, Refused, RetryAt, Unreachable
from reconciler.runtime.retry import OPERATOR_POLICY, RetryPolicy, describe, next_step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = Unreachable("deadline", "No answer within 10 s.")


@pytest.mark.parametrize(
    ("tries", "outcome", "minutes"),
    [
        # callbacks.md section 11, row "retries": 1, 2 and 4 minutes after the previous failure
        (1, Refused(500), 1),
        (2, Refused(500), 2),
        (3, Refused(500), 4),
        # callbacks.md section 5: timeout or error code; 4xx is not excepted, a redirect is not followed
        (1, Refused(404), 1),
        (1, Refused(302), 1),
        (2, TIMEOUT, 2),
    ],
)
def test_a_failure_is_tried_again_on_the_operators_schedule(tries: int, outcome: Outcome, minutes: int) -> None:
    assert next_step(OPERATOR_POLICY, tries=tries, outcome=outcome, now=NOW) == RetryAt(
        NOW + timedelta(minutes=minutes)
    )


@pytest.mark.parametrize("tries", [1, 2, 3, 4])
@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_ends_it_on_any_try(tries: int, status: int) -> None:
    assert next_step(OPERATOR_POLICY, tries=tries, outcome=Accepted(status), now=NOW) == Done()


@pytest.mark.parametrize("outcome", [Refused(503), TIMEOUT])
def test_the_fourth_failure_is_the_last(outcome: Outcome) -> None:
    assert next_step(OPERATOR_POLICY, tries=4, outcome=outcome, now=NOW) == GiveUp(describe(outcome))


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 60), (0.5, 66), (1.0, 72)])
def test_jitter_only_lengthens_a_wait_and_by_no_more_than_its_fraction(jitter: float, seconds: int) -> None:
    policy = RetryPolicy(deadline=timedelta(seconds=10), waits=(timedelta(minutes=1),), jitter=0.2)

    assert next_step(policy, tries=1, outcome=TIMEOUT, now=NOW, jitter=jitter) == RetryAt(
        NOW + timedelta(seconds=seconds)
    )


def test_a_policy_without_waits_gives_up_at_once() -> None:
    policy = RetryPolicy(deadline=timedelta(seconds=10), waits=())

    assert isinstance(next_step(policy, tries=1, outcome=TIMEOUT, now=NOW), GiveUp)


def test_descriptions_are_sentences() -> None:
    assert describe(Refused(503)) == "The receiver answered 503."
    assert describe(TIMEOUT) == "No answer within 10 s."
