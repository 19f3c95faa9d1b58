"""What kplan knows of transforms is what a real worker lists, and what it does not know the worker tells."""

from __future__ import annotations

from pathlib import Path

from kplan.kinds.connector import transforms
from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_walk import environment
from tests.shell import Shell

TIMESCALE = "io.debezium.connector.postgresql.transforms.timescaledb.TimescaleDb"
STACK = f"""\
version: 1
stack: smt
topics: {{smt.t: }}
connectors:
  smt-sink:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config:
      topics: smt.t
      transforms: "unwrap,fields,scale"
      transforms.unwrap.type: io.debezium.transforms.ExtractNewRecordState
      transforms.unwrap.drop.tombstones: true
      transforms.fields.type: org.apache.kafka.connect.transforms.ReplaceField$Value
      transforms.fields.blacklist: card
      transforms.scale.type: {TIMESCALE}
      transforms.scale.schema.lists: a
      transforms.scale.whatever: a
      transforms.scale.database.hostname: a
"""


def test_the_known_settings_are_those_that_the_worker_lists(connect: ConnectWorker) -> None:
    seen = set()
    for plugin in connect.request("GET", "/connector-plugins?connectorsOnly=false"):
        known = transforms.known_settings(plugin["class"])
        if known is None or plugin["type"] in ("source", "sink"):
            continue
        listed = {each["name"] for each in connect.request("GET", f"/connector-plugins/{plugin['class']}/config")}
        assert listed == known - transforms.UNLISTED, plugin
        seen.add(transforms.simple_name(plugin["class"]))
    assert seen == set(transforms.KNOWN)


def test_unknown_settings_of_transforms_are_warnings_at_their_lines(
    kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", environment(kafka, connect))
    shell.write("stack.yaml", STACK)
    document = shell.kplan("plan", "stack.yaml", "--format", "json", expect=None).json
    lines = STACK.splitlines()
    found = {
        (each["code"], lines[each["line"] - 1].split(":")[0].strip()): each["help"]
        for each in document["diagnostics"]
        if each["severity"] == "warning"
    }
    assert found.keys() == {
        ("K254", "transforms.unwrap.drop.tombstones"),
        ("K254", "transforms.fields.blacklist"),
        ("K304", "transforms.scale.schema.lists"),
        ("K304", "transforms.scale.whatever"),
    }, document["diagnostics"]
    assert "transforms.scale.schema.list" in found["K304", "transforms.scale.schema.lists"]
