"""Whether a certificate is for a host, as a table (RFC 9525 section 6), and the words for a handshake that failed."""

import ssl

import pytest

from reconciler.runtime.channels.tls import covers, explain_handshake


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (["sink.test"], "sink.test", True),
        (["SINK.Test"], "sink.test", True),
        (["sink.test"], "sink.test.", True),
        (["a.test", "sink.test"], "sink.test", True),
        (["sink.test"], "other.test", False),
        (["sink.test"], "eu.sink.test", False),
        (["sink.test"], "sink.test.evil.test", False),
        ([], "sink.test", False),
        (["*.sink.test"], "eu.sink.test", True),
        (["*.sink.test"], "a.eu.sink.test", False),
        (["*.sink.test"], "sink.test", False),
        (["*.sink.test"], ".sink.test", False),
        (["eu*.sink.test"], "eu1.sink.test", False),
        (["*eu.sink.test"], "1eu.sink.test", False),
        (["eu.*.test"], "eu.sink.test", False),
        (["*.*.test"], "eu.sink.test", False),
        (["*.test"], "sink.test", False),
        (["*"], "sink", False),
        (["*.sink.test"], "*.sink.test", True),
        (["127.0.0.1"], "127.0.0.1", False),
        (["*.0.0.1"], "127.0.0.1", False),
    ],
)
def test_names_match_letter_for_letter_but_for_a_whole_label(names: list[str], host: str, covered: bool) -> None:
    certificate = {"subjectAltName": tuple(("DNS", name) for name in names)}
    assert covers(certificate, host) == covered


@pytest.mark.parametrize(
    ("address", "host", "covered"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1", True),
        ("2001:DB8:0:0:0:0:0:1\n", "2001:db8::1", True),
        ("127.0.0.1", "localhost", False),
        ("<invalid>", "127.0.0.1", False),
    ],
)
def test_addresses_match_as_addresses(address: str, host: str, covered: bool) -> None:
    assert covers({"subjectAltName": (("IP Address", address),)}, host) == covered


@pytest.mark.parametrize("host", ["sink.test", "127.0.0.1"])
def test_the_common_name_counts_for_nothing(host: str) -> None:
    assert not covers({"subject": ((("commonName", host),),)}, host)


def a_refusal(code: int, words: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, words
    return error


def a_failure(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "handshake failed")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (
            a_refusal(10, "certificate has expired"),
            "tls-certificate",
            "The certificate of h has expired; it has to be renewed on the server.",
        ),
        (
            a_refusal(23, "certificate revoked"),
            "tls-certificate",
            "The certificate of h was refused: certificate revoked.",
        ),
        (
            a_failure("WRONG_VERSION_NUMBER"),
            "tls-handshake",
            "h does not speak TLS on this port; a receiver without TLS has an http:// URL.",
        ),
        (
            a_failure("SSLV3_ALERT_HANDSHAKE_FAILURE"),
            "tls-handshake",
            "The TLS handshake with h failed: sslv3 alert handshake failure.",
        ),
        (ConnectionResetError(), "tls-handshake", "h ended the connection during the TLS handshake."),
    ],
)
def test_a_failed_handshake_is_told_in_words(error: OSError, reason: str, detail: str) -> None:
    outcome = explain_handshake(error, "h")
    assert (outcome.reason, outcome.detail) == (reason, detail)
