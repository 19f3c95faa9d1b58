"""Which files commands take: of a folder, of a project, and where none is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kplan.project.stack_files import peek_names
from tests.shell import Shell

STACK = "version: 1\nstack: shop\ntopics: {shop.orders: {}}\n"
SETTINGS = "version: 1\nenvironments: {local: {simulated: {}}}\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def write_stack(shell: Shell, path: str, name: str) -> None:
    shell.write(path, STACK.replace("shop", name))


def planned(shell: Shell, *arguments: str) -> list[str]:
    """The names of the stacks of a plan."""
    plans = shell.kplan("plan", *arguments, "--format", "json").json
    return [plan["stack"]["name"] for plan in plans.get("plans", [plans])]


# -- folders ----------------------------------------------------------------------------------------------------------
def test_a_folder_means_its_files_and_the_stacks_below(shell: Shell) -> None:
    write_stack(shell, "stacks/shop.yaml", "shop")
    write_stack(shell, "stacks/a/b/search.yaml", "search")
    shell.write("stacks/a/values.yaml", "version: 1\nname: x\n")  # no stack, and below
    assert sorted(planned(shell, "stacks")) == ["search", "shop"]
    assert planned(shell, "stacks/a/b") == ["search"]
    shell.write("stacks/values.yaml", "version: 1\nname: x\n")
    assert "stacks/values.yaml" in shell.kplan("validate", "stacks", expect=4).all, "it was asked for"


@pytest.mark.parametrize("path", [
    "stacks/templates/own.yaml", "stacks/.git/old.yaml", "stacks/node_modules/x/old.yaml", "stacks/notes/stack.txt",
    "stacks/old/stack.yaml", "stacks/drafts/a/stack.yaml", "stacks/old.yaml",
])  # fmt: skip
def test_what_is_no_stack_of_this_project_is_not_read(shell: Shell, path: str) -> None:
    write_stack(shell, "stacks/shop.yaml", "shop")
    shell.write("stacks/.kplanignore", "old/\n# a comment\ndrafts/**\n/old.yaml\n")
    write_stack(shell, path, "another")
    shell.write("stacks/other/kplan.yaml", SETTINGS)
    write_stack(shell, "stacks/other/stack.yaml", "other")
    assert planned(shell, "stacks") == ["shop"]


def test_a_folder_without_stacks_is_an_error(shell: Shell) -> None:
    shell.write("empty/readme.txt", "")
    assert (
        "K107 a folder without stacks: empty" in shell.kplan("validate", "empty", "--format", "concise", expect=4).out
    )
    shell.write("empty/.kplanignore", b"\xff\xfe".decode("latin-1"))
    (shell.folder / "empty/.kplanignore").write_bytes(b"\xff\xfe")
    assert "K107 a file cannot be read" in shell.kplan("validate", "empty", "--format", "concise", expect=4).out


# -- projects ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arguments", [(), (".",)])
def test_without_a_stack_the_project_is_meant(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.write("kplan.yaml", SETTINGS)
    write_stack(shell, "stacks/shop.yaml", "shop")
    write_stack(shell, "teams/search/stack.yaml", "search")
    shell.write("docker-compose.yml", "services: {}\n")
    assert sorted(planned(shell, *arguments)) == ["search", "shop"]
    shell.write("kplan.yaml", SETTINGS + "stacks: [teams]\n")
    assert planned(shell, *arguments) == ["search"]
    shell.write("kplan.yaml", SETTINGS + "stacks: [teams/search/stack.yaml, stacks]\n")
    assert sorted(planned(shell, *arguments)) == ["search", "shop"]


@pytest.mark.parametrize("arguments", [(), (".",)])
def test_a_mounted_config_map_is_a_project(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shell = Shell(tmp_path / "flat")
    stack = "version: 1\nstack: {name}\ntopics: {{{name}.orders: }}\n"
    shell.mount({"kplan.yaml": SETTINGS, "shop.yaml": stack.format(name="shop")})
    assert planned(shell, *arguments) == ["shop"]
    deep = Shell(tmp_path / "deep")
    deep.mount(
        {"kplan.yaml": SETTINGS, "stacks/a/shop.yaml": stack.format(name="shop"), "top.yaml": stack.format(name="top")}
    )
    assert sorted(planned(deep, *arguments)) == ["shop", "top"]


def test_other_links_are_no_stacks(shell: Shell) -> None:
    """They lead outside, or to a file that is found without them."""
    shell.write("kplan.yaml", SETTINGS)
    write_stack(shell, "stacks/shop.yaml", "shop")
    outside = shell.folder.parent / "outside"
    outside.mkdir()
    (outside / "other.yaml").write_text("version: 1\nstack: other\ntopics: {other.x: }\n")
    (shell.folder / "again.yaml").symlink_to("stacks/shop.yaml")
    (shell.folder / "other.yaml").symlink_to(outside / "other.yaml")
    (shell.folder / "folder").symlink_to(outside)
    (shell.folder / ".hidden").mkdir()
    (shell.folder / ".hidden/round").symlink_to(shell.folder / ".hidden")
    (shell.folder / "round").symlink_to(shell.folder / ".hidden")
    assert planned(shell) == ["shop"]


def test_every_command_takes_the_project_and_destroy_lists_it(shell: Shell) -> None:
    shell.write("kplan.yaml", SETTINGS)
    write_stack(shell, "stacks/shop.yaml", "shop")
    shell.kplan("validate")
    shell.kplan("fmt")
    shell.kplan("apply", "--yes")
    assert "shop: HEALTHY" in shell.kplan("status").out
    assert "No drift" in shell.kplan("drift").out
    assert "shop.orders" in shell.kplan("graph").out
    assert "name the stacks to destroy, such as stacks/shop.yaml" in shell.kplan("destroy", expect=64).err
    (shell.folder / "teams").mkdir()
    assert planned(shell, "-C", "teams") == ["shop"], "kplan.yaml is above"


def test_a_project_without_stacks_says_what_to_do(shell: Shell) -> None:
    shell.write("kplan.yaml", SETTINGS)
    refused = shell.kplan("plan", expect=4).err
    assert "K107" in refused and "`stacks:` in kplan.yaml" in " ".join(refused.split())
    shell.write("kplan.yaml", SETTINGS + "stacks: [nowhere]\n")
    assert "nowhere" in shell.kplan("plan", expect=4).err


def test_names_are_peeked_at_without_reading_what_could_block(tmp_path: Path) -> None:
    texts = {
        "plain.yaml": STACK,
        "commented.yaml": "# stack: no\nversion: 1\nstack:  orders-2  # ours\r\n",
        "templated.yaml": "version: 1\nstack: '{{ env.NAME }}'\n",
        "nested.yaml": "version: 1\nother:\n  stack: no\n",
        "late.yaml": "#" * 20_000 + "\nstack: no\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe.yaml")
    paths = [tmp_path / name for name in (*texts, "pipe.yaml", "missing.yaml")]
    assert peek_names(paths) == {"shop", "orders-2"}
