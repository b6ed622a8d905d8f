"""The words for a connection that did not come about."""

import errno

import pytest

from reconciler.runtime.channels.dial import explain_connect


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
            "connection-refused",
            "192.0.2.1 port 80 refused the connection: nothing listens.",
        ),
        (OSError(errno.ENETUNREACH, "?"), "network-unreachable", "No way leads to 192.0.2.1 from this machine."),
        (OSError(errno.EHOSTUNREACH, "?"), "network-unreachable", "No way leads to 192.0.2.1 from this machine."),
        (TimeoutError(), "network-unreachable", "Nothing answers at 192.0.2.1 port 80."),
        (TimeoutError(errno.ETIMEDOUT, "?"), "network-unreachable", "Nothing answers at 192.0.2.1 port 80."),
        (
            ConnectionResetError(errno.ECONNRESET, "?"),
            "connection-reset",
            "The connection to 192.0.2.1 port 80 failed: Connection reset by peer.",
        ),
        (
            OSError(errno.EMFILE, "?"),
            "network-unreachable",
            "The connection to 192.0.2.1 port 80 failed: Too many open files.",
        ),
        (OSError("odd"), "network-unreachable", "The connection to 192.0.2.1 port 80 failed: odd."),
    ],
)
def test_each_failure_has_a_reason_and_words(error: OSError, reason: str, detail: str) -> None:
    outcome = explain_connect(error, "192.0.2.1", 80)
    assert (outcome.reason, outcome.detail) == (reason, detail)
