"""Which answers this process waits for right now, so that a person can be shown it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kplan.text import truncate

RETRY = {"retry": True}  # `extra` of a log record that says why a request is sent again, and after which pause
SHOWN_AFTER_S = 0.5  # what ends sooner is not shown


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
    def on(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """Names what is waited for while the block runs; after `seconds` the block gives up by itself."""
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
        """The wait that began first of those that are open."""
        with self._lock:
            return next(iter(self._open.values()), None)


WAITS = Waits()


def words(since: float, width: int) -> str:
    """What is waited for, how long the phase that began at `since` lasts, and when the wait gives up.

    On a narrow terminal the name of what is waited for is shortened, not the times.
    """
    wait, now = WAITS.oldest(), time.monotonic()
    if wait is None or now - since < SHOWN_AFTER_S:
        return ""
    limit = "" if wait.end is None or wait.end < now else f"; gives up after {wait.end - since:.0f} s"
    times = f" ({now - since:.0f} s{limit})"
    return truncate(wait.what, max(width - len(times), 1)) + times
