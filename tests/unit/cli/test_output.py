"""What others wrote into settings steers no terminal, and JSON still holds it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kplan.cli.output import escape_controls
from kplan.language.source import load
from kplan.testing import SimulatedCluster
from tests.shell import Shell

ODD = "a\x9b31mb\u202ec\u2066d\u200ee\u200ff\x7fg\x85h"
STEERING = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STACK = "version: 1\nstack: s\nconnectors:\n  odd: {class: %s, config: {topic: t, file: /in, opt: other}}\n"
SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A connector that somebody made, with characters that steer terminals in a setting."""
    cluster = SimulatedCluster(tmp_path)
    cluster.add_connector("odd", {"connector.class": SOURCE, "topic": "t", "file": "/in", "opt": ODD})
    made = Shell(tmp_path)
    made.write(
        "kplan.yaml", "version: 1\ndefault: d\nenvironments:\n  d: {simulated: {}, state: {sqlite: cluster.db}}\n"
    )
    made.write("stack.yaml", STACK % SOURCE)
    return made


def test_json_is_escaped_and_keeps_its_values(shell: Shell) -> None:
    config = shell.kplan("connector", "config", "odd")
    assert not STEERING.search(config.all) and config.json["opt"] == ODD
    plan = shell.kplan("plan", "stack.yaml", "--format", "json")
    assert not STEERING.search(plan.all)
    assert plan.json["changes"][0]["before"]["config"]["opt"] == ODD


@pytest.mark.parametrize("view", ["text", "md", "concise", "html"])
def test_no_view_steers_a_terminal(shell: Shell, view: str) -> None:
    assert not STEERING.search(shell.kplan("plan", "stack.yaml", "--format", view).all)


def test_an_import_keeps_the_value_and_escapes_it(shell: Shell) -> None:
    text = shell.kplan("import", "odd", "--stack", "s").out
    assert not STEERING.search(text)
    document, _ = load(text.encode(), "imported.yaml")
    assert document is not None and document.data["connectors"]["odd"]["config"]["opt"] == ODD


def test_kplans_own_colours_are_left() -> None:
    assert escape_controls("\x1b[31mred\x1b[0m\n\tüñ") == "\x1b[31mred\x1b[0m\n\tüñ"
    assert json.loads(escape_controls(json.dumps(ODD, ensure_ascii=False))) == ODD
