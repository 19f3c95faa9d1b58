"""Troubles around an apply: nobody reads the output, somebody else applies, the process is killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kplan.app.servers import open_cluster, open_store
from kplan.model import Action, Address, Change
from kplan.project.environment import Environment, Simulated
from kplan.state.base import Holder
from tests.shell import Shell

pytestmark = pytest.mark.slow  # each starts processes of its own

TOPICS = "version: 1\nstack: many\ntopics: {'many.{{ each.key }}': {for_each: [a, b, c, d]}}\n"
CONNECTOR = """connectors:
  feed:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {tasks.max: 1, file: /tmp/in, topic: many.a}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("stack.yaml", TOPICS)
    return made


def kplan(shell: Shell, command: str) -> int:
    """The exit code of kplan itself in a pipe of the shell."""
    line = f"set -o pipefail; {sys.executable} -m kplan {command}"
    return subprocess.run(
        ["bash", "-c", line], cwd=shell.folder, capture_output=True, stdin=subprocess.DEVNULL
    ).returncode


def test_an_apply_whose_output_nobody_reads_goes_on(shell: Shell) -> None:
    assert kplan(shell, "apply stack.yaml --yes --format json | head -c 1 > /dev/null") == 0
    assert "No changes. 4 resources match" in shell.kplan("plan", "stack.yaml").out


def test_a_plan_whose_output_nobody_reads_keeps_its_exit_code(shell: Shell) -> None:
    assert kplan(shell, "plan stack.yaml --verbose | head -c 1 > /dev/null") == 0
    assert kplan(shell, "plan stack.yaml >&-") == 0


def test_an_output_that_is_full_is_told_and_is_no_bug(shell: Shell) -> None:
    line = f"{sys.executable} -m kplan plan stack.yaml > /dev/full"
    run = subprocess.run(
        ["bash", "-c", line], cwd=shell.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert run.returncode == 1 and "cannot be written" in run.stderr and "Traceback" not in run.stderr


def test_nothing_is_said_to_be_unchanged_while_somebody_applies(shell: Shell) -> None:
    shell.kplan("apply", "stack.yaml", "--yes")
    store = open_store(Environment("local", str(shell.folder), simulated=Simulated()))
    with store.lock("many", Holder("anna@desk", "run-1", "kplan apply", "now"), 0):
        refused = shell.kplan("apply", "stack.yaml", "--yes", expect=6)
        assert "anna@desk" in refused.all
        assert "anna@desk" in shell.kplan("plan", "stack.yaml").out
        assert shell.kplan("apply", "stack.yaml", "--yes", "--format", "json", expect=6).json["exit_code"] == 6
    shell.kplan("apply", "stack.yaml", "--yes")


def test_a_killed_apply_is_named_and_recovered(shell: Shell) -> None:
    """Killed between its journal's `will` and `did`: planned again it is refused, recovered it leaves nothing."""
    script = """
import os, sys
from kplan.servers.simulated import SimulatedTopics
SimulatedTopics.settle = lambda *_: os._exit(9)
from kplan.__main__ import run
run(["apply", "stack.yaml", "--yes"])
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=shell.folder, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert run.returncode == 9
    for command in ("plan", "apply"):
        refused = shell.kplan(command, "stack.yaml", expect=8)
        assert "K605" in refused.all and "kplan recover" in refused.all
    listed = shell.kplan("recover", "--list").out
    assert re.search(r"topic/many.a +in flight +now as planned", listed)
    shell.kplan("recover", "--yes")
    assert "Nothing to recover" in shell.kplan("recover", "--yes").out
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    assert not cluster.topics.read(None).resources
    assert "4 to add" in shell.kplan("plan", "stack.yaml").out


def killed(shell: Shell, where: str, *arguments: str) -> None:
    """kplan is gone in the middle of what `where` does."""
    module, name = where.rsplit(".", 1)
    kind = module.rsplit(".", 1)[1]
    script = f"""
import os
from {module.rsplit(".", 1)[0]} import {kind}
{kind}.{name} = lambda *_: os._exit(9)
from kplan.__main__ import run
run({list(arguments)!r})
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=shell.folder, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 9, ended.stderr


def test_an_interrupted_run_is_completed_as_it_was_planned(shell: Shell) -> None:
    shell.write("stack.yaml", TOPICS + CONNECTOR)
    killed(shell, "kplan.servers.simulated.SimulatedConnectors.act", "apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", "version: 1\nstack: many\n")  # the journal knows what was to be done, not the file
    listed = shell.kplan("recover", "--list").out
    assert re.search(r"topic/many.a +done +now as planned", listed)
    assert re.search(r"connector/feed +in flight +now as before", listed)
    completed = shell.kplan("recover", "--forward", "--yes").out
    assert "Completed: all 5 steps" in completed and "closed" in completed
    shell.write("stack.yaml", TOPICS + CONNECTOR)
    assert "No changes. 5 resources" in shell.kplan("plan", "stack.yaml").out
    assert "Nothing to recover" in shell.kplan("recover", "--list").out


def test_a_run_is_not_completed_over_what_someone_changed_meanwhile(shell: Shell) -> None:
    shell.write("stack.yaml", TOPICS + CONNECTOR)
    killed(shell, "kplan.servers.simulated.SimulatedConnectors.act", "apply", "stack.yaml", "--yes")
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    gone = Address("topic", "many.a")
    topic = cluster.topics.read(["many.a"]).resources[gone]
    cluster.topics.act([Change(gone, Action.DELETE, topic, None)], {})
    ended = shell.kplan("recover", "--forward", "--yes", expect=8)
    assert "NOT completed" in ended.out and "topic/many.a" in ended.out and "is gone" in ended.out
    assert "--forward" in ended.out, "how to try again"
    shell.kplan("recover", "--yes")
    assert not cluster.topics.read(None).resources


def test_completing_says_how_to_put_back_only_what_it_can(shell: Shell) -> None:
    assert "--forget" in shell.kplan("recover", "--forward", "--forget", "topic/x", expect=64).err


def test_a_created_topic_with_records_goes_where_that_is_accepted(shell: Shell) -> None:
    shell.write("stack.yaml", TOPICS + CONNECTOR)
    killed(shell, "kplan.servers.simulated.SimulatedConnectors.act", "apply", "stack.yaml", "--yes")
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    cluster.topics.produce("many.a", 3)  # type: ignore[attr-defined]
    ended = shell.kplan("recover", "--yes", expect=8)
    assert "kept: 3 records arrived" in ended.out
    assert "--accept delete:topic/many.a" in ended.out
    assert re.search(r"topic/many.a +kept: 3 records", shell.kplan("recover", "--list").out)
    shell.kplan("recover", "--yes", "--accept", "delete:topic/many.a")
    assert not cluster.topics.read(None).resources


def test_a_kill_in_a_wave_without_undo_that_did_nothing_is_recovered(shell: Shell) -> None:
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", TOPICS.replace("{for_each", "{partitions: 3, for_each"))
    script = """
import os
from kplan.servers.simulated import SimulatedTopics
SimulatedTopics.act = lambda *_: os._exit(9)
from kplan.__main__ import run
run(["apply", "stack.yaml", "--yes"])
"""
    subprocess.run([sys.executable, "-c", script], cwd=shell.folder, capture_output=True, stdin=subprocess.DEVNULL)
    shell.kplan("plan", "stack.yaml", expect=8)
    shell.kplan("recover", "--yes")
    assert "0 to add, 4 to change" in shell.kplan("plan", "stack.yaml").out


def test_what_a_stranger_made_between_plan_and_apply_is_adopted_and_not_destroyed(shell: Shell) -> None:
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    shell.write("other.yaml", "version: 1\nstack: other\ntopics: {many.a: }\n")
    shell.kplan("apply", "other.yaml", "--yes")
    store = open_store(Environment("local", str(shell.folder), simulated=Simulated()))
    with store.lock("other", Holder("", "r", "", ""), 0) as lock:
        lock.write(ledger={Address("topic", "many.a"): None})
    store.close()
    done = shell.kplan("apply", "plan.json")
    assert "already done" in done.out and "3 added. 1 step was already done." in done.out
    shell.kplan("destroy", "stack.yaml", "--yes")
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    assert [a.name for a in cluster.topics.read(None).resources] == ["many.a"]


def test_a_saved_plan_takes_no_flags_of_planning_and_is_applied_once(shell: Shell) -> None:
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    assert "--target" in shell.kplan("apply", "plan.json", "--target", "topic/many.a", expect=64).err
    shell.kplan("apply", "plan.json")
    assert "already applied" in shell.kplan("apply", "plan.json", expect=5).all


def test_the_folder_of_c_is_where_all_paths_start(shell: Shell) -> None:
    (shell.folder / "inner").mkdir()
    shell.write("inner/stack.yaml", TOPICS)
    shell.kplan("plan", "stack.yaml", "-C", "inner", "--out", "plan.json")
    assert (shell.folder / "inner" / "plan.json").exists()
    shell.kplan("apply", "plan.json", "-C", "inner")
    assert not (shell.folder / ".kplan").exists()
    shell.write("moved.json", (shell.folder / "inner" / "plan.json").read_text())
    assert "this is" in shell.kplan("apply", "moved.json", expect=5).all, "another simulated cluster"


@pytest.mark.parametrize("value", ["jdbc:pg://h/db?user=u&password=canary-71", "mongodb://u:canary-71@h/"])
def test_credentials_in_a_url_are_refused_in_a_stack_and_never_shown(shell: Shell, value: str) -> None:
    shell.secrets = ("canary-71",)
    shell.write("stack.yaml", "version: 1\nstack: s\nconnectors:\n  c:\n    class: org.example.Sink\n"
                f'    config: {{topics: a, connection.url: "{value}"}}\n')  # fmt: skip
    assert "K210" in shell.kplan("validate", "stack.yaml", expect=4).all
    shell.kplan("show", "--stack", "stack.yaml", expect=4)
    shell.kplan("plan", "stack.yaml", "--format", "json", expect=4)


def test_the_wait_for_a_lock_ends_in_time(shell: Shell) -> None:
    store = open_store(Environment("local", str(shell.folder), simulated=Simulated()))
    with store.lock("many", Holder("a", "r", "", ""), 0):
        began = time.monotonic()
        shell.kplan("apply", "stack.yaml", "--yes", "--lock-timeout", "1s", expect=6)
        assert time.monotonic() - began > 1


def interrupted(shell: Shell, times: int) -> subprocess.CompletedProcess[str]:
    """An apply that gets Ctrl-C so many times while its first wave settles."""
    script = f"""
import os, signal, sys
from kplan.servers.simulated import SimulatedTopics
settle = SimulatedTopics.settle
def interrupt(self, changes, progress):
    if changes[0].reason != "undo":
        for _ in range({times}):
            os.kill(os.getpid(), signal.SIGINT)
    return settle(self, changes, progress)
SimulatedTopics.settle = interrupt
from kplan.__main__ import run
sys.exit(run(["apply", "stack.yaml", "--yes"]))
"""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=shell.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_ctrl_c_once_finishes_the_wave_and_puts_everything_back(shell: Shell) -> None:
    run = interrupted(shell, 1)
    assert run.returncode == 7, run.stdout + run.stderr
    assert "K515" in run.stdout and "all 4 resources are as before" in run.stdout
    assert "4 to add" in shell.kplan("plan", "stack.yaml").out


def test_ctrl_c_twice_stops_and_says_how_to_recover(shell: Shell) -> None:
    run = interrupted(shell, 2)
    assert run.returncode == 8
    assert "kplan recover" in run.stderr
    shell.kplan("recover", "--yes")
    assert "4 to add" in shell.kplan("plan", "stack.yaml").out


def test_a_stack_that_stops_on_failure_owns_what_it_left(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/c]}}}\n")
    source = "{class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {topic: many.a, file: /x}}"
    shell.write("stack.yaml", f"{TOPICS}connectors: {{c: {source}}}\n")
    ended = shell.kplan("apply", "stack.yaml", "--yes", "--on-failure", "stop", expect=8)
    assert "sent, but it does not work" in ended.out
    shell.kplan("destroy", "stack.yaml", "--yes")
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    assert not any(backend.read(None).resources for backend in cluster.backends)
