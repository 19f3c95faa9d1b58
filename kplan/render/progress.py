"""Show the progress of work that takes longer than a second: counts, the rate, and the time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import field

from kplan.text import count, truncate
from kplan.values import dataclass

MIN_DURATION_S = 1.0  # shorter work shows no progress
HEARTBEAT_INTERVAL_S = 10.0  # between two lines where there is no terminal
FRAME_INTERVAL_S = 0.2  # between two updates


@dataclass(slots=True)
class ProgressMeter:
    """Hold the last reported progress, and since when it is going on."""

    clock: Callable[[], float] = time.monotonic
    what: str = ""
    done: int = 0
    total: int = 0
    since: float = 0.0

    def report(self, what: str, done: int, total: int) -> None:
        """Record that `done` of `total` are done; `what` names them, such as `topics read`."""
        if (what, total) != (self.what, self.total) or done < self.done:
            self.since = self.clock()
        self.what, self.done, self.total = what, done, total

    def describe(self) -> str:
        """Return the rate and the time left; empty in the first second and when all is done."""
        seconds = self.clock() - self.since
        if not self.what or self.done >= self.total or seconds < MIN_DURATION_S:
            return ""
        text = f"{self.done:,} of {self.total:,} {self.what}, {seconds:.0f} s"
        if not self.done:
            return text
        rate = self.done / seconds
        remaining = round((self.total - self.done) / rate)
        return f"{text}; {_format_rate(rate)}, about {_format_duration(remaining)} left"


def _format_rate(each_second: float) -> str:
    return f"{each_second:,.0f}/s" if each_second >= 10 else f"{each_second:.1f}/s"


def _format_duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else count(round(seconds / 60), "minute")


@dataclass(slots=True)
class Ticker:
    """Show `progress` from time to time while it is open: over and over on one live line, or a line each 10 s.

    On a live line, what is waited for is shown where nothing is counted: `waiting` gets the time at which the ticker
    was opened and the width of the line, and returns the words.
    """

    progress: ProgressMeter
    write: Callable[[str], None]
    live: bool = False
    waiting: Callable[[float, int], str] = lambda since, width: ""
    width: int = 100
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _shown: bool = False

    def __enter__(self) -> Ticker:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and leave nothing of it on the terminal."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.clear()

    def clear(self) -> None:
        """Clear the live line, so that other text may be written; it comes back with the next update."""
        with self._lock:
            if self._shown:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
            self._shown = False

    def _run(self) -> None:
        last_write = opened = self.progress.clock()
        while not self._ended.wait(FRAME_INTERVAL_S):
            words = self.progress.describe()
            if self.live:
                self._redraw(words or self.waiting(opened, self.width - 5))
            elif words and self.progress.clock() - last_write >= HEARTBEAT_INTERVAL_S:
                last_write = self.progress.clock()
                self.write(f"  … {words}")

    def _redraw(self, words: str) -> None:
        with self._lock:
            if words or self._shown:
                sys.stderr.write(f"\r\x1b[K  … {truncate(words, self.width - 5)}" if words else "\r\x1b[K")
                sys.stderr.flush()
            self._shown = bool(words)
