"""A cluster that was made by other means, 200 topics and 20 connectors, is adopted whole and nothing is changed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.postgres import PostgresDatabase
from tests.services.test_walk import environment
from tests.shell import Shell

CDC = ("alpha", "beta", "gamma", "delta")  # Debezium's connectors, by their prefixes
TABLES = ("orders", "customers", "order_lines")
CONFIGS: tuple[dict[str, str], ...] = (
    {},
    {"cleanup.policy": "compact"},
    {"retention.ms": "86400000", "compression.type": "zstd"},
    {"cleanup.policy": "compact,delete", "segment.bytes": "104857600"},
    {"retention.ms": "12345", "max.message.bytes": "2097152", "min.cleanable.dirty.ratio": "0.3"},
)


def post(connect: ConnectWorker, name: str, config: dict[str, str]) -> None:
    for _ in range(30):  # 409 while the workers rebalance
        answer = requests.post(f"{connect.url}/connectors", json={"name": name, "config": config}, timeout=60)
        if answer.status_code != 409:
            break
        time.sleep(0.5)
    assert answer.status_code == 201, answer.text


def debezium(prefix: str, database: PostgresDatabase) -> dict[str, str]:
    """As somebody may have registered it: some of it as kplan's template does, some not."""
    listed = [rf"public\.{table}" if prefix == "alpha" else f"public.{table}" for table in TABLES]
    config = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": database.host,
        "database.port": str(database.port),
        "database.user": database.user,
        "database.password": database.password,
        "database.dbname": database.name,
        "topic.prefix": prefix,
        "plugin.name": "pgoutput",
        "slot.name": f"slot_{prefix}",
        "publication.autocreate.mode": "filtered",
        "publication.name": f"pub_{prefix}",
        "table.include.list": ",".join(listed),
    }
    more: dict[str, dict[str, str]] = {
        "alpha": {"snapshot.mode": "initial", "heartbeat.interval.ms": "10000", "decimal.handling.mode": "string"},
        "beta": {"tombstones.on.delete": "false", "max.batch.size": "512"},
        "gamma": {"table.include.list": "public.*", "snapshot.mode": "no_data"},
        "delta": {
            "transforms": "route",
            "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
            "transforms.route.regex": r"(.*)\.public\.(.*)",
            "transforms.route.replacement": "$1.$2",
        },
    }
    return config | more[prefix]


def names() -> Iterator[str]:
    for prefix in CDC:
        between = "." if prefix == "delta" else ".public."
        yield from (f"{prefix}{between}{table}" for table in TABLES)
    yield "__debezium-heartbeat.alpha"


@pytest.fixture
def made(kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres) -> Iterator[PostgresDatabase]:
    database = postgres.database("adopted")
    for table in TABLES:
        database.execute_as_user(f"CREATE TABLE {table} (id serial PRIMARY KEY, note text)")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    of_tables = list(names())
    plain = [f"adopt.{area}.t{n}" for n in range(47) for area in ("shop", "billing", "dwh", "sys")]
    every = [*of_tables, *plain][:201]
    topics = [
        NewTopic(name, 6 if n % 7 == 0 and name in plain else 3 if name in plain else 1, 1,
                 config=CONFIGS[n % len(CONFIGS)] if name in plain else {"retention.ms": "259200000"})
        for n, name in enumerate(every)
    ]  # fmt: skip
    for start in range(0, len(topics), 50):
        for future in admin.create_topics(topics[start : start + 50]).values():
            future.result(60)
    connectors = [f"cdc-{prefix}" for prefix in CDC]
    for name, prefix in zip(connectors, CDC, strict=True):
        post(connect, name, debezium(prefix, database))
    for n in range(16):
        sink = n % 4 == 0
        config = {
            "connector.class": f"org.apache.kafka.connect.file.FileStream{'Sink' if sink else 'Source'}Connector",
            "tasks.max": "1",
            "file": f"/tmp/adopted-{n}: {{{{ odd }}}} #1",
            **({"topics": plain[n]} if sink else {"topic": plain[n], "my.api.key": database.password}),
        }
        post(connect, name := f"files.{n}", config)
        connectors.append(name)
    settled(connect, {})  # one that is paused before it has its task gets none, or gets it later
    requests.put(f"{connect.url}/connectors/files.1/pause", timeout=30)
    requests.put(f"{connect.url}/connectors/files.2/stop", timeout=30)
    yield database
    for name in connectors:
        requests.delete(f"{connect.url}/connectors/{name}", timeout=30)
    for future in admin.delete_topics(every).values():
        future.result(60)


def settled(connect: ConnectWorker, other: dict[str, str], seconds: float = 90) -> None:
    """Waits until every connector runs and has its task; or is in its `other` state, where STOPPED has no tasks."""
    deadline = time.monotonic() + seconds
    while True:
        live = requests.get(f"{connect.url}/connectors?expand=status&expand=info", timeout=30).json()
        left = {
            name: (state, tasks)
            for name, each in live.items()
            for state, tasks in [(each["status"]["connector"]["state"], each["info"]["tasks"])]
            if state != other.get(name, "RUNNING") or bool(tasks) == (state == "STOPPED")
        }
        if len(live) >= 20 and not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def test_a_cluster_made_by_other_means_is_adopted_whole(
    kafka: KafkaCluster, connect: ConnectWorker, made: PostgresDatabase, tmp_path: Path
) -> None:
    settled(connect, {"files.1": "PAUSED", "files.2": "STOPPED"})
    before = requests.get(f"{connect.url}/connectors?expand=info", timeout=30).json()
    shell = Shell(tmp_path, {}, (made.password,))
    shell.write("kplan.yaml", environment(kafka, connect))
    imported = shell.kplan("import", "--out", "all.yaml", "--stack", "all")
    text = (tmp_path / "all.yaml").read_text()
    assert "and 20 connectors, " in imported.err, imported.err
    assert text.count("template: debezium-postgres") == 4
    assert "\n    tables: [orders" in text or "\n    tables:\n      orders:" in text
    variables = re.findall(r"\{env: (\w+), sensitive: true\}", text)
    assert len(variables) == 2, "the one password of four connectors, and the one key of twelve"
    secrets = dict.fromkeys(variables, made.password)
    shell.kplan("fmt", "--check", "all.yaml")
    shell.kplan("validate", "all.yaml")
    shell.kplan("import", "--out-dir", "stacks")
    stacks = "".join(file.read_text() for file in (tmp_path / "stacks").iterdir())
    passwords = dict.fromkeys(re.findall(r"\{env: (\w+), sensitive: true\}", stacks), made.password)
    plans = json.loads(shell.kplan("plan", "stacks", "--format", "json", "--detailed-exitcode", **passwords).out)[
        "plans"
    ]
    assert {action for each in plans for change in each["changes"] for action in change["actions"]} == {"adopt"}
    assert sum(len(each["changes"]) for each in plans) >= 221
    plan = shell.kplan("plan", "all.yaml", "--detailed-exitcode", "--out", "plan.json", **secrets)
    changes = json.loads((tmp_path / "plan.json").read_text())["changes"]
    assert {tuple(each["actions"]) for each in changes} == {("adopt",)}
    assert len(changes) >= 221, plan.all
    shell.kplan("apply", "all.yaml", "--yes", **secrets)
    assert "No changes." in shell.kplan("plan", "all.yaml", "--detailed-exitcode", **secrets).out
    assert not json.loads(shell.kplan("plan", "all.yaml", "--format", "json", **secrets).out)["changes"]
    after = requests.get(f"{connect.url}/connectors?expand=info", timeout=30).json()
    assert after == before, "nothing was changed"
    shell.assert_no_secret_on_disk()
