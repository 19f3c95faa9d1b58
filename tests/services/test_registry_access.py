"""How kplan reaches a real registry: by a login, a token or a certificate, with a right to read alone, and through
one that sets no level of a subject that does not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.http import Handler, serving
from tests.fakes.registry_gateway import forward, guard_registry, require_certificate, write_basic, write_bearer
from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.cdc import SETTINGS as CDC_SETTINGS
from tests.services.cdc import captured
from tests.services.issuer import run_issuer
from tests.services.registry import CCOMPAT, Registry
from tests.services.secure import Authority
from tests.services.test_cdc_schemas import SCHEMAS, decode_rows
from tests.services.test_subjects import ORDER, read_level, read_versions
from tests.shell import Shell

PASSWORD, TOKEN = "canary-registry-1", "canary-token-2"
LOGINS = {write_basic("ann", PASSWORD): True, write_basic("bob", PASSWORD): False, write_bearer(TOKEN): True}


@pytest.fixture(scope="module")
def gateway(registry: Registry) -> Iterator[str]:
    """The registry's URL, where `ann` and the token may do everything, and `bob` may read."""
    with guard_registry(registry.url, LOGINS) as url:
        yield url


def use_registry(tmp_path: Path, kafka: KafkaCluster, login: Mapping[str, object], stack: str) -> Shell:
    """A project with one subject, and this way to the registry."""
    shell = Shell(tmp_path, secrets=(PASSWORD, TOKEN))
    environment = {
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "schema_registry": login,
        "state": {"sqlite": "s.db"},
    }
    shell.write("kplan.yaml", json.dumps({"version": 1, "default": "dev", "environments": {"dev": environment}}))
    shell.write("order.avsc", json.dumps(ORDER))
    shell.write("stack.yaml", f"version: 1\nstack: {stack}\nschemas: {{{stack}-value: {{file: order.avsc}}}}\n")
    shell.environment |= {"REGISTRY_PASSWORD": PASSWORD, "REGISTRY_TOKEN": TOKEN}
    return shell


@pytest.mark.parametrize(
    ("stack", "login"),
    [
        ("by-login", {"username": "ann", "password": "{{ env.REGISTRY_PASSWORD }}"}),
        ("by-token", {"token": "{{ env.REGISTRY_TOKEN }}"}),
    ],
)
def test_a_login_and_a_token_let_kplan_in(
    tmp_path: Path, kafka: KafkaCluster, registry: Registry, gateway: str, stack: str, login: dict[str, str]
) -> None:
    shell = use_registry(tmp_path, kafka, {"url": gateway, **login}, stack)
    shell.kplan("apply", "stack.yaml", "--yes", "--log-level", "debug")
    assert read_versions(registry, f"{stack}-value") == [1]
    shell.assert_no_secret_on_disk()


def test_tokens_of_an_issuer_let_kplan_in(tmp_path: Path, kafka: KafkaCluster, registry: Registry) -> None:
    login = {"token_url": "{{ env.TOKEN_URL }}", "client_id": "kplan", "client_secret": "{{ env.REGISTRY_PASSWORD }}"}
    with (
        run_issuer({"kplan": PASSWORD}) as issuer,
        guard_registry(registry.url, lambda header: issuer.accepts(header) or None) as url,
    ):
        shell = use_registry(tmp_path, kafka, {"url": url, "oidc": login}, "by-issuer")
        shell.environment["TOKEN_URL"] = issuer.token_url
        shell.kplan("apply", "stack.yaml", "--yes", "--log-level", "debug")
        assert read_versions(registry, "by-issuer-value") == [1]
        shell.secrets += tuple(issuer.issued)
        shell.assert_no_secret_on_disk()
        refused = shell.kplan("plan", "stack.yaml", expect=1, REGISTRY_PASSWORD="not-this")
    assert "K336" in refused.err and "schema_registry.oidc.client_secret" in refused.words


def test_a_certificate_lets_kplan_in(tmp_path: Path, kafka: KafkaCluster, registry: Registry) -> None:
    servers, clients = Authority("servers", tmp_path), Authority("clients", tmp_path)
    certificate, key = clients.sign("kplan")
    with guard_registry(registry.url, None, require_certificate(*servers.sign("registry"), clients.file)) as url:
        trusted = {"url": url, "ca": str(servers.file)}
        shell = use_registry(tmp_path, kafka, trusted, "by-certificate")
        assert "K317" in shell.kplan("plan", "stack.yaml", expect=1).err
        own = {**trusted, "certificate": str(certificate), "key": str(key)}
        use_registry(tmp_path, kafka, own, "by-certificate").kplan("apply", "stack.yaml", "--yes")
    assert read_versions(registry, "by-certificate-value") == [1]


def test_a_wrong_login_and_a_missing_right_are_said(
    tmp_path: Path, kafka: KafkaCluster, registry: Registry, gateway: str
) -> None:
    shell = use_registry(tmp_path, kafka, {"url": gateway, "username": "ann", "password": "not-this"}, "denied")
    assert "check the login under `schema_registry`" in shell.kplan("plan", "stack.yaml", expect=1).err
    reader = {"url": gateway, "username": "bob", "password": "{{ env.REGISTRY_PASSWORD }}"}
    shell = use_registry(tmp_path, kafka, reader, "denied")
    shell.kplan("plan", "stack.yaml")
    ended = shell.kplan("apply", "stack.yaml", "--yes", expect=7)
    assert "403" in ended.all and "docs/permissions.md" in ended.all
    assert read_versions(registry, "denied-value") == []


def test_an_address_without_a_registry_is_said(tmp_path: Path, kafka: KafkaCluster, registry: Registry) -> None:
    shell = use_registry(tmp_path, kafka, {"url": "http://127.0.0.1:1"}, "nowhere")
    assert "the schema registry does not answer" in shell.kplan("plan", "stack.yaml", expect=1).err
    shell = use_registry(tmp_path, kafka, {"url": registry.url.removesuffix(CCOMPAT)}, "nowhere")
    assert "check `schema_registry.url`" in shell.kplan("plan", "stack.yaml", expect=1).err


@contextmanager
def refuse_early_levels(registry: Registry) -> Iterator[str]:
    """The registry's URL, where a level of a subject that does not exist is refused with 404."""

    class Gate(Handler):
        def do_GET(self) -> None:
            subject = self.path.rpartition("/config/")[2]
            body = self.read_body()
            if self.command == "PUT" and not read_versions(registry, subject):
                self.send(404, b'{"error_code": 40401, "message": "Subject not found."}')
            else:
                self.send(*forward(f"http://127.0.0.1:{registry.port}{self.path}", self.command, body))

        do_POST = do_PUT = do_DELETE = do_GET

    with serving(Gate) as url:
        yield url + CCOMPAT


def test_a_level_that_is_refused_early_waits_for_the_first_record(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = captured(Shell(tmp_path), kafka, connect, postgres, "avrolate")
    with refuse_early_levels(registry) as url:
        settings = CDC_SETTINGS.format(kafka=kafka, connect=connect).replace("settle: 30s", "settle: 8s")
        place = f'    schema_registry: {{url: "{url}", connect_url: "{registry.url}"}}\n'
        made.shell.write("kplan.yaml", settings + place)
        made.create("orders")
        made.declare(block=SCHEMAS)
        value = f"{made.topic('orders')}-value"
        ended = made.apply()
        assert "K348: waits for the first record" in ended.all
        assert read_level(registry, value) is None
        made.insert("orders", "first")
        decode_rows(kafka, registry, made.topic("orders"), 1)
        assert f"subject/{value}" in made.kplan("plan").out
        made.apply()
        assert read_level(registry, value) == "BACKWARD"
        assert "No changes" in made.kplan("plan").out
        made.destroy()
