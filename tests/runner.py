"""Processes that run kplan for `tests.shell`, forked from a warm one (`tests.warm`).

`run_once` forks one for a single run, which is most like kplan at its user's. `run_again` (KPLAN_TEST_REUSE=1, as
`make unit` has it) gives the next run to a process that has ended its last one: a fork that is warm but unused spends
two thirds of its time on the copies of its pages. Such a process gets no further run if the last one left a thread.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["pytest", "tests.runner", "tests.warm"])
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
THREAD_END_S = 0.05  # a thread that is about to end has this time


def start_server() -> None:
    """Start the process from which kplan is forked, unless it runs, and wait until it is warm."""
    fork: Any = WARM.Process(target=int)
    fork.start()
    fork.join()
    fork.close()


@dataclass(frozen=True)
class Command:
    """A run of kplan: where, what, and with which variables and input."""

    folder: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    stdin: str = ""

    def run(self, scratch: Path) -> int:
        """Run it in this process, which is a fork; return its exit code. What it prints is in `scratch`."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        (scratch / "in").write_text(self.stdin, "utf-8")
        for number, name, mode in ((0, "in", "r"), (1, "out", "w"), (2, "err", "w")):
            with (scratch / name).open(mode) as stream:
                os.dup2(stream.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (open(n, "w" if n else "r", closefd=False) for n in range(3))  # noqa: SIM115
        sys.argv = ["kplan", *self.arguments]  # a plan prints the command as it was typed
        from kplan.__main__ import main

        try:
            main(self.arguments)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        return 0


Output = tuple[int, str, str]  # the exit code, standard output, standard error


def run_once(command: Command, timeout: float) -> Output:
    """Run kplan in a fork that ends with it."""
    with tempfile.TemporaryDirectory(prefix="kplan-shell-") as folder:
        child: Any = WARM.Process(target=_run_and_exit, args=(command, Path(folder)))
        child.start()
        code = _await_end(child, command, timeout)
        return code, *_read_output(Path(folder))


def _run_and_exit(command: Command, scratch: Path) -> None:
    sys.exit(command.run(scratch))


def _await_end(process: Any, command: Command, timeout: float) -> int:
    """Return the exit code of the process; one that does not end in time is killed."""
    process.join(timeout)
    late = process.exitcode is None
    if late:
        process.kill()
        process.join()
    code = int(process.exitcode)
    process.close()
    if late:
        raise subprocess.TimeoutExpired(["kplan", *command.arguments], timeout)
    return code


def _read_output(folder: Path) -> tuple[str, str]:
    return (folder / "out").read_text("utf-8"), (folder / "err").read_text("utf-8")


class Runner:
    """A process that executes one run after the other."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kplan-shell-")
        self._connection, other = WARM.Pipe()
        self._process: Any = WARM.Process(target=_serve, args=(other, Path(self._folder.name)), daemon=True)
        self._process.start()
        other.close()
        self.is_reusable = True

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def run(self, command: Command, timeout: float) -> Output:
        """Run kplan; a run that ends its process makes the runner unusable."""
        self.is_reusable = False
        self._connection.send(command)
        try:
            ended = self._connection.poll(timeout)
            code, self.is_reusable = self._connection.recv() if ended else (None, False)
        except EOFError:
            code = None
        if code is None:
            code = _await_end(self._process, command, 10 if ended else 0)
        elif not self.is_reusable:
            _await_end(self._process, command, timeout)
        output = _read_output(Path(self._folder.name))
        if not self.is_reusable:
            self._folder.cleanup()
        return code, *output


def _serve(connection: Connection, scratch: Path) -> None:
    """Run what the connection asks for, until it is closed or a run has left a thread."""
    import kplan.__main__  # noqa: F401  # of the first run, not of its time

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    is_clean = True
    while is_clean:
        try:
            command: Command = connection.recv()
        except EOFError:
            return
        code = command.run(scratch)
        reset_logs()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.collect()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(THREAD_END_S)
        is_clean = threading.active_count() == 1
        connection.send((code, is_clean))


def reset_logs() -> None:
    """Remove what a command of kplan set up for its log in this process."""
    from kplan.app.logs import OURS

    names = ["kplan", *(name for name in logging.root.manager.loggerDict if name.startswith("kplan."))]
    for logger in (logging.getLogger(), *map(logging.getLogger, names)):
        logger.handlers[:] = [handler for handler in logger.handlers if handler.get_name() != OURS]
        if logger is not logging.root:
            logger.propagate, logger.disabled = True, False
            if logger.level:  # each change of a level empties a cache of all loggers
                logger.setLevel(logging.NOTSET)


IDLE: list[Runner] = []  # those that have ended their last run; several tests at once have one each


def run_again(command: Command, timeout: float) -> Output:
    """Run kplan in an idle process, or in a new one if there is none."""
    runner = IDLE.pop() if IDLE else Runner()
    output = runner.run(command, timeout)
    if runner.is_reusable:
        IDLE.append(runner)
    return output
