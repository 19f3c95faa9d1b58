"""The main job on real services: topics of three tables, rows that flow, a fourth table, nothing left at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.shell import Shell


def environment(kafka: KafkaCluster, connect: ConnectWorker) -> str:
    return f"""
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    timeouts: {{request: 10s, settle: 60s}}
"""


def ask(connect: ConnectWorker, method: str, path: str) -> tuple[int, Any]:
    """What the worker answers: the status, and the body where there is one."""
    answer = requests.request(method, connect.url + path, timeout=100)
    return answer.status_code, answer.json() if answer.content else None


def topics(kafka: KafkaCluster, prefix: str) -> dict[str, int]:
    """Partitions of the topics whose names start with `prefix`."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    found = admin.list_topics(timeout=10).topics
    return {name: len(t.partitions) for name, t in found.items() if name.startswith(prefix)}


def set_on(kafka: KafkaCluster, topic: str) -> dict[str, str]:
    """The configs that are set on the topic itself."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(10)
    return {name: entry.value for name, entry in entries.items() if entry.source == 1}


def records(kafka: KafkaCluster, topic: str, count: int, seconds: float = 40) -> list[dict[str, object]]:
    """The first `count` records of a topic, or what there is of them in time."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": f"test-{time.monotonic_ns()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = topics(kafka, topic)[topic]
    consumer.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
    found: list[dict[str, object]] = []
    deadline = time.monotonic() + seconds
    try:
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None and message.value():
                found.append(json.loads(message.value()))
    finally:
        consumer.close()
    return found


def rows(found: list[dict[str, object]]) -> list[object]:
    """The rows of change events, converters with and without an envelope of their own."""
    return [(r.get("payload", r) or {}).get("after") for r in found]  # type: ignore[union-attr]


def walk(
    shell: Shell,
    kafka: KafkaCluster,
    connect: ConnectWorker,
    name: str,
    prefix: str,
    table: Callable[[str], str],
    insert: Callable[[str, str], None],
) -> None:
    """Plan, apply, rows, plan, a fourth table by one line, destroy."""
    first = shell.kplan("plan", "stack.yaml", "--detailed-exitcode", expect=2)
    assert "Checked by the servers" in first.out
    insert("orders", "before the connector")
    shell.kplan("apply", "stack.yaml", "--yes")

    made = topics(kafka, prefix)
    for each, partitions in (("orders", 6), ("customers", 1), ("products", 1)):
        assert made[table(each)] == partitions
    assert set_on(kafka, table("orders"))["compression.type"] == "zstd"
    assert set_on(kafka, table("customers"))["retention.ms"] == "604800000"
    assert set_on(kafka, table("products"))["retention.ms"] == "259200000"

    for each in ("orders", "customers", "products"):
        insert(each, f"new {each}")
    assert len(records(kafka, table("orders"), 2)) == 2
    assert [r["note"] for r in rows(records(kafka, table("customers"), 1))] == ["new customers"]  # type: ignore[index]
    assert [r["note"] for r in rows(records(kafka, table("products"), 1))] == ["new products"]  # type: ignore[index]

    again = shell.kplan("plan", "stack.yaml", "--detailed-exitcode")
    assert "No changes." in again.out

    stack = (shell.folder / "stack.yaml").read_text()
    shell.write("stack.yaml", stack.replace("      customers:\n", "      customers:\n      shipments:\n"))
    plan = shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    assert "1 to add, 1 to change, 0 to delete" in plan.out
    shell.kplan("apply", "plan.json")
    insert("shipments", "new shipments")
    assert [r["note"] for r in rows(records(kafka, table("shipments"), 1))] == ["new shipments"]  # type: ignore[index]
    assert "No changes." in shell.kplan("plan", "stack.yaml").out

    refused = shell.kplan("destroy", "stack.yaml", "--yes", expect=3)
    assert "BLOCKED" in refused.out and f"--accept delete:topic/{table('orders')}" in refused.out
    assert topics(kafka, prefix).keys() >= made.keys(), "a refused destroy leaves everything"
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:*")
    assert topics(kafka, prefix) == {}
    assert [t for t in topics(kafka, "") if name in t] == []
    status, _ = ask(connect, "GET", f"/connectors/{name}")
    assert status == 404
    assert "Nothing to destroy" in shell.kplan("destroy", "stack.yaml", "--yes").out
    shell.assert_no_secret_on_disk()


def test_postgres_from_nothing_to_rows_and_back(
    kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path
) -> None:
    database = postgres.database("walk")
    for each in ("orders", "customers", "products", "shipments"):
        database.execute_as_user(f"CREATE TABLE {each} (id serial PRIMARY KEY, note text)")
    shell = Shell(tmp_path, {"KPLAN_VAR_password": database.password}, (database.password,))
    shell.write("kplan.yaml", environment(kafka, connect))
    shell.write(
        "stack.yaml",
        f"""
version: 1
stack: walk-postgres
variables:
  password: {{type: string, sensitive: true}}
connectors:
  walk-pg:
    template: debezium-postgres
    topic_prefix: walkpg
    heartbeat: 1000
    database:
      hostname: "{database.host}"
      port: {database.port}
      name: "{database.name}"
      user: "{database.user}"
      password: "{{{{ var.password }}}}"
    tables:
      orders: {{partitions: 6, config: {{compression.type: zstd}}}}
      customers:
      products: {{config: {{retention.ms: 3d}}}}
""",
    )
    walk(
        shell,
        kafka,
        connect,
        "walk-pg",
        "walkpg",
        lambda t: f"walkpg.public.{t}",
        lambda t, note: database.execute_as_user(f"INSERT INTO {t} (note) VALUES ('{note}')"),
    )


def test_mariadb_from_nothing_to_rows_and_back(
    kafka: KafkaCluster, connect: ConnectWorker, mariadb: MariaDB, tmp_path: Path
) -> None:
    mariadb.database("walkdb")
    for each in ("orders", "customers", "products", "shipments"):
        mariadb.execute(f"CREATE TABLE walkdb.{each} (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(100))")
    shell = Shell(tmp_path, {"KPLAN_VAR_password": mariadb.password}, (mariadb.password,))
    shell.write("kplan.yaml", environment(kafka, connect))
    shell.write(
        "stack.yaml",
        f"""
version: 1
stack: walk-mariadb
variables:
  password: {{type: string, sensitive: true}}
connectors:
  walk-maria:
    template: debezium-mariadb
    topic_prefix: walkmaria
    heartbeat: 1000
    database:
      hostname: "{mariadb.host}"
      port: {mariadb.port}
      name: walkdb
      user: "{mariadb.user}"
      password: "{{{{ var.password }}}}"
    tables:
      orders: {{partitions: 6, config: {{compression.type: zstd}}}}
      customers:
      products: {{config: {{retention.ms: 3d}}}}
""",
    )
    walk(
        shell,
        kafka,
        connect,
        "walk-maria",
        "walkmaria",
        lambda t: f"walkmaria.walkdb.{t}",
        lambda t, note: mariadb.execute(f"INSERT INTO walkdb.{t} (note) VALUES ('{note}')"),
    )


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", environment(kafka, connect))
    return made


def source_connector(name: str, topic: str, file: Path, **config: str) -> str:
    extra = "".join(f", {k.replace('_', '.')}: {v}" for k, v in config.items())
    return (
        f"  {name}:\n    class: org.apache.kafka.connect.file.FileStreamSourceConnector\n    topics: {{{topic}: }}\n"
        f"    config: {{file: {file}, topic: {topic}{extra}}}\n"
    )


def test_one_bad_topic_of_ten_leaves_nothing_behind(shell: Shell, kafka: KafkaCluster) -> None:
    names = "".join(f"  bad.t{n}:\n" for n in range(9))
    shell.write("stack.yaml", f"version: 1\nstack: bad\ntopics:\n{names}  bad.t9: {{replication_factor: 5}}\n")
    refused = shell.kplan("apply", "stack.yaml", "--yes", expect=4)
    assert "stack.yaml:13" in refused.all and "replication_factor 5, the cluster has" in refused.all
    assert topics(kafka, "bad.") == {}
    shell.kplan("apply", "stack.yaml", "--yes", "--offline", expect=7)
    assert topics(kafka, "bad.") == {}
    assert "10 to add" in shell.kplan("plan", "stack.yaml", "--offline").out


def test_a_connector_whose_class_is_missing_leaves_nothing_behind(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker
) -> None:
    good = "".join(source_connector(f"five-{n}", f"five.t{n}", shell.folder / "in") for n in range(4))
    shell.write(
        "stack.yaml",
        f"version: 1\nstack: five\nconnectors:\n{good}  five-bad: {{class: org.example.NoSuchConnector}}\n",
    )
    refused = shell.kplan("apply", "stack.yaml", "--yes", expect=4)
    assert "NoSuchConnector" in refused.all
    shell.kplan("apply", "stack.yaml", "--yes", "--offline", expect=7)
    assert topics(kafka, "five.") == {}
    _, names = ask(connect, "GET", "/connectors")
    assert [n for n in names if n.startswith("five")] == []


def failing_debezium(postgres: Postgres, name: str) -> str:
    """A connector that Connect accepts, and whose task fails a moment later: its publication is missing."""
    database = postgres.database(name)
    database.execute_as_user("CREATE TABLE orders (id serial PRIMARY KEY)")
    return f"""  {name}:
    template: debezium-postgres
    topic_prefix: {name}
    heartbeat: 1000
    database:
      hostname: "{database.host}"
      port: {database.port}
      name: "{database.name}"
      user: "{database.user}"
      password: "{{{{ var.password }}}}"
    tables: [orders]
    config: {{publication.autocreate.mode: disabled}}
"""


PASSWORD = "variables: {password: {type: string, sensitive: true}}\n"


def test_a_task_that_fails_after_the_201_is_rolled_back(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    shell.write(
        "stack.yaml", f"version: 1\nstack: late\n{PASSWORD}connectors:\n{failing_debezium(postgres, 'latefail')}"
    )
    ended = shell.kplan("apply", "stack.yaml", "--yes", "--offline", expect=7, KPLAN_VAR_password=postgres.password)
    assert "publication" in ended.all and "rolled back" in ended.all
    assert topics(kafka, "latefail") == {}
    assert ask(connect, "GET", "/connectors/latefail")[0] == 404


def test_a_topic_that_received_records_is_kept_and_named(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    lines = shell.write("in.txt", "one\ntwo\nthree\n")
    good = source_connector("kept-source", "kept.lines", lines)
    shell.write(
        "stack.yaml", f"version: 1\nstack: kept\n{PASSWORD}connectors:\n{good}{failing_debezium(postgres, 'keptfail')}"
    )
    ended = shell.kplan("apply", "stack.yaml", "--yes", "--offline", expect=8, KPLAN_VAR_password=postgres.password)
    assert "INCOMPLETE" in ended.out and "topic/kept.lines" in ended.out and "3 records" in ended.out
    assert list(topics(kafka, "kept")) == ["kept.lines"]
    assert ask(connect, "GET", "/connectors/kept-source")[0] == 404
    refused = shell.kplan("apply", "stack.yaml", "--yes", expect=8, KPLAN_VAR_password=postgres.password)
    assert "kplan recover" in refused.all
    shell.kplan("recover", "--yes", "--forget", "topic/kept.lines")
    assert "Nothing to recover" in shell.kplan("recover", "--list").out


def test_paused_by_hand_is_drift_and_state_and_config_change_together(shell: Shell, connect: ConnectWorker) -> None:
    base = "version: 1\nstack: pause\nconnectors:\n"
    shell.write("stack.yaml", base + source_connector("paused", "pause.t", shell.folder / "in"))
    shell.kplan("apply", "stack.yaml", "--yes")
    ask(connect, "PUT", "/connectors/paused/pause")
    wait_for_state(connect, "paused", "PAUSED")
    drifted = shell.kplan("plan", "stack.yaml", "--detailed-exitcode", expect=2)
    assert "paused -> running" in drifted.out and "changed live since the last apply" in drifted.out
    assert shell.kplan("plan", "stack.yaml", "--format", "json").json["drift"][0]["path"] == "/state"
    text = (
        base + source_connector("paused", "pause.t", shell.folder / "other", batch_size="10") + "    state: stopped\n"
    )
    shell.write("stack.yaml", text)
    shell.kplan("apply", "stack.yaml", "--yes")
    wait_for_state(connect, "paused", "STOPPED")
    assert ask(connect, "GET", "/connectors/paused/config")[1]["batch.size"] == "10"
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes")


def wait_for_state(connect: ConnectWorker, name: str, state: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status, body = ask(connect, "GET", f"/connectors/{name}/status")
        if status == 200 and body["connector"]["state"] == state:
            return
        time.sleep(0.2)
    pytest.fail(f"{name} is not {state}")


def test_a_stale_plan_is_refused_before_the_first_write(shell: Shell, kafka: KafkaCluster) -> None:
    shell.write("stack.yaml", "version: 1\nstack: stale\ntopics:\n  stale.a: {config: {retention.ms: 1d}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write(
        "stack.yaml", "version: 1\nstack: stale\ntopics:\n  stale.a: {config: {retention.ms: 2d}}\n  stale.b:\n"
    )
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    alter(kafka, "stale.a", "retention.ms", "3600000")
    ended = shell.kplan("apply", "plan.json", expect=5)
    assert "stale.a retention.ms: planned from 86400000, now 3600000" in ended.all
    assert list(topics(kafka, "stale.")) == ["stale.a"], "nothing was written"
    drift = shell.kplan("plan", "stack.yaml").out
    assert "changed both live and in the stack" in drift
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.kplan("destroy", "stack.yaml", "--yes")


def alter(kafka: KafkaCluster, topic: str, key: str, value: str) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(10)


def test_what_kafka_cannot_do_in_place_is_refused_and_never_silent(shell: Shell, kafka: KafkaCluster) -> None:
    shell.write("stack.yaml", "version: 1\nstack: fixed\ntopics:\n  fixed.a: {partitions: 3, replication_factor: 1}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", "version: 1\nstack: fixed\ntopics:\n  fixed.a: {partitions: 2, replication_factor: 1}\n")
    fewer = shell.kplan("plan", "stack.yaml", expect=4)
    assert "K232" in fewer.all and "--replace topic/fixed.a" in " ".join(fewer.all.split())
    shell.write("stack.yaml", "version: 1\nstack: fixed\ntopics:\n  fixed.a: {partitions: 3, replication_factor: 2}\n")
    factor = shell.kplan("plan", "stack.yaml", expect=4)
    assert "replication factor 2 of fixed.a needs as many brokers" in factor.all
    assert "replication" in shell.kplan("plan", "stack.yaml", "--offline", expect=4).all
    shell.kplan("destroy", "stack.yaml", "--yes")


def test_broker_defaults_and_referenced_secrets_are_no_difference(shell: Shell, connect: ConnectWorker) -> None:
    shell.write(
        "stack.yaml",
        "version: 1\nstack: quiet\ntopics:\n  quiet.a: {config: {retention.ms: 7d, segment.bytes: 1GiB}}\n"
        + "connectors:\n"
        + source_connector("quiet", "quiet.b", shell.folder / "in", some_password='"${env:SECRET}"'),
    )
    shell.kplan("apply", "stack.yaml", "--yes")
    assert ask(connect, "GET", "/connectors/quiet/config")[1]["some.password"] == "${env:SECRET}"
    for _ in range(2):
        assert "No changes." in shell.kplan("plan", "stack.yaml", "--detailed-exitcode").out
    shell.kplan("destroy", "stack.yaml", "--yes")


def test_state_in_the_cluster_is_there_on_every_machine(
    kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    shells = []
    for machine in ("one", "other"):
        (tmp_path / machine).mkdir()
        shell = Shell(tmp_path / machine)
        settings = environment(kafka, connect).replace("timeouts:", "state: {kafka_topic: __kplan_walk}\n    timeouts:")
        shell.write("kplan.yaml", settings)
        shell.write("stack.yaml", "version: 1\nstack: shared\ntopics: {shared.a: , shared.b: }\n")
        shells.append(shell)
    one, other = shells
    one.kplan("apply", "stack.yaml", "--yes")
    assert not (one.folder / ".kplan").exists()
    assert "No changes." in other.kplan("plan", "stack.yaml").out
    other.write("stack.yaml", "version: 1\nstack: shared\ntopics: {shared.a: }\n")
    assert "owned by this stack, according to the ledger" in other.kplan("plan", "stack.yaml", expect=3).out
    other.write("claim.yaml", "version: 1\nstack: thief\ntopics: {shared.a: }\n")
    assert "shared" in other.kplan("apply", "claim.yaml", "--yes", expect=4).all
    other.kplan("destroy", "stack.yaml", "--yes")
    assert "Nothing to destroy" in one.kplan("destroy", "stack.yaml", "--yes").out
    assert topics(kafka, "shared.") == {}


KILLED = """
import os, requests
from kplan.servers.connect.connectors import ConnectConnectors
act = ConnectConnectors.act
def half(self, changes, captured):
    act(self, changes[:1], captured)
    requests.put(os.environ["URL"] + "/connectors/" + changes[1].address.name + "/stop")
    os._exit(9)
ConnectConnectors.act = half
from kplan.__main__ import run
run(["destroy", "stack.yaml", "--yes"])
"""


def test_a_kill_in_the_middle_of_deleting_connectors_is_recovered(shell: Shell, connect: ConnectWorker) -> None:
    one, two = (source_connector(f"half-{n}", f"half.t{n}", shell.folder / "in") for n in (1, 2))
    shell.write("stack.yaml", f"version: 1\nstack: half\nconnectors:\n{one}{two}")
    shell.kplan("apply", "stack.yaml", "--yes")
    environment = {**os.environ, "URL": connect.url}
    subprocess.run([sys.executable, "-c", KILLED], cwd=shell.folder, env=environment, capture_output=True)
    assert ask(connect, "GET", "/connectors/half-1")[0] == 404
    held = shell.kplan("plan", "stack.yaml", expect=None)
    assert held.code == 8 or "has locked this stack" in held.out, "for as long as the killed one's session lasts"
    shell.kplan("recover", "--yes")
    for name in ("half-1", "half-2"):
        wait_for_state(connect, name, "RUNNING")
    assert "Nothing to recover" in shell.kplan("recover", "--list").out
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes")
