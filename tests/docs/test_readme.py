"""README.md shows what kplan does: its first stack is applied, its plan is a case's, its failure the demo's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.guides import DOCS, Reader, blocks, commands, compare
from tests.shell import Shell

ROOT = DOCS.parent
README = (ROOT / "README.md").read_text("utf-8")
CASE = re.compile(r"^<!-- (tests/cases/\S+) -->\n```\n\$ (.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Newcomer(Reader):
    """Reads the README, and lets the demo fail for them."""

    def demo(self, _: str, text: str) -> None:
        ended = subprocess.run(
            [sys.executable, ROOT / "stacks" / "demo.py"], capture_output=True, text=True, check=True
        )
        ((command, expected),) = commands(text)
        printed = ended.stdout.splitlines()
        starts = [number for number, line in enumerate(printed) if line == f"$ {command}"]
        assert len(starts) == 1, ended.stdout
        compare(command, [*expected, "…"], printed[starts[0] + 1 :])


def test_the_readme_is_true(tmp_path: Path) -> None:
    assert [kind for kind, _, _ in blocks(README)] == ["file", "run", "demo"]
    Newcomer(Shell(tmp_path)).follow(README)


def test_the_first_stack_is_the_example() -> None:
    (text,) = [text for kind, _, text in blocks(README) if kind == "file"]
    example = yaml.safe_load((ROOT / "stacks" / "quickstart.yaml").read_text("utf-8"))
    del example["description"]
    assert yaml.safe_load(text) == example


TERMS = ["stack", "environment", "ledger", "run", "journal", "wave", "danger", "adopt", "release", "drift"]


def test_a_newcomer_sees_a_plan_within_two_screens() -> None:
    start, _, _ = README.partition("\n```\n\nThe next `kplan plan` ends with")
    until_plan = start[: start.index("Plan: 4 to add")]
    assert until_plan.count("\n") < 100
    assert [line for line in until_plan.splitlines() if len(line) > 110] == []
    assert re.findall(r"^\| (\w+) \| .+ \|$", until_plan, re.MULTILINE) == ["word", *TERMS]
    for command in ("make demo", "make test", "export PATH=$PWD/.venv/bin:$PATH", "pipx install ."):
        assert re.search(rf"^{re.escape(command)}(\s|$)", until_plan, re.MULTILINE), command


def test_its_plan_is_that_of_a_case() -> None:
    ((path, command, text),) = CASE.findall(README)
    assert command == "kplan " + (ROOT / path).with_name("args").read_text("utf-8").strip()
    compare(command, text.splitlines(), (ROOT / path).read_text("utf-8").splitlines())


def test_every_command_is_in_its_table() -> None:
    from kplan.cli import COMMANDS

    told = set(re.findall(r"^\| `kplan ([a-z]+)", README, re.MULTILINE))
    assert COMMANDS.keys() - told == {"version"}
