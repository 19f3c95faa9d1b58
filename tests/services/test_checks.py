"""What the servers refuse is told in the plan, at the line of the file that asks for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.services import ConnectWorker, KafkaCluster
from tests.shell import Shell

STACK = """\
version: 1
stack: checks
defaults:
  topic:
    config: {remote.storage.enable: true}
topics:
  checks.default:
  checks.replicas: {replication_factor: 3, config: {remote.storage.enable: false}}
  checks.fine: {config: {remote.storage.enable: false}}
connectors:
  checks-host:
    template: debezium-postgres
    topic_prefix: checks
    database:
      hostname: pg-pord.invalid
      name: shop
      user: cdc
      password: "${env:NOT_SET}"
    tables:
      orders: {config: {remote.storage.enable: true}}
      items: {config: {remote.storage.enable: false}}
  checks-class:
    class: org.example.NoSuchConnector
    config: {topic: checks.fine}
  checks-setting:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config:
      topics: checks.fine
      tasks.max: many
      transforms: route
  checks-fine:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: checks.fine, file: /tmp/checks, tasks.maxx: 1}
"""
PLACE = re.compile(r"^(error|warning)\[(K3\d\d)\].*\n  --> stack\.yaml:(\d+):", re.MULTILINE)


def test_a_refusal_is_at_the_line_that_asks_for_it(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(
        "kplan.yaml",
        f"version: 1\nenvironments:\n  dev:\n    kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\n"
        f"    connect: {{url: '{connect.url}'}}\n    state: {{sqlite: state.db}}\ndefault: dev\n",
    )
    shell.write("stack.yaml", STACK)
    refused = shell.kplan("plan", "stack.yaml", expect=4)
    lines = STACK.splitlines()
    told = {(code, lines[int(line) - 1].strip()) for _, code, line in PLACE.findall(refused.err)}
    assert told == {
        ("K301", "config: {remote.storage.enable: true}"),  # the default that checks.default takes
        ("K301", lines[7].strip()),
        ("K302", "hostname: pg-pord.invalid"),
        ("K301", "orders: {config: {remote.storage.enable: true}}"),
        ("K303", "class: org.example.NoSuchConnector"),
        ("K302", "tasks.max: many"),
        ("K302", "transforms: route"),
        ("K304", lines[-1].strip()),
    }, refused.err
    assert "NOT POSSIBLE" in refused.out
    document = json.loads(shell.kplan("plan", "stack.yaml", "--format", "json", expect=4).out)
    accepted = {c["address"]: c["verified"]["by"] for c in document["changes"] if c["verified"]}
    assert accepted == {
        "topic/checks.fine": "validate_only",
        "topic/checks.public.items": "validate_only",
        "topic/__debezium-heartbeat.checks": "validate_only",
        "connector/checks-fine": "config/validate",
    }
    assert "Checked by the servers: 3 by validate_only, 1 by config/validate" in refused.out


MANY = """\
version: 1
stack: checks-many
defaults:
  topic: {replication_factor: 1, config: {remote.storage.enable: true}}
topics:
  "checks.many.{{ each.key }}": {for_each: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]}
  checks.many.a:
  checks.many.b:
  checks.many.copies: {replication_factor: 5, config: {remote.storage.enable: false}}
connectors:
  checks-no-topics:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /tmp/checks}
  checks-no-class:
    class: com.example.NoSuch
    config: {topics: checks.many.a}
"""


def test_what_one_line_causes_is_one_error(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", MANY)
    servers = ("--bootstrap", kafka.bootstrap, "--connect", connect.url)
    refused = shell.kplan("plan", "stack.yaml", *servers, expect=4)
    assert sorted((code, int(line)) for _, code, line in PLACE.findall(refused.err)) == [
        ("K301", 4),  # the default
        ("K301", 9),
        ("K302", 11),
        ("K303", 15),
    ], refused.err
    assert "22 resources: topic/checks.many.1, topic/checks.many.2, topic/checks.many.3 and 19 more" in refused.err
    brokers = len(kafka.bootstrap.split(","))
    assert f"= replication_factor 5, the cluster has {brokers} broker" in refused.err
    assert refused.err.count("Must configure one of topics or topics.regex") == 1
    assert "did you mean" not in refused.err
    assert "installed: " in refused.err
    assert "NOT POSSIBLE: 4 errors" in refused.out
    problems = json.loads(shell.kplan("plan", "stack.yaml", *servers, "--format", "json", expect=4).out)["diagnostics"]
    (default,) = [each for each in problems if each["line"] == 4]
    assert len(default["addresses"]) == 22 and default["address"] == default["addresses"][0]
