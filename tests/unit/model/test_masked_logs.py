"""No value of a secret gets into the log."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from kplan.model.masked_logs import MaskingFilter
from kplan.model.masks import HIDDEN, Mask


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(stream)
    handler.addFilter(MaskingFilter(Mask(["hunter22"])))
    handler.setFormatter(logging.Formatter("%(message)s %(extra)s", defaults={"extra": ""}))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_message_and_arguments(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.warning("it is %s", "hunter22")
    assert stream.getvalue().strip() == f"it is {HIDDEN}"


def test_traceback(logger: logging.Logger, stream: io.StringIO) -> None:
    try:
        raise ValueError("bad hunter22")
    except ValueError:
        logger.exception("oh", stack_info=True)
    assert "hunter22" not in stream.getvalue() and "ValueError: bad (sensitive)" in stream.getvalue()


def test_extra_fields(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.warning("x", extra={"extra": "hunter22"})
    assert stream.getvalue() == f"x {HIDDEN}\n"


def test_arguments_that_do_not_fit_end_nothing(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.warning("%d %d hunter22", "x")
    assert stream.getvalue() == f"%d %d {HIDDEN} \n"
    assert not sys.exc_info()[0]
