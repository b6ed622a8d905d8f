"""The table of reasons is whole, and fit to be shown."""

import re

from reconciler.runtime.channels.unreachable import REASONS, Reason, unreachable


def test_every_reason_has_a_meaning() -> None:
    assert set(REASONS) == set(Reason)
    assert all(meaning.endswith(".") for meaning in REASONS.values())


def test_reasons_are_slugs() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", reason) for reason in Reason)


def test_an_outcome_holds_the_reason_as_a_plain_string() -> None:
    assert type(unreachable(Reason.DEADLINE, "Time is up.").reason) is str
