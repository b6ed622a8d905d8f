"""Which addresses a delivery may be sent to: a decision over values, without a socket or a name in sight.

The URL of a callback is written by somebody who may not be allowed to see what the engine's machine can reach. Rules,
from promise 8 of the product and the IANA registries of special-purpose addresses (RFC 6890, as of 2025-10):

1. Only globally reachable unicast addresses are allowed, unless the configuration says more. For IPv6 that means inside
   2000::/3; for IPv4 everything that no registry sets aside.
2. An IPv6 address that carries an IPv4 address (IPv4-mapped, IPv4-compatible, NAT64, 6to4, Teredo, ISATAP) is judged by
   what it carries as well: `::ffff:127.0.0.1` is loopback, whatever `ipaddress` of Python 3.11 thinks of it.
3. `allow_private` opens what an organisation gives to its own machines: loopback, private, unique-local and shared
   (carrier-grade NAT) addresses. It never opens link-local or metadata addresses: those answer with credentials.
4. `allow` opens single networks, whatever they are. It is tested against each address that rule 2 finds.
5. `hosts` opens for some names what `allow_private` opens for all, and no more: whoever answers for a name can lead it
   to the machine's own addresses, and to no metadata. `*` stands for any characters.
6. What is judged is an address, never the text of a URL: `0x7f.1` and `2130706433` are names until a resolver made
   addresses of them. Who dials judges all of them first, and dials one of those that were judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["EgressPolicy"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PRIVATE: Final[tuple[tuple[str, str], ...]] = (
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared address of a carrier's network"),
    ("127.0.0.0/8", "a loopback address"),
    ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"),
    ("::1/128", "a loopback address"),
    ("fc00::/7", "a unique-local address"),
)

# The first match names the address, so that the particular stands before the general.
_SPECIAL: Final[tuple[tuple[str, str], ...]] = (
    # Where clouds keep the credentials of their machines: AWS, GCP and most others; AWS; GCP; Alibaba; Oracle; Azure.
    ("169.254.169.254/32", "a cloud's metadata address"),
    ("fd00:ec2::254/128", "a cloud's metadata address"),
    ("fd20:ce::254/128", "a cloud's metadata address"),
    ("100.100.100.200/32", "a cloud's metadata address"),
    ("192.0.0.192/32", "a cloud's metadata address"),
    ("168.63.129.16/32", "a cloud's metadata address"),
    ("0.0.0.0/32", "the unspecified address"),
    ("0.0.0.0/8", 'an address of "this network"'),
    ("169.254.0.0/16", "a link-local address"),
    ("192.0.0.0/24", "an address reserved for protocols"),
    ("192.0.2.0/24", "an address reserved for documentation"),
    ("192.88.99.0/24", "an address of the withdrawn 6to4 relays"),
    ("198.18.0.0/15", "an address reserved for benchmarks"),
    ("198.51.100.0/24", "an address reserved for documentation"),
    ("203.0.113.0/24", "an address reserved for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("240.0.0.0/4", "a reserved address"),
    ("::/128", "the unspecified address"),
    ("64:ff9b:1::/48", "an address of a local NAT64 translator"),
    ("100::/64", "an address that discards"),
    ("2001:db8::/32", "an address reserved for documentation"),
    ("3fff::/20", "an address reserved for documentation"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
)

# Prefixes that only carry another address: what they carry decides.
_WRAPPERS: Final = tuple(
    IPv6Network(prefix) for prefix in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "2001::/32", "2002::/16")
)
_TEREDO: Final = IPv6Network("2001::/32")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_PROTOCOLS: Final = IPv6Network("2001::/23")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_UNSPECIFIED_AND_LOOPBACK: Final = IPv6Network("::/127")
# RFC 5214 section 6.1: the interface identifier of ISATAP, with the universal/local bit clear and set.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def _compiled(table: tuple[tuple[str, str], ...]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), words) for network, words in table)


_PRIVATE_NETWORKS: Final = _compiled(_PRIVATE)
_SPECIAL_NETWORKS: Final = _compiled(_SPECIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Where deliveries may go. The default allows public addresses alone.

    Attributes:
        hosts: names in lower case, `*` in them for any characters.
    """

    allow_private: bool = False
    allow: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()

    def verdict(self, address: str, *, host: str = "") -> str | None:
        """None when `address` may be dialled, else what speaks against it, as in "it is a loopback address".

        `address` is numeric, as resolvers give them, possibly with a scope (`fe80::1%eth0`); `host` is the name that
        led to it.
        """
        try:
            outer = ip_address(address.partition("%")[0])
        except ValueError:
            return "it is no IP address"
        own = self.allow_private or self._names(host)
        for layer, found in enumerate(_layers(outer)):
            words = self._against(found, own=own)
            if words is not None:
                return f"it is {words}" if layer == 0 else f"it carries {found}, {words}"
        return None

    def _names(self, host: str) -> bool:
        name = host.lower().removesuffix(".")
        return any(fnmatchcase(name, pattern) for pattern in self.hosts)

    def _against(self, address: Address, *, own: bool) -> str | None:
        if any(address.version == network.version and address in network for network in self.allow):
            return None
        words = _among(_SPECIAL_NETWORKS, address)
        if words is not None:
            return words
        words = _among(_PRIVATE_NETWORKS, address)
        if words is not None:
            return None if own else words
        return _outside_unicast(address) if isinstance(address, IPv6Address) else None


def _among(table: tuple[tuple[Network, str], ...], address: Address) -> str | None:
    for network, words in table:
        if network.version == address.version and address in network:
            return words
    return None


def _outside_unicast(address: IPv6Address) -> str | None:
    if any(address in wrapper for wrapper in _WRAPPERS):
        return None
    if address in _PROTOCOLS:
        return "an address reserved for protocols"
    return None if address in _GLOBAL_UNICAST else "a reserved address"


def _layers(address: Address) -> Iterator[Address]:
    """The address itself, then every IPv4 address it carries."""
    yield address
    if isinstance(address, IPv6Address):
        yield from _carried(address)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    bits = int(address)
    if address in _UNSPECIFIED_AND_LOOPBACK:
        return
    if address in _TEREDO:
        # RFC 4380 section 4: the server's address in clear, the client's with every bit inverted.
        yield IPv4Address(bits >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~bits & 0xFFFF_FFFF)
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & 0xFFFF_FFFF)
    elif address in _LOCAL_NAT64 or any(address in wrapper for wrapper in _WRAPPERS):
        # For local NAT64, RFC 6052 knows other layouts too; they matter only once somebody allowed the prefix.
        yield IPv4Address(bits & 0xFFFF_FFFF)
    if bits >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(bits & 0xFFFF_FFFF)
