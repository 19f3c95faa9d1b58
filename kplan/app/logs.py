"""The log: one line an event, to standard error or a file, with every secret masked."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kplan.diagnostics import Diagnostic
from kplan.model.masked_logs import MaskingFilter
from kplan.model.masks import Mask

OURS = "kplan"  # the name of our handler
SAME_S = 1.0  # two equal warnings within this time are one for a person


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            },
            ensure_ascii=False,
        )


def configure(level: str, style: str, file: str | None, mask: Mask, talks: bool = True) -> None:
    """Send logs from `level` up to `file` or standard error; no secret that `mask` knows appears in them.

    Without `talks` nothing is logged of runs and their errors: standard error shows them anyway.

    So do those of the libraries: left alone, Python writes their warnings to standard error as they are.
    """
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    )
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if style == "json" else plain)
    handler.addFilter(MaskingFilter(mask))
    handler.set_name(OURS)
    handler.setLevel(level.upper())
    for root in (logging.getLogger("kplan"), logging.getLogger()):
        for old in root.handlers[:]:
            if old.get_name() == OURS:
                root.removeHandler(old)
        root.addHandler(handler)
        root.setLevel(level.upper())
    logging.getLogger("kplan").propagate = False
    # the client libraries say each failed attempt; errors say what came of them
    for client in ("kplan.kafka", "kafka"):
        logging.getLogger(client).setLevel(logging.DEBUG if level.lower() == "debug" else logging.CRITICAL)
    for own in ("kplan.run", "kplan.cli"):
        logging.getLogger(own).setLevel(logging.NOTSET if talks else logging.CRITICAL)
    for library in ("filelock", "urllib3"):  # each look at a lock, each connection: kplan's own lines say more
        logging.getLogger(library).setLevel(logging.WARNING)


def problems(found: Sequence[Diagnostic]) -> None:
    """Write what ended the command into the log."""
    if any(handler.get_name() == OURS for handler in logging.getLogger("kplan").handlers):
        for problem in found:
            level = logging.ERROR if problem.is_error else logging.WARNING
            logging.getLogger("kplan.cli").log(level, "%s", problem)


class _Shown(logging.Handler):
    """Passes on why a request is sent again; two clients that meet the same trouble at the same time are one."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        self._last: dict[object, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "retry", False):
            return
        args = record.args if isinstance(record.args, tuple) else ()
        key = (record.msg, *args[:-1])  # the last one is the pause
        if record.created - self._last.get(key, 0.0) > SAME_S:
            self._last[key] = record.created
            self._show(record.getMessage())


@contextmanager
def retries_shown(show: Callable[[str], None]) -> Iterator[None]:
    """Shows why clients send a request again while it is open, unless the log on standard error shows it."""
    logger = logging.getLogger("kplan.servers")
    ours = [h for h in logging.getLogger("kplan").handlers if h.get_name() == OURS]
    if any(h.level <= logging.WARNING and not isinstance(h, logging.FileHandler) for h in ours):
        yield
        return
    handler, level = _Shown(show), logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logging.WARNING, logger.getEffectiveLevel()))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
