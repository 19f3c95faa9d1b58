"""The agent on the simulated cluster: what it tells, what it puts back, and what it goes on after."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from kplan.app.agent import Agent, AgentRequest
from kplan.app.exposition import Answers, open_http_server
from kplan.app.load import load_stacks
from kplan.app.runtime import Runtime
from kplan.app.servers import open_cluster, open_store
from kplan.diagnostics import KplanError
from kplan.inspect.watch import ACTIVE, FAILED, STANDBY
from kplan.model.masks import Mask
from kplan.project.environment import Environment, Simulated
from kplan.project.loading import Request
from kplan.render.metrics import render_status, render_watched
from kplan.state.base import Holder
from tests.fakes.webhook import Receiver, receiving
from tests.shell import Shell
from tests.unit.inspect.test_drift import change

STACK = """\
version: 1
stack: shop
topics:
  shop.orders: {partitions: 3, config: {retention.ms: 7d}}
  shop.lines: {accept: [data-loss]}
"""
KPLAN = """\
version: 1
environments:
  local: {simulated: {}, notify: [{webhook: "{{ env.HOOK }}", when: [drift, health, success]}]}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as given:
        yield given


class Watched:
    """A folder with an applied stack, and agents that watch it."""

    def __init__(self, folder: Path, hook: str = "http://127.0.0.1:9") -> None:
        self.folder = folder
        self.shell = Shell(folder, {"HOOK": hook})
        self.shell.write("kplan.yaml", KPLAN)
        self.shell.write("stack.yaml", STACK)
        self.shell.kplan("apply", "stack.yaml", "--yes")
        self.notes: list[str] = []

    def agent(self, **request: object) -> Agent:
        runtime = Runtime(Mask(), lambda: datetime.now(UTC), note=self.notes.append)
        process = {**os.environ, **self.shell.environment}
        path = str(self.folder / "stack.yaml")
        loading = Request(paths=(path,), folder=str(self.folder), process=process)
        made = Agent(AgentRequest(**{"interval": 0.0, **request}), lambda: load_stacks(loading, runtime), runtime)  # type: ignore[arg-type]
        made._loaded = made._load_valid()
        return made


def test_drift_is_told_once_and_is_put_back_where_that_is_asked_for(tmp_path: Path, receiver: Receiver) -> None:
    url, bodies = receiver
    watched = Watched(tmp_path, url)
    bodies.clear()
    agent = watched.agent()
    change(watched.shell, "shop.orders", "retention.ms", "1000")
    agent.read_once()
    agent.read_once()
    assert [body["kplan"]["outcome"] for body in bodies] == ["drift"]
    assert 'kplan_drift_attributes{env="local",stack="shop"} 1.0' in render_watched(agent.seen)
    agent.close()
    healing = watched.agent(heals_config=True)
    healing.read_once()
    healing.read_once()
    healing.close()
    assert [body["kplan"]["outcome"] for body in bodies] == ["drift", "drift", "applied", "drift_over"]
    assert healing.seen.healed == {"shop": 1}
    assert 'kplan_agent_healed_total{env="local",stack="shop"} 1.0' in render_watched(healing.seen)
    assert watched.shell.kplan("history", "topic/shop.orders").out.count("retention.ms") >= 1


def add_records(shell: Shell, topic: str) -> None:
    """Somebody wrote records a month ago."""
    written = int((datetime.now(UTC).timestamp() - 30 * 86400) * 1000)
    topics = open_cluster(Environment("local", str(shell.folder), simulated=Simulated())).topics
    topics.produce(topic, 100, at=written)


def test_what_is_gone_is_reported_and_not_created(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    change(watched.shell, "shop.lines", "x", None)
    agent = watched.agent(heals_config=True)
    agent.read_once()
    assert agent.seen.status and agent.seen.status["topics"]["missing"] == ["shop.lines"]
    assert agent.seen.healed == {} and 'state="missing"} 1.0' in render_watched(agent.seen)
    agent.close()


@pytest.mark.parametrize("accept", ["", "accept: [data-loss], "])
def test_a_danger_is_left_alone_even_if_it_is_accepted(tmp_path: Path, accept: str) -> None:
    watched = Watched(tmp_path)
    watched.shell.write("stack.yaml", STACK.replace("{partitions: 3", f"{{{accept}partitions: 3"))
    add_records(watched.shell, "shop.orders")
    change(watched.shell, "shop.orders", "retention.ms", "31536000000")  # the 7d of before would delete records
    agent = watched.agent(heals_config=True)
    agent.read_once()
    agent.close()
    assert agent.seen.healed == {} and agent.seen.refused == {"shop": 1}
    [reason] = [note for note in watched.notes if "not put back" in note]
    assert "K4" in reason
    assert 'kplan_drift_resources{env="local",stack="shop"} 1.0' in render_watched(agent.seen)


def test_configs_are_put_back_under_the_lock_of_their_stack(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    change(watched.shell, "shop.orders", "retention.ms", "1000")
    agent = watched.agent(heals_config=True)
    store = open_store(Environment("local", str(tmp_path), simulated=Simulated()), None)
    with store.lock("shop", Holder("someone@else", "a-run", "kplan apply", "2026-01-01T00:00:00Z"), 0.0):
        agent.read_once()
    assert agent.seen.healed == {} and agent.seen.refused == {"shop": 1}
    assert "someone@else" in watched.notes[-1]
    agent.read_once()
    agent.close()
    assert agent.seen.healed == {"shop": 1}
    runs = watched.shell.kplan("history", "--format", "json").json["runs"]
    assert [run["outcome"] for run in runs] == ["applied", "applied"]


def test_what_somebody_else_put_back_meanwhile_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    change(watched.shell, "shop.orders", "retention.ms", "1000")
    agent = watched.agent(heals_config=True)
    monkeypatch.setattr(
        "kplan.app.agent.refuse_unplannable",
        lambda *arguments: change(watched.shell, "shop.orders", "retention.ms", "604800000"),
    )
    agent.read_once()
    agent.close()
    assert agent.seen.phase == ACTIVE and agent.seen.healed == {} and agent.seen.refused == {}
    assert len(watched.shell.kplan("history", "--format", "json").json["runs"]) == 1


def test_a_file_with_errors_leaves_the_stacks_as_they_were(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    agent = watched.agent()
    watched.shell.write("stack.yaml", "version: 1\nstack: shop\ntopics: [")
    agent.read_once()
    agent.read_once()
    assert agent.seen.phase == ACTIVE and not agent.seen.files_are_valid
    assert len([note for note in watched.notes if "the files cannot be loaded" in note]) == 1
    assert 'kplan_agent_files_valid{env="local"} 0.0' in render_watched(agent.seen)
    watched.shell.write("stack.yaml", STACK)
    agent.read_once()
    assert agent.seen.files_are_valid
    agent.close()


def test_one_of_two_watches_and_the_other_goes_on_for_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    first, second, other = watched.agent(), watched.agent(), watched.agent(name="other")
    for agent in (first, second, other, second):
        agent.read_once()
    assert [agent.seen.phase for agent in (first, second, other)] == [ACTIVE, STANDBY, ACTIVE]
    assert 'kplan_agent_active{env="local"} 0.0' in render_watched(second.seen)
    assert len([note for note in watched.notes if "another agent watches" in note]) == 1
    first.close()
    second.read_once()
    assert second.seen.phase == ACTIVE
    second.close()
    other.close()


def test_servers_that_do_not_answer_are_told_at_the_start_and_at_the_end(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = receiver
    watched = Watched(tmp_path, url)
    bodies.clear()
    agent = watched.agent()
    agent.read_once()

    def fail(*arguments: object) -> None:
        raise KplanError("nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr("kplan.app.agent.read_status", fail)
        agent.read_once()
        agent.read_once()
        assert agent.seen.phase == FAILED
        assert 'kplan_servers_reachable{env="local"} 0.0' in render_watched(agent.seen)
    agent.read_once()
    assert [body["kplan"]["outcome"] for body in bodies] == ["unreachable", "reachable"]
    assert "nobody answers" in bodies[0]["text"]
    assert agent.seen.readings == {ACTIVE: 2, FAILED: 2}
    agent.close()


def test_an_agent_that_takes_over_is_silent_about_an_outage_of_long_ago(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = receiver
    watched = Watched(tmp_path, url)
    first, second = watched.agent(), watched.agent()
    first.read_once()
    with monkeypatch.context() as patched:
        patched.setattr("kplan.app.agent.read_status", lambda *arguments: {"status": "error", "cause": "no answer"})
        first.read_once()
        assert first.seen.drift == ()
    second.read_once()
    first.read_once()
    assert (first.seen.phase, second.seen.phase) == (STANDBY, ACTIVE)
    second.close()
    bodies.clear()
    first.read_once()
    first.close()
    assert first.seen.phase == ACTIVE and bodies == []


def test_an_agent_whose_former_lock_still_counts_reports_that_the_servers_answer_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = receiver
    watched = Watched(tmp_path, url)
    bodies.clear()
    agent = watched.agent()
    agent.read_once()
    assert agent._holder is not None
    former = agent._holder
    with monkeypatch.context() as patched:
        patched.setattr("kplan.app.agent.read_status", lambda *arguments: {"status": "error", "cause": "no answer"})
        agent.read_once()
    store = open_store(Environment("local", str(tmp_path), simulated=Simulated()), None)
    with store.lock("agent.default", former, 0.0):
        agent.read_once()
    assert agent.seen.phase == STANDBY and "this agent's former lock ends soon" in watched.notes[-1]
    agent.read_once()
    agent.close()
    assert [body["kplan"]["outcome"] for body in bodies] == ["unreachable", "reachable"]


def test_a_loop_that_hangs_is_not_alive(tmp_path: Path) -> None:
    agent = Watched(tmp_path).agent(interval=10.0)
    assert agent.is_alive(datetime.now(UTC).timestamp() + 149)
    assert not agent.is_alive(datetime.now(UTC).timestamp() + 151)
    agent.close()


def test_six_hundred_readings_take_no_more_memory_than_sixty(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.agent(readings=60).run(threading.Event())
    before = usage()
    watched.agent(readings=600).run(threading.Event())
    after = usage()
    assert after[0] <= 1.1 * before[0] and after[1] == before[1], (before, after)


def usage() -> tuple[int, int]:
    """Kibibytes of memory of this process, and its open descriptors, without what earlier tests left."""
    gc.collect()
    [resident] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line]
    return int(resident), len([*Path("/proc/self/fd").iterdir()])


def test_a_status_is_a_file_of_metrics_too(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    printed = watched.shell.kplan("status", "stack.yaml", "--format", "prometheus").out
    document = watched.shell.kplan("status", "stack.yaml", "--format", "json").json
    assert 'kplan_resources{env="local",kind="topic",state="declared"} 2.0' in printed
    assert printed.strip() == render_status(document).strip()


def test_the_command_says_what_is_wrong_with_its_flags(tmp_path: Path) -> None:
    shell = Watched(tmp_path).shell
    for flags, words in (
        (("--listen", "nowhere"), "HOST:PORT"),
        (("--name", "A b"), "--name"),
        (("--interval", "soon"), "--interval"),
    ):
        assert words in shell.kplan("agent", "stack.yaml", *flags, expect=64).err
    ended = shell.kplan("agent", "stack.yaml", "--listen", "", "--readings", "2", "--interval", "50ms")
    assert "watching shop in local" in ended.err
    assert "K339" in shell.kplan("agent", "stack.yaml", "--listen", "203.0.113.1:1", expect=1).err


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_metrics_are_served_at_both_sorts_of_addresses(host: str) -> None:
    answers = Answers(lambda: "metrics", "text/plain", lambda: (503, {"phase": "failed"}))
    try:
        with open_http_server(host.strip("[]"), 0, answers) as address:
            assert address.startswith(f"http://{host}:")
            assert requests.get(f"{address}/metrics", timeout=5).text == "metrics"
            assert requests.get(f"{address}/healthz", timeout=5).status_code == 503
            assert requests.get(f"{address}/", timeout=5).status_code == 404
    except KplanError as e:
        assert host == "[::1]", e
        pytest.skip("this machine has no IPv6")
