"""Which files are read, which environment counts, and which of their problems are told where."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.model import Target
from kplan.project.loading import Request, load_project
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
def test_a_stack_name_in_two_files_is_told_at_both_places(shell: Shell) -> None:
    shell.write("stacks/a.yaml", STACK)
    shell.write("stacks/b.yaml", "# a second one\n" + STACK.replace("shop.orders", "b.orders"))
    out = shell.kplan("validate", "stacks", "--format", "concise", expect=4).out
    assert "stacks/b.yaml:3:8: K211 declared twice: stack shop: at stacks/a.yaml:2" in out


# -- the errors of every phase together, and none that only follows from another ---------------------------------------
HEAD = "version: 1\nstack: s\n"


def codes_and_lines(folder: Path, text: str) -> list[tuple[str, int]]:
    """The code and the line of each problem of a stack."""
    (folder / "stack.yaml").write_text(text)
    loaded = load_project(Request(["stack.yaml"], folder=str(folder), offline_target=Target()))
    return sorted((each.code, each.span.line if each.span else 0) for each in loaded.diagnostics)


def test_a_duplicate_key_hides_no_other_error(tmp_path: Path) -> None:
    text = "topics:\n  a.b: {partitions: 3, partitions: 4, config: {retenton.ms: 7d}}\n  a.c: {partition: 3}\n"
    assert codes_and_lines(tmp_path, HEAD + text) == [("K102", 4), ("K104", 4), ("K106", 5)]


def test_of_a_map_that_is_there_twice_nothing_seems_to_be_missing(tmp_path: Path) -> None:
    text = (
        "variables: {p: &p {default: '1'}}\nvariables: {q: *p}\n"
        "topics: {'a.{{ var.p }}': {config: {cleanup.policy: compcat}}}\ntopics: {'b.{{ var.q }}': {partitions: 0}}\n"
    )
    assert codes_and_lines(tmp_path, HEAD + text) == [("K102", 4), ("K102", 6), ("K106", 6), ("K108", 5)]


@pytest.mark.parametrize("value", ["1_000", "012", "12:30", "1e3", "yes", "0b11", ".inf", "2024-01-02"])
def test_an_ambiguous_value_hides_no_other_error_and_makes_none(value: str, tmp_path: Path) -> None:
    text = (
        f"topics:\n  a.b:\n    partitions: {value}\n    config:\n      retention.ms: {value}\n  a.c: {{partition: 3}}\n"
    )
    assert codes_and_lines(tmp_path, HEAD + text) == [("K103", 5), ("K103", 7), ("K106", 8)]


def test_an_ambiguous_default_of_a_variable_is_one_error(tmp_path: Path) -> None:
    text = (
        "variables: {x: {type: integer, default: 1_000}}\ntopics: {a.b: {partitions: '{{ var.x }}', config: {x: 1}}}\n"
    )
    assert codes_and_lines(tmp_path, HEAD + text) == [("K103", 3), ("K104", 4)]


def test_an_error_in_a_block_hides_no_other_error_of_the_block(tmp_path: Path) -> None:
    text = (
        "topics:\n  a.b:\n    partition: 3\n    protect: maybe\n    config:\n      retention.ms: soon\n      foo: 1\n"
    )
    assert codes_and_lines(tmp_path, HEAD + text) == [("K104", 9), ("K106", 5), ("K106", 6), ("K108", 8)]
    text = (
        "connectors:\n  c:\n    class: org.example.A\n    state: on-fire\n    foo: 1\n"
        "    config: {password: hunter2, a: {b: 1}}\n"
    )
    assert codes_and_lines(tmp_path, HEAD + text) == [("K106", 6), ("K106", 7), ("K106", 8), ("K210", 8)]


def test_a_block_without_its_wrong_part_breaks_no_guard(tmp_path: Path) -> None:
    text = "guards: {topic: {partitions: {minimum: 2}}}\ntopics:\n  a.b: {partition: 3}\n  a.c: {}\n"
    assert codes_and_lines(tmp_path, HEAD + text) == [("K106", 5), ("K213", 6)]


def test_without_its_first_keys_a_stack_is_checked_all_the_same(tmp_path: Path) -> None:
    assert codes_and_lines(tmp_path, "foo: 1\ntopics: {a.b: {config: {x: 1}}}\n") == [
        ("K104", 2), ("K106", 1), ("K106", 1), ("K106", 1),
    ]  # fmt: skip


def test_a_misspelt_section_makes_no_other_error(tmp_path: Path) -> None:
    text = "varables: {p: {default: 1}}\ntopics: {'a.{{ var.p }}': {}}\n"
    assert codes_and_lines(tmp_path, HEAD + text) == [("K106", 3)]


def test_a_wrong_environment_file_hides_no_error_of_a_stack(tmp_path: Path) -> None:
    (tmp_path / "kplan.yaml").write_text("version: 1\nenvironments: {local: {}}\ndefault: local\ndefault: local\n")
    asked: list[object] = []
    (tmp_path / "stack.yaml").write_text(HEAD + "topics: {a.b: {config: {x: 1}}}\n")
    loaded = load_project(Request(["stack.yaml"], folder=str(tmp_path)), asked.append)
    assert [each.code for each in loaded.diagnostics] == ["K102", "K104"]
    assert not asked, "no server is asked by a file with errors"
