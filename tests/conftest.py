"""Options of the test run, and what holds for all of it."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# Laws are about values, never about time: a busy machine must not fail them.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that: programs that are
# sent a SIGINT by a test would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="rewrite what the stories in tests/cases expect")
