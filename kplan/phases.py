"""Record where the time of one call goes, for `kplan --profile`. Without a recorder nothing is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field

from kplan.values import dataclass

PHASE, REQUEST, IMPORT = "phase", "request", "import"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """What took time: `started` and `ended` are seconds of the monotonic clock, `thread` is where it was."""

    name: str
    kind: str  # phase | request | import
    started: float
    ended: float
    thread: str

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(slots=True)
class Recorder:
    """Collect the spans of one call, which began at a time of the monotonic clock; threads add their own."""

    began: float
    spans: list[TimeSpan] = field(default_factory=list)

    def add(self, name: str, kind: str, started: float, ended: float) -> None:
        """Add what took from `started` to `ended`; appending to a list is safe among threads."""
        self.spans.append(TimeSpan(name, kind, started, ended, threading.current_thread().name))


_current: list[Recorder] = []


def start_recording(began: float) -> Recorder:
    """Return the recorder of this call, which gets all phases from now on."""
    _current[:] = [Recorder(began)]
    return _current[0]


def stop_recording() -> None:
    """Record nothing any more."""
    _current.clear()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Record how long the block takes, if the call is recorded."""
    if not _current:
        yield
        return
    started = time.monotonic()
    try:
        yield
    finally:
        if _current:
            _current[0].add(name, PHASE, started, time.monotonic())
