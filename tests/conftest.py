"""Fixtures for all tests."""

import pytest

from tests.examples import register_profiles
from tests.runner import reset_logs

register_profiles()

pytest_plugins = ["tests.services.fixtures", "tests.spent"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite expected outputs; review the difference like code")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> bool:
    """Whether the test writes what it expects (`make golden`)."""
    return bool(request.config.getoption("--golden"))


@pytest.fixture(autouse=True)
def logs_as_at_the_start() -> None:
    """What a command of kplan set up for its log in this process does not reach the next test."""
    reset_logs()
