"""The files of docs/pipelines.md: what they run is run here, with the variables that each host sets."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.guides import DOCS
from tests.shell import Shell
from tests.unit.inspect.test_drift import change

PAGE = (DOCS / "pipelines.md").read_text("utf-8")
STACK = "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 1, config: {retention.ms: 7d}}}\n"


def block(heading: str, language: str) -> str:
    """The first block of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return section.partition(f"```{language}\n")[2].partition("\n```")[0]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project as the pages assume it, with `kplan` on the PATH."""
    made = Shell(tmp_path / "project")
    made.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments: {dev: {}, prod: {simulated: {}}}\n")
    made.write("stacks/shop.yaml", STACK)
    program = tmp_path / "bin" / "kplan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kplan "$@"\n')
    program.chmod(0o755)
    made.environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    return made


def run(shell: Shell, line: str, expect: int = 0, **variables: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
    ended = subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=shell.folder, text=True, capture_output=True,
                           env={**kept, **shell.environment, **variables}, stdin=subprocess.DEVNULL, timeout=120,
                           check=False)  # fmt: skip
    assert ended.returncode == expect, f"{line}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


def containers(manifest: Any) -> Iterator[dict[str, Any]]:
    """Every container of a Kubernetes object."""
    if isinstance(manifest, dict):
        for key, value in manifest.items():
            if key in ("containers", "initContainers"):
                yield from value
            yield from containers(value)
    elif isinstance(manifest, list):
        for each in manifest:
            yield from containers(each)


def arguments(heading: str) -> str:
    """The command line of the section's container."""
    [container] = [each for each in containers(yaml.safe_load(block(heading, "yaml"))) if each["image"] == "kplan"]
    return shlex.join(["kplan", *container["args"]])


def test_atlantis_plans_into_its_file_and_applies_that(shell: Shell, tmp_path: Path) -> None:
    workflow = yaml.safe_load(block("Atlantis", "yaml"))["workflows"]["kplan"]
    variables = {"PLANFILE": str(tmp_path / "prod.tfplan"), "PULL_NUM": "17", "BASE_REPO_NAME": "stacks"}
    for phase in ("plan", "apply"):
        for step in workflow[phase]["steps"]:
            if env := step.get("env"):
                variables[env["name"]] = run(shell, env["command"], **variables).strip()
            else:
                run(shell, step["run"], **variables)
    assert "#17" in run(shell, "kplan history --env prod")
    assert "No changes" in run(shell, "kplan plan stacks --env prod")


def test_jenkins_applies_the_plan_of_its_first_stage(shell: Shell) -> None:
    lines = re.findall(r"sh '([^']+)'", block("Jenkins", "groovy"))
    assert len(lines) == 3
    for line in lines:
        run(shell, line, CHANGE_ID="17", BRANCH_NAME="main", BUILD_NUMBER="4")
    assert (shell.folder / "plan.html").is_file() and (shell.folder / "plan.xml").is_file()
    assert "No changes" in run(shell, "kplan plan stacks --env prod")


def test_kubernetes_runs_each_command_with_its_exit_code(shell: Shell) -> None:
    wait = arguments("An init container").replace("--retries 60 --delay 5s", "--retries 1 --delay 1s")
    assert wait != arguments("An init container")
    run(shell, wait, expect=1)
    assert "added" in run(shell, arguments("Argo CD"))
    run(shell, wait)
    drift = arguments("A CronJob for drift")
    run(shell, drift)
    change(shell, "shop.orders", "retention.ms", "1000", env="prod")
    assert "retention.ms" in run(shell, drift, expect=2)


def test_the_hooks_of_the_page_are_those_of_the_repository() -> None:
    [repository] = yaml.safe_load(block("pre-commit", "yaml"))["repos"]
    hooks = yaml.safe_load((DOCS.parent / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert [hook["id"] for hook in repository["hooks"]] == [hook["id"] for hook in hooks]


def test_the_hooks_do_what_they_say(shell: Shell) -> None:
    entries = {
        hook["id"]: hook["entry"] for hook in yaml.safe_load((DOCS.parent / ".pre-commit-hooks.yaml").read_text())
    }
    shell.write("stacks/shop.yaml", STACK.replace("{partitions: 1,", "{  partitions:   1,"))
    run(shell, f"{entries['kplan-fmt']} stacks/shop.yaml")
    assert (shell.folder / "stacks/shop.yaml").read_text() == STACK
    run(shell, entries["kplan-validate"])
