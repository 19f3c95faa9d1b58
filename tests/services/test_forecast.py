"""What a plan forecasts is what the brokers' log folders hold, and what was written to them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from kplan.servers.kafka.topics import KafkaTopics
from tests.services import KafkaCluster
from tests.services.test_facts import create
from tests.shell import Shell

RECORD, NUMBER, DAYS = "x" * 1000, 2000, 4
STACK = """\
version: 1
stack: forecast-NAME
topics:
  forecast.NAME: {partitions: 3, replication_factor: 1, config: {retention.ms: RETENTION}}
"""


def fill(kafka: KafkaCluster, name: str) -> None:
    """Write 2 MB, evenly over the last four days."""
    create(kafka, name, 3, **{"retention.ms": str(7 * 86_400_000)})
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    start, step = int((time.time() - DAYS * 86_400) * 1000), DAYS * 86_400_000 // NUMBER
    for i in range(NUMBER):
        producer.produce(name, value=RECORD, partition=i % 3, timestamp=start + i * step)
    assert producer.flush(30) == 0


@pytest.fixture
def shell(tmp_path: Path, kafka: KafkaCluster) -> Shell:
    shell = Shell(tmp_path)
    shell.write(
        "kplan.yaml", f"version: 1\nenvironments: {{local: {{kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}}}}}\n"
    )
    return shell


def plan(shell: Shell, name: str, retention: str) -> dict[str, Any]:
    shell.write("stack.yaml", STACK.replace("NAME", name).replace("RETENTION", retention))
    document: dict[str, Any] = json.loads(shell.kplan("plan", "stack.yaml", "--format", "json").out)
    return document


def test_a_longer_retention_is_forecast_from_the_logs(kafka: KafkaCluster, shell: Shell) -> None:
    fill(kafka, "forecast.longer")
    document = plan(shell, "longer", "14d")
    (change,) = document["changes"]
    storage, written = change["storage"], NUMBER * len(RECORD)
    assert written < storage["bytes"] < 1.2 * written
    assert abs(storage["window"] - DAYS * 86_400) < 600
    assert storage["after"] == pytest.approx(storage["bytes"] * 14 / DAYS, rel=0.02)
    assert storage["seconds"] == pytest.approx(10 * 86_400, rel=0.02)
    assert sum(document["forecast"]["replicas"].values()) >= 3
    text = shell.kplan("plan", "stack.yaml").out
    assert "storage: 2.0 MiB -> " in text or "storage: 1.9 MiB -> " in text
    assert "Storage: +" in text
    shell.kplan("apply", "stack.yaml", "--yes")
    described = shell.kplan("describe", "topic/forecast.longer", "stack.yaml").out
    assert "on all brokers" in described and " in 10 d (" in described
    assert "with Kafka's own default" in described
    inherited = shell.kplan("describe", "topic/forecast.longer", "stack.yaml", "--format", "json").json["inherited"]
    values = {row["key"]: (row["value"], row["from"]) for row in inherited}
    assert values["cleanup.policy"] == ("delete", "kafka") and "retention.ms" not in values


def test_new_topics_are_counted_on_the_brokers(kafka: KafkaCluster, shell: Shell) -> None:
    document = plan(shell, "new", "7d")
    assert "storage" not in document["changes"][0]
    before = sum(document["forecast"]["replicas"].values())
    shell.kplan("apply", "stack.yaml", "--yes")
    after = plan(shell, "newer", "7d")["forecast"]["replicas"]
    assert sum(after.values()) >= before + 3


def test_without_the_extra_the_size_is_not_known(kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kafka, "forecast.unknown")
    monkeypatch.setitem(sys.modules, "kafka", None)
    backend = KafkaTopics({"bootstrap.servers": kafka.bootstrap})
    try:
        state = backend.read_storage(["forecast.unknown"])
    finally:
        backend.close()
    assert state.topics["forecast.unknown"].unknown == "pip install 'kplan[admin]'"
    assert sum(state.replicas.values()) >= 3
