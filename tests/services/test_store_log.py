"""What the log says of the requests about kplan's own topic, and what an error says once a quota is used up."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services import KafkaCluster
from tests.services.kafka import java_command
from tests.services.process import run
from tests.shell import Shell


@pytest.fixture
def shell(kafka: KafkaCluster, tmp_path: Path) -> Shell:
    """A folder with a stack of one topic; its state is in a topic of its own."""
    name = f"log{time.monotonic_ns() % 10**9}"
    (tmp_path / "kplan.yaml").write_text(
        f"version: 1\nenvironments:\n  dev:\n    kafka: {{bootstrap.servers: {kafka.bootstrap}}}\n"
        f"    state: {{kafka_topic: __{name}}}\n    timeouts: {{request: 3s}}\n    retry: {{attempts: 2, delay: 1s}}\n"
    )
    (tmp_path / "stack.yaml").write_text(f"version: 1\nstack: {name}\ntopics:\n  {name}.a: {{}}\n")
    return Shell(tmp_path)


def lines_of(log: str) -> list[str]:
    """The store's lines, without their times."""
    return [line.partition("kplan.state")[2].strip() for line in log.splitlines() if " kplan.state " in line]


def test_the_log_has_each_request_about_the_state(shell: Shell) -> None:
    applied = shell.kplan("apply", "stack.yaml", "--yes", "--log-level", "debug")
    assert applied.code == 0, applied.all
    requests = lines_of(applied.err)
    for wanted in (
        r"create topics \(1\) [\d.]+ s", r"describe groups \(1\)( -> .*)? [\d.]+ s", r"describe configs \(1\) [\d.]+ s",
        r"join group .*\(1\) [\d.]+ s", r"init transactions \(1\) [\d.]+ s", r"list offsets \(1\) [\d.]+ s",
        r"write in a transaction, \d+ bytes \(\d+\) [\d.]+ s", r"read to offset \d+, \d+ bytes \(\d+\) [\d.]+ s",
    ):  # fmt: skip
        assert any(re.fullmatch(wanted, line) for line in requests), (wanted, requests)
    planned = shell.kplan("plan", "stack.yaml", "--log-level", "debug")
    (reading,) = [line for line in lines_of(planned.err) if line.startswith("read to offset")]
    assert int(re.search(r"\((\d+)\)", reading)[1]) > 0  # type: ignore[index]


def test_an_error_and_the_log_name_the_quota_that_slows_kplan_down(shell: Shell, kafka: KafkaCluster) -> None:
    with limit(kafka, "request_percentage", "0.01"):
        slowed = shell.kplan("plan", "stack.yaml", "--log-level", "warning", expect=None, timeout=120)
        slowed = slowed if slowed.code else shell.kplan("apply", "stack.yaml", "--yes", "--log-level", "warning",
                                                        expect=None, timeout=120)  # fmt: skip
    assert slowed.code == 1, slowed.all
    assert re.search(r"WARNING .*broker \d+ slows kplan down by [\d.]+ s: a quota is used up", slowed.err), slowed.err
    said = " ".join(slowed.err.split())
    assert "a quota of the brokers" in said
    assert re.search(r"slowed this client down by [\d.]+ s in all", said)


@contextmanager
def limit(kafka: KafkaCluster, key: str, value: str) -> Iterator[None]:
    """Every client has this quota."""
    _alter(kafka, "--add-config", f"{key}={value}")
    try:
        yield
    finally:
        _alter(kafka, "--delete-config", key)


def _alter(kafka: KafkaCluster, *what: str) -> None:
    command = [*java_command("-Xmx128m"), "kafka.admin.ConfigCommand", "--bootstrap-server", kafka.bootstrap]
    run([*command, "--alter", *what, "--entity-type", "clients", "--entity-default"], kafka.folder / "quota.log")
