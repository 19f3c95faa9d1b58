"""How kplan reaches a real Connect: by a bearer token, below a path of a gateway, and through a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fakes.http import Handler, serving
from tests.fakes.registry_gateway import forward, write_bearer
from tests.services import ConnectWorker, KafkaCluster
from tests.shell import Shell

TOKEN, WRONG = "canary-connect-token-1", "wrong-canary-token-2"
PREFIX = "/teams/cdc"


@contextmanager
def guard_connect(url: str) -> Iterator[str]:
    """Serve the worker below PREFIX to those who have the token; yields the URL."""

    class Gate(Handler):
        def do_GET(self) -> None:
            body = self.read_body()
            if self.headers.get("Authorization") != write_bearer(TOKEN):
                self.send(401, b"<html><title>Unauthorized</title></html>")
            elif not self.path.startswith(f"{PREFIX}/"):
                self.send(404, b"<html><title>Not Found</title></html>")
            else:
                self.send(*forward(url + self.path.removeprefix(PREFIX), self.command, body))

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    with serving(Gate) as gateway:
        yield gateway + PREFIX


@contextmanager
def run_proxy(seen: list[str]) -> Iterator[str]:
    """Serve an HTTP proxy that writes down what it forwards, with the token, to whatever host is asked for."""

    class Proxy(Handler):
        def do_GET(self) -> None:
            import requests

            body = self.read_body()
            seen.append(f"{self.command} {self.path}")
            headers = {key: self.headers[key] for key in ("Authorization", "Content-Type") if key in self.headers}
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(self.command, self.path, data=body, headers=headers, timeout=30)
            self.send(answer.status_code, answer.content, {"Content-Type": "application/json"})

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    with serving(Proxy) as url:
        yield url


@pytest.fixture
def gateway(connect: ConnectWorker) -> Iterator[str]:
    with guard_connect(connect.url) as url:
        yield url


def use_connect(tmp_path: Path, kafka: KafkaCluster, url: str, name: str) -> Shell:
    """A project with one connector, and the way to Connect by the token in CONNECT_TOKEN."""
    shell = Shell(tmp_path, {"CONNECT_TOKEN": TOKEN}, (TOKEN, WRONG))
    environment = {
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "connect": {"url": url, "token": "{{ env.CONNECT_TOKEN }}"},
        "state": {"sqlite": "s.db"},
    }
    shell.write("kplan.yaml", json.dumps({"version": 1, "default": "dev", "environments": {"dev": environment}}))
    shell.write("in", "one\n")
    config = {"file": str(tmp_path / "in"), "topic": f"{name}.lines"}
    source = {"class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "config": config}
    connector = {**source, "topics": {f"{name}.lines": {"accept": ["data-loss"]}}}
    shell.write("stack.yaml", json.dumps({"version": 1, "stack": name, "connectors": {name: connector}}))
    return shell


def test_a_token_lets_kplan_in_below_a_path(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, gateway: str
) -> None:
    shell = use_connect(tmp_path, kafka, gateway, "gated-source")
    netrc = shell.write("netrc", "machine 127.0.0.1 login other password other\n")  # must not take the token's place
    shell.environment["NETRC"] = str(netrc)
    shell.kplan("apply", "stack.yaml", "--yes", "--log-file", "run.log", "--log-level", "debug")
    assert connect.request("GET", "/connectors/gated-source/status")["connector"]["state"] == "RUNNING"
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
    assert "gated-source" not in connect.request("GET", "/connectors")
    shell.assert_no_secret_on_disk()


def test_a_wrong_token_names_its_setting(tmp_path: Path, kafka: KafkaCluster, gateway: str) -> None:
    shell = use_connect(tmp_path, kafka, gateway, "refused-source")
    words = shell.kplan("plan", "stack.yaml", expect=1, CONNECT_TOKEN=WRONG).words
    assert "error[K313]" in words and "401" in words, words
    assert "connect.token" in words.partition("help:")[2], words


def test_the_variables_of_a_proxy_count_with_a_token(tmp_path: Path, kafka: KafkaCluster, gateway: str) -> None:
    shell = use_connect(tmp_path, kafka, gateway, "proxied-source")
    seen: list[str] = []
    with run_proxy(seen) as proxy:
        shell.kplan("plan", "stack.yaml", HTTP_PROXY=proxy, http_proxy=proxy, NO_PROXY="", no_proxy="")
        assert any(request.startswith(f"GET {gateway}/") for request in seen), seen
        seen.clear()
        host = urlsplit(gateway).hostname or ""
        shell.kplan("plan", "stack.yaml", HTTP_PROXY=proxy, http_proxy=proxy, NO_PROXY=host, no_proxy=host)
        assert seen == []
