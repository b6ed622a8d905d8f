"""Options of the test run, and what holds for all of it."""

import pytest
from hypothesis import HealthCheck, settings

# Laws are about values, never about time: a busy machine must not fail them.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="rewrite what the stories in tests/cases expect")
