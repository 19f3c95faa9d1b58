"""Patterns and variables of the command line that name nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kplan
from tests.shell import Shell

STACK = "version: 1\nstack: s\ntopics: {a.b: {}, a.c: {}}\nremoved: [{topic: a.old}]\n"
OTHER = (
    "version: 1\nstack: t\nvariables: {x: {type: integer, default: 1}}\ntopics: {t.t: {partitions: '{{ var.x }}'}}\n"
)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)  # where the simulated cluster is: tests side by side may not share it
    shell = Shell(tmp_path)
    shell.write("s.yaml", STACK)
    shell.write("t.yaml", OTHER)
    return shell


def planned(shell: Shell, **options: Any) -> kplan.Plan:
    return kplan.plan(kplan.load(shell.folder / "s.yaml", process={}), **options)


@pytest.mark.parametrize("flag", ["target", "exclude", "replace"])
@pytest.mark.parametrize(
    ("pattern", "meant"), [("topic/a.d", "topic/a."), ("a.b", "topic/a.b"), ("a.*", "topic/a.b"), ("connector/*", "")]
)
def test_a_pattern_that_matches_nothing_is_an_error(flag: str, pattern: str, meant: str, shell: Shell) -> None:
    for destroy in (False, True):
        plan = planned(shell, destroy=destroy, **{flag: pattern})
        (problem,) = [d for d in plan.diagnostics if d.code == "K237"]
        assert (problem.is_error, problem.detail, plan.exit_code) == (True, f"--{flag} {pattern}", 4)
        assert (f"did you mean {meant}" in problem.help) == bool(meant)


def test_no_command_goes_on_with_it(shell: Shell) -> None:
    for command in (("plan",), ("apply", "--yes"), ("destroy", "--yes")):
        ended = shell.kplan(command[0], "s.yaml", "--target", "a.b", *command[1:], expect=4)
        assert "error[K237]" in ended.err
    assert shell.kplan("list", "--format", "json").json == [], "nothing was applied"


@pytest.mark.parametrize("pattern", ["topic/a.b", "topic/*", "topic/a.old"])
def test_a_pattern_may_name_what_needs_no_change(pattern: str, shell: Shell) -> None:
    loaded = kplan.load(shell.folder / "s.yaml", process={})
    kplan.apply(kplan.plan(loaded), loaded.environment)
    assert not [d for d in planned(shell, target=pattern).diagnostics if d.code == "K237"]


def test_a_list_may_be_meant_for_several_stacks(shell: Shell) -> None:
    shell.write("list", "topic/a.b\ntopic/x.y\n")
    ended = shell.kplan("plan", "s.yaml", "--target", "@list")
    assert "warning[K237]" in ended.err and "topic/x.y" in ended.err
    shell.write("list", "topic/x.y\n")
    assert "error[K237]" in shell.kplan("plan", "s.yaml", "--target", "@list", expect=4).err


@pytest.mark.parametrize("accepted", ["delete:topic/a.typo", "deleet:topic/a.b", "topic/a.b", "max_change"])
def test_an_acceptance_of_no_step_is_a_warning(accepted: str, shell: Shell) -> None:
    (problem,) = planned(shell, accept=accepted).diagnostics
    assert (problem.code, problem.is_error, problem.detail) == ("K237", False, f"--accept {accepted}")
    assert "did you mean" in problem.help


@pytest.mark.parametrize("accepted", ["delete:topic/a.b", "change:topic/*", "max_changes", "*", "replace:topic/a.old"])
def test_an_acceptance_of_what_is_no_danger_is_harmless(accepted: str, shell: Shell) -> None:
    assert not planned(shell, accept=accepted).diagnostics


def test_a_variable_counts_where_one_of_the_stacks_declares_it(shell: Shell) -> None:
    assert "K204" not in shell.kplan("plan", "s.yaml", "t.yaml", "--var", "x=3").all


def test_a_variable_that_no_stack_declares_has_no_place(shell: Shell) -> None:
    (problem,) = shell.kplan("validate", "t.yaml", "--var", "xx=3", "--format", "json", expect=4).json["diagnostics"]
    assert (problem["code"], problem["severity"], problem.get("file")) == ("K204", "error", None)
    assert "did you mean `x`?" in problem["help"]


def test_a_file_of_variables_may_be_shared(shell: Shell) -> None:
    shell.write("v.yaml", "x: 3\nxx: 4\n")
    ended = shell.kplan("validate", "t.yaml", "--var-file", "v.yaml")
    assert "warning[K204]" in ended.all and "v.yaml:2:1" in ended.all and "did you mean `x`?" in ended.all
