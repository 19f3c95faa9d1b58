"""Masks: texts in which secrets are replaced by a word."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 4  # characters; shorter ones would mask half of every sentence
WORD = "(sensitive)"


class Mask:
    """Knows secrets, and replaces each of them in a text, as written, percent-encoded and in JSON."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        for value in values:
            if len(value) >= SHORTEST:
                self._values |= {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def mask(self, text: str) -> str:
        return self._pattern.sub(WORD, text) if self._pattern else text


class MaskingFilter(logging.Filter):
    """Masks every record that passes, arguments and exceptions included."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self.known = mask

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.known.mask(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = self.known.mask(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
