"""Section 4.1, SNI and certificates: real handshakes with receivers that say which name they were asked for.

Public authorities are stood in for by one that the engine is told to trust; whom it is not told of stays a stranger.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, RetryAt, Unreachable
from reconciler.runtime.channels.tls import Tls
from tests.conformance.operator.rig import a_callback, an_event, at, live
from tests.fakes import Sink

HOST = "far.example"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Trouble: TypeAlias = Callable[[Path], ssl.SSLContext]


@cache
def public() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    file = tmp_path_factory.mktemp("authorities") / "public.pem"
    public().cert_pem.write_to_path(str(file))
    return Tls(authorities=file)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def over_tls(**more: Any) -> Content:
    return a_callback(url=f"https://{HOST}/uplink/{{device}}", **more)


@pytest.mark.parametrize(
    ("written", "asked"),
    [({}, None), ({"sendSni": False}, None), ({"sendSni": True}, HOST)],
    ids=["4.1 SNI is off by default", "4.1 SNI off", "4.1 SNI on"],
)
async def test_the_handshake_names_the_host_only_with_send_sni(
    trusting: Tls, written: dict[str, bool], asked: str | None
) -> None:
    context, names = serving(public().issue_cert(HOST)), list[str | None]()
    context.sni_callback = lambda connection, name, context: names.append(name)
    async with Sink(tls=context) as sink, live(tls=trusting) as world:
        await world.publish(hook=at(sink, over_tls(**written)))
        await world.take()
        (settlement,) = await world.settled(1)
        assert settlement.attempt.outcome == Accepted(200)
        assert names == [asked]
        assert sink.requests[0].target == "/uplink/1C178"
        assert sink.requests[0].header("Host") == f"{HOST}:{sink.port}"


@pytest.mark.parametrize("send_sni", [True, False])
async def test_a_host_that_picks_the_certificate_by_name_needs_sni(trusting: Tls, send_sni: bool) -> None:
    context, right = serving(public().issue_cert("default.example")), serving(public().issue_cert(HOST))

    def pick(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name == HOST:
            connection.context = right

    context.sni_callback = pick
    async with Sink(tls=context) as sink, live(tls=trusting) as world:
        await world.publish(hook=at(sink, over_tls(sendSni=send_sni)))
        await world.take()
        (settlement,) = await world.settled(1)
        assert isinstance(settlement.attempt.outcome, Accepted if send_sni else Unreachable)
        assert len(sink.requests) == send_sni


def self_signed(directory: Path) -> ssl.SSLContext:
    itself = trustme.CA()
    itself.cert_pem.write_to_path(str(directory / "it.pem"))
    itself.private_key_pem.write_to_path(str(directory / "it.key"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "it.pem", directory / "it.key")
    return context


TROUBLE: list[tuple[str, Trouble, str]] = [
    (
        "4.1 expired",
        lambda _: serving(public().issue_cert(HOST, not_before=LONG_AGO, not_after=LONG_AGO + DAY)),
        "expired",
    ),
    (
        "4.1 not valid yet",
        lambda _: serving(public().issue_cert(HOST, not_before=FAR_AHEAD, not_after=FAR_AHEAD + DAY)),
        "not valid yet",
    ),
    ("4.1 self-signed", self_signed, "self-signed"),
    ("4.1 for another host", lambda _: serving(public().issue_cert("other.example")), "another host"),
    ("4.1 a private authority", lambda _: serving(trustme.CA().issue_cert(HOST)), "unknown authority"),
]


@pytest.mark.parametrize("send_sni", [True, False], ids=["SNI", "no SNI"])
@pytest.mark.parametrize(("trouble", "words"), [row[1:] for row in TROUBLE], ids=[row[0] for row in TROUBLE])
async def test_a_certificate_that_cannot_be_trusted_fails_the_delivery_and_says_why(
    trusting: Tls, tmp_path: Path, send_sni: bool, trouble: Trouble, words: str
) -> None:
    async with Sink(tls=trouble(tmp_path)) as sink, live(tls=trusting) as world:
        await world.publish(hook=at(sink, over_tls(sendSni=send_sni)))
        await world.take()
        (settlement,) = await world.settled(1)
        outcome = settlement.attempt.outcome
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "tls-certificate"
        assert words in outcome.detail
        assert HOST in outcome.detail
        assert sink.requests == []
        assert isinstance(settlement.step, RetryAt)


async def test_4_1_plain_http_is_accepted_beside_https() -> None:
    async with Sink() as sink, live() as world:
        await world.publish(hook=at(sink, a_callback(url=f"http://{HOST}/")))
        await world.take_all(an_event())
        (settlement,) = await world.settled(1)
        assert settlement.attempt.outcome == Accepted(200)


async def test_5_nobody_listens() -> None:
    async with live() as world:
        await world.publish(hook=a_callback(url=f"http://{HOST}:1/"))
        await world.take()
        (settlement,) = await world.settled(1)
        assert isinstance(settlement.attempt.outcome, Unreachable)
        assert settlement.attempt.outcome.reason == "connection-refused"
