"""The doors behind TLS: what is spoken, what is refused, and certificates that change while clients are connected."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
import trustme

from reconciler.runtime.api.certificate import ServerCertificate
from reconciler.runtime.api.connection import Bounds
from reconciler.runtime.api.server import listen, serve
from tests.fakes import on_every_loop
from tests.integration.api.rig import read_answer
from tests.integration.api.test_server import GET, NOW, hello

# Long beside what a busy machine keeps a loop waiting.
SHORT = timedelta(milliseconds=300)


@cache
def authority(name: str = "ours") -> trustme.CA:
    return trustme.CA(organization_name=name)


def written(folder: Path, issued: trustme.LeafCert) -> ServerCertificate:
    certificate, key = folder / "doors.pem", folder / "doors.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    return ServerCertificate(certificate, key)


def trusting(*authorities: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for each in authorities:
        each.configure_trust(context)
    return context


@dataclass
class Doors:
    certificate: ServerCertificate
    port: int

    async def connect(
        self, tls: ssl.SSLContext, host: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname=host)


@asynccontextmanager
async def behind_tls(folder: Path, bounds: Bounds | None = None) -> AsyncIterator[Doors]:
    certificate = written(folder, authority().issue_cert("127.0.0.1", "engine.test"))
    assert certificate.load() is None
    bound, stop, urls = listen("127.0.0.1", 0), asyncio.Event(), list[str]()
    assert isinstance(bound, socket.socket)
    port = bound.getsockname()[1]
    serving = asyncio.create_task(
        serve(
            hello,
            bound,
            now=lambda: NOW,
            stop=stop,
            started=urls.append,
            bounds=bounds,
            tls=certificate.context,
        )
    )
    try:
        async with asyncio.timeout(10):
            yield Doors(certificate, port)
            assert urls == [f"https://127.0.0.1:{port}"]
    finally:
        stop.set()
        await serving


def serial(writer: asyncio.StreamWriter) -> object:
    return writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]


@on_every_loop
async def test_a_client_that_trusts_our_authority_is_answered_and_another_is_not(tmp_path: Path) -> None:
    async with behind_tls(tmp_path) as doors:
        with pytest.raises(ssl.SSLCertVerificationError):
            await doors.connect(trusting())
        for host in ("127.0.0.1", "engine.test"):  # without SNI, and with it
            reader, writer = await doors.connect(trusting(authority()), host)
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
            writer.close()


@on_every_loop
async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    old = trusting(authority())
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    async with behind_tls(tmp_path) as doors:
        assert doors.certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2
        _, writer = await doors.connect(old)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()
        # OpenSSL builds differ in whether they can still say TLS 1.1, so the hello is written by hand:
        # a record with a ClientHello of version 3.2 and one cipher.
        hello_1_1 = bytes.fromhex("16030100 2d 01000029 0302".replace(" ", "")) + bytes(32)
        hello_1_1 += bytes.fromhex("00 0002 c013 01 00".replace(" ", ""))
        reader, plain = await asyncio.open_connection("127.0.0.1", doors.port)
        plain.write(hello_1_1)
        try:
            said = await reader.read()
        except ConnectionResetError:
            said = b""
        plain.close()

    assert said[:1] in (b"", b"\x15"), "an alert, or nothing: no ServerHello"


@on_every_loop
async def test_a_new_certificate_is_shown_to_new_connections_while_old_ones_go_on(tmp_path: Path) -> None:
    async with behind_tls(tmp_path) as doors:
        reader, writer = await doors.connect(trusting(authority()))
        written(tmp_path, authority("new").issue_cert("127.0.0.1"))
        assert doors.certificate.load() is None
        other_reader, other = await doors.connect(trusting(authority("new")))
        for each, asked in ((reader, writer), (other_reader, other)):
            asked.write(GET)
            assert (await read_answer(each))[0] == 200
        assert serial(writer) != serial(other)
        writer.close()
        other.close()


@pytest.mark.parametrize("broken", ["mismatch", "no-key", "no-pem", "gone"])
async def test_a_pair_that_can_not_be_used_leaves_the_last_good_one(tmp_path: Path, broken: str) -> None:
    async with behind_tls(tmp_path) as doors:
        certificate, key = doors.certificate.files
        match broken:
            case "mismatch":
                key.write_bytes(authority().issue_cert("other.test").private_key_pem.bytes())
            case "no-key":
                key.write_bytes(certificate.read_bytes())
            case "no-pem":
                certificate.write_bytes(b"not a certificate")
            case _:
                key.unlink()
        problem = doors.certificate.load()
        assert problem is not None
        assert problem.code == "tls-bad-certificate"
        assert str(key) in problem.detail
        reader, writer = await doors.connect(trusting(authority()))
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        writer.close()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    issued = authority().issue_cert("127.0.0.1")
    certificate = written(tmp_path, issued)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    form = PrivateFormat.PKCS8
    certificate.files[1].write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")))
    problem = certificate.load()

    assert problem is not None
    assert "password" in problem.detail


@pytest.mark.parametrize(("mode", "told"), [(0o600, None), (0o640, None), (0o644, "0644"), (0o660, "0660")])
def test_a_key_that_others_can_read_is_told(tmp_path: Path, mode: int, told: str | None) -> None:
    certificate = written(tmp_path, authority().issue_cert("127.0.0.1"))
    certificate.files[1].chmod(mode)

    assert certificate.open_permissions() == told


@on_every_loop
async def test_who_does_not_shake_hands_in_time_is_hung_up_on(tmp_path: Path) -> None:
    async with behind_tls(tmp_path, Bounds(head=SHORT)) as doors:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
        writer.write(b"\x16\x03\x01")
        assert await reader.read() == b""
        writer.close()


@on_every_loop
async def test_who_speaks_without_tls_is_hung_up_on(tmp_path: Path) -> None:
    async with behind_tls(tmp_path) as doors:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
        writer.write(GET)
        try:
            said = await reader.read()
        except ConnectionResetError:
            said = b""
        assert b"HTTP" not in said
        writer.close()


@on_every_loop
async def test_handshakes_that_never_end_shut_nobody_out(tmp_path: Path) -> None:
    async with behind_tls(tmp_path, Bounds(handshakes=3)) as doors:
        idle = [await asyncio.open_connection("127.0.0.1", doors.port) for _ in range(8)]
        reader, writer = await doors.connect(trusting(authority()))
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        assert await idle[0][0].read() == b"", "the oldest had to go"
        for _, each in [*idle, (reader, writer)]:
            each.close()


@on_every_loop
async def test_a_server_stops_while_somebody_shakes_hands(tmp_path: Path) -> None:
    async with behind_tls(tmp_path) as doors:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
    assert await reader.read() == b""
    writer.close()
