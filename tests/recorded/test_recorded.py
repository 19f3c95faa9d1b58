"""Every version reads the state and the documents that earlier ones wrote (`record.py` makes a folder each)."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.recorded.record import FIRST, KEY, SECOND
from tests.services.kafka import KafkaCluster
from tests.shell import Shell

VERSIONS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "state.jsonl").exists())
OUTCOMES = {"applied": 4, "rolled_back": 1, "open": 1}  # of the recorded runs; the last one was killed


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def recorded(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


@pytest.fixture
def shell(tmp_path: Path, recorded: Path) -> Shell:
    """A folder with the recorded stacks, and the recorded simulated cluster with its state."""
    for path in recorded.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / ".kplan").mkdir()
    (tmp_path / "local.db").rename(tmp_path / ".kplan/local.db")
    shell = Shell(tmp_path, {"WHERE": FIRST})
    move_here(shell)
    return shell


def move_here(shell: Shell) -> None:
    """Give the recorded runs the id of this cluster: a simulated one has the id of its file's path."""
    here = shell.kplan("plan", "audit.yaml", "--format", "json").json["target"]["cluster_id"]
    with sqlite3.connect(shell.folder / ".kplan/local.db") as database:
        rows = database.execute("SELECT id, record FROM kplan_journal").fetchall()
        there = next(about["cluster"] for _, record in rows if "cluster" in (about := json.loads(record)["about"]))
        database.executemany("UPDATE kplan_journal SET record = ? WHERE id = ?",
                             [(record.replace(there, here), row) for row, record in rows])  # fmt: skip


def outcomes(shell: Shell, env: str) -> dict[str, int]:
    runs = shell.kplan("show", "--env", env, "--format", "json").json
    found: dict[str, int] = {}
    for run in runs:
        shown = shell.kplan("show", run["run"], "--env", env, "--format", "json").json
        assert {entry["run"] for entry in shown} == {run["run"]}
        found[run["outcome"]] = found.get(run["outcome"], 0) + 1
    return found


def test_a_recorded_file_is_read_recovered_and_gone_on_with(shell: Shell) -> None:
    assert outcomes(shell, "local") == OUTCOMES
    refused = shell.kplan("plan", "shop.yaml", expect=8)
    assert "was interrupted" in refused.all
    shell.kplan("recover", "--yes")
    assert "topic/shop.late" not in shell.kplan("list").out
    applied = shell.kplan("apply", "shop.yaml", "--yes")
    assert "Applied 3 of 3" in applied.out, applied.all
    assert "No changes" in shell.kplan("plan", "shop.yaml").out
    shell.kplan("destroy", "shop.yaml", "audit.yaml", "--yes", expect=3)  # shop.items is protected still
    for name in ("shop.orders", "shop.found", "audit.log"):
        assert name in shell.kplan("list").out


def test_a_recorded_file_is_signed_and_gone_on_with(shell: Shell) -> None:
    """It was written without a key; its open run is signed with the rest, and recovered."""
    run = re.search(r"\d{8}T\d{6}Z-\w{4}", shell.kplan("recover", "--list").out)
    assert run is not None
    shell.environment["KPLAN_KEY"] = KEY
    assert "K621" in shell.kplan("plan", "shop.yaml", expect=1).all
    assert "K621" in shell.kplan("recover", "--yes", expect=8).all
    refused = shell.kplan("recover", run[0], "--yes", "--forget", "*", expect=8).all
    assert "K621" in refused and "K606" not in refused, refused
    said = shell.kplan("state", "sign", "--yes").out
    assert "stack audit:" in said and "has no end" in said
    shell.kplan("plan", "audit.yaml")
    assert "was interrupted" in shell.kplan("plan", "shop.yaml", expect=8).all
    shell.kplan("recover", "--yes")
    assert "Applied 3 of 3" in shell.kplan("apply", "shop.yaml", "--yes").out
    assert "No changes" in shell.kplan("plan", "shop.yaml").out
    assert "No record without a signature" in shell.kplan("state", "sign").out


@pytest.mark.parametrize("env", ["dev", "local"])
def test_recorded_plans_and_snapshots_are_read(shell: Shell, env: str) -> None:
    shown = shell.kplan("show", f"plan-{env}.json", "--format", "json").json
    addresses = {change["address"] for change in shown["changes"]}
    assert addresses == {"topic/shop.late", "topic/shop.orders", "connector/feed2"}
    signed = shell.kplan("show", f"signed-{env}.json", KPLAN_KEY=KEY).out
    assert "shop.late" in signed
    assert SECOND not in signed
    planned = shell.kplan("plan", "shop.yaml", "--env", env, "--live", f"live-{env}.json").out
    assert "topic/shop.late" in planned


def test_a_recorded_topic_is_read(shell: Shell, recorded: Path, kafka: KafkaCluster) -> None:
    topic = f"__kplan_{uuid.uuid4().hex[:8]}"
    produce(kafka, topic, recorded)
    environment = f'kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}\n    state: {{kafka_topic: {topic}}}'
    shell.write("kplan.yaml", f"version: 1\ndefault: dev\nenvironments:\n  dev:\n    {environment}\n")
    assert outcomes(shell, "dev") == OUTCOMES
    assert "shop" in shell.kplan("recover", "--list").out
    shell.write("topics.yaml", "version: 1\nstack: shop\ntopics: {shop.feed: }\n")
    assert "was interrupted" in shell.kplan("plan", "topics.yaml", expect=8).all
    planned = shell.kplan("plan", "audit.yaml").out
    assert "topic/audit.log" in planned
    shell.environment["KPLAN_KEY"] = KEY
    assert "K621" in shell.kplan("plan", "audit.yaml", expect=1).all
    assert "has no end" in shell.kplan("state", "sign", "--yes").out
    assert "topic/audit.log" in shell.kplan("plan", "audit.yaml").out
    assert "was interrupted" in shell.kplan("plan", "topics.yaml", expect=8).all
    assert "No record without a signature" in shell.kplan("state", "sign").out


def produce(kafka: KafkaCluster, topic: str, recorded: Path) -> None:
    """Write the recorded records into a topic of this cluster, as if it were the one where they came from."""
    config = {"cleanup.policy": "compact"}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result()
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for line in (recorded / "state.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        producer.produce(topic, value=record["value"], key=record["key"])
    assert producer.flush(30) == 0
