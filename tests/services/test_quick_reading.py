"""What plans read by the protocol is what librdkafka reads, and where it cannot, librdkafka is asked."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Timer

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from kplan.app.servers import open_cluster, open_store
from kplan.project.environment import Environment
from kplan.project.loading import Request, load_environment
from kplan.servers.kafka.quick_topics import MANY, QuickTopics
from kplan.state.base import Holder
from kplan.state.kafka.quick_store import QuickStore
from tests.services import KafkaCluster
from tests.shell import Shell

MANY_TOPICS = MANY + 20  # enough for a second connection
HOLDER = Holder("test@host", "run", "command", "2026-01-01T00:00:00Z")
STACK = "version: 1\nstack: quick\ntopics:\n  quick.own: {partitions: 2, config: {retention.ms: 2d}}\n"


@pytest.fixture
def shell(kafka: KafkaCluster, tmp_path: Path) -> Shell:
    (tmp_path / "kplan.yaml").write_text(
        "version: 1\nenvironments:\n  only:\n"
        f'    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}\n    state: {{kafka_topic: {tmp_path.name}}}\n'
    )
    (tmp_path / "stack.yaml").write_text(STACK)
    return Shell(tmp_path)


def load(shell: Shell) -> Environment:
    return load_environment(Request(folder=str(shell.folder), process={}))


def make_topics(kafka: KafkaCluster) -> list[str]:
    """Make topics of which some have configs of their own, each another value."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    names = [f"quick.many.{number}" for number in range(MANY_TOPICS)]
    there = admin.list_topics(timeout=20).topics
    new = [
        NewTopic(name, 1 + number % 3, 1, config={"segment.ms": str(60_000 + number)} if number % 2 else {})
        for number, name in enumerate(names)
        if name not in there
    ]
    for answer in admin.create_topics(new).values() if new else ():
        answer.result(60)
    while not set(names) <= admin.list_topics(timeout=20).topics.keys():
        time.sleep(0.1)
    return names


def test_topics_are_as_librdkafka_reads_them(kafka: KafkaCluster, shell: Shell) -> None:
    names = [*make_topics(kafka), "quick.absent", "not a name"]
    topics = open_cluster(load(shell)).topics
    assert isinstance(topics, QuickTopics)
    target, quick = topics.identify(), topics.read(names)
    assert topics._full is None
    full = topics.find_full()
    assert full.identify() == target
    assert full.read(names).resources == quick.resources
    assert len(quick.resources) == MANY_TOPICS
    assert quick.hidden == frozenset()
    assert {name for name in quick.names if name.startswith("quick.many.")} == set(names[:-2])
    topics.close()


def test_the_state_is_as_librdkafka_reads_it(kafka: KafkaCluster, shell: Shell) -> None:
    store = open_store(load(shell))
    assert isinstance(store, QuickStore)
    assert store.overview().ledger == {}
    assert store.holder("quick") is None
    shell.kplan("apply", "stack.yaml", "--yes")
    begin_transaction(kafka, shell.folder.name).abort_transaction(10)
    (shell.folder / "stack.yaml").write_text(STACK.replace("2d", "3d"))
    shell.kplan("apply", "stack.yaml", "--yes")
    quick = store.overview()
    assert store.holder("quick") is None
    assert store._full is None
    full = store._find_full()
    full._clients.config = {**full._clients.config, "queued.min.messages": "1000"}  # which only librdkafka follows
    assert full.overview() == quick
    assert full._reader is not None and full._reader._consumer is not None
    assert [str(address) for address in quick.ledger] == ["topic/quick.own"]
    with full.lock("quick", HOLDER, 10):
        assert store.holder("quick") is not None
    store.close()


def test_an_open_transaction_is_waited_for_by_librdkafka(kafka: KafkaCluster, shell: Shell) -> None:
    shell.kplan("apply", "stack.yaml", "--yes")
    producer = begin_transaction(kafka, shell.folder.name)
    store = open_store(load(shell))
    assert isinstance(store, QuickStore)
    try:
        Timer(1.0, lambda: producer.abort_transaction(10)).start()
        assert [str(address) for address in store.overview().ledger] == ["topic/quick.own"]
        assert store._full is not None
    finally:
        store.close()


def begin_transaction(kafka: KafkaCluster, state: str) -> Producer:
    """Write a record that would give the topic to another stack, and leave the transaction open."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "quick-other"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(state, key="stack/other/topic/quick.own", value="{}")
    producer.flush(10)
    return producer
