"""Commands that need Kafka Connect alone, against a small HTTP server that answers as Connect does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.shell import Shell

SECRET = "canary-7f3a-password"
TRACE = f"""org.apache.kafka.connect.errors.ConnectException: no login with {SECRET}
\tat org.apache.kafka.connect.runtime.WorkerTask.run(WorkerTask.java:1)
Caused by: java.io.IOException: closed
\tat java.base/java.lang.Thread.run(Thread.java:2)
"""
CONNECTOR = {
    "info": {
        "name": "feed",
        "config": {"name": "feed", "connector.class": "org.example.Source", "database.password": SECRET},
        "type": "source",
    },
    "status": {
        "name": "feed",
        "connector": {"state": "RUNNING", "worker_id": "w:1"},
        "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w:1", "trace": TRACE}],
        "type": "source",
    },
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        root = {"version": "4.3.1", "commit": "x", "kafka_cluster_id": "cluster-1"}
        body = json.dumps(root if self.path == "/" else {"feed": CONNECTOR}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def connect() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_wait_and_list_ask_connect(connect: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.kplan("wait", "--connect", connect, "--retries", "1").out == "ready: connect\n"
    listed = shell.kplan("list", "--connect", connect)
    assert "connector/feed" in listed.out and "1 resource." in listed.out
    assert "no brokers are named" in listed.err
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
