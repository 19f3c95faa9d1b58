"""What is said to who types what other tools call it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kplan.cli import COMMANDS
from kplan.cli.habits import COMMAND_HINTS, FLAG_HINTS
from tests.shell import Shell


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("state list", "`kplan list` shows live resources"),
        ("state mv a b", "`moved:` in the stack"),
        ("lint stacks", "`kplan validate`"),
        ("workspace select prod", "--env NAME"),
        ("force-unlock 123", "a lock ends with its process"),
        ("get topics", "`kplan list`"),
        ("valdate", "Did you mean `validate`?"),
        ("plan -out p", "two dashes: --out"),
        ("plan -target=topic/x", "two dashes: --target"),
        ("plan -var x=1", "two dashes: --var"),
        ("apply -auto-approve", "--yes does not ask"),
        ("apply --auto-approve", "--yes does not ask"),
        ("-chdir=x plan", "-C DIR works in another folder"),
        ("plan --json", "--format json"),
        ("plan --watch", "`kplan status --watch`"),
        ("plan -f stack.yaml", "without a flag"),
        ("version --json", "--format json"),
        ("topics", "`kplan list 'topic/*'`"),
        ("describe topic shop.orders", "Did you mean topic/shop.orders?"),
        ("describe shop.orders", "is not an address: write topic/NAME"),
    ],
)
def test_another_tools_word_has_a_hint(line: str, words: str, tmp_path: Path) -> None:
    ended = Shell(tmp_path).kplan(*shlex.split(line), expect=64)
    assert words in " ".join(ended.err.split())


@pytest.mark.parametrize("line", ["frobnicate", "plan --xyzzy"])
def test_what_nobody_calls_so_has_none(line: str, tmp_path: Path) -> None:
    ended = Shell(tmp_path).kplan(*shlex.split(line), expect=None)
    assert "In kplan" not in ended.err and "Did you mean" not in ended.err


def test_a_hint_is_not_beside_a_similar_name_with_another_meaning(tmp_path: Path) -> None:
    assert "--width" not in Shell(tmp_path).kplan("plan", "--watch", expect=64).err
    assert "In kplan" not in Shell(tmp_path).kplan("completion", "--json", expect=64).err


def test_versions_are_a_document_too(tmp_path: Path) -> None:
    assert Shell(tmp_path).kplan("version", "--format", "json").json.keys() == {
        "kplan", "python", "confluent_kafka", "librdkafka"
    }  # fmt: skip


def test_hints_name_what_is_there() -> None:
    assert not set(COMMAND_HINTS) & set(COMMANDS)
    named = {
        name for hint in (*COMMAND_HINTS.values(), *FLAG_HINTS.values()) for name in re.findall(r"`kplan (\w+)", hint)
    }
    assert named <= set(COMMANDS)


def test_a_folder_is_taken_before_the_command_too(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("a/b/stack.yaml", "version: 1\nstack: there\ntopics: {there.x: {}}\n")
    assert "there.x" in shell.kplan("-C", "a/b", "plan", "stack.yaml").out
    assert "there.x" in shell.kplan("-C", "a", "plan", "-C", "b", "stack.yaml").out
    assert "does not exist" in shell.kplan("-C", "nowhere", "plan", expect=64).err
