"""The log: one line an event, to standard error or a file, with every secret masked."""

from __future__ import annotations

import json
import logging
import sys

from kplan.secrets import Mask, MaskingFilter


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
    """Logs of kplan go to `file` or standard error from `level` up; no secret that `mask` knows appears in them."""
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    )
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if style == "json" else plain)
    handler.addFilter(MaskingFilter(mask))
    root = logging.getLogger("kplan")
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False
    # the client library says each failed attempt; errors say what came of them
    logging.getLogger("kplan.kafka").setLevel(logging.DEBUG if level.lower() == "debug" else logging.CRITICAL)
