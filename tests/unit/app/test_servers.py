"""Commands that need Kafka Connect alone, against a worker that is imitated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.connect import FakeConnect, serving_connect
from tests.shell import Shell

SECRET = "canary-7f3a-password"
TRACE = f"""org.apache.kafka.connect.errors.ConnectException: no login with {SECRET}
\tat org.apache.kafka.connect.runtime.WorkerTask.run(WorkerTask.java:1)
Caused by: java.io.IOException: closed
\tat java.base/java.lang.Thread.run(Thread.java:2)
"""


@pytest.fixture
def connect() -> Iterator[str]:
    """The URL of a worker with the connector `feed`, whose task has failed."""
    fake = FakeConnect()
    fake.fails_with = lambda config: TRACE
    fake.put("feed", {"connector.class": "org.example.Source", "database.password": SECRET}, hidden=0)
    with serving_connect(fake) as url:
        yield url


@pytest.mark.slow  # it waits
def test_wait_and_list_ask_connect(connect: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.kplan("wait", "--connect", connect, "--retries", "1").out == "ready: connect\n"
    listed = shell.kplan("list", "--connect", connect)
    assert "connector/feed" in listed.out and "1 resource." in listed.out
    assert "no brokers given" in listed.err
    assert "--bootstrap" in shell.kplan("list", "--connect", connect, "--unowned", expect=64).err
    assert not (tmp_path / ".kplan").exists()
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    assert "connector/feed" in shell.kplan("list", "--connect", connect).out, "beside a simulated environment as well"


def test_the_whole_trace_is_shown_without_secrets(connect: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path, secrets=(SECRET,))
    (task,) = shell.kplan("connector", "status", "feed", "--connect", connect, "--format", "json", expect=2).json[
        "tasks"
    ]
    assert [line.strip() for line in task["trace"].splitlines()][1:] == [
        "at org.apache.kafka.connect.runtime.WorkerTask.run(WorkerTask.java:1)",
        "Caused by: java.io.IOException: closed",
        "at java.base/java.lang.Thread.run(Thread.java:2)",
    ]
    assert "Thread.java:2" in shell.kplan("connector", "status", "feed", "--connect", connect, "--trace", expect=2).out
    assert "Thread.java:2" not in shell.kplan("connector", "tasks", "feed", "--connect", connect, expect=2).out
