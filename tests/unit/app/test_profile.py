"""A profile of one call: requests, imports, phases, and nothing left behind."""

from __future__ import annotations

import builtins
import json
import logging
import re
from pathlib import Path

from kplan.app.profile import LOGGERS, START, profiling
from kplan.model.masked_logs import MaskingFilter
from kplan.model.masks import Mask
from kplan.phases import IMPORT, REQUEST
from tests.shell import Shell

STACK = "version: 1\nstack: shop\ntopics: {shop.orders: }\n"


def test_requests_are_those_of_the_log_and_everything_is_put_back() -> None:
    levels = [logging.getLogger(name).level for name in LOGGERS]
    handlers = [len(logging.getLogger(name).handlers) for name in LOGGERS]
    original = builtins.__import__
    with profiling() as recorder:
        logging.getLogger("kplan.servers.kafka.client").debug("%s (%d)%s %.3f s", "list topics", 3, "", 0.25)
        logging.getLogger("kplan.servers.kafka.client").debug("no request")
        assert builtins.__import__ is not original
    assert builtins.__import__ is original
    assert [logging.getLogger(name).level for name in LOGGERS] == levels
    assert [len(logging.getLogger(name).handlers) for name in LOGGERS] == handlers
    assert (recorder.spans[0].name, recorder.spans[0].kind) == (START, IMPORT)
    [request] = [span for span in recorder.spans if span.kind == REQUEST]
    assert request.name == "list topics (3)" and abs(request.seconds - 0.25) < 0.001


def test_a_request_that_was_masked_is_one_too() -> None:
    store = logging.Logger("kplan.state")
    store.parent = logging.getLogger("kplan.state")
    store.addFilter(MaskingFilter(Mask(["pa55word"])))
    with profiling() as recorder:
        store.debug("%s (%d)%s %.3f s", "find the coordinator of pa55word", 1, " -> no answer of 0.5 s", 0.125)
    [request] = [span for span in recorder.spans if span.kind == REQUEST]
    assert "pa55word" not in request.name and request.name.startswith("find the coordinator of ")
    assert "answer" not in request.name and abs(request.seconds - 0.125) < 0.001


def test_a_command_writes_its_profile_in_the_form_that_the_name_says(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK)
    assert "profile: " in shell.kplan("--profile", "p.txt", "plan", "stack.yaml", PYTHONDONTWRITEBYTECODE="1").err
    text = (tmp_path / "p.txt").read_text()
    assert re.match(r" +\d+\.\d{3} s in all\n", text)
    for name in ("Python starts", "load the files", "plan", "close the connections", "import "):
        assert name in text, name
    shell.kplan("--profile", "p.json", "validate", "stack.yaml")
    events = json.loads((tmp_path / "p.json").read_text())["traceEvents"]
    assert {"name", "ph", "ts", "dur", "pid", "tid"} <= events[-1].keys()
    shell.kplan("--profile", "p.html", "plan", "missing.yaml", expect=4)
    assert "kplan plan: where the time went" in (tmp_path / "p.html").read_text()


def test_a_profile_that_cannot_be_written_changes_nothing_else(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK)
    ended = shell.kplan("--profile", "missing/p.txt", "validate", "stack.yaml")
    assert "warning: the profile is not written" in ended.err and "0 errors" in ended.out
