"""Keeps the values of secrets out of the log."""

from __future__ import annotations

import logging

from kplan.model.masks import Mask

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class MaskingFilter(logging.Filter):
    """On a handler: nothing that it writes holds a secret, neither the message nor a traceback nor an extra field."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._mask.mask(_message(record))
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._mask.mask(record.exc_text)
        if record.stack_info:
            record.stack_info = self._mask.mask(record.stack_info)
        for name, value in vars(record).items():
            if name not in _STANDARD and isinstance(value, str):
                setattr(record, name, self._mask.mask(value))
        return True


def _message(record: logging.LogRecord) -> str:
    """Return the record's message; a record whose arguments do not fit must not end the program."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)
