"""Report the processor time of the tests (`--spent`, as `make unit` has it): where it went, and how much it was.

Time on the clock says little on a machine that does other things as well, so nothing here fails a test. What counts is
the time of the processor in this process, in those that it started and awaited, and in the forks of `tests.shell`.
With xdist each worker measures its own tests and sends the numbers to the process that prints the report.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from tests.runner import IDLE, start_server

SLOWEST = 8  # that are named
SLOW_S = 0.5  # a test that takes more is to be marked `slow`


def processor_seconds() -> float:
    """Return the processor time so far of this process, its children, and the server of forks with its own."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    server = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    return own + _seconds_of(server) + sum(_seconds_of(runner.pid) for runner in IDLE)


def _seconds_of(process: int | None) -> float:
    """Return what /proc has of a process and of its children that have ended; 0 where there is none."""
    try:
        after_the_name = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, after_the_name[11:15])) / os.sysconf("SC_CLK_TCK")  # utime, stime, and those of its children


class Spent:
    """The processor time of each test of this process, and on the way to the first."""

    def __init__(self) -> None:
        self.tests: dict[str, float] = {}
        self.in_workers = 0.0
        self.all = 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the server of forks, which else the first test that needs it would seem to spend."""
        if session.items and not session.config.option.collectonly:
            start_server()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = processor_seconds()
        done = yield
        self.tests[item.nodeid] = processor_seconds() - before
        return done

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        own = os.times()
        self.all = self.in_workers + own.user + own.system if self.in_workers else processor_seconds()
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["spent"] = (self.all, dict(self.tests))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker of xdist has sent."""
        seconds, tests = getattr(node, "workeroutput", {}).get("spent", (0.0, {}))
        self.in_workers += seconds
        self.tests.update(tests)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        in_tests = sum(self.tests.values())
        terminalreporter.section("processor time")
        rest = self.all - in_tests
        terminalreporter.line(f"{in_tests:.0f} s in {len(self.tests)} tests, {rest:.0f} s to start and collect them")
        for test, seconds in sorted(self.tests.items(), key=lambda entry: -entry[1])[:SLOWEST]:
            terminalreporter.line(f"{seconds:6.2f} s  {test}{'  (mark it slow)' if seconds > SLOW_S else ''}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--spent", action="store_true", help="report the processor time of the tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--spent"):
        config.pluginmanager.register(Spent(), "spent")
