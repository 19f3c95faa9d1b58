"""Forged and outdated documents on real services: what they ask for is judged when it is done."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from kplan.planning.document import document_digest
from tests.services import ConnectWorker, KafkaCluster
from tests.shell import Shell

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    state: {{kafka_topic: {state}}}
    timeouts: {{request: 10s, settle: 60s, session: 6s}}
"""
STATE = "team-trust-state"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect, state=STATE))
    return made


@pytest.fixture
def admin(kafka: KafkaCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


def names(admin: AdminClient) -> set[str]:
    return set(admin.list_topics(timeout=30).topics)


def own_topics(admin: AdminClient) -> list[str]:
    """The worker's own topics, as its test configuration names them."""
    found = sorted(name for name in names(admin) if name.endswith(("-configs", "-offsets", "-status")))
    assert len(found) >= 3
    return found


def make(admin: AdminClient, name: str, **config: str) -> None:
    topic = NewTopic(name, 1, 1, config={key.replace("_", "."): value for key, value in config.items()})
    admin.create_topics([topic])[name].result(30)
    while name not in names(admin):
        time.sleep(0.1)


def drop(admin: AdminClient, name: str) -> None:
    admin.delete_topics([name])[name].result(30)
    while name in names(admin):
        time.sleep(0.1)


def produce(kafka: KafkaCluster, topic: str, count: int, *, age_ms: int = 0) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(count):
        producer.produce(topic, str(number), timestamp=int(time.time() * 1000) - age_ms)
    assert producer.flush(30) == 0


def config(admin: AdminClient, topic: str, key: str) -> str:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return str(admin.describe_configs([resource])[resource].result(30)[key].value)


def save_forged(shell: Shell, document: dict[str, Any]) -> None:
    shell.write("forged.json", json.dumps({**document, "digest": document_digest(document)}))


def test_the_workers_own_topics_stay(shell: Shell, admin: AdminClient) -> None:
    own = own_topics(admin)
    listed = "".join(f"  - {{topic: {name}, accept: [data-loss]}}\n" for name in own)
    shell.write("stack.yaml", f"version: 1\nstack: trust-own\ntopics: {{}}\nremoved:\n{listed}")
    refused = shell.kplan("plan", "stack.yaml", "--accept", "delete:*", "--format", "json", expect=4)
    problems = json.loads(refused.out)["diagnostics"]
    assert [problem["address"] for problem in problems if problem["code"] == "K234"] == [
        f"topic/{name}" for name in own
    ]

    make(admin, "trust.harmless")
    shell.write("stack.yaml", "version: 1\nstack: trust-own\ntopics: {}\nremoved: [{topic: trust.harmless}]\n")
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    document = json.loads((shell.folder / "plan.json").read_text())
    for name in own:
        change = document["changes"][0]
        forged = {**change, "address": f"topic/{name}", "name": name}
        forged["risks"], forged["if_empty"] = [], False
        before = names(admin)
        forged["before"] = {**change["before"], "partitions": len(admin.list_topics(name, 30).topics[name].partitions)}
        del forged["topic_id"]
        save_forged(shell, {**document, "changes": [forged]})
        assert "K524" in shell.kplan("apply", "forged.json", expect=5).err
        assert names(admin) >= before  # the first apply makes the topic of the state
    drop(admin, "trust.harmless")


def test_another_topic_of_the_same_name_is_not_deleted(shell: Shell, kafka: KafkaCluster, admin: AdminClient) -> None:
    make(admin, "trust.again")
    produce(kafka, "trust.again", 3)
    shell.write("stack.yaml", "version: 1\nstack: trust-again\ntopics: {}\nremoved: [{topic: trust.again}]\n")
    shell.kplan("plan", "stack.yaml", "--accept", "delete:*", "--out", "plan.json")
    drop(admin, "trust.again")
    make(admin, "trust.again")
    produce(kafka, "trust.again", 3)
    refused = shell.kplan("apply", "plan.json", expect=5).err
    assert "K520" in refused and "another topic has this name now" in refused

    shell.kplan("snapshot", "--out", "live.json")
    planned = ("plan", "stack.yaml", "--live", "live.json", "--accept", "delete:*", "--out", "plan.json")
    shell.kplan(*planned)
    drop(admin, "trust.again")
    make(admin, "trust.again")
    produce(kafka, "trust.again", 3)
    refused = shell.kplan("apply", "plan.json", expect=5).err
    assert "K520" in refused and "another topic has this name now" in refused
    assert "trust.again" in names(admin)

    shell.kplan("plan", "stack.yaml", "--accept", "delete:*", "--out", "plan.json")
    produce(kafka, "trust.again", 5000)
    assert "accepted with 3 records" in shell.kplan("apply", "plan.json", expect=5).err
    assert "trust.again" in names(admin)
    shell.kplan("plan", "stack.yaml", "--accept", "delete:*", "--out", "plan.json")
    shell.kplan("apply", "plan.json")
    assert "trust.again" not in names(admin)


def test_a_forged_journal_changes_nothing(shell: Shell, kafka: KafkaCluster, admin: AdminClient) -> None:
    """Whoever may write the state's topic copies the records of a finished run under another id."""
    make(admin, "trust.theirs")
    shell.write("stack.yaml", "version: 1\nstack: trust-victim\ndefaults: {topic: {replication_factor: 1}}\n"
                "topics: {trust.mine: {partitions: 1, config: {retention.ms: 7d}}}\n")  # fmt: skip
    shell.kplan("apply", "stack.yaml", "--yes")
    produce(kafka, "trust.mine", 10, age_ms=3 * 86_400_000)
    own = own_topics(admin)[0]
    topic = {"partitions": 1, "replication_factor": 1, "config": {}}
    changes = [
        _creation("topic/trust.theirs", topic),
        {
            **_creation("topic/trust.mine", {**topic, "config": {"retention.ms": "604800000"}}),
            "actions": ["update"],
            "before": {**topic, "config": {"retention.ms": "1000"}},
            "diff": [{"path": "/config/retention.ms", "op": "change", "before": "1000", "after": "604800000"}],
            "undo": {"kind": "restore", "complete": True},
        },
        _creation(f"topic/{own}", topic),
    ]
    forge_journal(kafka, "20991122T000000Z-evil", changes)
    write_state(kafka, "stack/another/run/20991122T000000Z-evil/9", {"event": "end", "about": {"outcome": "applied"}})
    assert "K605" in shell.kplan("plan", "stack.yaml", expect=8).err
    before = names(admin)
    result = shell.kplan("recover", "--yes", expect=8)
    for reason in ("the ledger has no record that stack trust-victim owns it", "K405", "so it is never deleted"):
        assert reason in result.all, result.all
    assert names(admin) == before and config(admin, "trust.mine", "retention.ms") == "604800000"
    shell.kplan("recover", "--yes", "--forget", "*")
    assert names(admin) == before and config(admin, "trust.mine", "retention.ms") == "604800000"
    assert "No changes" in shell.kplan("plan", "stack.yaml").out

    forge_journal(kafka, "2099\x1b[31m-evil", changes)
    named = shell.kplan("recover", "--yes", expect=8)
    assert "K602" in named.err and "\x1b" not in named.all
    shell.kplan("recover", r"2099\x1b[31m-evil", "--yes", "--forget", "*")
    assert names(admin) == before and "No changes" in shell.kplan("plan", "stack.yaml").out
    drop(admin, "trust.theirs")


def _creation(address: str, topic: dict[str, Any]) -> dict[str, Any]:
    return {"address": address, "actions": ["create"], "before": None, "after": topic, "diff": [], "risks": [],
            "undo": {"kind": "delete_if_empty", "complete": True}, "created": True}  # fmt: skip


def forge_journal(kafka: KafkaCluster, run: str, changes: list[dict[str, Any]]) -> None:
    """The records of a run of `trust-victim` that sent every change and has no end."""
    steps = [{"step": n, "address": change["address"]} for n, change in enumerate(changes, 1)]
    begin = [{**s, "change": {**c, "step": s["step"], "wave": s["step"]}} for s, c in zip(steps, changes, strict=True)]
    for seq, (event, items) in enumerate((("begin", begin), ("will", steps), ("did", steps))):
        about = {"stack": "trust-victim", "env": "dev"} if event == "begin" else {}
        record = {"event": event, "wave": 1, "items": items, "about": about}
        write_state(kafka, f"stack/trust-victim/run/{run}/{seq}", record)


def write_state(kafka: KafkaCluster, key: str, record: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(STATE, json.dumps({"v": 1, "at": "2099-11-22T00:00:00Z", "items": [], **record}), key)
    assert producer.flush(30) == 0


def test_a_lost_state_topic_is_noticed(shell: Shell, admin: AdminClient) -> None:
    stack = "version: 1\nstack: lost\ntopics: {lost.orders: {replication_factor: 1, protect: true}%s}\n"
    shell.write("kplan.yaml", (shell.folder / "kplan.yaml").read_text().replace(STATE, f"{STATE}-lost"))
    shell.write("lost.yaml", stack % "")
    shell.kplan("apply", "lost.yaml", "--yes")
    shell.write("lost.yaml", stack % ", lost.items: {replication_factor: 1}")
    shell.kplan("plan", "lost.yaml", "--out", "plan.json")
    drop(admin, f"{STATE}-lost")
    ended = shell.kplan("apply", "plan.json", expect=5)
    assert "K625" in ended.err and "1 resource of stack lost" in ended.err
    assert "lost.items" not in names(admin)
