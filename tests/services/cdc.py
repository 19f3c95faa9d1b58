"""A Debezium connector with its database, as a person has them: declared in a stack, and rows that come or do not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.test_walk import PASSWORD
from tests.shell import Ended, Shell

Row = tuple[str, str]  # the operation (r: read by a snapshot, c: inserted) and the row's note

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    timeouts: {{request: 10s, settle: 60s}}
"""


@dataclass
class Capture:
    """A connector `name` on a database whose tables have the columns `id` and `note`.

    Its slot and publication, or its server's number and schema history, are named after it; so is its topic prefix.
    """

    shell: Shell
    kafka: KafkaCluster
    name: str
    template: str
    login: str
    namespace: str
    execute: Callable[[str], object]

    def declare(
        self, tables: str = "orders", *, name: str = "", prefix: str = "", block: str = "", more: str = ""
    ) -> None:
        """The stack has the connector with these tables; `block` are more lines of it, `more` of the stack."""
        self.shell.write(
            "stack.yaml",
            f"version: 1\nstack: {self.name}\n{PASSWORD}connectors:\n  {name or self.name}:\n"
            f"    template: {self.template}\n    topic_prefix: {prefix or self.name}\n    heartbeat: 1000\n"
            f"    retry: {{attempts: 0}}\n    database: {self.login}\n{block}    tables: {{{tables}}}\n{more}",
        )

    def kplan(self, command: str, *arguments: str, expect: int = 0) -> Ended:
        return self.shell.kplan(command, "stack.yaml", *arguments, expect=expect)

    def apply(self, *arguments: str, expect: int = 0) -> Ended:
        return self.kplan("apply", "--yes", *arguments, expect=expect)

    def destroy(self) -> None:
        self.kplan("destroy", "--yes", "--accept", "*")

    def topic(self, table: str, prefix: str = "") -> str:
        return f"{prefix or self.name}.{self.namespace}.{table}"

    def create(self, *tables: str) -> None:
        key = "serial" if self.template == "debezium-postgres" else "int AUTO_INCREMENT"
        for table in tables:
            self.execute(f"CREATE TABLE {self.namespace}.{table} (id {key} PRIMARY KEY, note varchar(40))")

    def insert(self, table: str, *notes: str) -> None:
        for note in notes:
            self.execute(f"INSERT INTO {self.namespace}.{table} (note) VALUES ('{note}')")

    def rows(self, table: str, last: Row, prefix: str = "") -> list[Row]:
        """Those of the table's topic in the order they came, once `last` is among them."""
        return rows(self.kafka, self.topic(table, prefix), last)


def rows(kafka: KafkaCluster, topic: str, last: Row, partitions: int = 1, seconds: float = 30) -> list[Row]:
    """The rows in the topic up to `last`, and what comes within a moment after it."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "cdc", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Row] = []
    end = time.monotonic() + seconds
    try:
        while (message := consumer.poll(0.5)) is not None or last not in found:
            assert time.monotonic() < end, f"{last} did not come to {topic}: {found}"
            if message is not None and message.error() is None and message.value():
                record = json.loads(message.value())
                found.append((record["op"], record["after"]["note"]))
    finally:
        consumer.close()
    return found


def captured(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, server: Postgres | MariaDB, name: str, template: str = ""
) -> Capture:
    """A connector-to-be of that name, on a new and empty database of that name."""
    shell.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect))
    shell.environment["KPLAN_VAR_password"] = server.password
    shell.secrets = (server.password,)
    login = (
        f'{{hostname: "{server.host}", port: {server.port}, name: {name}, user: {server.user}, '
        'password: "{{ var.password }}"}'
    )
    if isinstance(server, Postgres):
        execute: Callable[[str], object] = server.database(name).execute_as_user
        return Capture(shell, kafka, name, template or "debezium-postgres", login, "public", execute)
    server.database(name)
    return Capture(shell, kafka, name, template or "debezium-mariadb", login, name, server.execute)
