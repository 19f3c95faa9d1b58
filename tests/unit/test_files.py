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
