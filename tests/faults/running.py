"""kplan as a process that can be started, stopped and killed; started in milliseconds, for there are thousands."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import crash

SERVER = multiprocessing.get_context("forkserver")
WARM = ("project.expand", "project.loading", "execution.recovery", "render.events", "render.text", "language.schema",
        "app.servers", "state.sqlite")  # fmt: skip
SERVER.set_forkserver_preload(["tests.faults.crash", "yaml", *(f"kplan.{module}" for module in WARM)])
LONGEST = 180.0


@dataclass(frozen=True)
class Ended:
    """How it ended. `code` is -9 for one that was killed; `points` are the labels it reached."""

    code: int
    out: str
    points: tuple[str, ...]
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Running:
    """A kplan on its way, in `folder`, with what tests.faults.crash is asked for in `options`."""

    def __init__(self, folder: Path, arguments: Sequence[str], options: Sequence[str] = (),
                 prepare: Callable[[], None] | None = None) -> None:  # fmt: skip
        handle, out = tempfile.mkstemp(prefix="kplan-out-")
        os.close(handle)
        self._out, self._points = Path(out), Path(out + ".points")
        asked = [*options, "--points", str(self._points), "--", *arguments]
        self._began = time.monotonic()
        self._process: Any = SERVER.Process(target=_child, args=(str(folder), out, asked, prepare))
        self._process.start()
        self.pid = int(self._process.pid or 0)

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    @property
    def points(self) -> tuple[str, ...]:
        """The labels of the points that it has reached so far."""
        return tuple(line.partition(" ")[2] for line in self._lines())

    @property
    def times(self) -> tuple[float, ...]:
        """When it reached them, by the clock that all processes of the machine share."""
        return tuple(float(line.partition(" ")[0]) for line in self._lines())

    @property
    def out(self) -> str:
        return self._out.read_text(errors="replace")

    def _lines(self) -> list[str]:
        return self._points.read_text().splitlines() if self._points.exists() else []

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = LONGEST) -> Ended:
        """Its end; one that is not over in time is killed, and its code is 124."""
        self._process.join(seconds)
        late = self.alive
        if late:
            self._process.kill()
            self._process.join()
        code = 124 if late else int(self._process.exitcode)
        ended = Ended(code, self.out, self.points, time.monotonic() - self._began)
        self._process.close()
        for path in (self._out, self._points):
            path.unlink(missing_ok=True)
        if "Traceback" in ended.out or "K399" in ended.out:
            raise AssertionError(f"kplan has a bug:\n{ended.out}")
        return ended


def kplan(folder: Path, *arguments: str, at: int = 0, seconds: float = LONGEST) -> Ended:
    """How kplan ended, killed at point `at` where one is given."""
    return Running(folder, arguments, ["--at", str(at)] if at else []).wait(seconds)


def _child(folder: str, out: str, asked: Sequence[str], prepare: Callable[[], None] | None) -> None:
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("KPLAN_", "KAFKA_"))]:
        del os.environ[name]
    os.environ |= {"NO_COLOR": "1", "KPLAN_TRACEBACK": "1"}
    with open(os.devnull) as nothing, open(out, "w") as told:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    if prepare is not None:
        prepare()
    code = crash.main(asked)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
