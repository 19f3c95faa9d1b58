"""Watch one call from the outside: requests by their log lines, imports by Python's hook, and phases."""

from __future__ import annotations

import builtins
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kplan.phases import IMPORT, REQUEST, Recorder, start_recording, stop_recording

LOGGERS: Final = ("kplan.servers", "kplan.state")
MIN_IMPORT_S: Final = 0.002  # shorter imports are not worth a line
_REQUEST: Final = re.compile(r"(?P<what>.*?)(?: -> .*)? (?P<seconds>\d+\.\d{3}) s", re.DOTALL)  # without answers
START: Final = "Python starts, and kplan's command line is imported"


class _Requests(logging.Handler):
    """Records each request of a client: its log line ends with the seconds that it took."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.DEBUG)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        ended = time.monotonic()
        if found := _REQUEST.fullmatch(record.getMessage()):  # not its arguments, which masking merges into it
            self._recorder.add(found["what"], REQUEST, ended - float(found["seconds"]), ended)


@contextmanager
def profiling() -> Iterator[Recorder]:
    """Record what happens while the context is open, and what happened in this process before."""
    now = time.monotonic()
    recorder = start_recording(_find_beginning(now))
    recorder.add(START, IMPORT, recorder.began, now)
    handler = _Requests(recorder)
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)
    original = builtins.__import__
    builtins.__import__ = _make_import(original, recorder)
    try:
        yield recorder
    finally:
        builtins.__import__ = original
        stop_recording()
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)


def _make_import(original: Any, recorder: Recorder) -> Any:
    """Return Python's import, which records what takes long: the outermost import of each thread."""
    depth = threading.local()

    def record_import(name: str, *args: Any, **kwargs: Any) -> Any:
        if getattr(depth, "inside", False) or name in sys.modules:
            return original(name, *args, **kwargs)
        depth.inside, started = True, time.monotonic()
        try:
            return original(name, *args, **kwargs)
        finally:
            depth.inside, ended = False, time.monotonic()
            if ended - started >= MIN_IMPORT_S:
                recorder.add(f"import {name}", IMPORT, started, ended)

    return record_import


def _find_beginning(now: float) -> float:
    """Return when this process began, in seconds of the monotonic clock; `now` where the system does not say.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html : field 22, in ticks since the machine was booted.
    """
    try:
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - max(age, 0.0)
