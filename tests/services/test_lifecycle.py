"""A connector's life on real services: a table leaves, the connector gets another name, rests, loses a permission,
gets its offsets reset and put back, fails and is restarted; and how status and wait tell of it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.schemas import published, strict
from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.process import free_port
from tests.services.test_walk import PASSWORD, ask, failing_debezium, topics, wait_for_state
from tests.shell import Ended, Shell

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    timeouts: {{request: 5s, settle: 25s}}
"""
STATUS = strict(published("status.v1"))
USER, STRIPPED = "life", "life_stripped"  # the second has lost the right to replicate


@dataclass(frozen=True)
class Engine:
    """A database with the tables `orders` and `products`, and what a connector for it needs.

    `pinned` keeps what would otherwise be named after the connector. `rewinds`: the database still has what is behind
    the stored offsets; a replication slot has it for a while at most.
    """

    template: str
    prefix: str
    host: str
    port: int
    password: str
    namespace: str
    execute: Callable[[str], object]
    pinned: str
    rewinds: bool

    @property
    def database(self) -> str:
        return "lifedb"

    def topic(self, table: str) -> str:
        return f"{self.prefix}.{self.namespace}.{table}"

    def insert(self, table: str, note: str) -> None:
        self.execute(f"INSERT INTO {self.namespace}.{table} (note) VALUES ('{note}')")


@pytest.fixture
def postgres_engine(postgres: Postgres) -> Engine:
    database = postgres.database("lifedb")
    for role, more in ((USER, ""), (STRIPPED, f"IN ROLE {USER}")):
        postgres.execute(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{postgres.password}' {more}")
    postgres.execute(f"ALTER ROLE {STRIPPED} NOREPLICATION")
    database.execute(f"GRANT CREATE ON DATABASE lifedb TO {USER}")
    for table in ("orders", "products"):
        database.execute(f"CREATE TABLE {table} (id serial PRIMARY KEY, note text)")
        database.execute(f"ALTER TABLE {table} OWNER TO {USER}")
    return Engine("debezium-postgres", "lifepg", database.host, database.port, postgres.password, "public",
                  database.execute, "slot: life\n    publication: life", False)  # fmt: skip


@pytest.fixture
def mariadb_engine(mariadb: MariaDB) -> Engine:
    mariadb.database("lifedb")
    for user in (USER, STRIPPED):
        mariadb.execute(f"CREATE OR REPLACE USER {user}@'%' IDENTIFIED BY '{mariadb.password}'")
        rights = "SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT"
        mariadb.execute(f"GRANT {rights} ON *.* TO {user}@'%'")
    mariadb.execute(f"REVOKE REPLICATION SLAVE ON *.* FROM {STRIPPED}@'%'")
    for table in ("orders", "products"):
        mariadb.execute(f"CREATE TABLE lifedb.{table} (id int AUTO_INCREMENT PRIMARY KEY, note varchar(40))")
    pinned = "server_id: 7171\n    config: {schema.history.internal.kafka.topic: schema-changes.life}"
    return Engine("debezium-mariadb", "lifema", mariadb.host, mariadb.port, mariadb.password, "lifedb",
                  mariadb.execute, pinned, True)  # fmt: skip


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect))
    return made


@dataclass
class Life:
    """One connector's stack, written anew for each chapter."""

    shell: Shell
    kafka: KafkaCluster
    connect: ConnectWorker
    engine: Engine

    def declare(self, name: str, tables: str = "orders", user: str = USER, more: str = "", block: str = "") -> None:
        e = self.engine
        self.shell.write(
            "stack.yaml",
            f"version: 1\nstack: life-{e.prefix}\n{PASSWORD}connectors:\n  {name}:\n    template: {e.template}\n"
            f"    topic_prefix: {e.prefix}\n    heartbeat: 1000\n    retry: {{attempts: 0}}\n    {e.pinned}\n{block}"
            f'    database: {{hostname: "{e.host}", port: {e.port}, name: {e.database}, user: {user}, '
            f'password: "{{{{ var.password }}}}"}}\n    tables: [{tables}]\n{more}',
        )

    def kplan(self, command: str, *arguments: str, expect: int = 0) -> Ended:
        return self.shell.kplan(command, "stack.yaml", *arguments, expect=expect)

    def apply(self, *arguments: str, expect: int = 0) -> Ended:
        return self.kplan("apply", "--yes", *arguments, expect=expect)

    def rows(self, table: str, last: str, times: int = 1) -> list[tuple[str, str]]:
        """The operation and note of each record, until `last` has come so many times."""
        return read_rows(self.kafka, self.engine.topic(table), last, times)


def read_rows(kafka: KafkaCluster, topic: str, last: str, times: int = 1) -> list[tuple[str, str]]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "life", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[str, str]] = []
    end = time.monotonic() + 30
    try:
        while sum(note == last for _, note in found) < times:
            assert time.monotonic() < end, f"{last} did not come {times} times: {found}"
            message = consumer.poll(0.5)
            if message is not None and message.error() is None and message.value():
                record = json.loads(message.value())
                found.append((record["op"], record["after"]["note"]))
    finally:
        consumer.close()
    return found


def notes(rows: list[tuple[str, str]]) -> list[str]:
    return [note for _, note in rows]


def test_the_life_of_a_postgres_connector(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres_engine: Engine
) -> None:
    whole_life(Life(shell, kafka, connect, postgres_engine))


def test_the_life_of_a_mariadb_connector(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, mariadb_engine: Engine
) -> None:
    whole_life(Life(shell, kafka, connect, mariadb_engine))


def whole_life(life: Life) -> None:
    engine = life.engine
    life.shell.environment["KPLAN_VAR_password"] = engine.password
    life.shell.secrets = (engine.password,)
    a_table_leaves(life)
    it_gets_another_name(life)
    it_rests_and_goes_on_with_another_snapshot_mode(life)
    it_is_put_back_when_a_permission_is_gone(life)
    its_offsets_are_put_back_and_reset(life)
    it_goes(life)


def a_table_leaves(life: Life) -> None:
    engine, gone = life.engine, life.engine.topic("products")
    life.declare("life", "orders, products")
    life.apply()
    engine.insert("orders", "one")
    engine.insert("products", "p")
    assert notes(life.rows("orders", "one")) == ["one"] and notes(life.rows("products", "p")) == ["p"]

    life.declare("life")
    assert "K404" in life.kplan("plan", expect=3).out, "what merely is no longer there is not deleted"
    life.declare("life", more=f"removed:\n  - topic: {gone}\n")
    before = ask(life.connect, "GET", "/connectors/life/config")
    refused = life.apply(expect=3)
    assert "K401" in refused.out and ask(life.connect, "GET", "/connectors/life/config") == before
    life.declare("life", more=f"removed:\n  - {{topic: {gone}, accept: [data-loss]}}\n")
    applied = life.apply().out
    assert applied.index("~ connector/life ") < applied.index(f"- topic/{gone} "), "config first, then the topic"
    assert gone not in topics(life.kafka, engine.prefix)
    engine.insert("products", "nobody reads it")
    engine.insert("orders", "two")
    assert notes(life.rows("orders", "two")) == ["one", "two"]
    assert gone not in topics(life.kafka, engine.prefix)


def it_gets_another_name(life: Life) -> None:
    life.declare("life-two", more="moved:\n  - {from: connector/life, to: connector/life-two}\n")
    planned = life.kplan("plan").out
    assert "1 to move" in planned and "its offsets come along" in planned
    life.apply()
    assert ask(life.connect, "GET", "/connectors/life")[0] == 404
    life.engine.insert("orders", "three")
    assert notes(life.rows("orders", "three")) == ["one", "two", "three"], "nothing is read twice"


def it_rests_and_goes_on_with_another_snapshot_mode(life: Life) -> None:
    life.declare("life-two", block="    state: paused\n    snapshot: when_needed\n")
    assert "caution K416" in life.kplan("plan").out
    life.apply()
    wait_for_state(life.connect, "life-two", "PAUSED")
    life.engine.insert("orders", "four")
    time.sleep(2)
    assert end_of(life.kafka, life.engine.topic("orders")) == 3
    life.declare("life-two", block="    snapshot: when_needed\n")
    life.apply()
    assert life.rows("orders", "four") == [("c", note) for note in ("one", "two", "three", "four")]


def it_is_put_back_when_a_permission_is_gone(life: Life) -> None:
    before = ask(life.connect, "GET", "/connectors/life-two/config")
    life.declare("life-two", user=STRIPPED, block="    snapshot: when_needed\n")
    assert "K323" in life.kplan("plan", expect=4).err
    failed = life.apply("--offline", expect=7)
    assert "rolled back" in failed.out and "as before" in failed.out
    assert ask(life.connect, "GET", "/connectors/life-two/config") == before
    life.declare("life-two", block="    snapshot: when_needed\n")
    assert "No changes." in life.kplan("plan").out
    life.engine.insert("orders", "five")
    assert notes(life.rows("orders", "five")) == ["one", "two", "three", "four", "five"]


def its_offsets_are_put_back_and_reset(life: Life) -> None:
    def offsets(*arguments: str) -> Ended:
        return life.shell.kplan("connector", "offsets", "life-two", *arguments)

    time.sleep(5)  # offset.flush.interval.ms is 1 s; a busy machine is later
    offsets("--out", "offsets.json")
    life.engine.insert("orders", "six")
    life.rows("orders", "six")
    if not life.engine.rewinds:
        time.sleep(5)
        offsets("--out", "offsets.json")
    offsets("--put", "offsets.json", "--yes")
    life.engine.insert("orders", "seven")
    again = ["six"] if life.engine.rewinds else []
    found = notes(life.rows("orders", "seven"))
    assert found == ["one", "two", "three", "four", "five", "six", *again, "seven"]

    offsets("--reset", "--yes")
    reread = life.rows("orders", "seven", times=2)[len(found) :]
    assert reread == [("r", note) for note in dict.fromkeys(found)], "all that the table holds is read anew"


def it_goes(life: Life) -> None:
    planned = life.kplan("plan", "--destroy", "--accept", "*").out
    assert "K413" in planned
    life.kplan("destroy", "--yes", "--accept", "*")
    assert topics(life.kafka, life.engine.prefix) == {} and topics(life.kafka, "schema-changes.life") == {}


def end_of(kafka: KafkaCluster, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "life"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1])
    finally:
        consumer.close()


# -- failures, and who tells of them ----------------------------------------------------------------------------------
def publish(postgres: Postgres) -> None:
    postgres_database(postgres).execute("CREATE PUBLICATION flaky FOR TABLE public.orders")


def postgres_database(postgres: Postgres) -> Any:
    from tests.services.postgres import PostgresDatabase

    return PostgresDatabase(postgres.host, postgres.port, "flaky")


@contextlib.contextmanager
def once_it_failed(connect: ConnectWorker, name: str, work: Callable[[], object]) -> Iterator[None]:
    """In the background `work` is done as soon as a task of the connector has failed."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            status, body = ask(connect, "GET", f"/connectors/{name}/status")
            if status == 200 and any(task["state"] == "FAILED" for task in body["tasks"]):
                work()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def status(shell: Shell, expect: int) -> Any:
    found = shell.kplan("status", "stack.yaml", "--format", "json", expect=expect).json
    jsonschema.validate(found, STATUS)
    assert found["status"] == {0: "healthy", 2: "degraded", 1: "error"}[expect]
    return found


def test_a_failed_task_is_restarted_ever_later_and_status_tells_of_it(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    shell.environment["KPLAN_VAR_password"] = postgres.password
    block = failing_debezium(postgres, "flaky")
    text = f"version: 1\nstack: flaky\n{PASSWORD}connectors:\n{block}"
    shell.write("stack.yaml", f"{text}    restart_failed: {{attempts: 2, delay: 1s}}\n")
    started = time.monotonic()
    ended = shell.kplan("apply", "stack.yaml", "--yes", "--offline", expect=7)
    assert "publication" in ended.all and "(after 2 restarts)" in ended.all
    assert time.monotonic() - started > 1 + 2, "the second restart waits twice as long"
    with once_it_failed(connect, "flaky", lambda: publish(postgres)):
        shell.kplan("apply", "stack.yaml", "--yes", "--offline")
    assert status(shell, 0)["connectors"]["flaky"]["healthy"] is True
    assert "HEALTHY" in shell.kplan("status", "stack.yaml").out

    postgres_database(postgres).execute("DROP PUBLICATION flaky")
    ask(connect, "POST", "/connectors/flaky/restart?includeTasks=true")
    wait_for_failure(connect, "flaky")
    degraded = status(shell, 2)["connectors"]["flaky"]
    assert "Publication" in degraded["tasks"][0]["cause"] and degraded["healthy"] is False
    started = time.monotonic()
    restart = ("connector", "restart", "flaky", "--failed-only", "--attempts", "2", "--delay", "1s")
    refused = shell.kplan(*restart, expect=1)
    assert "again in 1 s" in refused.err and "Publication" in refused.err
    publish(postgres)
    assert "was restarted and runs" in shell.kplan(*restart).out
    assert "nothing has failed" in shell.kplan(*restart).out
    status(shell, 0)

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})  # a client that is thrown away fails its own futures
    admin.delete_topics(["flaky.public.orders"])["flaky.public.orders"].result(20)
    found = status(shell, 2)["topics"]
    assert found["missing"] == ["flaky.public.orders"] and "flaky.public.orders" not in found["existing"]
    assert "missing        flaky.public.orders" in shell.kplan("status", "stack.yaml", expect=2).out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
    assert status(shell, 2)["connectors"]["flaky"]["state"] == "MISSING"


def wait_for_failure(connect: ConnectWorker, name: str) -> None:
    end = time.monotonic() + 20
    while "FAILED" not in [task["state"] for task in ask(connect, "GET", f"/connectors/{name}/status")[1]["tasks"]]:
        assert time.monotonic() < end, "no task has failed"
        time.sleep(0.2)


# -- before anything is up --------------------------------------------------------------------------------------------
@contextlib.contextmanager
def listening_later(seconds: float, port: int, to: tuple[str, int]) -> Iterator[None]:
    """From then on what connects to the port is connected with `to`."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))  # bound, it refuses until it listens

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        time.sleep(seconds)
        server.listen()
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(to)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        server.close()


def test_wait_returns_once_both_are_up(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    ports = free_port(), free_port()
    shell.write(
        "kplan.yaml",
        f'version: 1\nenvironments:\n  local:\n    kafka: {{bootstrap.servers: "127.0.0.1:{ports[0]}"}}\n'
        f'    connect: {{url: "http://127.0.0.1:{ports[1]}"}}\n',
    )
    wait = ("wait", "--for", "kafka,connect", "--delay", "500ms")
    refused = shell.kplan(*wait, "--retries", "2", expect=1, timeout=60)
    assert "not ready, 0 tries left" in refused.err
    host, _, port = kafka.bootstrap.partition(":")
    started = time.monotonic()
    with (
        listening_later(2, ports[0], (host, int(port))),
        listening_later(5, ports[1], ("127.0.0.1", connect.port)),
    ):
        ended = shell.kplan(*wait, "--retries", "60", timeout=60)
    assert "ready: kafka, connect" in ended.out and "not ready" in ended.err
    assert time.monotonic() - started > 4, "Connect was the later one"
    assert requests.get(connect.url, timeout=10).status_code == 200
