"""What a failed apply leaves on real services: the state before, of every kind of step, with connectors' offsets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from kplan.servers.connect.job import _are_same_offsets
from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.test_walk import PASSWORD, ask, failing_debezium, set_on, topics, wait_for_state
from tests.shell import Shell

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    timeouts: {{request: 3s, settle: 60s, session: 3s}}
"""
FILE_SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect))
    return made


def source(
    shell: Shell, name: str, *, text: str = "a\nb\n", topic: str = "undo.lines", state: str = "running", **config: str
) -> str:
    """A connector that reads the lines of a file into `topic`."""
    lines = shell.write(f"{name}.txt", text)
    extra = "".join(f", {key.replace('_', '.')}: {value}" for key, value in config.items())
    return (
        f"  {name}:\n    class: {FILE_SOURCE}\n    state: {state}\n"
        f"    config: {{file: {lines}, topic: {topic}{extra}}}\n"
    )


def offsets(connect: ConnectWorker, name: str) -> list[Any]:
    status, body = ask(connect, "GET", f"/connectors/{name}/offsets")
    return list(body["offsets"]) if status == 200 else []


def wait_for_offsets(connect: ConnectWorker, *names: str) -> None:
    """Returns once each has committed the end of its file."""
    end = time.monotonic() + 70  # offset.flush.interval.ms is 60 s by default; stopping flushes, too
    while missing := [name for name in names if not offsets(connect, name)]:
        assert time.monotonic() < end, f"no offsets: {missing}"
        time.sleep(0.2)


def stopped_offsets(connect: ConnectWorker, name: str) -> list[Any]:
    """The offsets that stopping a connector commits; it is resumed at the end."""
    ask(connect, "PUT", f"/connectors/{name}/stop")
    wait_for_state(connect, name, "STOPPED")
    wait_for_offsets(connect, name)
    found = offsets(connect, name)
    ask(connect, "PUT", f"/connectors/{name}/resume")
    wait_for_state(connect, name, "RUNNING")
    return found


def world(kafka: KafkaCluster, connect: ConnectWorker, prefix: str) -> dict[str, Any]:
    """All that a plan can change of what starts with `prefix`: counts, configs, states and offsets."""
    found: dict[str, Any] = {}
    for name, partitions in topics(kafka, prefix).items():
        found[f"topic/{name}"] = (partitions, set_on(kafka, name))
    _, listed = ask(connect, "GET", "/connectors?expand=info&expand=status")
    for name, data in listed.items():
        if name.startswith(prefix):
            committed = sorted(json.dumps(each, sort_keys=True) for each in offsets(connect, name))
            found[f"connector/{name}"] = (data["info"]["config"], data["status"]["connector"]["state"], committed)
    return found


def test_every_kind_of_step_is_put_back(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    head = f"version: 1\nstack: undo\n{PASSWORD}"
    base = "topics:\n  undo.lines:\n  undo.cfg: {config: {retention.ms: 1d, segment.ms: 1h}}\n  undo.gone:\n"
    keep = ["changed", "deleted", "paused", "stopped", "replaced", "moved"]
    first = "".join(source(shell, f"undo-{name}") for name in keep)
    shell.write(
        "stack.yaml", f"{head}{base}connectors:\n{first}{source(shell, 'undo-resumed', text='', state='paused')}"
    )
    shell.environment["KPLAN_VAR_password"] = postgres.password
    shell.kplan("apply", "stack.yaml", "--yes")
    for name in keep:
        stopped_offsets(connect, f"undo-{name}")
    before = world(kafka, connect, "undo")
    assert all(len(before[f"connector/undo-{name}"][2]) == 1 for name in keep)

    second = (
        f"{head}topics:\n  undo.lines:\n  undo.cfg: {{config: {{retention.ms: 2d, cleanup.policy: compact}}}}\n"
        f"  undo.new: {{partitions: 3}}\n"
        f"connectors:\n{source(shell, 'undo-changed', batch_size='7')}{source(shell, 'undo-paused', state='paused')}"
        f"{source(shell, 'undo-stopped', state='stopped')}{source(shell, 'undo-replaced')}"
        f"{source(shell, 'undo-renamed').replace('undo-renamed.txt', 'undo-moved.txt')}"
        f"{source(shell, 'undo-resumed', text='')}{source(shell, 'undo-made')}{failing_debezium(postgres, 'undofail')}"
        "moved:\n  - {from: connector/undo-moved, to: connector/undo-renamed}\n"
        "removed:\n  - connector: undo-deleted\n  - topic: undo.gone\n"
    )
    shell.write("stack.yaml", second)
    ended = shell.kplan(
        "apply", "stack.yaml", "--yes", "--offline", "--replace", "connector/undo-replaced",
        "--accept", "*", expect=7,
    )  # fmt: skip
    assert "rolled back" in ended.out and "publication" in ended.out
    assert world(kafka, connect, "undo") == before
    assert "Nothing to recover" in shell.kplan("recover", "--list").out
    assert offsets_left(connect, shell, "undo-made") == [], "what was made and undone left no offsets"
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def offsets_left(connect: ConnectWorker, shell: Shell, name: str) -> list[Any]:
    """The offsets that a connector made anew, under the same name, finds."""
    config = {"connector.class": FILE_SOURCE, "file": str(shell.folder / f"{name}.txt"), "topic": "undo.lines"}
    body = {"name": name, "config": config, "initial_state": "STOPPED"}
    assert requests.post(connect.url + "/connectors", json=body, timeout=100).status_code == 201
    wait_for_state(connect, name, "STOPPED")
    found = offsets(connect, name)
    ask(connect, "DELETE", f"/connectors/{name}")
    return found


KILLED_WHILE_SETTLING = """
from kplan.servers.connect.connectors import ConnectConnectors
ConnectConnectors.settle = lambda *_: os._exit(9)
"""
KILLED_BEFORE_THE_CONNECTOR_GOES = """
from kplan.servers.rest import Rest
call = Rest.call
def dying(self, method, path, *rest, **more):
    if method == "DELETE" and not path.endswith("/offsets"):
        os._exit(9)
    return call(self, method, path, *rest, **more)
Rest.call = dying
"""


def killed(shell: Shell, where: str, *arguments: str) -> None:
    """kplan runs, and is gone where the script `where` lets it end."""
    script = f"import os\n{where}\nfrom kplan.__main__ import run\nrun({list(arguments)!r})\n"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        capture_output=True,
        timeout=200,
    )
    assert ended.returncode == 9, ended.stdout + ended.stderr


def elsewhere(shell: Shell, tmp_path: Path, environment: Mapping[str, str] | None = None) -> Shell:
    """Another machine: it knows the environment, and has no stack and no state."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    other = Shell(folder, dict(environment or {}), shell.secrets)
    other.write("kplan.yaml", (shell.folder / "kplan.yaml").read_text())
    return other


def test_a_deletion_that_was_cut_off_after_the_offsets_is_put_back_with_them(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    shell.write("stack.yaml", f"version: 1\nstack: cut\nconnectors:\n{source(shell, 'cut-off', topic='cut.lines')}")
    shell.write("topics.yaml", "version: 1\nstack: cuttopics\ntopics: {cut.lines: }\n")
    shell.kplan("apply", "topics.yaml", "--yes")
    shell.kplan("apply", "stack.yaml", "--yes")
    had = stopped_offsets(connect, "cut-off")
    killed(shell, KILLED_BEFORE_THE_CONNECTOR_GOES, "destroy", "stack.yaml", "--yes")
    assert ask(connect, "GET", "/connectors/cut-off/status")[1]["connector"]["state"] == "STOPPED"
    assert offsets(connect, "cut-off") == []
    elsewhere(shell, tmp_path).kplan("recover", "--yes")
    wait_for_state(connect, "cut-off", "RUNNING")
    assert _are_same_offsets(offsets(connect, "cut-off"), had)
    shell.kplan("destroy", "stack.yaml", "--yes")
    shell.kplan("destroy", "topics.yaml", "--yes", "--accept", "*")


def secret_stack(shell: Shell) -> str:
    connector = source(shell, "literal", topic="literal.lines", db_password='"{{ var.password }}"')
    return f"version: 1\nstack: literal\n{PASSWORD}topics:\n  literal.lines:\nconnectors:\n{connector}"


def test_a_changed_secret_that_a_crash_lost_is_named_and_the_run_can_be_completed(
    shell: Shell, connect: ConnectWorker, tmp_path: Path
) -> None:
    old, new = "canary-old-51", "canary-new-52"
    shell.secrets = (old, new)
    shell.write("stack.yaml", secret_stack(shell))
    shell.kplan("apply", "stack.yaml", "--yes", KPLAN_VAR_password=old)
    shell.environment["KPLAN_VAR_password"] = new
    planned = shell.kplan("plan", "stack.yaml")
    assert "after a crash give the previous db.password again: it is not stored" in " ".join(planned.out.split())
    killed(shell, KILLED_WHILE_SETTLING, "apply", "stack.yaml", "--yes")
    other = elsewhere(shell, tmp_path)
    ended = other.kplan("recover", "--yes", expect=8)
    assert "connector/literal" in ended.out and "db.password" in ended.out
    assert ask(connect, "GET", "/connectors/literal/config")[1]["db.password"] == new, "it is left as it is"
    refused = other.kplan("recover", "--forward", "--yes", expect=4)
    assert "KPLAN_VAR_password" in refused.all
    other.kplan("recover", "--forward", "--yes", KPLAN_VAR_password=new)
    assert "Nothing to recover" in other.kplan("recover", "--list").out
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
