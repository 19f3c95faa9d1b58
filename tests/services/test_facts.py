"""What a plan says of a topic's records and readers is what the broker and Connect hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kplan.model import Address, Facts, Reader
from kplan.servers.kafka.facts import FactsReader
from kplan.servers.kafka.topics import KafkaTopics
from tests.services import ConnectWorker, KafkaCluster
from tests.shell import Shell

DAY = 86_400_000
SINK = {
    "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
}


# -- what other people do ---------------------------------------------------------------------------------------------
def create(kafka: KafkaCluster, name: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(20)
    until(lambda: name in admin.list_topics(timeout=10).topics)


def produce(kafka: KafkaCluster, name: str, *times: int) -> None:
    """A record for each time in milliseconds since 1970, all in partition 0."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for moment in times:
        producer.produce(name, value="x", partition=0, timestamp=moment)
    assert producer.flush(20) == 0


def commit(kafka: KafkaCluster, group: str, name: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})

    def done() -> bool:
        try:
            consumer.commit(offsets=[TopicPartition(name, 0, offset)], asynchronous=False)
        except KafkaException:  # the first group of all makes the coordinator's topic
            return False
        return True

    until(done)
    consumer.close()


@contextmanager
def joined(kafka: KafkaCluster, group: str, name: str) -> Iterator[None]:
    """A member of the group reads the topic, and commits nothing."""
    ends = threading.Event()
    reads = threading.Event()

    def loop() -> None:
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "enable.auto.commit": False,
                             "session.timeout.ms": 6000})  # fmt: skip
        consumer.subscribe([name], on_assign=lambda *_: reads.set())
        while not ends.wait(0.01):
            consumer.poll(0.1)
        consumer.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        assert reads.wait(30)
        yield
    finally:
        ends.set()
        thread.join(30)


def until(done: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def connector(connect: ConnectWorker, name: str, **config: str) -> None:
    """Somebody makes a sink by hand, and it runs."""
    body = {"name": name, "config": {**SINK, **config}}
    assert requests.post(f"{connect.url}/connectors", json=body, timeout=100).status_code == 201
    until(lambda: running(connect, name))


def running(connect: ConnectWorker, name: str) -> bool:
    answer = requests.get(f"{connect.url}/connectors/{name}/status", timeout=100)
    return answer.ok and [task["state"] for task in answer.json()["tasks"]] == ["RUNNING"]


def facts(kafka: KafkaCluster, *names: str) -> dict[str, Facts]:
    backend = KafkaTopics({"bootstrap.servers": kafka.bootstrap})
    try:
        return {address.name: found for address, found in backend.facts(names).items()}
    finally:
        backend.close()


# -- facts ------------------------------------------------------------------------------------------------------------
def test_records_and_their_times(kafka: KafkaCluster) -> None:
    now = int(time.time() * 1000)
    create(kafka, "facts.times", 3)
    create(kafka, "facts.none", 3)
    produce(kafka, "facts.times", now - 5 * DAY, now - 60_000, now - DAY)
    found = facts(kafka, "facts.times", "facts.none", "facts.absent")
    assert found.keys() == {"facts.times", "facts.none"}
    assert found["facts.times"] == Facts(records=3, first_write=now - 5 * DAY, last_write=now - 60_000)
    assert found["facts.none"] == Facts(records=0)


def test_records_that_were_deleted_do_not_count(kafka: KafkaCluster) -> None:
    now = int(time.time() * 1000)
    create(kafka, "facts.cut")
    produce(kafka, "facts.cut", now - 5 * DAY, now - DAY)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_records([TopicPartition("facts.cut", 0, 1)])[TopicPartition("facts.cut", 0)].result(20)
    assert facts(kafka, "facts.cut")["facts.cut"] == Facts(records=1, first_write=now - DAY, last_write=now - DAY)


def test_groups_that_read_and_groups_that_rest(kafka: KafkaCluster) -> None:
    now = int(time.time() * 1000)
    create(kafka, "facts.read")
    create(kafka, "facts.beside")
    produce(kafka, "facts.read", *[now] * 5)
    commit(kafka, "facts-idle", "facts.read", 2)
    commit(kafka, "facts-elsewhere", "facts.read", 5)
    with joined(kafka, "facts-busy", "facts.read"), joined(kafka, "facts-elsewhere", "facts.beside"):
        found = facts(kafka, "facts.read", "facts.beside")
    assert found["facts.read"].readers == (
        Reader("facts-busy", 5, True),  # it has committed nothing, so nothing is known to be read
        Reader("facts-elsewhere", 0, False),  # it has members, which read another topic
        Reader("facts-idle", 3, False),
    )
    assert found["facts.beside"].readers == (Reader("facts-elsewhere", 0, True),)


def test_time_that_is_up_makes_facts_unknown_and_says_so(kafka: KafkaCluster) -> None:
    create(kafka, "facts.late")
    backend = KafkaTopics({"bootstrap.servers": kafka.bootstrap})
    found = FactsReader(backend.client, seconds=0).read(["facts.late"])[Address("topic", "facts.late")]
    assert (found.records, found.first_write) == (None, None)
    assert set(found.unknown) == {"records", "first_write", "last_write", "readers"}
    assert set(found.unknown.values()) == {"not read within 0 s"}
    backend.close()


def test_a_hundred_topics_are_read_as_one(kafka: KafkaCluster) -> None:
    names = [f"facts.many.{n}" for n in range(100)]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for made in admin.create_topics([NewTopic(name, 3, 1) for name in names]).values():
        made.result(30)
    until(lambda: set(names) <= admin.list_topics(timeout=10).topics.keys())
    sent: list[str] = []
    backend = KafkaTopics({"bootstrap.servers": kafka.bootstrap})
    backend.facts(names)  # leaders of new partitions are awaited
    asked = backend.client.request
    backend.client.request = lambda *a, **k: sent.append("") or asked(*a, **k)  # type: ignore[method-assign,func-returns-value]
    read = backend.facts(names)
    assert [found for found in read.values() if found != Facts(records=0)] == []
    assert len(read) == 100
    assert len(sent) <= 6, "requests do not grow with the topics"
    backend.close()


# -- in a plan --------------------------------------------------------------------------------------------------------
@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.write(
        "kplan.yaml",
        f"""
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    state: {{sqlite: state.db}}
    timeouts: {{request: 20s, settle: 60s}}
""",
    )
    return shell


def declare(shell: Shell, name: str, text: str) -> None:
    shell.write("stack.yaml", f"version: 1\nstack: {name}\n{text}")


def test_a_removed_topic_says_what_is_in_it_and_which_sinks_and_groups_read_it(
    kafka: KafkaCluster, connect: ConnectWorker, shell: Shell, tmp_path: Path
) -> None:
    now = int(time.time() * 1000)
    declare(shell, "facts-sinks", "topics: {facts.old: }\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    produce(kafka, "facts.old", now - 40 * 60_000, now - 20 * 60_000)
    commit(kafka, "facts-job", "facts.old", 1)
    connector(connect, "facts-lake", file=str(tmp_path / "lake"), **{"topics.regex": r"facts\.(old|new)"})
    connector(connect, "facts-other", file=str(tmp_path / "other"), topics="facts.none-such")
    until(
        lambda: any(
            r.group == "connect-facts-lake" and r.lag == 0 for r in facts(kafka, "facts.old")["facts.old"].readers
        )
    )
    declare(shell, "facts-sinks", "removed: [{topic: facts.old}]\n")

    plan = shell.kplan("plan", "stack.yaml", expect=3)
    said = " ".join(plan.out.split())
    assert "DANGER K401: data loss. Up to 2 records. 1 group reading: facts-job (idle, lag 1)." in said
    assert "1 sink connector reading: facts-lake (lag 0). Oldest record 40 min ago, last write 20 min ago." in said
    (risk,) = shell.kplan("plan", "stack.yaml", "--format", "json", expect=3).json["changes"][0]["risks"]
    assert risk["facts"] == {
        "records": 2, "bytes": None, "first_write": now - 40 * 60_000, "last_write": now - 20 * 60_000,
        "readers": [{"group": "connect-facts-lake", "lag": 0, "active": True},
                    {"group": "facts-job", "lag": 1, "active": False}],
        "sinks": ["facts-lake"], "unknown": {},
    }  # fmt: skip
    for name in ("facts-lake", "facts-other"):
        requests.delete(f"{connect.url}/connectors/{name}", timeout=100)
    shell.kplan("apply", "stack.yaml", "--yes", "--accept", "delete:topic/facts.old")
    assert "facts.old" not in facts(kafka, "facts.old")


def test_retention_is_a_danger_only_where_something_older_is_stored(kafka: KafkaCluster, shell: Shell) -> None:
    now = int(time.time() * 1000)
    declare(shell, "facts-age", "topics: {facts.age: {config: {retention.ms: 7d}}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    produce(kafka, "facts.age", now - 2 * DAY, now)
    declare(shell, "facts-age", "topics: {facts.age: {config: {retention.ms: 3d}}}\n")
    assert "K405" not in shell.kplan("plan", "stack.yaml").out
    declare(shell, "facts-age", "topics: {facts.age: {config: {retention.ms: 1d}}}\n")
    refused = shell.kplan("plan", "stack.yaml", expect=3)
    assert "DANGER K405: records older than 1d are deleted. Up to 2 records. Oldest record 2 d ago" in refused.out
    declare(shell, "facts-age", "topics: {facts.age: {config: {retention.ms: 1d}, accept: [data-loss]}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")


def test_a_topic_that_is_no_longer_empty_is_not_deleted_by_an_old_plan(kafka: KafkaCluster, shell: Shell) -> None:
    declare(shell, "facts-late", "topics: {facts.filled: }\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    declare(shell, "facts-late", "removed: [{topic: facts.filled}]\n")
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    produce(kafka, "facts.filled", int(time.time() * 1000))
    refused = shell.kplan("apply", "plan.json", expect=5)
    assert "topic/facts.filled: K401 data loss. Up to 1 record." in " ".join(refused.err.split())
    assert facts(kafka, "facts.filled")["facts.filled"].records == 1


def test_a_sink_made_again_goes_on_from_its_group_and_an_undo_leaves_that(
    kafka: KafkaCluster, connect: ConnectWorker, shell: Shell, tmp_path: Path
) -> None:
    create(kafka, "facts.source")
    produce(kafka, "facts.source", int(time.time() * 1000))
    connector(connect, "facts-again", file=str(tmp_path / "out"), topics="facts.source")
    until(lambda: positions(kafka, "connect-facts-again") == 1)
    requests.delete(f"{connect.url}/connectors/facts-again", timeout=100)
    lines = "".join(f"      {key}: {value}\n" for key, value in SINK.items() if key != "connector.class")
    declare(
        shell,
        "facts-again",
        f"connectors:\n  facts-again:\n    class: {SINK['connector.class']}\n    config:\n{lines}"
        f"      file: {tmp_path / 'out'}\n      topics: facts.source\n",
    )
    plan = shell.kplan("plan", "stack.yaml")
    assert "caution K420" in plan.out and "consumer group connect-facts-again has positions" in " ".join(
        plan.out.split()
    )
    assert "undo: delete it; its offsets stay" in plan.out
    shell.kplan("apply", "stack.yaml", "--yes")
    assert positions(kafka, "connect-facts-again") == 1
    shell.kplan("destroy", "stack.yaml", "--yes")


def positions(kafka: KafkaCluster, group: str) -> int:
    """The offset that the group has come to in its only partition; 0 where it has none."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    found = consumer.committed([TopicPartition("facts.source", 0)], timeout=20)[0].offset
    consumer.close()
    return max(0, found)
