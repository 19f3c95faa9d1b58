"""Help in groups, with examples that are true."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from kplan.cli import COMMANDS, cli
from kplan.cli.help import COMMAND_GROUPS, EXAMPLES
from tests.shell import Shell


def test_each_command_is_in_one_group() -> None:
    assert sorted(name for names in COMMAND_GROUPS.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("line", [line for examples in EXAMPLES.values() for line, _ in examples])
def test_each_example_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flags and arguments are those of the command; it is not run."""
    monkeypatch.chdir(tmp_path)
    name, *words = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, words, resilient_parsing=False)


def test_flags_are_in_groups_and_none_is_lost(tmp_path: Path) -> None:
    out = Shell(tmp_path).kplan("plan", "--help").out
    titles = ["Options:", "Project and values:", "What is planned:", "Output and log:", "Examples:"]
    assert [title for title in out.splitlines() if title in titles] == titles
    command = cli.get_command(click.Context(cli), "plan")
    assert command is not None
    flags = [name for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden
             for name in parameter.opts if name.startswith("--")]  # fmt: skip
    assert all(f"{flag} " in out or f"{flag}\n" in out for flag in flags)


@pytest.mark.parametrize("line", ["help", "help plan", "help connector", "help -h"])
def test_help_is_a_command_too(line: str, tmp_path: Path) -> None:
    assert "Usage: kplan" in Shell(tmp_path).kplan(*shlex.split(line)).out
