"""Every kind of address that must not be dialled, in every disguise that is known."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.runtime.channels.egress import EgressPolicy

PUBLIC_ONLY = EgressPolicy()
WITH_PRIVATE = EgressPolicy(allow_private=True)

PUBLIC = ["1.1.1.1", "9.255.255.255", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"]
PUBLIC += ["198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::8"]

OWN = [
    ("127.0.0.1", "it is a loopback address"),
    ("127.255.255.254", "it is a loopback address"),
    ("10.0.0.1", "it is a private address"),
    ("172.16.0.1", "it is a private address"),
    ("172.31.255.255", "it is a private address"),
    ("192.168.1.1", "it is a private address"),
    ("100.64.0.1", "it is a shared address of a carrier's network"),
    ("::1", "it is a loopback address"),
    ("fd12:3456::1", "it is a unique-local address"),
]

NEVER = [
    ("169.254.169.254", "it is a cloud's metadata address"),
    ("fd00:ec2::254", "it is a cloud's metadata address"),
    ("100.100.100.200", "it is a cloud's metadata address"),
    ("168.63.129.16", "it is a cloud's metadata address"),
    ("169.254.0.1", "it is a link-local address"),
    ("fe80::1", "it is a link-local address"),
    ("fe80::1%eth0", "it is a link-local address"),
    ("0.0.0.0", "it is the unspecified address"),
    ("::", "it is the unspecified address"),
    ("0.1.2.3", 'it is an address of "this network"'),
    ("192.0.0.8", "it is an address reserved for protocols"),
    ("192.0.2.1", "it is an address reserved for documentation"),
    ("198.51.100.1", "it is an address reserved for documentation"),
    ("203.0.113.1", "it is an address reserved for documentation"),
    ("2001:db8::1", "it is an address reserved for documentation"),
    ("3fff::1", "it is an address reserved for documentation"),
    ("192.88.99.1", "it is an address of the withdrawn 6to4 relays"),
    ("198.18.0.1", "it is an address reserved for benchmarks"),
    ("224.0.0.1", "it is a multicast address"),
    ("ff02::1", "it is a multicast address"),
    ("240.0.0.1", "it is a reserved address"),
    ("255.255.255.255", "it is the broadcast address"),
    ("100::1", "it is an address that discards"),
    ("64:ff9b:1::808:808", "it is an address of a local NAT64 translator"),
    ("2001:2::1", "it is an address reserved for protocols"),
    ("fec0::1", "it is a site-local address"),
    ("4000::1", "it is a reserved address"),
    ("5f00::1", "it is a reserved address"),
    ("::ffff:0:8.8.8.8", "it is a reserved address"),
]


def disguises(inner: str) -> dict[str, str]:
    """An IPv4 address inside every kind of IPv6 address that carries one."""
    bits = int(IPv4Address(inner))
    interface = {"clear": 0x0000_5EFE, "set": 0x0200_5EFE}
    return {
        "mapped": str(IPv6Address(0xFFFF << 32 | bits)),
        "compatible": str(IPv6Address(bits)),
        "NAT64": str(IPv6Address(0x64_FF9B << 96 | bits)),
        "6to4": str(IPv6Address(0x2002 << 112 | bits << 80 | 1)),
        "Teredo client": str(IPv6Address(0x2001_0000 << 96 | 0x0101_0101 << 64 | bits ^ 0xFFFF_FFFF)),
        "Teredo server": str(IPv6Address(0x2001_0000 << 96 | bits << 64 | 0x0101_0101 ^ 0xFFFF_FFFF)),
        "ISATAP, clear": str(IPv6Address(0x2A00_1450 << 96 | interface["clear"] << 32 | bits)),
        "ISATAP, set": str(IPv6Address(0x2A00_1450 << 96 | interface["set"] << 32 | bits)),
    }


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert PUBLIC_ONLY.verdict(address) is None


@pytest.mark.parametrize(("address", "reason"), OWN + NEVER)
def test_everything_else_is_refused_by_name(address: str, reason: str) -> None:
    assert PUBLIC_ONLY.verdict(address) == reason


@pytest.mark.parametrize("address", [address for address, _ in OWN])
def test_an_organisations_own_addresses_can_be_allowed(address: str) -> None:
    assert WITH_PRIVATE.verdict(address) is None


@pytest.mark.parametrize(("address", "reason"), NEVER)
def test_allowing_private_addresses_allows_nothing_else(address: str, reason: str) -> None:
    assert WITH_PRIVATE.verdict(address) == reason


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "0.1.2.3"])
@pytest.mark.parametrize("disguise", disguises("1.1.1.1"))
def test_an_address_is_judged_by_what_it_carries(disguise: str, inner: str) -> None:
    verdict = PUBLIC_ONLY.verdict(disguises(inner)[disguise])
    assert verdict is not None
    assert verdict.startswith(f"it carries {inner}, ")


@pytest.mark.parametrize("disguise", disguises("1.1.1.1"))
def test_a_disguise_is_no_offence_by_itself(disguise: str) -> None:
    assert PUBLIC_ONLY.verdict(disguises("8.8.8.8")[disguise]) is None


@given(st.integers(0, 2**32 - 1))
def test_no_disguise_opens_what_is_closed(bits: int) -> None:
    inner = str(IPv4Address(bits))
    if PUBLIC_ONLY.verdict(inner) is not None:
        assert [name for name, outer in disguises(inner).items() if PUBLIC_ONLY.verdict(outer) is None] == []


@given(st.integers(0, 2**32 - 1))
def test_what_is_closed_is_closed_for_the_standard_library_too(bits: int) -> None:
    address = IPv4Address(bits)
    if not address.is_global or address.is_multicast:
        assert PUBLIC_ONLY.verdict(str(address)) is not None


def test_single_networks_can_be_allowed() -> None:
    policy = EgressPolicy(
        allow=(ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"), ip_network("169.254.169.254/32"))
    )
    allowed = ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::1", "169.254.169.254", "1.1.1.1"]
    assert [policy.verdict(address) for address in allowed] == [None] * 5
    refused = ["10.2.0.1", "::ffff:10.2.0.1", "fd00:2::1", "169.254.169.253", "127.0.0.1"]
    assert [address for address in refused if policy.verdict(address) is None] == []


def test_allowing_a_disguise_does_not_allow_what_it_carries() -> None:
    policy = EgressPolicy(allow=(ip_network("64:ff9b:1::/48"), ip_network("2002::/16")))
    assert policy.verdict("64:ff9b:1::808:808") is None
    assert policy.verdict("64:ff9b:1::7f00:1") == "it carries 127.0.0.1, a loopback address"
    assert policy.verdict("2002:7f00:1::1") == "it carries 127.0.0.1, a loopback address"


@pytest.mark.parametrize(
    "text", ["", "localhost", "0x7f.1", "2130706433", "127.1", "017700000001", "1.1.1.1/32", "::g"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert EgressPolicy(allow=(ip_network("0.0.0.0/0"),)).verdict(text) == "it is no IP address"
