"""When a certificate ends, from bytes made by hand: what OpenSSL reads is in the journey of the doors' metrics."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.runtime.api.expiry import expires_at

SEQUENCE, INTEGER, UTC_TIME, GENERALIZED_TIME = 0x30, 0x02, 0x17, 0x18


def part(tag: int, *contents: bytes) -> bytes:
    joined = b"".join(contents)
    size = len(joined)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + joined


def certificate(not_after: bytes, *, version: bool = True, padding: int = 0) -> str:
    fields = [
        *([part(0xA0, part(INTEGER, b"\x02"))] if version else []),
        part(INTEGER, b"\x07"),
        part(SEQUENCE),
        part(SEQUENCE, bytes(padding)),
        part(SEQUENCE, part(UTC_TIME, b"200101000000Z"), not_after),
        part(SEQUENCE),
    ]
    return pem(part(SEQUENCE, part(SEQUENCE, *fields), part(SEQUENCE)))


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [
        (UTC_TIME, b"490203040506Z", 2049),
        (UTC_TIME, b"500203040506Z", 1950),
        (GENERALIZED_TIME, b"20770203040506Z", 2077),
    ],
)
@pytest.mark.parametrize("version", [True, False])
@pytest.mark.parametrize("padding", [0, 200, 2_000])
def test_the_end_of_the_first_certificate(tag: int, text: bytes, year: int, version: bool, padding: int) -> None:
    first = certificate(part(tag, text), version=version, padding=padding)
    second = certificate(part(UTC_TIME, b"300101000000Z"))

    assert expires_at(f"a comment\n{first}{second}") == datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "-----BEGIN CERTIFICATE-----", certificate(part(INTEGER, b"1")), certificate(part(UTC_TIME, b"\xff\xff"))],
)
def test_what_can_not_be_read_is_none(text: str) -> None:
    assert expires_at(text) is None


@given(st.binary(max_size=80))
def test_nothing_raises(der: bytes) -> None:
    assert expires_at(pem(der)) is None
