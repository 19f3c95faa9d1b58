"""A table is added to a running connector, and the rows it already has arrive: one edited line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.test_undo import SETTINGS
from tests.services.test_walk import PASSWORD, ask, records, topics
from tests.shell import Shell


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect))
    return made


def stack(name: str, template: str, database: str, tables: str, signal_table: str) -> str:
    return f"""
version: 1
stack: {name}
{PASSWORD}connectors:
  {name}:
    template: {template}
    topic_prefix: {name}
    heartbeat: 1000
    signal: {{topic: {name}.signals, table: {signal_table}}}
    new_tables: {{snapshot: incremental}}
    database: {database}
    tables: [{tables}]
"""


def test_rows_that_a_new_table_already_has_arrive(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    database = postgres.database("newtables")
    for table in ("orders", "shipments", "nokey"):
        key = "" if table == "nokey" else " PRIMARY KEY"
        database.execute_as_user(f"CREATE TABLE {table} (id serial{key}, note text)")
        database.execute_as_user(f"INSERT INTO {table} (note) SELECT 'row ' || n FROM generate_series(1, 3000) n")
    database.execute_as_user(
        "CREATE TABLE kplan_signal (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048))"
    )
    where = (
        f'{{hostname: "{database.host}", port: {database.port}, name: "{database.name}", user: "{database.user}", '
        'password: "{{ var.password }}"}'
    )

    shell.environment["KPLAN_VAR_password"] = postgres.password
    shell.secrets = (postgres.password,)

    def declare(tables: str) -> None:
        text = stack("newt", "debezium-postgres", where, tables, "public.kplan_signal")
        shell.write("stack.yaml", text)

    declare("orders")
    shell.kplan("apply", "stack.yaml", "--yes")
    declare("orders, shipments")
    planned = shell.kplan("plan", "stack.yaml").out
    assert "reads the rows already in public.shipments" in planned and "K421" not in planned
    applied = shell.kplan("apply", "stack.yaml", "--yes").out
    assert "3000 rows of public.shipments read" in applied
    assert len(records(kafka, "newt.public.shipments", 3000)) == 3000
    database.execute_as_user("INSERT INTO shipments (note) VALUES ('later')")
    assert len(records(kafka, "newt.public.shipments", 3001)) == 3001
    assert "No changes." in shell.kplan("plan", "stack.yaml").out

    before = ask(connect, "GET", "/connectors/newt/config")[1]
    declare("orders, shipments, nokey")
    failed = shell.kplan("apply", "stack.yaml", "--yes", expect=7)
    assert "K516" in failed.all and "NO_PRIMARY_KEY" in failed.all and "rolled back" in failed.out
    assert ask(connect, "GET", "/connectors/newt/config")[1] == before
    assert "newt.public.nokey" not in topics(kafka, "newt")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_rows_that_a_new_table_of_mariadb_already_has_arrive(
    shell: Shell, kafka: KafkaCluster, mariadb: MariaDB
) -> None:
    mariadb.execute("CREATE DATABASE newdb")
    for table in ("orders", "shipments"):
        mariadb.execute(f"CREATE TABLE newdb.{table} (id int AUTO_INCREMENT PRIMARY KEY, note varchar(40))")
        mariadb.execute(f"INSERT INTO newdb.{table} (note) SELECT seq FROM newdb.seq_1_to_1500")
    mariadb.execute(
        "CREATE TABLE newdb.kplan_signal (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048))"
    )
    mariadb.execute(f"GRANT INSERT, DELETE ON newdb.kplan_signal TO {mariadb.user}@'%'")
    where = json.dumps(
        {"hostname": mariadb.host, "port": mariadb.port, "name": "newdb", "user": mariadb.user,
         "password": "{{ var.password }}"}
    )  # fmt: skip
    shell.environment["KPLAN_VAR_password"] = mariadb.password
    shell.secrets = (mariadb.password,)
    for tables in ("orders", "orders, shipments"):
        shell.write("stack.yaml", stack("newm", "debezium-mariadb", where, tables, "newdb.kplan_signal"))
        applied = shell.kplan("apply", "stack.yaml", "--yes").out
    assert "1500 rows of newdb.shipments read" in applied
    assert len(records(kafka, "newm.newdb.shipments", 1500)) == 1500
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
