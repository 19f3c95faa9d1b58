"""stacks/estate on real servers: its README is followed, and each environment is applied, empty to plan, and removed.

One broker with a listener for tokens and an authorizer, and two Connect clusters, are those of all environments.
`vault` and `sops` are stand-ins with the documented command lines; the real ones are untried.
tests/docs/test_estate.py has what needs no server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.docs.test_estate import ESTATE, SECTIONS
from tests.guides import Reader
from tests.services import ConnectWorker, Postgres, PostgresDatabase, ServiceMissing
from tests.services.downloads import plugin_path
from tests.services.fixtures import without
from tests.services.issuer import AUDIENCE, Issuer, run_issuer
from tests.services.registry import Registry
from tests.services.secure import OAuthKafka
from tests.services.test_facts import until
from tests.shell import Shell

CLIENT_SECRET = "canary-estate-client-1"
CONNECT_PASSWORD, SINKS_PASSWORD = "canary-estate-connect-2", "canary-estate-sinks-3"
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:kplan",
}
SINKS_TOPICS = {
    "config.storage.topic": "sinks-configs",
    "offset.storage.topic": "sinks-offsets",
    "status.storage.topic": "sinks-status",
}
VAULT = f"""#!/bin/sh
echo "vault $*" >> "$RUNS"
test "$*" = "kv get -format=json kv/kplan" && test "$VAULT_ADDR" = https://vault.example.com:8200 || exit 2
echo '{{"data": {{"data": {{"client_secret": "{CLIENT_SECRET}", "connect_password": "{CONNECT_PASSWORD}",'
echo '"sinks_password": "{SINKS_PASSWORD}"}}, "metadata": {{"version": 3}}}}}}'
"""
SOPS = """#!/bin/sh
echo "sops $1 $(basename "$2")" >> "$RUNS"
test "$1" = -d && grep -q '^sops:' "$2" || exit 1
printf 'db_password: %s\\ndb_port: %s\\n' PASSWORD PORT
"""


@dataclass(frozen=True)
class Servers:
    """What all environments of the estate use here."""

    issuer: Issuer
    kafka: OAuthKafka
    connect: ConnectWorker
    sinks: ConnectWorker


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(run_issuer({"kplan": CLIENT_SECRET}))
        try:
            folder = tmp_path_factory.mktemp("certificates")
            kafka = OAuthKafka(folder, issuer.keys_url, AUDIENCE, issuer.name, AUTHORIZER)
            stack.enter_context(kafka)
            passwords = {"SHOP_DB_PASSWORD": postgres.password}
            plugins = plugin_path()
            workers = (
                ConnectWorker(kafka.bootstrap, plugins, environment=passwords),
                ConnectWorker(kafka.bootstrap, plugins, SINKS_TOPICS, group="connect-sinks"),
            )
            with ThreadPoolExecutor() as pool:  # each takes a while to start
                connect, sinks = pool.map(stack.enter_context, workers)
        except ServiceMissing as missing:
            without(missing)
        yield Servers(issuer, kafka, connect, sinks)


@dataclass
class Operator(Reader):
    """Has the addresses of this run, and a database for the shop."""

    servers: Servers
    registry: Registry
    database: PostgresDatabase

    def here(self, text: str) -> str:
        places = {"localhost:29092": self.servers.kafka.bootstrap, "http://localhost:28083": self.servers.connect.url}
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def insert_order(self, item: str) -> None:
        self.database.execute_as_user("INSERT INTO orders (item) VALUES (%s)", item)


@pytest.fixture
def operator(
    request: pytest.FixtureRequest, servers: Servers, registry: Registry, postgres: Postgres, tmp_path: Path
) -> Operator:
    database = postgres.database("estate")
    for table in ("orders", "customers"):
        database.execute_as_user(f"CREATE TABLE {table} (id serial PRIMARY KEY, item text)")
    shutil.copytree(ESTATE, tmp_path / "estate", ignore=shutil.ignore_patterns(".kplan"))
    addresses = {
        "KPLAN_VAR_db_host": database.host, "KPLAN_VAR_db_port": str(database.port), "KPLAN_VAR_db_name": "estate",
        "KPLAN_VAR_archive": str(tmp_path),
    }  # fmt: skip
    shell = Shell(tmp_path / "estate", addresses, (CLIENT_SECRET, CONNECT_PASSWORD, SINKS_PASSWORD, database.password))
    settings = (shell.folder / "kplan.yaml").read_text("utf-8")
    shell.write("kplan.yaml", settings.replace("http://localhost:28081/apis/ccompat/v7", registry.url))
    for name in ("staging.env", "prod.env"):
        write_addresses(shell, name, servers, registry)
    return Operator(shell, servers, registry, database)


def write_addresses(shell: Shell, name: str, servers: Servers, registry: Registry) -> None:
    """Write this run's addresses into a file of addresses, as the page asks for."""
    own = {
        "KAFKA_BROKERS": servers.kafka.at("TOKENS"), "KAFKA_CA": str(servers.kafka.servers.file),
        "TOKEN_URL": servers.issuer.token_url, "CONNECT_URL": servers.connect.url, "SINKS_URL": servers.sinks.url,
        "REGISTRY_URL": registry.url,
    }  # fmt: skip
    lines = (shell.folder / name).read_text("utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert own.keys() <= variables.keys()
    shell.write(name, "".join(f"{key}={value}\n" for key, value in {**variables, **own}.items()))


def list_topics(servers: Servers) -> set[str]:
    topics = AdminClient({"bootstrap.servers": servers.kafka.bootstrap}).list_topics(timeout=10).topics
    return {name for name in topics if name.startswith(("shop.", "platform."))}


def assert_removed(servers: Servers) -> None:
    assert not list_topics(servers)
    assert not servers.connect.request("GET", "/connectors") and not servers.sinks.request("GET", "/connectors")


def test_dev_on_a_broker_of_your_own(operator: Operator) -> None:
    operator.follow(SECTIONS["dev, on your machine"])
    assert_removed(operator.servers)


def test_staging_has_two_connects_and_a_login_by_token(operator: Operator, tmp_path: Path) -> None:
    servers, shell = operator.servers, operator.shell
    shell.environment |= {"CLIENT_SECRET": CLIENT_SECRET, "SHOP_DB_PASSWORD": operator.database.password}
    before, middle, after = SECTIONS["staging"].partition("A pull request is planned")
    issued = len(servers.issuer.issued)
    operator.follow(before)
    assert len(servers.issuer.issued) > issued
    assert servers.connect.request("GET", "/connectors") == ["shop-tables"]
    assert servers.sinks.request("GET", "/connectors") == ["orders-archive"]
    operator.insert_order("tea")
    archive = tmp_path / "orders.jsonl"
    until(lambda: archive.exists() and '"item":"tea"' in archive.read_text("utf-8"))
    platform = (shell.folder / "teams" / "platform.yaml").read_text("utf-8")
    platform = platform.replace("audit.avsc", "teams/audit.avsc")
    shell.write("greedy.yaml", f"{platform}removed: [{{topic: sinks-offsets}}]\n")
    where = ("--env", "staging", "--env-file", "staging.env")
    assert "error[K234]" in shell.kplan("plan", "greedy.yaml", *where, expect=4).err
    assert "sinks-offsets" not in shell.kplan("list", "--unowned", *where).out
    compared = ("diff", "teams", "--env", "dev", "--env", "staging", "--env-file", "staging=staging.env", "--read-live")
    differences = shell.kplan(*compared).out
    assert "live in dev: 25 resources not as declared" in differences
    assert "live in staging: all as declared" in differences
    operator.follow(middle + after)
    assert_removed(servers)
    shell.secrets += tuple(servers.issuer.issued[issued:])
    shell.assert_no_secret_on_disk()


def test_prod_takes_passwords_from_vault_and_sops(operator: Operator, tmp_path: Path) -> None:
    shell, runs = operator.shell, tmp_path / "runs"
    sops = SOPS.replace("PASSWORD", operator.database.password).replace("PORT", str(operator.database.port))
    (tmp_path / "bin").mkdir()
    for name, text in {"vault": VAULT, "sops": sops}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    shell.environment |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "RUNS": str(runs)}
    settings = (shell.folder / "kplan.yaml").read_text("utf-8")
    for wanted in ("replication_factor: 3", "min.insync.replicas: 2", "replication_factor: {minimum: 3}"):
        assert settings.count(wanted) == 1
        settings = settings.replace(wanted, wanted.replace("3", "1").replace("2", "1"))  # one broker is there
    shell.write("kplan.yaml", settings)
    issued = len(operator.servers.issuer.issued)
    operator.follow(SECTIONS["prod"])
    assert runs.read_text().splitlines().count("vault kv get -format=json kv/kplan") == 1
    assert runs.read_text().splitlines().count("sops -d secrets.prod.yaml") == 1
    assert len(operator.servers.issuer.issued) > issued, "the secret from Vault logs in"
    shell.assert_no_secret_on_disk()
