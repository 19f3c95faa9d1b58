"""Repositories that are pinned by commit: fetched by git, locked, refused after tampering, and kept inside."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kplan.project.modules import hash_folder
from tests.shell import Shell

STACK = 'version: 1\nstack: shop\ninclude: ["platform:topics.yaml"]\ntopics: {shop.orders: {class: small}}\n'
TOPICS = "version: 1\nclasses: {small: {partitions: 2}}\n"


def git(folder: Path, *words: str) -> str:
    ended = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *words],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ended.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "platform"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "topics.yaml", TOPICS)
    return folder


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


def project(folder: Path, repository: Path, pinned: str) -> Shell:
    shell = Shell(folder / "project")
    shell.write("kplan.yaml", f"version: 1\nmodules: {{platform: {{git: {repository.as_uri()}, commit: {pinned}}}}}\n"
                              "environments: {local: {}}\n")  # fmt: skip
    shell.write("stack.yaml", STACK)
    return shell


def test_a_module_is_fetched_locked_and_needed_no_more(tmp_path: Path, repository: Path) -> None:
    pinned = git(repository, "rev-parse", "HEAD")
    commit(repository, "topics.yaml", "version: 1\nclasses: {}\n")
    shell = project(tmp_path, repository, pinned)
    assert "kplan modules" in shell.kplan("validate", "stack.yaml", expect=4).all
    assert shell.kplan("modules").out == "platform: fetched\n1 module as locked.\n"
    locked = json.loads((shell.folder / "kplan.lock").read_text())["modules"]["platform"]
    [folder] = (shell.folder / ".kplan/modules").iterdir()
    assert (locked["commit"], locked["sha256"]) == (pinned, hash_folder(folder))
    repository.rename(tmp_path / "gone")
    shell.kplan("validate", "stack.yaml")
    assert shell.kplan("modules").out == "1 module as locked.\n"
    plan = shell.kplan("plan", "stack.yaml", "--format", "json").json
    assert plan["changes"][0]["after"]["partitions"] == 2
    assert [file["path"] for file in plan["stack"]["files"] if "topics.yaml" in file["path"]]


@pytest.mark.parametrize("harm", ["change", "add", "remove", "link"])
def test_a_module_that_was_changed_is_refused_by_all_that_reads_stacks(
    tmp_path: Path, repository: Path, harm: str
) -> None:
    commit(repository, "other.yaml", "version: 1\n")
    shell = project(tmp_path, repository, git(repository, "rev-parse", "HEAD"))
    shell.kplan("modules")
    [folder] = (shell.folder / ".kplan/modules").iterdir()
    if harm == "change":
        (folder / "topics.yaml").write_text(TOPICS.replace("2", "3"))
    elif harm == "add":
        (folder / "more.yaml").write_text("version: 1\n")
    elif harm == "remove":
        (folder / "other.yaml").unlink()
    else:
        (folder / "other.yaml").unlink()
        (folder / "other.yaml").symlink_to("topics.yaml")
    for words in (("validate", "stack.yaml"), ("plan", "stack.yaml"), ("modules",), ("modules", "--check")):
        ended = shell.kplan(*words, expect=4)
        assert "K118" in ended.all and "was changed since it was locked" in ended.words


def test_files_that_are_not_those_of_the_lock_file_are_refused_when_they_are_fetched(
    tmp_path: Path, repository: Path
) -> None:
    shell = project(tmp_path, repository, git(repository, "rev-parse", "HEAD"))
    shell.kplan("modules")
    lock = shell.folder / "kplan.lock"
    locked = json.loads(lock.read_text())
    locked["modules"]["platform"]["sha256"] = "0" * 64
    lock.write_text(json.dumps(locked))
    shutil.rmtree(shell.folder / ".kplan/modules")
    for words in (("modules",), ("validate", "stack.yaml")):
        assert "K118" in shell.kplan(*words, expect=4).all
    assert json.loads(lock.read_text()) == locked


def test_another_commit_is_fetched_and_the_former_one_removed(tmp_path: Path, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    shell = project(tmp_path, repository, first)
    shell.kplan("modules")
    second = commit(repository, "topics.yaml", TOPICS.replace("2", "7"))
    shell = project(tmp_path, repository, second)
    assert "another one" in shell.kplan("validate", "stack.yaml", expect=4).words
    shell.kplan("modules")
    assert [folder.name for folder in (shell.folder / ".kplan/modules").iterdir()] == [f"platform@{second[:12]}"]
    shell.kplan("validate", "stack.yaml")
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    assert "platform: removed" in shell.kplan("modules").out
    assert json.loads((shell.folder / "kplan.lock").read_text())["modules"] == {}


def test_what_git_refuses_is_an_error_without_its_password(tmp_path: Path, repository: Path) -> None:
    shell = project(tmp_path, repository, "a" * 40)
    ended = shell.kplan("modules", expect=4)
    assert "K119" in ended.err and "module platform, git checkout" in ended.words
    assert not (shell.folder / "kplan.lock").exists()
    lines = f"git: 'https://me:canary@127.0.0.1:9/x'\n    commit: {'b' * 40}"
    shell.write("kplan.yaml", f"version: 1\nmodules:\n  p:\n    {lines}\nenvironments: {{local: {{}}}}\n")
    for words in (("modules",), ("modules", "--check")):
        ended = shell.kplan(*words, expect=4)
        assert ("K118" if "--check" in words else "K119") in ended.err and "canary" not in ended.words


@pytest.mark.parametrize("entry", ["{git: --upload-pack=x, commit: %s}", "{git: 'ext::sh -c x', commit: %s}"])
def test_an_address_that_would_be_an_option_or_a_command_is_refused(
    tmp_path: Path, repository: Path, entry: str
) -> None:
    shell = project(tmp_path, repository, "a" * 40)
    shell.write("kplan.yaml", f"version: 1\nmodules: {{p: {entry % ('b' * 40)}}}\nenvironments: {{local: {{}}}}\n")
    assert "An address of git" in shell.kplan("modules", expect=4).words


def test_links_of_a_repository_lead_nowhere(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "outside.yaml").write_text(TOPICS)
    (repository / "topics.yaml").unlink()
    (repository / "topics.yaml").symlink_to(tmp_path / "outside.yaml")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "x")
    shell = project(tmp_path, repository, git(repository, "rev-parse", "HEAD"))
    shell.kplan("modules")
    [folder] = (shell.folder / ".kplan/modules").iterdir()
    assert not (folder / "topics.yaml").is_symlink()
    shell.kplan("validate", "stack.yaml", expect=4)


def test_a_damaged_lock_file_is_an_error(tmp_path: Path, repository: Path) -> None:
    shell = project(tmp_path, repository, git(repository, "rev-parse", "HEAD"))
    for text in ("{", '{"version": 2, "modules": {}}', '{"version": 1, "modules": {"platform": 3}}', "[]"):
        shell.write("kplan.lock", text)
        assert "K118" in shell.kplan("modules", expect=4).err
