"""The pace of failed logins."""

from datetime import timedelta

import pytest

from reconciler.runtime.api.logins import FailedLogins, Pace, network_of

SIX = timedelta(seconds=6)


def test_some_fail_at_once_and_then_one_each_interval() -> None:
    pace = Pace(burst=3, interval=SIX)
    waits = [pace.wait(now) for now in (100.0, 100.0, 100.0, 100.0, 103.0, 106.0, 106.0)]

    assert waits == [0, 0, 0, 6, 3, 0, 6]


def test_who_waits_long_enough_may_fail_as_at_first() -> None:
    pace = Pace(burst=3, interval=SIX)
    assert [bool(pace.wait(0.0)) for _ in range(4)] == [False, False, False, True]
    assert [bool(pace.wait(18.0)) for _ in range(4)] == [False, False, False, True]


def test_peers_do_not_share_a_pace_and_a_customer_of_ipv6_has_one() -> None:
    failed = FailedLogins(burst=1, interval=SIX)

    assert [bool(failed.failed(peer, 0.0)) for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [False, False, True]
    assert [bool(failed.failed(f"2001:db8::{n:x}", 0.0)) for n in range(3)] == [False, True, True]
    assert not failed.failed("2001:db8:0:1::1", 0.0)


def test_memory_of_peers_is_bounded_and_the_oldest_is_forgotten() -> None:
    failed = FailedLogins(burst=1, interval=SIX, most_peers=3)
    for number in range(1_000):
        failed.failed(f"10.0.{number // 250}.{number % 250}", 0.0)

    assert len(failed) == 3
    assert failed.failed("10.0.3.249", 0.0)
    assert not failed.failed("10.0.0.0", 0.0)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_who_shares_a_pace(peer: str, network: str) -> None:
    assert network_of(peer) == network
