"""TLS of the delivery client: verified whatever happens, with and without naming the host."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme

from reconciler.model.delivery import Accepted, HttpRequest, Unreachable
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.tls import Tls
from tests.fakes import Answer, Raw, Silence, Sink, on_every_loop

LONG = timedelta(seconds=10)
SHORT = timedelta(seconds=0.2)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)
both_modes = pytest.mark.parametrize("send_sni", [True, False], ids=["named", "unnamed"])


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """What a channel trusts when it is told of our authority."""
    file = tmp_path_factory.mktemp("authorities") / "private.pem"
    authority().cert_pem.write_to_path(str(file))
    return Tls(authorities=file)


class Server:
    """The TLS half of a receiver; remembers the names it was asked for, None for no name."""

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        self.asked: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or authority().issue_cert("sink.test")).configure_cert(self.context)
        self.context.sni_callback = lambda connection, name, context: self.asked.append(name)


async def resolve(host: str) -> Sequence[str]:
    return ("127.0.0.1",)


@asynccontextmanager
async def opened(tls: Tls, **options: Any) -> AsyncIterator[HttpChannel]:
    defaults: dict[str, Any] = {"resolve": resolve, "connections_per_endpoint": 4}
    channel = HttpChannel(
        secrets=lambda name: None, egress=EgressPolicy(allow_private=True), tls=tls, **defaults | options
    )
    try:
        yield channel
    finally:
        await channel.close()


async def refusal(tls: Tls, server: Server, *, send_sni: bool, host: str = "sink.test") -> tuple[str, str]:
    """Reason and detail of the outcome; nothing of the request may have reached the server."""
    async with Sink(tls=server.context) as sink, opened(tls) as channel:
        outcome = await channel.send(sink.request(host=host, send_sni=send_sni), timeout=LONG)
        assert sink.requests == []
    assert isinstance(outcome, Unreachable)
    return outcome.reason, outcome.detail


@on_every_loop
@pytest.mark.parametrize(("send_sni", "asked"), [(True, "sink.test"), (False, None)])
async def test_the_handshake_names_the_host_only_when_told_to(tls: Tls, send_sni: bool, asked: str | None) -> None:
    server = Server()
    async with Sink(tls=server.context) as sink, opened(tls) as channel:
        request = sink.request(host="sink.test", send_sni=send_sni)
        assert await channel.send(request, timeout=LONG) == Accepted(200)
        assert server.asked == [asked]
        assert sink.requests[0].header("Host") == f"sink.test:{sink.port}"


@on_every_loop
async def test_connections_with_and_without_a_name_are_not_mixed(tls: Tls) -> None:
    server = Server()
    async with Sink(tls=server.context) as sink, opened(tls) as channel:
        for send_sni in (True, False, True, False):
            assert await channel.send(sink.request(host="sink.test", send_sni=send_sni), timeout=LONG) == Accepted(200)
        assert [received.connection for received in sink.requests] == [1, 2, 1, 2]


@on_every_loop
@both_modes
async def test_nothing_below_tls_1_2_and_nothing_but_http_1_1_is_offered(tls: Tls, send_sni: bool) -> None:
    server = Server()
    server.context.set_alpn_protocols(["h2"])  # nothing in common, so that none is chosen
    async with Sink(tls=server.context) as sink, opened(tls) as channel:
        assert await channel.send(sink.request(host="sink.test", send_sni=send_sni), timeout=LONG) == Accepted(200)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.context.minimum_version = server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    reason, _ = await refusal(tls, server, send_sni=send_sni)
    assert reason == "tls-handshake"


@on_every_loop
@both_modes
async def test_a_certificate_for_another_host_is_refused(tls: Tls, send_sni: bool) -> None:
    reason, detail = await refusal(tls, Server(authority().issue_cert("other.test")), send_sni=send_sni)
    assert reason == "tls-certificate"
    assert detail.startswith("The certificate of sink.test is for another host")
    assert ("sendSni: true" in detail) == (not send_sni)


@on_every_loop
@both_modes
@pytest.mark.parametrize("name", ["*.test", "*.sink.test", "127.0.0.1"])
async def test_names_are_matched_alike_in_both_modes(tls: Tls, send_sni: bool, name: str) -> None:
    reason, _ = await refusal(tls, Server(authority().issue_cert(name)), send_sni=send_sni)
    assert reason == "tls-certificate"


@on_every_loop
@both_modes
async def test_a_common_name_counts_for_nothing(tls: Tls, send_sni: bool) -> None:
    certificate = authority().issue_cert("127.0.0.1", common_name="sink.test")
    reason, _ = await refusal(tls, Server(certificate), send_sni=send_sni)
    assert reason == "tls-certificate"


@on_every_loop
@both_modes
@pytest.mark.parametrize(("name", "host"), [("*.sink.test", "eu.sink.test"), ("127.0.0.1", "127.0.0.1")])
async def test_wildcards_and_addresses_are_accepted_in_both_modes(
    tls: Tls, send_sni: bool, name: str, host: str
) -> None:
    server = Server(authority().issue_cert(name))
    async with Sink(tls=server.context) as sink, opened(tls) as channel:
        assert await channel.send(sink.request(host=host, send_sni=send_sni), timeout=LONG) == Accepted(200)


@on_every_loop
@both_modes
async def test_an_expired_certificate_is_refused(tls: Tls, send_sni: bool) -> None:
    expired = authority().issue_cert("sink.test", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1))
    assert await refusal(tls, Server(expired), send_sni=send_sni) == (
        "tls-certificate",
        "The certificate of sink.test has expired; it has to be renewed on the server.",
    )


@on_every_loop
@both_modes
async def test_a_certificate_of_the_future_is_refused(tls: Tls, send_sni: bool) -> None:
    early = authority().issue_cert("sink.test", not_before=FAR_AHEAD, not_after=FAR_AHEAD + timedelta(days=1))
    reason, detail = await refusal(tls, Server(early), send_sni=send_sni)
    assert (reason, "is not valid yet" in detail) == ("tls-certificate", True)


@on_every_loop
@both_modes
async def test_a_self_signed_certificate_is_refused(tls: Tls, send_sni: bool, tmp_path: Path) -> None:
    itself = trustme.CA()
    itself.cert_pem.write_to_path(str(tmp_path / "it.pem"))
    itself.private_key_pem.write_to_path(str(tmp_path / "it.key"))
    server = Server()
    server.context.load_cert_chain(tmp_path / "it.pem", tmp_path / "it.key")
    reason, detail = await refusal(tls, server, send_sni=send_sni)
    assert (reason, "is self-signed" in detail) == ("tls-certificate", True)


@on_every_loop
@both_modes
async def test_an_unknown_authority_is_refused(tls: Tls, send_sni: bool) -> None:
    reason, detail = await refusal(tls, Server(trustme.CA().issue_cert("sink.test")), send_sni=send_sni)
    assert (reason, "an unknown authority" in detail) == ("tls-certificate", True)


@on_every_loop
@both_modes
async def test_without_the_private_authority_its_certificates_are_refused(send_sni: bool) -> None:
    reason, _ = await refusal(Tls(), Server(), send_sni=send_sni)
    assert reason == "tls-certificate"


@asynccontextmanager
async def speaking_plainly(answer: bytes | None) -> AsyncIterator[tuple[HttpRequest, asyncio.Event]]:
    """A request to a server without TLS that says this to everybody and hangs up, or, for None, says nothing.

    The event is set when the server has a connection.
    """
    reached = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        if answer is None:
            await reader.read()
        else:
            await reader.read(1)
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        request = Sink().request(host="sink.test")
        yield replace(request, scheme="https", port=server.sockets[0].getsockname()[1]), reached
    finally:
        server.close()
        await server.wait_closed()


@on_every_loop
@both_modes
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "sink.test does not speak TLS on this port; a receiver without TLS has an http:// URL.",
        ),
        (b"", "sink.test ended the connection during the TLS handshake."),
    ],
    ids=["plain HTTP", "hangs up"],
)
async def test_a_server_without_tls_is_told(tls: Tls, send_sni: bool, answer: bytes, outcome: str) -> None:
    async with speaking_plainly(answer) as (request, _), opened(tls) as channel:
        result = await channel.send(replace(request, send_sni=send_sni), timeout=LONG)
    assert result == Unreachable("tls-handshake", outcome)


@on_every_loop
@both_modes
async def test_the_deadline_holds_over_the_handshake(tls: Tls, send_sni: bool) -> None:
    async with speaking_plainly(None) as (request, _), opened(tls) as channel:
        assert await channel.send(replace(request, send_sni=send_sni), timeout=SHORT) == Unreachable(
            "deadline", "Time is up: the TLS handshake with sink.test was not finished."
        )


@on_every_loop
async def test_cancelling_ends_a_handshake(tls: Tls) -> None:
    async with speaking_plainly(None) as (request, reached), opened(tls) as channel:
        sending = asyncio.create_task(channel.send(request, timeout=LONG))
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


@on_every_loop
@both_modes
async def test_answers_keep_alive_and_limits_are_those_of_plain_connections(tls: Tls, send_sni: bool) -> None:
    script = (
        Answer(200, b"x" * 300_000),
        Raw(b"HTTP/1.0 200 OK\r\n\r\nto the end"),
        Answer(201),
        Raw(),
        Answer(202),
        Silence(),
    )
    async with Sink(*script, tls=Server().context) as sink, opened(tls) as channel:
        request = sink.request(host="sink.test", send_sni=send_sni)
        outcomes = [await channel.send(request, timeout=timeout) for timeout in [LONG] * 4 + [SHORT]]
        assert outcomes[:4] == [
            Accepted(200, b"x" * 65_536),
            Accepted(200, b"to the end"),
            Accepted(201),
            Accepted(202),
        ]
        assert isinstance(outcomes[4], Unreachable)
        assert outcomes[4].reason == "deadline"
        assert [received.connection for received in sink.requests] == [1, 2, 3, 3, 4, 4]
        assert channel.counters.resent == 1
        await sink.until(lambda sink: sink.open == 0)


def test_a_file_without_certificates_is_refused_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError):
        Tls(authorities=tmp_path / "empty.pem")
    with pytest.raises(FileNotFoundError):
        Tls(authorities=tmp_path / "missing.pem")
