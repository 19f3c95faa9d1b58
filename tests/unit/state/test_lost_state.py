"""An apply notices that the state was lost after its plan was made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.shell import Shell

STACK = "version: 1\nstack: shop\ntopics: {a.orders: {partitions: 1}, a.items: {partitions: 1}}\n"
GROWN = STACK.replace("a.orders: {partitions: 1}", "a.orders: {partitions: 2}")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A stack that was applied, and a saved plan of the next change."""
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK)
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", GROWN)
    planned = shell.kplan("plan", "stack.yaml", "--out", "plan.json", "--format", "json").json
    assert planned["read"]["owned"] == 2
    return shell


def forget(shell: Shell, condition: str = "1") -> None:
    with sqlite3.connect(shell.folder / ".kplan/local.db") as database:
        database.execute(f"DELETE FROM kplan_ledger WHERE {condition}")


def test_a_state_that_was_emptied_stops_an_apply(shell: Shell) -> None:
    forget(shell)
    ended = shell.kplan("apply", "plan.json", expect=5)
    assert "K625" in ended.err and "no record any more of 2 resources of stack shop" in ended.err
    assert "1 of 1" not in ended.out
    adopting = shell.kplan("plan", "stack.yaml", "--format", "json").json
    assert adopting["summary"]["adopt"] == 1 and "owned" not in adopting["read"]


def test_a_record_that_was_removed_stops_an_apply_of_its_resource(shell: Shell) -> None:
    forget(shell, "address = 'topic/a.orders'")
    ended = shell.kplan("apply", "plan.json", expect=5)
    assert "K625" in ended.err and "no record any more of topic/a.orders" in ended.err


def test_a_record_of_another_resource_does_not(shell: Shell) -> None:
    forget(shell, "address = 'topic/a.items'")
    assert "Applied 1 of 1" in shell.kplan("apply", "plan.json").out
