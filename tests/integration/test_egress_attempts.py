"""Spellings of addresses that must not be reached, each tried through the whole channel, on a loop that records dials.

A spelling is tried twice: as the URL of a callback, which may not even be a definition, and as the host of a request
that got past every check before, as one from a store might.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_network
from typing import Any, TypeVar

import pytest

from reconciler.errors import GrammarError
from reconciler.grammar.url import parse_url
from reconciler.model.delivery import Accepted, HttpRequest, Mail, Outcome, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.mail_settings import MailSettings, Security
from reconciler.runtime.channels.tls import Tls
from tests.fakes import Answer, Sink, on_every_loop

T = TypeVar("T")

LONG = timedelta(seconds=10)
TLS = Tls(alpn=())


def mapped(inner: str, *, around: str) -> str:
    """An IPv4 address in the last 32 bits of an IPv6 prefix, in hex."""
    a, b, c, d = (int(part) for part in inner.split("."))
    return str(IPv6Address(int(IPv6Address(around)) | a << 24 | b << 16 | c << 8 | d))


def six_to_four(inner: str) -> str:
    a, b, c, d = (int(part) for part in inner.split("."))
    return f"2002:{a << 8 | b:x}:{c << 8 | d:x}::1"


def teredo(inner: str) -> str:
    a, b, c, d = (int(part) ^ 0xFF for part in inner.split("."))
    return f"2001:0:102:304:0:ffff:{a << 8 | b:x}:{c << 8 | d:x}"


INNER = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1")

# What a definition may hold, and a delivery may not reach: addresses in the only spelling that URLs have.
LITERALS = [
    "127.0.0.1", "127.0.0.0", "127.1.2.3", "127.255.255.255",
    "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "0.0.0.0", "0.0.0.1", "0.255.255.255",
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "100.64.0.1", "100.127.255.255",
    "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "198.18.0.1", "198.19.255.255",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.254", "255.255.255.255",
    "[::]", "[::0]", "[0:0:0:0:0:0:0:0]", "[::0.0.0.0]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::0.0.0.1]",
    "[::2]", "[::ffff]",
    "[fc00::1]", "[fd00::1]", "[fd12:3456:789a:1::1]", "[fd00:ec2::254]", "[fd20:ce::254]",
    "[fe80::1]", "[fe80::a9fe:a9fe]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff05::2]", "[FF0E::1]",
    "[2001:db8::1]", "[2001:DB8:0:0::]", "[3fff::1]", "[3fff:fff::1]", "[100::1]", "[100:0:0:1::1]",
    "[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[2001:1ff::1]", "[5f00::1]", "[4000::1]", "[e000::1]",
    "[64:ff9b:1::1]", "[64:ff9b:1::8.8.8.8]", "[64:ff9b:1:7f00:0:100::]",
    "[::ffff:0:127.0.0.1]", "[::ffff:0:8.8.8.8]",
    "[2a00:1450::5efe:7f00:1]", "[2a00:1450::200:5efe:10.0.0.1]", "[fe80::5efe:127.0.0.1]",
    "[2001:0:7f00:1:0:ffff:f7f7:f7f7]",
    *(f"[::ffff:{inner}]" for inner in INNER),
    *(f"[{mapped(inner, around='::ffff:0:0')}]" for inner in INNER),
    *(f"[0:0:0:0:0:ffff:{inner}]" for inner in INNER),
    *(f"[::{inner}]" for inner in INNER),
    *(f"[64:ff9b::{inner}]" for inner in INNER),
    *(f"[{mapped(inner, around='64:ff9b:1::')}]" for inner in INNER),
    *(f"[{six_to_four(inner)}]" for inner in INNER),
    *(f"[{teredo(inner)}]" for inner in INNER),
    "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "𝟙𝟚𝟟.𝟘.𝟘.𝟙", "\u200b127.0.0.1",
    "１６９.２５４.１６９.２５４",
]  # fmt: skip

# What no definition may hold.
NO_DEFINITION = [
    "127.1", "127.0.1", "10.1", "0", "1", "2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1",
    "0x7f.0.0.1", "0177.0.0.1", "0177.0.0.01", "00000177.0.0.1", "127.0.0.01", "127.0x1", "0x7f.0x0.0x0.0x1",
    "0x7f.0.0.01",
    "2852039166", "0xa9fea9fe", "025177524776", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
    "169.16689662", "3232235777", "0xc0a80101", "167772161", "4294967295", "127.0.0.1.", "127.0.0.1..", "127.1.",
    "0x7f.1.", "127.0.0.256", "127.0.0.1.1", "256.0.0.1", "4294967297", "0x", "1.2.3.0x", "٣.1", "１２７.１", "0ｘ7f.1",
    "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00", "localhost%00.example.com", "%6cocalhost", "localhost%2e",
    "[::1%25lo]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::ffff:127.0.0.1%25lo]", "[::ffff:0x7f.1]", "[::ffff:127.1]",
    "[127.0.0.1]", "[::1].", "[::1", "::1", "[v1.127]", "[::ffff:0177.0.0.1]",
    "127.0.0.1\\@example.com", "example.com#@127.0.0.1", "127.0.0.1\t", "127.0.0.1\n", "127.0. 0.1",
    "localhost.", "localhost..", ".localhost", "loc alhost",
]  # fmt: skip

# Names, and what a resolver that is not ours makes of them.
NAMES = {
    "localhost": ("127.0.0.1",), "LOCALHOST": ("127.0.0.1",), "ｌｏｃａｌｈｏｓｔ": ("127.0.0.1",),
    "ℓocalhost": ("127.0.0.1",),
    "localhost.localdomain": ("::1", "127.0.0.1"), "ip6-localhost": ("::1",), "a.localhost": ("::1",),
    "metadata.google.internal": ("169.254.169.254",), "instance-data.ec2.internal": ("169.254.169.254",),
    "metadata.tencentyun.com": ("169.254.0.23",), "rancher-metadata": ("169.254.169.250",),
    "kubernetes.default.svc": ("10.96.0.1",), "host.docker.internal": ("172.17.0.1",),
    "gateway.docker.internal": ("fd00::1",),
    "127.0.0.1.nip.io": ("127.0.0.1",), "localtest.me": ("::1",), "lvh.me": ("127.0.0.1",),
    "mapped.test": ("::ffff:127.0.0.1",), "compatible.test": ("::127.0.0.1",), "nat64.test": ("64:ff9b::7f00:1",),
    "sixtofour.test": ("2002:7f00:1::",), "teredo.test": (teredo("10.0.0.1"),), "scoped.test": ("fe80::1%eth0",),
    "unspecified.test": ("0.0.0.0",), "unspecified6.test": ("::",), "multicast.test": ("ff02::1",),
    "mixed.test": ("1.1.1.1", "127.0.0.1"), "mixed6.test": ("2606:4700::1111", "::1"),
    "mixed-last.test": ("1.1.1.1", "8.8.8.8", "9.9.9.9", "169.254.169.254"),
    "nonsense.test": ("not an address",), "cidr.test": ("1.1.1.1/32",), "empty-text.test": ("",),
}  # fmt: skip

REFUSALS = {"forbidden-address", "unresolved", "bad-request-text"}


class RecordingLoop(asyncio.SelectorEventLoop):
    """Notes every address that is dialled, and lets nobody answer."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[str] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.dialled.append(address[0])
        raise ConnectionRefusedError(111, "refused")


@dataclass
class Resolver:
    """Answers from a table, otherwise as the C library reads a number; notes what it was asked."""

    answers: dict[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host in self.answers:
            times = self.asked.count(host)
            return self.answers[host][min(times, len(self.answers[host])) - 1]
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except UnicodeError as error:
            raise OSError(f"{host!r} is no host name") from error
        return [str(address[0]) for *_, address in found]


def named() -> Resolver:
    return Resolver({host: [answer] for host, answer in NAMES.items()})


def recorded(story: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, list[str]]:
    """What a story comes to, and every address that was dialled in it."""
    with asyncio.Runner(loop_factory=RecordingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, RecordingLoop)
        return runner.run(story()), loop.dialled


@asynccontextmanager
async def opened(resolve: Any, **options: Any) -> Any:
    channel = HttpChannel(
        **{"secrets": lambda _: None, "egress": EgressPolicy(), "connections_per_endpoint": 4, "resolve": resolve}
        | options
    )
    try:
        yield channel
    finally:
        await channel.close()


def request_to(host: str, *, scheme: str = "http", port: int = 80) -> HttpRequest:
    return HttpRequest(
        method=Method.POST,
        scheme=scheme,
        host=host,
        port=port,
        target="/",
        headers=(),
        credentials=None,
        body="{}",
        send_sni=False,
    )


def attempt(
    host: str, *, resolver: Resolver | None = None, egress: EgressPolicy | None = None
) -> tuple[Outcome, list[str]]:
    """Send to a host over http and https."""

    async def story() -> Outcome:
        async with opened(resolver or named(), egress=egress or EgressPolicy()) as channel:
            outcomes = {
                await channel.send(request_to(host, scheme=scheme), timeout=LONG) for scheme in ("http", "https")
            }
            assert len(outcomes) == 1
            outcome: Outcome = outcomes.pop()
            return outcome

    return recorded(story)


def reason_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Unreachable)
    return outcome.reason


def host_in(url: str) -> str | None:
    """The host of a callback's URL; None when no definition may hold it."""
    try:
        return parse_url(url).host
    except GrammarError:
        return None


def test_there_are_enough_of_them() -> None:
    spellings = {*LITERALS, *NO_DEFINITION, *NAMES}
    assert len(spellings) == len(LITERALS) + len(NO_DEFINITION) + len(NAMES) >= 200


@pytest.mark.parametrize("spelling", LITERALS)
def test_a_forbidden_address_is_not_dialled(spelling: str) -> None:
    host = host_in(f"http://{spelling}/")
    assert host is not None
    resolver = named()
    outcome, dialled = attempt(host, resolver=resolver)
    assert (reason_of(outcome), dialled, resolver.asked) == ("forbidden-address", [], [])
    outcome, dialled = attempt(spelling.strip("[]"))
    assert (reason_of(outcome) in REFUSALS, dialled) == (True, [])


@pytest.mark.parametrize("spelling", NO_DEFINITION)
def test_a_doubtful_spelling_is_no_definition_and_is_not_dialled(spelling: str) -> None:
    assert host_in(f"http://{spelling}/") is None
    for raw in {spelling, spelling.strip("[]")}:
        outcome, dialled = attempt(raw)
        assert (reason_of(outcome) in REFUSALS, dialled) == (True, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_to_a_forbidden_address_is_not_dialled(name: str) -> None:
    host = host_in(f"http://{name}/")
    assert host is not None
    for each in {host, name}:
        outcome, dialled = attempt(each)
        assert (reason_of(outcome), dialled) == ("forbidden-address" if each.isascii() else "bad-request-text", [])


@pytest.mark.parametrize(
    ("host", "dialled"),
    [("1.1.1.1", ["1.1.1.1"]), ("2606:4700::1111", ["2606:4700::1111"]), ("public.test", ["1.1.1.1", "8.8.8.8"])],
)
def test_the_recorder_sees_what_is_dialled(host: str, dialled: list[str]) -> None:
    outcome, seen = attempt(host, resolver=Resolver({"public.test": [("1.1.1.1", "8.8.8.8")]}))
    assert (reason_of(outcome), seen) == ("connection-refused", dialled * 2)


# A resolver that changes its mind


@pytest.mark.parametrize(
    ("answers", "reasons", "dialled"),
    [
        ([["1.1.1.1"], ["127.0.0.1"]], ["connection-refused", "forbidden-address"], ["1.1.1.1"]),
        ([["127.0.0.1"], ["1.1.1.1"]], ["forbidden-address", "connection-refused"], ["1.1.1.1"]),
        ([["1.1.1.1", "10.0.0.1"], ["1.1.1.1"]], ["forbidden-address", "connection-refused"], ["1.1.1.1"]),
        ([["1.1.1.1"], ["1.1.1.1", "::1"]], ["connection-refused", "forbidden-address"], ["1.1.1.1"]),
        ([["1.1.1.1"], ["8.8.8.8"]], ["connection-refused", "connection-refused"], ["1.1.1.1", "8.8.8.8"]),
        ([["1.1.1.1"], ["64:ff9b::a9fe:a9fe"]], ["connection-refused", "forbidden-address"], ["1.1.1.1"]),
        ([[], ["0.0.0.0"]], ["unresolved", "forbidden-address"], []),
    ],
)
def test_each_attempt_is_judged_by_its_own_answer_and_asks_once(
    answers: Sequence[Sequence[str]], reasons: list[str], dialled: list[str]
) -> None:
    resolver = Resolver({"rebound.test": answers})

    async def story() -> list[str]:
        async with opened(resolver) as channel:
            return [reason_of(await channel.send(request_to("rebound.test"), timeout=LONG)) for _ in answers]

    assert recorded(story) == (reasons, dialled)
    assert resolver.asked == ["rebound.test"] * len(answers)


@on_every_loop
async def test_a_connection_stays_with_the_address_that_was_judged() -> None:
    """The name moves to an address that is not allowed: who is connected stays, and nobody connects anew."""
    resolver = Resolver({"rebound.test": [["127.0.0.1"], ["127.0.0.2"]]})
    allowed = EgressPolicy(allow=(ip_network("127.0.0.1/32"),))
    async with (
        Sink() as sink,
        Sink(address="127.0.0.2", port=sink.port) as other,
        opened(resolver, egress=allowed, idle_for=timedelta(seconds=0.2)) as channel,
    ):
        request = request_to("rebound.test", port=sink.port)
        for _ in range(20):
            assert await channel.send(request, timeout=LONG) == Accepted(200)
        assert (sink.connections, resolver.asked) == (1, ["rebound.test"])
        await sink.until(lambda sink: sink.open == 0)
        assert reason_of(await channel.send(request, timeout=LONG)) == "forbidden-address"
        assert (len(sink.requests), other.connections) == (20, 0)


@on_every_loop
async def test_who_answers_has_to_be_who_was_dialled() -> None:
    """0.0.0.0 leads to this machine; whoever allowed it by its network did not allow that."""
    async with Sink() as sink, opened(Resolver(), egress=EgressPolicy(allow=(ip_network("0.0.0.0/32"),))) as channel:
        assert await channel.send(request_to("0.0.0.0", port=sink.port), timeout=LONG) == Unreachable(
            "forbidden-address", "0.0.0.0 was dialled, and 127.0.0.1 answered; nothing was sent to it."
        )
        assert sink.requests == []


@on_every_loop
async def test_connections_are_kept_at_steady_state() -> None:
    """Counted by those who accept them, over names; at least 95 % of the requests find a connection."""
    names = {f"r{number}.test": [["127.0.0.1"]] for number in range(3)}
    resolver = Resolver({**names})
    allowed = EgressPolicy(allow=(ip_network("127.0.0.1/32"),))
    async with Sink(otherwise=Answer(delay=0.001)) as sink, opened(resolver, egress=allowed) as channel:

        async def post(name: str) -> None:
            for _ in range(100):
                assert await channel.send(request_to(name, port=sink.port), timeout=LONG) == Accepted(200)

        await asyncio.gather(*(post(name) for name in names for _ in range(4)))
        assert len(sink.requests) == 1_200
        assert 1 - sink.connections / len(sink.requests) >= 0.95
        assert channel.counters.opened == sink.connections == len(resolver.asked)


# What the administrator allows


@pytest.mark.parametrize(
    ("hosts", "name", "address", "allowed"),
    [
        (("ingest.internal",), "ingest.internal", "10.0.0.7", True),
        (("ingest.internal",), "ingest.internal", "::ffff:10.0.0.7", True),
        (("ingest.internal",), "other.internal", "10.0.0.7", False),
        (("ingest.internal",), "x.ingest.internal", "10.0.0.7", False),
        (("ingest.internal",), "ingest.internal.example.com", "10.0.0.7", False),
        (("*.internal",), "a.internal", "127.0.0.1", True),
        (("*.internal",), "a.b.internal", "fd00::1", True),
        (("*.internal",), "internal", "10.0.0.7", False),
        (("receiver",), "receiver", "172.18.0.3", True),
        (("*.internal",), "metadata.google.internal", "169.254.169.254", False),
        (("*.internal",), "a.internal", "fe80::1", False),
        (("*.internal",), "a.internal", "0.0.0.0", False),
        (("*.internal",), "a.internal", "1.1.1.1", True),
    ],
)
def test_a_name_opens_private_addresses_for_itself(
    hosts: tuple[str, ...], name: str, address: str, *, allowed: bool
) -> None:
    resolver = Resolver({name: [[address]]})
    outcome, dialled = attempt(name, resolver=resolver, egress=EgressPolicy(hosts=hosts))
    assert reason_of(outcome) == ("connection-refused" if allowed else "forbidden-address")
    assert dialled == ([address] * 2 if allowed else [])


def test_a_name_does_not_open_its_address_for_others() -> None:
    outcome, dialled = attempt("10.0.0.7", egress=EgressPolicy(hosts=("ingest.internal",)))
    assert (reason_of(outcome), dialled) == ("forbidden-address", [])


# Mail goes the same way


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("169.254.169.254", None),
        ("::ffff:169.254.169.254", None),
        ("64:ff9b::a9fe:a9fe", None),
        ("fe80::1", None),
        ("0.0.0.0", None),
        ("224.0.0.1", None),
        ("0xa9fea9fe", None),
        ("2852039166", None),
        ("mail.test", "169.254.169.254"),
        ("mail.test", "2002:a9fe:a9fe::"),
        ("mail.test", "ff02::1"),
    ],
)
def test_mail_does_not_reach_what_answers_with_credentials(host: str, address: str | None) -> None:
    resolver = Resolver({"mail.test": [["10.0.0.1", address]]} if address else {})
    assert mailed(host, resolver) == ("forbidden-address", [])


@pytest.mark.parametrize(
    ("host", "dialled"), [("10.0.0.25", ["10.0.0.25"]), ("mail.test", ["127.0.0.1"]), ("1.1.1.1", ["1.1.1.1"])]
)
def test_mail_reaches_a_server_of_ones_own(host: str, dialled: list[str]) -> None:
    assert mailed(host, Resolver({"mail.test": [["127.0.0.1"]]})) == ("connection-refused", dialled)


def mailed(host: str, resolver: Resolver) -> tuple[str, list[str]]:
    async def story() -> str:
        settings = MailSettings(host, 25, Security.OFFERED, "engine@example.com")
        channel = MailChannel(
            settings, secrets=lambda _: None, now=lambda: datetime(2026, 1, 1, tzinfo=UTC), tls=TLS, resolve=resolver
        )
        try:
            mail = Mail(id="1", recipient="a@example.com", recipients=("a@example.com",), subject="s", text="t")
            return reason_of(await channel.send(mail, timeout=LONG))
        finally:
            await channel.close()

    return recorded(story)
