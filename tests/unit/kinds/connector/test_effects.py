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


@pytest.mark.parametrize(
    ("restart", "said"),
    [("never", []), ("on-change", ["then restarts the connector and its tasks (restart: on-change)"])],
)
def test_the_plan_says_that_a_change_restarts(restart: str, said: list[str], shell: Shell) -> None:
    shell.write("stack.yaml", stack(restart, "t: {partitions: 1}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", stack(restart, "t: {partitions: 1}", "file: /y, topic: t"))
    (change,) = shell.kplan("plan", "stack.yaml", "--format", "json").json["changes"]
    assert change["effects"] == ["restarts 1 task; offsets are kept", *said]
    assert [words for words in said if words in shell.kplan("plan", "stack.yaml").out] == said


def test_a_replaced_topic_without_records_is_said_to_hold_none(shell: Shell) -> None:
    shell.write("stack.yaml", "version: 1\nstack: s\ntopics: {t: {}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    (change,) = shell.kplan("plan", "stack.yaml", "--replace", "topic/t", "--format", "json", expect=3).json["changes"]
    (risk,) = [risk for risk in change["risks"] if risk["code"] == "K403"]
    assert risk["summary"] == "deleted and recreated. It holds no records."


@pytest.mark.parametrize(("name", "word"), [("feed", "feed"), ("east->west", "'east->west'")])
def test_a_failed_task_is_reported_with_the_command_that_restarts_it(name: str, word: str, shell: Shell) -> None:
    shell.write("kplan.yaml", f"version: 1\nenvironments:\n  local: {{simulated: {{fail: [connector/{name}]}}}}\n")
    shell.write("stack.yaml", stack("never", "t: {partitions: 1}").replace("feed:", f"{name}:"))
    shell.kplan("apply", "stack.yaml", "--yes", "--on-failure", "stop", expect=8)
    said = shell.kplan("plan", "stack.yaml").err
    assert "warning[K417]" in said and f"kplan connector restart {word} --failed-only" in said


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
