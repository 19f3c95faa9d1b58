"""The stacks that changed since a revision of git, and those that depend on them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.shell import Shell

STACKS = {
    "shop": "topics:\n  shop.orders: {partitions: 3}\n",
    "archive": "connectors:\n  archive: {class: FileStreamSink, config: {topics: shop.orders, file: /tmp/a}}\n",
    "search": "topics:\n  search.index:\n",
}


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A repository with a stack, one that reads its topic, and one that has nothing to do with them."""
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    for name, rest in STACKS.items():
        made.write(f"stacks/{name}.yaml", f"version: 1\nstack: {name}\n{rest}")
    made.write(".gitignore", ".kplan/\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "begin")
    git(tmp_path, "checkout", "-qb", "change")
    return made


def list_planned(shell: Shell, *words: str) -> set[str]:
    document = shell.kplan("plan", "--changed-since", "main", "--format", "json", *words).json
    return {plan["stack"]["name"] for plan in document.get("plans", [document] if "stack" in document else [])}


def test_without_a_change_there_is_nothing_to_do(shell: Shell) -> None:
    assert list_planned(shell) == set()
    assert shell.kplan("plan", "--changed-since", "main").out == "No stack has changed since main.\n"
    assert "No stack has changed" in shell.kplan("apply", "--yes", "--changed-since", "main").out


def test_what_depends_on_a_changed_stack_is_planned_too(shell: Shell) -> None:
    shell.write("stacks/shop.yaml", "version: 1\nstack: shop\ntopics:\n  shop.orders: {partitions: 6}\n")
    assert list_planned(shell) == {"shop", "archive"}
    git(shell.folder, "commit", "-qam", "more partitions")
    assert list_planned(shell) == {"shop", "archive"}, "committed or not"
    shell.write("stacks/shop.yaml", f"version: 1\nstack: shop\n{STACKS['shop']}")
    shell.write("stacks/search.yaml", f"version: 1\nstack: search\n{STACKS['search']}  search.more:\n")
    assert list_planned(shell) == {"search"}
    assert list_planned(shell, "stacks/shop.yaml") == set(), "of the stacks that are named"


def test_a_new_file_counts_and_so_does_kplan_yaml(shell: Shell) -> None:
    shell.write("stacks/new.yaml", "version: 1\nstack: new\ntopics:\n  new.events:\n")
    assert list_planned(shell) == {"new"}
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {brokers: 5}}}\n")
    assert list_planned(shell) == {*STACKS, "new"}


def test_what_main_has_since_then_does_not_count(shell: Shell) -> None:
    git(shell.folder, "checkout", "-q", "main")
    shell.write("stacks/search.yaml", f"version: 1\nstack: search\n{STACKS['search']}  search.more:\n")
    git(shell.folder, "commit", "-qam", "more topics")
    git(shell.folder, "checkout", "-q", "change")
    assert list_planned(shell) == set()


def test_errors_of_other_stacks_do_not_count(shell: Shell) -> None:
    shell.write("stacks/search.yaml", "version: 1\nstack: search\ntopics:\n  search.index: {partitons: 3}\n")
    git(shell.folder, "commit", "-qam", "a mistake")
    git(shell.folder, "branch", "-f", "main")
    shell.write("stacks/shop.yaml", "version: 1\nstack: shop\ntopics:\n  shop.orders: {partitions: 6}\n")
    shell.kplan("validate", "--changed-since", "main")
    assert list_planned(shell) == {"shop", "archive"}
    shell.write("stacks/shop.yaml", "version: 1\nstack: shop\ntopics:\n  shop.orders: {partitons: 6}\n")
    assert "stacks/shop.yaml:4" in shell.kplan("validate", "--changed-since", "main", expect=4).out


def test_a_deleted_stack_is_a_warning(shell: Shell) -> None:
    (shell.folder / "stacks/search.yaml").unlink()
    planned = shell.kplan("plan", "--changed-since", "main")
    assert "K115" in planned.err and "stacks/search.yaml: what stack search owns stays" in planned.err


def test_git_is_asked_for_no_flag(shell: Shell) -> None:
    for revision in ("nothing", "--output=x", ""):
        ended = shell.kplan("plan", f"--changed-since={revision}", expect=4 if revision else None)
        assert ("K114" in ended.err) is bool(revision)
    assert not (shell.folder / "x").exists()


def test_without_a_repository_it_is_an_error(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("shop.yaml", f"version: 1\nstack: shop\n{STACKS['shop']}")
    assert "K114" in shell.kplan("plan", "shop.yaml", "--changed-since", "main", expect=4).err
