"""Who changed what, when and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.app.runtime import find_author
from tests.shell import Shell

STACK = "version: 1\nstack: NAME\ntopics:\n  NAME.orders: {config: {retention.ms: MS}, accept: [data-loss]}\n"
CI = {"GITHUB_ACTOR": "ana", "GITHUB_REF": "refs/pull/17/merge", "GITHUB_SHA": "3f2a1bc8" + "0" * 32}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project after three runs: two of a stack, the later one by a CI service, and one of another stack."""
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    for name, milliseconds, process in (("shop", 60000, {}), ("shop", 70000, CI), ("search", 60000, {})):
        made.write(f"{name}.yaml", STACK.replace("NAME", name).replace("MS", str(milliseconds)))
        made.kplan("apply", f"{name}.yaml", "--yes", **process)
    return made


def test_the_changes_of_a_resource_say_who_when_and_why(shell: Shell) -> None:
    head, newer, older = shell.kplan("history", "topic/shop.orders").out.splitlines()
    assert head.startswith("topic/shop.orders · stack shop · ")
    assert "~" in newer and "update" in newer and "retention.ms" in newer and "ana #17 3f2a1bc8" in newer
    assert "+" in older and "create" in older and "@" in older, "the user and the host"
    document = shell.kplan("history", "topic/shop.orders", "--format", "json").json
    assert [change["action"] for change in document["changes"]] == ["update", "create"]
    assert document["changes"][0]["actor"] == "ana" and document["changes"][0]["request"] == "#17"
    assert len(shell.kplan("history", "topic/shop.orders", "--limit", "1").out.splitlines()) == 2


def test_runs_are_listed_newest_first(shell: Shell) -> None:
    lines = shell.kplan("history").out.splitlines()[1:]
    assert [line.split()[2] for line in lines] == ["search", "shop", "shop"]
    assert "+1" in lines[0] and "~1" in lines[1] and "ana #17" in lines[1]
    runs = shell.kplan("history", "shop", "--format", "json").json["runs"]
    assert [run["outcome"] for run in runs] == ["applied", "applied"] and runs[0]["commit"].startswith("3f2a1bc8")
    limited = shell.kplan("history", "--limit", "1")
    assert "2 earlier ones" in limited.err and len(limited.out.splitlines()) == 2


def test_what_never_was_is_an_error(shell: Shell) -> None:
    assert "known: search, shop" in shell.kplan("history", "shp", expect=4).err
    assert "no run changed this" in shell.kplan("history", "topic/none", expect=4).err


def test_a_resource_that_is_gone_has_its_history(shell: Shell) -> None:
    shell.kplan("destroy", "shop.yaml", "--yes", "--accept", "*")
    lines = shell.kplan("history", "topic/shop.orders").out.splitlines()
    assert "no stack owns it" in lines[0] and "delete" in lines[1] and len(lines) == 4


def test_a_run_is_shown_by_the_beginning_of_its_id(shell: Shell) -> None:
    newest = shell.kplan("history", "--format", "json").json["runs"][0]["run"]
    for word in ("latest", newest, newest[:-1]):
        assert f"run {newest} of stack search" in shell.kplan("show", word).out
    assert "begin so" in shell.kplan("show", "20", expect=4).err
    assert "`kplan history shop` lists its runs" in " ".join(shell.kplan("show", "shop", expect=4).err.split())


@pytest.mark.parametrize(
    ("process", "author"),
    [
        (CI, ("ana", "#17")),
        ({"GITHUB_ACTOR": "ana", "GITHUB_REF": "refs/heads/main"}, ("ana", "")),
        ({"GITLAB_USER_LOGIN": "ben", "CI_MERGE_REQUEST_IID": "5"}, ("ben", "!5")),
        ({"KPLAN_REQUEST": "OPS-12"}, ("", "OPS-12")),
        ({}, ("", "")),
    ],
)
def test_a_ci_service_says_for_whom_it_runs(process: dict[str, str], author: tuple[str, str]) -> None:
    assert find_author(process) == author
