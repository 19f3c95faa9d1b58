"""The log: one line an event, to standard error or a file, with every secret masked."""

from __future__ import annotations

import json
import logging
import sys

from kplan.secrets import Mask, MaskingFilter

OURS = "kplan"  # the name of our handler


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


def configure(level: str, style: str, file: str | None, mask: Mask) -> None:
    """Logs go to `file` or standard error from `level` up; no secret that `mask` knows appears in them.

    So do those of the libraries: left alone, Python writes their warnings to standard error as they are.
    """
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    )
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if style == "json" else plain)
    handler.addFilter(MaskingFilter(mask))
    handler.set_name(OURS)
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
