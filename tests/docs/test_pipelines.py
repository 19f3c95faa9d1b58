"""The files of docs/pipelines.md and init-container.md: what they run is run here, as each host runs it."""

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
INIT_PAGE = (DOCS / "init-container.md").read_text("utf-8")
PROJECT = "version: 1\ndefault: dev\nenvironments: {dev: {}, prod: {simulated: {}}}\n"
STACK = "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 1, config: {retention.ms: 7d}}}\n"


def block(heading: str, language: str, page: str = PAGE) -> str:
    """The first block of a section."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return section.partition(f"```{language}\n")[2].partition("\n```")[0]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project as the pages assume it, with `kplan` on the PATH."""
    made = Shell(tmp_path / "project")
    made.write("kplan.yaml", PROJECT)
    made.write("stacks/shop.yaml", STACK)
    return with_program(made, tmp_path)


@pytest.fixture
def pod(tmp_path: Path) -> Shell:
    """A container whose folder is a config map of the project."""
    made = Shell(tmp_path / "pod")
    made.mount({"kplan.yaml": PROJECT, "shop.yaml": STACK})
    return with_program(made, tmp_path)


def with_program(shell: Shell, folder: Path) -> Shell:
    program = folder / "bin" / "kplan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kplan "$@"\n')
    program.chmod(0o755)
    shell.environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    return shell


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


def arguments(heading: str, page: str = PAGE) -> str:
    """The command line of the section's container."""
    manifest = yaml.safe_load(block(heading, "yaml", page))
    [container] = [each for each in containers(manifest) if each["image"] == "kplan"]
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


def test_kubernetes_runs_each_command_with_its_exit_code(pod: Shell) -> None:
    assert "added" in run(pod, arguments("Argo CD"))
    drift = arguments("A CronJob for drift")
    run(pod, drift)
    change(pod, "shop.orders", "retention.ms", "1000", env="prod")
    assert "retention.ms" in run(pod, drift, expect=2)


WAIT, CREATE = "Waiting for topics", "Creating what the service needs"


def test_an_init_container_waits_for_the_topics_of_another(pod: Shell) -> None:
    wait = arguments(WAIT, INIT_PAGE).replace("--retries 60 --delay 5s", "--retries 1 --delay 1s")
    assert wait != arguments(WAIT, INIT_PAGE)
    assert "shop.orders" in run(pod, wait, expect=1)
    assert "1 added" in run(pod, arguments(CREATE, INIT_PAGE))
    assert "ready: kafka, topics" in run(pod, wait)


def test_a_pod_that_starts_while_another_applies_waits_for_it(pod: Shell) -> None:
    """The other one holds the lock until this one says that it waits."""
    from kplan.app.servers import open_store
    from kplan.project.loading import Request, load_environment
    from kplan.state.base import Holder

    apply = arguments(CREATE, INIT_PAGE)
    holder = Holder("other-pod@host", "a-run", "kplan apply .", "2026-01-01T00:00:00Z")
    store = open_store(load_environment(Request(folder=str(pod.folder), process={}, env="prod")))
    with store.lock("shop", holder, 0.0):
        assert "other-pod@host" in run(pod, re.sub(r" --lock-timeout \w+", "", apply), expect=6)
        second = subprocess.Popen(["bash", "-c", f"exec {apply}"], cwd=pod.folder, text=True, stderr=subprocess.PIPE,
                                  stdout=subprocess.PIPE, env={**os.environ, **pod.environment})  # fmt: skip
        assert second.stderr is not None
        assert "for the lock: other-pod@host has locked stack shop" in second.stderr.readline()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and "Applied 1 of 1" in output
    assert "No changes." in run(pod, apply)
    store.close()


def test_the_stack_of_the_page_is_what_its_config_map_holds(tmp_path: Path) -> None:
    [line] = re.findall(r"^    kubectl create configmap \S+ (.+)$", INIT_PAGE, re.MULTILINE)
    files = re.findall(r"--from-file=(\S+)", line)
    blocks = re.findall(r"^```yaml\n(.*?)^```$", INIT_PAGE, re.MULTILINE | re.DOTALL)
    stack, settings = (next(each for each in blocks if key in each) for key in ("stack: shop\n", "secrets:\n"))
    mounted = Shell(tmp_path)
    mounted.mount(dict(zip(files, (settings, stack), strict=True)))
    mounted.kplan("validate", ".", "--env", "prod")
    access = next(each for each in blocks if "stack: shop-access" in each)
    mounted.write("access.yaml", access)
    assert "9 resources are valid" in mounted.kplan("validate", "access.yaml").out


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
