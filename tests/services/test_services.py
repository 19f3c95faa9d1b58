"""The harness itself: each service runs, and rows go from the databases to Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres, ServiceFailed, ServiceMissing
from tests.services.process import Process, free_port, program, run

FILE_SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
DEBEZIUM = "io.debezium.connector"


def create_topics(kafka: KafkaCluster, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(30)


def first_value(kafka: KafkaCluster, topic: str, timeout: float = 60) -> bytes:
    """The value of the topic's first record, once there is one."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                return message.value() or b""
        raise AssertionError(f"no record in {topic} after {timeout:g} s")
    finally:
        consumer.close()


def test_a_record_goes_through_kafka(kafka: KafkaCluster) -> None:
    create_topics(kafka, "harness.records")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("harness.records", b"hello")
    assert producer.flush(30) == 0
    assert first_value(kafka, "harness.records") == b"hello"


def test_a_transaction_commits(kafka: KafkaCluster) -> None:
    create_topics(kafka, "harness.transactions")
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "harness"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("harness.transactions", b"hello")
    producer.commit_transaction(30)
    assert first_value(kafka, "harness.transactions") == b"hello"


def test_the_worker_is_healthy_and_has_the_connectors(connect: ConnectWorker) -> None:
    assert connect.request("GET", "/health")["status"] == "healthy"
    classes = {plugin["class"] for plugin in connect.request("GET", "/connector-plugins")}
    assert classes >= {
        FILE_SINK,
        f"{DEBEZIUM}.postgresql.PostgresConnector",
        f"{DEBEZIUM}.mariadb.MariaDbConnector",
        f"{DEBEZIUM}.mysql.MySqlConnector",
    }


def test_a_sink_writes_a_file(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> None:
    create_topics(kafka, "harness.sink")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("harness.sink", json.dumps({"n": 1}).encode())
    producer.flush(30)
    out = tmp_path / "out"
    config = {"connector.class": FILE_SINK, "file": str(out), "topics": "harness.sink"}
    connect.put_connector("harness-sink", {**config, "consumer.override.auto.offset.reset": "earliest"})
    deadline = time.monotonic() + 30
    while not (out.exists() and out.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "n=1" in out.read_text()
    connect.request("DELETE", "/connectors/harness-sink")


def test_postgres_takes_statements(postgres: Postgres) -> None:
    database = postgres.database("harness")
    database.execute_as_user("CREATE TABLE t (id int PRIMARY KEY, name text)")
    database.execute("INSERT INTO t VALUES (%s, %s)", 1, "ann")
    assert database.execute("SELECT id, name FROM t") == [(1, "ann")]
    assert postgres.execute("SHOW wal_level") == [("logical",)]


def test_mariadb_takes_statements(mariadb: MariaDB) -> None:
    mariadb.database("harness")
    mariadb.execute("CREATE TABLE harness.t (id int PRIMARY KEY, name varchar(20))")
    mariadb.execute("INSERT INTO harness.t VALUES (%s, %s)", 1, "ann")
    assert mariadb.execute("SELECT id, name FROM harness.t") == [(1, "ann")]
    assert mariadb.execute("SELECT @@binlog_format") == [("ROW",)]


def test_debezium_captures_a_postgres_row(kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres) -> None:
    database = postgres.database("harness_cdc")
    database.execute_as_user("CREATE TABLE orders (id int PRIMARY KEY, item text)")
    create_topics(kafka, "harness_pg.public.orders")
    config = {
        "connector.class": f"{DEBEZIUM}.postgresql.PostgresConnector",
        "database.hostname": postgres.host,
        "database.port": str(postgres.port),
        "database.user": postgres.user,
        "database.password": postgres.password,
        "database.dbname": database.name,
        "topic.prefix": "harness_pg",
        "plugin.name": "pgoutput",
        "slot.name": "harness_pg",
        "publication.name": "harness_pg",
        "publication.autocreate.mode": "filtered",
        "table.include.list": "public\\.orders",
    }
    connect.put_connector("harness-pg", config)
    database.execute("INSERT INTO orders VALUES (7, 'lamp')")
    assert json.loads(first_value(kafka, "harness_pg.public.orders"))["after"] == {"id": 7, "item": "lamp"}
    connect.request("DELETE", "/connectors/harness-pg")


def test_debezium_captures_a_mariadb_row(kafka: KafkaCluster, connect: ConnectWorker, mariadb: MariaDB) -> None:
    mariadb.database("harness_cdc")
    mariadb.execute("CREATE TABLE harness_cdc.orders (id int PRIMARY KEY, item varchar(20))")
    create_topics(kafka, "harness_my", "harness_my.harness_cdc.orders", "schema-changes.harness-my")
    config = {
        "connector.class": f"{DEBEZIUM}.mariadb.MariaDbConnector",
        "database.hostname": mariadb.host,
        "database.port": str(mariadb.port),
        "database.user": mariadb.user,
        "database.password": mariadb.password,
        "database.server.id": "5401",
        "topic.prefix": "harness_my",
        "schema.history.internal.kafka.topic": "schema-changes.harness-my",
        "schema.history.internal.kafka.bootstrap.servers": kafka.bootstrap,
        "database.include.list": "harness_cdc",
        "table.include.list": "harness_cdc\\.orders",
    }
    connect.put_connector("harness-my", config)
    mariadb.execute("INSERT INTO harness_cdc.orders VALUES (7, 'lamp')")
    assert json.loads(first_value(kafka, "harness_my.harness_cdc.orders"))["after"] == {
        "id": 7,
        "item": "lamp",
    }
    connect.request("DELETE", "/connectors/harness-my")


@pytest.mark.usefixtures("kafka")  # skips where there is no Kafka
def test_a_cluster_of_three_survives_the_loss_of_a_broker() -> None:
    with KafkaCluster(brokers=3) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        assert set(admin.list_topics(timeout=10).brokers) == {1, 2, 3}
        cluster.kill(2)
        cluster.restart(2)
        admin.create_topics([NewTopic("harness.three", 1, 3)])["harness.three"].result(30)


def test_a_program_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="status 3\nout of cheese"):
        run(["sh", "-c", "echo out of cheese; exit 3"], tmp_path / "log")


def test_a_missing_program_is_reported_with_the_command_that_installs_it() -> None:
    with pytest.raises(ServiceMissing, match="apt-get install nothing"):
        program(["no-such-program"], [], "apt-get install nothing")


def test_ports_are_given_once() -> None:
    assert len({free_port() for _ in range(100)}) == 100


def test_a_program_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    started: list[Process] = []
    thread = Thread(target=lambda: started.append(Process(["sleep", "60"], tmp_path / "log")))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert started[0].alive
    started[0].kill()
    assert not started[0].alive


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_program_dies_with_a_killed_python(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, tests.services.process as p\n"
        f"child = p.Process(['sleep', '60'], pathlib.Path({str(tmp_path / 'log')!r}))\n"
        "while pathlib.Path(f'/proc/{child.pid}/comm').read_text() != 'sleep\\n': pass\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -9
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
