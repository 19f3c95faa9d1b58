"""What Strimzi's operator makes of a KafkaMirrorMaker2 runs on a real worker, with the names that Strimzi gives."""

from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka import Producer

from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_walk import environment, records
from tests.shell import Shell

MIRROR = """
apiVersion: kafka.strimzi.io/v1
kind: KafkaMirrorMaker2
metadata: {name: copies}
spec:
  target: {alias: west, bootstrapServers: "BROKER", groupId: copies}
  mirrors:
    - source: {alias: east, bootstrapServers: "BROKER"}
      topicsPattern: mirrored\\.orders
      sourceConnector:
        tasksMax: 1
        config:
          replication.factor: 1
          offset-syncs.topic.replication.factor: 1
          sync.topic.acls.enabled: "false"
          refresh.topics.interval.seconds: 5
          key.converter: org.apache.kafka.connect.converters.ByteArrayConverter
          value.converter: org.apache.kafka.connect.converters.ByteArrayConverter
"""
NAME = "east->west.MirrorSourceConnector"


def test_an_imported_mirror_copies_records(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", environment(kafka, connect))
    shell.write("mm2.yaml", MIRROR.replace("BROKER", kafka.bootstrap))
    shell.write("topic.yaml", "version: 1\nstack: orders\ntopics: {mirrored.orders: {replication_factor: 1}}\n")
    shell.kplan("import", "--file", "mm2.yaml", "--out", "stack.yaml", "--stack", "mirrors")
    shell.kplan("apply", "topic.yaml", "--yes")
    try:
        assert f"connector/{NAME}" in shell.kplan("apply", "stack.yaml", "--yes").out
        assert "No changes." in shell.kplan("plan", "stack.yaml").out
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce("mirrored.orders", json.dumps({"id": 7}))
        producer.flush(10)
        assert records(kafka, "east.mirrored.orders", 1) == [{"id": 7}]
    finally:
        shell.kplan("destroy", "stack.yaml", "--yes")
        shell.kplan("destroy", "topic.yaml", "--yes", "--accept", "*")
