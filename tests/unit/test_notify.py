"""Receivers are told how a run ended, and a receiver that fails changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.shell import Shell

STACK = """
version: 1
stack: shop
topics: {shop.orders: }
connectors:
  feed: {class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: /x, topic: shop.orders}}
"""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(404 if "gone" in self.path else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def shell(folder: Path, url: str, fail: str = "connector/feed", when: str = "") -> Shell:
    made = Shell(folder, {"HOOK": url}, ("T0canary7",))
    made.write("kplan.yaml", f"""
version: 1
environments: {{local: {{simulated: {{fail: [{fail}]}}, notify: [{{webhook: "{{{{ env.HOOK }}}}"{when}}}]}}}}
""")  # fmt: skip
    made.write("stack.yaml", STACK)
    return made


def test_a_rollback_is_told_and_a_success_is_not(tmp_path: Path, receiver: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = receiver
    made = shell(tmp_path, f"{url}/T0canary7")
    made.kplan("apply", "stack.yaml", "--yes", expect=7)
    [told] = got
    assert told["text"].startswith("kplan: shop (local): Apply failed; rolled back.")
    assert (told["kplan"]["outcome"], told["kplan"]["stack"]) == ("rolled_back", "shop")
    failed = told["kplan"]["failed"]
    assert (failed["address"], failed["code"]) == ("connector/feed", "K512") and failed["cause"]
    assert f"connector/feed: K512 {failed['cause']}" in told["text"].splitlines()
    shell(tmp_path, f"{url}/T0canary7", fail="").kplan("apply", "stack.yaml", "--yes")
    assert len(got) == 1


def test_what_is_left_and_how_it_was_recovered_is_told(
    tmp_path: Path, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = receiver
    made = shell(tmp_path, url, fail="")
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 1}}\n")
    made.kplan("apply", "stack.yaml", "--yes")
    more = "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 2}}\n"
    made = shell(tmp_path, url, fail="topic/shop.orders")
    made.write("stack.yaml", more)
    made.kplan("apply", "stack.yaml", "--yes", expect=8)
    [told] = got
    run = told["kplan"]["run"]
    assert told["kplan"]["outcome"] == "incomplete" and told["kplan"]["failed"]["address"] == "topic/shop.orders"
    assert any("topic/shop.orders" in each for each in told["kplan"]["left"])
    assert f"kplan recover {run}" in told["text"]
    made = shell(tmp_path, url, fail="")
    made.write("stack.yaml", more)
    made.kplan("recover", run, "--forward", "--yes")
    assert [(each["kplan"]["outcome"], each["kplan"]["run"]) for each in got[1:]] == [("completed", run)]
    assert "failed" not in got[1]["kplan"]


def test_only_the_ends_that_are_asked_for_are_told(tmp_path: Path, receiver: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = receiver
    made = shell(tmp_path, url, when=", when: [recovery]")
    made.kplan("apply", "stack.yaml", "--yes", expect=7)
    assert got == []


@pytest.mark.parametrize("path", ["/gone/T0canary7", ""])
def test_a_receiver_that_fails_is_a_warning_without_its_path(
    tmp_path: Path, receiver: tuple[str, list[dict[str, Any]]], path: str
) -> None:
    url = receiver[0] + path if path else "http://127.0.0.1:1/T0canary7"
    ended = shell(tmp_path, url).kplan("apply", "stack.yaml", "--yes", expect=7)
    assert "warning: 127.0.0.1" in ended.err
