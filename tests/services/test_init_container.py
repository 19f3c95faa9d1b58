"""Pods that start at once on a real broker: each runs what docs/init-container.md says, and one of them applies."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.test_pipelines import CREATE, INIT_PAGE, arguments
from tests.services import KafkaCluster
from tests.services.test_walk import set_on
from tests.shell import Shell

PODS = 2
STACK = "version: 1\nstack: pods\ntopics:\n  pods.orders: {partitions: 2, config: {retention.ms: 7d}}\n  pods.lines:\n"


def test_of_pods_that_start_at_once_one_applies_and_all_succeed(kafka: KafkaCluster, tmp_path: Path) -> None:
    pod = Shell(tmp_path)
    brokers = f'{{bootstrap.servers: "{kafka.bootstrap}"}}'
    more = "state: {kafka_topic: __pods}, timeouts: {session: 6s}"  # of two that join at once one may wait so long
    settings = f"version: 1\nenvironments: {{prod: {{kafka: {brokers}, {more}}}}}\n"
    pod.mount({"kplan.yaml": settings, "pods.yaml": STACK})
    command = [sys.executable, "-m", *shlex.split(arguments(CREATE, INIT_PAGE))]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KPLAN_", "KAFKA_"))}
    started = [
        subprocess.Popen(command, cwd=pod.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
        for _ in range(PODS)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * PODS, "\n".join(outputs)
    assert sum("2 added" in output for output in outputs) == 1
    runs = pod.kplan("history", "--format", "json").json["runs"]
    assert [run["counts"] for run in runs if run["counts"]] == [{"create": 2}]
    assert set_on(kafka, "pods.orders") == {"retention.ms": "604800000"}
    pod.kplan("destroy", "pods.yaml", "--yes", "--accept", "*")
