"""How kplan reaches a real Connect: by tokens of its own or an issuer's, below a path of a gateway, through a proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.fakes.http import Handler, serving
from tests.fakes.registry_gateway import forward, write_bearer
from tests.services import ConnectWorker, KafkaCluster
from tests.services.issuer import Issuer, run_issuer
from tests.shell import Shell

TOKEN, WRONG = "canary-connect-token-1", "wrong-canary-token-2"
SECRET = "canary-connect-client/3"
PREFIX = "/teams/cdc"


@contextmanager
def guard_connect(url: str, accepts: Callable[[str], bool]) -> Iterator[str]:
    """Serve the worker below PREFIX to those whose header `accepts` takes; yields the URL."""

    class Gate(Handler):
        def do_GET(self) -> None:
            body = self.read_body()
            if not accepts(self.headers.get("Authorization", "")):
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
    with guard_connect(connect.url, write_bearer(TOKEN).__eq__) as url:
        yield url


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with run_issuer({"kplan": SECRET}) as running:
        yield running


BY_TOKEN = {"token": "{{ env.CONNECT_TOKEN }}"}
BY_OIDC = {"oidc": {"token_url": "{{ env.TOKEN_URL }}", "client_id": "kplan", "client_secret": "{{ env.SECRET }}"}}


def use_connect(
    tmp_path: Path, kafka: KafkaCluster, url: str, name: str, login: Mapping[str, object] = BY_TOKEN
) -> Shell:
    """A project with one connector, and this way to Connect."""
    shell = Shell(tmp_path, {"CONNECT_TOKEN": TOKEN, "SECRET": SECRET}, (TOKEN, WRONG, SECRET))
    environment = {
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "connect": {"url": url, **login},
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


@dataclass
class Door:
    """Lets the issuer's tokens in, and notes them; `revoked` ones it refuses although they are valid."""

    issuer: Issuer
    used: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    revokes_after: int | None = None  # requests with one token

    def accepts(self, login: str) -> bool:
        is_revoked = self.revokes_after is not None and self.used.count(login) >= self.revokes_after
        is_accepted = self.issuer.accepts(login) and not is_revoked
        (self.used if is_accepted else self.refused).append(login)
        return is_accepted


def test_tokens_of_a_few_seconds_are_renewed_before_they_expire(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "seconds", 1)
    door = Door(issuer)
    with guard_connect(connect.url, door.accepts) as url:
        shell = use_connect(tmp_path, kafka, url, "oidc-source", BY_OIDC)
        shell.environment["TOKEN_URL"] = issuer.token_url
        shell.kplan("apply", "stack.yaml", "--yes", "--log-file", "run.log", "--log-level", "debug")
        assert connect.request("GET", "/connectors/oidc-source/status")["connector"]["state"] == "RUNNING"
        assert len(set(door.used)) > 1, "the run outlived its first token"
        assert door.refused == []
        shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
    shell.secrets += tuple(issuer.issued)
    shell.assert_no_secret_on_disk()


def test_a_revoked_token_is_replaced_once(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, issuer: Issuer
) -> None:
    door = Door(issuer, revokes_after=2)
    with guard_connect(connect.url, door.accepts) as url:
        shell = use_connect(tmp_path, kafka, url, "revoked-source", BY_OIDC)
        shell.environment["TOKEN_URL"] = issuer.token_url
        shell.kplan("apply", "stack.yaml", "--yes")
        assert door.refused and all(issuer.accepts(login) for login in door.refused)
        door.revokes_after = 0
        words = shell.kplan("plan", "stack.yaml", expect=1).words
        assert "error[K313]" in words and "401" in words, words
        assert "connect.oidc.scope" in words.partition("help:")[2], words
        door.revokes_after = None
        shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_an_issuer_without_a_token_is_named(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, issuer: Issuer
) -> None:
    shell = use_connect(tmp_path, kafka, connect.url, "untold-source", BY_OIDC)
    words = shell.kplan("plan", "stack.yaml", expect=1, SECRET=WRONG, TOKEN_URL=issuer.token_url).words
    assert "error[K336]" in words and "invalid_client" in words, words
    assert "connect.oidc.client_secret" in words.partition("help:")[2], words
    shell.environment |= {"TOKEN_URL": "http://127.0.0.1:9/token", "KAFKA_TOPIC_CREATION_RETRIES": "1"}
    words = shell.kplan("plan", "stack.yaml", expect=1).words
    assert "error[K310]" in words and "token endpoint http://127.0.0.1:9/token" in words, words


def test_no_secret_of_a_login_is_shown_even_if_the_issuer_repeats_it(
    tmp_path: Path, kafka: KafkaCluster, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = base64.b64encode(f"kplan:{quote(SECRET, safe='')}".encode()).decode()
    repeated = {"error": f"no client {SECRET}", "error_description": f"{quote(SECRET, safe='')} in Basic {header}"}
    monkeypatch.setattr(issuer, "answer", lambda: (400, json.dumps(repeated).encode()))
    login = {"oidc": {**BY_OIDC["oidc"], "token_url": issuer.token_url, "client_secret": SECRET}}
    shell = use_connect(tmp_path, kafka, "http://127.0.0.1:9", "canary-source", login)
    shell.secrets += (header, quote(SECRET, safe=""))
    words = shell.kplan("plan", "stack.yaml", "--log-file", "run.log", "--log-level", "debug", expect=1).words
    assert "error[K336]" in words and "no client (sensitive): (sensitive) in Basic (sensitive)" in words, words
    (tmp_path / "kplan.yaml").unlink()  # the person's own file
    shell.assert_no_secret_on_disk()


def test_the_setting_of_a_proxy_counts_before_the_variables(tmp_path: Path, kafka: KafkaCluster, gateway: str) -> None:
    seen: list[str] = []
    with run_proxy(seen) as proxy:
        shell = use_connect(tmp_path, kafka, gateway, "set-source", {**BY_TOKEN, "proxy": proxy})
        shell.kplan("plan", "stack.yaml", NO_PROXY="*", no_proxy="*")
        assert any(request.startswith(f"GET {gateway}/") for request in seen), seen
    shell = use_connect(tmp_path, kafka, gateway, "set-source", {**BY_TOKEN, "proxy": "direct"})
    nowhere = "http://127.0.0.1:9"
    shell.kplan("plan", "stack.yaml", HTTP_PROXY=nowhere, http_proxy=nowhere, NO_PROXY="", no_proxy="")
    shell = use_connect(tmp_path, kafka, gateway, "set-source", {**BY_TOKEN, "proxy": nowhere})
    words = shell.kplan("plan", "stack.yaml", expect=1, KAFKA_TOPIC_CREATION_RETRIES="1").words
    assert "error[K310]" in words and "connect.proxy" in words.partition("help:")[2], words
