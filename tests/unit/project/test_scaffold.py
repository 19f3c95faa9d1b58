"""kplan init: what it writes validates and plans, its words work as printed, and nothing is overwritten."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kplan.project.loading import list_built_in_templates
from kplan.project.scaffold import make_slug, name_environment_variable
from tests.shell import Shell
from tests.unit.cli.test_applying import Terminal

SECRET = "only-a-test-41c9"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, secrets=(SECRET,))


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def printed(out: str) -> list[str]:
    """The commands that it says come next, without those for servers."""
    said = out.partition("Next, ")[2].partition("and with your servers")[0]
    return re.findall(r"^  (\S.*)$", said, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("template", ["topics", *list_built_in_templates()])
def test_what_it_writes_works_as_printed(shell: Shell, template: str, tmp_path: Path) -> None:
    out = shell.kplan(
        "init", "my project", "--template", template, "--bootstrap", "h:9092", "--connect", "http://h"
    ).out
    commands = printed(out)
    assert commands[0] == "cd 'my project'" and commands[-1] == "kplan apply stacks/my-project.yaml"
    has_secret = template != "topics" and not template.startswith(("mirror-", "file-", "s3-", "iceberg-", "bigquery-"))
    assert ("export MY_PROJECT_" in out) == has_secret
    script = "\n".join(
        ["set -e", f'kplan() {{ "{sys.executable}" -m kplan "$@"; }}', *commands, "kplan fmt --check stacks"]
    )
    script = script.replace("=anything", f"={SECRET}").replace("kplan apply", "kplan apply --yes")
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "error[" not in run.stdout + run.stderr and "warning[" not in run.stdout + run.stderr
    assert re.search(r"resources? (is|are) valid", run.stdout) and "Applied" in run.stdout
    shell.assert_no_secret_on_disk()


def test_the_line_for_editors_names_a_schema_that_is_there(shell: Shell, tmp_path: Path) -> None:
    shell.kplan("init", "--name", "shop")
    for file, schema in (("stacks/shop.yaml", "stack.v1"), ("kplan.yaml", "environments.v1")):
        path = tmp_path / file
        line = path.read_text("utf-8").splitlines()[0]
        assert line.startswith("# yaml-language-server: $schema=")
        named = path.parent / line.partition("$schema=")[2]
        assert named.resolve() == tmp_path / "schemas" / f"{schema}.json"
        assert named.read_text("utf-8") == shell.kplan("schema", schema).out
    assert (tmp_path / ".gitignore").read_text() == ".kplan/\n"


def test_an_environment_is_written_where_its_brokers_are_named(shell: Shell, tmp_path: Path) -> None:
    out = shell.kplan("init", "--name", "shop", "--bootstrap", "b-1:9092,b-2:9092").out
    assert 'kafka: {bootstrap.servers: "b-1:9092,b-2:9092"}' in (tmp_path / "kplan.yaml").read_text()
    assert "connect:" not in (tmp_path / "kplan.yaml").read_text()
    assert out.endswith("  kplan plan stacks/shop.yaml --env dev\n")


def test_nothing_is_overwritten(shell: Shell, tmp_path: Path) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: }\n")
    shell.write(".gitignore", "x")
    shell.kplan("init", "--name", "shop")
    shell.write("stacks/shop.yaml", "mine")
    before = texts(tmp_path)
    assert before["kplan.yaml"] == "version: 1\nenvironments: {local: }\n" and before[".gitignore"] == "x\n.kplan/\n"
    assert "error[K245]" in shell.kplan("init", "--name", "shop", expect=1).err
    assert "error[K245]" in shell.kplan("init", "--name", "b", "--bootstrap", "h:1", expect=1).err
    assert texts(tmp_path) == before
    assert "simulated cluster takes any" in shell.kplan("init", "--name", "b", "--template", "debezium-mysql").out
    (tmp_path / "stacks" / "b.yaml").unlink()
    shell.kplan("init", "--name", "shop", "--force")
    after = texts(tmp_path)
    assert after.pop("stacks/shop.yaml") != before.pop("stacks/shop.yaml") and after == before


@pytest.mark.parametrize(("arguments", "said"), [
    (["--name", "Shop"], "1 to 63"), (["--template", "debezium"], "debezium-oracle"),
    (["--connect", "http://h"], "--bootstrap"),
    (["--bootstrap", "h:1", "--connect", f"http://u:{SECRET}@h"], "password"),
])  # fmt: skip
def test_what_cannot_be_is_a_wrong_command_line(shell: Shell, arguments: list[str], said: str, tmp_path: Path) -> None:
    assert said in shell.kplan("init", *arguments, expect=64).err
    assert texts(tmp_path) == {}


def test_a_place_that_cannot_be_written_is_told(shell: Shell) -> None:
    shell.write("stacks", "a file, no folder")
    assert "error[K611]" in shell.kplan("init", "--name", "a", expect=1).err


def test_on_a_terminal_it_asks_what_no_flag_says(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--template", "debezium-mysql")
    terminal.until("Name of the stack")
    terminal.type("crm\n")
    terminal.until("Brokers")
    terminal.type("localhost:9092\n")
    terminal.until("Kafka Connect")
    terminal.type("\n")
    terminal.until("kplan plan stacks/crm.yaml --env dev")
    assert terminal.end() == 0
    assert "template: debezium-mysql" in (tmp_path / "stacks" / "crm.yaml").read_text()


def test_names_are_made_of_any_text() -> None:
    assert make_slug("My Project_2/") == "my-project-2"
    assert make_slug("你好") == ""
    assert name_environment_variable("2nd-shop", "db_password") == "_2ND_SHOP_DB_PASSWORD"


def test_on_a_terminal_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--template", "topics")
    terminal.until("Name of the stack")
    terminal.type("My Shop\n")
    terminal.until("such as my-shop")
    terminal.type("my-shop\n")
    terminal.until("Brokers")
    terminal.type("not a host\n")
    terminal.until("is not HOST:PORT")
    terminal.type("localhost\n")
    terminal.until("Kafka Connect")
    terminal.type("localhost:8083\n")
    terminal.until("begins with http")
    terminal.type("http://localhost:8083\n")
    terminal.until("kplan plan stacks/my-shop.yaml --env dev")
    assert terminal.end() == 0
    assert "bootstrap.servers: localhost:9092" in (tmp_path / "kplan.yaml").read_text().replace('"', "")


def test_a_second_stack_of_a_simulated_environment_takes_any_password(shell: Shell) -> None:
    shell.kplan("init", "--name", "first")
    assert (
        "the simulated cluster takes any" in shell.kplan("init", "--name", "second", "--template", "debezium-mysql").out
    )


def test_a_second_stack_of_a_real_environment_needs_the_real_password(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {dev: {kafka: {bootstrap.servers: '{{ env.NOT_SET }}'}}}\n")
    said = shell.kplan("init", "--name", "second", "--template", "debezium-mysql").out
    assert "apply needs the real one" in said


def test_schemas_are_no_stacks(shell: Shell) -> None:
    shell.kplan("init", "m", "--name", "shop")
    assert "in 1 file" in shell.kplan("validate", "m").all
