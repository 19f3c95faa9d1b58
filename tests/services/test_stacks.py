"""Three stacks applied as one on real services: topics, a source that fills them, a sink that reads them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_walk import ask, environment, topics
from tests.shell import Ended, Shell

TOPICS = "version: 1\nstack: {prefix}-topics\ntopics:\n  {prefix}.lines: {{partitions: 2}}\n"
FEED = """
version: 1
stack: {prefix}-feed
connectors:
  {prefix}-source:
    class: {source}
    config: {{file: "{folder}/in.txt", topic: {prefix}.lines}}
"""
SINK = """
version: 1
stack: {prefix}-dwh
connectors:
  {prefix}-sink:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config:
      file: "{folder}/out.txt"
      topics: {prefix}.lines
      key.converter: org.apache.kafka.connect.storage.StringConverter
      value.converter: org.apache.kafka.connect.storage.StringConverter
"""
GOOD = "org.apache.kafka.connect.file.FileStreamSourceConnector"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", environment(kafka, connect))
    made.write("in.txt", "one\ntwo\nthree\n")
    return made


def stacks(shell: Shell, prefix: str, source: str = GOOD) -> None:
    """Files whose names are in the wrong order."""
    for file, text in (("a-dwh", SINK), ("b-feed", FEED), ("c-topics", TOPICS)):
        shell.write(f"stacks/{file}.yaml", text.format(prefix=prefix, folder=shell.folder, source=source))


def order(ended: Ended) -> list[str]:
    """The addresses in the order in which they were done."""
    return re.findall(r"^\[\d+/\d+\] [-+~x] (\S+)", ended.out, re.MULTILINE)


def names(connect: ConnectWorker, prefix: str) -> list[str]:
    return [name for name in ask(connect, "GET", "/connectors")[1] if name.startswith(prefix)]


def test_three_stacks_are_applied_and_destroyed_in_the_order_of_what_feeds_what(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker
) -> None:
    stacks(shell, "three")
    applied = shell.kplan("apply", "stacks", "--yes")
    assert order(applied) == ["topic/three.lines", "connector/three-source", "connector/three-sink"]
    assert "3 stacks: 3 applied." in applied.out
    arrived = shell.folder / "out.txt"
    deadline = time.monotonic() + 60
    while not arrived.exists() or "three" not in arrived.read_text():
        assert time.monotonic() < deadline, "no line came through"
        time.sleep(0.2)
    assert "No changes. 3 resources in 3 stacks are as declared" in shell.kplan("plan", "stacks").out
    assert shell.kplan("drift", "stacks").out.count("No drift") == 1
    assert shell.kplan("status", "stacks").out.startswith("three-dwh, three-feed, three-topics: HEALTHY")

    destroyed = shell.kplan("destroy", "stacks", "--yes", "--accept", "delete:*")
    assert order(destroyed) == ["connector/three-sink", "connector/three-source", "topic/three.lines"]
    assert topics(kafka, "three.") == {} and names(connect, "three") == []


def test_a_failure_in_the_second_stack_stops_the_third_and_the_first_stays(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker
) -> None:
    stacks(shell, "stops", "org.example.NoSuchConnector")
    ended = shell.kplan("apply", "stacks", "--yes", "--offline", expect=7)
    assert order(ended)[0] == "topic/stops.lines" and "connector/stops-sink" not in order(ended)
    said = ended.out[ended.out.index("3 stacks: ") :]
    assert said.startswith("3 stacks: 1 applied, 1 rolled back, 1 not begun.")
    assert re.search(r"stops-topics +applied +run ", said) and re.search(r"stops-dwh +not begun", said)
    assert topics(kafka, "stops.") == {"stops.lines": 2} and names(connect, "stops") == []

    stacks(shell, "stops")
    mended = shell.kplan("apply", "stacks", "--yes")
    assert order(mended) == ["connector/stops-source", "connector/stops-sink"]
    assert "1 stack unchanged: stops-topics" in mended.out
    shell.kplan("destroy", "stacks", "--yes", "--accept", "delete:*")
