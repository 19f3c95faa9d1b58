"""Fixtures for all tests."""

import gc

import pytest

from kplan.__main__ import COLLECTED
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


def pytest_collection_finish() -> None:
    """Look for cycles as seldom as kplan does, and not among the thousands of tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED)
