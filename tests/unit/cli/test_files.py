"""Which files are read, which environment counts, and where a problem with either is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

STACK = "version: 1\nstack: shop\ntopics: {shop.orders: }\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    made.write("stack.yaml", STACK)
    return made


@pytest.mark.parametrize(("environments", "flags"), [
    ("environments: {dev: {simulatd: {}}}", ()),
    ("environments: {dev: {simulatd: {}}}", ("--env", "dev")),
    ("default: dev\nenvironments: {dev: {simulatd: {}}, prod: {}}", ()),
])  # fmt: skip
def test_an_environment_with_a_schema_error_is_not_said_to_be_missing(
    shell: Shell, environments: str, flags: tuple[str, ...]
) -> None:
    shell.write("kplan.yaml", f"version: 1\n{environments}\n")
    told = shell.kplan("validate", "stack.yaml", *flags, "--format", "concise", expect=4).out.splitlines()
    assert len(told) == 1
    assert "K106 unknown key" in told[0]


def test_an_environment_that_is_missing_is_told_beside_the_errors_of_others(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {dev: {simulatd: {}}, prod: {}}\n")
    out = shell.kplan("validate", "stack.yaml", "--env", "prd", "--format", "concise", expect=4).out
    assert "K106 unknown key" in out
    assert "K205 there is no such environment: prd (known: prod, dev" in out


# -- folders ----------------------------------------------------------------------------------------------------------
def test_a_folder_whose_stacks_are_in_folders_below_says_which_to_name(shell: Shell) -> None:
    shell.write("stacks/search/stack.yaml", STACK)
    ended = shell.kplan("validate", "stacks", "--format", "concise", expect=4)
    assert "K107 a folder without stacks: stacks (it holds no .yaml file itself" in ended.out
    assert "name stacks/search" in ended.out
    shell.kplan("validate", "stacks/search")
    shell.write("empty/readme.txt", "")
    assert "not read" not in shell.kplan("validate", "empty", "--format", "concise", expect=4).out


def test_stacks_below_a_folder_are_a_warning_unless_they_are_named_too(shell: Shell) -> None:
    shell.write("stacks/shop.yaml", STACK)
    shell.write("stacks/a/b/search.yaml", STACK.replace("shop", "search"))
    for command in ("validate", "plan"):
        ended = shell.kplan(command, "stacks", "--format", "concise")
        assert "K112 warning: stacks in folders below are not read" in ended.out and "stacks/a/b" in ended.out
    assert "K112" not in shell.kplan("plan", "stacks", "stacks/a/b", "--format", "concise").all
    assert "K112" not in shell.kplan("plan", "stacks/shop.yaml", "--format", "concise").all


@pytest.mark.parametrize("path", [
    "stacks/templates/own.yaml", "stacks/.git/old.yaml", "stacks/data/values.yaml", "stacks/notes/stack.txt",
])  # fmt: skip
def test_what_is_no_stack_of_this_project_is_no_warning(shell: Shell, path: str) -> None:
    shell.write("stacks/shop.yaml", STACK)
    shell.write(path, "version: 1\nname: x\n" if "values" in path else STACK)
    assert "K112" not in shell.kplan("validate", "stacks", "--format", "concise").all
    shell.write("stacks/other/kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    shell.write("stacks/other/stack.yaml", STACK)
    assert "K112" not in shell.kplan("validate", "stacks", "--format", "concise").all


def test_a_stack_name_in_two_files_is_told_at_both_places(shell: Shell) -> None:
    shell.write("stacks/a.yaml", STACK)
    shell.write("stacks/b.yaml", "# a second one\n" + STACK.replace("shop.orders", "b.orders"))
    out = shell.kplan("validate", "stacks", "--format", "concise", expect=4).out
    assert "stacks/b.yaml:3:8: K211 declared twice: stack shop: at stacks/a.yaml:2" in out
