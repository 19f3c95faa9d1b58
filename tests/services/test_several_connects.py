"""Two real Connect clusters in one environment: each connector is on its own, and moves with its offsets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from tests.services import ConnectWorker, KafkaCluster
from tests.services.downloads import plugin_path
from tests.shell import Shell

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{default: {{url: "{connect.url}"}}, sinks: {{url: "{sinks.url}"}}}}
    timeouts: {{request: 10s, settle: 40s}}
"""
LINES = """version: 1
stack: NAME
topics: {NAME.lines: {partitions: 1, replication_factor: 1}}
connectors:
  NAME-in:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {file: "FOLDER/in.txt", topic: NAME.lines, VALUE}
  NAME-out:
    on: sinks
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: "FOLDER/out.txt", topics: NAME.lines, VALUE}
"""
VALUE = "value.converter: org.apache.kafka.connect.storage.StringConverter"


@pytest.fixture(scope="module")
def sinks(kafka: KafkaCluster) -> Iterator[ConnectWorker]:
    """A second Connect; kplan knows the names of its internal topics, which stay on the broker of all tests."""
    with ConnectWorker(kafka.bootstrap, plugin_path(), group="sinks-connect") as worker:
        yield worker


@pytest.fixture
def shell(tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, sinks: ConnectWorker) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect, sinks=sinks))
    return made


def declare(shell: Shell, name: str, change: tuple[str, str] = ("", ""), more: str = "") -> None:
    text = LINES.replace("NAME", name).replace("FOLDER", str(shell.folder)).replace("VALUE", VALUE)
    shell.write("stack.yaml", text.replace(*change) + more)


def list_names(worker: ConnectWorker, name: str) -> list[str]:
    return sorted(each for each in worker.request("GET", "/connectors") if each.startswith(f"{name}-"))


def read_lines(kafka: KafkaCluster, topic: str, count: int) -> list[str]:
    """The first `count` lines of a topic, and what comes within two seconds after them."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found: list[str] = []
    for _ in range(60):
        message = consumer.poll(0.5 if len(found) < count else 2)
        if message is not None and message.error() is None:
            found.append(message.value().decode())
        elif len(found) >= count:
            break
    consumer.close()
    return found


def test_each_connector_is_on_its_own_connect(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, sinks: ConnectWorker
) -> None:
    shell.write("in.txt", "one\n")
    declare(shell, "two")
    planned = shell.kplan("plan", "stack.yaml")
    assert "connector/sinks/two-out" in planned.out and f"sinks: {sinks.url}" in planned.out
    shell.kplan("apply", "stack.yaml", "--yes")
    assert (list_names(connect, "two"), list_names(sinks, "two")) == (["two-in"], ["two-out"])
    assert "No changes" in shell.kplan("plan", "stack.yaml").out
    listed: Any = shell.kplan("list", "--format", "json").json
    assert {"two-in", "sinks/two-out"} <= {*str(listed).replace("'", " ").replace("connector/", "").split()}
    assert "connectors  2 of 2" in shell.kplan("status", "stack.yaml").out
    shell.kplan("snapshot", "--out", "live.json")
    assert "No changes" in shell.kplan("plan", "stack.yaml", "--live", "live.json").out
    check_another_alias(shell)
    shell.kplan("connector", "pause", "sinks/two-out")
    assert sinks.request("GET", "/connectors/two-out/status")["connector"]["state"] == "PAUSED"
    assert "state" in shell.kplan("drift", "stack.yaml", expect=2).out
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
    assert (list_names(connect, "two"), list_names(sinks, "two")) == ([], [])


def check_another_alias(shell: Shell) -> None:
    """The alias alone changes, and later changes back: nothing live is touched, and nobody owns anything else."""
    for old, new in (("sinks", "lake"), ("lake", "sinks")):
        for name, before in (("kplan.yaml", f" {old}: {{"), ("stack.yaml", f"on: {old}")):
            text = (shell.folder / name).read_text()
            shell.write(name, text.replace(before, before.replace(old, new)))
        refused = shell.kplan("plan", "stack.yaml", expect=1).err
        assert "K218" in refused and "kplan state rename-server" in refused
        assert "1 record renamed" in shell.kplan("state", "rename-server", old, new, "--yes").out
        planned = shell.kplan("plan", "stack.yaml").out
        assert "No changes" in planned and "Drift" not in planned


def test_a_connector_moves_to_another_connect_with_its_offsets(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, sinks: ConnectWorker
) -> None:
    shell.write("in.txt", "one\n")
    declare(shell, "mover")
    shell.kplan("apply", "stack.yaml", "--yes")
    assert read_lines(kafka, "mover.lines", 1) == ["one"]
    moved = "moved: [{from: connector/mover-in, to: connector/sinks/mover-in}]\n"
    declare(shell, "mover", ("  mover-in:\n", "  mover-in:\n    on: sinks\n"), moved)
    planned = shell.kplan("plan", "stack.yaml").out
    assert "connector/mover-in" in planned and "connector/sinks/mover-in" in planned
    shell.kplan("apply", "stack.yaml", "--yes")
    assert (list_names(connect, "mover"), list_names(sinks, "mover")) == ([], ["mover-in", "mover-out"])
    with (shell.folder / "in.txt").open("a") as file:
        file.write("two\n")
    assert read_lines(kafka, "mover.lines", 2)[-1] == "two"
    assert read_lines(kafka, "mover.lines", 0) == [], "nothing is read twice"
    assert "No changes" in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_a_failed_move_is_put_back(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, sinks: ConnectWorker
) -> None:
    shell.write("in.txt", "one\n")
    declare(shell, "failing")
    shell.kplan("apply", "stack.yaml", "--yes")
    assert read_lines(kafka, "failing.lines", 1) == ["one"]
    moved = "moved: [{from: connector/failing-in, to: connector/sinks/failing-in}]\n"
    declare(shell, "failing", ("  failing-in:\n", "  failing-in:\n    on: sinks\n"), moved)
    java_class = "org.apache.kafka.connect.file.FileStreamSinkConnector"
    config = "{topics: failing.lines, file: /nowhere/x}"
    broken = f"  failing-worse: {{class: {java_class}, on: sinks, config: {config}}}\n"
    text = (shell.folder / "stack.yaml").read_text().replace("moved:", broken + "moved:")
    shell.write("stack.yaml", text)
    shell.kplan("apply", "stack.yaml", "--yes", expect=7)
    assert (list_names(connect, "failing"), list_names(sinks, "failing")) == (["failing-in"], ["failing-out"])
    with (shell.folder / "in.txt").open("a") as file:
        file.write("two\n")
    assert read_lines(kafka, "failing.lines", 2)[-1] == "two"
    declare(shell, "failing")
    assert "No changes" in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_a_connect_that_is_down_blocks_its_own_connectors_alone(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, sinks: ConnectWorker
) -> None:
    settings = (shell.folder / "kplan.yaml").read_text()
    shell.write(
        "kplan.yaml",
        settings.replace(sinks.url, "http://127.0.0.1:1").replace("timeouts:", "retry: {attempts: 1}\n    timeouts:"),
    )
    shell.write("topic.yaml", "version: 1\nstack: alone\ntopics: {alone.topic: {replication_factor: 1}}\n")
    planned = shell.kplan("plan", "topic.yaml")
    assert "K335" in planned.err and "127.0.0.1:1" in planned.err
    declare(shell, "down")
    refused = shell.kplan("plan", "stack.yaml", expect=1)
    assert "127.0.0.1:1" in refused.all
    shell.kplan("wait", "--for", "connect", "--retries", "1", expect=1)


def test_a_connector_on_a_connect_that_is_not_there_is_an_error_at_its_line(shell: Shell) -> None:
    declare(shell, "nowhere", ("on: sinks", "on: others"))
    refused = shell.kplan("validate", "stack.yaml", expect=4).words
    assert "error[K218]" in refused and "others; environment dev" in refused and "it has default, sinks" in refused


def test_two_aliases_of_one_connect_are_refused_before_anything_moves(
    shell: Shell, connect: ConnectWorker, sinks: ConnectWorker
) -> None:
    settings = (shell.folder / "kplan.yaml").read_text()
    shell.write("kplan.yaml", settings.replace(sinks.url, connect.url))
    declare(shell, "same")
    assert "two aliases name one Connect" in shell.kplan("validate", "stack.yaml", expect=4).all
    shell.write("kplan.yaml", settings.replace(sinks.url, connect.url.replace("127.0.0.1", "localhost")))
    declare(shell, "same", ("    on: sinks\n", ""))
    shell.kplan("apply", "stack.yaml", "--yes")
    moved = "moved: [{from: connector/same-in, to: connector/sinks/same-in}]\n"
    declare(shell, "same", ("  same-in:\n", "  same-in:\n    on: sinks\n"), moved)
    refused = shell.kplan("plan", "stack.yaml", expect=None)
    if refused.code == 0:
        refused = shell.kplan("apply", "stack.yaml", "--yes", expect=None)
    assert refused.code not in (0,), refused.all
    assert list_names(connect, "same") == ["same-in", "same-out"]
    shell.write("kplan.yaml", settings)


def test_an_alias_with_connectors_cannot_be_left_out(shell: Shell, sinks: ConnectWorker) -> None:
    shell.write("in.txt", "one\n")
    declare(shell, "alias")
    shell.kplan("apply", "stack.yaml", "--yes")
    settings = (shell.folder / "kplan.yaml").read_text()
    shell.write("kplan.yaml", settings.replace("sinks:", "renamed:"))
    declare(shell, "alias", ("on: sinks", "on: renamed"))
    refused = shell.kplan("plan", "stack.yaml", expect=None)
    assert refused.code != 0 and "connector/sinks/alias-out is on Connect sinks" in refused.words, refused.all
    shell.write("kplan.yaml", settings)
    declare(shell, "alias")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
