"""What the shell is offered, and that static words load nothing heavy."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kplan.cli import COMMANDS, cli
from kplan.cli.completing import WORDS
from tests.shell import Shell
from tests.unit.test_imports import HEAVY

STACK = """\
version: 1
stack: shop
topics: {shop.orders: , shop.customers: , other: }
connectors: {sink: {class: X, config: {topics: shop.orders}}}
removed: [{topic: shop.old}, {topic: shop.kept, keep: true}]
"""


ACCESS = """\
version: 1
stack: access
variables: {word: {sensitive: true}}
users: {orders: {password: "{{ var.word }}"}, a b: {password: "{{ var.word }}"}}
access: {User:orders: {produce: [shop.orders, "shop.*"]}, "User:CN=app,O=x y": {produce: shop.orders}}
quotas: [{user: orders, client_id: etl, producer_byte_rate: 1}, {ip: default, connection_creation_rate: 1}]
removed: [{acl: User:old/allow/Read/topic/a}, {user: old}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stack.yaml").write_text(STACK)
    (tmp_path / "access.yaml").write_text(ACCESS)
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "kplan.yaml").write_text(
        'version: 1\nenvironments:\n  dev: {kafka: {bootstrap.servers: "{{ env.NO }}"}}\n  local:\n'
    )
    return tmp_path


def offered(folder: Path, line: str, *python: str) -> tuple[list[str], str]:
    """The words for the end of the line, and what is said on standard error."""
    words = line.split()
    position = len(words) if line.endswith(" ") else len(words) - 1
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(position), "_KPLAN_COMPLETE": "bash_complete"}
    if not python:
        ended = Shell(folder, environment).kplan()
        return ended.out.split(), ended.err
    run = subprocess.run([sys.executable, *python, "-m", "kplan"], env={**os.environ, **environment}, cwd=folder,
                         text=True, capture_output=True, check=False)  # fmt: skip
    return run.stdout.split(), run.stderr


@pytest.mark.parametrize(("line", "words"), [
    ("kplan plan stack.yaml --env ", ["plain,dev", "plain,local"]),
    ("kplan plan stack.yaml --target topic/sh", ["plain,topic/shop.orders", "plain,topic/shop.customers"]),
    ("kplan plan stack.yaml --env dev --exclude c", ["plain,connector/sink"]),
    ("kplan plan broken.yaml --target t", []), ("kplan plan --target t", []),
    ("kplan plan st", ["file,st"]), ("kplan explain K245", ["plain,K245"]),
    ("kplan schema g", ["plain,graph"]), ("kplan init --template debezium-m", [
        "plain,debezium-mariadb", "plain,debezium-mongodb", "plain,debezium-mysql"]),
    ("kplan graph stack.yaml --format m", ["plain,mermaid"]),
    ("kplan connector status ", ["plain,sink"]), ("kplan connector offsets s", ["plain,sink"]),
    ("kplan plan stack.yaml --accept delete:", [
        "plain,delete:topic/shop.old", "plain,delete:topic/shop.orders", "plain,delete:topic/shop.customers",
        "plain,delete:topic/other", "plain,delete:connector/sink"]),
    ("kplan apply stack.yaml --accept change:c", ["plain,change:connector/sink"]),
    ("kplan plan --accept ", ["plain,max_changes", "plain,delete:", "plain,replace:", "plain,change:"]),
    ("kplan plan access.yaml --target acl/User:o", [
        "plain,acl/User:orders/allow/Write/topic/shop.orders", "plain,acl/User:orders/allow/Write/topic-prefix/shop."]),
    ("kplan plan access.yaml --exclude acl/User:C", ["plain,acl/User:CN=app,O=x%20y/allow/Write/topic/shop.orders"]),
    ("kplan plan access.yaml --target user/", ["plain,user/orders", "plain,user/a%20b"]),
    ("kplan plan access.yaml --target q", ["plain,quota/user=orders,client-id=etl", "plain,quota/ip-default"]),
    ("kplan plan access.yaml --accept change:user/", ["plain,change:user/orders", "plain,change:user/a%20b"]),
    ("kplan plan access.yaml --accept delete:acl/User:ol", ["plain,delete:acl/User:old/allow/Read/topic/a"]),
    ("kplan list --kind ", [f"plain,{kind}" for kind in ("acl", "connector", "quota", "subject", "topic", "user")]),
    ("kplan status access.yaml --logi", ["plain,--logins"]),
    ("kplan plan stack.yaml --report m", ["plain,md=plan.md"]),
    ("kplan validate --report ", ["plain,sarif=plan.sarif", "plain,junit=plan.xml", "plain,github=-",
                                  "plain,json=plan.json"]),
])  # fmt: skip
def test_words_are_offered(folder: Path, line: str, words: list[str]) -> None:
    assert offered(folder, line) == (words, "")


@pytest.mark.parametrize("line", [
    "kplan ex", "kplan explain K1", "kplan plan --tar", "kplan plan st", "kplan plan --report m",
    "kplan plan --accept d",
])  # fmt: skip
def test_static_words_load_nothing_heavy(folder: Path, line: str) -> None:
    words, said = offered(folder, line, "-X", "importtime")
    names = {each.rpartition("|")[2].strip().split(".")[0] for each in said.splitlines()}
    assert words and "kplan" in names
    assert not names & HEAVY


def test_every_stack_environment_and_address_completes() -> None:
    """By the names of the parameters: a command with another name for the same would complete to nothing."""
    import click

    context = click.Context(cli)
    params = {p.name: p for name in COMMANDS for p in cli.get_command(context, name).params}  # type: ignore[union-attr]
    stacks = {p.name for p in params.values() if "STACK" in (p.metavar or "")}
    addresses = {p.name for p in params.values() if p.metavar == "ADDR" and "--forget" not in p.opts}
    assert stacks | addresses | {"env"} <= WORDS.keys()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts_complete_commands_and_flags(name: str, tmp_path: Path) -> None:
    assert "_KPLAN_COMPLETE" in Shell(tmp_path).kplan("completion", name).out
    words = {"COMP_WORDS": "kplan plan --det", "COMP_CWORD": "2"} if name != "fish" else {
        "COMP_WORDS": "kplan plan --det", "COMP_CWORD": "--det"}  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "kplan"],
        env={**os.environ, **words, "_KPLAN_COMPLETE": f"{name}_complete"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "--detailed-exitcode" in run.stdout, json.dumps([run.stdout, run.stderr])


@pytest.mark.parametrize(("line", "replies"), [
    ("kplan plan access.yaml --target acl/User:orders/allow/Write/topic-", ["orders/allow/Write/topic-prefix/shop."]),
    ("kplan plan access.yaml --target=acl/User:orders/allow/Write/topic-", ["orders/allow/Write/topic-prefix/shop."]),
    ("kplan plan access.yaml --target quota/user=o", ["orders,client-id=etl"]),
    ("kplan plan 'access.yaml' --accept change:quota/i", ["quota/ip-default"]),
    ("kplan plan access.yaml --target user/", ["user/orders", "user/a%20b"]),
    ("kplan list --kind ", ["acl", "connector", "quota", "subject", "topic", "user"]),
    ("kplan plan access.yaml --detailed", ["--detailed-exitcode"]),
])  # fmt: skip
def test_bash_completes_a_word_from_its_last_break_on(folder: Path, line: str, replies: list[str]) -> None:
    """Bash replaces what is typed behind the last `:` or `=`."""
    script = folder / "completion.sh"
    script.write_text(Shell(folder).kplan("completion", "bash").out)
    kplan = folder / "kplan"
    kplan.write_text(f'#!/bin/sh\nexec {sys.executable} -m kplan "$@"\n')
    kplan.chmod(0o755)
    lines = [
        'source ./completion.sh', f"COMP_LINE={shlex.quote(line)}", "COMP_POINT=${#COMP_LINE}",
        "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'", "COMPREPLY=()", "_kplan_completion ./kplan",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]  # fmt: skip
    run = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, cwd=folder, check=False)
    assert (run.stdout.splitlines(), run.stderr) == (replies, "")
