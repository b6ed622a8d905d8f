"""What `engine serve` makes of its options."""

from ipaddress import ip_network

import pytest

from reconciler.cli.serving import Address, egress_policy, listen_address
from reconciler.diagnostics import Diagnostic
from reconciler.runtime.channels.egress import EgressPolicy


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8460", Address("127.0.0.1", 8460), True),
        ("127.9.9.9:0", Address("127.9.9.9", 0), True),
        ("localhost:1", Address("localhost", 1), True),
        ("[::1]:8460", Address("::1", 8460), True),
        ("[::]:8460", Address("::", 8460), False),
        ("0.0.0.0:8460", Address("0.0.0.0", 8460), False),
        ("engine.example:8460", Address("engine.example", 8460), False),
        ("localhost.example:8460", Address("localhost.example", 8460), False),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address, *, loopback: bool) -> None:
    assert listen_address(text) == address
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text", ["", "8460", ":8460", "127.0.0.1", "127.0.0.1:", "::1:8460", "h:٣", "h:-1", "h:999999"]
)
def test_an_address_that_can_not_be_read_is_a_finding(text: str) -> None:
    finding = listen_address(text)
    assert isinstance(finding, Diagnostic)
    assert finding.code == "listen-bad-address"


@pytest.mark.parametrize(
    ("allowed", "policy"),
    [
        ([], EgressPolicy()),
        (["private"], EgressPolicy(allow_private=True)),
        (["10.1.0.0/16", "127.0.0.1"], EgressPolicy(allow=(ip_network("10.1.0.0/16"), ip_network("127.0.0.1/32")))),
        (["private, fd00::/8"], EgressPolicy(allow_private=True, allow=(ip_network("fd00::/8"),))),
        (["receiver", "*.Ingest.internal."], EgressPolicy(hosts=("receiver", "*.ingest.internal"))),
        (
            ["10.1.0.0/16, db-*.lab, PRIVATE"],
            EgressPolicy(allow_private=True, allow=(ip_network("10.1.0.0/16"),), hosts=("db-*.lab",)),
        ),
    ],
)
def test_egress_opens_what_it_names(allowed: list[str], policy: EgressPolicy) -> None:
    assert egress_policy(allowed) == policy


@pytest.mark.parametrize(
    "word",
    ["10.1.2.3/16", "10.1.2.300", "127.1", "0x7f.0x1", "2130706433", "*", "*.*", "a..b", "a b", "[::1]", "a/8", "é"],
)
def test_egress_takes_networks_and_names_alone(word: str) -> None:
    finding = egress_policy(["private", word])
    assert isinstance(finding, Diagnostic)
    assert finding.code == "egress-bad-network"
    assert word in finding.detail


@pytest.mark.parametrize("word", ["privat", "Privte", "PRIVATES", "prviate", "loopback", "Loopbak", "link-local"])
def test_a_mistyped_word_is_no_host(word: str) -> None:
    finding = egress_policy([word])
    assert isinstance(finding, Diagnostic)
    assert finding.code == "egress-bad-network"
    assert "\n    --allow-egress private\n" in finding.help
    assert egress_policy([f"{word}."]) == EgressPolicy(hosts=(word.lower(),))


@pytest.mark.parametrize("word", ["localhost", "receiver", "primary", "private.internal", "private-1", "metadata"])
def test_other_words_are_hosts(word: str) -> None:
    assert egress_policy([word]) == EgressPolicy(hosts=(word,))
