"""Partitions that a stack leaves to the brokers: a new topic gets theirs, an existing one keeps its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import KafkaCluster
from tests.services.test_facts import create
from tests.shell import Shell

STACK = """\
version: 1
stack: broker-defaults
topics:
  broker-defaults.new: {partitions: -1}
  broker-defaults.present: {partitions: -1}
"""


@pytest.fixture
def shell(tmp_path: Path, kafka: KafkaCluster) -> Shell:
    shell = Shell(tmp_path)
    shell.write(
        "kplan.yaml", f"version: 1\nenvironments: {{local: {{kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}}}}}\n"
    )
    return shell


def test_minus_one_leaves_the_number_to_the_brokers(kafka: KafkaCluster, shell: Shell) -> None:
    create(kafka, "broker-defaults.present", 3)
    shell.write("stack.yaml", STACK)
    applied = shell.kplan("apply", "stack.yaml", "--yes")
    assert applied.code == 0, applied.out + applied.err
    assert shell.kplan("plan", "stack.yaml", "--detailed-exitcode").code == 0
    rows = shell.kplan("list", "broker-defaults.*", "--format", "json").json
    assert {row["address"]: row["partitions"] for row in rows} == {
        "topic/broker-defaults.new": 1,
        "topic/broker-defaults.present": 3,
    }
    shell.write("stack.yaml", STACK.replace("new: {partitions: -1}", "new: {partitions: 2}"))
    assert "1 -> 2" in shell.kplan("plan", "stack.yaml").out
    shell.write("stack.yaml", STACK)
    assert shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "data-loss").code == 0
