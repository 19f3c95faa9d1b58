"""CDC with schemas: topics, levels and connector come up in one apply, and rows decode with the registry's schemas."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
from confluent_kafka import Consumer, TopicPartition

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.cdc import SETTINGS, Capture, captured
from tests.services.registry import Registry
from tests.services.test_subjects import read_level, read_versions
from tests.shell import Shell

SCHEMAS = "    schemas: {format: avro, compatibility: BACKWARD}\n"


def capture(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry, name: str
) -> Capture:
    """A connector-to-be that writes in Avro."""
    made = captured(Shell(tmp_path), kafka, connect, postgres, name)
    settings = SETTINGS.format(kafka=kafka, connect=connect)
    made.shell.write("kplan.yaml", f'{settings}    schema_registry: {{url: "{registry.url}"}}\n')
    return made


def decode_rows(kafka: KafkaCluster, registry: Registry, topic: str, count: int) -> list[dict[str, Any]]:
    """The first `count` records of a topic, decoded with the schemas whose ids they have."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "avro", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < end, f"{topic} has {found}"
        message = consumer.poll(0.5)
        if message is None or message.error() is not None:
            continue
        magic, schema_id = struct.unpack(">bI", message.value()[:5])
        assert magic == 0
        text = registry.call("GET", f"/schemas/ids/{schema_id}")["schema"]
        reader = avro.io.DatumReader(avro.schema.parse(text))
        found.append(reader.read(avro.io.BinaryDecoder(io.BytesIO(message.value()[5:]))))
    consumer.close()
    return found


def test_stack_in_avro_comes_up_in_one_apply_and_rows_decode(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "avroshop")
    made.create("orders")
    made.insert("orders", "first")
    made.declare(block=SCHEMAS)
    made.apply()
    rows = decode_rows(kafka, registry, made.topic("orders"), 1)
    assert rows[0]["after"] == {"id": 1, "note": "first"}
    value = f"{made.topic('orders')}-value"
    assert read_versions(registry, value) == [1]
    assert read_level(registry, value) == "BACKWARD"
    assert "No changes" in made.kplan("plan").out
    made.destroy()
    assert read_level(registry, value) is None
    assert read_versions(registry, value) == [1], "what the converter registered is not kplan's"


def test_level_is_there_before_the_first_record(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "avrolevel")
    made.create("orders")
    made.declare(block=SCHEMAS)
    planned = made.kplan("plan", "--format", "json").json
    order = [change["address"] for change in planned["changes"]]
    assert order.index(f"subject/{made.topic('orders')}-value") < order.index("connector/avrolevel")
    made.apply()
    value = f"{made.topic('orders')}-value"
    assert (read_level(registry, value), read_versions(registry, value)) == ("BACKWARD", [])
    made.insert("orders", "first")
    decode_rows(kafka, registry, made.topic("orders"), 1)
    assert (read_level(registry, value), read_versions(registry, value)) == ("BACKWARD", [1])
    assert "subjects    2 of 2 there" in made.kplan("status").out
    made.destroy()
