"""`kplan doctor` on real servers: what it says where all is well, and of each set-up in docs/troubleshooting.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.guides import DOCS
from tests.schemas import published, strict
from tests.services import ConnectWorker, KafkaCluster, ServiceMissing
from tests.services.fixtures import without
from tests.services.process import free_port
from tests.services.registry import Registry
from tests.services.secure import SecureKafka
from tests.shell import Shell

SASL, WRONG = "canary-doctor+1", "wrong-canary-doctor-2"
SCHEMA = strict(published("doctor.v1"))
LOGIN = {
    "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "doctor",
    "sasl.password": SASL,
}  # fmt: skip


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    try:
        with SecureKafka(tmp_path_factory.mktemp("certificates")) as kafka:
            kafka.add_user("doctor", SASL)
            yield kafka
    except ServiceMissing as missing:
        without(missing)


def examine(
    folder: Path, kafka: Mapping[str, str], connect: str = "", registry: str = "", *stacks: str
) -> tuple[int, dict[str, Any], str]:
    """The exit code and the document of one environment, and the words in it."""
    environment: dict[str, Any] = {"kafka": dict(kafka), "timeouts": {"request": "5s"}}
    environment |= {"connect": {"url": connect}} if connect else {}
    environment |= {"schema_registry": {"url": registry}} if registry else {}
    shell = Shell(folder, {}, (SASL, WRONG))
    shell.write("kplan.yaml", json.dumps({"version": 1, "default": "it", "environments": {"it": environment}}))
    ended = shell.kplan("doctor", *stacks, "--format", "json", expect=None)
    document = json.loads(ended.out)
    jsonschema.validate(document, SCHEMA)
    return ended.code, document, "\n".join(f"{check['text']}\n{check.get('help', '')}" for check in document["checks"])


def read_sections() -> dict[str, list[str]]:
    """The lines that docs/troubleshooting.md shows, by the titles of its sections."""
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    found = re.findall(r"^## ([^\n]+)\n\n```text\n(.+?)```$", text, re.MULTILINE | re.DOTALL)
    return {title: lines.splitlines() for title, lines in found}


SECTIONS = read_sections()


@dataclass(frozen=True)
class Setup:
    """What is wrong in one section: the brokers' settings, and Connect's address."""

    kafka: Mapping[str, str]
    connect: str = ""
    exit_code: int = 1


def make_setups(secure: SecureKafka, kafka: KafkaCluster, connect: ConnectWorker) -> dict[str, Setup]:
    ca = {"ssl.ca.location": str(secure.servers.file)}
    controller = secure.brokers[1].properties["controller.quorum.voters"].partition("@")[2]
    scram = {"bootstrap.servers": secure.at("SCRAM"), **LOGIN, **ca}
    plain_login = {**LOGIN, "security.protocol": "SASL_PLAINTEXT"}
    tokens = {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "kplan", "sasl.oauthbearer.client.secret": SASL,
        "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{free_port()}/token",
    }  # fmt: skip
    setups = [
        Setup({"bootstrap.servers": controller}),
        Setup({"bootstrap.servers": secure.at("MUTUAL")}),
        Setup({"bootstrap.servers": secure.bootstrap, **plain_login}),
        Setup({**scram, "sasl.password": WRONG}),
        Setup(scram, exit_code=2),
        Setup({"bootstrap.servers": connect.url.removeprefix("http://")}),
        Setup({"bootstrap.servers": kafka.bootstrap}, f"http://{kafka.bootstrap}"),
        Setup({**scram, "bootstrap.servers": secure.at("EXPIRED")}),
        Setup({"bootstrap.servers": secure.at("SCRAM"), **ca, **tokens}),
        Setup({"bootstrap.servers": secure.at("NOWHERE")}),
    ]
    return dict(zip(SECTIONS, setups, strict=True))


@pytest.mark.parametrize("title", SECTIONS)
def test_each_set_up_of_the_guide_is_named_as_it_says(
    title: str, tmp_path: Path, secure: SecureKafka, kafka: KafkaCluster, connect: ConnectWorker
) -> None:
    setup = make_setups(secure, kafka, connect)[title]
    code, document, text = examine(tmp_path, setup.kafka, setup.connect)
    assert code == setup.exit_code, text
    assert document["status"] == {1: "failed", 2: "lacking"}[setup.exit_code]
    failed = [check for check in document["checks"] if check["result"] in ("failed", "lacking")]
    said = "\n".join(f"{check['text']}\n{check['help']}" for check in failed)
    for line in SECTIONS[title]:
        assert line in said
    assert all(check["code"].startswith("K") for check in failed)


def test_servers_that_are_well_are_described(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, registry: Registry
) -> None:
    code, document, text = examine(tmp_path, {"bootstrap.servers": kafka.bootstrap}, connect.url, registry.url)
    assert code == 0, text
    found = {(check["server"], check["subject"]): check for check in document["checks"]}
    assert {check["result"] for check in document["checks"]} <= {"ok", "absent"}
    assert kafka.cluster_id in found["Kafka", "connection"]["text"]
    assert found["Kafka", "login"]["text"] == "as User:ANONYMOUS, PLAINTEXT"
    assert found["Kafka", "bindings"]["code"] == "K340", "this broker has no authorizer"
    assert "PostgresConnector" in found["Connect", "plugins"]["text"]
    assert found["Connect", "clock"]["text"] == "as on this machine"
    assert registry.url in found["Schema registry", "connection"]["text"]
    assert "__kplan" in found["State", "place"]["text"]
    shown = Shell(tmp_path).kplan("doctor").out.splitlines()
    assert "  ok       login           as User:ANONYMOUS, PLAINTEXT" in shown
    assert shown[0] == "environment it" and {"Kafka", "Connect", "Schema registry", "State"} <= set(shown)


def test_what_stacks_need_and_have_not_is_lacking(tmp_path: Path, secure: SecureKafka) -> None:
    """A user that may describe a topic of the stack, and nothing else."""
    admin = AdminClient({"bootstrap.servers": secure.bootstrap})
    admin.create_topics([NewTopic("doctor.orders", 1, 1)])["doctor.orders"].result(30)
    binding = AclBinding(ResourceType.TOPIC, "doctor.", ResourcePatternType.PREFIXED, "User:doctor", "*",
                         AclOperation.ALTER, AclPermissionType.ALLOW)  # fmt: skip
    admin.create_acls([binding])[binding].result(30)
    (tmp_path / "stack.yaml").write_text(
        "version: 1\nstack: doctor\ntopics: {doctor.orders: {}}\n"
        "access:\n  User:etl:\n    consume: {topics: [doctor.orders], group: etl}\n"
    )
    kafka = {"bootstrap.servers": secure.at("SCRAM"), **LOGIN, "ssl.ca.location": str(secure.servers.file)}
    code, document, text = examine(tmp_path, kafka, "", "", "stack.yaml")
    assert code == 2, text
    lacking = "\n".join(check["text"] for check in document["checks"] if check["result"] == "lacking")
    assert "AlterConfigs on 1 topic is missing: doctor.orders" in lacking
    assert "Delete on 1 topic is missing" in lacking and "Alter on 1 topic" not in lacking
    assert "missing ACL: Alter on Cluster for User:doctor" in lacking, "the stack declares bindings"
    absent = "\n".join(check["text"] for check in document["checks"] if check["result"] == "absent")
    assert "DescribeConfigs on Cluster" in absent, "it has no quotas"


def test_bindings_are_refused_at_plan_where_no_authorizer_is(tmp_path: Path, kafka: KafkaCluster) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: no-authorizer\naccess: {User:a: {produce: [x]}}\n")
    refused = shell.kplan("plan", "stack.yaml", "--bootstrap", kafka.bootstrap, expect=4)
    assert "error[K340]" in refused.err and "`authorizer.class.name`" in refused.err
