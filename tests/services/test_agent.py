"""The agent on real services: a broker that restarts, a task that fails, drift that is put back, and its memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from kplan.app.servers import open_store
from kplan.project.loading import Request, load_environment
from kplan.state.base import Holder
from tests.fakes.webhook import Receiver, receiving
from tests.services import ConnectWorker, KafkaCluster
from tests.services.downloads import plugin_path
from tests.services.process import free_port
from tests.services.test_walk import ask, environment, set_on, topics, wait_for_state
from tests.shell import Shell

READINGS = (60, 600) if os.environ.get("KPLAN_TEST_READINGS") else (60, 150)
PASSWORD = "a-password-of-the-agent"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as given:
        yield given


class RunningAgent:
    """An agent in a process of its own, with the metrics that it serves."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self.log = folder / f"agent-{time.monotonic_ns()}.log"
        words = ["agent", "--listen", self.address.removeprefix("http://"), *arguments]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kplan", *words], cwd=folder, env={**os.environ, **environment}, stderr=log
            )

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric whose labels include these; -1 where there is none."""
        try:
            text = requests.get(f"{self.address}/metrics", timeout=5).text
        except requests.ConnectionError:
            return -1
        for found in re.finditer(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
            if all(f'{key}="{value}"' in found[1] for key, value in labels.items()):
                return float(found[2])
        return -1

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the agent ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"{what}: {self.log.read_text()}"
            time.sleep(0.05)

    def readings(self) -> float:
        return self.metric("kplan_agent_readings_total", result="active")

    def usage(self) -> tuple[int, int]:
        """Kibibytes of memory, and open descriptors while it answers no request and no connection is new."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [resident] = re.findall(r"VmRSS:\s+(\d+)", status)
        samples = []
        for _ in range(10):
            time.sleep(0.1)
            samples.append(len([*Path(f"/proc/{self.process.pid}/fd").iterdir()]))
        return int(resident), min(samples)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.mark.slow
def test_an_agent_watches_through_all_that_happens(tmp_path: Path, receiver: Receiver) -> None:
    url, bodies = receiver
    with KafkaCluster() as kafka, ConnectWorker(kafka.bootstrap, plugin_path()) as connect:
        variables = {"HOOK": url, "PASSWORD": PASSWORD}
        shell = Shell(tmp_path, variables, (PASSWORD,))
        short = environment(kafka, connect).replace("request: 10s", "request: 3s")  # an outage is seen sooner
        hook = '    notify: [{webhook: "{{ env.HOOK }}", when: [drift, health, success]}]\n'
        shell.write("kplan.yaml", short + hook)
        shell.write(
            "stacks/lines.yaml",
            f"""\
version: 1
stack: lines
variables: {{password: {{env: PASSWORD, sensitive: true}}}}
topics:
  agent.lines: {{partitions: 1, config: {{retention.ms: 1d}}}}
connectors:
  agent-sink:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    converters: {{key: string, value: json}}
    config: {{topics: agent.lines, file: {tmp_path}/lines.txt, x.password: "{{{{ var.password }}}}"}}
""",
        )
        shell.kplan("apply", "--yes")
        bodies.clear()
        agent = RunningAgent(tmp_path, variables, "--interval", "0.2s", "--heal", "config")
        try:
            agent.wait(lambda: agent.readings() > 2, "it reads")
            assert agent.metric("kplan_healthy", env="dev") == 1
            assert agent.metric("kplan_connector_tasks", connector="agent-sink", state="running") == 1
            watch_standby(agent, RunningAgent(tmp_path, variables, "--interval", "0.2s"))
            put_back_a_config(agent, kafka, bodies)
            find_a_failed_task(agent, kafka, connect, bodies)
            outlive_a_broker(agent, kafka, bodies)
            outlive_a_worker(agent, connect, bodies)
        finally:
            agent.stop()
        assert agent.process.returncode == 0, agent.log.read_text()
        assert PASSWORD not in agent.log.read_text() + json.dumps(bodies)
        assert "Traceback" not in agent.log.read_text()
        keep_its_size(tmp_path, variables)


def outcomes(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["kplan"]["outcome"] for body in bodies]


def watch_standby(agent: RunningAgent, second: RunningAgent) -> None:
    """Of two agents one watches, and /healthz of both says that they live."""
    try:
        second.wait(lambda: second.metric("kplan_agent_readings_total", result="standby") > 1, "it waits")
        assert (agent.metric("kplan_agent_active"), second.metric("kplan_agent_active")) == (1, 0)
        assert requests.get(f"{second.address}/healthz", timeout=5).json()["phase"] == "standby"
        assert "another agent watches" in second.log.read_text()
    finally:
        second.stop()


def put_back_a_config(agent: RunningAgent, kafka: KafkaCluster, bodies: list[dict[str, Any]]) -> None:
    """A config that someone changed is put back in a run of its own; receivers hear of both."""
    change = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "agent.lines", incremental_configs=[change])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    [changed] = admin.incremental_alter_configs([resource]).values()
    changed.result(20)
    agent.wait(lambda: agent.metric("kplan_agent_healed_total", stack="lines") == 1, "it puts back")
    assert set_on(kafka, "agent.lines") == {"retention.ms": "86400000"}
    agent.wait(lambda: "drift_over" in outcomes(bodies), "the drift is over")
    assert outcomes(bodies) == ["drift", "applied", "drift_over"]
    assert agent.metric("kplan_drift_resources", stack="lines") == 0
    bodies.clear()


def find_a_failed_task(
    agent: RunningAgent, kafka: KafkaCluster, connect: ConnectWorker, bodies: list[dict[str, Any]]
) -> None:
    """A task that fails is a metric and a message with its cause; so is its recovery."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("agent.lines", b"this is no JSON")
    producer.flush(20)
    agent.wait(lambda: agent.metric("kplan_connector_tasks", connector="agent-sink", state="failed") == 1, "it fails")
    agent.wait(lambda: "connector_failed" in outcomes(bodies), "a message of the failure")
    assert agent.metric("kplan_connector_healthy", connector="agent-sink") == 0
    assert "Unrecognized token" in bodies[0]["text"]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    [deleted] = admin.delete_records([TopicPartition("agent.lines", 0, 1)]).values()
    deleted.result(20)
    requests.post(f"{connect.url}/connectors/agent-sink/tasks/0/restart", timeout=20).raise_for_status()
    agent.wait(lambda: "connector_recovered" in outcomes(bodies), "a message of the recovery")
    assert outcomes(bodies) == ["connector_failed", "connector_recovered"]
    bodies.clear()


def outlive_a_broker(agent: RunningAgent, kafka: KafkaCluster, bodies: list[dict[str, Any]]) -> None:
    """While the broker is away the metrics say so; afterwards the same agent watches again."""
    kafka.kill()
    agent.wait(lambda: agent.metric("kplan_servers_reachable") == 0, "it sees that the broker is away")
    assert requests.get(f"{agent.address}/healthz", timeout=5).status_code == 200
    kafka.restart()
    readings = agent.readings()
    agent.wait(lambda: agent.readings() > readings + 3, "it reads again", 90)
    agent.wait(lambda: "reachable" in outcomes(bodies), "a message that the servers answer")
    assert outcomes(bodies)[0] == "unreachable"
    assert agent.metric("kplan_agent_active") == 1


def outlive_a_worker(agent: RunningAgent, connect: ConnectWorker, bodies: list[dict[str, Any]]) -> None:
    """A worker that goes and comes back is the same."""
    bodies.clear()
    connect.kill()
    agent.wait(lambda: agent.metric("kplan_servers_reachable") == 0, "it sees that Connect is away")
    connect.start()
    agent.wait(lambda: agent.metric("kplan_connector_healthy", connector="agent-sink") == 1, "the connector runs", 90)
    assert outcomes(bodies)[:2] == ["unreachable", "reachable"]


def keep_its_size(folder: Path, variables: dict[str, str]) -> None:
    """Many readings later it has the memory and the descriptors of the first ones."""
    agent = RunningAgent(folder, variables, "--interval", "0.05s")
    try:
        first, last = READINGS
        agent.wait(lambda: agent.readings() >= first, f"{first} readings", 120)
        before = agent.usage()
        agent.wait(lambda: agent.readings() >= last, f"{last} readings", 480)
        after = agent.usage()
    finally:
        agent.stop()
    print(f"KiB, descriptors: {before} after {first} readings, {after} after {last}")
    assert after[0] <= 1.1 * before[0], f"{before} then {after}"
    assert after[1] == before[1], f"{before} then {after}"


HEAL_STACK = """\
version: 1
stack: heal
topics:
  heal.lines: {{partitions: 1}}
  heal.kept: {{partitions: 1, config: {{retention.ms: 1d}}}}
connectors:
{connectors}"""
HEAL_SINK = """\
  {name}:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    converters: {{key: string, value: string}}
    config: {{topics: heal.lines, file: {folder}/{name}.txt, errors.tolerance: all}}
"""
HEALED, PAUSED, DELETED = "heal-config", "heal-paused", "heal-deleted"


@pytest.fixture
def changed(kafka: KafkaCluster, connect: ConnectWorker, receiver: Receiver, tmp_path: Path) -> Iterator[Shell]:
    """A stack of three connectors: one has another config now, one is paused as well, and one is gone."""
    url, bodies = receiver
    shell = Shell(tmp_path, {"HOOK": url})
    more = '    state: {kafka_topic: __heal}\n    notify: [{webhook: "{{ env.HOOK }}", when: [drift, success]}]\n'
    shell.write("kplan.yaml", environment(kafka, connect) + more)
    names = (HEALED, PAUSED, DELETED)
    sinks = "".join(HEAL_SINK.format(name=name, folder=tmp_path) for name in names)
    shell.write("stacks/heal.yaml", HEAL_STACK.format(connectors=sinks))
    shell.kplan("apply", "--yes")
    bodies.clear()
    for name in (HEALED, PAUSED):
        disturbed = {**config_of(connect, name), "file": f"{tmp_path}/elsewhere.txt", "errors.log.enable": "true"}
        del disturbed["errors.tolerance"]
        connect.put_connector(name, disturbed)
    ask(connect, "PUT", f"/connectors/{PAUSED}/pause")
    wait_for_state(connect, PAUSED, "PAUSED")
    assert ask(connect, "DELETE", f"/connectors/{DELETED}")[0] == 204
    yield shell
    shell.kplan("destroy", "stacks", "--yes", "--accept", "*")


def config_of(connect: ConnectWorker, name: str) -> dict[str, str]:
    code, config = ask(connect, "GET", f"/connectors/{name}/config")
    assert code == 200, config
    return dict(config)


def test_the_config_of_a_connector_is_put_back_and_nothing_else(
    changed: Shell, kafka: KafkaCluster, connect: ConnectWorker, receiver: Receiver
) -> None:
    """The agent waits for the lock of the stack, writes a run, and leaves state and deletion to a person."""
    _, bodies = receiver
    others = {name: config_of(connect, name) for name in (HEALED, PAUSED)}
    before = topics(kafka, "heal.")
    store = open_store(load_environment(Request(folder=str(changed.folder), process=changed.environment)))
    agent = RunningAgent(changed.folder, changed.environment, "--interval", "0.2s", "--heal", "config")
    try:
        with store.lock("heal", Holder("someone@else", "a-run", "kplan apply", "2026-01-01T00:00:00Z"), 20):
            agent.wait(lambda: agent.metric("kplan_agent_healing_refused_total", stack="heal") > 0, "it is refused")
            assert config_of(connect, HEALED) == others[HEALED] and "someone@else" in agent.log.read_text()
            assert agent.metric("kplan_agent_healed_total", stack="heal") == -1
        agent.wait(lambda: agent.metric("kplan_agent_healed_total", stack="heal") == 1, "it puts back")
        readings = agent.readings()
        agent.wait(lambda: agent.readings() > readings + 2, "it reads again, and has nothing more to put back")
        assert agent.metric("kplan_agent_healed_total", stack="heal") == 1
        assert agent.metric("kplan_drift_resources", stack="heal") == 2
        assert agent.metric("kplan_connector_healthy", connector=HEALED) == 1
        assert agent.metric("kplan_connector_healthy", connector=PAUSED) == 0
        assert agent.metric("kplan_last_run_applied", stack="heal") == 1
    finally:
        store.close()
        assert agent.stop() == 0, agent.log.read_text()
    healed = config_of(connect, HEALED)
    assert healed["file"] == f"{changed.folder}/{HEALED}.txt" and healed["errors.tolerance"] == "all"
    assert "errors.log.enable" not in healed
    assert config_of(connect, PAUSED) == others[PAUSED]
    assert ask(connect, "GET", f"/connectors/{PAUSED}/status")[1]["connector"]["state"] == "PAUSED"
    assert ask(connect, "GET", f"/connectors/{DELETED}")[0] == 404
    assert topics(kafka, "heal.") == before
    assert outcomes(bodies).count("applied") == 1
    find_the_run(changed)


def find_the_run(shell: Shell) -> None:
    """The history has one run more, with one change in its journal."""
    newest, first = shell.kplan("history", "--format", "json").json["runs"]
    assert (first["counts"], newest["counts"]) == ({"create": 5}, {"update": 1})
    assert (newest["outcome"], newest["mode"], newest["steps"]) == ("applied", "apply", 1)
    assert newest["run"] in shell.kplan("history", f"connector/{HEALED}").out
    journal = shell.kplan("show", newest["run"]).out
    assert f"connector/{HEALED}" in journal and "end  applied" in journal
    assert PAUSED not in journal and DELETED not in journal
    assert shell.kplan("recover", "--yes").code == 0, "no run is left open"
