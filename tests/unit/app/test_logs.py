"""The log holds a whole run: what was done at INFO, what is tried again at WARNING, why it failed at ERROR."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.shell import Shell

STACK = """
version: 1
stack: shop
variables: {word: {type: string, sensitive: true}}
topics: {shop.orders: , shop.items: }
connectors:
  feed:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {file: /x, topic: shop.orders, api.password: "{{ var.word }}"}
"""
WORD = "canary-of-the-log-7"


def shell(folder: Path, fail: str = "") -> Shell:
    made = Shell(folder, {"KPLAN_VAR_word": WORD}, (WORD,))
    made.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{simulated: {{fail: [{fail}]}}}}}}\n")
    made.write("stack.yaml", STACK)
    return made


def logged(folder: Path, level: str) -> list[str]:
    lines = [json.loads(line) for line in (folder / "run.log").read_text().splitlines()]
    return [line["message"].partition(": ")[2] for line in lines if line["level"] == level]


def test_an_apply_is_in_the_log(tmp_path: Path) -> None:
    made = shell(tmp_path)
    made.secrets = ()  # the simulated cluster keeps the connector's password
    made.kplan("apply", "stack.yaml", "--yes", "--log-file", "run.log", "--log-level", "info", "--log-format", "json")
    said = logged(tmp_path, "info")
    assert {"topic/shop.orders", "topic/shop.items", "connector/feed"} <= {line.partition(": ")[0] for line in said}
    assert said[-1].startswith("Applied 3 of 3")
    assert not logged(tmp_path, "debug") and not logged(tmp_path, "error")
    assert WORD not in (tmp_path / "run.log").read_text()


def test_a_failed_apply_names_its_cause_and_what_was_undone(tmp_path: Path) -> None:
    made = shell(tmp_path, "connector/feed")
    made.secrets = ()
    made.kplan("apply", "stack.yaml", "--yes", "--log-file", "run.log", "--log-level", "info", "--log-format", "json",
               expect=7)  # fmt: skip
    errors, said = logged(tmp_path, "error"), logged(tmp_path, "info")
    assert errors[0].startswith("connector/feed: FAILED: ") and errors[-1].startswith("Apply failed; rolled back")
    assert sum(line.startswith("topic/shop.") for line in said) == 4  # two created, two undone
    assert [line for line in logged(tmp_path, "warning") if "oll" in line]
    assert WORD not in (tmp_path / "run.log").read_text()


def test_requests_are_at_debug_and_libraries_are_quiet(tmp_path: Path) -> None:
    made = shell(tmp_path)
    made.secrets = ()
    made.kplan("apply", "stack.yaml", "--yes", "--log-file", "run.log", "--log-level", "debug", "--log-format", "json")
    lines = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert {"debug", "info"} == {line["level"] for line in lines}
    assert all(line["logger"].startswith("kplan") for line in lines)


@pytest.mark.parametrize("arguments", [("--log-file", "run.log"), ("--log-level", "error")])
def test_the_error_that_stops_an_apply_is_in_the_log(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    made = shell(tmp_path)
    made.write(
        "kplan.yaml",
        """
version: 1
environments:
  far: {kafka: {bootstrap.servers: "127.0.0.1:1"}, timeouts: {request: 500ms}, retry: {attempts: 1}}
""",
    )
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: }\n")
    ended = made.kplan("apply", "stack.yaml", "--yes", *arguments, expect=1)
    log = (tmp_path / "run.log").read_text() if "--log-file" in arguments else ended.err
    assert "ERROR   kplan.cli  K310 a server does not answer: 127.0.0.1:1" in log


def test_without_flags_nothing_is_said_twice(tmp_path: Path) -> None:
    made = shell(tmp_path, "connector/feed")
    made.secrets = ()
    assert "kplan.run" not in made.kplan("apply", "stack.yaml", "--yes", expect=7).all
