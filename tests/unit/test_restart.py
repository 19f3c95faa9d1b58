"""`restart:` of a connector: what besides its own changes has it restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell


def stack(restart: str, topics: str, config: str = "file: /x, topic: t") -> str:
    java_class = "org.apache.kafka.connect.file.FileStreamSourceConnector"
    return f"""
version: 1
stack: s
connectors:
  feed: {{class: {java_class}, restart: {restart}, topics: {{{topics}}}, config: {{{config}}}}}
"""


def steps(shell: Shell, text: str) -> list[tuple[str, bool]]:
    """The addresses that a plan changes, in its order, and whether each is restarted."""
    shell.write("stack.yaml", text)
    plan = shell.kplan("plan", "stack.yaml", "--format", "json").json
    return [(change["address"], change.get("restart", False)) for change in plan["changes"]]  # type: ignore[index]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("restart", "restarted"), [("never", []), ("on-change", []), ("always", [("connector/feed", True)])]
)
def test_always_restarts_where_only_topics_have_changed(
    restart: str, restarted: list[tuple[str, bool]], shell: Shell
) -> None:
    shell.write("stack.yaml", stack(restart, "t: {partitions: 1}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    assert steps(shell, stack(restart, "t: {partitions: 1}")) == []
    grown = stack(restart, "t: {partitions: 3}")
    assert steps(shell, grown) == [("topic/t", False), *restarted]
    said = shell.kplan("apply", "stack.yaml", "--yes").out
    assert ("restarted" in said) == bool(restarted)
    assert steps(shell, grown) == []


@pytest.mark.parametrize(("restart", "restarted"), [("never", False), ("on-change", True), ("always", True)])
def test_another_config_restarts_on_change(restart: str, restarted: bool, shell: Shell) -> None:
    shell.write("stack.yaml", stack(restart, "t: {partitions: 1}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    other = stack(restart, "t: {partitions: 1}", "file: /y, topic: t")
    assert steps(shell, other) == [("connector/feed", restarted)]


def test_what_does_not_run_is_not_restarted(shell: Shell) -> None:
    shell.write("stack.yaml", stack("always", "t: {partitions: 1}").replace("restart:", "state: stopped, restart:"))
    shell.kplan("apply", "stack.yaml", "--yes")
    grown = stack("always", "t: {partitions: 3}").replace("restart:", "state: stopped, restart:")
    assert steps(shell, grown) == [("topic/t", False)]


def test_a_failure_after_a_restart_is_put_back(shell: Shell) -> None:
    shell.write("stack.yaml", stack("always", "t: {}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/other]}}}\n")
    more = stack("always", "t: {config: {retention.ms: 8d}}")
    other = "org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: /z, topic: t}"
    shell.write("stack.yaml", f"{more}  other: {{class: {other}}}\n")
    said = shell.kplan("apply", "stack.yaml", "--yes", expect=7).out
    assert "rolled back" in said
