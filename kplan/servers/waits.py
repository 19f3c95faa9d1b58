"""The answers that this process currently waits for, to be shown on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field

from kplan.text import truncate
from kplan.values import dataclass

RETRY = {"retry": True}  # `extra` of a log record about a request that is sent again, with the reason and the pause
MIN_SHOWN_S = 0.5  # shorter waits are not shown


@dataclass(frozen=True, slots=True)
class Wait:
    """`what` is being done, such as `reading 127.0.0.1:9092`, since a time of the monotonic clock, until `end`."""

    what: str
    since: float
    end: float | None


@dataclass(slots=True)
class Waits:
    """All waits of this process; threads add and remove their own."""

    _open: dict[int, Wait] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    @contextmanager
    def add(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """Show `what` as a wait while the block runs; after `seconds` the block gives up by itself."""
        now = time.monotonic()
        with self._lock:
            self._count += 1
            number = self._count
            self._open[number] = Wait(what, now, None if seconds is None else now + seconds)
        try:
            yield
        finally:
            with self._lock:
                del self._open[number]

    def oldest(self) -> Wait | None:
        """Return the open wait that started first."""
        with self._lock:
            return next(iter(self._open.values()), None)


WAITS = Waits()


def describe_wait(since: float, width: int) -> str:
    """Return what is waited for, how long the phase from `since` lasts, and when the wait gives up.

    On a narrow terminal the name is shortened, not the times.
    """
    wait, now = WAITS.oldest(), time.monotonic()
    if wait is None or now - since < MIN_SHOWN_S:
        return ""
    limit = "" if wait.end is None or wait.end < now else f"; gives up after {wait.end - since:.0f} s"
    times = f" ({now - since:.0f} s{limit})"
    return truncate(wait.what, max(width - len(times), 1)) + times
