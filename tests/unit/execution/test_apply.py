"""An apply notices that the state was lost after its plan was made, and depends on no clock."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.fixtures import without
from tests.shell import Ended, Shell

# -- a lost state -----------------------------------------------------------------------------------------------------
STACK = "version: 1\nstack: shop\ntopics: {a.orders: {partitions: 1}, a.items: {partitions: 1}}\n"
GROWN = STACK.replace("a.orders: {partitions: 1}", "a.orders: {partitions: 2}")


@pytest.fixture
def saved(tmp_path: Path) -> Shell:
    """A stack that was applied, and a saved plan of the next change."""
    made = Shell(tmp_path)
    made.write("stack.yaml", STACK)
    made.kplan("apply", "stack.yaml", "--yes")
    made.write("stack.yaml", GROWN)
    planned = made.kplan("plan", "stack.yaml", "--out", "plan.json", "--format", "json").json
    assert planned["read"]["owned"] == 2
    return made


def forget(saved: Shell, condition: str = "1") -> None:
    with sqlite3.connect(saved.folder / ".kplan/local.db") as database:
        database.execute(f"DELETE FROM kplan_ledger WHERE {condition}")


def test_a_state_that_was_emptied_stops_an_apply(saved: Shell) -> None:
    forget(saved)
    ended = saved.kplan("apply", "plan.json", expect=5)
    assert "K625" in ended.err and "no record any more of 2 resources of stack shop" in ended.err
    assert "1 of 1" not in ended.out
    adopting = saved.kplan("plan", "stack.yaml", "--format", "json").json
    assert adopting["summary"]["adopt"] == 1 and "owned" not in adopting["read"]


def test_a_record_that_was_removed_stops_an_apply_of_its_resource(saved: Shell) -> None:
    forget(saved, "address = 'topic/a.orders'")
    ended = saved.kplan("apply", "plan.json", expect=5)
    assert "K625" in ended.err and "no record any more of topic/a.orders" in ended.err


def test_a_record_of_another_resource_does_not(saved: Shell) -> None:
    forget(saved, "address = 'topic/a.items'")
    assert "Applied 1 of 1" in saved.kplan("apply", "plan.json").out


# -- the clock --------------------------------------------------------------------------------------------------------
# It is wrong, or jumps while kplan runs: applies, journal, lock and recovery do not depend on it. Debian's `faketime`
# sets it, for kplan alone; the monotonic clock goes on, as when somebody sets the time.
YEARS = ("-10y", "+10y")
# libfaketime 0.9.10 answers EINVAL to the call by which Python 3.11 sleeps, while it leaves the monotonic clock alone.
SLEEP = "import select, time\ntime.sleep = lambda seconds: (select.select([], [], [], seconds), None)[1]\n"
TOPICS = "version: 1\nstack: {name}\ntopics:\n" + "".join(f"  {{name}}.t{n}: {{{{partitions: 1}}}}\n" for n in range(4))


class Clock:
    """What kplan takes for the time: the machine's own until it is set."""

    def __init__(self, folder: Path) -> None:
        library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
        if library is None:
            without("no libfaketime: apt-get install faketime")
        self._file = folder / "time"
        (folder / "sitecustomize.py").write_text(SLEEP)
        self.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._file),
                            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                            "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())])}  # fmt: skip
        self.set("+0")

    def set(self, time: str) -> None:
        self._file.write_text(f"{time}\n")


@pytest.fixture
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A folder with an environment whose cluster is simulated: librdkafka waits too long under libfaketime."""
    (tmp_path / "kplan.yaml").write_text(
        json.dumps({"version": 1, "default": "dev", "environments": {"dev": {"simulated": {"brokers": 3}}}})
    )
    return Shell(tmp_path)


def faked(shell: Shell, clock: Clock) -> Shell:
    """The same folder under that clock."""
    return Shell(shell.folder, clock.environment)


def watched(shell: Shell, clock: Clock, at: Callable[[subprocess.Popen[str]], None], *arguments: str) -> Ended:
    """How kplan ends; `at` is called when the first step is done."""
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "kplan", *arguments, "--format", "json", "--parallel", "1"]
    with subprocess.Popen(command, cwd=shell.folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:  # fmt: skip
        assert process.stdout is not None
        lines = list(_until_done(process.stdout))
        at(process)
        lines += process.stdout
        return Ended(process.wait(120), "".join(lines), "")


def _until_done(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if json.loads(line).get("type") == "step_done":
            return


@pytest.mark.slow
@pytest.mark.parametrize("years", YEARS)
def test_an_apply_goes_on_when_the_clock_jumps(shell: Shell, clock: Clock, years: str) -> None:
    shell.write("stack.yaml", TOPICS.format(name="jump"))
    began = time.monotonic()
    ended = watched(shell, clock, lambda process: clock.set(years), "apply", "stack.yaml", "--yes")
    assert ended.code == 0, ended.out
    assert time.monotonic() - began < 120
    shell.kplan("plan", "stack.yaml", "--detailed-exitcode")
    assert "Nothing to recover" in shell.kplan("recover", "--list").all


@pytest.mark.slow
@pytest.mark.parametrize("years", YEARS)
def test_a_run_that_was_killed_is_recovered_under_another_clock(shell: Shell, clock: Clock, years: str) -> None:
    shell.write("stack.yaml", TOPICS.format(name="killed"))
    clock.set("-10y" if years == "+10y" else "+10y")
    ended = watched(shell, clock, lambda process: process.send_signal(signal.SIGKILL), "apply", "stack.yaml", "--yes")
    assert ended.code == -signal.SIGKILL
    clock.set(years)
    faked(shell, clock).kplan("recover", "--yes", "--lock-timeout", "60s")
    assert "4 to add" in shell.kplan("plan", "stack.yaml").out
    faked(shell, clock).kplan("apply", "stack.yaml", "--yes")


@pytest.mark.slow
def test_a_lock_is_held_whatever_the_time(shell: Shell, clock: Clock) -> None:
    shell.write("stack.yaml", TOPICS.format(name="locked"))
    clock.set("+10y")

    def another(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGSTOP)
        try:
            clock.set("-10y")
            ended = shell.kplan("apply", "stack.yaml", "--yes", "--lock-timeout", "0s", expect=None)
            assert ended.code == 6, ended.all
        finally:
            process.send_signal(signal.SIGCONT)

    assert watched(shell, clock, another, "apply", "stack.yaml", "--yes").code == 0
