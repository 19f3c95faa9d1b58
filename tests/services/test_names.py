"""The topics that a stack expands to are those that Debezium writes to: odd names, patterns, transforms, columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.test_walk import environment, records, topics
from tests.shell import Shell

LOGIN = 'hostname: "{host}", port: {port}, user: "{user}", password: "{{{{ var.password }}}}"'
STACK = """
version: 1
stack: {name}
variables:
  password: {{type: string, sensitive: true}}
connectors:
  {name}:
    template: {template}
    topic_prefix: {name}
    heartbeat: 1000
    transactions: true
    database: {{{login}, name: "{database}"}}
    tables:
      "{schema}odd$name": {{key: [tenant, id], columns: {{exclude: [card], mask: {{email: 4}}, truncate: {{note: 3}}}}}}
      "{schema}shard_1":
      "{schema}shard_2": {{partitions: 3}}
      {pattern}:
      {excluded}:
    topics:
      {name}.{where}.part_1:
    config:
      key.converter.schemas.enable: false
      transforms: shards,short
      transforms.shards.type: io.debezium.transforms.{router}
      transforms.shards.topic.regex: (.*\\.shard)_\\d
      transforms.shards.topic.replacement: $1
      transforms.short.type: org.apache.kafka.connect.transforms.RegexRouter
      transforms.short.regex: (?<whole>.*\\.shard)
      transforms.short.replacement: routed.${{whole}}
"""
PG_TABLES = ("part_9", '"odd$name"', "shard_1", "shard_2", "part_1")  # the excluded one first
MARIA_TABLES = ("part_9", "`odd$name`", "shard_1", "shard_2", "part_1")
TABLE = "id int, tenant int, note varchar(20), card varchar(20), email varchar(20), PRIMARY KEY (id)"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", environment(kafka, connect))
    return made


def rows(kafka: KafkaCluster, topic: str, count: int) -> list[Any]:
    return [record["after"] for record in records(kafka, topic, count)]


def holds(shell: Shell, kafka: KafkaCluster, name: str, where: str) -> None:
    """Each row is in the topic that its table expands to; that of the excluded table would have stopped them all."""
    assert rows(kafka, f"{name}.{where}.odd_name", 1) == [{"id": 1, "tenant": 7, "note": "abc", "email": "****"}]
    assert sorted(row["id"] for row in rows(kafka, f"routed.{name}.{where}.shard", 2)) == [2, 3]
    assert [row["id"] for row in rows(kafka, f"{name}.{where}.part_1", 1)] == [4]
    assert records(kafka, f"{name}.transaction", 1)
    assert topics(kafka, f"routed.{name}") == {f"routed.{name}.{where}.shard": 3}
    assert "No changes." in shell.kplan("plan", "stack.yaml").out


def test_postgres(shell: Shell, kafka: KafkaCluster, postgres: Postgres) -> None:
    database = postgres.database("names")
    for table in PG_TABLES:
        database.execute_as_user(f"CREATE TABLE {table} ({TABLE})")
    shell.environment["KPLAN_VAR_password"] = postgres.password
    shell.secrets = (postgres.password,)
    login = LOGIN.format(host=database.host, port=database.port, user=database.user)
    own = {"name": "npg", "template": "debezium-postgres", "router": "ToLogicalTopicRouter", "schema": ""}
    tables = {"where": "public", "pattern": r"public\.part_\d", "excluded": '"!public.part_9"'}
    shell.write("stack.yaml", STACK.format(login=login, database=database.name, **own, **tables))
    shell.kplan("apply", "stack.yaml", "--yes")
    for number, table in enumerate(PG_TABLES):
        database.execute_as_user(f"INSERT INTO {table} VALUES ({number}, 7, 'abcdef', '1234', 'a@b.example')")
    holds(shell, kafka, "npg", "public")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_mariadb(shell: Shell, kafka: KafkaCluster, mariadb: MariaDB) -> None:
    mariadb.database("names")
    for table in MARIA_TABLES:
        mariadb.execute(f"CREATE TABLE names.{table} ({TABLE})")
    shell.environment["KPLAN_VAR_password"] = mariadb.password
    shell.secrets = (mariadb.password,)
    login = LOGIN.format(host=mariadb.host, port=mariadb.port, user=mariadb.user)
    own = {"name": "nma", "template": "debezium-mariadb", "router": "ByLogicalTableRouter", "schema": "names."}
    tables = {"where": "names", "pattern": r"names\.part_\d", "excluded": '"!names.part_9"'}
    shell.write("stack.yaml", STACK.format(login=login, database="names", **own, **tables))
    shell.kplan("apply", "stack.yaml", "--yes")
    for number, table in enumerate(MARIA_TABLES):
        mariadb.execute(f"INSERT INTO names.{table} VALUES ({number}, 7, 'abcdef', '1234', 'a@b.example')")
    holds(shell, kafka, "nma", "names")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
