"""Several Connect clusters in one environment, on the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.model import Target
from kplan.planning.document import _decode_target, encode_target
from tests.shell import Shell

SETTINGS = "version: 1\nenvironments:\n  local: {simulated: {connects: [sinks]}}\n"
STACK = """version: 1
stack: shop
topics: {lines: }
connectors:
  out:
    ON
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /tmp/out.txt, topics: lines}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS)
    return made


def test_a_connector_is_on_the_connect_that_it_names_and_moves(shell: Shell) -> None:
    shell.write("a.yaml", STACK.replace("ON", "on: sinks"))
    shell.kplan("apply", "a.yaml", "--yes")
    assert "connector/sinks/out" in shell.kplan("list").out
    assert "No changes" in shell.kplan("plan", "a.yaml").out
    shell.write("a.yaml", STACK.replace("    ON\n", "") + "moved: [{from: connector/sinks/out, to: connector/out}]\n")
    shell.kplan("apply", "a.yaml", "--yes")
    listed = shell.kplan("list").out
    assert "connector/out" in listed and "connector/sinks/out" not in listed


def test_the_same_name_on_two_connects_is_two_connectors(shell: Shell) -> None:
    both = STACK.replace("ON", "on: sinks") + "  other: {name: out" + ", class: org.apache.kafka.connect.file."
    both += "FileStreamSourceConnector, config: {file: /tmp/in.txt, topic: lines}}\n"
    shell.write("a.yaml", both)
    shell.kplan("apply", "a.yaml", "--yes")
    listed = shell.kplan("list").out
    assert "connector/out" in listed and "connector/sinks/out" in listed


def test_an_alias_that_is_not_there_is_an_error_at_its_line(shell: Shell) -> None:
    shell.write("a.yaml", STACK.replace("ON", "on: elsewhere"))
    assert "a.yaml:6:9" in shell.kplan("validate", "a.yaml", expect=4).all


@pytest.mark.parametrize(
    ("connect", "words"),
    [
        ('{default: {url: "http://a"}, sinks: {url: "http://b, http://a/"}}', "two aliases name one Connect"),
        ('{sinks: {url: "http://b"}}', "A Connect needs `url`; of several one is the `default`"),
        ('{default: {url: "http://a"}, Sinks: {url: "http://b"}}', "An alias has small letters"),
        ('{default: {url: "http://a"}, sinks: {user: x}}', "url"),
    ],
)
def test_mistakes_in_kplan_yaml_are_said(tmp_path: Path, connect: str, words: str) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  e:\n"
                f'    kafka: {{bootstrap.servers: "k:1"}}\n    connect: {connect}\n')  # fmt: skip
    assert words in shell.kplan("validate", "kplan.yaml", expect=4).words


def test_only_an_alias_that_is_gone_is_renamed_in_the_ledger(shell: Shell) -> None:
    shell.write("a.yaml", STACK.replace("ON", "on: sinks"))
    shell.kplan("apply", "a.yaml", "--yes")
    rename = ("state", "rename-server")
    assert "no Connect lake" in shell.kplan(*rename, "sinks", "lake", "--yes", expect=1).err
    assert "still has a Connect sinks" in shell.kplan(*rename, "sinks", "default", "--yes", expect=1).err
    shell.write("kplan.yaml", SETTINGS.replace("[sinks]", "[lake]"))
    shell.kplan(*rename, "sinks", "lake", expect=9)  # there is no terminal to confirm on
    assert "No connector of old" in shell.kplan(*rename, "old", "lake", "--yes").out
    assert "connector/sinks/out" in shell.kplan(*rename, "sinks", "lake", "--yes").out
    assert "No connector of sinks" in shell.kplan(*rename, "sinks", "lake", "--yes").out


def test_the_connects_of_a_plan_come_back_from_its_document() -> None:
    target = Target("id", connect_url="http://a", connects=(("sinks", "http://b", "4.3.1"),))
    assert _decode_target(encode_target(target)) == target
    assert "connects" not in encode_target(Target("id"))
    assert target.find_connect("sinks") == ("http://b", "4.3.1") and target.find_connect("none") == ("", "")


def test_an_import_says_on_which_connect_a_connector_is(shell: Shell) -> None:
    shell.write("a.yaml", STACK.replace("ON", "on: sinks"))
    shell.kplan("apply", "a.yaml", "--yes")
    kept = "removed: [{connector: sinks/out, keep: true}, {topic: lines, keep: true}]\n"
    shell.write("a.yaml", f"version: 1\nstack: shop\n{kept}")
    shell.kplan("apply", "a.yaml", "--yes")
    shell.write("b.yaml", shell.kplan("import", "--stack", "again").out)
    assert "2 to adopt" in shell.kplan("plan", "b.yaml").out
