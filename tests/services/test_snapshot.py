"""A snapshot of a real broker and a real Connect: no secret in it, and plans from it are true."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from jsonschema import Draft202012Validator

from kplan.model import Address, Connector, is_sensitive_key
from kplan.servers.access import Access
from kplan.servers.connect.connectors import ConnectConnectors
from tests.schemas import published
from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_walk import alter, environment, set_on
from tests.shell import Shell

SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
CANARY, HOST, FOREIGN = "canary-77aa-password", "canary-77bb-hidden-host", "canary-77cc-foreign"
SCHEMA = published("live.v1")


def stack(prefix: str, file: Path, more: str = "", batch: str = "100") -> str:
    """Two topics and a connector with secrets of two kinds: named like one, and declared as one."""
    return f"""
version: 1
stack: {prefix}
variables:
  pw: {{type: string, env: PW, sensitive: true}}
  host: {{type: string, env: HOST_NAME, sensitive: true}}
topics:
  {prefix}.lines: {{partitions: 2, replication_factor: 1, config: {{retention.ms: 7d{more}}}}}
  {prefix}.empty: {{partitions: 1, replication_factor: 1}}
connectors:
  {prefix}-source:
    class: {SOURCE}
    config:
      file: {file}
      topic: {prefix}.lines
      batch.size: {batch}
      db.password: "{{{{ var.pw }}}}"
      remote.host: "{{{{ var.host }}}}"
"""


def without_the_empty(text: str, prefix: str) -> str:
    """The topic without records is removed."""
    line = f"  {prefix}.empty: {{partitions: 1, replication_factor: 1}}\n"
    assert line in text
    return text.replace(line, "") + f"removed: [{{topic: {prefix}.empty}}]\n"


@pytest.fixture
def prefix() -> str:
    return f"snap{time.monotonic_ns() % 10**9}"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, prefix: str, tmp_path: Path) -> Iterator[Shell]:
    """The stack is applied, someone else's connector is there, and from here on no secret is known."""
    shell = Shell(tmp_path, {}, (CANARY, HOST, FOREIGN))
    shell.write("kplan.yaml", environment(kafka, connect))
    shell.write("stack.yaml", stack(prefix, tmp_path / "in.txt"))
    shell.kplan("apply", "stack.yaml", "--yes", PW=CANARY, HOST_NAME=HOST)
    connect.put_connector(
        f"{prefix}-foreign",
        {"connector.class": SOURCE, "topic": f"{prefix}.x", "tasks.max": "1", "api.key": FOREIGN,
         "connection.url": f"https://ann:{FOREIGN}@example.com/", "note": f"uses {FOREIGN} twice"},
    )  # fmt: skip
    yield shell
    connect.request("DELETE", f"/connectors/{prefix}-foreign")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:*", expect=None, PW=CANARY, HOST_NAME=HOST)


def take(shell: Shell, *arguments: str) -> Any:
    shell.kplan("snapshot", "--out", "live.json", *arguments)
    shell.assert_no_secret_on_disk()
    document = json.loads((shell.folder / "live.json").read_text("utf-8"))
    assert not [e.message for e in Draft202012Validator(SCHEMA).iter_errors(document)]
    return document


def test_a_snapshot_has_no_secret_and_a_plan_from_it_no_changes(shell: Shell, prefix: str) -> None:
    document = take(shell)
    own, foreign = (document["connectors"][f"{prefix}-{name}"] for name in ("source", "foreign"))
    for key in ("db.password", "remote.host"):
        assert own["config"][key] == {"sensitive": True}
    for key in ("api.key", "connection.url", "note"):
        assert foreign["config"][key] == {"sensitive": True}
    assert own["config"]["file"].endswith("in.txt") and own["config"]["topic"] == f"{prefix}.lines"
    assert own["state"] == "RUNNING" and [task["state"] for task in own["tasks"]] == ["RUNNING"]
    assert document["topics"][f"{prefix}.lines"]["config"] == {"retention.ms": "604800000"}
    assert not [name for name in document["topics"] if name in ("__consumer_offsets", "__kplan")]
    assert document["brokers"] == 1 and document["connect_version"]

    ended = shell.kplan("plan", "stack.yaml", "--live", "live.json", "--detailed-exitcode")
    assert "No changes." in ended.out and f"SNAPSHOT of cluster {document['cluster_id']}" in ended.out
    assert "note[K610]" in ended.err and "db.password, remote.host" in ended.err


def test_what_someone_else_changed_shows_as_drift(shell: Shell, kafka: KafkaCluster, prefix: str) -> None:
    alter(kafka, f"{prefix}.lines", "retention.ms", "1000")
    take(shell)
    found = shell.kplan("plan", "stack.yaml", "--live", "live.json", "--format", "json", expect=None).json
    (change,) = found["changes"]
    assert [(d["path"], d["before"], d["after"], d["cause"]) for d in change["diff"]] == [
        ("/config/retention.ms", "1000", "604800000", "drift")
    ]


def test_a_saved_plan_is_applied_with_secrets_that_are_given_then(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, prefix: str
) -> None:
    take(shell)
    changed = stack(prefix, shell.folder / "in.txt", ", segment.ms: 1h", "200")
    shell.write("stack.yaml", without_the_empty(changed, prefix))
    planned = shell.kplan("plan", "stack.yaml", "--live", "live.json", "--out", "plan.json")
    assert "0 to add, 2 to change, 1 to delete" in planned.out
    assert "K219" in shell.kplan("apply", "plan.json", expect=4, PW=CANARY).err

    rotated = CANARY + "-rotated"
    shell.kplan("apply", "plan.json", PW=rotated, HOST_NAME=HOST)
    assert set_on(kafka, f"{prefix}.lines")["segment.ms"] == "3600000"
    config = connect.request("GET", f"/connectors/{prefix}-source/config")
    assert config["batch.size"] == "200"
    assert config["db.password"] == rotated, "what the stack says is what is set"
    again = shell.kplan("plan", "stack.yaml", "--detailed-exitcode", PW=rotated, HOST_NAME=HOST)
    assert "No changes." in again.out
    shell.assert_no_secret_on_disk()


def test_records_that_come_after_the_review_stop_the_apply(shell: Shell, kafka: KafkaCluster, prefix: str) -> None:
    take(shell)
    shell.write("stack.yaml", without_the_empty(stack(prefix, shell.folder / "in.txt"), prefix))
    shell.kplan("plan", "stack.yaml", "--live", "live.json", "--out", "plan.json")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(f"{prefix}.empty", b"a record")
    assert producer.flush(20) == 0
    assert "K401" in shell.kplan("apply", "plan.json", expect=5, PW=CANARY, HOST_NAME=HOST).err
    assert take(shell)["topics"][f"{prefix}.empty"]["records"] == 1


def test_the_plugins_say_which_settings_are_passwords(connect: ConnectWorker) -> None:
    backend = ConnectConnectors(Access([connect.url]))
    try:
        whole, short = (Connector(name, {"connector.class": name}) for name in (POSTGRES, "PostgresConnector"))
        unknown = Connector("x", {"connector.class": "org.example.Nowhere"})
        found = backend.passwords([whole, short, unknown])
    finally:
        backend.close()
    assert found[whole.address] == found[short.address]
    assert "database.password" in found[whole.address]
    assert unknown.address not in found
    assert [key for key in found[Address("connector", POSTGRES)] if is_sensitive_key(key)]
