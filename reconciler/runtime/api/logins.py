"""How often a login may fail: the pace at which refusals are answered and told. Pure.

A token has 256 random bits, so that guessing is hopeless at any pace. What is bounded here is what guessing costs us:
a peer that goes on is told to wait, and an attack does not fill a disk with lines about it.

1. Each peer may fail a few times at once, and from then on at a steady pace (the generic cell rate algorithm of ATM
   Forum TM 4.0: one time stamp for each peer).
2. Only failures count, and only failures are slowed down: whoever shares an address with an attacker, such as all
   clients behind a proxy, comes in with a good token as before.
3. An IPv6 peer is its /64, which is what a single customer is given. The number of peers that are remembered is
   bounded; whoever failed longest ago is forgotten first.
"""

from collections import OrderedDict
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

__all__ = ["FailedLogins", "Pace", "network_of"]

_IPV6_CUSTOMER: Final = 64


class Pace:
    """`burst` events at once, then one each `interval`; times in seconds of a clock that is never set."""

    __slots__ = ("_due", "_interval", "_tolerance")

    def __init__(self, *, burst: int, interval: timedelta) -> None:
        self._interval = interval.total_seconds()
        self._tolerance = self._interval * (burst - 1)
        self._due = 0.0

    def wait(self, now: float) -> float:
        """0 when an event fits, which then counts; otherwise the seconds until one does."""
        due = max(self._due, now)
        if due - now > self._tolerance:
            return due - now - self._tolerance
        self._due = due + self._interval
        return 0.0


class FailedLogins:
    """The pace of each peer."""

    def __init__(self, *, burst: int = 10, interval: timedelta = timedelta(seconds=6), most_peers: int = 4_096) -> None:
        self._burst = burst
        self._interval = interval
        self._most_peers = most_peers
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paces)

    def failed(self, peer: str, now: float) -> float:
        """A login of `peer` failed: 0 when that is within its pace, otherwise the seconds it should wait."""
        network = network_of(peer)
        pace = self._paces.pop(network, None) or Pace(burst=self._burst, interval=self._interval)
        self._paces[network] = pace
        if len(self._paces) > self._most_peers:
            self._paces.popitem(last=False)
        return pace.wait(now)


def network_of(peer: str) -> str:
    """Who shares a pace: an IPv4 address, the /64 of an IPv6 one; anything else as it is."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _IPV6_CUSTOMER), strict=False))
    return str(address)
