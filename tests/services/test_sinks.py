"""The consumer group of a sink that a plan ends is not a reader of the topics that the plan deletes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, Producer
from confluent_kafka.admin import AdminClient

from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_walk import ask, environment, topics
from tests.shell import Shell

HEAD = "version: 1\nstack: {name}\n"
TOPIC = "topics: {{{name}.archive: {{accept: [data-loss]}}}}\n"
SINK = """\
connectors:
  {name}:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config:
      topics: {name}.archive
      file: {folder}/out
      key.converter: org.apache.kafka.connect.storage.StringConverter
      value.converter: org.apache.kafka.connect.storage.StringConverter
"""
OVERRIDE = "      consumer.override.group.id: {name}-own\n"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", environment(kafka, connect))
    return made


def wait_until_reading(kafka: KafkaCluster, group: str) -> None:
    """Wait until the group has a member with partitions."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    end = time.monotonic() + 60
    while time.monotonic() < end:
        described = admin.describe_consumer_groups([group])[group].result(20)
        if described.state == ConsumerGroupState.STABLE and described.members:
            return
        time.sleep(0.5)
    pytest.fail(f"{group} does not read")


def produce(kafka: KafkaCluster, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(count):
        producer.produce(topic, value=str(number))
    assert producer.flush(20) == 0


@pytest.mark.parametrize(("name", "more"), [("sinkempty", ""), ("sinkover", OVERRIDE)])
def test_a_stack_with_a_sink_on_its_own_topic_is_destroyed(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, name: str, more: str
) -> None:
    text = (HEAD + TOPIC + SINK + more).format(name=name, folder=shell.folder)
    shell.write("stack.yaml", text)
    shell.kplan("apply", "stack.yaml", "--yes")
    wait_until_reading(kafka, f"{name}-own" if more else f"connect-{name}")
    plan = shell.kplan("plan", "stack.yaml", "--destroy").out
    assert "K402" not in plan and "K401" not in plan
    shell.kplan("destroy", "stack.yaml", "--yes")
    assert topics(kafka, name) == {}
    assert ask(connect, "GET", f"/connectors/{name}")[0] == 404


def test_records_of_a_sinks_own_topic_are_data_loss_and_its_group_no_reader(shell: Shell, kafka: KafkaCluster) -> None:
    name = "sinkfull"
    shell.write("stack.yaml", (HEAD + TOPIC + SINK).format(name=name, folder=shell.folder))
    shell.kplan("apply", "stack.yaml", "--yes")
    produce(kafka, f"{name}.archive", 5)
    wait_until_reading(kafka, f"connect-{name}")
    ended = shell.kplan("plan", "stack.yaml", "--destroy", expect=None)
    assert "K401 data loss. Up to 5 records." in ended.out.replace("K401:", "K401"), ended.out
    assert f"connect-{name}" not in ended.out and "K402" not in ended.out
    removed = f"removed:\n  - {{topic: {name}.archive, accept: [data-loss]}}\n  - connector: {name}\n"
    shell.write("stack.yaml", HEAD.format(name=name) + removed)
    shell.kplan("apply", "stack.yaml", "--yes")
    assert topics(kafka, name) == {}


def test_a_sink_that_stays_keeps_its_topic(shell: Shell, kafka: KafkaCluster) -> None:
    name = "sinkstays"
    shell.write("stack.yaml", (HEAD + TOPIC + SINK).format(name=name, folder=shell.folder))
    shell.kplan("apply", "stack.yaml", "--yes")
    wait_until_reading(kafka, f"connect-{name}")
    text = (HEAD + f"removed: [{{{{topic: {name}.archive}}}}]\n" + SINK).format(name=name, folder=shell.folder)
    shell.write("stack.yaml", text)
    blocked = shell.kplan("plan", "stack.yaml", expect=3)
    assert f"1 sink connector reading: {name} (lag 0)" in blocked.out
    stopped = text.replace("    config:\n", "    state: stopped\n    config:\n")
    shell.write("stack.yaml", stopped)
    shell.kplan("apply", "stack.yaml", "--yes")
    assert topics(kafka, name) == {}
